"""Which slice of a layer the viewer shows, in the layer's own voxels."""

from __future__ import annotations

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
