"""Operations on the numbers of labels: merge, delete, relabel, renumber, link."""

from __future__ import annotations

from .rows import Operation

_FUNCTIONS = "napari_monai.labels.edit_numbers"
_SETTINGS = "napari_monai.labels.settings_numbers"

ROWS_NUMBERS = (
    Operation(
        name="delete",
        title="Delete",
        group="Numbers",
        function=f"{_FUNCTIONS}:delete",
        help="Make the selected labels background; with a region, only what lies inside it.",
    ),
    Operation(
        name="merge",
        title="Merge",
        group="Numbers",
        function=f"{_FUNCTIONS}:merge",
        settings=f"{_SETTINGS}:Merge",
        needs=("selected",),
        help="Give the selected labels one number.",
    ),
    Operation(
        name="relabel",
        title="Relabel",
        group="Numbers",
        function=f"{_FUNCTIONS}:relabel",
        settings=f"{_SETTINGS}:Relabel",
        needs=("selected",),
        help="Give the selected label another number.",
    ),
    Operation(
        name="renumber",
        title="Renumber",
        group="Numbers",
        function=f"{_FUNCTIONS}:renumber",
        settings=f"{_SETTINGS}:Renumber",
        help="Number the labels without gaps, in the order of their numbers, sizes or places.",
    ),
    Operation(
        name="link-slices",
        title="Link slices",
        group="Slices",
        function="napari_monai.labels.edit_link:link_slices",
        settings="napari_monai.labels.settings_link:LinkSlices",
        help="Make objects of labels that were made slice by slice: those that lie over each other "
        "get one number.",
    ),
)
