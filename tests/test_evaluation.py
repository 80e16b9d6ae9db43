"""Scores against brute force, an assignment solver, MONAI's metrics and arrays counted by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy.optimize import linear_sum_assignment

from napari_monai.errors import EvaluationError
from napari_monai.evaluation import (
    THRESHOLDS,
    Counts,
    average_precision,
    class_counts,
    dice,
    evaluate,
    evaluate_folder,
    guess_kind,
    instance_counts,
    intersection_over_union,
    iou,
    match,
    match_pairs,
)
from napari_monai.grid import Grid
from napari_monai.volume import LabelClass, LabelVolume

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6)
LABELS = SHAPES.flatmap(
    lambda shape: st.tuples(
        *[hnp.arrays(np.int32, shape, elements=st.sampled_from([0, 0, 1, 2, 3, 900]))] * 2
    )
)


def brute_force_iou(prediction, truth):
    """Return the dense IoU matrix by comparing every pair of masks."""
    rows = [i for i in np.unique(prediction) if i]
    columns = [j for j in np.unique(truth) if j]
    matrix = np.zeros((len(rows), len(columns)))
    for r, i in enumerate(rows):
        for c, j in enumerate(columns):
            a, b = prediction == i, truth == j
            matrix[r, c] = np.sum(a & b) / np.sum(a | b)
    return matrix


@given(LABELS)
def test_iou_of_all_pairs_is_that_of_the_masks(pair):
    matrix = intersection_over_union(*pair)
    np.testing.assert_allclose(matrix.toarray(), brute_force_iou(*pair), rtol=1e-15)


@given(LABELS, st.sampled_from(THRESHOLDS))
def test_matching_is_the_best_assignment(pair, threshold):
    matrix = brute_force_iou(*pair)
    hits = matrix > threshold
    rows, columns = linear_sum_assignment(-hits.astype(float))
    tp = int(hits[rows, columns].sum())
    expected = (tp, matrix.shape[0] - tp, matrix.shape[1] - tp)
    assert match(intersection_over_union(*pair), threshold) == expected


@given(LABELS)
def test_swapping_prediction_and_truth_keeps_the_precision(pair):
    np.testing.assert_array_equal(average_precision(*pair), average_precision(*pair[::-1]))


@given(LABELS, st.randoms(use_true_random=False))
def test_object_numbers_do_not_matter(pair, random):
    numbers = list(range(1, 901))
    random.shuffle(numbers)
    renumbered = np.asarray([0, *numbers])[pair[0]]
    assert instance_counts(renumbered, pair[1]) == instance_counts(*pair)


@given(LABELS)
def test_class_counts_are_those_of_the_masks(pair):
    prediction, truth = pair
    counts = class_counts(prediction, truth)
    assert sorted(counts) == sorted({*np.unique(prediction), *np.unique(truth)} - {0})
    for number, c in counts.items():
        p, t = prediction == number, truth == number
        assert c == (np.sum(p & t), np.sum(p & ~t), np.sum(~p & t))


def test_dice_and_iou_agree_with_monai():
    import torch
    from monai.metrics import compute_dice, compute_iou

    generator = np.random.default_rng(0)
    prediction, truth = generator.integers(0, 5, (2, 20, 30))
    hot = [
        torch.nn.functional.one_hot(torch.from_numpy(x), 5).movedim(-1, 0)[None]
        for x in (prediction, truth)
    ]
    np.testing.assert_allclose(
        list(dice(prediction, truth).values()), compute_dice(*hot, include_background=False)[0]
    )
    np.testing.assert_allclose(
        list(iou(prediction, truth).values()), compute_iou(*hot, include_background=False)[0]
    )


@pytest.mark.parametrize(
    ("prediction", "truth", "counts"),
    [
        pytest.param([1, 1, 0, 2], [7, 7, 0, 9], (2, 0, 0), id="same objects"),
        pytest.param([1, 1, 0, 0], [1, 1, 1, 1], (0, 1, 1), id="IoU of just 0.5 is no match"),
        pytest.param([1, 1, 1, 0, 0], [1, 1, 1, 1, 1], (1, 0, 0), id="IoU of 0.6 is"),
        pytest.param([1, 1, 1, 1, 1, 1], [1, 1, 1, 2, 2, 2], (0, 1, 2), id="two merged"),
        pytest.param([1, 1, 1, 2, 0, 0], [1, 1, 1, 1, 0, 0], (1, 1, 0), id="a piece split off"),
        pytest.param([0, 0], [0, 3], (0, 0, 1), id="missed"),
        pytest.param([4, 0], [0, 0], (0, 1, 0), id="made up"),
        pytest.param([0, 0], [0, 0], (0, 0, 0), id="both empty"),
    ],
)
def test_objects_at_half(prediction, truth, counts):
    assert instance_counts(np.asarray(prediction), np.asarray(truth))[0] == counts


def test_average_precision_falls_with_the_threshold():
    truth = np.repeat([1, 2], 20)
    prediction = np.repeat([1, 0, 2], [11, 9, 20])  # IoU 11/20 = 0.55 just, and 1
    expected = [1.0] + [1 / 3] * 8
    np.testing.assert_allclose(average_precision(prediction, truth), expected)


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [([0], [0], 1.0), ([1], [0], 0.0), ([0], [1], 0.0)],
    ids=["both empty", "truth empty", "prediction empty"],
)
def test_average_precision_without_objects(prediction, truth, expected):
    assert set(average_precision(np.asarray(prediction), np.asarray(truth))) == {expected}


def test_absent_class_has_no_score_and_half_absent_class_has_none():
    values = dice(np.asarray([1, 1, 0]), np.asarray([0, 2, 2]), classes=[1, 2, 3])
    assert values[1] == values[2] == 0
    assert math.isnan(values[3])


def test_ten_thousand_objects_with_high_numbers_are_quick():
    truth = np.kron(np.arange(10_000).reshape(100, 100) + 2**40, np.ones((8, 8), np.int64))
    prediction = np.roll(truth, 1, axis=0)
    assert instance_counts(prediction, truth)[0] == (10_000, 0, 0)


@pytest.mark.parametrize(
    ("prediction", "truth", "words"),
    [
        pytest.param(np.zeros((2, 3), int), np.zeros((3, 2), int), "shape", id="shape"),
        pytest.param(np.zeros(3), np.zeros(3, int), "whole numbers", id="floats"),
        pytest.param(np.zeros(3, int), np.full(3, -1), "-1", id="negative"),
    ],
)
def test_arrays_that_are_no_labels(prediction, truth, words):
    with pytest.raises(EvaluationError, match=words) as error:
        instance_counts(prediction, truth)
    assert "\n" not in str(error.value)


def test_low_threshold_is_refused():
    with pytest.raises(EvaluationError, match=r"0\.5"):
        match(np.ones((1, 1)), 0.3)


# -- evaluate ---------------------------------------------------------------------------------


def labels(array, *, grid=None, **kwargs):
    array = np.asarray(array)
    return LabelVolume(array, grid or Grid.from_spacing(array.shape), **kwargs)


def test_evaluate_instances():
    truth = np.repeat([1, 2, 0], 10)
    prediction = np.repeat([3, 0, 4], [10, 10, 10])
    scores = evaluate(labels(prediction, kind="instances"), labels(truth))
    assert scores.kind == "instances"
    assert scores.mean["AP50"] == scores.mean["AP"] == scores.pooled["AP90"] == 1 / 3
    assert (scores.cases[0].true, scores.cases[0].predicted) == (2, 2)


def test_evaluate_classes_by_name():
    classes = (LabelClass(1, "liver"), LabelClass(2, "spleen"), LabelClass(3, "gall bladder"))
    truth = labels([1, 1, 1, 1, 2, 0], classes=classes)
    scores = evaluate(labels([1, 1, 0, 0, 0, 0]), truth)
    assert scores.mean["Dice liver"] == pytest.approx(4 / 6)
    assert scores.mean["IoU liver"] == pytest.approx(2 / 4)
    assert scores.mean["Dice spleen"] == 0
    assert math.isnan(scores.mean["Dice gall bladder"])
    assert scores.mean["Dice"] == pytest.approx(2 / 6)
    assert scores.to_json()["mean"]["Dice gall bladder"] is None


def test_two_classes_of_one_name_are_two():
    truth = np.array([[1, 1, 2, 2]])
    classes = (LabelClass(1, "lesion"), LabelClass(2, "lesion"))
    grid = Grid.from_spacing(truth.shape)
    labels = [LabelVolume(x, grid, classes=classes) for x in (np.array([[1, 1, 2, 0]]), truth)]
    (case,) = evaluate(*labels).cases
    assert case.numbers == {"lesion (1)": 1, "lesion (2)": 2}
    assert case.scores["Dice lesion (1)"] == 1
    assert case.scores["Dice lesion (2)"] == pytest.approx(2 / 3)


def test_evaluate_each_time_point():
    truth = np.asarray([[1, 1, 0], [0, 2, 2]])
    grid = Grid.from_spacing((3,))
    volume = LabelVolume(truth, grid, leading="t", kind="instances", name="cells")
    scores = evaluate(volume, volume)
    assert [case.name for case in scores.cases] == ["cells t=0", "cells t=1"]
    assert scores.mean["AP"] == 1


def test_axes_in_another_order_are_brought_together():
    grid = Grid((2, 3, 4), np.diag([1.0, 2.0, 3.0, 1.0]))
    truth = labels(np.arange(24).reshape(2, 3, 4) % 3, grid=grid)
    how = grid.reorientation_to("SPL")
    prediction = labels(how.apply(truth.numpy()), grid=grid.reoriented(how))
    assert prediction.grid.shape != grid.shape
    assert evaluate(prediction, truth, kind="classes").mean["Dice"] == 1


def test_same_space_in_another_unit_fits():
    array = np.asarray([[1, 0], [0, 1]])
    a = Grid.from_spacing((2, 2), (0.5, 0.5), unit="µm")
    b = Grid.from_spacing((2, 2), (0.5e-3, 0.5e-3), unit="mm")
    assert evaluate(labels(array, grid=a), labels(array, grid=b)).mean["Dice"] == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Grid((4, 4), np.diag([1.0, 1, 1, 1])), id="shape"),
        pytest.param(Grid((4, 5), np.diag([1.0, 2, 1, 1])), id="spacing"),
        pytest.param(Grid((4, 5), np.diag([-1.0, 1, 1, 1])), id="mirrored elsewhere"),
    ],
)
def test_another_grid_is_refused(other):
    truth = labels(np.ones((4, 5), int), grid=Grid((4, 5), np.eye(4)))
    with pytest.raises(EvaluationError, match="another grid"):
        evaluate(labels(np.ones(other.shape, int), grid=other), truth)


# -- what the labels are ------------------------------------------------------------------------

BLOBS = np.kron([[1, 0, 2], [0, 0, 0], [3, 0, 4]], np.ones((3, 3), int))


@pytest.mark.parametrize(
    ("truths", "kind"),
    [
        pytest.param([BLOBS], "instances", id="each number is one piece"),
        pytest.param([np.minimum(BLOBS, 1)], "classes", id="a mask"),
        pytest.param([np.minimum(BLOBS, 2)], "classes", id="pieces share a number"),
        pytest.param([np.asarray([1, 0]), np.asarray([0, 1])], "classes", id="one number only"),
        pytest.param([np.asarray([1, 0]), np.asarray([1, 2])], "instances", id="over images"),
        pytest.param([np.zeros(4, int)], "classes", id="empty"),
        pytest.param([labels(BLOBS, grid=Grid((9, 9), np.eye(4)))], "classes", id="a patient's"),
    ],
)
def test_guess_kind(truths, kind):
    assert guess_kind(truths) == kind


def test_a_kind_that_is_given_wins():
    assert evaluate(BLOBS, BLOBS, kind="classes").kind == "classes"
    assert evaluate(BLOBS, BLOBS).kind == "instances"


# -- folders --------------------------------------------------------------------------------------


def save(path: Path, array) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint16)).save(path)
    return path


@pytest.fixture
def folders(tmp_path):
    """Write two images: one of 3 objects found in full, one of 1 object missed."""
    many = np.kron([[1, 0, 2, 0, 3]], np.ones((4, 4), int))
    one = np.kron([[0, 0, 1, 0, 0]], np.ones((4, 4), int))
    save(tmp_path / "truth/many.png", many)
    save(tmp_path / "truth/one.png", one)
    save(tmp_path / "prediction/many.tif", many)
    save(tmp_path / "prediction/one.png", one * 0)
    return tmp_path / "prediction", tmp_path / "truth"


def test_folder_mean_is_over_images_and_pooled_over_objects(folders):
    scores = evaluate_folder(*folders)
    assert scores.kind == "instances"
    assert scores.mean["AP50"] == 0.5  # (1 + 0) / 2 images
    assert scores.pooled["AP50"] == 0.75  # 3 of 4 objects
    assert [case.name for case in scores.cases] == ["many", "one"]


def test_report_is_plain_json_and_an_aligned_table(folders):
    scores = evaluate_folder(*folders)
    report = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert report["mean"]["AP50"] == 0.5
    assert report["cases"][0]["counts"]["AP50"] == {"tp": 3, "fp": 0, "fn": 0}
    lines = scores.table().splitlines()
    assert lines[0].split() == ["image", "true", "predicted", "AP50", "AP75", "AP90", "AP"]
    assert lines[2].split() == ["many", "3", "3", "1.000", "1.000", "1.000", "1.000"]
    assert len({len(line) for line in lines[:4]}) == 1
    assert next(line for line in lines[5:] if line.startswith("AP50")).split()[1:3] == [
        "0.500",
        "0.750",
    ]


def test_table_of_classes(tmp_path):
    a = save(tmp_path / "a.png", [[1, 1, 2, 2]])
    b = save(tmp_path / "b.png", [[1, 1, 2, 0]])
    lines = evaluate_folder(a, b, kind="classes").table().splitlines()
    assert lines[2].split() == ["b", "0.833", "0.750"]
    assert lines[6].split() == ["class", "1", *["1.000"] * 4, "1"]
    assert lines[7].split() == ["class", "2", "0.667", "0.500", "0.667", "0.500", "1"]


def test_files_without_partner_are_named(folders):
    alone = save(folders[1] / "late.png", [[0, 1]])
    assert evaluate_folder(*folders).left_out == (str(alone),)


def test_files_that_do_not_fit_are_named(folders):
    save(folders[1] / "one.png", np.zeros((2, 2)))
    with pytest.raises(EvaluationError, match=r"one\.png against .*one\.png"):
        evaluate_folder(*folders)


def test_pairs_ignore_extensions_and_other_files(tmp_path):
    for name in ("x.nii.gz", "y.ome.tif", "notes.txt", ".x.png"):
        (tmp_path / "a" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "a" / name).touch()
    for name in ("x.PNG", "y.nii", "z.png"):
        (tmp_path / "b" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "b" / name).touch()
    matched = match_pairs(tmp_path / "a", tmp_path / "b")
    names = [(one.name, two.name) for one, two in matched.pairs]
    assert names == [("x.nii.gz", "x.PNG"), ("y.ome.tif", "y.nii")]
    assert [path.name for path in matched.second_alone] == ["z.png"]
    assert not matched.first_alone


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param(["a/x.png"], "does not exist", id="no folder"),
        pytest.param(["a/x.png", "b/y.png"], r"x\.png.*y\.png.*no names in common", id="no pair"),
        pytest.param(["a/x.png", "b/notes.txt"], "holds no image", id="no image"),
        pytest.param(["a/x.png", "a/x.tif", "b/x.png"], "one name", id="two of one name"),
    ],
)
def test_folders_that_cannot_be_matched(tmp_path, files, words):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(EvaluationError, match=words):
        match_pairs(tmp_path / "a", tmp_path / "b")


def test_file_and_folder_cannot_be_matched(folders):
    with pytest.raises(EvaluationError, match="two files or two folders"):
        match_pairs(folders[0] / "one.png", folders[1])


def test_counts_add_up():
    assert Counts(1, 2, 3).plus(Counts(1, 0, 0)) == (2, 2, 3)
    assert math.isnan(Counts(0, 0, 0).iou)


@pytest.mark.parametrize(
    ("labels", "kind", "words"),
    [
        (np.full((2, 2), 2**63 + 5, np.uint64), "instances", "9223372036854775813"),
        (np.zeros((2, 2, 2, 2), int), None, "one to three axes"),
        (np.zeros((2, 2), complex), None, "whole numbers"),
        (np.zeros((2, 2), int), "klasses", "'klasses'"),
    ],
    ids=["beyond 64 bits with a sign", "four axes", "complex", "unknown kind"],
)
def test_odd_labels_are_refused_in_a_sentence(labels, kind, words):
    with pytest.raises(EvaluationError, match=words):
        evaluate(labels, labels, kind=kind)


def test_classes_of_one_name_or_none_stay_apart():
    truth = np.array([[1, 1, 2, 2, 3, 3]])
    prediction = np.array([[1, 1, 2, 0, 0, 0]])
    named = [LabelClass(1, "node"), LabelClass(2, "node"), LabelClass(3, "")]
    grid = Grid.from_spacing(truth.shape)
    scores = evaluate(prediction, LabelVolume(truth, grid, classes=named), kind="classes")
    assert scores.classes == ("node (1)", "node (2)", "class 3")
    assert scores.mean["Dice"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert scores.mean["Dice class 3"] == 0


def test_volumes_of_sheared_voxels_are_theirs():
    affine = np.eye(4)
    affine[1, 2] = 1.0  # slices of a tilted gantry: 45 degrees
    grid = Grid((10, 10, 10), affine, "mm", anatomical=True)
    truth = np.zeros((10, 10, 10), np.uint8)
    truth[2:8, 2:8, 2:8] = 1
    prediction = truth.copy()
    prediction[8, 2:8, 2:8] = 1
    scores = evaluate(LabelVolume(prediction, grid), LabelVolume(truth, grid))
    assert scores.mean["Volume difference"] == pytest.approx(36 * 1e-3)
