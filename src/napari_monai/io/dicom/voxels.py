"""The voxels of planes: as they lie in the file, or as pydicom decodes them; in real values."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
)

from . import codestream
from .plane import Pixels, Plane
from .source import Source
from .stacks import Stack
from .values import calm, text, whole

Array = npt.NDArray[Any]

# While one waits for its file, or for memory, others read on.
_THREADS = 4

_STREAMS = (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes)


class Damaged(Exception):  # noqa: N818 (it ends in a line of a report, never at the user)
    """A file whose voxels cannot be decoded."""

    def __init__(self, source: Source) -> None:
        super().__init__(source.name)
        self.source = source


class _File:
    """A file that is open for the planes in it."""

    def __init__(self, pixels: Pixels, *, indices: bool) -> None:
        self._pixels, self._indices = pixels, indices
        self._dataset: Dataset | None = None

    def read_into(self, number: int, target: Array) -> None:
        """Fill an array of the stored type with a frame that lies open in the file."""
        pixels = self._pixels
        try:
            with pixels.source.open() as file:
                file.seek((pixels.offset or 0) + number * target.nbytes)
                count = cast(io.BufferedReader, file).readinto(target.data.cast("B"))
        except OSError as error:
            raise Damaged(pixels.source) from error
        if count != target.nbytes:
            raise Damaged(pixels.source)
        _only_bits(target, pixels)

    def frame(self, number: int) -> Array:
        """Return a frame in stored values, shape (rows, columns) or (rows, columns, 3)."""
        pixels = self._pixels
        try:
            found = self._decoded(number) if pixels.offset is None else self._native(number)
        except MemoryError:
            raise
        except Exception as error:  # decoders raise anything
            raise Damaged(pixels.source) from error
        if found.shape[:2] != (pixels.rows, pixels.columns):
            raise Damaged(pixels.source)
        return found

    def _native(self, number: int) -> Array:
        pixels = self._pixels
        count = pixels.rows * pixels.columns
        needed = count * pixels.stored.itemsize
        with pixels.source.open() as file:
            file.seek((pixels.offset or 0) + number * needed)
            content = file.read(needed)
        flat = np.frombuffer(content, pixels.stored, count)
        return _only_bits(flat.reshape(pixels.rows, pixels.columns).copy(), pixels)

    def _decoded(self, number: int) -> Array:
        with calm():
            if self._dataset is None:
                with self._pixels.source.open() as file:
                    self._dataset = with_syntax(pydicom.dcmread(file, force=True))
            dataset = self._dataset
            _check_frame(dataset, self._pixels, number)
            decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
            array, _ = decoder.as_array(dataset, index=number)
            if self._pixels.table:
                array = apply_modality_lut(array, dataset)
            if self._pixels.photometric == "PALETTE COLOR" and not self._indices:
                array = _as_bytes(apply_color_lut(array, dataset), dataset)
        return np.asarray(array)


def _as_bytes(colours: Array, dataset: Dataset) -> Array:
    """Return colours of a palette in 8 bits; some palettes say 16, but use the lower 8 alone."""
    if colours.dtype.itemsize == 1:
        return colours
    tables = [dataset.get(f"{c}PaletteColorLookupTableData") for c in ("Red", "Green", "Blue")]
    high = 1 if dataset.original_encoding[1] is not False else 0
    low = all(table is not None and not any(table[high::2]) for table in tables)
    return (colours if low else colours >> 8).astype(np.uint8)


def _check_frame(dataset: Dataset, pixels: Pixels, number: int) -> None:
    """Raise ValueError where a compressed frame is not what its file promises."""
    if dataset.file_meta.TransferSyntaxUID not in _STREAMS:
        return
    frame = get_frame(dataset.PixelData, number, number_of_frames=pixels.frames)
    samples = whole(dataset, "SamplesPerPixel", 1)
    allocated = whole(dataset, "BitsAllocated", 16)
    if not codestream.fits(frame, pixels.rows, pixels.columns, samples, allocated):
        raise ValueError("another size than the file says")


def with_syntax(dataset: Dataset) -> Dataset:
    """Return a dataset that says how it is encoded: files without a meta group do not."""
    if not text(getattr(dataset, "file_meta", None), "TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian
            if implicit
            else ExplicitVRBigEndian
            if little is False
            else ExplicitVRLittleEndian
        )
    return dataset


def _only_bits(array: Array, pixels: Pixels) -> Array:
    """Leave only the bits that count, in place: in the others there may be anything."""
    unused = pixels.stored.itemsize * 8 - pixels.bits
    if unused and pixels.stored.kind == "u":
        array &= pixels.stored.type(2**pixels.bits - 1)
    elif unused and pixels.stored.kind == "i":
        array <<= unused
        array >>= unused
    return array


class Voxels:
    """The voxels of a stack, read from its files when they are asked for.

    Shape (time?, slice?, row, column, colour?); sliced by slices with positive steps.

    Parameters
    ----------
    indices
        Return the numbers of a palette, not its colours.
    """

    def __init__(self, stack: Stack, *, timed: bool, spatial: bool, indices: bool) -> None:
        self._planes = stack.planes
        self._indices = indices
        first = stack.first
        self.colour = first.pixels.colour and not (
            indices and first.pixels.photometric == "PALETTE COLOR"
        )
        lead = (len(stack.times),) * timed + (len(stack.times[0]),) * spatial
        self._numbers = np.arange(len(self._planes)).reshape(lead)
        self.shape = (*lead, *first.shape, *((3,) if self.colour else ()))
        self._scaling = _Scaling(self._planes, colour=self.colour)
        self.dtype = self._scaling.dtype

    def __getitem__(self, key: Any, /) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        lead = self._numbers.ndim
        numbers = self._numbers[keys[:lead]]
        array = self._read(numbers.ravel().tolist(), keys[lead:])
        return array.reshape((*numbers.shape, *array.shape[1:]))

    def whole(self) -> Array:
        """Return all voxels in memory, whole numbers in the smallest type that holds them."""
        if not self._scaling.shared:
            return np.asarray(self[(slice(None),) * len(self.shape)])
        stored = self._scaling.stored
        if all(_lies_open(p, stored) for p in self._planes):
            array = np.empty((len(self._planes), *self._planes[0].shape), stored)
            self._read_open(array)
        else:
            everything = (slice(None), slice(None))
            array = self._filled(range(len(self._planes)), everything, stored)
        return self._scaling.narrow(array).reshape(self.shape)

    def _read_open(self, array: Array) -> None:
        """Fill an array of the stored type with planes that lie open in their files."""

        def read(some: slice) -> None:
            for plane, target in zip(self._planes[some], array[some], strict=True):
                _File(plane.pixels, indices=self._indices).read_into(plane.frame, target)

        size = max(1, -(-len(self._planes) // (8 * _THREADS)))
        parts = [slice(k, k + size) for k in range(0, len(self._planes), size)]
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(read, parts):
                pass

    def _read(self, numbers: Sequence[int], within: tuple[Any, ...]) -> Array:
        return self._filled(numbers, within, None)

    def _filled(
        self, numbers: Sequence[int], within: tuple[Any, ...], stored: np.dtype[Any] | None
    ) -> Array:
        """Return planes, cut to ``within``; as stored if a type for that is given."""
        result: Array | None = None
        # File by file, so that each is opened once.
        order = sorted(range(len(numbers)), key=lambda i: self._place_in_files(numbers[i]))
        file: _File | None = None
        pixels: Pixels | None = None
        for at in order:
            plane = self._planes[numbers[at]]
            if file is None or plane.pixels is not pixels:
                pixels, file = plane.pixels, _File(plane.pixels, indices=self._indices)
            block = self._cut(file.frame(plane.frame), plane)[within]
            if stored is None:
                block = self._scaling.convert(block, plane)
            if result is None:
                result = np.empty((len(numbers), *block.shape), stored or self.dtype)
            result[at] = block
        if result is None:
            return np.empty((0, *self.shape[self._numbers.ndim :]), self.dtype)
        return result

    def _place_in_files(self, number: int) -> tuple[int, int]:
        plane = self._planes[number]
        return id(plane.pixels), plane.frame

    def _cut(self, frame: Array, plane: Plane) -> Array:
        row, column = plane.corner
        block = frame[row : row + plane.shape[0], column : column + plane.shape[1]]
        if self.colour and (block.ndim != 3 or block.shape[2] < 3):
            raise Damaged(plane.pixels.source)
        return block[..., :3] if self.colour else block


def _lies_open(plane: Plane, stored: np.dtype[Any]) -> bool:
    """Whether the voxels of a plane are a stretch of its file, in this very type."""
    pixels = plane.pixels
    whole = plane.shape == (pixels.rows, pixels.columns)
    return pixels.offset is not None and whole and pixels.stored == stored


class _Scaling:
    """What turns stored into real values, and the type of these."""

    def __init__(self, planes: Sequence[Plane], *, colour: bool) -> None:
        self.stored = np.result_type(*{p.pixels.stored.newbyteorder("=") for p in planes})
        pairs = {(p.slope, p.intercept) for p in planes}
        self.slope, self.intercept = planes[0].slope, planes[0].intercept
        self.none = colour or pairs == {(1.0, 0.0)}
        if colour and planes[0].pixels.photometric == "PALETTE COLOR":
            self.stored = np.dtype(np.uint8)
        whole = self.stored.kind in "iu" and all(
            s.is_integer() and i.is_integer() and abs(s) < 2**31 and abs(i) < 2**31
            for s, i in pairs
        )
        #: Whether the stored voxels can be turned into real ones all at once, in place.
        self.shared = self.none or (whole and len(pairs) == 1)
        if self.none:
            self.dtype = self.stored
        elif whole:
            ends = [
                end * p.slope + p.intercept for p in _distinct(planes) for end in p.pixels.limits
            ]
            self.dtype = self._type_for(min(ends), max(ends))
        else:
            exact = self.stored.itemsize <= 2 or self.stored == np.float32
            self.dtype = np.dtype(np.float32 if exact else np.float64)

    def _type_for(self, low: float, high: float) -> np.dtype[Any]:
        """Return the type as stored, or the smallest that holds the range."""
        for name in (self.stored.name, "int16", "uint16", "int32", "uint32", "int64"):
            limits = np.iinfo(name)
            if limits.min <= low and high <= limits.max:
                return np.dtype(name)
        return np.dtype(np.float64)

    def convert(self, block: Array, plane: Plane) -> Array:
        if self.none:
            return block
        if self.dtype.kind == "f":
            return (block * np.float64(plane.slope) + plane.intercept).astype(self.dtype)
        return self._linear(block.astype(self.dtype), plane.slope, plane.intercept)

    def narrow(self, array: Array) -> Array:
        """Return whole stored numbers as real ones, in place where they fit."""
        if self.none or array.size == 0:
            return array
        ends = [int(x) * self.slope + self.intercept for x in (array.min(), array.max())]
        dtype = self._type_for(min(ends), max(ends))
        real = array.view(dtype) if dtype.itemsize == array.itemsize else array.astype(dtype)
        return self._linear(real, self.slope, self.intercept)

    def _linear(self, real: Array, slope: float, intercept: float) -> Array:
        """Scale whole numbers in place, in a type that holds the result.

        Two's complement: numbers that leave the type on the way come back into it.
        """
        if slope != 1:
            real *= np.array(int(slope)).astype(real.dtype)
        if intercept:
            real += np.array(int(intercept)).astype(real.dtype)
        return real


def _distinct(planes: Sequence[Plane]) -> list[Plane]:
    """Return one plane for each scaling and range of stored values."""
    return list({(p.slope, p.intercept, p.pixels.limits): p for p in planes}.values())
