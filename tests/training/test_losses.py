"""Losses against MONAI and against sums written out."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceLoss
from torch.nn import functional

from napari_monai.training.class_loss import ClassLoss
from napari_monai.training.losses import instance_loss, soft_dice


@pytest.mark.parametrize("shape", [(2, 3, 9, 8), (1, 2, 5, 6, 7)], ids=["2d", "3d"])
def test_soft_dice_is_monais(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    probability, target = torch.rand(shape), (torch.rand(shape) > 0.6).float()
    expected = DiceLoss(smooth_nr=1.0, smooth_dr=1.0)(probability, target)
    torch.testing.assert_close(soft_dice(probability, target), expected)


def test_an_empty_mask_predicted_empty_costs_nothing() -> None:
    assert soft_dice(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)) == 0


def test_instance_loss_is_the_sum_of_its_parts() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 2, 8, 8)
    inside = (torch.rand(2, 1, 8, 8) > 0.5).float()
    targets = torch.cat([inside, inside * torch.rand(2, 1, 8, 8)], 1)
    error = (logits[:, 1:] - targets[:, 1:]).abs()
    n = inside.sum()
    parts = (
        functional.binary_cross_entropy(logits[:, :1].sigmoid(), inside)
        + DiceLoss(smooth_nr=1.0, smooth_dr=1.0)(logits[:, :1].sigmoid(), inside)
        + 1.5 * error[inside > 0].sum() / (n + 1)
        + 1.5 * error[inside == 0].sum() / (inside.numel() - n + 1)
    )
    torch.testing.assert_close(instance_loss(logits, targets, distance_weight=3.0), parts)


def test_instance_loss_falls_to_zero_at_the_truth() -> None:
    inside = torch.zeros(1, 1, 8, 8)
    inside[..., 2:6, 2:6] = 1
    logits = torch.cat([inside * 60 - 30, inside * 0.5], 1)
    assert instance_loss(logits, torch.cat([inside, inside * 0.5], 1)) < 1e-5


@pytest.mark.parametrize("weight", [0.0, 4.0])
def test_a_third_output_is_where_objects_touch(weight: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 8, 8)
    inside, near = (torch.rand(2, 2, 8, 8) > 0.6).float().split(1, dim=1)
    targets = torch.cat([inside, inside * torch.rand(2, 1, 8, 8), near], 1)
    entropy = functional.binary_cross_entropy(logits[:, 2:].sigmoid(), near, 1 + weight * near)
    dice = DiceLoss(smooth_nr=1.0, smooth_dr=1.0)(logits[:, 2:].sigmoid(), near)
    without = instance_loss(logits[:, :2], targets, touching_weight=weight)
    found = instance_loss(logits, targets, touching_weight=weight)
    torch.testing.assert_close(found, without + 0.5 * (entropy + dice))


def test_class_loss_prefers_the_truth() -> None:
    truth = torch.randint(0, 3, (2, 1, 6, 6, 6))
    hot = functional.one_hot(truth[:, 0], 3).movedim(-1, 1).float()
    right, wrong = ClassLoss()(hot * 40, truth), ClassLoss()(hot.roll(1, 1) * 40, truth)
    assert right < 1e-4
    assert wrong > 10
    entropy = functional.cross_entropy(hot, truth[:, 0])
    assert ClassLoss()(hot, truth) > entropy


def test_voxels_where_objects_touch_count_more():
    torch.manual_seed(0)
    logits = torch.randn(2, 2, 8, 8)
    inside = (torch.rand(2, 1, 8, 8) > 0.4).float()
    near = (torch.rand(2, 1, 8, 8) > 0.8).float()
    targets = torch.cat([inside, inside * torch.rand(2, 1, 8, 8), near], 1)
    weight = 1 + 5 * near
    error = (logits[:, 1:] - targets[:, 1:2]).abs() * weight
    entropy = functional.binary_cross_entropy_with_logits(logits[:, :1], inside, reduction="none")
    expected = (
        (entropy * weight).mean()
        + soft_dice(logits[:, :1].sigmoid(), inside)
        + (error * inside).sum() / (inside.sum() + 1)
        + (error * (1 - inside)).sum() / ((1 - inside).sum() + 1)
    )
    torch.testing.assert_close(instance_loss(logits, targets, touching_weight=5.0), expected)
