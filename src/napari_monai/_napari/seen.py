"""Which slice of a layer the viewer shows, in the layer's own voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer


def displayed_axes(viewer: napari.viewer.Viewer, layer: Layer) -> tuple[int, ...]:
    """Return the axes of a layer that are drawn, in the order of the canvas."""
    missing = viewer.dims.ndim - layer.ndim
    return tuple(axis - missing for axis in viewer.dims.displayed if axis >= missing)


def slider_voxel(viewer: napari.viewer.Viewer, layer: Layer) -> tuple[int, ...]:
    """Return the voxel of a layer at which the sliders of the viewer stand."""
    return tuple(int(n) for n in np.round(to_voxels(viewer, layer, viewer.dims.point)))


def to_voxels(
    viewer: napari.viewer.Viewer, layer: Layer, place: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Return a place of the viewer's world in the voxels of a layer.

    The viewer may count in another unit than the layer: in mm where the layer says µm.
    """
    there = np.asarray(place, np.float64)[-layer.ndim :]
    units = viewer.dims.units
    if units is not None:
        there = there * [
            # While layers come and go the viewer may still have units of others.
            (1 * world).to(own).magnitude if world.is_compatible_with(own) else 1.0
            for world, own in zip(units[-layer.ndim :], layer.units, strict=True)
        ]
    return np.asarray(layer.world_to_data(there), np.float64)


def plane_seen(
    viewer: napari.viewer.Viewer, layer: Layer, shape: Sequence[int]
) -> tuple[int, int] | None:
    """Return the spatial axis and index of the slice that is seen; ``None`` in 3-D and of pictures.

    ``shape`` is that of the last axes of the layer, those of space.
    """
    drawn, first = displayed_axes(viewer, layer), layer.ndim - len(shape)
    hidden = [axis for axis in range(first, layer.ndim) if axis not in drawn]
    if len(hidden) != 1:
        return None
    at, axis = slider_voxel(viewer, layer)[hidden[0]], hidden[0] - first
    return (axis, at) if 0 <= at < shape[axis] else None
