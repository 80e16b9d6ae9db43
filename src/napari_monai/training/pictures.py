"""Pictures of what a training will see: patches as they are, and changed at random.

One row an example: at its left the patch unchanged, beside it the same place changed in several
ways, all with their labels outlined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from ..errors import WriteError
from ..settings import TrainingSettings
from .examples import Example
from .partial import IGNORED
from .patches import PatchSampler, grey_limits
from .presets import UNCHANGED
from .resolved import Resolved

Picture = npt.NDArray[np.uint8]

# Side that small patches are enlarged to, and the white between patches, in pixels.
_SIDE, _GAP = 192, 4
# Outlines, by class: the colours of Okabe & Ito 2008, which most people tell apart.
_COLOURS = np.array(
    [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0],
     [204, 121, 167]], np.uint8,
)  # fmt: skip
_UNKNOWN = np.array([128, 128, 128], np.uint8)


def preview(
    examples: Sequence[Example],
    plan: Resolved,
    settings: TrainingSettings,
    *,
    rows: int = 4,
    columns: int = 6,
) -> Picture:
    """Return a picture (height, width, RGB) of patches as a training sees them.

    Parameters
    ----------
    examples
        The training images; places are spread over them.
    plan, settings
        What the training does.
    rows, columns
        How many places are shown, and patches of each, the first of them unchanged.
    """
    # Labels as they are, and not what is made of them: outlines are then those of objects.
    chosen = [
        replace(example, targets=cast(Any, _Labels(example.labels)))
        for example in examples[:: max(1, len(examples) // rows)][:rows]
    ]
    sampler = PatchSampler(chosen, plan, seed=settings.seed, classes=True)
    shown = []
    for row in range(rows):
        index = row % len(chosen)
        limits = grey_limits(chosen[index].image, together=plan.augment.colour)
        centre = sampler.centre(index, np.random.default_rng((settings.seed, row)))
        patches = []
        for column in range(columns):
            rng = np.random.default_rng((settings.seed, row, column))
            augment = plan.augment if column else UNCHANGED
            patches.append(_drawn(*sampler.cut(index, centre, rng, augment), limits))
        shown.append(_joined(patches, axis=1))
    return _joined(shown, axis=0)


def write_picture(path: Path | str, picture: Picture) -> Path:
    """Write a picture as PNG; raises WriteError where it cannot be written."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, format="PNG")
    except OSError as error:
        raise WriteError(
            f"{path} cannot be written ({error.strerror}): choose another file."
        ) from None
    return Path(path)


def _drawn(image: torch.Tensor, labels: torch.Tensor, limits: npt.NDArray[Any]) -> Picture:
    """Return a patch, of a volume its middle slice, with the borders of its labels."""
    values, numbers = image.numpy(), labels[0].round().long().numpy()
    while values.ndim > 3:
        values, numbers = values[:, values.shape[1] // 2], numbers[len(numbers) // 2]
    low, high = (limit.reshape(-1, 1, 1) for limit in limits)
    grey = np.clip((values - low) / (high - low), 0, 1)
    rgb = grey if len(grey) == 3 else np.broadcast_to(grey.mean(0), (3, *grey.shape[1:]))
    factor = max(1, round(_SIDE / max(numbers.shape)))
    picture = (
        np.rint(255 * rgb).astype(np.uint8).transpose(1, 2, 0).repeat(factor, 0).repeat(factor, 1)
    )
    numbers = numbers.repeat(factor, 0).repeat(factor, 1)
    edge = _borders(numbers)
    colours = _COLOURS[(numbers - 1) % len(_COLOURS)]
    colours = np.where((numbers == IGNORED)[..., None], _UNKNOWN, colours)
    return np.where(edge[..., None], colours, picture)


def _borders(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return the pixels of each label, background but for it, that touch another."""
    edge = np.zeros(numbers.shape, bool)
    for axis in (0, 1):
        differs = np.diff(numbers, axis=axis) != 0
        pad = [(0, 0), (0, 0)]
        pad[axis] = (0, 1)
        edge |= np.pad(differs, pad)
        pad[axis] = (1, 0)
        edge |= np.pad(differs, pad)
    shown: npt.NDArray[np.bool_] = edge & (numbers != 0)
    return shown


def _joined(pictures: Sequence[Picture], axis: int) -> Picture:
    """Return pictures side by side (axis 1) or one under another (axis 0), white between."""
    across = 1 - axis
    longest = max(picture.shape[across] for picture in pictures)
    parts = []
    for index, picture in enumerate(pictures):
        pad = [(0, 0)] * 3
        pad[across] = (0, longest - picture.shape[across])
        pad[axis] = (_GAP if index else 0, 0)
        parts.append(np.pad(picture, pad, constant_values=255))
    return np.concatenate(parts, axis=axis)


class _Labels:
    """Labels as targets (1, *spatial), of which boxes are read as they are needed."""

    def __init__(self, labels: Any) -> None:
        self._labels = labels

    def __getitem__(self, box: tuple[slice, ...]) -> npt.NDArray[np.int32]:
        return np.asarray(self._labels[box[1:]])[np.newaxis]
