"""Volumes and labels to NRRD, compressed; segmentations for 3D Slicer to ``.seg.nrrd``."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FormatError
from ..volume import LabelVolume, Volume
from . import nrrd_segments
from .convert import displayed, narrowed
from .formats import extension_of
from .label_names import states_of
from .nrrd import KEY
from .nrrd_header import TYPES, escaped
from .raw import stored_bytes, stored_type

Array = npt.NDArray[Any]

_NAMES = {
    "i1": "signed char", "u1": "unsigned char", "i2": "short", "u2": "unsigned short",
    "i4": "int", "u4": "unsigned int", "i8": "long long", "u8": "unsigned long long",
    "f4": "float", "f8": "double",
}  # fmt: skip
# As it is spelled in plain ASCII, which is all that the format has.
_UNITS = {"µm": "um"}
# gzip's usual 6 takes four times as long for files a few percent smaller.
_LEVEL = 3


def write(path: Path, volume: Volume) -> None:
    """Write a volume to a new ``.nrrd`` or ``.seg.nrrd`` file."""
    slicer = extension_of(path) == ".seg.nrrd"
    keys: dict[str, str] = {}
    if slicer:
        volume = _for_slicer(volume)
    elif not volume.grid.anatomical:
        volume = displayed(volume)
    if volume.grid.ndim == 2 and (slicer or volume.grid.anatomical):
        volume = _as_slice(volume)
    pictures = not volume.grid.anatomical  # whose axes (z, y, x) are stored as (x, y, z)
    order = _order(volume, pictures)
    dtype = stored_type(volume, TYPES.values(), "NRRD")
    if isinstance(volume, LabelVolume):
        keys = nrrd_segments.plain_keys(volume) if volume.kind == "classes" else {}
        if slicer:
            keys = nrrd_segments.keys_of(volume, volume.numpy(), order)
    lines = _header(volume, order, dtype, patient=slicer or volume.grid.anatomical)
    said = _said(volume, keys)
    if said:
        keys[KEY] = json.dumps(said)
    lines += [f"{key}:={escaped(value)}" for key, value in keys.items()]
    with path.open("wb") as file:
        file.write(("\n".join(lines) + "\n\n").encode())
        # No name and no date inside, so that the same labels make the same file.
        with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as stream:
            for piece in stored_bytes(volume, order, dtype):
                stream.write(piece)


def _for_slicer(volume: Volume) -> Volume:
    if not isinstance(volume, LabelVolume):
        raise FormatError("A .seg.nrrd holds labels, not an image: write .nrrd instead.")
    if volume.times > 1:
        raise FormatError(
            f"A .seg.nrrd holds one point in time, not {volume.times}: write .nrrd instead."
        )
    volume = displayed(volume.at_time(0)) if not volume.grid.anatomical else volume.at_time(0)
    array = volume.numpy()
    array = array.astype(np.uint8) if array.dtype == np.bool_ else array
    array = narrowed(array, ("u1", "i2", "u2", "i4"))
    if array.min() < 0:
        raise FormatError(
            f"A .seg.nrrd holds labels from 0 on, not {array.min()}: write .nrrd instead."
        )
    return replace(volume, data=array)


def _as_slice(volume: Volume) -> Volume:
    """Return a 2-D image as a volume of one slice, as programs for patients expect it."""
    at_front = not volume.grid.anatomical
    shape = (1, *volume.grid.shape) if at_front else (*volume.grid.shape, 1)
    affine = volume.grid.affine
    if at_front:
        affine = affine[:, [2, 0, 1, 3]]
    array = volume.numpy()
    data = array.reshape((*array.shape[: len(volume.leading)], *shape))
    return replace(volume, data=data, grid=replace(volume.grid, shape=shape, affine=affine))


def _order(volume: Volume, pictures: bool) -> tuple[int, ...]:
    """Return the axes of the array as they are stored, the fastest first."""
    lead = len(volume.leading)
    spatial = [lead + a for a in range(volume.grid.ndim)]
    other = [volume.leading.index(letter) for letter in "ct" if letter in volume.leading]
    if pictures:
        spatial.reverse()
    if volume.rgb:
        return (other[0], *spatial, *other[1:])
    return (*spatial, *other)


def _header(
    volume: Volume, order: tuple[int, ...], dtype: np.dtype[Any], *, patient: bool
) -> list[str]:
    lead, grid = len(volume.leading), volume.grid
    kinds, vectors, steps = [], [], []
    flat = grid.ndim == 2 and not grid.affine[2, [0, 1, 3]].any()
    world = 2 if flat and not patient else 3
    signs = np.array((-1, -1, 1) if patient else (-1, -1, -1))
    for axis in order:
        letter = volume.leading[axis] if axis < lead else ""
        colour = "RGBA-color" if volume.channels == 4 else "RGB-color"
        kinds.append({"": "domain", "t": "time"}.get(letter, colour if volume.rgb else "vector"))
        column = grid.affine[:3, axis - lead]
        vectors.append("none" if letter else _vector(signs * column, world))
        steps.append(repr(float(volume.time_step)) if letter == "t" and volume.time_step else "NaN")
    unit = f'"{_UNITS.get(grid.unit, grid.unit)}"'
    lines = [
        "NRRD0005",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {_NAMES[dtype.newbyteorder('=').str[1:]]}",
        f"dimension: {len(order)}",
        "space: left-posterior-superior" if patient else f"space dimension: {world}",
        f"sizes: {' '.join(str(volume.data.shape[a]) for a in order)}",
        f"space directions: {' '.join(vectors)}",
        f"kinds: {' '.join(kinds)}",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(signs * grid.origin, world)}",
        f"space units: {' '.join([unit] * world)}",
    ]
    if any(step != "NaN" for step in steps):
        units = ('"s"' if step != "NaN" else '""' for step in steps)
        lines += [f"spacings: {' '.join(steps)}", f"units: {' '.join(units)}"]
    return lines


def _vector(values: npt.NDArray[np.float64], count: int) -> str:
    return f"({','.join(repr(float(v) + 0.0) for v in values[:count])})"


def _said(volume: Volume, keys: dict[str, str]) -> dict[str, Any]:
    """Return what NRRD has no field for."""
    said: dict[str, Any] = {}
    if not volume.grid.anatomical:
        said["anatomical"] = False
    if "c" in volume.leading and not volume.rgb:
        said["channel_names"] = list(volume.channel_names)
    if isinstance(volume, LabelVolume):
        said |= states_of(volume)
    if isinstance(volume, LabelVolume) and volume.kind == "instances":
        said["kind"] = "instances"
        said["classes"] = [(c.number, c.name, c.colour) for c in volume.classes]
    return said
