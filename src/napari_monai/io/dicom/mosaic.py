"""Siemens mosaics: all slices of a volume as tiles of one picture.

The position in the file is that of the whole sheet as if it were one plane, centred where the
slices are. The slices follow the CSA header's SliceNormalVector: for coronal and sagittal ones
the other way than rows and columns would suggest.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from . import classic, csa
from .geometry import Place, Vector
from .plane import Pixels, Plane, Series
from .values import number, words

_BLOCK = (0x0029, "SIEMENS CSA HEADER", 0x10)
_MR_HEADER = (0x0019, "SIEMENS MR HEADER")
_NUMBER, _SLICE_TIMES = 0x0A, 0x29
_SHEET = (
    "it is a mosaic of slices, but the header of the scanner is missing that says how many: it is "
    "left as one picture, without its place. Export it again with its private elements"
)
_SIDE = (
    "the header of the scanner is missing that says on which side of each other the slices of a "
    "mosaic lie: their order may be reversed. Export it again with its private elements"
)


def planes(dataset: Dataset, pixels: Pixels, series: Series) -> list[Plane]:
    """Return the slices of a mosaic; empty if the file is none.

    Without what says how many slices there are, the mosaic is a picture without a place.
    """
    if "MOSAIC" not in words(dataset, "ImageType") or pixels.frames > 1:
        return []
    header = _header(dataset)
    count = _count(dataset, header)
    side = math.ceil(math.sqrt(max(count, 1)))
    shape = pixels.rows // side, pixels.columns // side
    one = classic.plane(dataset, pixels, series)
    fits = min(shape) > 0 and (shape[0] * side, shape[1] * side) == (pixels.rows, pixels.columns)
    if count < 1 or not fits or one.place is None:
        return [replace(one, place=None, spacing=None, note=_SHEET)]
    sheet = one.place
    start = sheet.corner((pixels.rows - shape[0]) / 2, (pixels.columns - shape[1]) / 2)
    tile = Place(start, sheet.down, sheet.right)
    direction = _direction(header)
    step = _precise(direction, tile) * (one.thickness or 1.0)
    milliseconds = number(dataset, "RepetitionTime")
    return [
        replace(
            one,
            shape=shape,
            corner=(k // side * shape[0], k % side * shape[1]),
            place=tile.moved(k * step),
            # A mosaic holds what is measured in one repetition.
            step=milliseconds / 1000 if milliseconds else None,
            sop=one.sop and f"{one.sop} {k}",
            note=_SIDE if direction is None and count > 1 else "",
        )
        for k in range(count)
    ]


def _header(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    group, creator, element = _BLOCK
    try:
        return csa.parse(bytes(dataset.private_block(group, creator)[element].value))
    except (KeyError, ValueError, TypeError):
        return {}


def _count(dataset: Dataset, header: dict[str, tuple[str, ...]]) -> int:
    """Return how many slices there are; 0 if nothing says so."""
    try:
        return int(header["NumberOfImagesInMosaic"][0])
    except (KeyError, IndexError, ValueError):
        pass
    try:
        block = dataset.private_block(*_MR_HEADER)
        if _NUMBER in block:
            return int(block[_NUMBER].value)
        return len(block[_SLICE_TIMES].value)
    except (KeyError, ValueError, TypeError):
        return 0


def _direction(header: dict[str, tuple[str, ...]]) -> Vector | None:
    """Return the unit vector from slice to slice; ``None`` if nothing says it."""
    try:
        given = np.array([float(x) for x in header.get("SliceNormalVector", ())])
    except ValueError:
        return None
    if given.shape != (3,) or not np.isfinite(given).all() or np.linalg.norm(given) < 0.5:
        return None
    return np.asarray(given / np.linalg.norm(given))


def _precise(given: Vector | None, tile: Place) -> Vector:
    """Return the direction with the digits of rows and columns; theirs if there is none."""
    if given is None:
        return tile.normal
    along = float(given @ tile.normal)
    return tile.normal * float(np.sign(along)) if abs(along) > 0.9999 else given
