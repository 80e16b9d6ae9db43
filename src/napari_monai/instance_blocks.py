"""Instances of maps that are larger than memory, block by block, as in one piece.

Each block is decoded with a margin around it, from which only the block itself is kept. Beyond
the margin anything may be; so whatever lies there is made a basin of its own, the unknown, that
floods before all others (:func:`decode_part`). In a flood each basin only ever meets its rivals,
and the unknown comes to every voxel no later than what is really there. What it does not take is
therefore what decoding in one piece gives, seeds and all. Where it reaches into a block, the block
is halved and each half decoded with a wider margin; only where even the widest is too narrow does
the block keep what can be seen from it, and that is said.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import zarr
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .blocks import Box, boxes, grown, halves, inside, sides, within
from .errors import SettingsError, VolumeError
from .events import BlockDone, Event, Said, Started
from .instance_parts import BYTES_PER_VOXEL, Decoding, Part, decode_part
from .instances import are_certain, certainties, decode, first_voxels, numbers_in_order

Labels = npt.NDArray[np.int32]


class Readable(Protocol):
    """An array that gives a part of itself: numpy, a memmap, zarr, HDF5."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    def __getitem__(self, box: Any, /) -> Any:
        """Return the part of it in a box of slices."""


class Writable(Protocol):
    """An array that takes a part of itself."""

    def __setitem__(self, box: Any, values: Any, /) -> None:
        """Write the part of it in a box of slices."""


def decode_blocks(
    foreground: Readable,
    distance: Readable,
    write: Writable,
    *,
    touching: Readable | None = None,
    spacing: Sequence[float] | None = None,
    memory: int = 2 * 2**30,
    scratch: Path | str | None = None,
    **decoding: float,
) -> Generator[Event, None, int]:
    """Decode instances block by block: the same labels as :func:`.decode` gives in one piece.

    Parameters
    ----------
    foreground, distance
        The maps of :func:`.decode`, 2-D or 3-D, read part by part.
    write
        Array of the same shape for the labels, int32 or wider; every voxel is written once, at
        the end.
    touching
        The third map of :func:`.decode`, where there is one.
    spacing
        Distance between voxels along each axis; default 1.
    memory
        Bytes to hold at once. Tables of the objects (48 bytes each) and what the arrays keep of
        their own (the chunks of a zarr array) come on top.
    scratch
        Folder for temporary files, up to 4 bytes a voxel before compression; default that of
        the system. What is written there is gone when the generator ends or is closed.
    **decoding
        Thresholds, smoothing and smallest sizes, as for :func:`.decode`.

    Yields
    ------
    ``Started`` once, then ``BlockDone`` after each block; ``Said`` where objects, or the clumps
    that they hang on, reach farther than memory does, so that they may come out otherwise than in
    one piece.

    Returns
    -------
    The number of objects.

    Raises
    ------
    VolumeError
        If the maps differ in shape.
    SettingsError
        If ``memory`` is too small to decode anything in.
    """
    shape = tuple(foreground.shape)
    for name, other in (("distance", distance), ("touching", touching)):
        if other is not None and shape != tuple(other.shape):
            raise VolumeError(
                f"Foreground of shape {shape} and {name} of shape {tuple(other.shape)}: "
                "all maps have to be of the same image."
            )
    settings = Decoding.of(len(shape), spacing, **decoding)
    voxels = int(memory) // BYTES_PER_VOXEL
    if voxels < 8 ** len(shape):
        least = 8 ** len(shape) * BYTES_PER_VOXEL
        raise SettingsError(f"memory is {memory} bytes: decoding needs {least} or more.")
    if int(np.prod(shape)) <= voxels:
        whole = tuple(slice(0, n) for n in shape)
        yield Started(1, "blocks")
        labels = decode(
            np.asarray(foreground[whole]),
            np.asarray(distance[whole]),
            None if touching is None else np.asarray(touching[whole]),
            spacing=spacing,
            **decoding,
        )
        write[whole] = labels
        yield BlockDone(1, 1)
        return int(labels.max(initial=0))
    folder = Path(tempfile.mkdtemp(prefix="instances-", dir=scratch))
    try:
        maps = foreground, distance, touching
        return (yield from _Run(maps, write, settings, voxels, folder).events())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Objects:
    """Parts of objects, one number a block and object, and which of them are the same object."""

    sizes: list[npt.NDArray[np.int64]] = field(default_factory=list)
    first: list[npt.NDArray[np.int64]] = field(default_factory=list)
    certainty: list[npt.NDArray[np.int64]] = field(default_factory=list)
    doubtful: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    links: list[npt.NDArray[np.int64]] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [1])  # the first number of each block

    def add(
        self,
        sizes: npt.NDArray[np.int64],
        first: npt.NDArray[np.int64],
        certainty: npt.NDArray[np.int64],
        doubtful: npt.NDArray[np.bool_],
    ) -> int:
        """Take in the parts of another block; return the number of the first of them."""
        self.sizes.append(sizes)
        self.first.append(first)
        self.certainty.append(certainty)
        self.doubtful.append(doubtful)
        self.starts.append(self.starts[-1] + len(sizes))
        return self.starts[-2]

    def link(self, found: Labels, around: Labels) -> None:
        """Link the parts of a block to those of other blocks that hold the same voxels.

        Mostly all voxels of the one are of the other. Where the block had to be guessed, most
        have to be, both ways; a part that may have its true seed elsewhere goes with what holds
        most of it.
        """
        both = (found > 0) & (around > 0)
        if not both.any():
            return
        pairs, counts = np.unique(
            np.stack([found[both], around[both]]).astype(np.int64), axis=1, return_counts=True
        )
        block = np.searchsorted(self.starts, pairs[1], side="right")
        of_other = _totals(pairs[1:], counts)
        of_own = _totals(np.stack([pairs[0], block]), counts)
        most_of_other, most_of_own = 2 * counts > of_other, 2 * counts > of_own
        own, other = (self._is_doubtful(numbers) for numbers in pairs)
        same = most_of_other & (most_of_own | other) | most_of_own & own
        self.links.append(pairs[:, same])

    def _is_doubtful(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        blocks = np.searchsorted(self.starts, numbers, side="right") - 1
        return np.array(
            [self.doubtful[b][n - self.starts[b]] for b, n in zip(blocks, numbers, strict=True)]
        )

    def numbers(self, smallest: float, min_certainty: float) -> tuple[Labels, int]:
        """Return the number of the object for each part (0 for none), and of objects in all."""
        count = self.starts[-1]
        links = np.concatenate([np.empty((2, 0), np.int64), *self.links], axis=1)
        graph = coo_array((np.ones(links.shape[1], bool), tuple(links)), shape=(count, count))
        n_objects, which = connected_components(graph, directed=False)
        sizes = np.zeros(n_objects, np.int64)
        np.add.at(sizes, which, np.concatenate([[0], *self.sizes]))
        first = np.full(n_objects, np.iinfo(np.int64).max)
        np.minimum.at(first, which, np.concatenate([[first.max()], *self.first]))
        certainty = np.zeros(n_objects, np.int64)
        np.add.at(certainty, which, np.concatenate([[0], *self.certainty]))
        kept = (sizes >= smallest) & are_certain(certainty, sizes, min_certainty)
        return numbers_in_order(first, kept)[which], int(np.count_nonzero(kept))


class _Run:
    """One decoding: the plan, the parts of objects found so far, and where they are kept."""

    def __init__(
        self,
        maps: tuple[Readable, Readable, Readable | None],
        write: Writable,
        settings: Decoding,
        voxels: int,
        folder: Path,
    ) -> None:
        self.maps = maps
        self.write = write
        self.settings = settings
        self.voxels = voxels
        self.shape = tuple(maps[0].shape)
        self.objects = _Objects()
        self.patience = len(self.shape)  # how often a block is halved before it is given up
        self.guessed = 0
        outer = sides(self.shape, settings.relative, voxels)
        self.margin = self._probe()
        self.core = self._core(outer)
        self.parts = zarr.create_array(
            str(folder / "parts.zarr"),
            shape=self.shape,
            # Small chunks: each block reads the rim of those around it.
            chunks=tuple(n // 4 if n % 4 == 0 else n for n in self.core),
            dtype=np.int32,
            fill_value=0,
        )

    def events(self) -> Generator[Event, None, int]:
        """Decode all blocks, then number and write them."""
        cores = list(boxes(self.shape, self.core))
        targets = list(boxes(self.shape, self._written()))
        total = len(cores) + len(targets)
        yield Started(total, "blocks")
        for done, core in enumerate(cores, start=1):
            self._decode(core)
            yield BlockDone(done, total)
        if self.guessed:
            yield Said(
                "Some objects, or clumps of them, are larger than what fits into memory at once: "
                f"near {self.guessed} borders of blocks they may be cut otherwise than in one "
                "piece. More memory for decoding avoids it.",
                "warning",
            )
        settings = self.settings
        numbers, count = self.objects.numbers(settings.smallest, settings.min_certainty)
        for done, box in enumerate(targets, start=len(cores) + 1):
            self.write[box] = numbers[self._parts_in(box)]
            yield BlockDone(done, total)
        return count

    def _probe(self) -> float:
        """Return how wide a margin the objects need, in voxels of the finest axis.

        That is how far the unknown comes into some samples of half the sides of a block, and a
        little more, up to a sixth of a side: then less is computed twice where a few blocks have
        to be halved than with a wide margin around all.
        """
        shape, relative = self.shape, self.settings.relative
        sample = sides(shape, relative, self.voxels // 2 ** len(shape))
        reach = 0.0
        for place in (1, 2, 3):
            box = tuple(
                slice((n - m) * place // 4, (n - m) * place // 4 + m)
                for n, m in zip(shape, sample, strict=True)
            )
            reach = max(reach, self._reach(self._part(box, box)))
        outer = sides(shape, relative, self.voxels)
        widest = max(m * r for n, m, r in zip(shape, outer, relative, strict=True) if m < n) / 6
        return max(1.0, min(1.2 * reach + 2, widest))

    def _reach(self, part: Part) -> float:
        """Return how far from the cut faces of its box a part has anything unknown."""
        low, high = 0.0, float(max(self.shape) * max(self.settings.relative))
        while high - low > 1:
            middle = (low + high) / 2
            deep = inside(part.outer, self.shape, self.settings.relative, middle)
            low, high = (middle, high) if part.unknown_in(deep) else (low, middle)
        return high

    def _core(self, outer: Sequence[int]) -> tuple[int, ...]:
        """Return the sides of the blocks: with the margin around they fit into memory."""
        core = []
        for n, m, r in zip(self.shape, outer, self.settings.relative, strict=True):
            room = m if m == n else max(1, m - 2 * int(np.ceil(self.margin / r)))
            even = -(-n // -(-n // room))  # as many blocks, and all of about the same size
            core.append(min(-(-even // 4) * 4, room) if even >= 16 else even)
        return tuple(core)

    def _written(self) -> tuple[int, ...]:
        """Return the sides of the boxes to write: whole chunks of the target where they fit."""
        grid = getattr(self.write, "shards", None) or getattr(self.write, "chunks", None)
        if grid is None or int(np.prod(grid)) > self.voxels:
            return self.core
        box = [min(n, m) for n, m in zip(grid, self.shape, strict=True)]
        for axis in reversed(range(len(box))):
            while box[axis] < self.shape[axis] and 2 * np.prod(box) <= self.voxels:
                box[axis] *= 2
        return tuple(box)

    def _decode(self, core: Box) -> None:
        """Decode a block and keep its parts of objects, in halves where it has to be."""
        todo = [(core, 0)]
        while todo:
            box, level = todo.pop()
            margin = self.margin if level == 0 else None
            outer = grown(box, self.shape, self.settings.relative, self.voxels, margin)
            part = self._part(box, outer)
            if not part.unknown_in(within(box, self.shape)):
                self._keep(box, part)
                if level:
                    self.patience = len(self.shape)
                continue
            if level < self.patience and max(s.stop - s.start for s in box) > 4:
                todo += [(half, level + 1) for half in halves(box, self.settings.relative)]
                continue
            outer = grown(box, self.shape, self.settings.relative, self.voxels, None)
            part = self._part(box, outer, beyond=False)
            self._keep(box, part)
            self.guessed += 1
            self.patience = max(0, self.patience - 1)

    def _part(self, core: Box, outer: Box, *, beyond: bool = True) -> Part:
        foreground, distance, near = self.maps
        return decode_part(
            foreground, distance, core, outer, self.settings, near=near, beyond=beyond
        )

    def _keep(self, core: Box, part: Part) -> None:
        """Give numbers to the parts of objects in a block; link them to those around it."""
        rim = within(core, self.shape)
        labels = part.labels_in(rim)
        middle = tuple(
            slice(c.start - r.start, c.stop - r.start) for c, r in zip(core, rim, strict=True)
        )
        here = np.ascontiguousarray(labels[middle])
        sizes = np.bincount(here.ravel(), minlength=int(labels.max()) + 1)
        sizes[0] = 0
        present = np.flatnonzero(sizes)
        if not len(present):
            return
        first = np.array(np.unravel_index(first_voxels(here, len(sizes))[present], here.shape))
        first += np.array([[s.start] for s in core])
        start = self.objects.add(
            sizes[present],
            np.ravel_multi_index(tuple(first), self.shape),
            certainties(np.asarray(self.maps[0][core]), here, len(sizes))[present],
            part.doubtful[present],
        )
        numbers = np.zeros(len(sizes), np.int32)
        numbers[present] = np.arange(start, start + len(present))
        self.objects.link(numbers[labels], self._parts_in(rim))
        self.parts[core] = numbers[here]

    def _parts_in(self, box: Box) -> Labels:
        return np.asarray(self.parts[box], np.int32)


def _totals(keys: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return for each column of keys the sum of the counts of all columns like it."""
    _, which = np.unique(keys, axis=1, return_inverse=True)
    which = which.ravel()
    return np.asarray(np.bincount(which, counts)[which], np.float64)
