"""Images without labels, on which a model that is fine-tuned says itself what is right."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.small import stored

from napari_monai import LabelVolume, TrainingSettings, Volume, load_model, segment
from napari_monai.errors import TrainingError
from napari_monai.events import Event
from napari_monai.grid import Grid
from napari_monai.models import Model
from napari_monai.settings import InferenceSettings
from napari_monai.training import fine_tune
from napari_monai.training.examples import Example
from napari_monai.training.patches import PatchSampler
from napari_monai.training.presets import UNCHANGED
from napari_monai.training.remembering import answered
from napari_monai.training.resolved import Resolved
from napari_monai.training.starting import start_from_model
from napari_monai.volume import LabelClass

SETTINGS = TrainingSettings(
    target="classes",
    network_arguments='{"channels": [4, 8, 8], "strides": [1, 2], "num_res_units": 1}',
    steps=4,
    patch=(16, 16),
    batch_size=4,
    validate_every=2,
    validation_part=0.0,
    precision="float32",
    device="cpu",
)

# The only class of the model to start from has the number that it had.
SAME = {1: 1}


def picture(seed: int, classes: tuple[str, ...] = ("cell",)) -> tuple[Volume, LabelVolume]:
    """Return noise in which bright stripes are labelled, one class after the other."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(32) // 4 % 2 * (1 + np.arange(32) // 8 % len(classes)))[None].repeat(32, 0)
    labels = np.roll(labels, seed, 1).astype(np.uint8)
    grid = Grid.from_spacing(labels.shape)
    image = (100 * (labels > 0) + rng.normal(50, 5, labels.shape)).astype(np.float32)
    named = tuple(LabelClass(n, name) for n, name in enumerate(classes, start=1))
    truth = LabelVolume(labels, grid, classes=named, name=f"stripes {seed}")
    return Volume(image, grid, name=f"stripes {seed}"), truth


def run(model: Model | None, output: Path, **changes: Any) -> list[Event]:
    """Train on two pictures and return all events."""
    given = {"pairs": [picture(0), picture(1)], "settings": SETTINGS, "name": "tuned", **changes}
    return list(fine_tune(model, given.pop("pairs"), output=output, **given))


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Return a model that has learnt a little."""
    folder = tmp_path_factory.mktemp("parent")
    run(None, folder, settings=dataclasses.replace(SETTINGS, steps=30, learning_rate=1e-2))
    return load_model(folder / "model")


def flat(value: float) -> Example:
    """Return an image that is everywhere the same."""
    labels = np.ones((20, 20), np.int32)
    image = np.full((1, 20, 20), value, np.float16)
    return Example("flat", image, labels[None].astype(np.int16), labels, (1.0, 1.0),
                   np.argwhere(labels).astype(np.int32))  # fmt: skip


@pytest.mark.parametrize(("part", "recalled"), [(0.0, 0), (0.25, 2), (0.5, 4), (0.9, 7)])
def test_that_part_of_each_batch_is_remembered(part: float, recalled: int) -> None:
    plan = Resolved(
        steps=3, batch_size=8, learning_rate=1.0, validate_every=3, patch=(8, 8), augment=UNCHANGED
    )
    sampler = PatchSampler(
        [flat(0), flat(1)], plan, seed=0, classes=True, remembered=[flat(5), flat(6)], remember=part
    )
    values = np.stack([sampler.batch(step)[0].amax((1, 2, 3)).numpy() for step in range(20)])
    assert ((values >= 5).sum(1) == recalled).all()
    assert set(np.unique(values)) == ({0, 1, 5, 6} if recalled else {0, 1})


def test_the_answer_is_what_the_model_finds(parent: Model) -> None:
    image, _ = picture(5)
    (example,) = answered(parent, [image], parent.description, SAME, settings=SETTINGS)
    asked = InferenceSettings(device="cpu", precision="float32")
    found = segment(image, parent, settings=asked).numpy()
    assert 0 < found.mean() < 1
    np.testing.assert_array_equal(example.labels, found)


def test_classes_whose_numbers_changed_are_remembered_as_they_are_now(tmp_path: Path) -> None:
    two = [picture(seed, ("cell", "wall")) for seed in range(2)]
    run(None, tmp_path, pairs=two)
    parent = load_model(tmp_path / "model")
    image, truth = picture(5, ("wall", "cell"))
    start = start_from_model(parent, "x", [(image, truth)], SETTINGS)
    assert start.numbers == {1: 2, 2: 1}
    (example,) = answered(parent, [image], start.description, start.numbers, settings=SETTINGS)
    asked = InferenceSettings(device="cpu", precision="float32")
    found = segment(image, parent, settings=asked).numpy()
    assert found.any()
    # Indices of the channels, which are those that they were.
    np.testing.assert_array_equal(example.labels, found)


def test_a_class_that_is_left_out_is_forgotten(parent: Model, tmp_path: Path) -> None:
    image, truth = picture(5, ("wall",))
    settings = dataclasses.replace(SETTINGS, keep_classes=False)
    start = start_from_model(parent, "x", [(image, truth)], settings)
    assert start.numbers == {}
    with pytest.raises(TrainingError, match="has learnt nothing of wall"):
        list(answered(parent, [image], start.description, start.numbers, settings=settings))


def test_many_images_are_asked_about_in_part(parent: Model) -> None:
    images = [picture(seed)[0] for seed in range(65)]
    names = [e.name for e in answered(parent, images, parent.description, SAME, settings=SETTINGS)]
    assert names == [f"stripes {seed}" for seed in range(0, 65, 2)]


def test_it_changes_the_training_and_resumes_exactly(parent: Model, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, remember=0.5)
    unlabelled = [picture(8)[0], picture(9)[0]]
    run(parent, tmp_path / "without")
    run(parent, tmp_path / "with", settings=settings, unlabelled=unlabelled)
    steps = fine_tune(
        parent, [picture(0), picture(1)], output=tmp_path / "cut", settings=settings,
        unlabelled=unlabelled, name="tuned",
    )  # fmt: skip
    for event in steps:
        if getattr(event, "step", 0) == 3:
            steps.close()  # type: ignore[attr-defined]
            break
    run(parent, tmp_path / "cut", settings=settings, unlabelled=unlabelled, resume=True)
    files = {name: stored(tmp_path / name / "model") for name in ("without", "with", "cut")}
    assert all((files["with"][k] == v).all() for k, v in files["cut"].items())
    assert any((files["with"][k] != v).any() for k, v in files["without"].items())


def test_what_cannot_be_remembered_is_said(parent: Model, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, remember=0.5)
    image = picture(8)[0]
    with pytest.raises(TrainingError, match="nothing to remember: start from a model"):
        run(None, tmp_path / "a", settings=settings, unlabelled=[image])
    with pytest.raises(TrainingError, match="needs images without labels"):
        run(parent, tmp_path / "b", settings=settings)
    with pytest.raises(TrainingError, match="for a warm start or for remembering"):
        run(parent, tmp_path / "c", unlabelled=[image])
    pairs = [picture(0, ("cell", "nucleus")), picture(1, ("cell", "nucleus"))]
    with pytest.raises(TrainingError, match="has learnt nothing of nucleus"):
        run(parent, tmp_path / "d", settings=settings, unlabelled=[image], pairs=pairs)
