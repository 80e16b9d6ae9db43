"""Operations that grow labels, interpolate between slices, and split what touches."""

from __future__ import annotations

from .rows import Operation

_SETTINGS = "napari_monai.labels.settings_grow"
_GROW = "napari_monai.labels.edit_grow"
_SPLIT = "napari_monai.labels.edit_split"

ROWS_GROW: tuple[Operation, ...] = (
    Operation(
        name="interpolate",
        title="Interpolate",
        group="Slices",
        function="napari_monai.labels.edit_between:interpolate",
        settings=f"{_SETTINGS}:Interpolate",
        takes=("plane",),
        help="Fill the slices between painted ones with the shapes between theirs.",
    ),
    Operation(
        name="grow",
        title="Grow from points",
        group="Grow",
        function=f"{_GROW}:grow",
        settings=f"{_SETTINGS}:Grow",
        needs=("image", "points"),
        takes=("plane",),
        help="Grow a label from points over all that hangs together within a range of "
        "intensities; other labels are walls.",
    ),
    Operation(
        name="random-walker",
        title="Random walker",
        group="Grow",
        function=f"{_GROW}:random_walker",
        settings=f"{_SETTINGS}:Walker",
        needs=("image", "selected"),
        takes=("plane",),
        help="Grow the selected labels from their scribbles until they meet at the edges of the "
        "image.",
    ),
    Operation(
        name="snap",
        title="Snap to edges",
        group="Shape",
        function=f"{_GROW}:snap",
        settings=f"{_SETTINGS}:Snap",
        needs=("image",),
        help="Move the borders of labels to the edges of the image nearby.",
    ),
    Operation(
        name="split",
        title="Split touching",
        group="Split",
        function=f"{_SPLIT}:split",
        settings=f"{_SETTINGS}:SplitTouching",
        help="Part objects that touch, where they are narrow; the largest part keeps its number.",
    ),
    Operation(
        name="split-at-points",
        title="Split at points",
        group="Split",
        function=f"{_SPLIT}:split_at_points",
        needs=("points",),
        help="Part an object between the points that lie in it, where it is narrow; the first "
        "one's part keeps its number.",
    ),
    Operation(
        name="split-by-line",
        title="Split by line",
        group="Split",
        function=f"{_SPLIT}:split_by_line",
        settings=f"{_SETTINGS}:SplitByLine",
        needs=("lines",),
        takes=("plane",),
        help="Cut objects along drawn lines; the largest part keeps its number.",
    ),
)
