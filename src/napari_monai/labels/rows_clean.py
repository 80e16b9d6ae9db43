"""Operations that clean labels: holes, small components, all but the largest one."""

from __future__ import annotations

from .rows import Operation

_FUNCTIONS = "napari_monai.labels.edit_clean"
_SETTINGS = "napari_monai.labels.settings_clean"

ROWS_CLEAN = (
    Operation(
        name="fill-holes",
        title="Fill holes",
        group="Clean",
        function=f"{_FUNCTIONS}:fill_holes",
        settings=f"{_SETTINGS}:FillHoles",
        takes=("plane",),
        help="Add to each label the background that it encloses.",
    ),
    Operation(
        name="remove-small",
        title="Remove small",
        group="Clean",
        function=f"{_FUNCTIONS}:remove_small",
        settings=f"{_SETTINGS}:RemoveSmall",
        help="Remove parts of labels that are smaller than a volume.",
    ),
    Operation(
        name="keep-largest",
        title="Keep largest",
        group="Clean",
        function=f"{_FUNCTIONS}:keep_largest",
        settings=f"{_SETTINGS}:KeepLargest",
        help="Keep the largest part of each label and remove the others.",
    ),
)
