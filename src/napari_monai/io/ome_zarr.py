"""OME-Zarr 0.4 and 0.5: a folder of chunks at several resolutions, the finest of which is read.

After https://ngff.openmicroscopy.org/0.5/ and /0.4/. Axes leave as (time, channel, z, y, x). With
labels asked for, the label images of an image are what is read.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ..errors import GridError, ReadError, VolumeWarning
from ..grid import Grid, millimetres, unit_name
from ..volume import LabelClass, LabelVolume, Volume
from .convert import as_labels
from .files import LAZY_FROM, memory_budget
from .formats import ALL, stem_of
from .label_names import with_states
from .lazy import LazyArray

META_KEY = "ome_zarr"
# The attribute under which the writer keeps what the format has no field for.
OURS = "napari-monai"
_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
_LONGEST = 2**26
_SECONDS = {
    "second": 1.0, "millisecond": 1e-3, "microsecond": 1e-6, "minute": 60.0, "hour": 3600.0,
    "day": 86400.0,
}  # fmt: skip


@dataclass(frozen=True)
class Level:
    """One resolution: its path in the group, the shape of its array as stored."""

    path: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Pyramid:
    """Where the resolutions of an image are, the finest first, and what their axes are."""

    group: Path
    axes: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class _Axis:
    name: str
    kind: str
    unit: str


def volumes(path: Path, *, labels: bool, voxels: Container[int] = ALL) -> Iterator[Volume]:
    """Yield the images of a group: its own, those of its series, or with ``labels`` its labels."""
    for metadata in _METADATA:
        file = path / metadata
        if file.is_file() and file.stat().st_size > _LONGEST:
            raise ReadError(f"{file} is too large to be a description. Check what it is.")
    group = zarr.open(str(path), mode="r")
    if not isinstance(group, zarr.Group):
        raise ReadError(f"{path} is one Zarr array: open the OME-Zarr folder that it lies in.")
    ome = metadata_of(group)
    if "plate" in ome or "well" in ome:
        raise ReadError(
            f"{path} is a plate or a well of images: name one image in it, as in A/1/0."
        )
    images = [(path, group, stem_of(path))]
    if "multiscales" not in ome:
        images = [(path / name, s, f"{stem_of(path)} {name}") for name, s in _series(group)]
    number = itertools.count()
    for image in images:
        for volume in _image(*image, labels):
            wanted = next(number) in voxels
            yield _in_memory(volume) if wanted else volume
    if not images:
        raise ReadError(f"{path} is no OME-Zarr image: it says nothing of multiscales.")


def _in_memory(volume: Volume) -> Volume:
    """Return the volume with its voxels in memory, unless they are many."""
    if isinstance(volume.data, LazyArray) and volume.nbytes < LAZY_FROM:
        return replace(volume, data=volume.numpy())
    return volume


def metadata_of(group: zarr.Group) -> Mapping[str, Any]:
    """Return what a group says of its images: under "ome" from version 0.5 on."""
    attributes: Mapping[str, Any] = group.attrs.asdict()
    found = attributes.get("ome", attributes)
    return found if isinstance(found, Mapping) else {}


def _ours_of(group: zarr.Group) -> Mapping[str, Any]:
    """Return what our own writer has left in a group."""
    attributes: Mapping[str, Any] = group.attrs.asdict()
    found = attributes.get(OURS)
    return found if isinstance(found, Mapping) else {}


def _series(group: zarr.Group) -> Iterator[tuple[str, zarr.Group]]:
    """Yield the images that bioformats2raw numbers, or the members of a group of labels."""
    names = metadata_of(group).get("labels") or map(str, itertools.count())
    for name in names:
        member = group.get(str(name))
        if isinstance(member, zarr.Group) and "multiscales" in metadata_of(member):
            yield str(name), member
        elif member is None and isinstance(names, map):
            return


def _image(path: Path, group: zarr.Group, name: str, labels: bool) -> Iterator[Volume]:
    ome = metadata_of(group)
    if labels and "image-label" not in ome:
        held = group.get("labels")
        members = list(_series(held)) if isinstance(held, zarr.Group) else []
        for member, one in members:
            inside = path / "labels" / member
            for multiscale in metadata_of(one)["multiscales"][:1]:
                yield _labelled(_volume(inside, one, multiscale, f"{name} {member}"), one)
        if members:
            return
    several = len(ome["multiscales"]) > 1
    for number, multiscale in enumerate(ome["multiscales"]):
        title = f"{name} {multiscale.get('name') or number}" if several else name
        volume = _volume(path, group, multiscale, title)
        yield _labelled(volume, group) if "image-label" in ome else volume


def _volume(path: Path, group: zarr.Group, multiscale: Mapping[str, Any], name: str) -> Volume:
    axes = _axes(path, multiscale)
    arrays = [_array(path, group, d["path"], len(axes)) for d in multiscale["datasets"]]
    finest = arrays[0]
    scale, start = _transform(path, multiscale, len(axes))
    letters = _letters(path, axes, finest.shape)
    order = [letters.index(x) for x in "tczyx" if x in letters]
    spatial = [a for a in order if letters[a] in "zyx"]
    unit, factors = _units(path, [axes[a].unit for a in spatial])
    ours = _ours_of(group)
    grid = Grid.from_spacing(
        tuple(finest.shape[a] for a in spatial),
        [scale[a] * f for a, f in zip(spatial, factors, strict=True)],
        unit=unit,
        origin=[start[a] * f for a, f in zip(spatial, factors, strict=True)],
        anatomical=bool(ours.get("anatomical", False)),
    )
    leading = "".join(x for x in "tc" if x in letters)
    step = None
    if "t" in leading:
        at = letters.index("t")
        step = scale[at] * _SECONDS[axes[at].unit] if axes[at].unit in _SECONDS else None
    coarser = [LazyArray(a, order=order, name=path) for a in arrays[1:]]
    lazy = LazyArray(finest, order=order, name=path, coarser=coarser)
    channels = lazy.shape[leading.index("c")] if "c" in leading else 1
    levels = tuple(
        Level(str(d["path"]), tuple(a.shape))
        for d, a in zip(multiscale["datasets"], arrays, strict=True)
    )
    return Volume(
        lazy,
        grid,
        leading,
        _channel_names(metadata_of(group), channels) if "c" in leading else (),
        name=name,
        source=path,
        time_step=step,
        meta={META_KEY: Pyramid(path, "".join(a.name for a in axes), levels)},
    )


def _array(path: Path, group: zarr.Group, name: object, axes: int) -> zarr.Array[Any]:
    found = group.get(str(name))
    if not isinstance(found, zarr.Array):
        raise ReadError(f"{path} lacks its array {name!r}: copy it from its source again.")
    if found.dtype.kind not in "biuf":
        raise ReadError(f"{path} holds {found.dtype}: an image is made of numbers.")
    if len(found.shape) != axes or min(found.shape, default=0) < 1:
        raise ReadError(f"{path} is damaged: an array of shape {found.shape} has not {axes} axes.")
    if math.prod(found.chunks) * found.dtype.itemsize > memory_budget():
        raise ReadError(
            f"{path} is cut into chunks of {found.chunks}, more than there is memory for: cut it "
            "into smaller ones."
        )
    return found


# -- the axes and the space ---------------------------------------------------------------------


def _axes(path: Path, multiscale: Mapping[str, Any]) -> list[_Axis]:
    said = multiscale.get("axes")
    if not said or not all(isinstance(a, Mapping) for a in said):
        version = multiscale.get("version", "0.3 or older")
        raise ReadError(
            f"{path} is OME-Zarr {version}, which says nothing of its axes: convert it to 0.4 or "
            "newer."
        )
    return [_Axis(str(a["name"]), str(a.get("type")), str(a.get("unit") or "")) for a in said]


def _letters(path: Path, axes: Sequence[_Axis], shape: Sequence[int]) -> list[str]:
    """Return what each axis is, one of t, c, z, y, x, or "" of one that is left out."""
    spatial = [a for a, axis in enumerate(axes) if axis.kind == "space"]
    names = [axes[a].name.lower() for a in spatial]
    if not set(names) <= set("zyx") or len(set(names)) != len(names):
        names = list("zyx"[-len(spatial) :]) if len(spatial) <= 3 else []
    found = [""] * len(axes)
    for at, name in zip(spatial, names, strict=False):
        found[at] = name
    for a, axis in enumerate(axes):
        if a not in spatial and shape[a] > 1:
            found[a] = {"time": "t", "channel": "c"}.get(axis.kind, axis.name.lower())
    used = [x for x in found if x]
    if len(spatial) not in (2, 3) or not set(used) <= set("tczyx") or len(set(used)) != len(used):
        raise ReadError(
            f"{path} has the axes {', '.join(a.name for a in axes)} of {tuple(shape)}: an image "
            "has 2 or 3 of space, time and channels."
        )
    return found


def _transform(
    path: Path, multiscale: Mapping[str, Any], n: int
) -> tuple[list[float], list[float]]:
    """Return scale and translation of the finest level, one number an axis."""
    scale, start = np.ones(n), np.zeros(n)
    steps = [*(multiscale["datasets"][0].get("coordinateTransformations") or ()),
             *(multiscale.get("coordinateTransformations") or ())]  # fmt: skip
    for step in steps:
        kind = step.get("type")
        if kind == "identity":
            continue
        numbers = np.array(step.get(kind) or (), dtype=np.float64)
        if kind not in ("scale", "translation") or numbers.shape != (n,):
            raise ReadError(
                f"{path} has a coordinate transformation that OME-Zarr 0.4 and 0.5 lack: "
                f"{str(step)[:80]}. Save it with scale and translation."
            )
        if kind == "scale":
            scale, start = scale * numbers, start * numbers
        else:
            start = start + numbers
    return scale.tolist(), start.tolist()


def _units(path: Path, said: Sequence[str]) -> tuple[str, list[float]]:
    """Return one unit for all axes, and the factor of each one's lengths."""
    named = [text for text in said if text]
    plain = [1.0] * len(said)
    if not named:
        return "pixel", plain
    try:
        units = [unit_name(text or named[0]) for text in said]
        if len(set(units)) == 1:
            return units[0], plain
        return units[0], [millimetres(u) / millimetres(units[0]) for u in units]
    except GridError:
        warnings.warn(
            VolumeWarning(f"{path}: its unit {named[0][:40]!r} is not known; it was left out."),
            stacklevel=2,
        )
        return "pixel", plain


# -- names --------------------------------------------------------------------------------------


def _channel_names(ome: Mapping[str, Any], channels: int) -> tuple[str, ...]:
    said = (ome.get("omero") or {}).get("channels") or ()
    names = tuple(str(c.get("label") or "") for c in said)
    return names if len(names) == channels and all(names) else ()


def _labelled(volume: Volume, group: zarr.Group) -> LabelVolume:
    """Return the labels with the names and colours that the group has for them."""
    label = metadata_of(group).get("image-label") or {}
    ours = _ours_of(group)
    colours = {
        int(c["label-value"]): "#" + "".join(f"{int(v):02x}" for v in c["rgba"][:3])
        for c in label.get("colors") or ()
        if "rgba" in c and int(c["label-value"]) not in (ours.get("uncoloured") or ())
    }
    names = {
        int(p["label-value"]): str(p.get("name") or p.get("class") or f"label {p['label-value']}")
        for p in label.get("properties") or ()
    }
    numbers = sorted((names.keys() | colours.keys()) - {0})
    classes = tuple(LabelClass(n, names.get(n, f"label {n}"), colours.get(n)) for n in numbers)
    kind = "instances" if ours.get("kind") == "instances" else "classes"
    if kind == "instances":
        classes = tuple(LabelClass(int(n), str(name), c) for n, name, c in ours["classes"])
    plain = as_labels(volume)
    parts = {f.name: getattr(plain, f.name) for f in fields(Volume)}
    return LabelVolume(**parts, classes=with_states(classes, ours), kind=kind)  # type: ignore[arg-type]


def write(path: Path, volume: Volume) -> None:
    """Write labels; see `napari_monai.io.ome_zarr_write`."""
    from . import ome_zarr_write  # it needs this module

    ome_zarr_write.write(path, volume)


def prepare(path: Path, volume: Volume) -> None:
    """Make room for labels at their final place; see `napari_monai.io.ome_zarr_write`."""
    from . import ome_zarr_write

    ome_zarr_write.prepare(path, volume)


def register(path: Path) -> None:
    """List labels in their image's group; see `napari_monai.io.ome_zarr_write`."""
    from . import ome_zarr_write

    ome_zarr_write.register(path)
