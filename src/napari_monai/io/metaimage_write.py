"""Volumes and labels to MetaImage: one file (``.mha``), or a header and a file beside (``.mhd``).

Labels are compressed; images are not, so that they can be mapped.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..errors import FormatError
from ..grid import Grid, millimetres
from ..volume import LabelVolume, Volume
from .convert import displayed
from .formats import extension_of, stem_of
from .label_names import states_of
from .metaimage import (
    CHANNEL,
    CLASS,
    COLOUR,
    KIND,
    META_KEY,
    NO_PATIENT,
    TYPES,
    Stored,
    state_field,
)  # fmt: skip
from .raw import stored_bytes, stored_type

_NAMES = {code: name for name, code in reversed(TYPES.items()) if "LONG" not in name} | {
    "i8": "LONG_LONG",
    "u8": "ULONG_LONG",
}
_LPS = np.array([-1.0, -1.0, 1.0])
# Units that the format lacks, and the one that is written instead.
_UNITS = {"µm": "um", "mm": "mm", "cm": "cm", "pixel": "?"}
_CONVERTED = {"nm": "µm", "m": "cm"}
# Letters of where an axis comes from, as ITK counts them.
_FROM = str.maketrans("RLAPSI", "LRPAIS")
_LEVEL = 3
_SIZE_DIGITS = 20


def write(path: Path, volume: Volume) -> None:
    """Write a volume to a new file, the voxels of an ``.mhd`` to another beside it."""
    if not volume.grid.anatomical:
        volume = displayed(volume)
    timed = "t" in volume.leading
    if volume.grid.ndim == 2 and (timed or volume.grid.anatomical):
        volume = _as_slice(volume)
    dtype = stored_type(volume, _NAMES, "MetaImage")
    packed = isinstance(volume, LabelVolume)
    pieces = stored_bytes(volume, _order(volume), dtype)
    header = _header(volume, dtype, packed)
    if extension_of(path) == ".mhd":
        voxels = path.with_name(f"{stem_of(path)}.{'zraw' if packed else 'raw'}")
        with voxels.open("wb") as file:
            size = _store(file, pieces, packed)
        text = _text(header, size, voxels.name)
        path.write_bytes(text)
        return
    with path.open("wb") as file:
        file.write(_text(header, 0, "LOCAL"))
        size = _store(file, pieces, packed)
        file.seek(0)
        file.write(_text(header, size, "LOCAL"))


def _text(header: dict[str, str], size: int, where: str) -> bytes:
    if "CompressedDataSize" in header:
        header = {**header, "CompressedDataSize": f"{size:0{_SIZE_DIGITS}d}"}
    return "".join(f"{k} = {v}\n" for k, v in {**header, "ElementDataFile": where}.items()).encode()


def _store(file: IO[bytes], pieces: Iterator[bytes], packed: bool) -> int:
    """Write the voxels and return how many bytes they take."""
    start = file.tell()
    pack = zlib.compressobj(_LEVEL)
    for piece in pieces:
        file.write(pack.compress(piece) if packed else piece)
    if packed:
        file.write(pack.flush())
    return file.tell() - start


def _as_slice(volume: Volume) -> Volume:
    """Return a 2-D image as one slice: with time it would be taken for a volume."""
    first = not volume.grid.anatomical
    grid = volume.grid
    shape = (1, *grid.shape) if first else (*grid.shape, 1)
    affine = grid.affine[:, [2, 0, 1, 3]] if first else grid.affine
    array = volume.numpy()
    data = array.reshape((*array.shape[: len(volume.leading)], *shape))
    return replace(volume, data=data, grid=replace(grid, shape=shape, affine=affine))


def _order(volume: Volume) -> tuple[int, ...]:
    """Return the axes of the array as they are stored, the fastest first."""
    lead = len(volume.leading)
    spatial = [lead + a for a in range(volume.grid.ndim)]
    if not volume.grid.anatomical:
        spatial.reverse()
    channel = [volume.leading.index("c")] if "c" in volume.leading else []
    time = [0] if "t" in volume.leading else []
    return (*channel, *spatial, *time)


def _header(volume: Volume, dtype: np.dtype[Any], packed: bool) -> dict[str, str]:
    grid = volume.grid
    timed = "t" in volume.leading
    spatial = grid.shape if grid.anatomical else grid.shape[::-1]
    sizes = (*spatial, *((volume.times,) if timed else ()))
    fields = {
        "ObjectType": "Image",
        "NDims": str(len(sizes)),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": str(packed),
        **({"CompressedDataSize": ""} if packed else {}),
        **_space(volume, timed),
        "DimSize": " ".join(map(str, sizes)),
        "AnatomicalOrientation": grid.orientation.translate(_FROM)
        if grid.anatomical
        else NO_PATIENT,
        "DistanceUnits": _UNITS[_CONVERTED.get(grid.unit, grid.unit)],
    }
    fields |= _names(volume)
    if volume.channels > 1 or "c" in volume.leading:
        fields["ElementNumberOfChannels"] = str(volume.channels)
    fields["ElementType"] = f"MET_{_NAMES[dtype.newbyteorder('=').str[1:]]}"
    return fields


def _space(volume: Volume, timed: bool) -> dict[str, str]:
    grid = volume.grid
    stored = volume.meta.get(META_KEY)
    if isinstance(stored, Stored) and stored.fields and stored.grid == grid and not timed:
        return dict(stored.fields)  # to the digit as it was read
    unit = _CONVERTED.get(grid.unit, grid.unit)
    factor = 1.0 if unit == grid.unit else millimetres(grid.unit) / millimetres(unit)
    affine = grid.affine if grid.anatomical else _reversed(grid)
    n = grid.ndim
    _check_plane(grid)
    steps = np.array(grid.spacing if grid.anatomical else grid.spacing[::-1])
    rows = np.eye(n + timed)
    rows[:n, :n] = (_LPS[:n, None] * affine[:n, :n] / steps).T + 0.0
    offset = [*(_LPS[:n] * affine[:n, 3] * factor + 0.0), *([0.0] if timed else [])]
    spacing = [*(steps * factor), *([volume.time_step or 1.0] if timed else [])]
    return {
        "TransformMatrix": _joined(rows.ravel()),
        "Offset": _joined(offset),
        "CenterOfRotation": _joined(np.zeros(n + timed)),
        "ElementSpacing": _joined(spacing),
    }


def _reversed(grid: Grid) -> npt.NDArray[np.float64]:
    n = grid.ndim
    return grid.affine[:, [*range(n)][::-1] + [*range(n, 4)]]


def _check_plane(grid: Grid) -> None:
    """Refuse a picture that does not lie in the plane of its own axes."""
    if grid.ndim == 2 and grid.affine[2, :2].any():
        raise FormatError("MetaImage holds no 2-D image that leans: write .nii.gz instead.")


def _joined(values: Any) -> str:
    return " ".join(repr(float(v)) for v in values)


def _names(volume: Volume) -> dict[str, str]:
    """Return the fields of names, which other programs pass over."""
    fields: dict[str, str] = {}
    if volume.rgb:
        fields[COLOUR] = "True"
    elif "c" in volume.leading:
        for number, name in enumerate(volume.channel_names):
            fields[f"{CHANNEL}{number}"] = _plain(name)
    if isinstance(volume, LabelVolume) and (volume.classes or volume.kind == "instances"):
        fields[KIND] = volume.kind
        for one in volume.classes:
            fields[f"{CLASS}{one.number}"] = f"{one.colour or '-'} {_plain(one.name)}"
        for key, numbers in states_of(volume).items():
            fields[state_field(key)] = " ".join(map(str, numbers))
    return fields


def _plain(text: str) -> str:
    return " ".join(text.split())
