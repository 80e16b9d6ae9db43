"""Volumes and labels to NIfTI: with the header they came with, or with one made of their grid."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.volumeutils import apply_read_scaling

from ..errors import FormatError
from ..grid import Grid, Reorientation
from ..volume import LabelVolume, Volume
from .convert import narrowed
from .files import quiet
from .label_names import CARET, to_caret
from .nifti import META_KEY, NO_PATIENT, Stored

Array = npt.NDArray[Any]

_UNITS = {"m": "meter", "mm": "mm", "µm": "micron", "pixel": "unknown"}
# Units that NIfTI lacks: the one that is written, and how many of it they are.
_CONVERTED = {"nm": ("µm", 1e-3), "cm": ("mm", 10.0)}
_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
# gzip's usual 6 takes four times as long for files a few percent smaller.
_LEVEL = 3


def write(path: Path, volume: Volume) -> None:
    """Write a volume to a new .nii or .nii.gz file."""
    stored = volume.meta.get(META_KEY)
    with quiet("nibabel.global"):
        if isinstance(stored, Stored) and stored.grid == volume.grid:
            image = _as_read(volume, stored)
        else:
            image = _from_grid(volume)
        if isinstance(volume, LabelVolume):
            table = to_caret(volume)
            if table:
                image.header.extensions.append(nib.nifti1.Nifti1Extension(CARET, table))
        if path.name.lower().endswith(".gz"):
            # No name and no date inside, so that the same labels make the same file.
            with (
                path.open("wb") as file,
                gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as stream,
            ):
                image.to_stream(stream)
        else:
            with path.open("wb") as file:
                image.to_stream(file)


def _as_read(volume: Volume, stored: Stored) -> Any:
    """Return the image with its source's header: same geometry to the bit."""
    is_labels = isinstance(volume, LabelVolume)
    before = stored.header
    like = before.get_data_dtype() if not is_labels and stored.slope is None else None
    array = _trailing(volume, like)
    if _long_axes(array.shape) == _long_axes(stored.shape):
        array = array.reshape(stored.shape, order="F")  # with the axes of one voxel it had
    image_class = nib.Nifti2Image if max(array.shape) > 32767 else stored.image_class
    header = _copy(before, image_class)
    slope = inter = np.nan
    if is_labels:
        header.extensions.clear()
    elif stored.slope is not None and array.dtype.names is None:
        raw = _unscaled(array, before.get_data_dtype(), stored.slope, stored.inter or 0.0)
        if raw is not None:
            array, slope, inter = raw, stored.slope, stored.inter or 0.0
    header.set_data_dtype(array.dtype)
    # A broken affine was replaced by the grid's; nibabel stores one only where they differ.
    image = image_class(array, stored.grid.affine, header, dtype=array.dtype)
    image.header.set_slope_inter(slope, inter)  # making the image resets them
    if not volume.grid.anatomical and image.header["sform_code"] > 0:
        image.header["descrip"] = NO_PATIENT
        codes: Any = nib.nifti1.unit_codes.code
        time = int(image.header["xyzt_units"]) & 56
        image.header["xyzt_units"] = time | codes[_UNITS[volume.grid.unit]]
    return image


def _long_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n > 1)


def _copy(header: Any, image_class: Any) -> Any:
    """Return a copy of the header as the class of single files of that image has it."""
    wanted = image_class.header_class
    if isinstance(header, wanted):
        return header.copy()
    if wanted.sizeof_hdr == header.sizeof_hdr and "sform_code" in header.keys():  # noqa: SIM118
        single = wanted(header.binaryblock, header.endianness, check=False)
        single["magic"] = wanted.single_magic
        single.extensions.extend(header.extensions)
        return single
    return wanted.from_header(header, check=False)


def _unscaled(values: Array, dtype: np.dtype[Any], slope: float, inter: float) -> Array | None:
    """Return the numbers that slope and intercept turn into just these values, if there are."""
    if dtype.kind not in "iu":
        return None
    limits = np.iinfo(dtype)
    with np.errstate(all="ignore"):
        near = np.rint((values.astype(np.float64) - inter) / slope)
        if not (np.isfinite(near).all() and near.min() >= limits.min and near.max() <= limits.max):
            return None
        raw = near.astype(dtype)
    return raw if np.array_equal(apply_read_scaling(raw, slope, inter), values) else None


def _from_grid(volume: Volume) -> Any:
    """Return the image with a new header.

    Stacks and pictures, in (z, y, x), are stored in (x, y, z), as other programs expect it.
    """
    if not volume.grid.anatomical and META_KEY not in volume.meta:
        n = volume.grid.ndim
        volume = _reoriented(volume, Reorientation(tuple(reversed(range(n))), (False,) * n))
    array = _trailing(volume, None)
    image_class: Any = nib.Nifti2Image if max(array.shape) > 32767 else nib.Nifti1Image
    header = image_class.header_class()
    header.set_data_shape(array.shape)
    header.set_data_dtype(array.dtype)
    unit, factor = _CONVERTED.get(volume.grid.unit, (volume.grid.unit, 1.0))
    affine = volume.grid.affine.copy()
    affine[:3] *= factor
    _set_space(header, affine, volume.grid)
    header.set_xyzt_units(_UNITS[unit], "sec" if "t" in volume.leading else "unknown")
    if "t" in volume.leading:
        header["pixdim"][4] = volume.time_step or 0.0
    if "c" in volume.leading and array.dtype.names is None:
        header.set_intent("vector")
    if not volume.grid.anatomical:
        header["descrip"] = NO_PATIENT
    return image_class(array, affine, header, dtype=array.dtype)


def _set_space(header: Any, affine: npt.NDArray[np.float64], grid: Grid) -> None:
    code = "scanner" if grid.anatomical else "aligned"
    if grid.is_orthogonal:
        header.set_qform(affine, code, strip_shears=True)
    else:  # a quaternion cannot shear
        header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    header.set_sform(affine, code)


def _reoriented(volume: Volume, how: Reorientation) -> Volume:
    return replace(volume, data=how.apply(volume.numpy()), grid=volume.grid.reoriented(how))


def _trailing(volume: Volume, like: np.dtype[Any] | None) -> Array:
    """Return the voxels in NIfTI's axis order (x, y, z, time, component) and in a type it has."""
    array = volume.numpy()
    if volume.rgb and array.dtype == np.uint8:
        array = np.moveaxis(array, volume.leading.index("c"), -1)
        fields = [(letter, "u1") for letter in "RGBA"[: array.shape[-1]]]
        array = np.ascontiguousarray(array).view(np.dtype(fields))[..., 0]
        leading = volume.leading.replace("c", "")
    else:
        array = _stored_type(volume, array, like)
        leading = volume.leading
    n = volume.grid.ndim
    if not leading:
        return array
    array = array.transpose(*range(len(leading), array.ndim), *range(len(leading)))
    ones = [1] * (3 - n) + ([1] if leading == "c" else [])
    return array.reshape((*array.shape[:n], *ones, *array.shape[n:]))


def _stored_type(volume: Volume, array: Array, like: np.dtype[Any] | None) -> Array:
    if like is not None and array.dtype == like:
        return array
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        array = narrowed(array, ("i4", "u4") if isinstance(volume, LabelVolume) else ("i4",))
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.newbyteorder("=").str[1:] not in _TYPES:
        raise FormatError(f"NIfTI holds no {array.dtype} voxels: convert them to float32.")
    return array
