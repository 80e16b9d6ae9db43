"""Batches of windows through the networks, several side by side where a CPU gains by it.

The threads of a CPU wait for each other at the end of every layer. Where layers are small, two
windows on half of the threads each take less time than one after the other on all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import torch

from .runner import FloatArray, Runner

# Outputs, float32 on the device; or none, and what did not do.
Outcome = tuple[torch.Tensor | None, str]


class Lanes:
    """Takes batches, and gives their outputs when they are asked for; close it afterwards.

    Parameters
    ----------
    runner
        The networks; its way says how many batches run at once.

    Attributes
    ----------
    depth
        How many batches are worth submitting before the first one's outputs are asked for.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        lanes = runner.way.at_once
        self.depth = lanes + 1 if lanes > 1 else 1
        self._pool: ThreadPoolExecutor | None = None
        self._idle: SimpleQueue[Runner] = SimpleQueue()
        if lanes > 1:
            self._threads = torch.get_num_threads()
            each = max(1, self._threads // lanes)
            for _ in range(lanes):
                self._idle.put(runner.twin())
            self._pool = ThreadPoolExecutor(lanes, initializer=lambda: torch.set_num_threads(each))
            torch.set_num_threads(each)  # what becomes of the outputs is done beside them

    def submit(self, windows: FloatArray) -> Callable[[], Outcome]:
        """Take a batch, (batch, channel, *window); return what waits for its outcome.

        A GPU begins at once, and so does a lane that is free. Without lanes a CPU works when the
        outcome is asked for.
        """
        if self._pool is not None:
            return self._pool.submit(self._attempt, windows).result
        if self.runner.device.type != "cuda":
            return lambda: self.runner.attempt(windows)
        values, trouble = self.runner.launch(windows)
        return lambda: (
            (values, trouble)
            if values is None or self.runner.is_finite(values)
            else (None, "precision")
        )

    def _attempt(self, windows: FloatArray) -> Outcome:
        runner = self._idle.get()
        try:
            return runner.attempt(windows)
        finally:
            self._idle.put(runner)

    def close(self) -> None:
        """Wait for what is under way, and drop what is not."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
            torch.set_num_threads(self._threads)
