"""One DICOM file to the planes that it holds, without reading their voxels."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGTransferSyntaxes

from . import classic, enhanced, mosaic
from .plane import Pixels, Plane, Series
from .source import Source
from .values import calm, text, whole

CURE = 'pip install "napari-monai[codecs]"'

_DICOMDIR = "1.2.840.10008.1.3.10"
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_DEFLATED = "1.2.840.10008.1.2.1.99"
# Segmentation, and label map segmentation.
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
# Pixel data, and its float and double forms: element and type.
_PIXELS = {0x0010: "", 0x0008: "f4", 0x0009: "f8"}
_UNDEFINED = 0xFFFFFFFF
# Images of one value shrink most; nothing that a camera or a scanner made shrinks like this.
_MOST_RATIO = 4096
_MOST_FRAMES = 200_000


class Unreadable(Exception):  # noqa: N818 (it ends in a line of a report, never at the user)
    """A file without an image that can be read; its message says why, in a few words."""


def planes_of(source: Source) -> list[Plane]:
    """Return the planes in a file.

    Raises
    ------
    Unreadable
        If there is no image in it, or it is damaged.
    """
    try:
        with calm(), source.open() as file:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            pixels = _pixels(source, dataset, file)
            found = list(_planes(dataset, pixels, _series(source, dataset)))
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # pydicom and damaged bytes: anything from KeyError to struct.error
        raise Unreadable("damaged") from error
    if not found:
        raise Unreadable("without an image")
    return found


def _planes(dataset: Dataset, pixels: Pixels, series: Series) -> Iterator[Plane]:
    if "PerFrameFunctionalGroupsSequence" in dataset:
        return enhanced.planes(dataset, pixels, series)
    tiles = mosaic.planes(dataset, pixels, series)
    return iter(tiles) if tiles else classic.planes(dataset, pixels, series)


def _series(source: Source, dataset: Dataset) -> Series:
    uid, modality = text(dataset, "SeriesInstanceUID"), text(dataset, "Modality")
    number = text(dataset, "SeriesNumber")
    about = _without_patient(dataset, text(dataset, "SeriesDescription"))
    name = f"{number} {about}".strip() if about else f"{modality or 'DICOM'} {number}".strip()
    key = (
        (uid,)
        if uid
        else (
            *("", text(dataset, "StudyInstanceUID"), modality, number, about),
            str(source.path.parent),
        )
    )
    segments = text(dataset, "SOPClassUID") in _SEGMENTATIONS
    if segments:  # each is a volume of its own
        key = (*key, "segmentation", text(dataset, "SOPInstanceUID"), source.name)
    return Series(key, name, whole(dataset, "SeriesNumber", 0), modality, uid, segments)


def _without_patient(dataset: Dataset, about: str) -> str:
    """Return a description without the words that name the patient."""
    known = f"{text(dataset, 'PatientName')} {text(dataset, 'PatientID')}"
    private = {w for w in re.split(r"[\W_]+", known.lower()) if len(w) > 2}
    kept = [w for w in about.split() if not private.intersection(re.split(r"[\W_]+", w.lower()))]
    return " ".join(kept)


# -- how the voxels are stored ------------------------------------------------------------------


def _pixels(source: Source, dataset: Dataset, file: BinaryIO) -> Pixels:
    kind = text(dataset, "SOPClassUID")
    if text(dataset.get("file_meta"), "MediaStorageSOPClassUID") == _DICOMDIR or (
        "DirectoryRecordSequence" in dataset
    ):
        raise Unreadable("an index of files")
    if kind.startswith(_WHOLE_SLIDE):
        raise Unreadable("a whole slide image, which is not read yet")
    rows, columns = whole(dataset, "Rows"), whole(dataset, "Columns")
    if min(rows, columns) < 1:
        raise Unreadable("without an image" if len(dataset) else "damaged")
    frames, samples = whole(dataset, "NumberOfFrames", 1), whole(dataset, "SamplesPerPixel", 1)
    if not 1 <= frames <= _MOST_FRAMES or samples not in (1, 3, 4):
        raise Unreadable("damaged")
    offset, length, form = _found_pixels(dataset, file)
    if length is not None and UID(_syntax(dataset)) in JPEGTransferSyntaxes:
        length = None  # not in fragments, against the standard
    allocated = whole(dataset, "BitsAllocated", 16)
    stored = _stored(dataset, allocated, form)
    photometric = text(dataset, "PhotometricInterpretation").upper() or "MONOCHROME2"
    bits = whole(dataset, "BitsStored", allocated)
    native = length is not None and samples == 1 and allocated % 8 == 0
    table = "ModalityLUTSequence" in dataset and "RescaleSlope" not in dataset
    native = native and photometric != "PALETTE COLOR" and not table
    needed = -(-rows * columns * frames * samples * allocated // 8)
    if photometric == "YBR_FULL_422":
        needed = needed * 2 // 3
    if length is not None and _syntax(dataset) != _DEFLATED:
        if needed > min(length, source.size - offset):
            raise Unreadable("truncated")
    elif needed > source.size * _MOST_RATIO:
        raise Unreadable("damaged")
    if length is None:
        _check_decoder(_syntax(dataset))
    return Pixels(
        source, rows, columns, frames,
        stored=np.dtype("<u2") if table else stored,
        bits=16 if table else min(bits, allocated) if bits > 0 else allocated,
        photometric=photometric,
        colour=samples > 1 or photometric == "PALETTE COLOR",
        table=table,
        offset=offset if native and _syntax(dataset) != _DEFLATED else None,
    )  # fmt: skip


def _syntax(dataset: Dataset) -> str:
    return text(dataset.get("file_meta"), "TransferSyntaxUID")


def _stored(dataset: Dataset, allocated: int, form: str) -> np.dtype[Any]:
    signed = whole(dataset, "PixelRepresentation") == 1
    size = {1: 1, 8: 1, 16: 2, 32: 4, 64: 8}.get(allocated)
    if size is None:
        raise Unreadable(f"stored in {allocated} bits")
    little = dataset.original_encoding[1] is not False
    return np.dtype(("<" if little else ">") + (form or f"{'i' if signed else 'u'}{size}"))


def _found_pixels(dataset: Dataset, file: BinaryIO) -> tuple[int, int | None, str]:
    """Return where the voxels start, their length (``None`` if packed in fragments), their form.

    pydicom has stopped at their element.
    """
    if _syntax(dataset) == _DEFLATED:
        return 0, 0, ""  # somewhere in what it inflated
    implicit, little = dataset.original_encoding
    order = "<" if little is not False else ">"
    head = file.read(12)
    if len(head) < 8:
        raise Unreadable("truncated" if "Rows" in dataset else "without an image")
    group, element = struct.unpack_from(f"{order}HH", head)
    if group != 0x7FE0 or element not in _PIXELS:
        raise Unreadable("without an image")
    if implicit:
        (length,) = struct.unpack_from(f"{order}I", head, 4)
        start = file.tell() - len(head) + 8
    else:
        if len(head) < 12:
            raise Unreadable("truncated")
        (length,) = struct.unpack_from(f"{order}I", head, 8)
        start = file.tell()
    return start, None if length == _UNDEFINED else length, _PIXELS[element]


def _check_decoder(syntax: str) -> None:
    try:
        decoder = get_decoder(UID(syntax))
    except NotImplementedError:
        raise Unreadable(f"compressed as {UID(syntax).name}, which is not read") from None
    if not decoder.is_available:
        missing = any("gdcm" in m for m in decoder.missing_dependencies)
        cure = CURE if missing else "save it uncompressed"
        raise Unreadable(f"compressed as {UID(syntax).name} ({cure})")
