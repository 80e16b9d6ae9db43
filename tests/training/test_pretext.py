"""Warm starts without labels: their tasks, what they leave behind, and that they can go on."""

from __future__ import annotations

import copy
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.models.known import INSTANCES, description
from tests.networks.test_contract import CASES

from napari_monai import Volume
from napari_monai.errors import TrainingError
from napari_monai.grid import Grid
from napari_monai.models import ModelDescription, NetworkSpec
from napari_monai.networks import build_network
from napari_monai.settings import TrainingSettings
from napari_monai.training.examples import Example
from napari_monai.training.pretext import WarmStart, copy_body, without_labels
from napari_monai.training.pretext_tasks import MaskedTask, RotationTask
from napari_monai.training.resolved import UNCHANGED, Augment, Resolved
from napari_monai.training.stages import stages

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(warm_start="masked", warm_start_steps=6, precision="float32")


def _told(dims: int = 2, **changes: Any) -> ModelDescription:
    network = {
        "spatial_dims": dims,
        "in_channels": 1,
        "out_channels": 2,
        "channels": [8, 16],
        "strides": [2],
        "num_res_units": 1,
        "norm": "batch",
        "dropout": 0.05,
    }
    return description(dims, network=NetworkSpec("unet", network), **changes)


def _images(dims: int = 2, *, light: float = 30.0) -> list[Volume]:
    """Return two images of smooth hills, with pebbles on them that are lit from above."""
    rng = np.random.default_rng(0)
    shape = (40, 48) if dims == 2 else (12, 24, 28)
    images = []
    for number in range(2):
        hills = ndimage.gaussian_filter(rng.normal(size=shape), 5) * 10
        pebbles = (rng.random(shape) < 0.04) * light
        lit = ndimage.gaussian_filter(pebbles, 1, order=(*(0,) * (dims - 2), 1, 0))
        image = (hills + lit).astype(np.float32)
        images.append(Volume(image, Grid.from_spacing(shape), name=f"{number}"))
    return images


def _warm(
    told: ModelDescription, settings: TrainingSettings = SETTINGS, *, light: float = 30.0
) -> WarmStart:
    dims = told.inputs.spatial_dims
    patch = (24, 32) if dims == 2 else (8, 16, 16)
    plan = Resolved(100, 4, 5e-3, 10, patch, Augment())
    torch.manual_seed(7)
    network = build_network(told.network.name, told.network.arguments)
    examples = list(without_labels(_images(dims, light=light), told))
    return WarmStart(network, told, examples, plan, settings, CPU)


def test_half_of_an_image_is_masked_in_blocks_and_only_that_is_graded() -> None:
    task = MaskedTask(2, (48, 96, 96))
    images = torch.randn(2, 2, 48, 96, 96) + torch.tensor([3.0, -3.0]).reshape(2, 1, 1, 1, 1)

    shown, truth = task.ask(images, seed=1)

    masked = truth[:, 2:] > 0
    assert masked.float().mean() == pytest.approx(0.5, abs=0.12)
    assert torch.equal(truth[:, :2], images)
    every = masked.expand_as(images)
    assert torch.equal(shown[~every], images[~every])
    mean = images.mean((2, 3, 4), keepdim=True).expand_as(images)
    assert torch.equal(shown[every], mean[every])
    # Each masked voxel lies in a whole block, a quarter of the longest axis wide.
    opened = ndimage.binary_opening(masked[0, 0].numpy(), np.ones((24, 24, 24)))
    assert np.array_equal(opened, masked[0, 0].numpy())
    answer = torch.where(every, images + 0.25, images + 100)
    assert task.grade(answer, truth).item() == pytest.approx(0.25, rel=1e-5)


def test_the_seed_decides_what_is_masked() -> None:
    task, images = MaskedTask(1, (16, 16)), torch.randn(3, 1, 16, 16)

    first, again, other = (task.ask(images, seed=seed)[1][:, 1] for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (5, 16, 24)], ids=str)
def test_images_are_turned_in_their_plane(shape: tuple[int, ...]) -> None:
    task, images = RotationTask(), torch.randn(16, 1, *shape)

    turned, quarters = task.ask(images, seed=0)

    side = min(shape[-2:])
    assert turned.shape == (16, 1, *shape[:-2], side, side)
    assert set(quarters.tolist()) == {0, 1, 2, 3}
    top, left = ((size - side) // 2 for size in shape[-2:])
    for image, found, k in zip(images, turned, quarters, strict=True):
        square = image[..., top : top + side, left : left + side]
        assert torch.equal(found, torch.rot90(square, int(k), (-2, -1)))


def test_a_turn_is_graded_by_the_mean_over_the_image() -> None:
    answer = torch.zeros(1, 4, 2, 2)
    answer[0, 3, 0, 0] = 4.0  # 1 in the mean

    loss = RotationTask().grade(answer, torch.tensor([3]))

    assert loss.item() == pytest.approx(-np.log(np.e / (np.e + 3)))


def test_rotation_takes_images_as_they_are_and_masking_turns_them() -> None:
    planned = Augment(intensity=0.7, scale=1.2)

    assert RotationTask().augment(planned) == UNCHANGED
    assert MaskedTask(1, (8, 8)).augment(planned) == replace(planned, intensity=0.0)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("task", ["masked", "rotation"])
def test_the_body_goes_on_and_the_head_stays(task: Any, dims: int) -> None:
    warm = _warm(_told(dims), replace(SETTINGS, warm_start=task, warm_start_steps=3))
    network = warm.pupil
    before = copy.deepcopy(network.state_dict())

    while warm.step < warm.steps:
        warm.advance()
    untouched = all(torch.equal(v, before[n]) for n, v in network.state_dict().items())
    warm.finish()

    assert untouched
    head = set(stages(network, "unet")[0].parameters)
    learnt = warm.network.state_dict()
    for name, value in network.named_parameters():
        if name in head:
            assert torch.equal(value, before[name]), name
        else:
            assert torch.equal(value, learnt[name]), name
    moved = [n for n, v in network.named_parameters() if not torch.equal(v, before[n])]
    assert len(moved) > 10
    statistics = [n for n, b in network.named_buffers() if not torch.equal(b, before[n])]
    assert any(name.endswith("running_var") for name in statistics)


@pytest.mark.parametrize("task", ["masked", "rotation"])
def test_it_goes_on_from_its_state_to_the_bit(task: Any) -> None:
    settings = replace(SETTINGS, warm_start=task)
    whole, first, second = (_warm(_told(), settings) for _ in range(3))
    losses = [whole.advance()[0] for _ in range(6)]
    for _ in range(3):
        first.advance()
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    torch.rand(3)  # what else is random does not matter
    second.restore(torch.load(file, weights_only=True))

    assert [second.advance()[0] for _ in range(3)] == losses[3:]
    ours, theirs = whole.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_its_rate_rises_and_falls_by_its_own_steps() -> None:
    settings = replace(SETTINGS, warm_start_steps=4, warm_up=0.5)
    warm = _warm(_told(), settings)

    rates = [warm.advance()[1] for _ in range(4)]

    assert rates == pytest.approx([2.5e-3, 5e-3, 5e-3, 2.5e-3])


def test_a_loss_that_is_no_number_ends_it() -> None:
    warm = _warm(_told())
    with torch.no_grad():
        next(warm.network.parameters()).fill_(torch.inf)

    with pytest.raises(TrainingError, match="The loss of the warm start is nan at step 1"):
        warm.advance()


@pytest.mark.parametrize(
    ("name", "arguments"), [case for case in CASES if case.id.endswith("-0-2d")]
)
def test_only_the_head_is_left_out_of_a_body(name: str, arguments: dict[str, Any]) -> None:
    source = build_network(name, {**arguments, "out_channels": 5})
    target = build_network(name, arguments)

    copy_body(source, target, name)

    head = set(stages(target, name)[0].parameters)
    given = dict(source.named_parameters())
    for tensor, value in target.named_parameters():
        if tensor not in head:
            assert torch.equal(value, given[tensor]), tensor


@pytest.mark.parametrize("changes", [{}, INSTANCES], ids=["classes", "instances"])
def test_images_without_labels_become_examples_whatever_is_ignored(changes: Any) -> None:
    frames = np.random.default_rng(0).random((3, 2, 20, 24), np.float32)
    film = Volume(frames[:, 0], Grid.from_spacing((20, 24)), "t", name="film")
    stack = Volume(frames[:, 1], Grid.from_spacing((3, 20, 24)), name="stack")
    told = _told(**changes)
    settings = TrainingSettings(ignore_label=0, only_corrected=True)

    examples = list(without_labels([film, stack], told, settings=settings))

    assert [example.image.shape for example in examples] == [(1, 20, 24)] * 6
    np.testing.assert_allclose(examples[1].image[0], frames[1, 0], atol=1e-3)
    np.testing.assert_allclose(examples[4].image[0], frames[1, 1], atol=1e-3)


def _labelled(told: ModelDescription) -> Example:
    (example, *_) = without_labels(_images(), told)
    shape = example.labels.shape
    targets = np.ones((3, *shape), np.float16)
    centres = np.array([[2, 3]], np.int32)
    return replace(example, targets=targets, centres=centres, labelled=centres)


def test_labelled_and_unlabelled_images_are_drawn_from_alike() -> None:
    told = _told()
    warm = _warm(told)
    mixed = WarmStart(
        warm.pupil,
        told,
        [_labelled(told), *without_labels(_images()[1:], told)],
        Resolved(100, 4, 5e-3, 10, (24, 32), Augment()),
        SETTINGS,
        CPU,
    )

    assert mixed.advance() == warm.advance()


@pytest.mark.parametrize(("task", "light"), [("masked", 0.0), ("rotation", 30.0)])
def test_it_learns(task: Any, light: float) -> None:
    settings = replace(SETTINGS, warm_start=task, warm_start_steps=120)
    warm = _warm(_told(), settings, light=light)
    if task == "masked":  # holes so small that a small network soon fills them in
        warm.task = MaskedTask(1, (8, 8))

    losses = [warm.advance()[0] for _ in range(120)]

    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:3])
