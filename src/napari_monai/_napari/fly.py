"""To go to a place in the viewer: the slice, the middle of the canvas, large enough to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ..labels.boxes import Box
from .seen import displayed_axes

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

# The part of the canvas that an object takes: zoomed in below the first, out above the second, and
# then to the last.
_SMALL, _LARGE, _GOOD = 0.08, 0.9, 0.3


def fly_to(
    viewer: napari.viewer.Viewer, layer: Layer, at: Sequence[float], box: Box | None = None
) -> None:
    """Show a place of a layer in the middle of the canvas, on its slice.

    Parameters
    ----------
    viewer
        The viewer.
    layer
        The layer.
    at
        The place in voxels, of the last axes.
    box
        What is to be seen there: the zoom changes only where that is very small or too large.
    """
    drawn = displayed_axes(viewer, layer)
    missing = viewer.dims.ndim - layer.ndim
    voxel = np.array(_now(viewer, layer), float)
    voxel[layer.ndim - len(at) :] = at
    place = np.asarray(layer.data_to_world(voxel))
    for axis in range(layer.ndim):
        if axis not in drawn:
            viewer.dims.set_point(axis + missing, float(place[axis]))
    camera = viewer.scene.camera
    camera.center = (*camera.center[: 3 - len(drawn)], *(float(place[a]) for a in drawn))
    if box is not None:
        _zoom(viewer, layer, box, drawn)


def _now(viewer: napari.viewer.Viewer, layer: Layer) -> Any:
    return layer.world_to_data(np.asarray(viewer.dims.point)[-layer.ndim :])


def _zoom(viewer: napari.viewer.Viewer, layer: Layer, box: Box, drawn: Sequence[int]) -> None:
    first = layer.ndim - len(box)
    sides = [(box[a - first].stop - box[a - first].start) * layer.scale[a] for a in drawn]
    canvas = np.array(viewer.canvas.viewbox_size(viewer.layers), float)  # height, width
    if len(drawn) == 2:
        part = float(np.max(np.array(sides) * viewer.scene.camera.zoom / canvas))
    else:  # from whichever side it is seen
        part = float(np.linalg.norm(sides) * viewer.scene.camera.zoom / canvas.min())
    if part > 0 and not _SMALL <= part <= _LARGE:
        viewer.scene.camera.zoom *= _GOOD / part


class Sliced(Protocol):
    """Labels of which a slice is seen, as an `EditSession` is."""

    @property
    def plane(self) -> tuple[int, int] | None:
        """Its spatial axis and index; ``None`` in 3-D and of pictures."""
        ...

    def crop(self, box: Box) -> npt.NDArray[Any]:
        """Return the labels in a box."""
        ...


def slice_of(labels: Sliced, number: int, at: Sequence[float], box: Box) -> tuple[float, ...]:
    """Return a place on a slice that has voxels of a label: the one given, or the nearest.

    The middle of a thing that is bent, or in pieces, may lie on a slice without it.
    """
    plane = labels.plane
    if plane is None:
        return tuple(at)
    axis = plane[0]
    wanted = round(at[axis])
    thin = tuple(slice(wanted, wanted + 1) if a == axis else s for a, s in enumerate(box))
    if (labels.crop(thin) == number).any():
        return tuple(at)
    others = tuple(a for a in range(len(box)) if a != axis)
    there = np.flatnonzero((labels.crop(box) == number).any(axis=others)) + box[axis].start
    if not len(there):
        return tuple(at)
    nearest = int(there[np.abs(there - wanted).argmin()])
    return tuple(float(nearest) if a == axis else p for a, p in enumerate(at))
