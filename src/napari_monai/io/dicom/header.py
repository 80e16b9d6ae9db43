"""One DICOM file to the planes that it holds, without reading their voxels."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGTransferSyntaxes

from . import classic, codestream, elements, enhanced, mosaic
from .plane import Pixels, Plane, Series
from .source import Source
from .values import calm, has, text, whole

CURE = 'pip install "napari-monai[codecs]"'

_DICOMDIR = "1.2.840.10008.1.3.10"
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_PATIENT = (
    "PatientName", "PatientID", "PatientBirthDate", "OtherPatientNames", "OtherPatientIDs",
    "PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson",
)  # fmt: skip
# Segmentation, and label map segmentation.
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
# Pixel data, and its float and double forms: element and type.
_PIXELS = {0x0010: "", 0x0008: "f4", 0x0009: "f8"}
_UNDEFINED = 0xFFFFFFFF
# Images of one value shrink most; nothing that a camera or a scanner made shrinks like this.
_MOST_RATIO = 4096
_MOST_FRAMES = 200_000
# Most headers end before this byte.
_HEAD = 2**16


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
        size = source.size
        with calm(), source.open() as file:
            try:
                head = io.BytesIO(file.read(_HEAD))
                dataset, start = elements.read(head.getvalue())
                head.seek(start)
                found = _planes_in(source, dataset, head)
            except Exception:  # not so plain, or damaged: pydicom knows
                file.seek(0)
                if codestream.is_bomb(file, size):
                    raise Unreadable("it would unpack to far more than an image") from None
                # No element is longer than the file: memory for one that says so is not asked for.
                dataset = pydicom.dcmread(file, size, stop_before_pixels=True, force=True)
                found = _planes_in(source, dataset, file)
    except (Unreadable, OSError):
        raise
    except MemoryError as error:
        raise Unreadable("damaged, or larger than the memory") from error
    except Exception as error:  # pydicom and damaged bytes: anything from KeyError to struct.error
        raise Unreadable("damaged") from error
    if not found:
        raise Unreadable("without an image")
    return found


def _planes_in(source: Source, dataset: Dataset, file: BinaryIO) -> list[Plane]:
    """Return the planes of a header; ``file`` is at the element of the voxels behind it."""
    pixels = _pixels(source, dataset, file)
    return list(_planes(dataset, pixels, _series(source, dataset)))


def _planes(dataset: Dataset, pixels: Pixels, series: Series) -> Iterator[Plane]:
    if has(dataset, "PerFrameFunctionalGroupsSequence"):
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
    known = " ".join(text(dataset, keyword) for keyword in _PATIENT)
    # A letter alone says nothing; a character of Chinese can be a name.
    private = {w for w in re.split(r"[\W_]+", known.lower()) if len(w) > 1 or not w.isascii()}
    kept = [w for w in about.split() if not private.intersection(re.split(r"[\W_]+", w.lower()))]
    return " ".join(kept)


# -- how the voxels are stored ------------------------------------------------------------------


def _pixels(source: Source, dataset: Dataset, file: BinaryIO) -> Pixels:
    kind = text(dataset, "SOPClassUID")
    meta = getattr(dataset, "file_meta", None)
    if text(meta, "MediaStorageSOPClassUID") == _DICOMDIR or has(
        dataset, "DirectoryRecordSequence"
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
    syntax = _syntax(dataset)
    offset, length, form, swapped = _found_pixels(dataset, file, syntax)
    if length is not None and UID(syntax) in JPEGTransferSyntaxes:
        length = None  # not in fragments, against the standard
    allocated = whole(dataset, "BitsAllocated", 16)
    stored = _stored(dataset, allocated, form)
    photometric = text(dataset, "PhotometricInterpretation").upper() or "MONOCHROME2"
    bits = whole(dataset, "BitsStored", allocated)
    native = length is not None and samples == 1 and allocated % 8 == 0
    table = has(dataset, "ModalityLUTSequence") and not has(dataset, "RescaleSlope")
    native = native and photometric != "PALETTE COLOR" and not table
    native = native and not (swapped and allocated == 8)
    needed = -(-rows * columns * frames * samples * allocated // 8)
    if photometric == "YBR_FULL_422":
        needed = needed * 2 // 3
    if length is not None and syntax != _DEFLATED:
        if needed > min(length, source.size - offset):
            raise Unreadable("truncated")
    elif needed > source.size * _MOST_RATIO:
        raise Unreadable("damaged")
    if length is None:
        _check_decoder(syntax)
    return Pixels(
        source, rows, columns, frames,
        stored=np.dtype("<u2") if table else stored,
        bits=16 if table else min(bits, allocated) if bits > 0 else allocated,
        photometric=photometric,
        colour=samples > 1 or photometric == "PALETTE COLOR",
        table=table,
        offset=offset if native and syntax != _DEFLATED else None,
    )  # fmt: skip


def _syntax(dataset: Dataset) -> str:
    return text(getattr(dataset, "file_meta", None), "TransferSyntaxUID")


def _stored(dataset: Dataset, allocated: int, form: str) -> np.dtype[Any]:
    signed = whole(dataset, "PixelRepresentation") == 1
    size = {1: 1, 8: 1, 16: 2, 32: 4, 64: 8}.get(allocated)
    if size is None:
        raise Unreadable(f"stored in {allocated} bits")
    little = dataset.original_encoding[1] is not False
    return np.dtype(("<" if little else ">") + (form or f"{'i' if signed else 'u'}{size}"))


def _found_pixels(
    dataset: Dataset, file: BinaryIO, syntax: str
) -> tuple[int, int | None, str, bool]:
    """Return where the voxels start, their length (``None`` if packed in fragments), their form.

    And whether they are words in big-endian order. ``file`` is at their element.
    """
    if syntax == _DEFLATED:
        return 0, 0, "", False  # somewhere in what it inflated
    implicit, little = dataset.original_encoding
    order = "<" if little is not False else ">"
    head = file.read(12)
    if len(head) < 8:
        raise Unreadable("truncated" if has(dataset, "Rows") else "without an image")
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
    swapped = order == ">" and head[4:6] == b"OW"
    return start, None if length == _UNDEFINED else length, _PIXELS[element], swapped


def _check_decoder(syntax: str) -> None:
    try:
        decoder = get_decoder(UID(syntax))
    except NotImplementedError:
        raise Unreadable(f"compressed as {UID(syntax).name}, which is not read") from None
    if not decoder.is_available:
        missing = any("gdcm" in m for m in decoder.missing_dependencies)
        cure = CURE if missing else "save it uncompressed"
        raise Unreadable(f"compressed as {UID(syntax).name} ({cure})")
