"""What the training of a model of classes minimises: one loss of many, over labelled voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.nn import functional

from ..settings import LossName
from .partial import IGNORED

# Spacing of each patch of a batch.
Spacings = Sequence[Sequence[float]]

# Keeps a quotient of generalised Dice finite; its weights are 1 at most.
_LITTLE = 1e-6


@dataclass(frozen=True)
class ClassLoss:
    """A loss over class indices; to be called with logits and targets.

    Region losses (Dice, Tversky) are of the whole batch, not the patch: a patch without a class
    says little about it. They leave the background of a softmax out; generalised Dice does not.

    Parameters
    ----------
    kind
        ``"cross_entropy"``; ``"dice"`` (Milletari et al. 2016); ``"dice_ce"``, also ``"auto"``,
        their sum (Isensee et al. 2021); ``"generalised_dice"`` (Sudre et al. 2017);
        ``"tversky"`` (Salehi et al. 2017); ``"focal"`` (Lin et al. 2017); ``"boundary"``,
        Dice and cross-entropy and the boundary loss of Kervadec et al. (2019).
    sigmoid
        Whether each channel is a class by itself, without a background.
    weights
        How much each channel counts; ``None`` for all alike.
    partial
        Whether targets may be `IGNORED`.
    alpha, beta
        Cost of false positives and false negatives in the Tversky loss.
    gamma
        Exponent of the focal loss.
    boundary
        Weight of the boundary loss at the end of the training.
    """

    kind: LossName = "dice_ce"
    sigmoid: bool = False
    weights: tuple[float, ...] | None = None
    partial: bool = False
    alpha: float = 0.3
    beta: float = 0.7
    gamma: float = 2.0
    boundary: float = 1.0

    def __call__(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        spacings: Spacings | None = None,
        progress: float = 1.0,
    ) -> torch.Tensor:
        """Return the loss.

        Parameters
        ----------
        logits
            Shape (batch, channel, *spatial); under a softmax the background first.
        targets
            Class indices, 0 the background, shape (batch, 1, *spatial).
        spacings
            Spacing of each patch, which the boundary loss needs; default 1.
        progress
            Part of the training that is done, with which the weight of the boundary loss rises.
        """
        if self.kind == "cross_entropy":
            return self._entropy(logits, targets)
        if self.kind == "focal":
            return self._focal(logits, targets)
        if self.kind in ("dice", "tversky", "generalised_dice"):
            return self._regions(logits, targets)
        loss = self._entropy(logits, targets) + self._regions(logits, targets)
        if self.kind == "boundary" and self.boundary * progress > 0:
            loss = loss + self.boundary * progress * self._boundary(logits, targets, spacings)
        return loss

    # -- voxel by voxel ---------------------------------------------------------------------------

    def _entropy(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.sigmoid or self.partial or self.weights:
            terms, weights = self._terms(logits, targets)
            return (terms * weights).sum() / weights.sum().clamp_min(_LITTLE)
        return functional.cross_entropy(logits, targets[:, 0])

    def _focal(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        terms, weights = self._terms(logits, targets)
        # The probability of the truth is exp(-entropy). Its gradient at 1 is infinite where
        # gamma is below 1, hence the least distance to it.
        wrong = (-torch.expm1(-terms)).clamp_min(_LITTLE)
        return (wrong**self.gamma * terms * weights).sum() / weights.sum().clamp_min(_LITTLE)

    def _terms(
        self, logits: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cross-entropy of each voxel, and of each channel of a sigmoid; weights."""
        known = (targets != IGNORED).to(logits.dtype)
        each = self._channel_weights(logits)
        if self.sigmoid:
            hot = self._hot(logits, targets)
            terms = functional.binary_cross_entropy_with_logits(logits, hot, reduction="none")
            return terms, known * each.reshape(1, -1, *(1,) * (logits.ndim - 2))
        index = targets[:, 0].clamp_min(0)
        return functional.cross_entropy(logits, index, reduction="none"), known[:, 0] * each[index]

    # -- region by region -------------------------------------------------------------------------

    def _regions(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        found, wanted = self._probabilities(logits), self._hot(logits, targets)
        weights = self._channel_weights(logits)
        if self.partial:
            known = targets != IGNORED
            found, wanted = found * known, wanted * known
        if not self.sigmoid and self.kind != "generalised_dice":
            found, wanted, weights = found[:, 1:], wanted[:, 1:], weights[1:]
        found, wanted = (x.movedim(0, 1).flatten(1) for x in (found, wanted))
        both, ours, theirs = (found * wanted).sum(1), found.sum(1), wanted.sum(1)
        if self.kind == "generalised_dice":
            weights = weights * _by_size(theirs)
            overlap, total = (weights * both).sum(), (weights * (ours + theirs)).sum()
            return 1 - (2 * overlap + _LITTLE) / (total + _LITTLE)
        if self.kind == "tversky":
            errors = self.alpha * (ours - both) + self.beta * (theirs - both)
            loss = 1 - (both + 1) / (both + errors + 1)
        else:
            loss = 1 - (2 * both + 1) / (ours + theirs + 1)
        return _mean(loss, weights)

    def _boundary(
        self, logits: torch.Tensor, targets: torch.Tensor, spacings: Spacings | None
    ) -> torch.Tensor:
        found, weights = self._probabilities(logits), self._channel_weights(logits)
        if not self.sigmoid:
            found, weights = found[:, 1:], weights[1:]
        ones = [(1.0,) * (logits.ndim - 2)] * len(logits)
        distances = signed_distances(targets, found.shape[1], spacings=spacings or ones)
        known = targets != IGNORED
        terms = (found * distances.to(found.device) * known).movedim(0, 1).flatten(1).sum(1)
        return _mean(terms, weights) / known.sum().clamp_min(1)

    # -- both -------------------------------------------------------------------------------------

    def _probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.sigmoid() if self.sigmoid else logits.softmax(1)

    def _hot(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return 1 in the channel of each voxel's class; anything where that is ignored."""
        channels = logits.shape[1] + int(self.sigmoid)
        index = targets[:, 0].clamp_min(0) if self.partial else targets[:, 0]
        hot = functional.one_hot(index, channels).movedim(-1, 1)
        return hot[:, int(self.sigmoid) :].to(logits.dtype)

    def _channel_weights(self, logits: torch.Tensor) -> torch.Tensor:
        if self.weights is None:
            return logits.new_ones(logits.shape[1])
        return logits.new_tensor(self.weights)


def signed_distances(targets: torch.Tensor, classes: int, *, spacings: Spacings) -> torch.Tensor:
    """Return how far each voxel is from the border of each class; negative within it.

    Outside a class it is the distance to its nearest voxel, inside, with a minus, that to the
    nearest of the others, in units of the smallest spacing: the weight of the loss does not
    depend on the unit, and a step along a coarse axis is a long one. What is `IGNORED` is neither
    inside nor outside. Where a patch lacks a class, or holds nothing else, it is 0, as there is
    no border to be near to.

    Parameters
    ----------
    targets
        Class indices, shape (batch, 1, *spatial).
    classes
        Number of classes, from index 1 on.
    spacings
        Spacing of each patch.

    Returns
    -------
    float32 tensor (batch, classes, *spatial), on the CPU.
    """
    indices = targets[:, 0].cpu().numpy()
    found = np.zeros((len(indices), classes, *indices.shape[1:]), np.float32)
    for maps, patch, spacing in zip(found, indices, spacings, strict=True):
        units = np.asarray(spacing, np.float64) / min(spacing)
        for number, distances in enumerate(maps, start=1):
            inside = patch == number
            outside = ~inside & (patch != IGNORED)
            if inside.any() and outside.any():
                distances[...] = _to(inside, units) * ~inside - _to(outside, units) * inside
    return torch.from_numpy(found)


def _to(mask: npt.NDArray[np.bool_], units: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the distance of each voxel to the nearest one of a mask."""
    distance: npt.NDArray[np.float64] = ndimage.distance_transform_edt(~mask, sampling=units)
    return distance


def _by_size(sizes: torch.Tensor) -> torch.Tensor:
    """Return 1 / size², 1 at most; of classes that are absent, that of the smallest."""
    least = torch.where(sizes > 0, sizes, torch.inf).amin()
    relative = torch.where(sizes > 0, least / sizes.clamp_min(_LITTLE), 1.0)
    return relative**2


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(_LITTLE)
