"""What all formats share: writing without losing a file, limits on size, quiet libraries."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt
import psutil

from ..errors import ReadError, WriteError

# From here on arrays are left in the file where they can be: a second or two of reading.
LAZY_FROM = 2**28
# DEFLATE (gzip, PNG, TIFF, zip) stores 258 bytes in 2 bits at best: RFC 1951, 3.2.5.
DEFLATE_LIMIT = 1032


def memory_budget() -> int:
    """Return how many bytes one image may take: half of the memory that is free."""
    return int(psutil.virtual_memory().available // 2)


def map_mode(nbytes: int) -> Literal["r", "c"]:
    """Return how to map so many bytes of a file: for copies on write, or only to be read.

    Copies on write suit code that insists on writable arrays, but systems refuse to promise more
    of them than there is memory.
    """
    return "c" if nbytes <= memory_budget() else "r"


def check_size(path: Path, needed: int, *, ratio: int = 1, offset: int = 0) -> None:
    """Refuse a file that cannot hold the voxels its header promises.

    Parameters
    ----------
    needed
        Bytes of the voxels after unpacking.
    ratio
        Largest ratio that the compression can reach; 1 for none.
    offset
        Bytes before the voxels.
    """
    holds = (path.stat().st_size - offset) * ratio
    if needed > holds:
        most = "at most " if ratio > 1 else ""
        raise ReadError(
            f"{path} is truncated or damaged: its header promises {needed} bytes of voxels, the "
            f"file holds {most}{max(holds, 0)}. Copy it from its source again."
        )


def scratch_array(
    shape: tuple[int, ...], dtype: npt.DTypeLike, chunks: Iterator[bytes]
) -> npt.NDArray[Any]:
    """Return an array in Fortran order, on disk, filled with ``chunks`` of bytes.

    The file is nameless and goes with the array.
    """
    file = _scratch_file()
    with file:
        # Written, not mapped: a full disk is then an error and not a crash.
        for chunk in chunks:
            try:
                file.write(chunk)
                file.flush()
            except OSError as error:
                raise _no_room(error) from error
        return np.memmap(file, dtype=dtype, mode="r", shape=shape, order="F")


def _scratch_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(prefix="napari-monai-")
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> ReadError:
    return ReadError(
        "The image is too large for the memory, and cannot be unpacked to disk: "
        f"{one_line(error)}. Set TMPDIR to a folder with more room."
    )


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a new file that takes the place of ``path`` when all went well.

    It lies in a folder of its own beside ``path``. Whatever else is written into that folder, as
    the voxels that belong to a header, is put beside ``path`` first. The new file may be a folder.
    Until then an older file is left alone; on any failure the new ones are removed.

    Raises
    ------
    WriteError
        If one of the further files would replace one that does not belong to ``path``.
    """
    target = path.resolve()  # through links, so that a link stays one
    folder = target.with_name(f".{secrets.token_hex(4)}-{target.name}")
    try:
        folder.mkdir()
    except OSError as error:  # of the file that was asked for, not of one that nobody knows
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        new = folder / path.name
        yield new
        further = sorted(p for p in folder.iterdir() if p != new)
        for file in further:
            if not target.exists() and (target.parent / file.name).exists():
                raise WriteError(
                    f"{target.parent / file.name} exists and does not belong to {path.name}: "
                    "choose another name."
                )
        for file in (*further, new):
            _put(file, target.parent / file.name if file != new else target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; its folder is made where it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def _put(new: Path, target: Path) -> None:
    """Move a complete file or folder to its place."""
    if new.is_dir():
        if target.exists():
            target.replace(new.with_name(".older"))  # goes with the folder
    else:
        with new.open("rb+") as file:
            os.fsync(file.fileno())
    new.replace(target)


@contextlib.contextmanager
def quiet(name: str) -> Iterator[None]:
    """Keep what a library logs about a file from the terminal: we say it in our own line."""
    logger = logging.getLogger(name)

    def drop(_record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


def one_line(error: BaseException) -> str:
    """Return what an error says, in one line, without a full stop."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join(text.split()).rstrip(".")
    return (line if len(line) <= 200 else line[:197] + "...") or type(error).__name__
