"""Which class of the labels is which of a model: by name, else by number; the others are new."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import TrainingError
from ..settings import TrainingSettings
from ..volume import LabelClass, LabelVolume
from .partial import special_labels

# Voxels of labels that are looked at in one go.
_AT_ONCE = 2**26
# The highest number that a class of a model may have.
_MOST_CLASS = 2**16 - 1
# Names that say no more than a number does.
_NO_NAME = re.compile(r"(class|label|segment|object|region)?\s*\d*")


@dataclass(frozen=True)
class Matched:
    """The classes of a new model, and what each was in the model that it is made of.

    Attributes
    ----------
    labels
        In the order of the output channels; their numbers are those of the labels.
    sources
        For each the index of its class in the other model; ``None`` of a new one.
    notes
        Lines for the user: what is new, has another number, or is left out.
    """

    labels: tuple[LabelClass, ...]
    sources: tuple[int | None, ...]
    notes: tuple[str, ...] = ()


def found_classes(
    truths: Iterable[LabelVolume], settings: TrainingSettings
) -> tuple[LabelClass, ...]:
    """Return the classes of labels by number: those that occur, and those that are named.

    One that has no name has an empty one.

    Raises TrainingError when one name stands for two numbers.
    """
    names: dict[int, LabelClass] = {}
    special = special_labels(settings)
    for truth in truths:
        for label in truth.classes:
            if label.number not in special:
                names[label.number] = _named(label, names.get(label.number))
        for number in sorted(_numbers(truth) - special):
            names.setdefault(number, LabelClass(number, ""))
    numbers: dict[str, int] = {}
    for number in sorted(names):
        name = _folded(names[number].name)
        if name and numbers.setdefault(name, number) != number:
            raise TrainingError(
                f"{names[number].name} has the numbers {numbers[name]} and {number} in the "
                "labels: give it one."
            )
    return tuple(names[number] for number in sorted(names))


def check_classes(found: Sequence[LabelClass]) -> None:
    """Raise TrainingError for a number that no class of a model can have."""
    numbers = [label.number for label in found]
    if numbers and min(numbers) < 0:
        raise TrainingError(
            f"Label {min(numbers)} is negative: take numbers from 0 up, or give it as the ignored "
            "label."
        )
    if numbers and max(numbers) > _MOST_CLASS:
        raise TrainingError(
            f"Label {max(numbers)} is too large for a class: take numbers up to {_MOST_CLASS} or, "
            "where they are objects, set the target to instances."
        )


def match_classes(
    model: Sequence[LabelClass], found: Sequence[LabelClass], *, keep: bool = True
) -> Matched:
    """Match the classes of labels to those of a model.

    By name, whatever the case; where a name says nothing on either side, by number. What is left
    is new. The numbers of the labels go before those of the model.

    Parameters
    ----------
    model
        The classes of the model, in the order of its channels.
    found
        Those of the labels; see `found_classes`.
    keep
        Whether classes of the model stay that are in no label.

    Raises TrainingError for a number that no class of a model can have.
    """
    check_classes(found)
    pairs = dict(_pairs(model, found))
    taken = {label.number for label in found}
    free = iter(range(1 + max([*taken, *(c.number for c in model)], default=0), 2**16))
    labels: list[LabelClass] = []
    sources: list[int | None] = []
    notes: list[str] = []
    for index, label in enumerate(model):
        there = pairs.get(index)
        if there is not None:
            said = (each.name for each in (label, there) if _folded(each.name))
            number, name = there.number, next(said, label.name or there.name)
            moved = f"{name} is {number} here, {label.number} in the model that it began as"
            notes += [moved] * (number != label.number)
        elif not keep:
            notes.append(f"{label.name} is in no label and is left out")
            continue
        else:
            number, name = label.number, label.name
            # That nothing shows it is said of the data (`problems`).
            if number in taken:
                number = next(free)
                notes.append(f"{name} is {number} now: {label.number} is another class here")
        labels.append(replace(label, number=number, name=name))
        sources.append(index)
    matched = {label.number for label in pairs.values()}
    for label in found:
        if label.number not in matched:
            labels.append(replace(label, name=label.name or f"class {label.number}"))
            sources.append(None)
            notes.append(f"{labels[-1].name} ({label.number}) is new")
    return Matched(tuple(labels), tuple(sources), tuple(notes))


def _pairs(
    model: Sequence[LabelClass], found: Sequence[LabelClass]
) -> Iterator[tuple[int, LabelClass]]:
    """Yield the index of a class of the model and the class of the labels that is the same."""
    names: dict[str, int] = {}
    for index, label in enumerate(model):
        names.setdefault(_folded(label.name), index)
    names.pop("", None)
    by_name = {
        label.number: names[_folded(label.name)] for label in found if _folded(label.name) in names
    }
    numbers = {label.number: index for index, label in enumerate(model)}
    for label in found:
        if label.number in by_name:
            yield by_name[label.number], label
            continue
        same = numbers.get(label.number)
        # Two names that differ are two classes, though they have the same number.
        named = same is not None and _folded(label.name) and _folded(model[same].name)
        if same is not None and same not in by_name.values() and not named:
            yield same, label


def _folded(name: str) -> str:
    """Return a name as it is compared; nothing of one that is only a number."""
    plain = re.sub(r"[\s_\-]+", " ", name).strip().casefold()
    return "" if _NO_NAME.fullmatch(plain) else plain


def _named(label: LabelClass, before: LabelClass | None) -> LabelClass:
    return before if before is not None and _folded(before.name) else label


def _numbers(truth: LabelVolume) -> set[int]:
    """Return the numbers in labels, which are read a part at a time."""
    found: set[int] = set()
    rows = max(1, _AT_ONCE // max(1, int(np.prod(truth.data.shape[1:]))))
    for start in range(0, truth.data.shape[0], rows):
        found.update(np.unique(np.asarray(truth.data[start : start + rows])).tolist())
    return found
