"""What the training of a model of instances minimises."""

from __future__ import annotations

import torch
from torch.nn import functional


def soft_dice(
    probability: torch.Tensor, target: torch.Tensor, *, smooth: float = 1.0
) -> torch.Tensor:
    """Return 1 - Dice of soft masks, the mean over batch and channels (Milletari et al. 2016).

    Both have shape (batch, channel, *spatial). ``smooth`` is added to numerator and denominator,
    so that an empty mask predicted empty costs nothing.
    """
    axes = tuple(range(2, probability.ndim))
    overlap = (probability * target).sum(axes)
    total = probability.sum(axes) + target.sum(axes)
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


def instance_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    distance_weight: float = 2.0,
    touching_weight: float = 0.0,
    partial: bool = False,
) -> torch.Tensor:
    """Return cross-entropy + Dice of the foreground + the weighted error of the distance.

    ``logits`` have shape (batch, 2 or 3, *spatial): foreground, centre distance and, maybe, where
    objects touch, which costs half as much as the foreground. ``targets`` have the same; a third
    channel where ``touching_weight`` is not 0, too, from 0 to 1. The distance error is the mean
    absolute error within objects plus that outside, each over its own voxels, so that crowded and
    sparse patches count the same. Where objects touch, voxels count ``1 + touching_weight`` times:
    they are few, and they decide whether objects are
    told apart (Ronneberger et al. 2015).

    ``partial`` targets have a fourth and a fifth channel, 1 where a voxel is labelled and where
    its distance is known: others count in no term.
    """
    if partial:
        return _partial_loss(
            logits, targets, distance_weight=distance_weight, touching_weight=touching_weight
        )
    foreground, inside = logits[:, :1], targets[:, :1]
    near = targets[:, 2:3]
    weight = 1 + touching_weight * near if touching_weight else None
    entropy = functional.binary_cross_entropy_with_logits(foreground, inside, weight)
    dice = soft_dice(foreground.sigmoid(), inside)
    error = (logits[:, 1:2] - targets[:, 1:2]).abs()
    if weight is not None:
        error = error * weight
    within = (error * inside).sum() / (inside.sum() + 1)
    outside = (error * (1 - inside)).sum() / ((1 - inside).sum() + 1)
    loss = entropy + dice + distance_weight * 0.5 * (within + outside)
    if logits.shape[1] > 2:
        told = logits[:, 2:]
        entropy = functional.binary_cross_entropy_with_logits(told, near, weight)
        loss = loss + 0.5 * (entropy + soft_dice(told.sigmoid(), near))
    return loss


def _partial_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    distance_weight: float,
    touching_weight: float,
) -> torch.Tensor:
    foreground, inside = logits[:, :1], targets[:, :1]
    known, certain = targets[:, 3:].split(1, dim=1)
    near = targets[:, 2:3]
    weight = 1 + touching_weight * near
    share = known.sum().clamp_min(1) / known.numel()
    entropy = functional.binary_cross_entropy_with_logits(foreground, inside, known * weight)
    entropy = entropy / share
    dice = soft_dice(foreground.sigmoid() * known, inside * known)
    error = (logits[:, 1:2] - targets[:, 1:2]).abs() * weight
    within, outside = inside * known * certain, (1 - inside) * known * certain
    distance: torch.Tensor = (error * within).sum() / (within.sum() + 1)
    distance = distance + (error * outside).sum() / (outside.sum() + 1)
    loss: torch.Tensor = entropy + dice + distance_weight * 0.5 * distance
    if logits.shape[1] > 2:
        told = logits[:, 2:]
        entropy = functional.binary_cross_entropy_with_logits(told, near, known * weight) / share
        loss = loss + 0.5 * (entropy + soft_dice(told.sigmoid() * known, near * known))
    return loss
