"""What the training images are like, and how they are prepared therefore: nnU-Net's rules.

Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation", Nature Methods 18, 203-211, 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from ..grid import DISPLAY
from ..models.fitting import modality_of
from ..preprocess import Operation
from ..settings import TrainingSettings
from ..volume import LabelVolume, Volume
from .partial import special_labels
from .topology import target_spacing

# Foreground voxels taken of an image, and images that are read for them.
_VOXELS, _IMAGES = 100_000, 16
# Part of an image that is not empty below which only what is not 0 is normalised.
_FILLED = 0.75
# The axis of thick slices comes first where they are so many times thicker than pixels are wide.
_THICK = 2.0

Looked = Sequence[tuple[Volume, LabelVolume]]


def plan_preprocess(
    looked: Looked, settings: TrainingSettings, *, colour: bool, modality: str = ""
) -> tuple[tuple[Operation, ...], str]:
    """Return how images are prepared, and what kind they are of where that is known.

    Pictures and microscopy stacks keep their voxels and are scaled by percentiles. Anatomical
    volumes are turned and resampled to one spacing; CT is clipped and normalised by what the
    foreground of all images holds, others each by its own mean and deviation.

    Parameters
    ----------
    looked
        Images and their labels.
    settings
        Which labels are no foreground, and the kind of image where augmentation says it.
    colour
        Whether images are in colour.
    modality
        The kind of image where it is known.
    """
    images = [image for image, _ in looked]
    if images[0].grid.ndim == 2 or not all(image.grid.anatomical for image in images):
        first = [Operation("colour", {})] if colour else []
        scale = {"lower": 1.0, "upper": 99.8, "per_channel": not colour}
        return (*first, Operation("scale_percentiles", scale)), modality
    some = looked[:: -(-len(looked) // _IMAGES)]
    if not modality and settings.augmentation in ("ct", "mr"):
        modality = settings.augmentation.upper()
    told = {modality_of(image) for image in images}
    if not modality and len(told) == 1:
        modality = told.pop()
    samples = [_sample(*pair, settings) for pair in some]
    if modality.casefold() == "ct":
        normalised = _clipped([foreground for foreground, _ in samples])
    else:
        filled = float(np.median([part for _, part in samples]))
        normalised = (Operation("zscore", {"mask": True} if filled < _FILLED else {}),)
    return (*_turned(images), *normalised), modality


def _turned(images: Sequence[Volume]) -> tuple[Operation, ...]:
    """Return what brings volumes to one orientation and spacing, thick slices first."""
    grids = [image.grid.oriented() for image in images]
    spacing = target_spacing([g.spacing_in("mm") for g in grids], [g.shape for g in grids])
    worst = int(np.argmax(spacing))
    order = [0, 1, 2]
    if spacing[worst] >= _THICK * max(s for axis, s in enumerate(spacing) if axis != worst):
        order = [worst, *(axis for axis in order if axis != worst)]
    return (
        Operation("orientation", {"codes": "".join(DISPLAY[axis] for axis in order)}),
        Operation(
            "spacing", {"spacing": [round(spacing[axis], 4) for axis in order], "unit": "mm"}
        ),
    )


def _sample(
    image: Volume, truth: LabelVolume, settings: TrainingSettings
) -> tuple[npt.NDArray[np.float32], float]:
    """Return the foreground's values, shape (channel, n), and how much is not empty."""
    values = image.at_time(0).as_channels_first()
    labels = truth.at_time(0).numpy()
    inside = np.flatnonzero(~np.isin(labels, list(special_labels(settings))))
    if not len(inside):
        inside = np.arange(labels.size)
    if len(inside) > _VOXELS:
        inside = np.random.default_rng(0).choice(inside, _VOXELS, replace=False)
    flat = values.reshape(len(values), -1)
    foreground = flat[:, inside].astype(np.float32)
    kept = np.isfinite(foreground).all(axis=0)
    there = [np.flatnonzero(_along(values != 0, axis)) for axis in range(1, values.ndim)]
    box = [int(found[-1] - found[0]) + 1 if len(found) else 0 for found in there]
    return foreground[:, kept], prod(box) / labels.size


def _along(mask: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.bool_]:
    """Return at which indices along an axis anything is true."""
    return np.array([plane.any() for plane in np.moveaxis(mask, axis, 0)])


def _clipped(foregrounds: Sequence[npt.NDArray[np.float32]]) -> tuple[Operation, ...]:
    """Return nnU-Net's normalisation of CT: what is rare is cut off, the rest centred."""
    values = np.concatenate(foregrounds, axis=1).astype(np.float64)
    low, high = np.percentile(values, (0.5, 99.5), axis=1)
    found = {
        "minimum": low, "maximum": high, "mean": values.mean(axis=1), "std": values.std(axis=1),
    }  # fmt: skip
    told = {name: [round(float(v), 3) for v in numbers] for name, numbers in found.items()}
    told["std"] = [max(v, 1e-3) for v in told["std"]]
    told["maximum"] = [
        max(h, n + 1e-3) for n, h in zip(told["minimum"], told["maximum"], strict=True)
    ]
    return (
        Operation("clip", {key: told[key] for key in ("minimum", "maximum")}),
        Operation("zscore", {key: told[key] for key in ("mean", "std")}),
    )
