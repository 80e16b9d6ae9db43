"""A volume seen by a 2-D model along each of its three axes, and what it says put together.

Slices across the first axis hold voxels that are not square: the steps between slices are mostly
wider than those within. There the image is resampled linearly, so that an object has the size and
the shape that the model knows, and what the model says is brought back the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from .errors import SettingsError
from .events import Event, WindowDone
from .grid import Reorientation
from .preprocess import Preparation
from .resample import Sampling, WayBack
from .returning import Returning
from .streaming import Finish, Part
from .tiling import Box, Tiling
from .windows import STRIP, Source

FloatArray = npt.NDArray[np.float32]

# Voxels of a slab of the maps that are handed on at once.
_SLAB = 2**22


class Resliced:
    """A prepared volume by slices along its second or third axis, read box by box.

    Parameters
    ----------
    prepared
        The volume, of three axes; a 2-D model takes its slices along the first one.
    axis
        Along which axis of it the slices lie: 1 or 2. They are as far apart as the voxels of the
        image itself, and within them voxels are as wide along both axes as those that the model
        takes: as the volume's along the axis that is neither this nor the first.

    Attributes
    ----------
    grid
        The space of the slices: its first axis goes from slice to slice.
    back
        The way back to the volume.
    channels
        Number of channels.
    """

    def __init__(self, prepared: Preparation, axis: int) -> None:
        if prepared.grid.ndim != 3 or axis not in (1, 2):
            raise SettingsError(f"A volume is sliced along its axis 1 or 2, not {axis}.")
        how = Reorientation((axis, 0, 3 - axis), (False,) * 3)
        self._prepared = prepared
        self._how = how
        self._turned = prepared.grid.reoriented(how)
        side = prepared.grid.spacing[3 - axis]
        apart = max(prepared.back.oriented.spacing[axis], prepared.grid.spacing[axis])
        self.grid = self._turned.with_spacing((apart, side, side))
        self.back = WayBack(prepared.grid, how, self.grid)
        self.channels = prepared.channels
        self._sampling = Sampling(self._turned, self.grid)
        self._slab: tuple[Box, FloatArray] | None = None

    def read(self, box: Box) -> FloatArray:
        """Return a box of the slices, (channel, *box); neighbours are kept to be read next."""
        wanted = self._sampling.source(box)
        if self._slab is None or not _holds(self._slab[0], wanted):
            self._slab = None  # before the next is read: both may not fit
            wide = self._widened(wanted)
            inside = self._how.inverse().box(wide, self._turned.shape)
            self._slab = wide, self._how.apply(self._prepared.read(inside))
        place, values = self._slab
        part = tuple(
            slice(w.start - p.start, w.stop - p.start) for w, p in zip(wanted, place, strict=True)
        )
        return self._sampling.sample(values[(slice(None), *part)], box)

    def _widened(self, box: Box) -> Box:
        """Return a box over whole slices, and as many of them as are to be held."""
        shape = self._turned.shape
        each = 4 * self.channels * shape[1] * shape[2]
        count = STRIP // max(1, each)
        if count <= box[0].stop - box[0].start:
            return box
        first = slice(box[0].start, min(shape[0], box[0].start + count))
        return (first, slice(0, shape[1]), slice(0, shape[2]))


def _holds(outer: Box, inner: Sequence[slice]) -> bool:
    pairs = zip(outer, inner, strict=True)
    return all(o.start <= i.start and i.stop <= o.stop for o, i in pairs)


@dataclass(frozen=True, eq=False)
class Side:
    """A volume from one side: what the windows are read from, where they lie, and the way back.

    ``back`` is none for the slices as they are.
    """

    source: FloatArray | Source
    tiling: Tiling
    back: WayBack | None = None


def parts_from(
    sides: Sequence[Side],
    shape: Sequence[int],
    predict: Callable[[Side, Finish | None], Iterator[Event | Part]],
    finish: Finish,
    channels: Sequence[str],
) -> Iterator[Event | Part]:
    """Yield the parts of the maps of a volume that a 2-D model has looked at from several sides.

    The mean is taken of all maps but ``distance``: how deep a voxel lies in its object is the least
    of what is seen from each side. From above, the end of an object is a small disc of its own;
    only from aside is it near the border.

    Parameters
    ----------
    sides
        From where to look; the first one has no way back.
    shape
        Of the volume as prepared.
    predict
        Runs the networks over a side, and does with finished maps what it is told.
    finish
        What is made of the maps when they are put together.
    channels
        Names of the maps; more may follow.

    Yields
    ------
    ``WindowDone``, counted through all sides; then the parts, slabs of the volume from its first
    plane to its last. The maps are held in memory.
    """
    total = sum(side.tiling.total for side in sides)
    deepest = [i for i, name in enumerate(channels) if name == "distance"]
    maps, done, way = np.zeros((0, *shape), np.float32), 0, None
    for number, side in enumerate(sides):
        home = None if side.back is None else Returning(side.back)
        for event in predict(side, None if home is None else partial(home.bring, make=_as_is)):
            if not isinstance(event, Part):
                yield event
                continue
            values, box, way = event.values, event.box, event.way
            if home is not None:
                values = home.back.how.inverse().apply(values)
                box = home.native(home.region(box))
            if not len(maps):
                maps = np.zeros((len(values), *shape), np.float32)
            here = maps[(slice(None), *box)]
            if number == 0:
                here[...] = values
            else:
                for i, (before, seen) in enumerate(zip(here, values, strict=True)):
                    (np.minimum if i in deepest else np.add)(before, seen, out=before)
            yield WindowDone(done + event.done, total)
        done += side.tiling.total
    mean = np.full(len(maps), 1 / len(sides), np.float32)
    mean[deepest] = 1
    rows = max(1, _SLAB // max(1, int(np.prod(shape[1:])) * len(maps)))
    for start in range(0, shape[0], rows):
        box = (slice(start, min(start + rows, shape[0])), *(slice(0, n) for n in shape[1:]))
        slab = torch.from_numpy(maps[(slice(None), *box)] * mean[:, None, None, None])
        assert way is not None, "every side has a window"
        yield Part(total, total, box, tuple(r.numpy() for r in finish(box, slab)), way)


def _as_is(maps: torch.Tensor) -> Sequence[torch.Tensor]:
    return (maps,)
