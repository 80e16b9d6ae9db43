"""Losses of classes against MONAI's, sums written out, and with voxels that are ignored."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss, FocalLoss, GeneralizedDiceLoss, TverskyLoss
from torch.nn import functional

from napari_monai.settings import LossName
from napari_monai.training.class_loss import ClassLoss, signed_distances
from napari_monai.training.partial import IGNORED

KINDS = pytest.mark.parametrize("kind", get_args(LossName))
SIGMOID = pytest.mark.parametrize("sigmoid", [False, True], ids=["softmax", "sigmoid"])


def case(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits of three channels for a batch of two, and indices 0 to 2."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, 3, *shape, generator=generator)
    return logits, torch.randint(0, 3, (2, 1, *shape), generator=generator)


@pytest.mark.parametrize("shape", [(7, 8), (4, 5, 6)], ids=["2d", "3d"])
@pytest.mark.parametrize(
    ("kind", "judge", "times"),
    [
        ("dice", DiceLoss(include_background=False, smooth_nr=1, smooth_dr=1, **(s := {
            "softmax": True, "to_onehot_y": True, "batch": True})), 1),
        ("tversky", TverskyLoss(include_background=False, alpha=0.2, beta=0.9, smooth_nr=1,
                                smooth_dr=1, **s), 1),
        ("generalised_dice", GeneralizedDiceLoss(smooth_nr=1e-9, smooth_dr=1e-9, **s), 1),
        # MONAI's is the mean over the channels, of which but one is the truth.
        ("focal", FocalLoss(use_softmax=True, to_onehot_y=True, gamma=1.5), 3),
    ],
    ids=["dice", "tversky", "generalised dice", "focal"],
)  # fmt: skip
def test_losses_are_monais(kind: LossName, judge: Any, times: int, shape: tuple[int, ...]) -> None:
    logits, targets = case(*shape)
    loss = ClassLoss(kind, alpha=0.2, beta=0.9, gamma=1.5)(logits, targets)
    torch.testing.assert_close(loss, times * judge(logits, targets), rtol=1e-4, atol=1e-5)


def test_cross_entropy_counts_classes_by_their_weights() -> None:
    logits, targets = case(6, 7)
    weights = (0.5, 2.0, 3.0)
    expected = functional.cross_entropy(logits, targets[:, 0], weight=torch.tensor(weights))
    loss = ClassLoss("cross_entropy", weights=weights)(logits, targets)
    torch.testing.assert_close(loss, expected)


def test_dice_counts_classes_by_their_weights() -> None:
    logits, targets = case(6, 7)
    found = logits.softmax(1)
    each = []
    for number in (1, 2):
        wanted = (targets[:, 0] == number).float()
        overlap = (found[:, number] * wanted).sum()
        each.append(1 - (2 * overlap + 1) / (found[:, number].sum() + wanted.sum() + 1))
    loss = ClassLoss("dice", weights=(9.0, 3.0, 1.0))(logits, targets)
    torch.testing.assert_close(loss, (3 * each[0] + each[1]) / 4)


def test_channels_of_a_sigmoid_are_classes_by_themselves() -> None:
    logits, targets = case(6, 7)
    targets[0, 0, 0, 0] = 3
    hot = torch.cat([targets == number for number in (1, 2, 3)], 1).float()
    entropy = functional.binary_cross_entropy_with_logits(logits, hot)
    dice = DiceLoss(sigmoid=True, batch=True, smooth_nr=1, smooth_dr=1)(logits, hot)
    torch.testing.assert_close(ClassLoss(sigmoid=True)(logits, targets), entropy + dice)
    focal = FocalLoss(gamma=2.0)(logits, hot)
    torch.testing.assert_close(ClassLoss("focal", sigmoid=True)(logits, targets), focal)


def test_a_focal_loss_without_focus_is_cross_entropy() -> None:
    logits, targets = case(6, 7)
    plain = ClassLoss("cross_entropy", weights=(1.0, 2.0, 3.0), partial=True)
    focal = ClassLoss("focal", weights=(1.0, 2.0, 3.0), partial=True, gamma=0.0)
    targets[0, 0, :3] = IGNORED
    torch.testing.assert_close(focal(logits, targets), plain(logits, targets))


@KINDS
@SIGMOID
def test_what_is_ignored_does_not_count(kind: LossName, sigmoid: bool) -> None:
    """The loss is that of the labelled voxels alone, whatever is found in the others."""
    logits, targets = case(5, 8)
    loss = ClassLoss(kind, sigmoid=sigmoid, partial=True)
    cut = targets.clone()
    cut[..., 5:] = IGNORED
    expected = ClassLoss(kind, sigmoid=sigmoid)(logits[..., :5], targets[..., :5])
    logits[..., 5:] *= -3
    logits.requires_grad_()
    found = loss(logits, cut)
    torch.testing.assert_close(found, expected)
    found.backward()
    assert (logits.grad[..., 5:] == 0).all()
    assert (logits.grad[..., :5] != 0).any()


@KINDS
@SIGMOID
def test_nothing_labelled_is_no_loss_and_no_gradient(kind: LossName, sigmoid: bool) -> None:
    logits, targets = case(4, 4)
    logits.requires_grad_()
    loss = ClassLoss(kind, sigmoid=sigmoid, partial=True)(logits, targets * 0 + IGNORED)
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@KINDS
def test_the_truth_costs_least(kind: LossName) -> None:
    targets = torch.zeros(1, 1, 8, 8, dtype=torch.long)
    targets[..., 2:6, 2:6] = 1
    hot = functional.one_hot(targets[:, 0], 2).movedim(-1, 1).float()
    loss = ClassLoss(kind)
    right, unsure, wrong = (
        loss(logits, targets) for logits in (hot * 30, hot * 0, hot.flip(1) * 30)
    )
    assert right < unsure < wrong


@pytest.mark.parametrize(
    ("spacing", "shape"),
    [((1.0, 1.0), (6, 7)), ((0.5, 0.2), (5, 8)), ((3.0, 1.0, 0.5), (4, 4, 5))],
    ids=["square", "anisotropic", "3d"],
)
def test_signed_distances_by_brute_force(
    spacing: tuple[float, ...], shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    patch = rng.choice((IGNORED, 0, 1, 2), shape, p=(0.2, 0.4, 0.3, 0.1))
    expected = np.zeros((2, *shape))
    places = {index: patch[index] for index in np.ndindex(shape)}
    for number, (index, value) in itertools.product((1, 2), places.items()):
        inside = value == number
        others = [
            np.linalg.norm((np.array(index) - there) * spacing)
            for there, what in places.items()
            if what != IGNORED and (what == number) != inside
        ]
        expected[(number - 1, *index)] = (-1 if inside else 1) * min(others) / min(spacing)
    found = signed_distances(torch.from_numpy(patch)[None, None], 2, spacings=[spacing])[0]
    known = patch != IGNORED
    np.testing.assert_allclose(found.numpy()[:, known], expected[:, known], rtol=1e-5)


def test_a_class_that_is_absent_or_alone_has_no_border() -> None:
    targets = torch.ones(1, 1, 3, 3, dtype=torch.long)
    assert (signed_distances(targets, 2, spacings=[(1.0, 1.0)]) == 0).all()


def test_the_boundary_loss_rises_with_progress() -> None:
    """Written out: four voxels in a row, the second of the class, each found with 1/2."""
    targets = torch.tensor([[[[0, 1, 0, 0]]]])
    logits = torch.zeros(1, 2, 1, 4)
    loss = ClassLoss("boundary", boundary=3.0)
    losses = [loss(logits, targets, spacings=[(1.0, 2.0)], progress=p) for p in (0.0, 0.5, 1.0)]
    # Steps of 2 along the axis, over the smallest spacing, 1.
    border = 0.5 * (2 - 2 + 2 + 4) / 4
    torch.testing.assert_close(losses[0], ClassLoss()(logits, targets))
    torch.testing.assert_close(losses[1] - losses[0], torch.tensor(0.5 * 3 * border))
    torch.testing.assert_close(losses[2] - losses[0], torch.tensor(3 * border))
