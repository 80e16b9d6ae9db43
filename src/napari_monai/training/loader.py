"""Batches made ahead by threads, while the network learns from the one before.

Threads and no processes: what takes time, reading boxes and interpolating them, leaves Python's
lock alone, and examples need not be copied. The batches are those of the sampler, whoever makes
them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import torch

from .patches import PatchSampler

Batch = tuple[torch.Tensor, torch.Tensor, list[tuple[float, ...]]]

# Threads beside a GPU, at most: more than these find no work.
_BESIDE_GPU = 8


def planned_workers(device: torch.device, workers: int | None) -> int:
    """Return how many threads prepare batches: as set, or as suits the device.

    Beside a GPU there is one a core, up to eight. A network on the processor has all its cores
    busy; one thread then fills the gaps between its operations.
    """
    if workers is not None:
        return workers
    return min(_BESIDE_GPU, os.cpu_count() or 1) if device.type == "cuda" else 1


class Batches:
    """The batches of a sampler, in order, made ahead of their time.

    Use it as a context, so that its threads end. Steps are asked for one after the other from
    ``first``; any other is made at once and the threads go on from there.

    Parameters
    ----------
    sampler
        What makes the batches.
    first
        The step to begin at.
    workers
        Threads; 0 makes each batch when it is asked for.
    stop
        Step before which to end, so that none is made in vain.
    part
        The patches of each batch to make.
    """

    def __init__(
        self,
        sampler: PatchSampler,
        *,
        first: int = 0,
        workers: int = 0,
        stop: int | None = None,
        part: slice = slice(None),
    ) -> None:
        self.sampler = sampler
        self.stop = stop
        self.part = part
        # One more than threads is under way, so that no thread waits for the next to be asked.
        self._ahead = workers + 1 if workers else 0
        self._next = first
        self._waiting: deque[tuple[int, Future[Batch]]] = deque()
        self._pool = ThreadPoolExecutor(workers, "patches") if workers else None

    def __enter__(self) -> Self:
        self._fill()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads; what they were at is thrown away."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None
        self._waiting.clear()

    def get(self, step: int) -> Batch:
        """Return images, targets and spacings of a step, as `PatchSampler.batch` has them.

        An error in a thread is raised here.
        """
        if self._pool is None:
            return self._make(step)
        if not self._waiting or self._waiting[0][0] != step:
            self._start_at(step)
        _, future = self._waiting.popleft()
        batch = future.result()
        self._fill()
        if self.sampler.device.type == "cuda":
            _hand_over(batch[:2])
        return batch

    def _start_at(self, step: int) -> None:
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        self._next = step
        self._submit()
        self._fill()

    def _fill(self) -> None:
        while len(self._waiting) < self._ahead and (self.stop is None or self._next < self.stop):
            self._submit()

    def _submit(self) -> None:
        assert self._pool is not None
        self._waiting.append((self._next, self._pool.submit(self._make_aside, self._next)))
        self._next += 1

    def _make_aside(self, step: int) -> Batch:
        if self.sampler.device.type != "cuda":
            return self._make(step)
        # On a stream of its own, so as not to stand in line behind the step under way.
        stream = torch.cuda.Stream(self.sampler.device)
        with torch.cuda.stream(stream):
            batch = self._make(step)
        stream.synchronize()
        return batch

    def _make(self, step: int) -> Batch:
        images, targets = self.sampler.batch(step, self.part)
        return images, targets, self.sampler.spacings(step, self.part)


def _hand_over(tensors: Sequence[torch.Tensor]) -> None:
    """Tell the allocator that tensors of another stream are used on this one from now on."""
    for tensor in tensors:
        tensor.record_stream(torch.cuda.current_stream(tensor.device))
