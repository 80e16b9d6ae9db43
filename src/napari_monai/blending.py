"""Weighted sums of overlapping windows, holding no more than what later windows still touch.

Windows come in the order of their numbers, the last axis fastest. The sum over a lattice of
windows comes apart into one sum an axis: what a window shares with the next one along the last
axis is carried over to it; what a finished run along the last axis shares with the next run along
the axis before is carried over to that one; and so on. For windows of side ``w`` and overlap ``v``
over a volume of ``n`` voxels an axis the carried parts hold ``v n^2 + w v n + w^2 v`` voxels a
channel, where an accumulator of the whole volume holds ``n^3``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

from .devices import free_memory
from .tiling import Box, Tiling

# Bytes of what is carried along an axis from which it is kept in half precision, if it holds
# probabilities: they keep three digits.
_LARGE = 2**28


class Blender:
    """Adds windows and hands out each part of the image when no later window can touch it.

    Parameters
    ----------
    tiling
        The windows.
    channels
        Number of channels of the values.
    device
        Where the windows' values are. What is carried over stays there as long as it takes no
        more than a quarter of the memory that is free, and goes to the host otherwise.
    probabilities
        Whether all values lie between 0 and 1.
    """

    def __init__(
        self,
        tiling: Tiling,
        channels: int,
        device: torch.device,
        *,
        probabilities: bool = False,
    ) -> None:
        self.tiling = tiling
        self.carried = [
            _empty(size, device, probabilities=probabilities and tiling.importance is None)
            for size in carried_shapes(tiling, channels)
        ]
        # Where weights do not come apart into axes, their sum is carried as a last channel.
        self._importance: torch.Tensor | None = None
        if tiling.importance is not None:
            self._importance = torch.from_numpy(tiling.importance).to(device)
        self._weights = [
            [torch.from_numpy(w).to(device).view(-1, *(1,) * (tiling.ndim - axis - 1)) for w in ws]
            for axis, ws in enumerate(tiling.weights)
        ]

    def to(self, device: torch.device) -> None:
        """Move all that is held to another device."""
        self.carried = [None if c is None else c.to(device) for c in self.carried]
        self._weights = [[w.to(device) for w in ws] for ws in self._weights]
        if self._importance is not None:
            self._importance = self._importance.to(device)

    @torch.inference_mode()
    def add(self, index: int, values: torch.Tensor) -> tuple[Box, torch.Tensor]:
        """Add a window; return the part of the image that it finishes, and the values there.

        ``values`` of shape (channel, *window) are used up; the result is a view of them. What
        earlier windows left elsewhere is fetched first: if there is no room for it, nothing has
        been changed.
        """
        tiling, place = self.tiling, self.tiling.place(index)
        cell = tiling.cell(index)
        before = [self._before(axis, place, cell, values) for axis in range(tiling.ndim)]
        if self._importance is not None:
            weighted = values.new_empty((len(values) + 1, *values.shape[1:]))
            torch.mul(values, self._importance, out=weighted[:-1])
            weighted[-1] = self._importance
            values = weighted
        # Along each axis the sum over its windows comes first and the weights of the axes before
        # after it: what a window finishes along the last axis is all that they are put on.
        for axis in reversed(range(tiling.ndim)):
            carried = self.carried[axis]
            if carried is None:
                continue
            i, starts, side = place[axis], tiling.starts[axis], tiling.window[axis]
            there = carried[(slice(None),) * (axis + 2) + cell[axis + 1 :]]
            step = starts[i + 1] - starts[i] if i + 1 < len(starts) else side
            weights = self._weights[axis][i]
            values = _summed(values, weights, there, axis + 1, before[axis], step)
        values = values[(slice(None), *_inner(cell, tiling))]
        if self._importance is not None:
            values = values[:-1].div_(values[-1:])
        return tiling.unpadded(cell), values

    def _before(
        self, axis: int, place: Sequence[int], cell: Box, values: torch.Tensor
    ) -> torch.Tensor | None:
        """Return what was carried to a window along an axis, as its values are."""
        carried, i, starts = self.carried[axis], place[axis], self.tiling.starts[axis]
        if carried is None or i == 0:
            return None
        there = carried[(slice(None),) * (axis + 2) + cell[axis + 1 :]]
        shared = self.tiling.window[axis] - (starts[i] - starts[i - 1])
        return there.narrow(axis + 1, 0, shared).to(values.device, values.dtype)


def _summed(
    values: torch.Tensor,
    weights: torch.Tensor,
    carried: torch.Tensor,
    dim: int,
    before: torch.Tensor | None,
    step: int,
) -> torch.Tensor:
    """Return the part of a window that it finishes along an axis, and carry the rest over.

    The first voxels are added to what was carried ``before``, those from ``step`` on are carried
    to the next window. Each voxel is read and written once.
    """
    side = values.shape[dim]
    shared = 0
    if before is not None:
        shared = before.shape[dim]
        first = values.narrow(dim, 0, shared)
        torch.addcmul(before, first, weights.narrow(0, 0, shared), out=first)
    straight = max(shared, step) if carried.dtype == values.dtype else side
    if straight > shared:
        values.narrow(dim, shared, straight - shared).mul_(
            weights.narrow(0, shared, straight - shared)
        )
    if step < straight:
        carried.narrow(dim, 0, straight - step).copy_(values.narrow(dim, step, straight - step))
    if straight < side:  # never summed with anything yet: no need to go through the window
        rest = carried.narrow(dim, straight - step, side - straight)
        product = (
            values.narrow(dim, straight, side - straight),
            weights.narrow(0, straight, side - straight),
        )
        if carried.device == values.device:
            torch.mul(*product, out=rest)
        else:
            rest.copy_(torch.mul(*product))
    return values.narrow(dim, 0, step)


def carried_shapes(tiling: Tiling, channels: int) -> list[tuple[int, ...] | None]:
    """Return the shape of what is carried along each axis; ``None`` where there is one window."""
    channels += tiling.importance is not None
    shapes: list[tuple[int, ...] | None] = []
    for axis, starts in enumerate(tiling.starts):
        side = tiling.window[axis]
        steps = [b - a for a, b in pairwise(starts)]
        if not steps or min(steps) == side:
            shapes.append(None)
            continue
        later = tiling.padded_shape[axis + 1 :]
        shapes.append((channels, *tiling.window[:axis], side - min(steps), *later))
    return shapes


def carried_bytes(tiling: Tiling, channels: int, *, probabilities: bool) -> int:
    """Return the memory that a `Blender` holds."""
    probabilities = probabilities and tiling.importance is None
    sizes = [_size(s, probabilities) for s in carried_shapes(tiling, channels) if s]
    return sum(sizes)


def _empty(
    shape: Sequence[int] | None, device: torch.device, *, probabilities: bool
) -> torch.Tensor | None:
    if shape is None:
        return None
    if device.type != "cpu" and _size(shape, probabilities) > free_memory(device) // 4:
        device = torch.device("cpu")
    dtype = torch.float16 if _halved(shape, probabilities) else torch.float32
    return torch.empty(tuple(shape), dtype=dtype, device=device)


def _halved(shape: Sequence[int], probabilities: bool) -> bool:
    # By the shape alone, so that the same image gives the same labels on every machine.
    return probabilities and 4 * torch.Size(shape).numel() > _LARGE


def _size(shape: Sequence[int], probabilities: bool) -> int:
    return (2 if _halved(shape, probabilities) else 4) * torch.Size(shape).numel()


def _inner(cell: Box, tiling: Tiling) -> Box:
    """Return the part of a finished cell that is no padding, in the cell's own indices."""
    inside = tiling.unpadded(cell)
    starts = (
        s.start + before - c.start
        for s, c, (before, _) in zip(inside, cell, tiling.padding, strict=True)
    )
    return tuple(slice(a, a + s.stop - s.start) for a, s in zip(starts, inside, strict=True))
