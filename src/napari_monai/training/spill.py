"""Arrays on disk for what does not fit into memory; they go with the last use of them."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..errors import TrainingError

# Bytes of a file, so that many small arrays share one.
_SEGMENT = 2**28
_ZEROS = 2**24
# What any type of voxel, and the memory's pages, begin at a multiple of.
_ALIGN = 64


class Spill:
    """Arrays in nameless files of one folder, which nothing is left of when the process ends.

    Parameters
    ----------
    folder
        On the disk to use, made where it is missing; ``None`` is that for temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._segment: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
        self._used = 0
        self._maps: list[mmap.mmap] = []
        self._since = 0  # bytes handed out since memory was let go of

    def array(self, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array of zeros on disk.

        Raises TrainingError where there is no room for it.
        """
        kind = np.dtype(dtype)
        needed = math.prod(shape) * kind.itemsize
        if self._used + needed > len(self._segment):
            self._segment, self._used = self._mapped(max(needed, _SEGMENT)), 0
        part = self._segment[self._used : self._used + needed]
        self._used += -(-needed // _ALIGN) * _ALIGN
        self._since += needed
        return part.view(kind).reshape(tuple(shape))

    def release(self) -> None:
        """Let go of memory: what was written stands on disk, and is read when it is used."""
        if self._since < _SEGMENT:
            return
        self._since = 0
        for held in self._maps:
            held.flush()
            if hasattr(mmap, "MADV_DONTNEED"):
                held.madvise(mmap.MADV_DONTNEED)

    def _mapped(self, size: int) -> npt.NDArray[np.uint8]:
        try:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(prefix="napari-monai-", dir=self._folder) as file:
                _fill(file, size)
                held = mmap.mmap(file.fileno(), size)
        except OSError as error:
            where = self._folder or tempfile.gettempdir()
            raise TrainingError(
                f"The images do not fit into memory, and {size / 2**30:.1f} GiB not into {where} "
                f"({error.strerror}): make room there, allow more memory, or train on fewer."
            ) from error
        self._maps.append(held)
        return np.frombuffer(held, np.uint8)


def _fill(file: IO[bytes], size: int) -> None:
    """Take the room now: where a disk is full later, a mapped file ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, _ZEROS):
        file.write(bytes(min(_ZEROS, size - start)))
    file.flush()
