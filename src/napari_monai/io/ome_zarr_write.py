"""Labels to OME-Zarr, slab by slab: alone, or in the group of the image that they belong to.

Every level is every second voxel of the one before it, so that no label is made up.
"""

from __future__ import annotations

import colorsys
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ..errors import FormatError, WriteError
from ..volume import LabelClass, LabelVolume, Volume
from .convert import displayed
from .label_names import states_of
from .ome_zarr import OURS, metadata_of

_UNITS = {"m": "meter", "cm": "centimeter", "mm": "millimeter", "µm": "micrometer",
          "nm": "nanometer"}  # fmt: skip
# Voxels of a chunk along (z, y, x), and along (y, x).
_CHUNKS = {3: (32, 256, 256), 2: (1024, 1024)}
# Bytes that are read at once, and thus held.
_BLOCK = 2**27
# Alone: halved until the plane is this small, this often at most.
_SMALL, _MOST = 256, 6


@dataclass(frozen=True)
class _Image:
    """What labels share with their image."""

    zarr_format: Any
    levels: tuple[tuple[int, ...], ...]  # shapes of its spatial axes


def write(path: Path, volume: Volume) -> None:
    """Write labels into a new group."""
    image = _image_of(path)
    labels = _writable(volume)
    n = labels.grid.ndim
    shapes = _levels(labels) if image is None else image.levels
    if shapes[0] != labels.grid.shape:
        raise FormatError(
            f"Labels of {labels.grid.shape} do not fit an image of {shapes[0]}: write them to a "
            "place of their own."
        )
    zarr_format: Any = 3 if image is None else image.zarr_format
    group = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    dtype = np.dtype("u1") if labels.dtype.kind == "b" else labels.dtype.newbyteorder("=")
    strides = [1] * n
    datasets = []
    before: Any = labels.data
    for number, shape in enumerate(shapes):
        array = _new_array(group, labels, str(number), shape, dtype)
        if number == 0:
            _fill(array, before, (1,) * n)
        else:
            step = tuple(
                max(1, round(a / b)) for a, b in zip(shapes[number - 1], shape, strict=True)
            )
            _fill(array, before, step)
            strides = [s * t for s, t in zip(strides, step, strict=True)]
        datasets.append({"path": str(number), "coordinateTransformations": _place(labels, strides)})
        before = array
    _describe(group, labels, datasets, inside=image is not None)


def _writable(volume: Volume) -> LabelVolume:
    if not isinstance(volume, LabelVolume):
        raise FormatError("Only labels are written to OME-Zarr: write images to .ome.tif instead.")
    shown = displayed(volume)
    if not isinstance(shown, LabelVolume) or shown.grid.is_oblique or not shown.grid.is_orthogonal:
        raise FormatError(
            "OME-Zarr holds no grid that is turned or sheared: write .nii.gz instead."
        )
    return shown


def _levels(labels: LabelVolume) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of the levels: axes of small voxels are halved until all are alike."""
    shapes = [labels.grid.shape]
    spacing = np.array(labels.grid.spacing)
    while len(shapes) < _MOST and max(shapes[-1][-2:]) > _SMALL:
        halved = (spacing < 1.5 * spacing[-2:].max()) & (np.array(shapes[-1]) > 1)
        shapes.append(
            tuple((s + 1) // 2 if h else s for s, h in zip(shapes[-1], halved, strict=True))
        )
        spacing = np.where(halved, spacing * 2, spacing)
    return tuple(shapes)


def _new_array(
    group: zarr.Group, labels: LabelVolume, name: str, shape: tuple[int, ...], dtype: Any
) -> zarr.Array[Any]:
    lead = tuple(labels.data.shape[: len(labels.leading)])
    chunks = tuple(min(c, s) for c, s in zip(_CHUNKS[len(shape)], shape, strict=True))
    options: dict[str, Any] = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    if group.metadata.zarr_format == 3:
        options = {"dimension_names": list(_axis_names(labels))}
    return group.create_array(
        name,
        shape=(*lead, *shape),
        chunks=(*(1 for _ in lead), *chunks),
        dtype=dtype,
        fill_value=0,
        **options,
    )


def _fill(array: zarr.Array[Any], source: Any, step: tuple[int, ...]) -> None:
    """Fill a level with every ``step``-th voxel of the one before, some chunks at a time."""
    lead = array.ndim - len(step)
    most = _BLOCK // array.dtype.itemsize
    for time in np.ndindex(array.shape[:lead]):
        for box in _boxes(array.shape[lead:], array.chunks[lead:], most):
            key, more = [], []
            for side, n, s in zip(box, source.shape[lead:], step, strict=True):
                first, last = (min(k * s, n - 1) for k in (side.start, side.stop - 1))
                key.append(slice(first, last + 1, s))
                # The image may have rounded its lengths up.
                more.append((0, side.stop - side.start - len(range(first, last + 1, s))))
            block = np.asarray(source[(*time, *key)])
            if any(after for _, after in more):
                block = np.pad(block, more, mode="edge")
            array[(*time, *box)] = block.astype(array.dtype, copy=False)


def _boxes(
    shape: tuple[int, ...], chunks: tuple[int, ...], most: int
) -> Iterator[tuple[slice, ...]]:
    """Yield boxes of whole chunks that tile an array: rows of them, cut where they are too large.

    ``most`` is how many voxels a box has at most, if a chunk does not have more.
    """
    sizes = [min(chunks[0], shape[0]), *shape[1:]]
    for axis in range(1, len(sizes)):
        others = math.prod(sizes) // sizes[axis]
        sizes[axis] = min(sizes[axis], max(1, most // (others * chunks[axis])) * chunks[axis])
    sides = (
        [slice(k, min(k + size, n)) for k in range(0, n, size)]
        for n, size in zip(shape, sizes, strict=True)
    )
    yield from itertools.product(*sides)


# -- what is said of them -----------------------------------------------------------------------


def _axis_names(labels: LabelVolume) -> str:
    return labels.leading + "zyx"[-labels.grid.ndim :]


def _place(labels: LabelVolume, strides: list[int]) -> list[dict[str, Any]]:
    lead = [labels.time_step or 1.0] * len(labels.leading)
    scale = [float(s) * t for s, t in zip(labels.grid.spacing, strides, strict=True)]
    found: list[dict[str, Any]] = [{"type": "scale", "scale": [*lead, *scale]}]
    start = _start(labels)
    if any(start):
        found.append({"type": "translation", "translation": [*(0.0 for _ in lead), *start]})
    return found


def _start(labels: LabelVolume) -> list[float]:
    """Return where the first voxel is, along each axis; all of them run away from the world's."""
    world = [int(a) for a in np.abs(labels.grid.affine[:3, : labels.grid.ndim]).argmax(axis=0)]
    return [float(-labels.grid.origin[w]) + 0.0 for w in world]


def _describe(
    group: zarr.Group, labels: LabelVolume, datasets: list[dict[str, Any]], *, inside: bool
) -> None:
    version = "0.5" if group.metadata.zarr_format == 3 else "0.4"
    axes: list[dict[str, str]] = []
    for name in _axis_names(labels):
        axis = {"name": name, "type": "time" if name == "t" else "space"}
        unit = "second" if name == "t" and labels.time_step else _UNITS.get(labels.grid.unit)
        if unit and (name != "t" or labels.time_step):
            axis["unit"] = unit
        axes.append(axis)
    multiscale = {"name": labels.name, "axes": axes, "datasets": datasets, "type": "stride"}
    label = _image_label(labels)
    if inside:
        label["source"] = {"image": "../../"}
    ours: dict[str, Any] = {"anatomical": labels.grid.anatomical, "kind": labels.kind}
    ours |= states_of(labels)
    if labels.kind == "classes":
        ours["uncoloured"] = [c.number for c in labels.classes if not c.colour]
    else:
        ours["classes"] = [(c.number, c.name, c.colour) for c in labels.classes]
    if version == "0.5":
        said: dict[str, Any] = {
            "ome": {"version": version, "multiscales": [multiscale], "image-label": label}
        }
    else:
        said = {
            "multiscales": [{"version": version, **multiscale}],
            "image-label": {"version": version, **label},
        }
    group.attrs.update({**said, OURS: ours})


def _image_label(labels: LabelVolume) -> dict[str, Any]:
    label: dict[str, Any] = {}
    if labels.kind == "instances":
        return label
    if labels.classes:
        # Readers expect colours and names of the same labels.
        label["colors"] = [
            {"label-value": c.number, "rgba": [*_rgb(c), 255]} for c in labels.classes
        ]
        label["properties"] = [{"label-value": c.number, "name": c.name} for c in labels.classes]
    return label


def _rgb(one: LabelClass) -> tuple[int, ...]:
    """Return the colour of a class, or one that is unlike those of its neighbours."""
    if one.colour:
        return tuple(bytes.fromhex(one.colour[1:7]))
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(one.number * 0.618 % 1, 0.6, 1))


# -- inside an image ----------------------------------------------------------------------------


def _image_of(path: Path) -> _Image | None:
    """Return what the image above ``.../labels/name`` is like, or None if there is none."""
    folder = next((p for p in path.parents if p.name == "labels"), None)
    group = _group(folder.parent) if folder else None
    if group is None or "multiscales" not in metadata_of(group):
        return None
    multiscale = metadata_of(group)["multiscales"][0]
    spatial = [a for a, axis in enumerate(multiscale["axes"]) if axis.get("type") == "space"]
    shapes = []
    for dataset in multiscale["datasets"]:
        shape = group[dataset["path"]].shape  # type: ignore[union-attr]
        shapes.append(tuple(int(shape[a]) for a in spatial))
    return _Image(group.metadata.zarr_format, tuple(shapes))


def _group(path: Path) -> zarr.Group | None:
    try:
        return zarr.open_group(str(path), mode="r")
    except (FileNotFoundError, KeyError, ValueError):
        return None


def prepare(path: Path, volume: Volume) -> None:
    """Check the final place of labels, and make the group of labels in an image.

    Raises
    ------
    WriteError
        If an image lies there, which labels would replace.
    """
    there = _group(path) if path.exists() else None
    if path.exists() and (there is None or not _is_label(metadata_of(there))):
        raise WriteError(
            f"{path} exists and holds no labels: choose another name, or put them into an image's "
            f"group as {path.name}/labels/NAME."
        )
    _writable(volume)
    image = _image_of(path)
    if image is not None and not path.parent.exists():
        zarr.open_group(str(path.parent), mode="w", zarr_format=image.zarr_format)


def _is_label(ome: Mapping[str, Any]) -> bool:
    return "image-label" in ome


def register(path: Path) -> None:
    """List labels in the group of an image's labels, if they lie in one."""
    image = _image_of(path)
    if image is None:
        return
    group = zarr.open_group(str(path.parent), mode="a", zarr_format=image.zarr_format)
    names = [*_listed(group)]
    if path.name not in names:
        names.append(path.name)
    if image.zarr_format == 3:
        group.attrs["ome"] = {**metadata_of(group), "version": "0.5", "labels": names}
    else:
        group.attrs["labels"] = names


def _listed(group: zarr.Group) -> Iterator[str]:
    yield from (str(n) for n in metadata_of(group).get("labels") or ())
