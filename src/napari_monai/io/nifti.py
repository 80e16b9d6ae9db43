"""NIfTI-1 and -2, and the header and image pairs of NIfTI and ANALYZE.

Voxels stay in the file's order (i, j, k) and type; sform goes before qform, as nibabel has it.
What is written again has the header it was read with, so that its geometry is bit-identical.
"""

from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Container, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.volumeutils import apply_read_scaling

from ..errors import GridError, ReadError, VolumeWarning
from ..grid import Grid
from ..volume import ArrayLike, Volume
from .files import (
    DEFLATE_LIMIT,
    LAZY_FROM,
    check_size,
    map_mode,
    memory_budget,
    quiet,
    scratch_array,
)
from .formats import ALL, stem_of
from .label_names import CARET, KEY, from_caret
from .lazy import LazyArray, blank

Array = npt.NDArray[Any]

# What the writer leaves in the header's description of a grid without a patient, for the reader.
NO_PATIENT = b"not anatomical"
META_KEY = "nifti"

_UNITS = {"meter": "m", "mm": "mm", "micron": "µm", "unknown": "mm"}
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}
_CHUNK = 2**24


@dataclass(frozen=True)
class Stored:
    """How a volume lay in its file: what the writer needs to store it in the same way."""

    header: Any
    image_class: type[Any]
    shape: tuple[int, ...]
    grid: Grid
    slope: float | None
    inter: float | None


@dataclass(frozen=True)
class _Source:
    """A parsed header, and where its voxels are."""

    header: Any
    affine: npt.NDArray[np.float64]
    slope: float | None
    inter: float | None
    voxels: Path
    offset: int


def volumes(path: Path, *, labels: bool, voxels: Container[int] = ALL) -> Iterator[Volume]:
    """Yield the one volume of a file; what is stored does not depend on ``labels``."""
    with quiet("nibabel.global"):
        source = (
            _pair(path)
            if path.name.lower().endswith((".hdr", ".img", ".img.gz"))
            else (_single(path))
        )
        volume = _volume(path, source, 0 in voxels)
    yield volume


# -- the header ---------------------------------------------------------------------------------


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """Open a file whether it is compressed or not, whatever its name says."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if compressed else path.open("rb")


def _single(path: Path) -> _Source:
    with closing(_open(path)) as file:
        head = file.read(544)
        kind = _header_class(path, head)
        offset = int(_finite(kind(head[: kind.sizeof_hdr], check=False)["vox_offset"]))
        # Extensions lie between header and voxels, and are all read at once.
        check_size(path, offset, ratio=DEFLATE_LIMIT if isinstance(file, gzip.GzipFile) else 1)
        header = kind.from_fileobj(io.BytesIO(head + file.read(max(0, offset - len(head)))))
    slope, inter = _scaling(header)
    offset = header.get_data_offset() or kind.single_vox_offset
    return _Source(header, header.get_best_affine(), slope, inter, path, offset)


def _header_class(path: Path, head: bytes) -> Any:
    size = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    if 348 in size and head[344:348] == b"n+1\0":
        return nib.Nifti1Header
    if 540 in size and head[4:8] == b"n+2\0":
        return nib.Nifti2Header
    if head[344:348] == b"ni1\0" or head[4:8] == b"ni2\0" or 348 in size:
        raise ReadError(
            f"{path} is the header of a pair of files: name it .hdr beside its .img and open that."
        )
    if not head:
        raise ReadError(f"{path} is empty. Copy it from its source again.")
    raise ReadError(f"{path} is not a NIfTI file: it lacks the header. Check what it is.")


def _pair(path: Path) -> _Source:
    image: Any = nib.load(path)
    proxy = image.dataobj
    return _Source(
        image.header,
        image.affine,
        None if proxy.slope == 1 and proxy.inter == 0 else float(proxy.slope),
        None if proxy.slope == 1 and proxy.inter == 0 else float(proxy.inter),
        Path(image.file_map["image"].filename),
        int(proxy.offset),
    )


def _scaling(header: Any) -> tuple[float | None, float | None]:
    """Return slope and intercept, or None twice when they change nothing or mean nothing."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        return None, None
    inter = _finite(inter)
    return (None, None) if (slope, inter) == (1, 0) else (slope, inter)


def _finite(value: Any) -> float:
    return float(value) if np.isfinite(value) else 0.0


# -- the space ----------------------------------------------------------------------------------


def _grid(path: Path, source: _Source, shape: tuple[int, ...]) -> Grid:
    header = source.header
    nifti = "sform_code" in header.keys()  # noqa: SIM118 (a header is no dict)
    not_patient = nifti and header["descrip"].item().startswith(NO_PATIENT)
    unit = _unit(header, 0, _UNITS, "mm") if nifti else "mm"
    if not_patient and _raw_unit(header) == 0:
        unit = "pixel"
    known = nifti and (header["sform_code"] > 0 or header["qform_code"] > 0)
    try:
        return Grid(shape, source.affine, unit, bool(known and not not_patient))
    except GridError:
        pass
    sizes = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    sizes = np.where(np.isfinite(sizes) & (sizes > 0), sizes, 1.0)
    warnings.warn(
        VolumeWarning(
            f"{path}: its affine is not finite or singular; only the voxel size "
            f"{tuple(sizes.tolist())} {unit} was used, not position and orientation."
        ),
        stacklevel=2,
    )
    return Grid(shape, np.diag([*sizes, 1.0]), unit, anatomical=False)


def _raw_unit(header: Any) -> int:
    return int(header["xyzt_units"]) & 7


def _unit(header: Any, which: int, names: dict[str, Any], other: Any) -> Any:
    """Return the spatial (0) or temporal (1) unit as ``names`` has it."""
    try:
        return names.get(header.get_xyzt_units()[which], other)
    except KeyError:  # a code that the standard does not have
        return other


def _time_step(header: Any) -> float | None:
    if "xyzt_units" not in header.keys():  # noqa: SIM118
        return None
    factor = _unit(header, 1, _SECONDS, None)
    step = float(header["pixdim"][4])
    return step * factor if factor and np.isfinite(step) and step > 0 else None


# -- the voxels ---------------------------------------------------------------------------------


def _volume(path: Path, source: _Source, voxels: bool) -> Volume:
    header = source.header
    shape = tuple(int(n) for n in header.get_data_shape())
    dtype = np.dtype(header.get_data_dtype())
    if not shape or min(shape) < 1:
        raise ReadError(f"{path} has no voxels: its shape is {shape}. Check how it was made.")
    if dtype.kind == "c":
        raise ReadError(f"{path} holds complex numbers: save magnitude and phase as two files.")
    raw = _raw(source, shape, dtype, voxels)
    colour = dtype.names is not None
    if colour and not voxels:
        raw = blank((len(dtype.names or ()), *shape), np.uint8)
    elif colour:
        flat = raw.reshape(-1, order="F").view(np.uint8)
        raw = flat.reshape((len(dtype.names or ()), *shape), order="F")
    view, leading = _leading(path, raw, shape, colour)
    grid = _grid(path, source, view.shape[len(leading) :])
    data: ArrayLike = view
    if source.slope is not None and not colour:
        data = _scaled(view, source.slope, source.inter or 0.0, voxels)
    header = header.copy()
    header.set_data_offset(0)
    if header.has_data_slope:
        header.set_slope_inter(np.nan, np.nan)
    two = isinstance(header, nib.Nifti2Header)
    stored = Stored(
        header, nib.Nifti2Image if two else nib.Nifti1Image, shape, grid, source.slope, source.inter
    )
    return Volume(
        data,
        grid,
        leading,
        rgb=colour,
        name=stem_of(path),
        source=path,
        time_step=_time_step(header) if "t" in leading else None,
        meta={META_KEY: stored, **_named(source.header)},
    )


def _named(header: Any) -> dict[str, Any]:
    """Return the classes that an extension of the header names, for when it is read as labels."""
    for extension in getattr(header, "extensions", ()):
        if extension.get_code() == CARET:
            found = from_caret(bytes(extension.content))
            if found is not None:
                return {KEY: found}
    return {}


def _leading(path: Path, raw: Array, shape: tuple[int, ...], colour: bool) -> tuple[Array, str]:
    """Return a view with the axes of time and channels first, and which of them there are.

    ``raw`` has the axes (x, y, z, time, vector component), behind its colours if it has any.
    """
    first = int(colour)
    if len(shape) == 1:
        return raw.reshape((*raw.shape, 1)), "c" if colour else ""
    if any(n > 1 for n in shape[5:]) or (colour and any(n > 1 for n in shape[4:])):
        raise ReadError(f"{path} has more than space, time and channels: its shape is {shape}.")
    spatial = tuple(range(first, first + min(3, len(shape))))
    lead, leading = [], ""
    for axis, letter in ((3, "t"), (4, "c")):
        if len(shape) > axis and shape[axis] > 1:
            lead.append(first + axis)
            leading += letter
    if colour:
        lead.append(0)
        leading += "c"
    dropped = [a for a in range(raw.ndim) if a not in (*lead, *spatial)]
    view = raw.transpose(*lead, *spatial, *dropped)
    return view.reshape(view.shape[: view.ndim - len(dropped)]), leading


def _scaled(raw: Array, slope: float, inter: float, voxels: bool) -> ArrayLike:
    """Return slope * raw + intercept in the type that nibabel chooses."""

    def convert(block: Array) -> Array:
        return np.asarray(apply_read_scaling(block, slope, inter))

    dtype = convert(np.zeros(1, raw.dtype)).dtype
    if not voxels:
        return blank(raw.shape, dtype)
    if raw.size * dtype.itemsize < LAZY_FROM:
        return convert(raw)
    return LazyArray(raw, convert=convert, dtype=dtype)


def _raw(source: _Source, shape: tuple[int, ...], dtype: np.dtype[Any], voxels: bool) -> Array:
    """Return the voxels as stored, in Fortran order: mapped, in memory, or unpacked to disk."""
    path, offset = source.voxels, source.offset
    count = 1
    for n in shape:  # in Python's integers: hostile headers overflow numpy's
        count *= n
    needed = count * dtype.itemsize
    with closing(_open(path)) as file:
        if not isinstance(file, gzip.GzipFile):
            check_size(path, needed, offset=offset)
            if not voxels:
                return blank(shape, dtype)
            return np.memmap(path, dtype, map_mode(needed), offset, shape, order="F")
        check_size(path, needed + offset, ratio=DEFLATE_LIMIT)
        if not voxels:
            return blank(shape, dtype)
        try:
            _skip(file, offset)
            if needed > memory_budget():
                array = scratch_array(shape, dtype, _chunks(file, needed))
            else:
                flat = np.empty(needed, np.uint8)
                done = 0
                for chunk in _chunks(file, needed):
                    flat[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
                    done += len(chunk)
                array = flat.view(dtype).reshape(shape, order="F")
            _check_end(path, file, max(needed, LAZY_FROM))
        except EOFError:
            raise ReadError(f"{path} is truncated. Copy it from its source again.") from None
    return array


def _check_end(path: Path, file: gzip.GzipFile, most: int) -> None:
    """Read to the end, so that the checksum is checked; ``most`` bytes more at most."""
    while chunk := file.read(_CHUNK):
        most -= len(chunk)
        if most < 0:
            raise ReadError(
                f"{path} holds far more than the voxels its header promises: it is damaged. Copy "
                "it from its source again."
            )


def _skip(file: gzip.GzipFile | io.BufferedReader, count: int) -> None:
    for _ in _chunks(file, count):
        pass


def _chunks(file: gzip.GzipFile | io.BufferedReader, count: int) -> Iterator[bytes]:
    """Yield ``count`` bytes in pieces; raises EOFError if the file ends before."""
    while count:
        chunk = file.read(min(count, _CHUNK))
        if not chunk:
            raise EOFError
        count -= len(chunk)
        yield chunk


def write(path: Path, volume: Volume) -> None:
    """Write a volume; see `napari_monai.io.nifti_write`."""
    from . import nifti_write  # it needs this module

    nifti_write.write(path, volume)
