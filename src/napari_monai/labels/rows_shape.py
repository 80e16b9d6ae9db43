"""Operations that change the shape of labels, combine layers, or copy slices."""

from __future__ import annotations

from .rows import Operation

_SHAPE = "napari_monai.labels.edit_shape"
_COMBINE = "napari_monai.labels.edit_combine"
_SETTINGS = "napari_monai.labels.settings_shape"

ROWS_SHAPE = (
    Operation(
        name="smooth",
        title="Smooth",
        group="Shape",
        function=f"{_SHAPE}:smooth",
        settings=f"{_SETTINGS}:Smooth",
        takes=("plane",),
        help="Smooth the borders of labels; each keeps its volume, and what touches stays so.",
    ),
    Operation(
        name="open",
        title="Open",
        group="Shape",
        function=f"{_SHAPE}:opening",
        settings=f"{_SETTINGS}:Round",
        takes=("plane",),
        help="Remove what is thinner than a ball: necks, spikes, small parts.",
    ),
    Operation(
        name="close",
        title="Close",
        group="Shape",
        function=f"{_SHAPE}:closing",
        settings=f"{_SETTINGS}:Round",
        takes=("plane",),
        help="Fill gaps and notches that are narrower than a ball.",
    ),
    Operation(
        name="dilate",
        title="Dilate",
        group="Shape",
        function=f"{_SHAPE}:dilate",
        settings=f"{_SETTINGS}:Dilate",
        takes=("plane",),
        help="Grow labels by a distance; where several meet, each voxel goes to the nearest.",
    ),
    Operation(
        name="erode",
        title="Erode",
        group="Shape",
        function=f"{_SHAPE}:erode",
        settings=f"{_SETTINGS}:Erode",
        takes=("plane",),
        help="Shrink labels by a distance.",
    ),
    Operation(
        name="expand",
        title="Expand",
        group="Grow",
        function=f"{_SHAPE}:expand",
        settings=f"{_SETTINGS}:Expand",
        takes=("plane",),
        help="Grow labels into the background between them, until they meet.",
    ),
    Operation(
        name="threshold",
        title="Threshold",
        group="Grow",
        function=f"{_COMBINE}:threshold",
        settings=f"{_SETTINGS}:Threshold",
        needs=("image",),
        takes=("plane",),
        help="Give voxels in a range of intensities a label.",
    ),
    Operation(
        name="copy-slice",
        title="Copy slice",
        group="Slices",
        function=f"{_COMBINE}:copy_slice",
        settings=f"{_SETTINGS}:CopySlice",
        needs=("plane",),
        help="Copy the labels of the slice that is seen to the next ones.",
    ),
    Operation(
        name="lasso",
        title="Cut with a lasso",
        group="Clean",
        function=f"{_COMBINE}:lasso",
        settings=f"{_SETTINGS}:Lasso",
        needs=("lines",),
        takes=("plane",),
        help="Delete, keep or relabel what lies inside an outline, as one looks through the "
        "volume.",
    ),
    Operation(
        name="combine",
        title="Combine",
        group="Combine",
        function=f"{_COMBINE}:combine",
        settings=f"{_SETTINGS}:Combine",
        needs=("other",),
        help="Combine labels with those of a second layer: or, and, minus, xor, replace.",
    ),
    Operation(
        name="clear-outside",
        title="Clear outside",
        group="Clean",
        function=f"{_COMBINE}:clear_outside",
        needs=("region",),
        help="Make labels background that lie outside the region.",
    ),
)
