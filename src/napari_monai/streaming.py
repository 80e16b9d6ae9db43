"""Windows through the networks and out again as finished parts, in order.

Batches are submitted ahead, blended in order, and what a window finishes is handed out before the
next one is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from .blending import Blender
from .devices import device_name, is_out_of_memory
from .events import Said
from .lanes import Lanes, Outcome
from .runner import FloatArray, Runner
from .tiling import Box, Tiling
from .ways import Way
from .windows import Empty, Windows

T = TypeVar("T")
Finish = Callable[[Box, torch.Tensor], Sequence[torch.Tensor]]


@dataclass(frozen=True, eq=False)
class Part:
    """A finished part of the maps.

    ``done`` of ``total`` windows are through. The maps are final in ``box``, a part of the array's
    space; the boxes of all parts tile the array. ``results`` is what was made of the maps there:
    by default the maps themselves, float32 of shape (channel, *box). ``way`` is how the networks
    ran.
    """

    done: int
    total: int
    box: Box
    results: tuple[npt.NDArray[Any], ...]
    way: Way = field(default_factory=Way)

    @property
    def values(self) -> FloatArray:
        """The first of the results: the maps in the box, where nothing else was asked for."""
        return self.results[0]


def as_it_is(_box: Box, values: torch.Tensor) -> Sequence[torch.Tensor]:
    """Keep the maps."""
    return (values,)


class Stream:
    """The windows of one array going through the runner, and what is held between them."""

    def __init__(
        self,
        windows: Windows,
        tiling: Tiling,
        runner: Runner,
        *,
        finish: Finish,
        size: int,
        empty: Empty | None,
        sums_on_host: bool = False,
    ) -> None:
        self.windows = windows
        self.tiling = tiling
        self.runner = runner
        self.finish = finish
        self.size = size
        self.empty = empty
        #: Where windows are added up: the networks' device, or the host when that is full.
        self.place = torch.device("cpu") if sums_on_host else runner.device
        self.blender: Blender | None = None

    def parts(self, first_row: int) -> Iterator[Said | Part]:
        """Yield the parts from a row of windows on."""
        starts, side = self.tiling.starts[0], self.tiling.window[0]
        # Batches never go beyond some rows, so that a run that begins later has the same ones,
        # and the same rounding in them. Rows of slices do not overlap, and share batches.
        at_once = max(1, self.size // self.tiling.per_row) if side == 1 else 1
        first_row -= first_row % at_once
        # As far as the plane of voxels before the row, which the way home looks at.
        reach = starts[first_row] - side
        before = next(row for row, start in enumerate(starts) if row == first_row or start >= reach)
        before -= before % at_once
        ends = [min(row + at_once, len(starts)) for row in range(before, len(starts), at_once)]
        with closing(self._through(before, ends)) as events:
            for row, event in events:
                if row >= first_row or isinstance(event, Said):
                    yield event

    def _through(
        self, first: int, ends: Sequence[int]
    ) -> Generator[tuple[int, Said | Part], None, None]:
        """Run the windows from a row on; batches go no further than to the next of the ends.

        Yields the row that an event belongs to along with it.
        """
        per_row, lanes = self.tiling.per_row, Lanes(self.runner)
        at = first * per_row
        submitted: deque[_Submitted] = deque()
        waiting: list[_Pending] = []
        try:
            while at < self.tiling.total or submitted:
                while at < self.tiling.total and len(submitted) < lanes.depth:
                    end = next(e for e in ends if e * per_row > at) * per_row
                    submitted.append(self._submitted(lanes, at, end))
                    at = submitted[-1].indices.stop
                # While a GPU computes, the parts before are worked on.
                yield from ((p.index // per_row, p.part()) for p in _taken(waiting))
                batch = submitted.popleft()
                values, trouble = batch.outcome()
                if values is None and batch.full:
                    at = batch.indices.start
                    submitted.clear()
                    lanes.close()
                    said = self._relieved(trouble, len(batch.full))
                    lanes = Lanes(self.runner)
                    yield at // per_row, said
                    continue
                outputs = {} if values is None else dict(zip(batch.full, values, strict=True))
                for event in self._blended(batch.indices, outputs):
                    if isinstance(event, Said):
                        yield batch.indices.start // per_row, event
                    else:
                        waiting.append(event)
                del batch, values, outputs  # as large as what the networks give next
                if self.runner.device.type != "cuda":
                    yield from ((p.index // per_row, p.part()) for p in _taken(waiting))
            yield from ((p.index // per_row, p.part()) for p in _taken(waiting))
        finally:
            lanes.close()

    def _submitted(self, lanes: Lanes, at: int, end: int) -> _Submitted:
        """Send the next windows on their way."""
        indices, full = self._batch(at, end)
        outcome = lanes.submit(np.stack(list(full.values()))) if full else _nothing
        return _Submitted(indices, tuple(full), outcome)

    def _batch(self, at: int, end: int) -> tuple[range, dict[int, FloatArray]]:
        """Return the next windows, and the arrays of those that hold something."""
        full: dict[int, FloatArray] = {}
        stop = at
        while stop < end and len(full) < self.size:
            window = self.windows[stop]
            if self.empty is None or not self.empty.holds(window):
                full[stop] = window
            stop += 1
        return range(at, stop), full

    def _relieved(self, trouble: str, size: int) -> Said:
        """Make the next batch easier: what is carried leaves the device before the networks do."""
        if trouble == "memory" and size == 1 and self.blender is not None and self._to_host():
            return self._said_of_host()
        self.size, line = self.runner.relieve(trouble, size)
        if self.runner.device.type == "cpu":
            self._to_host()
        return Said(line, "warning")

    def _to_host(self) -> bool:
        """Have windows added up on the host; return whether they were not already."""
        if self.place.type == "cpu":
            return False
        self.place = torch.device("cpu")
        if self.blender is not None:
            self.blender.to(self.place)
        if self.runner.device.type == "cuda":
            torch.cuda.empty_cache()
        return True

    def _said_of_host(self) -> Said:
        name = device_name(self.runner.device)
        return Said(f"{name} is out of memory: windows are added up on the host.", "warning")

    def _blended(
        self, indices: range, values: Mapping[int, torch.Tensor]
    ) -> Iterator[Said | _Pending]:
        for index in indices:
            box, part = yield from self._where_it_fits(partial(self._added, index, values))
            results = yield from self._where_it_fits(partial(self._finished, box, part))
            yield _Pending(index, self.tiling.total, box, results, self.runner.way)

    def _where_it_fits(self, work: Callable[[], T]) -> Generator[Said, None, T]:
        """Return what work gives; where the device has no memory for it, from the host."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if self.place.type == "cpu" or not is_out_of_memory(error):
                raise
        self._to_host()  # not before the exception is gone, which keeps memory alive
        yield self._said_of_host()
        return work()

    def _added(self, index: int, values: Mapping[int, torch.Tensor]) -> tuple[Box, torch.Tensor]:
        if index in values:
            window = values[index].to(self.place)
        else:
            assert self.empty is not None, "without it every window is run"
            window = self.empty.maps(self.tiling.window, self.place)
        if self.blender is None:
            probabilities = self.runner.outputs.probabilities
            self.blender = Blender(
                self.tiling, len(window), self.place, probabilities=probabilities
            )
        return self.blender.add(index, window)

    def _finished(self, box: Box, part: torch.Tensor) -> Sequence[torch.Tensor]:
        return self.finish(box, part.to(self.place))


@dataclass(frozen=True)
class _Submitted:
    """A batch under way: its windows, those of them that hold something, and what waits for it."""

    indices: range
    full: tuple[int, ...]
    outcome: Callable[[], Outcome]


def _nothing() -> Outcome:
    return None, ""


def _taken(waiting: list[_Pending]) -> Iterator[_Pending]:
    """Yield what is waiting, which does so no longer."""
    while waiting:
        yield waiting.pop(0)


class _Pending:
    """A part on its way from the device to the host."""

    def __init__(
        self,
        index: int,
        total: int,
        box: Box,
        results: Sequence[torch.Tensor],
        way: Way,
    ) -> None:
        self.index, self.total, self.box, self.way = index, total, box, way
        self.results = [_on_host(r) for r in results]
        self.event: torch.cuda.Event | None = None
        if any(r.is_cuda for r in results):
            self.event = torch.cuda.Event()
            self.event.record()

    def part(self) -> Part:
        if self.event is not None:
            self.event.synchronize()
        arrays = tuple(r.numpy() for r in self.results)
        return Part(self.index + 1, self.total, self.box, arrays, self.way)


def _on_host(result: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the host; from a GPU it may still be on its way."""
    if not result.is_cuda:
        return result.cpu()
    host = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
    return host.copy_(result, non_blocking=True)
