"""Which models fit an image: dimensions, channels, colour, voxel size, kind of image.

What cannot work is told apart from what works less well than it could: a note says so, and the
models with the fewest of them come first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ..grid import DISPLAY, Grid, millimetres, unit_name
from ..volume import Volume
from .description import ModelDescription
from .shelf import is_own
from .store import Model

# Pixels that are looked at to tell whether a colour picture is a grey one.
_LOOKED_AT = 10_000
# Voxels so many times as large as those that the model works at have lost what it looks for.
_COARSE = 4.0
# Off by more, the image shows something else: organs are no cells.
_ANOTHER_WORLD = 20.0

# Air, and water with what is made of it, in Hounsfield units.
_AIR, _TISSUE = (-1100, -900), (-200, 300)
_LEAST_AIR, _LEAST_TISSUE = 0.05, 0.1
# Below scanners' padding, and above metal, no CT has a number.
_HOUNSFIELD = (-3100, 4100)

_SAME = {"MRI": "MR", "PET": "PT", "SM": "HISTOLOGY", "XRAY": "DX", "X-RAY": "DX", "CR": "DX"}
_MICROSCOPY = frozenset({"FLUORESCENCE", "EM", "HISTOLOGY", "BRIGHTFIELD", "MICROSCOPY"})

# Of images that are in use: each of many models asks.
_modalities: WeakKeyDictionary[Volume, str] = WeakKeyDictionary()


@dataclass(frozen=True)
class Fit:
    """How a model fits an image.

    Parameters
    ----------
    why_not
        Why it cannot take the image, in words that go on from its name; ``None`` if it can.
    notes
        What speaks against it all the same, in such words.
    distance
        How far the image is from what the model was made for; 0 is best.
    """

    why_not: str | None = None
    notes: tuple[str, ...] = ()
    distance: float = 0.0


def fits(description: ModelDescription, volume: Volume) -> Fit:
    """Return how a model fits an image; of its voxels a sample may be read."""
    why_not = runs(description).why_not or _why_not(description, volume)
    if why_not is not None:
        return Fit(why_not)
    parts = (
        _dimensions(description, volume),
        _spacing(description, volume.grid),
        _modality(description, volume),
        _colour(description, volume),
        # What has to be asked for comes after what has not.
        Fit(distance=2.0 * (description.trust != "data_only")),
    )
    why_not = next((p.why_not for p in parts if p.why_not is not None), None)
    notes = tuple(note for part in parts for note in part.notes)
    return Fit(why_not, () if why_not else notes, sum(p.distance for p in parts))


def runs(description: ModelDescription) -> Fit:
    """Return whether a model can run at all, whatever the image."""
    return Fit(f"cannot run: {description.blockers[0]}" if description.blockers else None)


def choose(models: Iterable[Model], volume: Volume) -> list[tuple[Model, Fit]]:
    """Return models with how they fit an image: the best first, those that do not at the end."""
    found = [(model, fits(model.description, volume)) for model in models]
    return sorted(found, key=lambda pair: rank(*pair))


def rank(model: Model, fit: Fit) -> tuple[bool, float]:
    """Return what to sort models by: the best first, the user's own before those of the package."""
    return fit.why_not is not None, fit.distance - is_own(model)


def modality_of(volume: Volume) -> str:
    """Return what made an image, as DICOM abbreviates it; ``""`` where that cannot be told.

    Without a DICOM header only a CT is known, by the numbers of air and tissue.
    """
    if volume not in _modalities:
        _modalities[volume] = _modality_of(volume)
    return _modalities[volume]


def _modality_of(volume: Volume) -> str:
    origin = volume.meta.get("dicom")
    if origin is not None:
        return str(getattr(origin, "modality", ""))
    if not volume.grid.anatomical or volume.rgb or volume.dtype.kind not in "if":
        return ""
    return "CT" if has_hounsfield_units(_sample(volume)) else ""


def has_hounsfield_units(values: npt.NDArray[Any]) -> bool:
    """Whether a sample of a patient's image has the numbers of a CT: air and tissue."""
    if values.size == 0 or values.min() < _HOUNSFIELD[0]:
        return False
    if np.percentile(values, 99.9) > _HOUNSFIELD[1]:
        return False
    air = ((values > _AIR[0]) & (values < _AIR[1])).mean()
    tissue = ((values > _TISSUE[0]) & (values < _TISSUE[1])).mean()
    return bool(air >= _LEAST_AIR and tissue >= _LEAST_TISSUE)


# -- what cannot work -----------------------------------------------------------------------------


def _why_not(description: ModelDescription, volume: Volume) -> str | None:
    inputs = description.inputs
    if volume.grid.ndim < inputs.spatial_dims:
        return "takes volumes, and this image is 2D"
    takes, has = len(inputs.channels), min(volume.channels, 3) if volume.rgb else volume.channels
    spreads = has == 1 and any(step.name == "colour" for step in description.preprocess)
    if takes == has or spreads or (takes == 1 and volume.rgb and _is_grey(volume)):
        return None
    if takes == 1 and volume.rgb:
        return "takes one channel, and this image is in colour"
    named = "" if inputs.colour else f" ({', '.join(inputs.channels)})"
    return f"takes {takes} channel{'s' * (takes > 1)}{named}, and this image has {has}"


def _is_grey(volume: Volume) -> bool:
    """Whether red, green and blue are the same in a colour picture, as far as a sample tells."""
    at = volume.leading.index("c")
    plane = volume.data[(0,) * at][(slice(None), *(n // 2 for n in volume.grid.shape[:-2]))]
    step = max(1, round((plane[0].size / _LOOKED_AT) ** 0.5))
    sample = np.asarray(plane[:3, ::step, ::step])
    return bool((sample == sample[:1]).all())


def _sample(volume: Volume) -> npt.NDArray[Any]:
    """Return some values of the middle plane."""
    lead = (0,) * len(volume.leading)
    plane = volume.data[(*lead, *(n // 2 for n in volume.grid.shape[:-2]))]
    step = max(1, round((np.prod(volume.grid.shape[-2:]) / _LOOKED_AT) ** 0.5))
    values = np.asarray(plane[..., ::step, ::step])
    finite: npt.NDArray[Any] = values[np.isfinite(values)]
    return finite


# -- what works less well -------------------------------------------------------------------------


def _dimensions(description: ModelDescription, volume: Volume) -> Fit:
    if volume.grid.ndim == description.inputs.spatial_dims:
        return Fit()
    return Fit(notes=("looks at each slice by itself",), distance=10)


def _colour(description: ModelDescription, volume: Volume) -> Fit:
    # A grey image can be taken for colour, but models that were made for grey ones go before.
    return Fit(distance=0.25 * (description.inputs.colour != volume.rgb))


def _modality(description: ModelDescription, volume: Volume) -> Fit:
    made_for = {_family(m) for m in re.split(r"[,;/+]|\band\b|\bor\b", description.inputs.modality)}
    made_for -= {""}
    if not made_for:
        return Fit(distance=1)
    image = _family(modality_of(volume))
    words = description.inputs.modality
    if image:
        note = f"is made for {words}, and this image is {image}"
        return Fit() if image in made_for else Fit(notes=(note,), distance=5)
    if volume.grid.anatomical and made_for <= _MICROSCOPY:
        return Fit(notes=(f"is made for {words}, and this image is of a patient",), distance=5)
    # A picture without a word of what it is: colour is likely stained tissue.
    likely = volume.grid.anatomical or bool(made_for & _MICROSCOPY)
    return Fit(distance=0.5 if likely else 2)


def _family(modality: str) -> str:
    word = modality.strip().upper()
    return _SAME.get(word, word)


def _spacing(description: ModelDescription, grid: Grid) -> Fit:
    step = next((s for s in description.preprocess if s.name == "spacing"), None)
    wanted: Sequence[float | None] = step.parameters.get("spacing", ()) if step else ()
    if step is None or not any(wanted):
        return Fit(distance=1)
    unit = unit_name(str(step.parameters.get("unit", "mm")))
    works_at = f"{_sizes(wanted)} {unit}"
    if grid.unit == "pixel":
        note = f"works at {works_at}, and the voxel size of this image is not known"
        return Fit(notes=(note,), distance=2)
    here = _spacing_along(description, grid)[-len(wanted) :]
    factor = millimetres(grid.unit) / millimetres(unit)
    ratios = [h * factor / w for h, w in zip(here, wanted, strict=True) if w]
    voxels = f"the voxels of this image are {_sizes(here)} {grid.unit}"
    off = abs(float(np.log(ratios).mean()))
    if off > np.log(_ANOTHER_WORLD):
        return Fit(f"works at {works_at}, and {voxels}")
    if max(ratios) > _COARSE:
        return Fit(notes=(f"works at {works_at}, and {voxels}",), distance=2 + off)
    return Fit(distance=off)


def _spacing_along(description: ModelDescription, grid: Grid) -> tuple[float, ...]:
    """Return the spacing in the order of the axes in which the model sees the image."""
    step = next((s for s in description.preprocess if s.name == "orientation"), None)
    if step is None or grid.ndim < 3:
        return grid.spacing
    return grid.oriented(str(step.parameters.get("codes", DISPLAY))).spacing


def _sizes(spacing: Sequence[float | None]) -> str:
    words = ["any" if s is None else f"{s:.3g}" for s in spacing]
    return words[0] if len(set(words)) == 1 else " × ".join(words)
