"""Cut labels along a polygon that was drawn on the canvas, straight through the volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import EditError

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]


def inside_polygon(
    shape: Sequence[int],
    polygon: npt.ArrayLike,
    *,
    spacing: Sequence[float],
    direction: Sequence[float] | None = None,
    start: Sequence[int] | None = None,
) -> Mask:
    """Return which voxels lie in a polygon as it is seen along a direction.

    A voxel does when its centre does; where the polygon crosses itself, by the even-odd rule.

    Parameters
    ----------
    shape
        Of the array, 2-D or 3-D.
    polygon
        Vertices in voxels, shape (n, axes); the last one is joined to the first.
    spacing
        Size of a voxel along each axis.
    direction
        Along which one looks, for volumes: a vector in physical units. When left out, the normal
        of the plane that the polygon lies in, as one has drawn it on a canvas.
    start
        Where the array begins in the one that the polygon is given in: the corner of a crop.

    Raises
    ------
    EditError
        If there are fewer than three vertices, or they lie on a line as seen.
    """
    vertices = np.asarray(polygon, np.float64)
    ndim = len(shape)
    if vertices.ndim != 2 or vertices.shape[1] != ndim or len(vertices) < 3:
        raise EditError(
            f"A polygon has 3 or more vertices of {ndim} numbers each, not the shape "
            f"{vertices.shape}: draw a closed outline."
        )
    if start is not None:
        vertices = vertices - np.asarray(start)
    view = canvas(vertices, spacing=spacing, direction=direction)
    return _filled(tuple(shape), vertices @ view.T, view)


def canvas(
    polygon: Points, *, spacing: Sequence[float], direction: Sequence[float] | None = None
) -> Points:
    """Return the matrix, shape (2, axes), that takes voxels to the plane of view.

    See `inside_polygon` for the arguments.
    """
    scale = np.asarray(spacing, np.float64)
    if len(scale) == 2:
        matrix = np.diag(scale)
    elif direction is None:
        centred = (polygon - polygon.mean(axis=0)) * scale
        # The two directions in which the vertices spread most span their plane.
        matrix = np.linalg.svd(centred, full_matrices=False)[2][:2] * scale
    else:
        towards = np.asarray(direction, np.float64)
        if not np.linalg.norm(towards) > 0:
            raise EditError(f"A direction of view has a length, not {tuple(direction)}.")
        matrix = np.linalg.svd(towards[None] / np.linalg.norm(towards))[2][1:] * scale
    seen = polygon @ matrix.T
    spread = np.linalg.svd(seen - seen.mean(axis=0), compute_uv=False)
    if not spread[-1] > 1e-9 * max(spread[0], float(scale.min())):
        raise EditError("The polygon is a line as it is seen: draw an outline that has an area.")
    return matrix


def _filled(shape: tuple[int, ...], polygon: Points, view: Points) -> Mask:
    """Return where voxels, taken to a plane by ``view``, lie in a polygon of it.

    A row of voxels along the last axis is a straight line on the plane. Seen along that line, an
    edge of the polygon crosses the row or does not, at one place: all voxels before it change
    sides.
    """
    step = view[:, -1]
    length = float(np.linalg.norm(step))
    if length < 1e-12 * np.abs(view).max():  # one looks along the rows: each is a point
        step, length = np.array([1.0, 0.0]), 0.0
    along = step / (length or 1.0)
    frame = np.stack([along, [-along[1], along[0]]])
    rows = np.indices(shape[:-1]).reshape(len(shape) - 1, -1).T @ view[:, :-1].T @ frame.T
    first, across = rows[:, 0], rows[:, 1]
    corners = polygon @ frame.T
    n = shape[-1]
    # One more place: an edge that is crossed behind the last voxel.
    turns = np.zeros((len(rows), n + 1), np.bool_)
    for (u, v), (u_next, v_next) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # Half open, so that a vertex on the line of a row counts once, or twice, or not at all,
        # and a row never leaves the polygon without having entered it.
        crossed = np.flatnonzero((v <= across) != (v_next <= across))
        if not len(crossed):
            continue
        gap = u + (across[crossed] - v) * ((u_next - u) / (v_next - v)) - first[crossed]
        before = np.ceil(gap / length) if length else np.where(gap > 0, n, 0)
        turns[crossed, np.clip(before, 0, n).astype(np.intp)] ^= True
    # A voxel is inside where an odd number of edges is crossed behind it.
    behind = np.logical_xor.accumulate(turns[:, :0:-1], axis=1)[:, ::-1]
    return behind.reshape(shape)
