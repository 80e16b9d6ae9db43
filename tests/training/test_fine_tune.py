"""Training from end to end on tiny data: it learns, resumes exactly, and refuses bad data."""

from __future__ import annotations

import csv
import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.training.small import HELD_OUT, PAIRS, SETTINGS, discs, run, same, weights

from napari_monai import LabelVolume, Volume, load_model, segment, write
from napari_monai.errors import TrainingError
from napari_monai.evaluation import average_precision
from napari_monai.events import EpochDone, StepDone, Trained
from napari_monai.grid import Grid
from napari_monai.models import save_model
from napari_monai.training.examples import load_pair
from napari_monai.volume import LabelClass


def test_events_and_files(tmp_path: Path) -> None:
    events = run(tmp_path)
    steps = [e for e in events if isinstance(e, StepDone)]
    assert [e.step for e in steps] == [1, 2, 3, 4, 5, 6]
    rates = [e.learning_rate for e in steps]
    assert rates[0] == max(rates) > rates[-1] > 0
    assert all(a >= b for a, b in pairwise(rates))
    epochs = [e for e in events if isinstance(e, EpochDone)]
    assert [e.step for e in epochs] == [3, 6]
    assert epochs[0].best
    assert 0 <= epochs[0].scores["AP"] <= epochs[0].scores["AP50"] <= 1
    assert isinstance(events[-1], Trained)
    assert sorted(p.name.split(".out.")[0] for p in tmp_path.iterdir()) == [
        "checkpoint.pt", "events", "log.csv", "model", "preview", "steps.csv",
    ]  # fmt: skip
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [3, 6]
    assert float(rows[0]["AP50"]) == epochs[0].scores["AP50"]
    model = load_model(events[-1].path)
    assert model.description.training["images"] == 4
    assert model.description.scores["validation"] == {
        k: round(v, 4) for k, v in events[-1].scores.items()
    }


@pytest.mark.slow
def test_it_learns_discs_it_has_not_seen(tmp_path: Path) -> None:
    settings = dataclasses.replace(
        SETTINGS, steps=300, batch_size=6, validate_every=50, learning_rate=5e-3, average=0.95
    )
    events = run(tmp_path, settings=settings)
    losses = [e.loss for e in events if isinstance(e, StepDone)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    model = load_model(tmp_path / "model")
    precisions, objects, blobs = [], 0, 0
    for seed in range(70, 78):
        image, truth = discs(seed)
        found = segment(image, model)
        assert isinstance(found, LabelVolume)
        assert found.kind == "instances"
        precisions.append(average_precision(found.numpy(), truth.numpy())[0])
        objects += int(found.numpy().max())
        blobs += ndimage.label(truth.numpy() > 0)[1]
    assert np.mean(precisions) > 0.5
    assert objects > blobs  # touching discs are told apart


def test_the_seed_decides(tmp_path: Path) -> None:
    run(tmp_path / "a", validation=())
    run(tmp_path / "b", validation=())
    run(tmp_path / "c", validation=(), settings=dataclasses.replace(SETTINGS, seed=1))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_random_numbers_of_others_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(tmp_path, validation=())
    assert torch.equal(torch.rand(3), expected)


def test_training_goes_on_from_a_model(tmp_path: Path) -> None:
    run(tmp_path / "first", validation=())
    parent = load_model(tmp_path / "first" / "model")
    slow = dataclasses.replace(SETTINGS, steps=1, learning_rate=1e-8)
    events = run(tmp_path / "second", model=parent, settings=slow, validation=(), name=None)
    trained = events[-1]
    assert isinstance(trained, Trained)
    child = load_model(trained.path)
    assert child.name == "discs-tuned"
    assert child.description.training["parent"]["name"] == "discs"
    before, after = (m.load_network().state_dict() for m in (parent, child))
    for key, value in before.items():
        if "running" not in key and "num_batches" not in key:
            torch.testing.assert_close(after[key], value, atol=2e-3, rtol=2e-3)


def test_colour_and_grey_together(tmp_path: Path) -> None:
    pairs = [discs(0, colour=True), discs(1), discs(2, colour=True)]
    run(tmp_path, pairs=pairs, validation=(discs(3),))
    model = load_model(tmp_path / "model")
    assert model.description.inputs.colour
    for seed, colour in ((4, True), (5, False)):
        image, _ = discs(seed, colour=colour)
        assert segment(image, model).grid == image.grid


def test_zoom_makes_the_network_see_more_voxels(tmp_path: Path) -> None:
    first = run(tmp_path / "first", validation=())[-1]
    assert isinstance(first, Trained)
    for number, factor in enumerate((1.5, 2.0)):  # the second zoom takes the place of the first
        run(
            tmp_path / str(number),
            model=load_model(first.path),
            settings=dataclasses.replace(SETTINGS, zoom=factor),
            validation=HELD_OUT[:1],
            pairs=PAIRS[:1],
            name="zoomed",
        )
        model = load_model(tmp_path / str(number) / "model")
        assert [(o.name, o.parameters) for o in model.description.preprocess][-1] == (
            "zoom",
            {"factor": factor},
        )
        image, _ = discs(9)
        found = segment(image, model)
        assert found.grid == image.grid
        first = dataclasses.replace(first, path=model.folder)


def organs(seed: int) -> tuple[Volume, LabelVolume]:
    """Return an anatomical volume (axes x, y, z) with two organs numbered 3 and 8."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((20, 22, 12), np.uint8)
    labels[4:10, 5:12, 3:9] = 3
    labels[12:17, 10:18, 2:8] = 8
    image = (labels * 20 + rng.normal(0, 5, labels.shape)).astype(np.int16)
    grid = Grid(labels.shape, np.diag([-2.0, -2.0, 3.0, 1.0]))
    classes = (LabelClass(3, "liver"), LabelClass(8, "spleen"))
    return Volume(image, grid, name="ct"), LabelVolume(labels, grid, classes=classes, name="ct")


def test_a_model_is_scored_before_whatever_its_classes_were_called(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, target="classes", patch=(8, 16, 16))
    named: dict[str, Any] = {"pairs": [organs(0)], "validation": [organs(2)], "settings": settings}
    bare = {
        side: [(image, dataclasses.replace(truth, classes=())) for image, truth in named[side]]
        for side in ("pairs", "validation")
    }
    first = run(tmp_path / "first", **{**named, **bare})[-1]
    assert isinstance(first, Trained)
    parent = load_model(first.path)
    assert [label.name for label in parent.description.labels] == ["class 3", "class 8"]
    second = run(tmp_path / "second", **named, model=parent)[-1]
    assert isinstance(second, Trained)
    assert second.before["Dice"] == pytest.approx(first.scores["Dice"], abs=0.01)
    assert first.scores["Dice"] > 0.02
    tuned = load_model(second.path).description
    assert [label.name for label in tuned.labels] == ["liver", "spleen"]


def test_classes_in_3d(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, target="classes", patch=(8, 16, 16))
    events = run(tmp_path, pairs=[organs(0), organs(1)], validation=[organs(2)], settings=settings)
    epochs = [e for e in events if isinstance(e, EpochDone)]
    assert set(epochs[-1].scores) == {"Dice", "Dice liver", "Dice spleen"}
    model = load_model(tmp_path / "model")
    assert [(c.number, c.name) for c in model.description.labels] == [(3, "liver"), (8, "spleen")]
    image, _ = organs(5)
    found = segment(image, model)
    assert found.grid == image.grid
    assert set(np.unique(found.numpy())) <= {0, 3, 8}


def test_a_2d_model_learns_the_slices_of_a_volume_file(tmp_path: Path) -> None:
    image, truth = organs(0)
    write(tmp_path / "ct.nii.gz", image)
    write(tmp_path / "truth.nii.gz", truth)
    parent = run(tmp_path / "2d", validation=())[-1]
    assert isinstance(parent, Trained)
    events = run(
        tmp_path / "tuned",
        model=load_model(parent.path),
        pairs=[(tmp_path / "ct.nii.gz", tmp_path / "truth.nii.gz")],
        validation=(),
    )
    trained = events[-1]
    assert isinstance(trained, Trained)
    assert load_model(trained.path).description.training["images"] == 12


def _smaller(truth: LabelVolume) -> LabelVolume:
    labels = truth.numpy()[:-1]
    return LabelVolume(labels, Grid.from_spacing(labels.shape), kind="instances")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": []}, "at least one pair"),
        ({"pairs": [(PAIRS[0][0], _smaller(discs(0)[1]))]}, r"shape \(64, 64\), its labels"),
        ({"pairs": [discs(0), organs(0)]}, "dimensions cannot be trained"),
        ({"settings": dataclasses.replace(SETTINGS, patch=(8, 8, 8))}, "3 axes does not fit"),
        ({"settings": dataclasses.replace(SETTINGS, network_arguments="{")}, "not JSON"),
        ({"card": {"licens": "MIT"}}, "no 'licens'"),
        ({"resume": True}, "no training to resume"),
    ],
    ids=["none", "shapes", "dimensions", "patch", "json", "card", "resume"],
)
def test_what_cannot_be_trained_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        run(tmp_path / "out", **changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "model").exists()


def test_a_training_is_never_overwritten_or_mixed(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(TrainingError, match="holds a training already"):
        run(tmp_path)
    other = dataclasses.replace(SETTINGS, learning_rate=1e-4)
    with pytest.raises(TrainingError, match="begun with learning_rate"):
        run(tmp_path, settings=other, resume=True)
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match="damaged"):
        run(tmp_path, resume=True)


def test_a_class_that_the_model_lacks_is_named(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, target="classes", patch=(8, 16, 16))
    image, truth = organs(0)
    strange = dataclasses.replace(truth, data=truth.numpy() + 1)
    with pytest.raises(TrainingError, match="labels 1, 4, 9 are none of"):
        run(tmp_path, pairs=[organs(0)], validation=[(image, strange)], settings=settings)


def test_files_are_read_as_pairs(tmp_path: Path) -> None:
    image, truth = discs(0)
    write(tmp_path / "a.tif", image)
    write(tmp_path / "b.tif", truth)
    volume, labels = load_pair((tmp_path / "a.tif", tmp_path / "b.tif"))
    assert np.array_equal(volume.numpy(), image.numpy())
    assert np.array_equal(labels.numpy(), truth.numpy())


def test_a_card_names_the_model_and_its_classes(tmp_path: Path) -> None:
    card = {"title": "Discs", "authors": ["A. Person"], "classes": {"1": "disc"}, "modality": "EM"}
    run(tmp_path, card=card, validation=())
    description = load_model(tmp_path / "model").description
    assert (description.title, description.authors) == ("Discs", ("A. Person",))
    assert [c.name for c in description.labels] == ["disc"]
    assert description.inputs.modality == "EM"


@pytest.mark.parametrize(
    ("card", "text"),
    [
        ({"title": 3}, "title of a model card is 3, and needs a text"),
        ({"authors": "me"}, "authors of a model card is 'me', and needs a list"),
        ({"classes": {"9": "disc"}}, "names class 9, but the classes are 1"),
    ],
)
def test_a_card_that_cannot_be_written_is_refused_at_once(
    card: Any, text: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=text):
        run(tmp_path, card=card, validation=())
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_model_tuned_without_validation_keeps_its_decoding(tmp_path: Path) -> None:
    first = run(tmp_path / "first")[-1]
    assert isinstance(first, Trained)
    parent = load_model(first.path)
    decoding = {"threshold": 0.37, "seed_threshold": 0.11, "smoothing": 0.5, "min_voxels": 7.0}
    post = (dataclasses.replace(parent.description.postprocess[0], parameters=decoding),)
    parent = save_model(
        tmp_path / "parent",
        dataclasses.replace(parent.description, postprocess=post),
        parent.load_network().state_dict(),
    )
    run(tmp_path / "second", model=parent, validation=())
    tuned = load_model(tmp_path / "second" / "model")
    assert tuned.description.postprocess[0].parameters == decoding
