"""The windows of an image: read where they are needed, padded, told empty or full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from .tiling import Box, Tiling

FloatArray = npt.NDArray[np.float32]

# Windows that are looked at for the one on which precisions are compared.
_CANDIDATES = 16
# Bytes that are read at once for the windows that share them.
STRIP = 2**28


class Source(Protocol):
    """An image that is read by boxes."""

    @property
    def channels(self) -> int:
        """Number of channels."""

    def read(self, box: Box, /) -> FloatArray:
        """Return the voxels in a box: float32 of shape (channel, *box)."""


@dataclass(frozen=True)
class Empty:
    """Which windows hold nothing, and what the networks would say of them.

    A window is empty if each channel lies at or below its ``threshold`` everywhere; its maps are
    ``background``, a value for each output channel.
    """

    threshold: tuple[float, ...]
    background: tuple[float, ...]

    def holds(self, window: FloatArray) -> bool:
        """Whether a window, (channel, *window), is empty."""
        channels = zip(window, self.threshold, strict=True)
        return all(bool((channel <= most).all()) for channel, most in channels)

    def maps(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        """Return the maps of an empty window, (output channel, *shape)."""
        values = torch.tensor(self.background, dtype=torch.float32, device=device)
        return values.view(-1, *(1,) * len(shape)).repeat(1, *shape)


class Windows:
    """The windows of an array, padded where it is smaller than they are.

    What is read by boxes is read in strips that hold the windows of a row, or of a part of it,
    so that neighbours do not read it twice.
    """

    def __init__(self, source: FloatArray | Source, tiling: Tiling) -> None:
        self.source = source
        self.tiling = tiling
        self._strip: tuple[Box, FloatArray] | None = None

    @property
    def channels(self) -> int:
        """Number of channels."""
        source = self.source
        return len(source) if isinstance(source, np.ndarray) else source.channels

    def __getitem__(self, index: int) -> FloatArray:
        """Return a window, (channel, *window)."""
        box = self.tiling.unpadded(self.tiling.box(index))
        if isinstance(self.source, np.ndarray):
            return self.tiling.pad(self.source[(slice(None), *box)])
        if self._strip is None or not _within(box, self._strip[0]):
            self._strip = None  # before the next is read: both may not fit
            wider = self._widened(box, self.source)
            self._strip = wider, self.source.read(wider)
        place, values = self._strip
        inner = (
            slice(b.start - p.start, b.stop - p.start) for b, p in zip(box, place, strict=True)
        )
        return self.tiling.pad(values[(slice(None), *inner)])

    def busiest(self) -> FloatArray:
        """Return the window with most contrast of a few: on an empty one all precisions agree."""
        step = max(1, self.tiling.total // _CANDIDATES)
        windows = (self[i] for i in range(0, self.tiling.total, step))
        return max(windows, key=lambda window: float(window.std()))

    def _widened(self, box: Box, source: Source) -> Box:
        """Return a window's box over as many of the last axes as can be read at once."""
        shape = self.tiling.shape
        for axis in range(1, len(box)):
            wider = (*box[:axis], *(slice(0, n) for n in shape[axis:]))
            if 4 * source.channels * int(np.prod([s.stop - s.start for s in wider])) <= STRIP:
                return wider
        return box


def _within(box: Box, other: Box) -> bool:
    pairs = zip(box, other, strict=True)
    return all(o.start <= b.start and b.stop <= o.stop for b, o in pairs)
