"""Classes of labels are those of a model by name, else by number; the others are new."""

from __future__ import annotations

import numpy as np
import pytest

from napari_monai import LabelVolume, TrainingSettings
from napari_monai.errors import TrainingError
from napari_monai.grid import Grid
from napari_monai.training.looks import as_labels_look
from napari_monai.training.matching import found_classes, match_classes
from napari_monai.training.plan import new_outputs
from napari_monai.volume import LabelClass


def classes(**numbers: int) -> list[LabelClass]:
    """Return classes of these names; an underscore begins that of one without a name."""
    return [LabelClass(n, "" if name[0] == "_" else name) for name, n in numbers.items()]


ORGANS = classes(liver=1, spleen=2, Kidney_left=3)


@pytest.mark.parametrize(
    ("found", "keep", "labels", "sources"),
    [
        pytest.param(
            classes(liver=1, spleen=2, Kidney_left=3), True,
            classes(liver=1, spleen=2, Kidney_left=3), (0, 1, 2), id="the same",
        ),
        pytest.param(
            [LabelClass(7, "Kidney LEFT"), *classes(LIVER=2, Spleen=1)], True,
            classes(liver=2, spleen=1, Kidney_left=7), (0, 1, 2), id="names before numbers",
        ),
        pytest.param(
            classes(_a=1, _b=2, _c=3), True,
            classes(liver=1, spleen=2, Kidney_left=3), (0, 1, 2), id="numbers without names",
        ),
        pytest.param(
            [LabelClass(1, "class 1"), LabelClass(9, "label 9")], True,
            [*classes(liver=1, spleen=2, Kidney_left=3), LabelClass(9, "label 9")],
            (0, 1, 2, None), id="names that say nothing",
        ),
        pytest.param(
            classes(liver=1, tumour=2), True,
            classes(liver=1, spleen=4, Kidney_left=3, tumour=2), (0, 1, 2, None),
            id="a new class takes its number",
        ),
        pytest.param(
            classes(spleen=2, _a=5), False,
            [*classes(spleen=2), LabelClass(5, "class 5")], (1, None), id="others are left out",
        ),
    ],
)  # fmt: skip
def test_classes_are_matched(
    found: list[LabelClass],
    keep: bool,
    labels: list[LabelClass],
    sources: tuple[int | None, ...],
) -> None:
    matched = match_classes(ORGANS, found, keep=keep)
    assert list(matched.labels) == labels
    assert matched.sources == sources


def test_what_is_not_as_it_was_is_said() -> None:
    notes = match_classes(ORGANS, classes(liver=2, tumour=1)).notes
    assert notes == (
        "liver is 2 here, 1 in the model that it began as",
        "spleen is 4 now: 2 is another class here",
        "tumour (1) is new",
    )


def test_a_class_in_no_label_is_told_of_once_as_a_problem_of_the_data() -> None:
    assert match_classes(ORGANS, classes(liver=1, spleen=2)).notes == ()


def test_a_model_without_names_takes_those_of_the_labels() -> None:
    matched = match_classes([LabelClass(1, "class 1")], classes(vessel=1))
    assert matched.labels == (LabelClass(1, "vessel"),)
    assert matched.sources == (0,)


def test_a_class_without_a_name_keeps_the_one_it_was_given() -> None:
    matched = match_classes(
        [LabelClass(1, "class 1"), LabelClass(2, "label 2")], classes(_a=1, _b=2)
    )
    assert [label.name for label in matched.labels] == ["class 1", "label 2"]


def volume(labels: list[list[int]], **more: object) -> LabelVolume:
    array = np.array(labels, np.int16)
    return LabelVolume(array, Grid.from_spacing(array.shape), **more)  # type: ignore[arg-type]


def test_classes_of_all_labels_are_found() -> None:
    truths = [volume([[0, 1, 255]]), volume([[4, 4, 0]], classes=classes(liver=1, spleen=2))]
    found = found_classes(truths, TrainingSettings(ignore_label=255))
    assert list(found) == classes(liver=1, spleen=2, _=4)


def test_a_name_of_two_numbers_is_refused() -> None:
    truths = [volume([[1]], classes=classes(liver=1)), volume([[2]], classes=classes(Liver=2))]
    with pytest.raises(TrainingError, match=r"Liver has the numbers 1 and 2"):
        found_classes(truths, TrainingSettings())


@pytest.mark.parametrize(
    ("number", "text"),
    [(-1, "Label -1 is negative: .* ignored label"), (70000, "Label 70000 is too large .* 65535")],
)
def test_numbers_that_no_class_has_are_refused(number: int, text: str) -> None:
    found = [LabelClass(1, ""), LabelClass(number, "")]
    with pytest.raises(TrainingError, match=text):
        match_classes(ORGANS, found)
    with pytest.raises(TrainingError, match=text):
        new_outputs("classes", found)


def blocks(count: int, *, first: int = 1, pieces: int = 1) -> list[list[int]]:
    """Return so many numbers, each in so many pieces along a row."""
    row = []
    for _ in range(pieces):
        for number in range(first, first + count):
            row += [number, number, 0]
    return [row, row]


@pytest.mark.parametrize(
    ("truths", "wanted"),
    [
        pytest.param([volume(blocks(9))], "instances", id="many numbers in one image"),
        pytest.param([volume(blocks(9, pieces=2))], "classes", id="in pieces"),
        pytest.param([volume(blocks(3))], "classes", id="three numbers"),
        pytest.param([volume(blocks(3)), volume(blocks(5))], "instances", id="numbers differ"),
        pytest.param([volume(blocks(3)), volume(blocks(3))], "classes", id="the same numbers"),
        pytest.param([volume([[0, 0]])], "classes", id="empty"),
        pytest.param([volume([[0, 1]], kind="instances")], "instances", id="as the file says"),
        pytest.param([volume(blocks(9), classes=classes(a=1, b=2))], "classes", id="several names"),
    ],
)
def test_labels_look_like_objects_or_classes(truths: list[LabelVolume], wanted: str) -> None:
    assert as_labels_look(truths) == wanted


def test_organs_are_classes() -> None:
    organs = np.zeros((4, 8, 24), np.uint8)
    for number in range(1, 13):
        organs[1:3, 2:6, 2 * number - 1] = number
    truth = LabelVolume(organs, Grid.from_spacing(organs.shape, unit="mm", anatomical=True))
    assert as_labels_look([truth]) == "classes"
