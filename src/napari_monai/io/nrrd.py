"""NRRD: one volume behind a text header (``.nrrd``), or with the voxels beside it (``.nhdr``).

Axes leave as (time, channel, i, j, k), space as the header has it. A file that names no
patient's space is a picture or a stack: its axes leave as (z, y, x).

Segmentations of 3D Slicer (``.seg.nrrd``) come back with the names and colours of their segments.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import GridError, ReadError, VolumeWarning
from ..grid import millimetres, unit_name
from ..volume import Volume
from . import nrrd_segments
from .formats import ALL, stem_of
from .header_space import grid_of
from .nrrd_header import TYPES, Header, parse
from .raw import Encoding, Where, load, numbered, sibling

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

# The key under which the writer keeps what NRRD has no field for.
KEY = "napari_monai"
_RAS = {
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
_SHORT_TIMES = {"rast": "ras", "last": "las", "lpst": "lps"}
# The world of pictures: x runs right, y down, z away, as `Grid.from_spacing` lays it.
_PICTURE = (-1, -1, -1)
_ENCODINGS: dict[str, Encoding] = {
    "raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2",
    "ascii": "text", "text": "text", "txt": "text",
}  # fmt: skip
_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3,
            "us": 1e-6, "µs": 1e-6, "min": 60.0, "h": 3600.0}  # fmt: skip
_SPATIAL_KINDS = ("domain", "space")
_COLOURS = {"rgb-color": 3, "3-color": 3, "rgba-color": 4, "4-color": 4}


@dataclass(frozen=True)
class _Axes:
    """What the axes of the file are, by their number."""

    spatial: tuple[int, ...]
    time: int | None
    channel: int | None
    rgb: bool


def volumes(path: Path, *, labels: bool, voxels: Container[int] = ALL) -> Iterator[Volume]:
    """Yield the one volume of a file; a segmentation as labels, whatever ``labels`` says."""
    with path.open("rb") as file:
        header = parse(path, file)
    sizes = _sizes(header)
    array = load(path, _where(header), sizes, _dtype(header), voxels=0 in voxels)
    directions = header.vectors("spacedirections")
    if directions is not None and len(directions) != len(sizes):
        raise header.wrong("spacedirections")
    axes = _axes(header, sizes, directions)
    said = _said(header)
    space = header.fields.get("space", "").lower()
    patient = _SHORT_TIMES.get(space, space.removesuffix("-time"))
    signs = _RAS.get(patient, _PICTURE)
    anatomical = patient in _RAS and directions is not None and said.get("anatomical", True)
    if not anatomical:  # (x, y, z) to (z, y, x)
        axes = _Axes(axes.spatial[::-1], axes.time, axes.channel, axes.rgb)
    shape = tuple(sizes[a] for a in axes.spatial)
    affine, unit = _space(header, axes, directions, len(sizes), np.array(signs, np.float64))
    leading = ("" if axes.time is None else "t") + ("" if axes.channel is None else "c")
    names = tuple(str(n) for n in said.get("channel_names", ()))
    volume = Volume(
        _ordered(array, axes),
        grid_of(path, shape, affine, unit, anatomical=bool(anatomical)),
        leading,
        names if "c" in leading else (),
        rgb=axes.rgb and array.dtype == np.uint8,
        name=stem_of(path),
        source=path,
        time_step=_time_step(header, axes.time, directions, len(sizes)),
    )
    segments = nrrd_segments.holds_segments(header.pairs) or "kind" in said
    if array.dtype.kind in "iu" and segments:
        yield nrrd_segments.as_segmentation(volume, header.pairs, said)
    else:
        yield volume


# -- the voxels ---------------------------------------------------------------------------------


def _sizes(header: Header) -> tuple[int, ...]:
    dimension = header.number("dimension", 0)
    try:
        sizes = tuple(int(word) for word in header.fields.get("sizes", "").split())
    except ValueError:
        raise header.wrong("sizes") from None
    if not sizes or len(sizes) != dimension or min(sizes) < 1:
        raise header.wrong("sizes")
    return sizes


def _dtype(header: Header) -> np.dtype[Any]:
    said = " ".join(header.fields.get("type", "").lower().split())
    if said not in TYPES:
        raise header.wrong("type")
    dtype = np.dtype(TYPES[said])
    if dtype.itemsize == 1 or _encoding(header) == "text":
        return dtype
    endian = header.fields.get("endian", "").lower()
    if endian not in ("little", "big"):
        raise header.wrong("endian")
    return dtype.newbyteorder("<" if endian == "little" else ">")


def _encoding(header: Header) -> Encoding:
    said = header.fields.get("encoding", "").lower()
    if said in _ENCODINGS:
        return _ENCODINGS[said]
    raise ReadError(
        f"{header.path} is stored in the encoding {said!r}; known are raw, gzip, bzip2 and ascii. "
        "Save it in one of those."
    )


def _where(header: Header) -> Where:
    encoding = _encoding(header)
    files = tuple(sibling(header.path, name) for name in _names(header))
    offset = 0 if files else header.end
    files = files or (header.path,)
    lines, skip = header.number("lineskip", 0), header.number("byteskip", 0)
    if lines < 0 or skip < -1 or (skip == -1 and encoding != "raw"):
        raise header.wrong("lineskip" if lines < 0 else "byteskip")
    if skip == -1:
        return Where(files, encoding, -1)
    if lines:
        if len(files) > 1:
            raise ReadError(f"{header.path} skips lines of several files: that is not read.")
        offset = _after_lines(header, files[0], offset, lines)
    return Where(files, encoding, offset, skip)


def _after_lines(header: Header, path: Path, offset: int, lines: int) -> int:
    if lines > path.stat().st_size:
        raise header.wrong("lineskip")
    with path.open("rb") as file:
        file.seek(offset)
        for _ in range(lines):
            file.readline()
        return file.tell()


def _names(header: Header) -> list[str]:
    """Return the names of the files that the voxels are in, none if they follow the header."""
    said = header.fields.get("datafile")
    if said is None:
        return []
    words = said.split()
    if words and words[0].upper() == "LIST":
        if not header.files:
            raise header.wrong("datafile")
        return list(header.files)
    if len(words) in (4, 5) and "%" in words[0]:
        try:
            first, last, step = (int(word) for word in words[1:4])
        except ValueError:
            raise header.wrong("datafile") from None
        return numbered(words[0], first, last, step, path=header.path)
    return [said]


def _ordered(array: Array, axes: _Axes) -> Array:
    """Return a view as (time, channel, space), without the other axes, which have length 1."""
    kept = [a for a in (axes.time, axes.channel, *axes.spatial) if a is not None]
    dropped = [a for a in range(array.ndim) if a not in kept]
    first: tuple[Any, ...] = (..., *(0 for _ in dropped))
    return np.asanyarray(array.transpose(*kept, *dropped)[first])


# -- the axes -----------------------------------------------------------------------------------


def _axes(header: Header, sizes: tuple[int, ...], directions: list[Array | None] | None) -> _Axes:
    n = len(sizes)
    kinds = [word.lower() for word in header.words("kinds", n)]
    spatial = [a for a in range(n) if _is_spatial(a, kinds, directions)]
    other = [a for a in range(n) if a not in spatial and sizes[a] > 1]
    for axis in other:
        vector = directions[axis] if directions is not None else None
        if vector is not None and len(vector) == 4:  # of space and time
            kinds[axis] = "time"
    if len(spatial) == 4 and not other:  # nobody said which one is time: the last
        other = [spatial.pop()]
        kinds[other[0]] = "time"
    time = [a for a in other if _is_time(header, a, kinds[a], n)]
    channel = [a for a in other if a not in time]
    if not 2 <= len(spatial) <= 3 or len(time) > 1 or len(channel) > 1:
        raise ReadError(
            f"{header.path} is not 2 or 3 axes of space, with time and channels: sizes {sizes}, "
            f"kinds {' '.join(k or '???' for k in kinds)}. Save its parts as files."
        )
    rgb = bool(channel) and _COLOURS.get(kinds[channel[0]]) == sizes[channel[0]]
    return _Axes(tuple(spatial), time[0] if time else None, channel[0] if channel else None, rgb)


def _is_spatial(axis: int, kinds: list[str], directions: list[Array | None] | None) -> bool:
    kind = kinds[axis]
    if directions is not None and any(d is not None for d in directions):
        vector = directions[axis]
        if vector is None or kind == "time":
            return False
        return not (len(vector) == 4 and vector[3] != 0)
    return kind in _SPATIAL_KINDS or kind in ("", "???", "none")


def _is_time(header: Header, axis: int, kind: str, n: int) -> bool:
    """Whether an axis is time: lists are, where the file says what they list."""
    if kind == "time":
        return True
    if kind not in ("", "???", "none", "list"):
        return False
    if header.quoted("units", n)[axis].lower() in _SECONDS:
        return True
    label = header.quoted("labels", n)[axis].lower()
    return label in ("t", "time", "frame") or any(
        key.lower().startswith(("multivolume.", "axis 0 index", "axis 3 index"))
        for key in header.pairs
    )


def _time_step(
    header: Header, axis: int | None, directions: list[Array | None] | None, n: int
) -> float | None:
    if axis is None:
        return None
    step = float((header.numbers("spacings", n) or [np.nan] * n)[axis])
    unit = header.quoted("units", n)[axis].lower()
    vector = directions[axis] if directions is not None else None
    if vector is not None and len(vector) == 4:
        step, unit = float(vector[3]), header.quoted("spaceunits", 4)[3].lower()
    step *= _SECONDS.get(unit, 1.0)
    return step if np.isfinite(step) and step > 0 else None


# -- the space ----------------------------------------------------------------------------------


@np.errstate(all="ignore")
def _space(
    header: Header,
    axes: _Axes,
    directions: list[Array | None] | None,
    n: int,
    signs: FloatArray,
) -> tuple[FloatArray, str]:
    """Return the affine of the spatial axes in RAS, and its unit."""
    columns = np.zeros((3, 3))
    origin = np.zeros(3)
    if directions is not None and any(d is not None for d in directions):
        for column, axis in enumerate(axes.spatial):
            columns[:, column] = _in_space(header, directions[axis], "spacedirections")
        start = header.vectors("spaceorigin")
        if start:
            origin = _in_space(header, start[0], "spaceorigin")
        units = header.quoted("spaceunits", 3)
    else:
        all_units = header.quoted("units", n)
        first = sorted(axes.spatial)
        units = [all_units[a] for a in first]
        spacings = header.numbers("spacings", n) or [np.nan] * n
        starts = header.numbers("axismins", n) or [0.0] * n
        cells = header.words("centerings", n)
        for world, axis in enumerate(first):
            step = spacings[axis] if np.isfinite(spacings[axis]) else 1.0
            columns[world, axes.spatial.index(axis)] = step
            half = step / 2 if cells[axis].lower() == "cell" else 0.0
            origin[world] = starts[axis] + half if np.isfinite(starts[axis]) else 0.0
    plain = directions is None and "spacings" not in header.fields
    unit, factors = _units(header, units, "pixel" if plain else "mm")
    scale = signs * np.array([*factors, 1.0, 1.0])[:3]
    affine = np.eye(4)
    affine[:3, :3] = scale[:, None] * columns + 0.0  # no negative zeros
    affine[:3, 3] = scale * origin + 0.0
    return affine, unit


def _in_space(header: Header, vector: Array | None, name: str) -> FloatArray:
    """Return a vector of the header's space as (x, y, z)."""
    if vector is None or not 1 <= len(vector) <= 4:
        raise header.wrong(name)
    return np.asarray([*vector, 0.0, 0.0][:3], dtype=np.float64)


def _units(header: Header, said: list[str], default: str) -> tuple[str, list[float]]:
    """Return one unit, and the factor of each axis that turns its lengths into it."""
    named = [text for text in said if text]
    if not named:
        return default, [1.0] * len(said)
    try:
        units = [unit_name(text or named[0]) for text in said]
        if len(set(units)) == 1:
            return units[0], [1.0] * len(said)
        return units[0], [millimetres(u) / millimetres(units[0]) for u in units]
    except GridError:
        warnings.warn(
            VolumeWarning(f"{header.path}: its unit {named[0][:40]!r} is not known; mm was taken."),
            stacklevel=2,
        )
        return "mm", [1.0] * len(said)


def _said(header: Header) -> dict[str, Any]:
    """Return what our own writer has left in the header."""
    try:
        found = json.loads(header.pairs.get(KEY, "{}"))
    except ValueError:
        raise ReadError(f"{header.path} has a damaged header: its key {KEY}.") from None
    return found if isinstance(found, dict) else {}


def write(path: Path, volume: Volume) -> None:
    """Write a volume; see `napari_monai.io.nrrd_write`."""
    from . import nrrd_write  # it needs this module

    nrrd_write.write(path, volume)
