"""What of several images that are opened together is shown: one, with the labels on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from ..grid import Grid
from ..volume import LabelVolume, Volume
from .image_look import slider_range
from .layers import LayerData, layers_of
from .placement import KEY, Frame

if TYPE_CHECKING:
    import napari


def main_of(every: Sequence[tuple[Grid, bool]]) -> int:
    """Return which is shown of several images, given as grids and whether they are labels.

    It is the image of the most voxels, the first of equals: localizers and scouts are small.
    """
    sizes = [(not labels, int(np.prod(grid.shape))) for grid, labels in every]
    return sizes.index(max(sizes))


def widen_sliders(viewer: napari.viewer.Viewer) -> None:
    """Let the contrast sliders of our images reach beyond the window that they open with."""
    viewer.layers.events.inserted.connect(_widen_slider)  # which it does once


def _widen_slider(event: Any) -> None:
    layer = event.value
    if isinstance(layer, Image) and KEY in layer.metadata and not layer.rgb:
        coarsest = layer.data[-1] if layer.multiscale else layer.data
        layer.contrast_limits_range = slider_range(coarsest, layer.contrast_limits)


def shown_layers(
    volumes: Sequence[Volume], *, shown: bool, over: Grid, frames: list[Frame]
) -> list[LayerData]:
    """Return the layers of volumes; hidden unless ``shown``, but for labels on the grid ``over``.

    They are put into the first of ``frames`` that they fit; new ones are added there. It reads
    the volumes for their contrast: not for the window's thread.

    Raises VolumeError for a volume of one axis.
    """
    found: list[LayerData] = []
    for volume in volumes:
        layers = layers_of([volume], frames=frames)
        frame = layers[0][1]["metadata"][KEY].frame
        if frame is not None and frame not in frames:
            frames.append(frame)
        if not shown and not (isinstance(volume, LabelVolume) and volume.grid.is_close(over)):
            layers = [(data, {**look, "visible": False}, kind) for data, look, kind in layers]
        found += layers
    return found


def arranged(volumes: Sequence[Volume], *, frames: Sequence[Frame] = ()) -> list[LayerData]:
    """Return the layers of all volumes, the one that is shown first.

    Raises VolumeError for a volume of one axis.
    """
    main = volumes[main_of([(v.grid, isinstance(v, LabelVolume)) for v in volumes])]
    others = [v for v in volumes if v is not main]
    known = list(frames)
    return [
        *shown_layers([main], shown=True, over=main.grid, frames=known),
        *shown_layers(others, shown=False, over=main.grid, frames=known),
    ]
