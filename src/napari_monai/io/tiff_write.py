"""Volumes and labels to OME-TIFF: exact voxel sizes, units, channels; plane by plane if large."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from ..errors import FormatError
from ..grid import millimetres
from ..volume import LabelVolume, Volume
from .convert import displayed, narrowed
from .files import LAZY_FROM, quiet
from .label_names import to_map

Array = npt.NDArray[Any]

# The types that OME's schema has.
_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")
# Offsets of a plain TIFF reach 4 GiB; pages and tags need room too, labels may grow when packed.
_BIG_FROM = 2**31
# zlib's usual 6 takes several times as long for files a little smaller.
_LEVEL = 3


def write(path: Path, volume: Volume) -> None:
    """Write a volume in its display orientation to a new file."""
    shown = displayed(volume)
    labels = isinstance(volume, LabelVolume)
    dtype = _stored_type(shown)
    axes, shape = _axes(shown)
    options: dict[str, Any] = {
        "ome": True,
        "metadata": _metadata(shown, axes),
        "photometric": "rgb" if shown.rgb else "minisblack",
        "bigtiff": int(np.prod(shape)) * dtype.itemsize >= _BIG_FROM,
        "compression": "zlib" if labels else None,
        "compressionargs": {"level": _LEVEL} if labels else None,
        **_resolution(shown),
    }
    if shown.rgb:
        options["planarconfig"] = "contig"
    with quiet("tifffile"):
        if shown.nbytes < LAZY_FROM:
            tifffile.imwrite(path, _in_order(shown).astype(dtype, copy=False), **options)
        else:
            planes = _planes(shown, dtype)
            tifffile.imwrite(path, planes, shape=shape, dtype=dtype, **options)


def _stored_type(volume: Volume) -> np.dtype[Any]:
    dtype = volume.dtype.newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype == np.float16:
        return np.dtype(np.float32)
    if dtype.kind in "iu" and dtype.itemsize == 8:
        dtype = narrowed(volume.numpy(), ("i4", "u4")).dtype
    if dtype.str[1:] not in _TYPES:
        raise FormatError(f"TIFF holds no {volume.dtype} voxels that size: write .npz instead.")
    return dtype


def _axes(volume: Volume) -> tuple[str, tuple[int, ...]]:
    """Return letters and lengths of the axes as they are written."""
    spatial = "ZYX"[-volume.grid.ndim :]
    shape = tuple(volume.data.shape)
    if not volume.rgb:
        return volume.leading.upper() + spatial, shape
    at = volume.leading.index("c")
    return volume.leading.replace("c", "").upper() + spatial + "S", (
        *shape[:at],
        *shape[at + 1 :],
        shape[at],
    )


def _in_order(volume: Volume) -> Array:
    array = volume.numpy()
    return np.moveaxis(array, volume.leading.index("c"), -1) if volume.rgb else array


def _planes(volume: Volume, dtype: np.dtype[Any]) -> Iterator[Array]:
    """Yield one plane after another, so that a large volume need not be in memory."""
    shape = tuple(volume.data.shape)
    at = volume.leading.index("c") if volume.rgb else None
    ranges = [range(n) if axis != at else (slice(None),) for axis, n in enumerate(shape[:-2])]
    for index in itertools.product(*ranges):
        plane = np.asarray(volume.data[index]).astype(dtype, copy=False)
        yield np.ascontiguousarray(np.moveaxis(plane, 0, -1) if volume.rgb else plane)


def _metadata(volume: Volume, axes: str) -> dict[str, Any]:
    said: dict[str, Any] = {"axes": axes, "Name": volume.name}
    spacing, unit = volume.grid.spacing, volume.grid.unit
    if unit != "pixel" or any(s != 1 for s in spacing):
        for axis, size in zip("ZYX"[-len(spacing) :], spacing, strict=True):
            said[f"PhysicalSize{axis}"] = size
            said[f"PhysicalSize{axis}Unit"] = unit
    if volume.time_step and "t" in volume.leading:
        said["TimeIncrement"] = volume.time_step
        said["TimeIncrementUnit"] = "s"
    if "c" in volume.leading and not volume.rgb:
        said["Channel"] = {"Name": list(volume.channel_names)}
    if isinstance(volume, LabelVolume):
        said.update(to_map(volume))
    return said


def _resolution(volume: Volume) -> dict[str, Any]:
    """Return the pixels a centimetre, for programs that do not read OME."""
    if volume.grid.unit == "pixel":
        return {}
    y, x = (s * millimetres(volume.grid.unit) / 10 for s in volume.grid.spacing[-2:])
    return {"resolution": (1 / x, 1 / y), "resolutionunit": "CENTIMETER"}
