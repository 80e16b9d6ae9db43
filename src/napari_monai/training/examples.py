"""Pairs of image and labels, made ready for patches to be cut from them.

Every image goes once through the model's own preprocessing, whole, as it will in inference; its
labels follow on the same grid and are turned into the maps that the network is to predict. What
does not fit into memory is kept on disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..io.files import memory_budget
from ..labels.boxes import tight
from ..models import ModelDescription
from ..preprocess import prepare, prepare_bytes, prepared_space
from ..settings import TrainingSettings
from ..volume import Volume
from .centres import Centres
from .lazy import Written, with_margin
from .partial import IGNORED
from .shares import Known, Pair, Share, load_pair
from .spill import Spill
from .targets import class_indices, instance_maps, touching

__all__ = ["Example", "Pair", "Share", "is_partial", "load_pair", "make_examples", "touching"]

# Bytes a voxel that making targets takes at once, beside the image.
_WORK = {"classes": 28, "instances": 44}


@dataclass(frozen=True, eq=False)
class Example:
    """One image, what the network is to make of it, and the labels themselves.

    Its arrays are in memory, or on disk and read where they are indexed.

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
        The labels on the same grid: instances or class indices, or `IGNORED`, shape (*spatial).
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
    labels: npt.NDArray[np.integer[Any]]
    spacing: tuple[float, ...]
    centres: npt.NDArray[np.int32]
    labelled: npt.NDArray[np.int32] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.image.nbytes + self.targets.nbytes + self.labels.nbytes


def make_examples(
    shares: Sequence[Share | Pair],
    description: ModelDescription,
    *,
    settings: TrainingSettings | None = None,
    validation: bool = False,
    partial: bool | None = None,
    margin: Sequence[int] | None = None,
    scratch: Path | None = None,
) -> Iterator[Example]:
    """Yield the examples of all pairs: one a time point and, for 2-D models, one a slice.

    Parameters
    ----------
    shares
        Pairs, or shares of them; what lies out of a share counts as not labelled.
    description
        The model.
    settings
        They say what is not labelled; where nothing is, there is no example. What is beyond their
        ``memory`` is kept on disk.
    validation
        Whether these are for validation: all slices count then, corrected or not, where a share
        does not name any.
    partial
        Whether the targets say what is labelled; by default where something may not be. Examples
        that go into one training need the same.
    margin
        Voxels around what is labelled, one number an axis of the model, that are kept of partly
        labelled images: a patch's size. ``None`` keeps all.
    scratch
        Folder on the disk to use; ``None`` is that for temporary files. Nothing is left there.
    """
    settings = settings or TrainingSettings()
    chosen = [Share.of(share) for share in shares]
    if partial is None:
        partial = is_partial(chosen, settings)
    room = int(settings.memory * 2**30) or memory_budget()
    spill = Spill(scratch)
    for share in chosen:
        volume, truth = load_pair(share)
        for time in range(volume.times):
            known = Known(truth, share, settings, time=time, all_slices=validation)
            now = volume.at_time(time)
            if _bytes_to_make(now, description) > room:
                written = Written(now, known, description, spill, partial=partial, margin=margin)
                yield from _written_examples(written, now.name, description, spill)
                continue
            for example in _examples(now, known, description, partial=partial, margin=margin):
                room -= example.nbytes
                yield example


def is_partial(shares: Sequence[Share | Pair], settings: TrainingSettings) -> bool:
    """Return whether there may be voxels that count nowhere."""
    return settings.partial or any(Share.of(share).partial for share in shares)


def _bytes_to_make(volume: Volume, description: ModelDescription) -> int:
    """Return about how many bytes making an example in memory takes at most."""
    shapes = volume.grid.shape, prepared_space(volume, description)[0].shape
    voxels = max(math.prod(shape) for shape in shapes)
    return prepare_bytes(volume, description) + voxels * _WORK[description.outputs.kind]


def _examples(
    volume: Volume,
    known: Known,
    description: ModelDescription,
    *,
    partial: bool,
    margin: Sequence[int] | None,
) -> Iterator[Example]:
    prepared = prepare(volume, description)
    labels = prepared.back.prepare_labels(known.whole())
    if description.outputs.kind == "classes":
        labels = class_indices(labels, description, volume.name)
    image, first = prepared.array.astype(np.float16), 0
    if partial:
        box = tight(labels != IGNORED)
        if box is None:
            return
        box = with_margin(box, margin, labels.shape)
        image, labels, first = image[(slice(None), *box)].copy(), labels[box].copy(), box[0].start
    spacing = prepared.grid.spacing
    if prepared.grid.ndim == description.inputs.spatial_dims:
        yield _example(volume.name, image, labels, spacing, description, partial=partial)
        return
    for index, here in enumerate(labels):
        if not partial or (here != IGNORED).any():
            name = f"{volume.name}, slice {first + index}"
            yield _example(name, image[:, index], here, spacing[1:], description, partial=partial)


def _example(
    name: str,
    image: npt.NDArray[np.float16],
    labels: npt.NDArray[np.int32],
    spacing: tuple[float, ...],
    description: ModelDescription,
    *,
    partial: bool,
) -> Example:
    classes = description.outputs.kind == "classes"
    targets: npt.NDArray[Any]
    if classes:
        targets = labels[np.newaxis].astype(np.int16)
    else:
        targets = instance_maps(labels, spacing, partial=partial)
    centres = Centres(each=classes, partial=partial)
    centres.add(labels)
    return Example(name, image, targets, labels, spacing, centres.foreground, centres.labelled)


def _written_examples(
    written: Written, name: str, description: ModelDescription, spill: Spill
) -> Iterator[Example]:
    """Yield the examples of one image that is kept on disk."""
    if written.box is None:
        return
    written.write()
    labels, spacing = written.labels, written.spacing
    if labels.ndim == description.inputs.spatial_dims:
        targets = labels[np.newaxis] if written.classes else written.instance_maps()
        centres = written.centres()
        spill.release()
        yield Example(
            name, written.image, targets, labels, spacing, centres.foreground, centres.labelled
        )
        return
    for index, here in enumerate(labels):
        if not written.partial or (here != IGNORED).any():
            made = _example(
                f"{name}, slice {written.box[0].start + index}",
                written.image[:, index],
                here,
                spacing[1:],
                description,
                partial=written.partial,
            )
            targets = spill.array(made.targets.shape, made.targets.dtype)
            targets[...] = made.targets
            yield replace(made, targets=targets)
    spill.release()
