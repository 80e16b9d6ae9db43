"""MetaImage: a text header with the voxels behind it (``.mha``) or in a file beside it (``.mhd``).

After https://itk.org/Wiki/ITK/MetaIO/Documentation and what ITK makes of it: space is a patient's
(left, posterior, superior), ``Offset`` the centre of the first voxel, and ``CenterOfRotation``
changes nothing. Axes leave as (time, channel, i, j, k), or (z, y, x) where there is no patient.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..errors import ReadError
from ..grid import Grid
from ..volume import LabelClass, LabelVolume, Volume
from .convert import as_labels
from .formats import ALL, stem_of
from .header_space import grid_of
from .label_names import STATES, with_states
from .raw import Encoding, Where, load, numbered, sibling

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

META_KEY = "metaimage"
TYPES = {
    "CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4",
    "LONG": "i4", "ULONG": "u4", "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4",
    "DOUBLE": "f8",
}  # fmt: skip
# Fields that the format has no name for, which other programs pass over.
CLASS, CHANNEL, KIND, COLOUR = "LabelClass", "ChannelName", "LabelKind", "Colour"
# The orientation of an image without a patient.
NO_PATIENT = "???"
_LPS = np.array([-1.0, -1.0, 1.0])
_UNITS = {"um": "µm", "mm": "mm", "cm": "cm", "?": "pixel"}
_LONGEST = 2**20
_MOST_AXES = 4


@dataclass(frozen=True)
class Stored:
    """The fields of space as they were read, which the writer repeats on the same grid."""

    grid: Grid
    fields: Mapping[str, str]


@dataclass(frozen=True)
class _Header:
    path: Path
    fields: Mapping[str, str]
    files: tuple[str, ...]
    end: int

    def numbers(self, count: int, *names: str) -> FloatArray | None:
        """Return the numbers of the first of several fields that is there, or None."""
        name = next((n for n in names if n in self.fields), None)
        if name is None:
            return None
        try:
            found = [float(word) for word in self.fields[name].split()]
        except ValueError:
            raise self.wrong(name) from None
        if len(found) != count:
            raise self.wrong(name)
        return np.array(found)

    def number(self, name: str, default: int) -> int:
        try:
            return int(self.fields.get(name, default))
        except ValueError:
            raise self.wrong(name) from None

    def true(self, *names: str) -> bool:
        return any(self.fields.get(n, "").lower() in ("true", "1", "t", "yes") for n in names)

    def wrong(self, name: str) -> ReadError:
        said = self.fields.get(name, "nothing")[:80]
        return ReadError(
            f"{self.path} has a damaged header: {name} says {said!r}. Copy it from its source "
            "again."
        )


def volumes(path: Path, *, labels: bool, voxels: Container[int] = ALL) -> Iterator[Volume]:
    """Yield the one volume of a file; what is stored does not depend on ``labels``."""
    with path.open("rb") as file:
        header = _parse(path, file)
    sizes, channels = _sizes(header)
    dtype = _dtype(header)
    where, wanted = _where(header, sizes), 0 in voxels
    array = load(path, where, (channels, *sizes), dtype, voxels=wanted)
    n = min(3, len(sizes))
    anatomical = n == 3 and header.fields.get("AnatomicalOrientation", "RAI") != NO_PATIENT
    spatial = tuple(range(1, n + 1))[:: 1 if anatomical else -1]
    timed = len(sizes) == 4 and sizes[3] > 1
    leading = ("t" if timed else "") + ("c" if channels > 1 else "")
    kept = (*((4,) if timed else ()), *((0,) if channels > 1 else ()), *spatial)
    dropped = [a for a in range(array.ndim) if a not in kept]
    first: tuple[Any, ...] = (..., *(0 for _ in dropped))
    view = np.asanyarray(array.transpose(*kept, *dropped)[first])
    grid = _grid(header, len(sizes), view.shape[len(leading) :], anatomical)
    rgb = dtype.itemsize == 1 and COLOUR in header.fields and channels in (3, 4)
    steps = header.numbers(len(sizes), "ElementSpacing", "ElementSize")
    step = float(steps[3]) if timed and steps is not None else 0.0
    space = {k: header.fields[k] for k in _SPACE if k in header.fields} if len(sizes) == n else {}
    volume = Volume(
        view,
        grid,
        leading,
        () if rgb else _channel_names(header, channels),
        rgb=rgb,
        name=stem_of(path),
        source=path,
        time_step=step if np.isfinite(step) and step > 0 and step != 1 else None,
        meta={META_KEY: Stored(grid, space)},
    )
    yield _with_classes(volume, header)


# -- the header ---------------------------------------------------------------------------------


def _parse(path: Path, file: IO[bytes]) -> _Header:
    fields: dict[str, str] = {}
    files: list[str] = []
    while line := file.readline(_LONGEST):
        if file.tell() > _LONGEST or (not fields and not re.match(rb"\s*[A-Za-z]+\s*=", line)):
            break
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            text = line.decode("latin-1").strip()
        if fields.get("ElementDataFile", "").upper().startswith("LIST"):
            files += [text] if text else []
            continue
        name, mark, value = text.partition("=")
        if not mark:
            if text:
                break
            continue
        fields[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile" and not value.strip().upper().startswith("LIST"):
            break  # the last line: voxels may follow
    if "NDims" not in fields or "DimSize" not in fields:
        raise ReadError(f"{path} is not a MetaImage: it lacks the header. Check what it is.")
    if "ElementDataFile" not in fields:
        raise ReadError(f"{path} is truncated: its header does not say where the voxels are.")
    if fields.get("ObjectType", "Image").lower() != "image":
        raise ReadError(f"{path} holds a {fields['ObjectType'][:80]}, not an image.")
    return _Header(path, fields, tuple(files), file.tell())


def _sizes(header: _Header) -> tuple[tuple[int, ...], int]:
    """Return the lengths of the axes, and the number of channels."""
    try:
        sizes = tuple(int(word) for word in header.fields["DimSize"].split())
    except ValueError:
        raise header.wrong("DimSize") from None
    if len(sizes) != header.number("NDims", 0) or not sizes or min(sizes) < 1:
        raise header.wrong("DimSize")
    if not 2 <= len(sizes) <= _MOST_AXES:
        raise ReadError(f"{header.path} has {len(sizes)} axes: an image has 2 to {_MOST_AXES}.")
    channels = header.number("ElementNumberOfChannels", 1)
    if channels < 1:
        raise header.wrong("ElementNumberOfChannels")
    return sizes, channels


def _dtype(header: _Header) -> np.dtype[Any]:
    said = header.fields.get("ElementType", "").upper().removeprefix("MET_")
    code = TYPES.get(said.removesuffix("_ARRAY"))
    if code is None:
        raise header.wrong("ElementType")
    big = header.true("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    return np.dtype(code).newbyteorder(">" if big else "<")


def _where(header: _Header, sizes: tuple[int, ...]) -> Where:
    files = _files(header, sizes)
    local = files == (header.path,)
    skip = header.number("HeaderSize", 0)
    encoding: Encoding = "raw"
    if not header.true("BinaryData") and "BinaryData" in header.fields:
        encoding = "text"
    elif header.true("CompressedData"):
        encoding = "zlib"
    if skip < -1 or (skip == -1 and encoding != "raw"):
        raise header.wrong("HeaderSize")
    return Where(files, encoding, -1 if skip == -1 else skip + (header.end if local else 0))


def _files(header: _Header, sizes: tuple[int, ...]) -> tuple[Path, ...]:
    said = header.fields["ElementDataFile"]
    words = said.split()
    if said.upper() == "LOCAL":
        return (header.path,)
    if words and words[0].upper() == "LIST":
        names = list(header.files)
    elif len(words) in (3, 4) and "%" in words[0]:
        try:
            numbers = [int(word) for word in words[1:]]
        except ValueError:
            raise header.wrong("ElementDataFile") from None
        names = numbered(words[0], numbers[0], numbers[1], (*numbers, 1)[2], path=header.path)
    else:
        names = [said]
    if not names or (len(names) > 1 and len(names) != sizes[-1]):
        raise header.wrong("ElementDataFile")
    return tuple(sibling(header.path, name) for name in names)


# -- the space ----------------------------------------------------------------------------------

_MATRIX = ("TransformMatrix", "Orientation", "Rotation")
_ORIGIN = ("Offset", "Position", "Origin")
_SPACING = ("ElementSpacing", "ElementSize")
_SPACE = (*_MATRIX, *_ORIGIN, *_SPACING)


@np.errstate(all="ignore")
def _grid(header: _Header, dims: int, shape: tuple[int, ...], anatomical: bool) -> Grid:
    n = len(shape)
    spacing = header.numbers(dims, *_SPACING)
    matrix = header.numbers(dims * dims, *_MATRIX)
    offset = header.numbers(dims, *_ORIGIN)
    steps = np.ones(n) if spacing is None else spacing[:n]
    # One row an axis of the image.
    rows = np.eye(n) if matrix is None else matrix.reshape(dims, dims)[:n, :n]
    columns = np.zeros((3, n))
    columns[:n] = rows.T * np.abs(steps)
    affine = np.eye(4)
    if not anatomical:
        columns = columns[:, ::-1]
    affine[:3, :n] = _LPS[:, None] * columns + 0.0
    if offset is not None:
        affine[:n, 3] = _LPS[:n] * offset[:n] + 0.0
    said = header.fields.get("DistanceUnits", "mm").strip('"')
    unit = _UNITS.get(said.lower(), "mm")
    return grid_of(
        header.path,
        shape,
        affine,
        unit,
        anatomical=anatomical,
        spacing=steps if anatomical else steps[::-1],
    )


# -- names --------------------------------------------------------------------------------------


def _numbered_fields(header: _Header, name: str) -> dict[int, str]:
    found = ((re.fullmatch(rf"{name}(\d+)", key), value) for key, value in header.fields.items())
    return {int(match[1]): value for match, value in found if match}


def _channel_names(header: _Header, channels: int) -> tuple[str, ...]:
    names = _numbered_fields(header, CHANNEL)
    return tuple(names[c] for c in range(channels)) if len(names) == channels else ()


def _with_classes(volume: Volume, header: _Header) -> Volume:
    """Return labels where the writer has left classes: ``LabelClass1 = #ff0000 liver``."""
    kind = header.fields.get(KIND)
    if kind not in ("classes", "instances"):
        return volume
    classes = []
    for number, said in sorted(_numbered_fields(header, CLASS).items()):
        colour, _, name = said.partition(" ")
        classes.append(LabelClass(number, name, colour if colour.startswith("#") else None))
    states = {key: header.fields.get(state_field(key), "").split() for key in STATES}
    labels = as_labels(volume)
    return LabelVolume(
        labels.data,
        labels.grid,
        labels.leading,
        name=labels.name,
        source=labels.source,
        time_step=labels.time_step,
        meta=labels.meta,
        classes=with_states(classes, states),
        kind="instances" if kind == "instances" else "classes",
    )


def state_field(key: str) -> str:
    """Return the field for the numbers of classes that are hidden, or locked."""
    return f"Label{key.title()}"


def write(path: Path, volume: Volume) -> None:
    """Write a volume; see `napari_monai.io.metaimage_write`."""
    from . import metaimage_write  # it needs this module

    metaimage_write.write(path, volume)
