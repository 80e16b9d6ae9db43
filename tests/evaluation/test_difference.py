"""The labels of what is right and wrong."""

from __future__ import annotations

import numpy as np
import pytest

from napari_monai.errors import EvaluationError
from napari_monai.evaluation import class_counts, difference
from napari_monai.grid import Grid
from napari_monai.volume import LabelVolume


@pytest.mark.parametrize(
    ("prediction", "truth", "kind", "expected"),
    [
        pytest.param([0, 1, 1, 0, 2], [0, 1, 0, 1, 1], "classes", [0, 1, 2, 3, 4], id="classes"),
        pytest.param(
            [0, 7, 7, 7, 0, 9, 9, 0], [0, 5, 5, 0, 5, 0, 0, 6], "instances",
            [0, 4, 4, 2, 3, 2, 2, 3], id="no object matches",
        ),
        pytest.param(
            [7, 7, 7, 8, 0, 900], [5, 5, 5, 5, 0, 3], "instances", [1, 1, 1, 4, 0, 1],
            id="a piece split off",
        ),
        pytest.param([7, 7, 7, 7], [1, 1, 1, 2], "instances", [1, 1, 1, 4], id="one swallowed"),
        pytest.param([0, 0], [0, 0], "instances", [0, 0], id="nothing"),
    ],
)  # fmt: skip
def test_difference(prediction, truth, kind, expected):
    found = difference(np.asarray(prediction), np.asarray(truth), kind=kind)
    np.testing.assert_array_equal(found.numpy(), expected)
    names = [c.name for c in found.classes]
    assert names == ["true positive", "false positive", "false negative", "mistaken"]


def test_difference_of_one_class_has_its_counts():
    prediction, truth = np.random.default_rng(0).integers(0, 4, (2, 9, 9))
    for number, counts in class_counts(prediction, truth).items():
        found = difference(prediction, truth, kind="classes", label=number).numpy()
        assert tuple(np.bincount(found.ravel(), minlength=4)[1:]) == counts


def test_difference_lies_on_the_truth_at_each_time():
    grid = Grid.from_spacing((3,), (0.5,), unit="µm")
    truth = LabelVolume(np.asarray([[1, 0, 0], [0, 1, 0]]), grid, leading="t", time_step=2.0)
    prediction = LabelVolume(np.asarray([[1, 1, 0], [0, 0, 0]]), grid, leading="t")
    found = difference(prediction, truth, kind="classes")
    np.testing.assert_array_equal(found.numpy(), [[1, 2, 0], [0, 3, 0]])
    assert (found.leading, found.time_step, found.grid) == ("t", 2.0, grid)


def test_what_does_not_fit_is_refused():
    with pytest.raises(EvaluationError, match="shape"):
        difference(np.zeros((2, 3), int), np.zeros((3, 2), int), kind="classes")
    with pytest.raises(EvaluationError, match="leave out the label"):
        difference(np.ones(3, int), np.ones(3, int), kind="instances", label=1)


def test_another_number_of_time_points_is_refused():
    frames = np.zeros((3, 2, 2), np.uint8)
    grid = Grid.from_spacing((2, 2))
    series = [LabelVolume(frames[:n], grid, leading="t") for n in (3, 2)]
    with pytest.raises(EvaluationError, match="3 time points and the truth 2"):
        difference(*series, kind="instances")
