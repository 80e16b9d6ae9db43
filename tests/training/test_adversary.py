"""The discriminator of patches, what it is shown, and the term that it adds."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.known import INSTANCES, arguments, description, touching_instances

from napari_monai.models import ModelDescription, NetworkSpec, Outputs
from napari_monai.settings import TrainingSettings
from napari_monai.training.adversary import Adversary
from napari_monai.training.discriminator import PatchDiscriminator, hinge
from napari_monai.training.partial import IGNORED
from napari_monai.training.resolved import UNCHANGED, Resolved
from napari_monai.volume import LabelClass

CPU = torch.device("cpu")
_TWO = (LabelClass(1, "bright"), LabelClass(2, "dark"))
SIGMOID: dict[str, Any] = {
    "outputs": Outputs("classes", ("bright", "dark"), ("sigmoid",) * 2),
    "labels": _TWO,
}


def _adversary(told: ModelDescription, **changes: Any) -> Adversary:
    patch = (16, 16) if told.inputs.spatial_dims == 2 else (8, 16, 16)
    plan = Resolved(100, 2, 1e-3, 10, patch, UNCHANGED)
    settings = replace(TrainingSettings(adversarial_weight=0.1), **changes)
    return Adversary(told, plan, settings, CPU)


def _batch(dims: int, channels: int = 1, *, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Return logits that are a blurred guess, images, and classes: what is above the mean."""
    torch.manual_seed(seed)
    shape = (16, 16) if dims == 2 else (8, 16, 16)
    images = torch.randn(2, 1, *shape)
    targets = (images > 0).long()
    return torch.randn(2, channels, *shape), images, targets


@pytest.mark.parametrize(
    ("patch", "judged"),
    [
        ((64, 64), (8, 8)),
        ((50, 70), (6, 8)),
        ((4, 4), (4, 4)),
        ((32, 64, 64), (4, 8, 8)),
        ((5, 64, 64), (5, 8, 8)),
        ((16, 64, 64), (4, 8, 8)),
    ],
    ids=str,
)
def test_each_axis_shrinks_as_far_as_it_is_long(
    patch: tuple[int, ...], judged: tuple[int, ...]
) -> None:
    found = PatchDiscriminator(3, patch)(torch.zeros(1, 3, *patch))

    assert found.shape == (1, 1, *judged)


def test_an_output_sees_a_patch_and_no_more() -> None:
    image = torch.randn(1, 2, 128, 128, requires_grad=True)

    PatchDiscriminator(2, (128, 128))(image)[0, 0, 8, 8].backward()

    assert image.grad is not None
    for axis in (0, 1):
        seen = image.grad[0].abs().sum(0).sum(axis).nonzero()
        assert int(seen.max() - seen.min()) + 1 == 54


def test_hinge_is_nothing_beyond_its_margins() -> None:
    true, found = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])

    assert hinge(true, found).item() == pytest.approx((0 + 0.5) / 2 + (0 + 1) / 2)


def test_true_classes_of_a_softmax_are_as_sure_as_found_ones() -> None:
    outputs = Outputs("classes", ("background", "bright", "dark"), ("softmax",))
    network = NetworkSpec("unet", arguments(outputs=3))
    adversary = _adversary(description(network=network, outputs=outputs, labels=_TWO))
    found = torch.tensor([[0.2, 0.3, 0.5], [0.01, 0.96, 0.03], [1.0, 0.0, 0.0]])
    targets = torch.tensor([1, 1, 2])

    true = adversary._true(targets.reshape(1, 1, 3, 1), found.T.reshape(1, 3, 3, 1))

    wanted = [[0.1 * 0.2 / 0.7, 0.9, 0.1 * 0.5 / 0.7], [0.01, 0.96, 0.03], [0.1, 0.0, 0.9]]
    np.testing.assert_allclose(true[0, :, :, 0].T, wanted, atol=1e-6)


def test_true_classes_of_a_sigmoid_are_as_sure_as_found_ones() -> None:
    adversary = _adversary(description(**SIGMOID))
    found = torch.tensor([[0.2, 0.3], [0.95, 0.05], [0.95, 0.05], [0.5, 0.5]])
    targets = torch.tensor([1, 1, 2, 0])

    true = adversary._true(targets.reshape(1, 1, 4, 1), found.T.reshape(1, 2, 4, 1))

    wanted = [[0.9, 0.1], [0.95, 0.05], [0.1, 0.9], [0.1, 0.1]]
    np.testing.assert_allclose(true[0, :, :, 0].T, wanted, atol=1e-6)


def _cases() -> list[Any]:
    return [
        pytest.param(description(dims, **kind), id=f"{name}-{dims}d")
        for name, kind in (("softmax", {}), ("sigmoid", SIGMOID), ("instances", INSTANCES))
        for dims in (2, 3)
    ] + [pytest.param(description(**touching_instances()), id="touching-2d")]


def _targets(
    told: ModelDescription, classes: torch.Tensor, *, partial: bool = False
) -> torch.Tensor:
    if told.outputs.kind == "classes":
        return classes
    known = torch.ones_like(classes)
    maps = [classes, classes * 0.7, classes * 0, *([known] * 2 if partial else [])]
    return torch.cat(maps, 1).float()


@pytest.mark.parametrize("told", _cases())
def test_it_learns_what_is_true_and_its_term_leads_there(told: ModelDescription) -> None:
    adversary = _adversary(told)
    adversary.optimiser.param_groups[0]["lr"] = 5e-3
    channels = told.network.arguments["out_channels"]
    logits, images, classes = _batch(told.inputs.spatial_dims, channels)
    targets = _targets(told, classes)

    losses = [float(_learn(adversary, logits, images, targets)) for _ in range(25)]

    assert losses[0] == pytest.approx(2, abs=0.2)  # it knows nothing
    assert losses[-1] < 1
    found = logits.clone().requires_grad_()
    terms = []
    for _ in range(5):
        term = adversary.loss(found, images, targets)
        terms.append(term.item())
        (gradient,) = torch.autograd.grad(term, found)
        found = (found - 0.5 * gradient / gradient.abs().max()).detach().requires_grad_()
    assert terms == sorted(terms, reverse=True)
    assert all(p.grad is None for p in adversary.network.parameters())


def _learn(adversary: Adversary, *batch: torch.Tensor) -> torch.Tensor:
    loss = adversary.learn(*batch)
    adversary.update()
    return loss


@pytest.mark.parametrize("told", _cases())
def test_what_nobody_has_labelled_is_not_seen(told: ModelDescription) -> None:
    adversary = _adversary(told)
    channels = told.network.arguments["out_channels"]
    logits, images, classes = _batch(told.inputs.spatial_dims, channels)
    targets = _targets(told, classes, partial=True)
    if told.outputs.kind == "classes":
        targets[..., :9] = IGNORED
    else:
        targets[:, 3, ..., :9] = 0
    other = logits.clone()
    other[..., :9] += 3

    losses = [adversary.loss(maps, images, targets).item() for maps in (logits, other)]
    learnt = []
    for maps in (logits, other):
        twin = _adversary(told)
        learnt.append(twin.learn(maps, images, targets).item())

    assert losses[0] == losses[1]
    assert learnt[0] == learnt[1]


def test_a_distance_that_is_not_known_is_not_seen() -> None:
    told = description(**INSTANCES)
    adversary = _adversary(told)
    logits, images, classes = _batch(2, 2)
    targets = _targets(told, classes, partial=True)
    targets[:, 4, ..., :9] = 0
    logits.requires_grad_()

    adversary.loss(logits, images, targets).backward()

    assert logits.grad is not None
    assert not logits.grad[:, 1, ..., :9].any()
    assert logits.grad[:, 0, ..., :9].any()


def test_gradients_of_shares_add_up_to_that_of_the_batch() -> None:
    told = description()
    logits, images, targets = _batch(2, 2)
    whole, parts = _adversary(told), _adversary(told)
    for adversary in (whole, parts):  # until its largest singular values are known well
        for _ in range(200):
            adversary.network(torch.zeros(1, 3, 16, 16))

    whole.learn(logits, images, targets)
    for n in range(2):
        parts.learn(logits[n : n + 1], images[n : n + 1], targets[n : n + 1], share=0.5)

    for one, other in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        assert one.grad is not None
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)


def test_it_goes_on_from_its_state_to_the_bit() -> None:
    told = description()
    adversary, other = _adversary(told, seed=1), _adversary(told, seed=2)
    for seed in range(2):
        _learn(adversary, *_batch(2, 2, seed=seed))
    file = io.BytesIO()
    torch.save(adversary.state(), file)
    file.seek(0)
    other.restore(torch.load(file, weights_only=True))

    for one in (adversary, other):
        for seed in range(2, 4):
            _learn(one, *_batch(2, 2, seed=seed))

    ours, theirs = adversary.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_seed_decides_its_weights() -> None:
    first, again, other = (
        _adversary(description(), seed=n).network.state_dict() for n in (1, 1, 2)
    )

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_it_learns_before_it_counts() -> None:
    adversary = _adversary(description(), adversarial_from=0.5)

    assert [step for step in range(100) if adversary.learns(step)] == [*range(40, 100)]
    assert [step for step in range(100) if adversary.counts(step)] == [*range(50, 100)]
