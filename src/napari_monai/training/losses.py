"""What training minimises."""

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
) -> torch.Tensor:
    """Return cross-entropy + Dice of the foreground + the weighted error of the distance.

    ``logits`` have shape (batch, 2, *spatial): foreground and centre distance; ``targets`` have
    the same, and a third channel where ``touching_weight`` is not 0: where objects touch, from 0
    to 1. The distance error is the mean absolute error within objects plus that outside, each
    over its own voxels, so that crowded and sparse patches count the same. Where objects touch,
    voxels count ``1 + touching_weight`` times: they are few, and they decide whether objects are
    told apart (Ronneberger et al. 2015).
    """
    foreground, inside = logits[:, :1], targets[:, :1]
    weight = 1 + touching_weight * targets[:, 2:3] if touching_weight else None
    entropy = functional.binary_cross_entropy_with_logits(foreground, inside, weight)
    dice = soft_dice(foreground.sigmoid(), inside)
    error = (logits[:, 1:] - targets[:, 1:2]).abs()
    if weight is not None:
        error = error * weight
    within = (error * inside).sum() / (inside.sum() + 1)
    outside = (error * (1 - inside)).sum() / ((1 - inside).sum() + 1)
    return entropy + dice + distance_weight * 0.5 * (within + outside)


def class_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return cross-entropy + Dice over the foreground classes (Isensee et al. 2021).

    ``logits`` has shape (batch, classes, *spatial), background first; ``targets`` holds class
    indices, shape (batch, 1, *spatial).
    """
    entropy = functional.cross_entropy(logits, targets[:, 0])
    hot = functional.one_hot(targets[:, 0], logits.shape[1]).movedim(-1, 1)
    # Dice is the batch's, not the patch's: a patch without a class says little about it.
    probability = logits.softmax(1)[:, 1:].movedim(0, 1).flatten(1)
    wanted = hot[:, 1:].movedim(0, 1).flatten(1).to(probability.dtype)
    return entropy + soft_dice(probability[:, None], wanted[:, None])
