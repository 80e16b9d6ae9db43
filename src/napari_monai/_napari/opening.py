"""What of several images that are opened together is shown: one, with the labels on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..grid import Grid
from ..volume import LabelVolume, Volume
from .layers import LayerData, image_layers, labels_layer


def main_of(every: Sequence[tuple[Grid, bool]]) -> int:
    """Return which is shown of several images, given as grids and whether they are labels.

    It is the image of the most voxels, the first of equals: localizers and scouts are small.
    """
    sizes = [(not labels, int(np.prod(grid.shape))) for grid, labels in every]
    return sizes.index(max(sizes))


def layers_of(volumes: Sequence[Volume], *, shown: bool, over: Grid) -> list[LayerData]:
    """Return the layers of volumes; hidden unless ``shown``, but for labels on the grid ``over``.

    It reads the volumes for their contrast: not for the window's thread.

    Raises VolumeError for a volume of one axis.
    """
    found: list[LayerData] = []
    for volume in volumes:
        labels = isinstance(volume, LabelVolume)
        layers = [labels_layer(volume)] if isinstance(volume, LabelVolume) else image_layers(volume)
        if not shown and not (labels and volume.grid.is_close(over)):
            layers = [(data, {**look, "visible": False}, kind) for data, look, kind in layers]
        found += layers
    return found


def arranged(volumes: Sequence[Volume]) -> list[LayerData]:
    """Return the layers of all volumes, the one that is shown first.

    Raises VolumeError for a volume of one axis.
    """
    main = volumes[main_of([(v.grid, isinstance(v, LabelVolume)) for v in volumes])]
    others = [v for v in volumes if v is not main]
    return [
        *layers_of([main], shown=True, over=main.grid),
        *layers_of(others, shown=False, over=main.grid),
    ]
