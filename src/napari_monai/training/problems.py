"""What is wrong with the data, said before a training begins, each in one line with its cure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..models import ModelDescription
from ..settings import TrainingSettings
from .looking import Looked, look
from .resolved import Resolved
from .shares import Pair, Share

# Objects of fewer voxels across are hardly told apart.
_SMALLEST = 5
# A zoom beyond it invents more than it shows.
_MOST_ZOOM = 4.0
# A class of which fewer patches are shown in the whole training is not learnt.
_FEWEST_PATCHES = 30
# More numbers than these are objects and not classes.
_MOST_CLASSES = 64


@dataclass(frozen=True)
class Problem:
    """One line, and whether training makes no sense with it (``"error"``)."""

    severity: Literal["error", "warning"]
    text: str


Found = Iterator[Problem]


@dataclass(frozen=True)
class _Data:
    """All that the rules look at; what could not be read is left out."""

    training: Sequence[Looked]
    validation: Sequence[Looked]
    description: ModelDescription
    settings: TrainingSettings
    plan: Resolved

    @property
    def instances(self) -> bool:
        return self.description.outputs.kind == "instances"

    def counts(self, side: Sequence[Looked]) -> Counter[int]:
        total: Counter[int] = Counter()
        for looked in side:
            total.update(looked.counts)
        return total


def find_problems(
    training: Sequence[Share | Pair],
    validation: Sequence[Share | Pair],
    description: ModelDescription,
    settings: TrainingSettings,
    plan: Resolved,
) -> list[Problem]:
    """Return the problems of pairs for training and validation, errors first.

    Every pair is read once, slab by slab; what is wrong with one keeps none of the others from
    being looked at. Without an error there is something to train on.

    Parameters
    ----------
    training, validation
        Pairs or shares of them.
    description
        The model that is to be trained.
    settings, plan
        How.
    """
    looked = [look(Share.of(pair), description, settings) for pair in training]
    held_out = [look(Share.of(pair), description, settings, validation=True) for pair in validation]
    unread = dict.fromkeys(each.error for each in (*looked, *held_out) if each.error)
    problems = [Problem("error", text) for text in unread]
    data = _Data(
        [each for each in looked if not each.error],
        [each for each in held_out if not each.error],
        description,
        settings,
        plan,
    )
    if data.training:
        problems += [problem for rule in _RULES for problem in rule(data)]
    return sorted(problems, key=lambda problem: problem.severity != "error")


# -- the rules ------------------------------------------------------------------------------------


def _patch(data: _Data) -> Found:
    ndim, patch = data.description.inputs.spatial_dims, data.plan.patch
    if len(patch) != ndim:
        yield Problem("error", f"A patch of {len(patch)} axes does not fit a {ndim}-D model.")
        return
    for looked in data.training:
        shape = looked.shape[-ndim:]
        if any(p > 2 * n for p, n in zip(patch, shape, strict=True)):
            yield Problem(
                "warning",
                f"{looked.name}: the network sees {_by(shape)} voxels, less than half a patch of "
                f"{_by(patch)}: the rest is mirrored; take a smaller patch.",
            )
            return


def _foreground(data: _Data) -> Found:
    counts = data.counts(data.training)
    if not counts:
        yield Problem("error", "No voxel of the training pairs is labelled: nothing to train on.")
    elif not any(number for number in counts if counts[number]):
        yield Problem(
            "error",
            "The training labels hold background only: no patch would show anything to find.",
        )
    else:
        for side, name in ((data.training, "training"), (data.validation, "validation")):
            empty = [looked.name for looked in side if not looked.foreground]
            if empty and len(empty) < len(side):
                yield Problem(
                    "warning",
                    f"{len(empty)} of {len(side)} {name} pairs hold background only "
                    f"({_some(empty)}): right if nothing is to be found there.",
                )
            elif empty:
                yield Problem(
                    "warning",
                    f"The {name} labels hold background only: they cannot say which state of the "
                    "model is best; give others.",
                )


def _background(data: _Data) -> Found:
    if not data.settings.partial:
        return
    for side, name in ((data.training, "training"), (data.validation, "validation")):
        if side and data.counts(side)[0] == 0:
            yield Problem(
                "warning",
                f"No background is labelled in the {name} pairs: what is found in too many places "
                "costs nothing there; label some, and give its number as the background label.",
            )


def _strange_numbers(data: _Data) -> Found:
    if data.instances:
        return
    known = {0, *(label.number for label in data.description.labels)}
    for looked in (*data.training, *data.validation):
        strange = sorted(number for number in looked.counts if number not in known)
        if strange:
            yield Problem(
                "error",
                f"{looked.name}: {_numbers(strange)} none of the model's classes "
                f"({_some(sorted(known - {0}), 8)}): relabel, or give it as the ignored label.",
            )


def _absent_classes(data: _Data) -> Found:
    if data.instances:
        return
    there, held = data.counts(data.training), data.counts(data.validation)
    if not any(number for number in there):
        return
    names = {label.number: label.name for label in data.description.labels}
    absent = [name for number, name in names.items() if not there[number]]
    if absent:
        yield Problem(
            "warning",
            f"{_some(absent)}: in no training label, so the model will unlearn it; label some, or "
            "leave the class out.",
        )
    missed = [name for number, name in names.items() if there[number] and not held[number]]
    if missed and any(number for number in held):
        yield Problem(
            "warning",
            f"{_some(missed)}: in no validation label, so no score will tell of it.",
        )


def _rare_classes(data: _Data) -> Found:
    """Half of the patches are centred on foreground, all classes alike in each image."""
    if data.instances or not data.training:
        return
    patches = data.plan.steps * data.plan.batch_size
    for label in data.description.labels:
        showing = sum(looked.counts.get(label.number, 0) > 0 for looked in data.training)
        expected = patches * showing / len(data.training) / 2 / len(data.description.labels)
        voxels = data.counts(data.training)[label.number]
        side = round(voxels ** (1 / data.description.inputs.spatial_dims), 1)
        if voxels and expected < _FEWEST_PATCHES:
            yield Problem(
                "warning",
                f"{label.name}: in {showing} of {len(data.training)} training images, about "
                f"{expected:.0f} of {patches} patches will show it; train for more steps.",
            )
        elif voxels and side < _SMALLEST:
            yield Problem(
                "warning",
                f"{label.name}: {voxels} training voxels in all, hardly anything in a patch of "
                f"{_by(data.plan.patch)}; label more of it.",
            )


def _sizes_of_objects(data: _Data) -> Found:
    ndim = data.description.inputs.spatial_dims
    found = [looked.lengths for looked in data.training if looked.lengths is not None]
    lengths = np.concatenate(found)[:, -ndim:] if found else np.empty((0, ndim))
    if not len(lengths) or len(data.plan.patch) != ndim:
        return
    # Of the slices' own axes: along the other, objects of few voxels are common and fine.
    median = float(np.median(lengths[:, -2:].min(axis=1)))
    if median < _SMALLEST:
        zoom = min(_MOST_ZOOM, np.ceil(2 * _SMALLEST / median) / 2)
        yield Problem(
            "warning",
            f"Half of the objects are {median:.0f} voxels wide or less, tiny against a patch of "
            f"{_by(data.plan.patch)}: set zoom to {zoom:g}.",
        )
    larger = (lengths > np.array(data.plan.patch)).any(axis=1).mean()
    if larger > 0.5:
        yield Problem(
            "warning",
            f"{larger:.0%} of the objects are larger than a patch of {_by(data.plan.patch)}, "
            "which never shows them whole: take a larger patch, or a zoom below 1.",
        )


def _kind_of_labels(data: _Data) -> Found:
    if data.instances and all(looked.one_mask for looked in data.training if looked.foreground):
        if any(looked.one_mask for looked in data.training):
            yield Problem(
                "warning",
                "All objects of an image have one number, so those that touch count as one: give "
                "each its own (Connected components), or train classes.",
            )
    elif not data.instances and len(data.counts(data.training)) > _MOST_CLASSES:
        yield Problem(
            "warning",
            f"The training labels hold {len(data.counts(data.training))} numbers, which look like "
            "objects: set the target to instances.",
        )


def _intensities(data: _Data) -> Found:
    sides = (*data.training, *data.validation)
    constant = [looked for looked in sides if looked.constant]
    if all(looked.blank for looked in data.training):
        yield Problem(
            "error",
            f"{_some([looked.name for looked in data.training])}: no training image holds more "
            "than one value, nothing can be learnt; check how they were saved.",
        )
    elif constant:
        first = constant[0]
        yield Problem(
            "warning",
            f"{_some([looked.name for looked in constant])}: one value only in "
            f"{_some(first.constant)}; nothing can be learnt from it.",
        )
    missing = [looked for looked in sides if looked.missing]
    if missing:
        yield Problem(
            "warning",
            f"{_some([looked.name for looked in missing])}: "
            f"{sum(looked.missing for looked in missing)} values are not finite and count as 0.",
        )


def _on_both_sides(data: _Data) -> Found:
    trained = {looked.digest: looked for looked in data.training}
    twice = [
        held.name
        for held in data.validation
        if held.digest in trained and _overlap(trained[held.digest].share, held.share)
    ]
    if twice:
        yield Problem(
            "warning",
            f"{_some(twice)}: the same image is in training and in validation, so scores will "
            "look better than they are; leave it out of one.",
        )


_RULES: tuple[Callable[[_Data], Found], ...] = (
    _patch,
    _foreground,
    _background,
    _strange_numbers,
    _absent_classes,
    _rare_classes,
    _sizes_of_objects,
    _kind_of_labels,
    _intensities,
    _on_both_sides,
)


# -- words ----------------------------------------------------------------------------------------


def _overlap(one: Share, other: Share) -> bool:
    """Whether a voxel may count in both: slabs across each other are not compared."""
    slices = one.corrected, other.corrected
    if slices[0] is not None and slices[1] is not None and not slices[0] & slices[1]:
        return False
    if one.axis is None or one.axis != other.axis:
        return True
    n = max(one.stop or 0, other.stop or 0, one.start, other.start) + 1
    return bool((one.counts(n) & other.counts(n)).any())


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(str(n) for n in sizes)


def _some(names: Sequence[object], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(str(name) for name in names[:most]) + more


def _numbers(numbers: Sequence[int]) -> str:
    return f"labels {_some(numbers)} are" if len(numbers) > 1 else f"label {numbers[0]} is"
