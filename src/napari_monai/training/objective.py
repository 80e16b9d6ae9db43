"""What a training minimises: the loss of all heads of a network against the targets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import nn

from ..models import ModelDescription
from ..settings import TrainingSettings
from .choose_loss import choose_loss
from .class_loss import Spacings
from .examples import Example
from .losses import instance_loss
from .supervision import Supervised, supervision


class Heads(nn.Module):
    """A network whose outputs are a list: the finest level alone, or all levels, finest first."""

    def __init__(self, network: nn.Module, *, deep: bool) -> None:
        super().__init__()
        self.network = network
        self.deep = deep

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits, each of shape (batch, channel, *spatial of its level)."""
        if self.deep:
            return cast(Supervised, self.network).all_heads(images)
        return [self.network(images)]


class Objective:
    """The loss that the settings ask for.

    Parameters
    ----------
    settings
        Which loss, and with which weights.
    description
        What the network gives.
    examples
        The training images, for the weights of classes.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        description: ModelDescription,
        examples: Sequence[Example],
    ) -> None:
        self._class_loss = choose_loss(settings, description, examples)
        self._settings = settings
        # Whatever the settings say: of a part that is held out of an image nothing is labelled.
        self.partial = any(example.labelled is not None for example in examples)

    def __call__(
        self,
        heads: Sequence[torch.Tensor],
        targets: torch.Tensor,
        *,
        spacings: Spacings,
        progress: float = 1.0,
    ) -> torch.Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        heads
            Logits, finest level first, shape (batch, channel, *spatial of the level).
        targets
            What the sampler gives, shape (batch, maps, *spatial).
        spacings
            Spacing of each image of the batch.
        progress
            Part of the steps that are done after this one, from 0 to 1.
        """
        # Losses sum over many voxels: never in half precision.
        heads = [head.float() for head in heads]
        finest = partial(self._level, spacings=spacings, progress=progress)
        if len(heads) > 1:
            # Borders are drawn at the finest level: there alone the distance to them counts.
            return supervision(heads, targets, finest, self._level)
        return finest(heads[0], targets)

    def _level(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        spacings: Spacings | None = None,
        progress: float = 0.0,
    ) -> torch.Tensor:
        if self._class_loss is not None:
            return self._class_loss(logits, targets, spacings=spacings, progress=progress)
        return instance_loss(
            logits,
            targets,
            distance_weight=self._settings.distance_weight,
            touching_weight=self._settings.touching_weight,
            partial=self.partial,
        )
