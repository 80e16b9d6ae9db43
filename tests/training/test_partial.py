"""Partial labels: what nobody has labelled counts in no loss, no weight, no score, no patch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.known import description

from napari_monai import LabelVolume, TrainingSettings, Volume, write
from napari_monai.errors import SettingsError, TrainingError
from napari_monai.evaluation import average_precision
from napari_monai.events import EpochDone, Event, StepDone
from napari_monai.grid import Grid
from napari_monai.instances import centre_distance
from napari_monai.labels.notes import Notes, write_notes
from napari_monai.training import fine_tune
from napari_monai.training.checkpoint import load_checkpoint
from napari_monai.training.choose_loss import choose_loss, class_weights
from napari_monai.training.examples import Share, make_examples
from napari_monai.training.losses import instance_loss
from napari_monai.training.partial import (
    IGNORED,
    corrected_slices,
    known_labels,
    whole_objects,
    without_ignored,
)
from napari_monai.training.patches import PatchSampler
from napari_monai.training.plan import plan_model
from napari_monai.training.resolved import resolve
from napari_monai.training.shares import Known
from napari_monai.training.targets import instance_maps
from napari_monai.volume import LabelClass

X = IGNORED
TINY = {"channels": [4, 8], "strides": [2], "num_res_units": 0}


def settings(**changes: Any) -> TrainingSettings:
    given = {
        "network_arguments": json.dumps(TINY),
        "steps": 4,
        "patch": (16, 16),
        "batch_size": 2,
        "validate_every": 2,
        "precision": "float32",
        "device": "cpu",
        **changes,
    }
    return TrainingSettings.from_json(given)


def halves(seed: int, *, ndim: int = 2) -> tuple[Volume, LabelVolume]:
    """Return noise with a bright right half, and its labels, 0 and 1."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((8, 24, 24)[-ndim:], np.int16)
    labels[..., 12:] = 1
    image = (rng.normal(50, 5, labels.shape) + 100 * labels).astype(np.float32)
    grid = Grid.from_spacing(labels.shape)
    return Volume(image, grid), LabelVolume(labels, grid, kind="classes")


def train(folder: Path, pairs: Any, given: TrainingSettings, **more: Any) -> list[Event]:
    return list(fine_tune(None, pairs, settings=given, output=folder, name="halves", **more))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [[0, 1], [2, 5]]),
        ({"ignore_label": 5}, [[0, 1], [2, X]]),
        ({"ignore_label": 0}, [[X, 1], [2, 5]]),
        ({"ignore_label": 0, "background_label": 5}, [[X, 1], [2, 0]]),
        ({"background_label": 2}, [[0, 1], [0, 5]]),
    ],
    ids=["all", "a number", "scribbles", "with a background", "background alone"],
)
def test_what_is_known_of_labels(given: Any, expected: Any) -> None:
    labels = np.array([[0, 1], [2, 5]], np.uint8)
    known = known_labels(labels, TrainingSettings(**given))
    np.testing.assert_array_equal(known, expected)


@pytest.mark.parametrize("given", [{}, {"ignore_label": -2}], ids=["none", "another"])
def test_a_negative_number_has_to_be_the_ignored_one(given: Any) -> None:
    labels = np.array([[0, 1], [-1, -2]], np.int16)[:, :1]
    with pytest.raises(TrainingError, match="cells: label -1 is negative"):
        known_labels(labels, TrainingSettings(**given), name="cells")
    known = known_labels(labels, TrainingSettings(ignore_label=-1))
    assert known.tolist() == [[0], [X]]


def test_numbers_beyond_32_bits_are_refused() -> None:
    labels = np.array([0, 1, 2**40], np.uint64)
    with pytest.raises(TrainingError, match="cells: label 1099511627776 is larger than"):
        known_labels(labels, TrainingSettings(), name="cells")
    known = known_labels(labels, TrainingSettings(ignore_label=2**40))
    assert known.tolist() == [0, 1, X]


def test_what_is_ignored_is_not_the_background(tmp_path: Path) -> None:
    both = settings(ignore_label=3, background_label=3)
    with pytest.raises(SettingsError, match="Label 3 cannot be both"):
        train(tmp_path, [halves(0)], both)


def test_objects_that_reach_what_is_unknown_have_no_known_distance() -> None:
    labels = np.array([[1, 1, 0, 2, 2], [1, 0, 0, 0, X], [0, 0, 3, 0, 0]], np.int32)
    np.testing.assert_array_equal(
        whole_objects(labels), [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    )


def test_scores_leave_out_objects_where_nobody_has_labelled() -> None:
    labels = np.array([[1, 1, X, X, X, 2]], np.int32)
    found = np.array([[5, 5, 5, 7, 7, 7]])
    here, truth = without_ignored(found, labels)
    np.testing.assert_array_equal(here, [[5, 5, 0, 0, 0, 0]])
    np.testing.assert_array_equal(truth, [[1, 1, 0, 0, 0, 2]])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_in_labelled_slices_objects_count_that_reach_beyond_them(axis: int) -> None:
    truth = np.full((7, 12, 12), X, np.int32)
    truth[3] = 0
    truth[3, 2:6, 2:6] = 1
    found = np.zeros_like(truth)
    found[1:6, 2:6, 2:5] = 4  # of which four slices lie where nobody has labelled
    found[2:5, 8:11, 8:11] = 5  # in the background of the slice: wrong
    labels, objects = np.moveaxis(truth, 0, axis), np.moveaxis(found, 0, axis)
    here, there = without_ignored(objects, labels)
    assert set(np.unique(here)) == {0, 4, 5}
    assert (here[labels == X] == 0).all()
    counts = average_precision(here, there)
    assert counts[0] == pytest.approx(1 / 2)  # one of two found, IoU 12 / 16
    assert counts[-1] == 0


def test_objects_in_labelled_slices_have_the_distance_within_them() -> None:
    labels = np.full((9, 16, 14), X, np.int32)
    labels[[2, 6]] = 0
    labels[2, 3:10, 2:9] = 1
    labels[6, 5:12, 4:11] = 1
    labels[6, 1:3, 1:3] = 2
    maps = instance_maps(labels, (2.0, 1.0, 1.5), partial=True)
    known = maps[4] > 0
    np.testing.assert_array_equal(known, labels != X)
    for plane in (2, 6):
        flat = np.maximum(labels[plane], 0)
        wanted = centre_distance(flat, spacing=(1.0, 1.5)).astype(np.float16)
        np.testing.assert_array_equal(maps[1][plane], wanted)
    # Of regions that are no slices nothing is known of what they cut.
    labels[2, 0, 0] = X
    assert not (instance_maps(labels, (2.0, 1.0, 1.5), partial=True)[4][labels > 0] > 0).any()


def test_balanced_weights_are_of_labelled_voxels() -> None:
    image, truth = halves(0)
    labels = truth.numpy().copy()
    labels[:, 6:12] = 255
    told = description(2, 1)
    pair = image, LabelVolume(labels, truth.grid, kind="classes")
    examples = list(make_examples([pair], told, settings=settings(ignore_label=255)))
    # 6 columns of the background, 12 of the class: of 18.
    weights = class_weights("balanced", examples, 2, background=True)
    assert weights == pytest.approx((18 / (2 * 6), 18 / (2 * 12)))
    assert class_weights("balanced", examples, 3, background=True)[2] == 1


@pytest.mark.parametrize("text", ["often", "1", "1,2,3", "1,-2", "5,0", "nan,1"])
def test_weights_are_one_a_class(text: str) -> None:
    with pytest.raises(TrainingError, match="2 numbers from 0 up"):
        class_weights(text, [], 2, background=True)


def test_patches_stand_on_labelled_voxels() -> None:
    """A patch of one voxel without a jitter to speak of: each is labelled."""
    image, truth = halves(0)
    labels = np.zeros_like(truth.numpy())
    labels[3, 4], labels[20, 20] = 1, 2
    given = settings(
        ignore_label=0, background_label=2, flips=False, rotations=False, scale=1.0, batch_size=20
    )
    pair = image, LabelVolume(labels, truth.grid, kind="classes")
    told = description(2, 1)
    examples = list(make_examples([pair], told, settings=given))
    plan = replace(resolve(given, told), patch=(1, 1))
    sampler = PatchSampler(examples, plan, seed=0, classes=True)
    targets = sampler.batch(0)[1]
    assert set(targets.flatten().tolist()) == {0, 1}


def test_a_plan_knows_no_class_of_what_is_ignored() -> None:
    image, truth = halves(0)
    labels = truth.numpy().copy()
    labels[0], labels[1] = 255, 9
    pair = image, LabelVolume(labels, truth.grid, kind="classes")
    given = settings(target="classes", ignore_label=255, background_label=9)
    assert [c.number for c in plan_model("m", [pair], given).labels] == [1]


@pytest.mark.parametrize("outputs", [2, 3])
def test_instance_loss_is_that_of_the_known_voxels(outputs: int) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, outputs, 6, 8)
    inside = (torch.rand(2, 1, 6, 8) > 0.5).float()
    near = (torch.rand(2, 1, 6, 8) > 0.7).float()
    targets = torch.cat([inside, inside * torch.rand(2, 1, 6, 8), near], 1)
    known = torch.zeros(2, 1, 6, 8)
    known[..., :5] = 1
    whole = {"touching_weight": 2.0}
    expected = instance_loss(logits[..., :5], targets[..., :5], **whole)
    logits.requires_grad_()
    cut = torch.cat([targets, known, known], 1)
    loss = instance_loss(logits, cut, partial=True, **whole)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert (logits.grad[..., 5:] == 0).all()
    # Where only the distance is unknown, the foreground still counts.
    logits.grad = None
    instance_loss(logits, torch.cat([targets, known, 0 * known], 1), partial=True).backward()
    assert (logits.grad[:, 1] == 0).all()
    assert (logits.grad[:, 0, :, :5] != 0).all()


def test_instances_keep_the_distances_of_whole_objects() -> None:
    image, truth = halves(0)
    labels = np.zeros_like(truth.numpy())
    labels[2:7, 2:7], labels[10:17, 2:9], labels[12, 9:12] = 1, 2, 255
    given = settings(ignore_label=255)
    pair = image, LabelVolume(labels, truth.grid, kind="instances")
    told = plan_model("m", [pair], given)
    (example,) = make_examples([pair], told, settings=given)
    foreground, distance, _, known, certain = example.targets
    np.testing.assert_array_equal(known, labels != 255)
    np.testing.assert_array_equal(foreground, (labels == 1) | (labels == 2))
    assert not certain[labels == 2].any()
    assert certain[labels == 1].all()
    alone = centre_distance(np.where(labels == 1, 1, 0))
    np.testing.assert_allclose(distance[labels == 1], alone[labels == 1], atol=1e-3)


def test_one_slice_of_objects_stays_what_it_is_in_every_patch() -> None:
    """However patches are turned and stretched, a voxel is labelled with its object or not."""
    image, truth = halves(0, ndim=3)
    given = settings(ignore_label=9, scale=1.4, intensity=0.0, batch_size=8, patch=(6, 8, 8))
    labels = np.full_like(truth.numpy(), 9)
    labels[4] = truth.numpy()[4]
    pair = image, LabelVolume(labels, truth.grid, kind="instances")
    told = plan_model("m", [pair], given)
    plan = replace(resolve(given, told), patch=(6, 8, 8))
    examples = list(make_examples([pair], told, settings=given))
    images, targets = PatchSampler(examples, plan, seed=0, classes=False).batch(0)[:2]
    known = targets[:, 3] > 0
    assert set(targets[:, [0, 3]].unique().tolist()) == {0.0, 1.0}
    assert 0.02 < known.float().mean() < 0.5
    bright = images[:, 0] > (images.amin() + images.amax()) / 2
    agree = (bright == (targets[:, 0] > 0))[known].float().mean()
    assert agree > 0.95


# -- corrected slices -----------------------------------------------------------------------------


def saved(folder: Path, corrected: set[int], *, ndim: int = 3) -> tuple[Path, Path]:
    image, truth = halves(0, ndim=ndim)
    paths = folder / "image.tif", folder / "labels.tif"
    write(paths[0], image)
    write(paths[1], truth)
    write_notes(paths[1], Notes(corrected=frozenset(corrected)))
    return paths


def test_corrected_slices_alone_are_trained_on(tmp_path: Path) -> None:
    pair = saved(tmp_path, {2, 5, 99})
    assert corrected_slices(pair[1], Grid.from_spacing((8, 24, 24))) == {2, 5}
    given = settings(target="classes", only_corrected=True, patch=(4, 16, 16))
    told = plan_model("m", [pair], given)
    (example,) = make_examples([pair], told, settings=given)
    counts = (example.labels != IGNORED).reshape(8, -1).sum(1)
    assert counts.tolist() == [0, 0, 576, 0, 0, 576, 0, 0]
    (example,) = make_examples([pair], told, settings=given, validation=True)
    assert (example.labels != IGNORED).all()
    events = train(tmp_path / "out", [pair], given, validation=[pair])
    assert all(np.isfinite(e.loss) for e in events if isinstance(e, StepDone))


def test_no_corrected_slice_is_said(tmp_path: Path) -> None:
    pair = saved(tmp_path, set())
    with pytest.raises(TrainingError, match=r"labels\.tif\.notes\.json names no corrected"):
        train(
            tmp_path / "out",
            [pair],
            settings(target="classes", only_corrected=True, patch=(4, 16, 16)),
        )
    with pytest.raises(TrainingError, match="only volumes have corrected slices"):
        corrected_slices(pair[1], Grid.from_spacing((24, 24)))
    with pytest.raises(TrainingError, match="noted beside files"):
        train(tmp_path / "out", [halves(0)], settings(target="classes", only_corrected=True))


def test_corrected_slices_of_labels_without_a_file_are_handed_over() -> None:
    image, truth = halves(0, ndim=3)
    share = Share(image, truth, corrected=frozenset({3}))
    for validation in (False, True):
        (example,) = make_examples([share], description(3, 1), validation=validation)
        counts = (example.labels != IGNORED).reshape(8, -1).sum(1)
        assert counts.tolist() == [0, 0, 0, 576, 0, 0, 0, 0]


@pytest.mark.parametrize("codes", ["IPL", "RAS", "LPS", "SAR"])
def test_slices_are_those_that_the_viewer_shows(codes: str) -> None:
    """Whatever axis of the file they lie along: an oracle turns the array to the viewer's."""
    shown = Grid.from_spacing((4, 5, 6), origin=(1, 2, 3))
    how = shown.reorientation_to(codes)
    truth = LabelVolume(how.apply(np.ones((4, 5, 6), np.uint8)), shown.reoriented(how))
    share = Share(truth, truth, corrected=frozenset({1, 3, 77}))
    known = how.inverse().apply(Known(truth, share, TrainingSettings()).whole())
    counts = (known != IGNORED).reshape(4, -1).sum(1)
    assert counts.tolist() == [0, 30, 0, 30]


# -- trainings ------------------------------------------------------------------------------------


def test_what_stands_in_ignored_voxels_changes_nothing(tmp_path: Path) -> None:
    """The weights and scores are the same whatever number the unlabelled voxels have."""
    results = []
    for name, number in (("one", 200), ("other", 7)):
        pairs = []
        for seed in range(2):
            image, truth = halves(seed)
            labels = truth.numpy().copy()
            labels[:, :6], labels[20:] = number, number
            pairs.append((image, LabelVolume(labels, truth.grid, kind="classes")))
        given = settings(target="classes", ignore_label=number, class_weights="balanced")
        events = train(tmp_path / name, pairs, given, validation=pairs)
        scores = [e.scores for e in events if isinstance(e, EpochDone)]
        results.append((scores, load_checkpoint(tmp_path / name)["network"]))
    (scores, weights), (others, again) = results
    assert scores == others
    assert all(torch.equal(weights[key], again[key]) for key in weights)


def test_no_labelled_voxel_is_said(tmp_path: Path) -> None:
    image, truth = halves(0)
    labels = LabelVolume(0 * truth.numpy() + 9, truth.grid, kind="instances")
    with pytest.raises(TrainingError, match="No voxel of the training pairs is labelled"):
        train(tmp_path, [(image, labels)], settings(ignore_label=9))


@pytest.mark.parametrize("given", [{"loss": "dice"}, {"class_weights": "balanced"}], ids=str)
def test_instances_have_a_loss_of_their_own(tmp_path: Path, given: Any) -> None:
    with pytest.raises(TrainingError, match="a loss of its own"):
        train(tmp_path, [halves(0)], settings(target="instances", **given))


def test_regions_that_overlap_are_refused() -> None:
    told = description(2, 1)
    outputs = replace(told.outputs, activation=("sigmoid",) * 2, regions=(1, 2))
    told = replace(
        told,
        outputs=replace(outputs, channels=("whole", "core")),
        labels=(LabelClass(1, "whole"), LabelClass(2, "core")),
    )
    with pytest.raises(TrainingError, match="regions that overlap"):
        choose_loss(settings(target="classes"), told, [])
