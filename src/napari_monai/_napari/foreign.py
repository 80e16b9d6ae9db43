"""Layers that others made: what their transform says of where their voxels lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import GridError, VolumeError
from ..grid import UNITS, Grid, Reorientation, millimetres, unit_name
from ..volume import Volume
from .arrays import finest, sliceable
from .placement import Frame, Placement

if TYPE_CHECKING:
    from napari.layers import Layer

_TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_TIME = ("t", "time")


def own_placement(layer: Layer, frame: Frame | None = None) -> Placement:
    """Return what the transform of a layer says of its place, with its own axis order.

    Parameters
    ----------
    layer
        Any layer of voxels.
    frame
        What the canvas is in the world, if that is known: a volume with a unit of length then
        lies in the world, as those that it was drawn beside.

    Raises
    ------
    VolumeError
        If the layer has more axes than time and three of space.
    """
    data = finest(layer)
    timed = layer.ndim == 4 or (layer.ndim == 3 and layer.axis_labels[0].lower() in _TIME)
    n = layer.ndim - timed
    if not 2 <= n <= 3:
        raise VolumeError(
            f"{layer.name} has {layer.ndim} axes: an image has two or three, and time before them."
        )
    rgb = bool(getattr(layer, "rgb", False))
    leading = "t" * timed + "c" * rgb
    axes = tuple(data.shape[: layer.ndim])
    voxels = np.moveaxis(sliceable(data), -1, int(timed)) if rgb else data
    source = layer.source.path
    grid = _own_grid(layer, axes[timed:])
    if frame is not None and grid.ndim == 3 and "pixel" not in (grid.unit, frame.unit):
        grid = frame.turned_back(replace(grid, anatomical=frame.anatomical))
    volume = Volume(
        voxels,
        grid,
        leading=leading,
        rgb=rgb,
        name=layer.name,
        source=None if source is None else Path(source),
    )
    transform = {name: getattr(layer, name) for name in _TRANSFORM}
    how = Reorientation(tuple(range(n)), (False,) * n)
    return Placement(volume, how, grid, transform, shown=data)


def _own_grid(layer: Layer, shape: tuple[int, ...]) -> Grid:
    """Return the grid of the last axes of a layer from where its corners lie on the canvas."""
    n = len(shape)
    unit, factors = _unit_of(layer, n)
    ends = np.zeros((n + 1, layer.ndim))
    ends[1:, -n:] = np.eye(n)
    places = np.array([layer.data_to_world(end) for end in ends])[:, -n:] * factors
    start, steps = places[0], (places[1:] - places[0]).T
    if np.array_equal(steps, np.diag(np.diag(steps))) and (np.diag(steps) > 0).all():
        return Grid.from_spacing(shape, np.diag(steps).tolist(), unit=unit, origin=start.tolist())
    # Canvas to RAS: each axis runs against its world axis. See Grid.from_spacing.
    flat = Grid.from_spacing((1,) * n, unit=unit).affine
    inner, move = np.eye(3), np.zeros(3)
    inner[:n, :n], move[:n] = steps, start
    affine = np.eye(4)
    affine[:3, :3] = flat[:3, :3] @ inner
    affine[:3, 3] = flat[:3, :3] @ move
    return Grid(shape, affine, unit, anatomical=False)


def _unit_of(layer: Layer, n: int) -> tuple[str, npt.NDArray[np.float64]]:
    """Return the unit of the last ``n`` axes, and the factors that bring each to it."""
    names = []
    for unit in layer.units[-n:]:
        try:
            names.append(unit_name(str(unit)))
        except GridError:
            names.append(UNITS[-1])
    if len(set(names)) == 1 or "pixel" in names:
        return ("pixel" if "pixel" in names else names[0]), np.ones(n)
    return names[-1], np.array([millimetres(x) / millimetres(names[-1]) for x in names])
