"""Voxels that stand behind a text header, or in files of their own beside it: NRRD and MetaImage.

Reading allocates what the header promises only where the file can hold it, and opens no file
outside the header's own folder. Arrays are in Fortran order: the first axis runs fastest.
"""

from __future__ import annotations

import bz2
import gzip
import itertools
import math
import zlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import FormatError, ReadError
from ..volume import LabelVolume, Volume
from .convert import narrowed
from .files import DEFLATE_LIMIT, LAZY_FROM, check_size, map_mode, memory_budget, scratch_array
from .lazy import blank

Array = npt.NDArray[Any]
Encoding = Literal["raw", "gzip", "bzip2", "zlib", "text"]

# bzip2 packs a gigabyte of one value into 722 bytes.
_BZIP2_LIMIT = 2_000_000
_LIMITS = {"raw": 1, "gzip": DEFLATE_LIMIT, "zlib": DEFLATE_LIMIT, "bzip2": _BZIP2_LIMIT}
# Bytes that a number of a text file takes in memory while it is split.
_WORD = 60
_CHUNK = 2**24
_MOST_FILES = 100_000


@dataclass(frozen=True)
class Where:
    """Where voxels are.

    Parameters
    ----------
    files
        The files, each with an equal share of the voxels, one after another.
    encoding
        How they are stored.
    offset
        Bytes before the voxels in each file; -1 of raw ones when they end with the file.
    skip
        Bytes to pass over after decompression.
    """

    files: tuple[Path, ...]
    encoding: Encoding = "raw"
    offset: int = 0
    skip: int = 0


def sibling(path: Path, name: str) -> Path:
    """Return the file that a header names, in the header's own folder.

    Raises ReadError where it is elsewhere, missing, or no file.
    """
    plain = name.strip().removeprefix("./").removeprefix(".\\")
    if not plain or plain in (".", "..") or any(c in plain for c in "/\\\0"):
        raise ReadError(
            f"{path} names its voxels {name.strip()[:80]!r}: only files in the folder of the "
            "header are read. Put the file there and its bare name into the header."
        )
    found = path.with_name(plain)
    if not found.exists():
        raise ReadError(f"{path} needs {plain} beside it. Copy that file from its source, too.")
    if not found.is_file():
        raise ReadError(f"{path} names its voxels {plain!r}: that is not a file.")
    return found


def numbered(pattern: str, first: int, last: int, step: int, *, path: Path) -> list[str]:
    """Return the names that a C pattern with one number makes: ``"slice%03d.raw"``."""
    before, percent, after = pattern.partition("%")
    width = after[: after.find("d")] if "d" in after else "?"
    if not percent or (width and not width.isdecimal()) or len(width) > 3 or "%" in after:
        raise ReadError(f"{path} names its voxels {pattern[:80]!r}: that is no pattern of names.")
    rest = after[len(width) + 1 :]
    count = (last - first) // step + 1 if step else 0
    if not 1 <= count <= _MOST_FILES:
        raise ReadError(f"{path} counts its files from {first} to {last} by {step}.")
    fill, size = ("0" if width.startswith("0") else " "), int(width or 0)
    names = (str(first + step * i).rjust(size, fill) for i in range(count))
    return [f"{before}{name}{rest}" for name in names]


def load(
    path: Path, where: Where, shape: Sequence[int], dtype: np.dtype[Any], *, voxels: bool = True
) -> Array:
    """Return voxels in Fortran order: mapped, in memory, or unpacked to disk.

    Without ``voxels`` the array has a shape and a type only.

    Raises ReadError if a file cannot hold them, or ends before.
    """
    size = tuple(int(n) for n in shape)
    needed = math.prod(size) * dtype.itemsize  # in Python's integers: hostile headers overflow
    share, over = divmod(needed, len(where.files))
    if over:
        raise ReadError(f"{path}: its voxels cannot be in {len(where.files)} files of one size.")
    if where.encoding == "text":
        return _text(path, where, size, dtype) if voxels else blank(size, dtype)
    for file in where.files:
        start = max(where.offset, 0)
        check_size(file, share + where.skip, ratio=_LIMITS[where.encoding], offset=start)
    if not voxels:
        return blank(size, dtype)
    if where.encoding == "raw" and len(where.files) == 1:
        file = where.files[0]
        start = where.offset + where.skip if where.offset >= 0 else file.stat().st_size - needed
        return np.memmap(file, dtype, map_mode(needed), start, size, order="F")
    return _unpacked(path, where, size, dtype, share)


def _unpacked(
    path: Path, where: Where, shape: tuple[int, ...], dtype: np.dtype[Any], share: int
) -> Array:
    needed = share * len(where.files)
    chunks = itertools.chain.from_iterable(_voxels(f, where, share) for f in where.files)
    try:
        if needed <= memory_budget():
            flat = np.empty(needed, np.uint8)
            done = 0
            for chunk in chunks:
                flat[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
                done += len(chunk)
            return flat.view(dtype).reshape(shape, order="F")
        if needed > sum(f.stat().st_size for f in where.files) * DEFLATE_LIMIT:
            raise ReadError(
                f"{path} would unpack to {needed} bytes, more than there is memory for: it is "
                "damaged or hostile. Check where it comes from."
            )
        return scratch_array(shape, dtype, chunks)
    except EOFError:
        raise ReadError(f"{path} is truncated. Copy it from its source again.") from None


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Inflated:
    """Reads a zlib or gzip stream, no more of it than is asked for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)

    def read(self, size: int, /) -> bytes:
        while not self._inflate.eof:
            fed = self._inflate.unconsumed_tail or self._file.read(2**16)
            found = self._inflate.decompress(fed, size)
            if found:
                return found
            if not fed and not self._inflate.eof:
                raise EOFError
        return b""


def _voxels(path: Path, where: Where, share: int) -> Iterator[bytes]:
    """Yield the bytes of the voxels in one file, and check the file's end."""
    with path.open("rb") as file:
        start = where.offset if where.offset >= 0 else path.stat().st_size - share
        file.seek(start)
        reader: _Reader = file
        if where.encoding == "gzip":
            reader = gzip.GzipFile(fileobj=file)
        elif where.encoding == "bzip2":
            reader = bz2.BZ2File(file)
        elif where.encoding == "zlib":
            reader = _Inflated(file)
        for _ in _chunks(reader, where.skip):
            pass
        yield from _chunks(reader, share)
        if where.encoding == "raw":
            return
        spare = max(share, LAZY_FROM)
        while chunk := reader.read(_CHUNK):  # to the end, where the checksum is
            spare -= len(chunk)
            if spare < 0:
                raise ReadError(
                    f"{path} holds far more than the voxels its header promises: it is damaged. "
                    "Copy it from its source again."
                )


def _chunks(reader: _Reader, count: int) -> Iterator[bytes]:
    """Yield ``count`` bytes in pieces; raises EOFError if they end before."""
    while count:
        chunk = reader.read(min(count, _CHUNK))
        if not chunk:
            raise EOFError
        count -= len(chunk)
        yield chunk


def _text(path: Path, where: Where, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return voxels that are written as numbers, with blanks or commas between them."""
    count = math.prod(shape)
    words: list[bytes] = []
    for file in where.files:
        check_size(file, 2 * (count // len(where.files)) - 1, offset=max(where.offset, 0))
        if file.stat().st_size // 2 * _WORD > memory_budget():
            raise ReadError(f"{file} is too large to be read as text: convert it to raw voxels.")
        with file.open("rb") as stream:
            stream.seek(max(where.offset, 0))
            words += stream.read().replace(b",", b" ").split()
    if len(words) < count:
        raise ReadError(
            f"{path} is truncated: its header promises {count} numbers, it has {len(words)}. Copy "
            "it from its source again."
        )
    if dtype.kind == "f":
        return np.array(words[:count]).astype(dtype).reshape(shape, order="F")
    return np.array([int(w) for w in words[:count]], dtype).reshape(shape, order="F")


def stored_type(volume: Volume, known: Container[str], name: str) -> np.dtype[Any]:
    """Return the little-endian type to store voxels in, one of those that a format knows.

    ``known`` are its types without byte order (``"u1"``), ``name`` is what messages call it.
    """
    dtype = volume.dtype
    if dtype.kind == "b":
        return np.dtype("u1")
    if dtype == np.float16:
        return np.dtype("<f4")
    if isinstance(volume, LabelVolume) and dtype.itemsize == 8:
        dtype = narrowed(volume.numpy(), ("i4", "u4")).dtype
    if dtype.newbyteorder("=").str[1:] not in known:
        raise FormatError(f"{name} holds no {dtype} voxels: convert them to float32.")
    return dtype.newbyteorder("<")


def stored_bytes(volume: Volume, order: Sequence[int], dtype: np.dtype[Any]) -> Iterator[bytes]:
    """Yield the voxels as they are to be stored, a plane or so at a time.

    Parameters
    ----------
    order
        The axes of the array from the one that runs fastest to the slowest.
    dtype
        The type to store.
    """
    shape = tuple(volume.data.shape)
    colour = volume.rgb and order[0] == volume.leading.index("c")
    together = 3 if colour else 2
    inner, outer = order[:together], order[together:]
    left = sorted(inner)
    turn = [left.index(a) for a in inner]
    # The slowest axis is the outermost loop.
    for at in itertools.product(*(range(shape[a]) for a in reversed(outer))):
        key: list[int | slice] = [slice(None)] * len(shape)
        for axis, index in zip(reversed(outer), at, strict=True):
            key[axis] = index
        block = np.asarray(volume.data[tuple(key)]).astype(dtype, copy=False)
        yield block.transpose(turn).tobytes(order="F")
