"""Where a TIFF says how large its voxels are: OME's XML, ImageJ's description, resolution tags."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..errors import GridError, VolumeWarning
from ..grid import millimetres, unit_name
from .files import one_line
from .label_names import Found, from_ome

# Units that OME and ImageJ have beside ours: which of ours, and how many of it.
_OTHER_UNITS = {
    "Å": ("nm", 0.1),
    "pm": ("nm", 1e-3),
    "dm": ("cm", 10.0),
    "in": ("mm", 25.4),
    "inch": ("mm", 25.4),
    "inches": ("mm", 25.4),
    "thou": ("mm", 0.0254),
    "ft": ("m", 0.3048),
}
_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0,
            "d": 86400.0}  # fmt: skip
# Dots per inch that printers and screens have: no pixel size of a specimen.
_PRINT = (72, 96, 100, 120, 150, 200, 240, 300, 400, 600, 1200, 2400, 4800)
_PER_CM = {2: 1 / 2.54, 3: 1.0}


@dataclass(frozen=True)
class Space:
    """Voxel size in (z, y, x) with its unit, seconds a time point, names, classes of labels."""

    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    unit: str = "pixel"
    time_step: float | None = None
    channel_names: tuple[str, ...] = ()
    name: str = ""
    labels: Found | None = None


def space_of(path: Path, tif: Any, number: int, *, depth: int) -> Space:
    """Return the space of series ``number``, as far as the file says; ``depth`` slices."""
    space, sizes = _said(path, tif, number)
    x = sizes.get("x") or sizes.get("y")
    if not x:
        return replace(space, spacing=(sizes.get("z", 1.0), 1.0, 1.0), unit="pixel")
    z = sizes.get("z")
    if z is None and depth > 1:
        warnings.warn(
            VolumeWarning(
                f"{path} does not say how far apart its slices are: {x:g} {space.unit} was taken, "
                "as within a slice."
            ),
            stacklevel=2,
        )
    return replace(space, spacing=(z or x, sizes.get("y") or x, x))


def _said(path: Path, tif: Any, number: int) -> tuple[Space, dict[str, float]]:
    """Return what the file says, and the sizes among it by axis."""
    if tif.is_ome:
        try:
            return _ome(tif, number)
        except ElementTree.ParseError as error:
            warnings.warn(
                VolumeWarning(
                    f"{path} has a damaged OME description ({one_line(error)}): only its pixels "
                    "were read."
                ),
                stacklevel=2,
            )
    elif tif.is_imagej:
        return _described(tif, tif.imagej_metadata or {})
    elif tif.is_shaped and "unit" in (tif.shaped_metadata or ({},))[0]:
        return _described(tif, tif.shaped_metadata[0])
    return _tags(tif)


def _length(value: float, unit: str) -> tuple[float, str] | None:
    """Return a positive length in a unit that grids have, or None."""
    if not 0 < value < float("inf"):
        return None
    if unit in _OTHER_UNITS:
        name, factor = _OTHER_UNITS[unit]
        return value * factor, name
    try:
        return value, unit_name(unit)
    except GridError:  # "reference frame" and the like
        return value, "pixel"


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return float("nan")


def _ome(tif: Any, number: int) -> tuple[Space, dict[str, float]]:
    root = ElementTree.fromstring(tif.ome_metadata)
    images = root.findall("{*}Image")
    image = images[number if len(images) == len(tif.series) else 0]
    pixels = image.find("{*}Pixels")
    said: Mapping[str, str] = {} if pixels is None else pixels.attrib
    lengths: dict[str, tuple[float, str]] = {}
    for axis in "XYZ":
        size = _length(
            _number(said.get(f"PhysicalSize{axis}")), said.get(f"PhysicalSize{axis}Unit", "µm")
        )
        if size is not None:
            lengths[axis.lower()] = size
    unit = next((u for _, u in lengths.values()), "pixel")
    sizes = {a: _in_unit(n, u, unit) for a, (n, u) in lengths.items()}
    names = [] if pixels is None else [c.get("Name", "") for c in pixels.findall("{*}Channel")]
    step = _number(said.get("TimeIncrement"))
    seconds = _SECONDS.get(said.get("TimeIncrementUnit", "s"))
    space = Space(
        unit=unit,
        time_step=step * seconds if step > 0 and seconds else None,
        channel_names=tuple(names) if all(names) else (),
        name=image.get("Name", ""),
        labels=from_ome(root),
    )
    return space, sizes


def _in_unit(value: float, unit: str, wanted: str) -> float:
    if unit == wanted or "pixel" in (unit, wanted):
        return value
    return value * (millimetres(unit) / millimetres(wanted))


def _described(tif: Any, said: Mapping[str, Any]) -> tuple[Space, dict[str, float]]:
    """Return what ImageJ's description says: depth and unit, with the tags' pixels a unit."""
    step = _number(said.get("finterval"))
    time_step = step if step > 0 else None
    text = str(said.get("unit", "pixel"))
    if "\\u" in text:  # ImageJ escapes what is not ASCII
        text = text.encode("ascii", "replace").decode("unicode_escape")
    depth = abs(_number(said.get("spacing", 1.0)))
    sizes: dict[str, float] = {}
    unit = "pixel"
    for axis, tag in (("x", "XResolution"), ("y", "YResolution")):
        per_unit = _resolution(tif, tag)
        if per_unit and (size := _length(1 / per_unit, text)):
            sizes[axis], unit = size
    if size := _length(depth, text):
        sizes["z"] = size[0]
    if unit == "pixel":
        sizes = {"z": sizes.get("z", 1.0)}
    return Space(unit=unit, time_step=time_step), sizes


def _tags(tif: Any) -> tuple[Space, dict[str, float]]:
    """Return what the resolution tags say, unless they are a printer's or a screen's."""
    unit = tif.pages.first.tags.get("ResolutionUnit")
    per_cm = _PER_CM.get(int(unit.value)) if unit is not None else None
    x, y = _resolution(tif, "XResolution"), _resolution(tif, "YResolution")
    if per_cm is None or not x or not y or min(x, y) <= 1:
        return Space(), {}
    x, y = x * per_cm, y * per_cm
    if any(abs(x * 2.54 - dots) < 0.005 * dots for dots in _PRINT):
        return Space(), {}
    return Space(unit="µm"), {"x": 1e4 / x, "y": 1e4 / y}


def _resolution(tif: Any, tag: str) -> float | None:
    """Return the pixels a unit that a tag says, or None."""
    found = tif.pages.first.tags.get(tag)
    if found is None:
        return None
    above, below = found.value
    return above / below if above and below else None
