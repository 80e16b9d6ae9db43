"""Of which kind images are, for their patches to be changed as such images differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt

from ..io import read
from ..models import ModelDescription
from ..models.fitting import modality_of
from ..settings import TrainingSettings
from ..volume import Volume
from .presets import PRESETS, UNCHANGED, Augment, Kind

# Words by which model cards and DICOM headers say what an image is.
_WORDS: dict[str, Kind] = {
    "fluorescence": "fluorescence",
    "confocal": "fluorescence",
    "lightsheet": "fluorescence",
    "light-sheet": "fluorescence",
    "histology": "histology",
    "histopathology": "histology",
    "h&e": "histology",
    "sm": "histology",
    "em": "em",
    "electron": "em",
    "sem": "em",
    "tem": "em",
    "ct": "ct",
    "mr": "mr",
    "mri": "mr",
}
# Images looked at, and voxels along an axis of each.
_LOOKED_AT, _SIDE = 16, 64
# Of values between the darkest and the brightest: below this median the ground is dark.
_DARK_GROUND = 0.3
# Mean difference of channels, of the whole range, from which on a picture has colours.
_COLOURED = 0.03


def choose_augment(
    settings: TrainingSettings,
    description: ModelDescription,
    images: Sequence[Path | str | Volume] = (),
) -> Augment:
    """Return how patches are changed: as the kind of image has it, and as settings say.

    Of images of several kinds, it is what any of them needs, and the larger where they differ.
    Where classes are named left and right, mirroring would make the one of the other.
    """
    if settings.augmentation == "none":
        kind = replace(UNCHANGED, kind="none")
    elif settings.augmentation == "auto":
        kind = _joined([PRESETS[k] for k in kinds_of(description, images)])
    else:
        kind = PRESETS[settings.augmentation]
    sided = any(re.search(r"\b(left|right)\b", _spaced(c.name)) for c in description.labels)
    return replace(
        kind,
        flips=(kind.flips and not sided) if settings.flips is None else settings.flips,
        rotations=kind.rotations if settings.rotations is None else settings.rotations,
        scale=kind.scale if settings.scale is None else settings.scale,
        intensity=kind.intensity if settings.intensity is None else settings.intensity,
        colour=description.inputs.colour,
    )


def _spaced(name: str) -> str:
    return re.sub(r"[^a-z]+", " ", name.lower())


def kinds_of(
    description: ModelDescription, images: Sequence[Path | str | Volume] = ()
) -> tuple[Kind, ...]:
    """Return the kinds of images, each once: as they say or look, else as the model's card says.

    Some of them are looked at, spread over all.
    """
    told = _told(description.inputs.modality)
    step = max(1, len(images) // _LOOKED_AT)
    looked = (i if isinstance(i, Volume) else read(Path(i)) for i in images[::step])
    found = {_kind_of(image, told) for image in looked}
    if not found:
        resampled = any(operation.name == "spacing" for operation in description.preprocess)
        found = set(told) or {"mr" if resampled else "fluorescence"}
    return tuple(kind for kind in get_args(Kind) if kind in found)


def _told(modality: str) -> tuple[Kind, ...]:
    words = re.split(r"[^a-z&-]+", modality.lower())
    return tuple(dict.fromkeys(_WORDS[word] for word in words if word in _WORDS))


def _kind_of(image: Volume, told: Sequence[Kind]) -> Kind:
    own = _told(modality_of(image))
    if own:
        return own[0]
    if image.grid.anatomical:
        return next((kind for kind in told if kind in ("ct", "mr")), "mr")
    coloured, dark = _looks(image)
    if coloured and not dark:
        return "histology"
    if len(told) == 1 and (dark or told[0] != "fluorescence"):
        return told[0]
    return "fluorescence" if dark else "em"


def _looks(image: Volume) -> tuple[bool, bool]:
    """Return whether an image has colours, and whether its ground is dark."""
    values = _sample(image)
    low, high = np.percentile(values, (1, 99))
    unit = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    coloured = image.rgb and float(np.mean(np.ptp(unit[:3], axis=0))) > _COLOURED
    return coloured, float(np.median(unit)) < _DARK_GROUND


def _sample(image: Volume) -> npt.NDArray[np.float32]:
    """Return some voxels of the middle slice, shape (channel, n)."""
    middle = image.at_time(0)
    lead = (slice(None),) * len(middle.leading)
    plane = middle.data[(*lead, *(n // 2 for n in middle.grid.shape[:-2]))]
    rows, columns = (max(1, n // _SIDE) for n in middle.grid.shape[-2:])
    values = np.asarray(plane[..., ::rows, ::columns], np.float32)
    return values.reshape(middle.channels, -1)


def _joined(presets: Sequence[Augment]) -> Augment:
    """Return what is changed in any of some presets, by the largest of their amounts."""
    values = {
        field.name: max(getattr(preset, field.name) for preset in presets)
        for field in fields(Augment)
        if field.name != "kind"
    }
    return Augment(kind=" and ".join(preset.kind for preset in presets), **values)
