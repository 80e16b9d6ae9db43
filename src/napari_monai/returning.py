"""Maps on the prepared grid, part by part, to values on the image's own grid.

Probabilities are interpolated, then decided: smoother borders than the nearest label. A voxel
between two parts needs the last plane of voxels of the earlier one, so that plane, and no more,
is kept along each axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .resample import WayBack
from .tiling import Box

# Values on the native grid that are made at once.
_SLAB = 2**24


class Returning:
    """Brings the finished parts of maps home, in the order in which a lattice finishes them.

    Parts are boxes of the prepared grid that tile it, one after the other with the last axis
    fastest; see `napari_monai.tiling.Tiling.cell`. Where the first parts are not those at the
    beginning of the first axis, what is made of them has no meaning at their lower edge.

    Parameters
    ----------
    back
        How the prepared grid lies on the native one.
    outside
        What maps say, one number a channel, of voxels that were cropped away; 0 by default.
    nearest
        Whether a voxel takes the values of the nearest one, instead of interpolated ones.
    """

    def __init__(
        self, back: WayBack, outside: Sequence[float] = (), *, nearest: bool = False
    ) -> None:
        self.back = back
        self.outside = tuple(outside)
        self.shape = back.prepared.shape
        homes = [home.nearest() if nearest else home for home in back.homes]
        self.at = [home.at for home in homes]
        self.gain = [home.gain for home in homes]
        #: Whether the voxels of an axis are those of the native grid.
        self.same = [
            len(where) == n and np.array_equal(where, np.arange(n))
            for where, n in zip(self.at, self.shape, strict=True)
        ]
        self._planes = [_Planes(self.shape, axis) for axis in range(len(self.shape))]

    @property
    def exact(self) -> bool:
        """Whether nothing has to be interpolated."""
        return all(self.same) and not self.cropped

    @property
    def cropped(self) -> bool:
        """Whether voxels of the native grid were cropped away."""
        return any(home.cropped for home in self.back.homes)

    def region(self, box: Box) -> Box:
        """Return the box of the oriented native grid that is decided when a part is finished.

        These boxes tile that grid. They may be empty, where it is the coarser one.
        """
        sides = []
        for where, side, n in zip(self.at, box, self.shape, strict=True):
            first = 0 if side.start == 0 else np.searchsorted(where, side.start - 1, "right")
            last = len(where) if side.stop == n else np.searchsorted(where, side.stop - 1, "right")
            sides.append(slice(int(first), int(last)))
        return tuple(sides)

    def native(self, region: Box) -> Box:
        """Return a box of the oriented grid as a box of the native one, in its axis order."""
        return self.back.how.inverse().box(region, self.back.oriented.shape)

    @torch.inference_mode()
    def bring(
        self, box: Box, maps: torch.Tensor, make: Callable[[torch.Tensor], Sequence[torch.Tensor]]
    ) -> list[torch.Tensor]:
        """Return what ``make`` makes of the maps in the `region` of a part.

        Parameters
        ----------
        box, maps
            The part: ``maps`` of shape (channel, *box).
        make
            From maps on the native grid, (channel, *slab), to tensors whose last axes are those
            of the slab. Slabs follow each other along the first axis.
        """
        if self.exact:
            return list(make(maps))
        wide = self._widened(box, maps)
        region = self.region(box)
        at = [
            where[side.start : side.stop] - (part.stop - size)
            for where, side, part, size in zip(self.at, region, box, wide.shape[1:], strict=True)
        ]
        rows = max(1, _SLAB // max(1, len(maps) * int(np.prod([len(a) for a in at[1:]]))))
        slabs = [
            list(make(self._faded(interpolated(wide, (at[0][i : i + rows], *at[1:])), region, i)))
            for i in range(0, max(1, len(at[0])), rows)
        ]
        return [torch.cat(parts, dim=-len(box)) for parts in zip(*slabs, strict=True)]

    def _faded(self, maps: torch.Tensor, region: Box, start: int) -> torch.Tensor:
        """Return maps with what is said of voxels that were cropped away put in.

        ``maps`` lie in a slab of a region that starts at a row of it.
        """
        if not self.cropped:
            return maps
        first = region[0].start + start
        slab = (slice(first, first + maps.shape[1]), *region[1:])
        outside = maps.new_tensor(self.outside or (0.0,) * len(maps))
        for axis, (gain, side) in enumerate(zip(self.gain, slab, strict=True)):
            part = torch.from_numpy(gain[side].copy()).to(maps.device, maps.dtype)
            if bool((part == 1).all()):
                continue
            after = (1,) * (len(region) - axis - 1)
            maps = maps * part.view(-1, *after)
            away = (part == 0).view(-1, *after)
            maps = torch.where(away, outside.view(-1, *(1,) * len(region)), maps)
        return maps

    def _widened(self, box: Box, maps: torch.Tensor) -> torch.Tensor:
        """Return a part's maps with the last plane of the part before along each axis."""
        wide = maps
        for axis in reversed(range(len(box))):
            if self.same[axis]:
                continue
            self._planes[axis].begin(box)
            if box[axis].start > 0:
                later = tuple(
                    slice(side.start - (side.start > 0 and not same), side.stop)
                    for side, same in zip(box[axis + 1 :], self.same[axis + 1 :], strict=True)
                )
                before = self._planes[axis].before(later)
                if before is None:
                    before = wide.narrow(axis + 1, 0, 1)
                # The device may have changed in between.
                wide = torch.cat([before.to(wide.device), wide], dim=axis + 1)
            if box[axis].stop < self.shape[axis]:
                self._planes[axis].keep(box, maps)
        return wide


def bring_labels(back: WayBack, labels: Any) -> Iterator[tuple[Box, npt.NDArray[Any]]]:
    """Yield labels on the native grid, the nearest voxel's, in boxes that tile it.

    ``labels`` lie on the prepared grid, in memory or on disk; a slab of them is held at once.
    """
    home, shape = back.how.inverse(), back.oriented.shape
    near = back.nearest()
    rows = max(1, _SLAB // int(np.prod(shape[1:])))
    for start in range(0, shape[0], rows):
        stop = min(start + rows, shape[0])
        first, *others = near[0][0][start:stop], *(at for at, _ in near[1:])
        low = int(first[0])
        slab = np.asarray(labels[low : int(first[-1]) + 1])[np.ix_(first - low, *others)]
        for axis, (_, inside) in enumerate(near):
            here = inside[start:stop] if axis == 0 else inside
            if not here.all():
                slab[(slice(None),) * axis + (~here,)] = 0
        box = (slice(start, stop), *(slice(0, n) for n in shape[1:]))
        yield home.box(box, shape), np.ascontiguousarray(home.apply(slab))


class _Planes:
    """The last planes of the parts with one place along an axis, and of those before them."""

    def __init__(self, shape: tuple[int, ...], axis: int) -> None:
        self.shape = shape
        self.axis = axis
        self.start = 0
        self.now: torch.Tensor | None = None
        self.last: torch.Tensor | None = None

    def begin(self, box: Box) -> None:
        """Take the planes of parts with another place for those before."""
        if box[self.axis].start != self.start:
            self.last, self.now, self.start = self.now, None, box[self.axis].start

    def keep(self, box: Box, maps: torch.Tensor) -> None:
        """Keep the last plane of a part."""
        if self.now is None:
            earlier = maps.shape[: self.axis + 1]
            self.now = maps.new_empty((*earlier, *self.shape[self.axis + 1 :]))
        _part(self.now, box[self.axis + 1 :]).copy_(maps.select(self.axis + 1, -1))

    def before(self, later: Box) -> torch.Tensor | None:
        """Return the plane before a part, one voxel thick, in a box of the later axes."""
        if self.last is None:
            assert self.axis == 0, "parts come in order"
            return None
        return _part(self.last, later).unsqueeze(self.axis + 1)


def _part(values: torch.Tensor, box: Box) -> torch.Tensor:
    """Return a view of a box of the last axes."""
    whole = (slice(None),) * (values.ndim - len(box))
    return values[(*whole, *box)]


def interpolated(maps: torch.Tensor, at: Sequence[npt.NDArray[np.float64]]) -> torch.Tensor:
    """Sample the last axes of maps linearly at the outer product of positions inside them."""
    lead = maps.ndim - len(at)
    for axis, where in enumerate(at, start=lead):
        n = maps.shape[axis]
        low = np.floor(where).astype(np.int64)
        part = (where - low).astype(np.float32)
        if np.array_equal(where, np.arange(n)):
            continue
        below = maps.index_select(axis, torch.from_numpy(low).to(maps.device))
        if part.any():
            high = torch.from_numpy(np.minimum(low + 1, n - 1)).to(maps.device)
            above = maps.index_select(axis, high)
            weights = torch.from_numpy(part).to(maps.device)
            below.lerp_(above, weights.view(-1, *(1,) * (maps.ndim - axis - 1)))
        maps = below
    return maps
