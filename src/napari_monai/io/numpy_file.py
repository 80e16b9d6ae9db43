"""NumPy files: ``.npy`` holds an array alone, ``.npz`` the whole volume.

An array without a description is taken as (z, y, x) or (y, x); a last axis of 3 or 4 bytes is
colour, and in front of three spatial axes comes time.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import FormatError, ReadError
from ..grid import Grid
from ..volume import LabelClass, LabelVolume, Volume
from .convert import displayed
from .files import DEFLATE_LIMIT, LAZY_FROM, check_size, map_mode, one_line
from .formats import ALL, extension_of, stem_of
from .lazy import blank

Array = npt.NDArray[Any]

# The entry of an archive that describes the others.
_DESCRIPTION = "napari_monai"
# Bytes of a note that are read: no honest one is longer.
_LONGEST_NOTE = 2**24


def volumes(path: Path, *, labels: bool, voxels: Container[int] = ALL) -> Iterator[Volume]:
    """Yield the array of a ``.npy``, or the volumes of a ``.npz``."""
    if extension_of(path) == ".npz":
        yield from _archive(path, voxels)
    else:
        yield _bare(path, _load_array(path, 0 in voxels), stem_of(path))


def _load_array(path: Path, voxels: bool) -> Array:
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ReadError(f"{path} is not a NumPy file. Check what it is.")
        file.seek(0)
        needed = _promised(file)
        check_size(path, needed, offset=file.tell())
    size = path.stat().st_size
    mode = map_mode(size) if size >= LAZY_FROM or not voxels else None
    return np.asanyarray(np.load(path, mmap_mode=mode, allow_pickle=False))


def _promised(file: IO[bytes]) -> int:
    """Return how many bytes of voxels a header promises: NumPy would ask for them unseen."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:  # names of fields outside of latin-1: no image
        return 0
    return 0 if dtype.hasobject else math.prod(shape) * dtype.itemsize


def _bare(path: Path, array: Array, name: str) -> Volume:
    if array.dtype.kind not in "biuf":
        raise ReadError(f"{path} holds {array.dtype}: an image is made of numbers.")
    if array.size == 0:
        raise ReadError(f"{path} has no voxels: its shape is {array.shape}.")
    colour = array.ndim in (3, 4) and array.shape[-1] in (3, 4) and array.dtype == np.uint8
    leading = {4: "t", 5: "tc"}.get(array.ndim, "")
    if colour:
        array, leading = np.moveaxis(array, -1, 0), "c"
    n = array.ndim - len(leading)
    if n not in (2, 3):
        raise ReadError(f"{path} has {array.ndim} axes: an image has 2 to 5.")
    grid = Grid.from_spacing(array.shape[len(leading) :])
    return Volume(array, grid, leading, rgb=colour, name=name, source=path)


def _archive(path: Path, voxels: Container[int]) -> Iterator[Volume]:
    if not zipfile.is_zipfile(path):
        raise ReadError(f"{path} is not a NumPy archive, or truncated. Copy it again.")
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.file_size > max(entry.compress_size, 1) * DEFLATE_LIMIT:
                raise ReadError(f"{path} is damaged: {entry.filename} cannot be that large.")
            with archive.open(entry) as file:
                if entry.filename.endswith(".npy") and _promised(file) > entry.file_size:
                    raise ReadError(f"{path} is damaged: {entry.filename} is not that large.")
    with np.load(path, allow_pickle=False) as arrays:
        if _DESCRIPTION in arrays:
            data = _data(path, arrays) if 0 in voxels else _outline(path, "data")
            yield _described(path, data, json.loads(str(arrays[_DESCRIPTION][()])))
            return
        names = [name for name in arrays if _outline(path, name).ndim >= 2]
        for number, name in enumerate(names):
            array = arrays[name] if number in voxels else _outline(path, name)
            yield _bare(path, array, stem_of(path) + (f" {name}" if len(names) > 1 else ""))


def _data(path: Path, arrays: Mapping[str, Array]) -> Array:
    """Return the voxels of an archive; left in the file where they are large and not packed."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("data.npy")
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size < LAZY_FROM:
        return arrays["data"]
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        # APPNOTE.TXT of zip, 4.3.7: the lengths of name and extra field end the fixed part.
        head = file.read(30)
        if head[:4] != b"PK\x03\x04":
            raise ReadError(f"{path} is damaged: data.npy is not where it is said to be.")
        file.seek(sum(struct.unpack("<HH", head[26:])), os.SEEK_CUR)
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            return arrays["data"]
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.hasobject:
            return arrays["data"]
        size = math.prod(shape) * dtype.itemsize
        check_size(path, size, offset=file.tell())
        order: Literal["C", "F"] = "F" if fortran else "C"
        return np.memmap(path, dtype, map_mode(size), file.tell(), shape, order)


def _outline(path: Path, name: str) -> Array:
    """Return the shape and type of an array in an archive, as a blank one."""
    formats = np.lib.format
    with zipfile.ZipFile(path) as archive:
        entry = name if name in archive.namelist() else f"{name}.npy"
        with archive.open(entry) as file:
            if formats.read_magic(file) == (1, 0):
                shape, _, dtype = formats.read_array_header_1_0(file)
            else:
                shape, _, dtype = formats.read_array_header_2_0(file)
    return blank(shape, dtype)


def _described(path: Path, data: Array, said: dict[str, Any]) -> Volume:
    leading = said["leading"]
    grid = Grid(
        data.shape[len(leading) :], np.asarray(said["affine"]), said["unit"], said["anatomical"]
    )
    common = {
        "data": data,
        "grid": grid,
        "leading": leading,
        "name": stem_of(path),
        "source": path,
        "time_step": said["time_step"],
    }
    if "classes" in said:
        classes = tuple(_class(c) for c in said["classes"])
        return LabelVolume(**common, classes=classes, kind=said["kind"])
    return Volume(**common, channel_names=tuple(said["channel_names"]), rgb=said["rgb"])


def _class(said: dict[str, Any]) -> LabelClass:
    visible, locked = said.get("visible") is not False, said.get("locked") is True
    return LabelClass(said["number"], said["name"], said["colour"], visible, locked)


def write(path: Path, volume: Volume) -> None:
    """Write a volume: ``.npz`` keeps its space, ``.npy`` only the array in display order."""
    if extension_of(path) == ".npz":
        write_archive(path, volume)
        return
    volume = displayed(volume)
    array = volume.numpy()
    if volume.rgb and volume.leading == "c":
        array = np.moveaxis(array, 0, -1)
    if _bare(path, array, "").leading != volume.leading:
        raise FormatError(
            f".npy cannot say which axis is {'time' if 't' in volume.leading else 'the channel'}: "
            "write .npz instead."
        )
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_archive(
    path: Path, volume: Volume, *, level: int = 6, notes: Mapping[str, str] | None = None
) -> None:
    """Write a volume as ``.npz``.

    Parameters
    ----------
    path
        Where to; the file is not replaced at one stroke, see `napari_monai.io.files.replacing`.
    volume
        The volume.
    level
        How hard to compress, 1 (fast) to 9; 0 not at all: large images are then read where they
        are needed.
    notes
        Texts that go into the archive too, by the names of their entries; see `read_note`.
    """
    packing = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", packing, compresslevel=level) as archive:
        for name, text in (notes or {}).items():
            archive.writestr(name, text)
        with archive.open(f"{_DESCRIPTION}.npy", "w") as entry:
            description = np.array(json.dumps(_description(volume)))
            np.lib.format.write_array(entry, description, allow_pickle=False)
        with archive.open("data.npy", "w", force_zip64=True) as entry:
            header = {
                "descr": np.lib.format.dtype_to_descr(volume.dtype),
                "fortran_order": _is_fortran(volume.data),
                "shape": tuple(volume.data.shape),
            }
            np.lib.format.write_array_header_1_0(entry, header)
            for part in _planes(volume):
                entry.write(part.tobytes())


def _planes(volume: Volume) -> Iterator[Array]:
    """Yield an image piece by piece as it lies in memory: not all of a lazy one at once."""
    data: Any = volume.data
    if _is_fortran(data):
        data = data.T
    for index in np.ndindex(*data.shape[: max(1, len(data.shape) - 2)]):
        yield np.asarray(data[index])


def _is_fortran(data: object) -> bool:
    """Whether the first axis is the fastest in memory."""
    return isinstance(data, np.ndarray) and data.flags.fnc


def read_note(path: Path, name: str) -> str:
    """Return a text in an archive; see `write_archive`. Raises ReadError where there is none."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as entry:
            return entry.read(_LONGEST_NOTE).decode("utf-8")
    # What zipfile raises for an archive that is damaged, encrypted or packed in unknown ways.
    except (KeyError, ValueError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ReadError(
            f"{path} is damaged, or not an archive of ours: {one_line(error)}. Copy it again or "
            "delete it."
        ) from error
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {one_line(error)}.") from error


def _description(volume: Volume) -> dict[str, Any]:
    said: dict[str, Any] = {
        "affine": volume.grid.affine.tolist(),
        "unit": volume.grid.unit,
        "anatomical": volume.grid.anatomical,
        "leading": volume.leading,
        "time_step": volume.time_step,
    }
    if isinstance(volume, LabelVolume):
        return {**said, "kind": volume.kind, "classes": [asdict(c) for c in volume.classes]}
    return {**said, "channel_names": list(volume.channel_names), "rgb": volume.rgb}
