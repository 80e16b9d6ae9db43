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
from .geometry import Place
from .plane import Pixels, Plane, Series
from .values import number, words

_BLOCK = (0x0029, "SIEMENS CSA HEADER", 0x10)
_COUNT = (0x0019, "SIEMENS MR HEADER", 0x0A)


def planes(dataset: Dataset, pixels: Pixels, series: Series) -> list[Plane]:
    """Return the slices of a mosaic; empty if the file is none."""
    if "MOSAIC" not in words(dataset, "ImageType") or pixels.frames > 1:
        return []
    header = _header(dataset)
    count = _count(dataset, header)
    if count < 1:
        return []
    side = math.ceil(math.sqrt(count))
    shape = pixels.rows // side, pixels.columns // side
    one = classic.plane(dataset, pixels, series)
    if one.place is None or min(shape) < 1 or (shape[0] * side, shape[1] * side) != (
        pixels.rows, pixels.columns,
    ):  # fmt: skip
        return []
    sheet = one.place
    start = sheet.corner((pixels.rows - shape[0]) / 2, (pixels.columns - shape[1]) / 2)
    tile = Place(start, sheet.down, sheet.right)
    step = _direction(header, tile) * (one.thickness or 1.0)
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
    group, creator, element = _COUNT
    try:
        return int(header["NumberOfImagesInMosaic"][0])
    except (KeyError, IndexError, ValueError):
        pass
    try:
        return int(dataset.private_block(group, creator)[element].value)
    except (KeyError, ValueError, TypeError):
        return 0


def _direction(header: dict[str, tuple[str, ...]], tile: Place) -> np.ndarray:
    """Return the unit vector from slice to slice."""
    try:
        given = np.array([float(x) for x in header.get("SliceNormalVector", ())])
    except ValueError:
        given = np.zeros(0)
    if given.shape != (3,) or not np.isfinite(given).all() or np.linalg.norm(given) < 0.5:
        return tile.normal
    given /= np.linalg.norm(given)
    along = float(given @ tile.normal)
    # The same direction with more digits, where it is the normal.
    return tile.normal * np.sign(along) if abs(along) > 0.9999 else given
