"""Pairs of image and labels, made ready for patches to be cut from them.

Every image goes once through the model's own preprocessing, whole, as it will in inference; its
labels follow on the same grid and are turned into the maps that the network is to predict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..errors import TrainingError
from ..instances import centre_distance
from ..io import read
from ..models import ModelDescription
from ..preprocess import prepare
from ..volume import LabelVolume, Volume

Source = Path | str | Volume
Pair = tuple[Source, Source]

# Foreground voxels remembered per example as centres of patches.
_CENTRES = 4096
# Voxels within which two objects count as touching.
_NEAR = 2
_NO_OBJECT = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class Example:
    """One image, what the network is to make of it, and the labels themselves.

    Attributes
    ----------
    name
        The image's name, for messages.
    image
        float16 array of shape (channel, *spatial), normalised.
    targets
        Instances: float16 (3, *spatial), foreground, centre distance, and where objects touch.
        Classes: int16 (1, *spatial), the index of each voxel's class among the outputs.
    labels
        The labels on the same grid: int32 instances or class indices, shape (*spatial).
    spacing
        Distance between voxels along each axis, in the image's unit.
    centres
        Indices of foreground voxels, shape (n, ndim).
    """

    name: str
    image: npt.NDArray[np.float16]
    targets: npt.NDArray[Any]
    labels: npt.NDArray[np.int32]
    spacing: tuple[float, ...]
    centres: npt.NDArray[np.int32]


def load_pair(pair: Pair) -> tuple[Volume, LabelVolume]:
    """Read one pair and check that its labels lie on its image.

    Raises TrainingError when shapes differ, or when both have a physical size and those differ.
    """
    image, labels = pair
    volume = image if isinstance(image, Volume) else read(Path(image))
    truth = labels if isinstance(labels, LabelVolume) else None
    if truth is None:
        if isinstance(labels, Volume):
            raise TrainingError(f"{labels.name}: labels need a LabelVolume, not an image.")
        read_labels = read(Path(labels), labels=True)
        assert isinstance(read_labels, LabelVolume)
        truth = read_labels
    if volume.grid.shape != truth.grid.shape or volume.times != truth.times:
        raise TrainingError(
            f"{volume.name}: the image has shape {volume.grid.shape}, its labels "
            f"{truth.grid.shape}; they need the same grid."
        )
    both_known = "pixel" not in (volume.grid.unit, truth.grid.unit)
    if both_known and not volume.grid.is_close(truth.grid, tolerance=0.1):
        raise TrainingError(f"{volume.name}: image and labels lie at different places in space.")
    return volume, truth


def make_examples(pairs: Sequence[Pair], description: ModelDescription) -> Iterator[Example]:
    """Yield the examples of all pairs: one a time point and, for 2-D models, one a slice."""
    for pair in pairs:
        volume, truth = load_pair(pair)
        for time in range(volume.times):
            yield from _examples(volume.at_time(time), truth.at_time(time), description)


def _examples(
    volume: Volume, truth: LabelVolume, description: ModelDescription
) -> Iterator[Example]:
    prepared = prepare(volume, description)
    labels = prepared.back.prepare_labels(truth.numpy()).astype(np.int32)
    if description.outputs.kind == "classes":
        labels = _class_indices(labels, description, volume.name)
    spacing = prepared.grid.spacing
    if prepared.grid.ndim == description.inputs.spatial_dims:
        yield _example(volume.name, prepared.array, labels, spacing, description)
        return
    for index in range(len(labels)):
        name = f"{volume.name}, slice {index}"
        yield _example(name, prepared.array[:, index], labels[index], spacing[1:], description)


def _example(
    name: str,
    image: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int32],
    spacing: tuple[float, ...],
    description: ModelDescription,
) -> Example:
    if description.outputs.kind == "instances":
        distance = centre_distance(labels, spacing=spacing)
        maps = [labels > 0, distance, touching(labels)]
        targets: npt.NDArray[Any] = np.stack(maps).astype(np.float16)
    else:
        targets = labels[np.newaxis].astype(np.int16)
    inside = np.argwhere(labels > 0).astype(np.int32)
    if len(inside) > _CENTRES:
        inside = inside[np.random.default_rng(0).choice(len(inside), _CENTRES, replace=False)]
    return Example(name, image.astype(np.float16), targets, labels, spacing, inside)


def touching(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Return where objects touch or nearly do: voxels with two objects at most two voxels away."""
    size = 2 * _NEAR + 1
    largest = ndimage.maximum_filter(labels, size)
    # The background must not be the smallest number near.
    smallest = -ndimage.maximum_filter(np.where(labels > 0, -labels, -_NO_OBJECT), size)
    between: npt.NDArray[np.bool_] = (largest > 0) & (smallest < largest)
    return between


def _class_indices(
    labels: npt.NDArray[np.int32], description: ModelDescription, name: str
) -> npt.NDArray[np.int32]:
    """Return the output index of each voxel's class: 0 background, then the order of classes."""
    numbers = np.array([0, *(c.number for c in description.labels)], np.int32)
    found = np.unique(labels)
    strange = sorted(set(found.tolist()) - set(numbers.tolist()))
    if strange:
        raise TrainingError(f"{name}: label {strange[0]} is none of the model's classes {numbers}.")
    order = np.argsort(numbers)
    return order[np.searchsorted(numbers[order], labels)].astype(np.int32)
