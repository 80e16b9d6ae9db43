"""Volumes to labels, to fewer bits, and to the axis order that pictures and stacks have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ReadError
from ..volume import ArrayLike, LabelVolume, Volume
from .label_names import KEY
from .lazy import LazyArray

Array = npt.NDArray[Any]


def narrowed(array: Array, types: Sequence[str]) -> Array:
    """Return whole numbers in the first of ``types`` that holds them all, else as they are."""
    if array.size == 0:
        return array
    low, high = int(array.min()), int(array.max())
    for name in types:
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return array.astype(name)
    return array


def displayed(volume: Volume) -> Volume:
    """Return the volume with its axes in the order (z, y, x) that stacks and pictures have.

    Pictures and stacks are so already. Nothing is read or copied.
    """
    how = volume.grid.reorientation_to()
    if how.axes == tuple(range(volume.grid.ndim)) and not any(how.flips):
        return volume
    data: ArrayLike
    if isinstance(volume.data, np.ndarray):
        data = how.apply(volume.data)
    else:
        lead = len(volume.leading)
        order = (*range(lead), *(lead + a for a in how.axes))
        flips = (*(False for _ in range(lead)), *how.flips)
        data = LazyArray(volume.data, order=order, flips=flips, name=volume.source or volume.name)
    return replace(volume, data=data, grid=volume.grid.reoriented(how))


def as_labels(volume: Volume) -> LabelVolume:
    """Return what was read as an image as labels.

    Numbers with a point are labels if they are whole; a grey picture saved in colour is grey.

    Raises
    ------
    ReadError
        If the voxels are not whole numbers, or a voxel has more than one.
    """
    if isinstance(volume, LabelVolume):
        return volume
    where = volume.source or volume.name
    parts = {f.name: getattr(volume, f.name) for f in fields(Volume)}
    if "c" in volume.leading:
        parts["data"] = _one_channel(volume, where)
        parts.update(leading=volume.leading.replace("c", ""), rgb=False, channel_names=())
    if volume.dtype.kind == "f":
        parts["data"] = _whole(np.asarray(parts["data"][...]), where)
    elif volume.dtype.kind not in "iub":
        raise ReadError(f"{where} holds {volume.dtype}: labels are whole numbers.")
    classes, kind = volume.meta.get(KEY, ((), "classes"))
    parts["meta"] = {k: v for k, v in volume.meta.items() if k != KEY}
    return LabelVolume(**parts, classes=classes, kind=kind)


def _one_channel(volume: Volume, where: object) -> Array:
    array = np.moveaxis(volume.numpy(), volume.leading.index("c"), 0)
    grey = array[:3] if volume.rgb else array
    if not all(np.array_equal(grey[0], other) for other in grey[1:]):
        raise ReadError(
            f"{where} holds {volume.channels} numbers a voxel: labels have one. Save them in grey."
        )
    return np.asarray(grey[0])


def _whole(array: Array, where: object) -> Array:
    with np.errstate(invalid="ignore"):
        odd = ~(np.isfinite(array) & (np.abs(array) < 2**31) & (np.rint(array) == array))
    if odd.any():
        raise ReadError(
            f"{where} holds {array[odd][0]}: labels are whole numbers. Read it as an image."
        )
    return array.astype(np.int32)
