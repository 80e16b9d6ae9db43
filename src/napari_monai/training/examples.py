"""Pairs of image and labels, made ready for patches to be cut from them.

Every image goes once through the model's own preprocessing, whole, as it will in inference; its
labels follow on the same grid and are turned into the maps that the network is to predict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..errors import TrainingError
from ..instances import centre_distance
from ..models import ModelDescription
from ..preprocess import prepare
from ..settings import TrainingSettings
from ..volume import Volume
from .partial import IGNORED, whole_objects
from .shares import Known, Pair, Share, load_pair

__all__ = ["Example", "Pair", "Share", "is_partial", "load_pair", "make_examples", "touching"]

# Foreground, and labelled, voxels remembered per example as centres of patches.
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
        Instances: float16 (3, *spatial), foreground, centre distance, and where objects touch;
        of partial labels two more, what is labelled and where the distance is known.
        Classes: int16 (1, *spatial), the index of each voxel's class, or `IGNORED`.
    labels
        The labels on the same grid: int32 instances or class indices, or `IGNORED`, shape
        (*spatial).
    spacing
        Distance between voxels along each axis, in the image's unit.
    centres
        Indices of foreground voxels, shape (n, ndim).
    labelled
        Indices of labelled voxels, shape (n, ndim); ``None`` where all are.
    """

    name: str
    image: npt.NDArray[np.float16]
    targets: npt.NDArray[Any]
    labels: npt.NDArray[np.int32]
    spacing: tuple[float, ...]
    centres: npt.NDArray[np.int32]
    labelled: npt.NDArray[np.int32] | None = None


def make_examples(
    shares: Sequence[Share | Pair],
    description: ModelDescription,
    *,
    settings: TrainingSettings | None = None,
    validation: bool = False,
    partial: bool | None = None,
) -> Iterator[Example]:
    """Yield the examples of all pairs: one a time point and, for 2-D models, one a slice.

    Parameters
    ----------
    shares
        Pairs, or shares of them; what lies out of a share counts as not labelled.
    description
        The model.
    settings
        They say what is not labelled; where nothing is, there is no example.
    validation
        Whether these are for validation: all slices count then, corrected or not, where a share
        does not name any.
    partial
        Whether the targets say what is labelled; by default where something may not be. Examples
        that go into one training need the same.
    """
    settings = settings or TrainingSettings()
    chosen = [Share.of(share) for share in shares]
    if partial is None:
        partial = is_partial(chosen, settings)
    for share in chosen:
        volume, truth = load_pair(share)
        for time in range(volume.times):
            known = Known(truth, share, settings, time=time, all_slices=validation)
            yield from _examples(volume.at_time(time), known.whole(), description, partial=partial)


def is_partial(shares: Sequence[Share | Pair], settings: TrainingSettings) -> bool:
    """Return whether there may be voxels that count nowhere."""
    return settings.partial or any(Share.of(share).partial for share in shares)


def _examples(
    volume: Volume,
    known: npt.NDArray[np.int32],
    description: ModelDescription,
    *,
    partial: bool,
) -> Iterator[Example]:
    prepared = prepare(volume, description)
    labels = prepared.back.prepare_labels(known)
    if description.outputs.kind == "classes":
        labels = _class_indices(labels, description, volume.name)
    spacing = prepared.grid.spacing
    if prepared.grid.ndim == description.inputs.spatial_dims:
        if not partial or (labels != IGNORED).any():
            yield _example(
                volume.name, prepared.array, labels, spacing, description, partial=partial
            )
        return
    for index, here in enumerate(labels):
        if not partial or (here != IGNORED).any():
            name = f"{volume.name}, slice {index}"
            image = prepared.array[:, index]
            yield _example(name, image, here, spacing[1:], description, partial=partial)


def _example(
    name: str,
    image: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int32],
    spacing: tuple[float, ...],
    description: ModelDescription,
    *,
    partial: bool,
) -> Example:
    if description.outputs.kind == "instances":
        objects = np.maximum(labels, 0)
        maps = [objects > 0, centre_distance(objects, spacing=spacing), touching(objects)]
        if partial:
            maps += [labels != IGNORED, whole_objects(labels)]
        targets: npt.NDArray[Any] = np.stack(maps).astype(np.float16)
    else:
        targets = labels[np.newaxis].astype(np.int16)
    inside = _centres(labels, each=description.outputs.kind == "classes")
    labelled = _some_of(labels != IGNORED) if partial else None
    return Example(name, image.astype(np.float16), targets, labels, spacing, inside, labelled)


def _centres(labels: npt.NDArray[np.int32], *, each: bool) -> npt.NDArray[np.int32]:
    """Return voxels of the foreground, with ``each`` as many of a rare class as of others.

    So patches show all classes, as nnU-Net's do.
    """
    if not each:
        return _some_of(labels > 0)
    numbers = [int(n) for n in np.unique(labels) if n > 0]
    most = _CENTRES // max(1, len(numbers))
    found = [_some_of(labels == n, most) for n in numbers]
    return np.concatenate([_some_of(labels < IGNORED), *found])


def _some_of(mask: npt.NDArray[np.bool_], most: int = _CENTRES) -> npt.NDArray[np.int32]:
    """Return the indices of voxels in a mask, shape (n, ndim): all, or ``most`` of them."""
    found = np.flatnonzero(mask)
    if len(found) > most:
        found = found[np.random.default_rng(0).choice(len(found), most, replace=False)]
    return np.stack(np.unravel_index(found, mask.shape), axis=1).astype(np.int32)


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
    strange = sorted(set(found.tolist()) - {*numbers.tolist(), IGNORED})
    if strange:
        raise TrainingError(f"{name}: label {strange[0]} is none of the model's classes {numbers}.")
    order = np.argsort(numbers)
    indices = order[np.searchsorted(numbers[order], labels)].astype(np.int32)
    indices[labels == IGNORED] = IGNORED
    return indices
