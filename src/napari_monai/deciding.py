"""What finished maps say of each voxel: its class, how sure that is, and a first preview."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from .models import ModelDescription
from .runner import activated

# A logit that leaves no doubt.
_SURE = 20.0


class Decider:
    """Turns maps, (channel, *box) on any device, into classes and uncertainty.

    Maps are activated, but where something else is said.

    Parameters
    ----------
    description
        The model whose outputs the maps are.
    threshold
        Probability from which a voxel is foreground; ``None``: the most probable class, or 0.5
        where classes do not exclude each other.
    """

    def __init__(self, description: ModelDescription, threshold: float | None) -> None:
        self.outputs = description.outputs
        self.threshold = threshold
        numbers = [0, *(label.number for label in description.labels)]
        # torch counts in uint8 or int32, but not in uint16.
        self.numbers = torch.tensor(numbers, dtype=torch.int32)
        if max(numbers) <= 255:
            self.numbers = self.numbers.to(torch.uint8)
        likely = [name != "identity" for name in self.outputs.activation]
        self.likely = [i for i, is_likely in enumerate(likely) if is_likely]

    @property
    def ranks(self) -> bool:
        """Whether the largest channel decides, so that classes can be told before activation."""
        return self.outputs.softmax and self.outputs.kind == "classes" and self.threshold is None

    def activated(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the networks' outputs activated; channels behind them stay as they are."""
        channels = len(self.outputs.channels)
        return torch.cat(
            [activated(maps[None, :channels], self.outputs.activation)[0], maps[channels:]]
        )

    def classes(self, maps: torch.Tensor) -> torch.Tensor:
        """Return class numbers, of the shape of the box."""
        if self.outputs.regions:
            return self._regions(maps)
        if self.outputs.kind == "instances":
            maps = maps[self.outputs.channels.index("foreground")][None]
        threshold = self.threshold
        if not self.outputs.softmax or self.outputs.kind == "instances":
            best, order = maps.max(dim=0)
            order += 1
            order[best < (0.5 if threshold is None else threshold)] = 0
        elif threshold is None:
            order = maps.max(dim=0).indices  # argmax takes many times as long
        else:
            order = 1 + maps[1:].max(dim=0).indices
            order[1 - maps[0] < threshold] = 0
        return self.numbers.to(order.device)[order]

    def _regions(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the number of the last region over each voxel."""
        threshold = 0.5 if self.threshold is None else self.threshold
        found = torch.zeros(maps.shape[1:], dtype=self.numbers.dtype, device=maps.device)
        for values, number in zip(maps, self.outputs.regions, strict=True):
            found[values >= threshold] = number
        return found

    def probabilities(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the maps that are probabilities."""
        return maps if self.outputs.softmax else maps[self.likely]

    def entropy(self, maps: torch.Tensor) -> torch.Tensor:
        """Return how far each voxel is from being decided: 0 for sure, 1 for all alike.

        The entropy of the classes over that of as many equal ones (Shannon 1948); where classes
        do not exclude each other, that of the least certain one.
        """
        p = self.probabilities(maps).clamp(0, 1)
        if self.outputs.softmax:
            return _entropy(p).sum(dim=0) / math.log(max(2, len(p)))
        return (_entropy(p) + _entropy(1 - p)).amax(dim=0) / math.log(2)


def _entropy(p: torch.Tensor) -> torch.Tensor:
    terms: torch.Tensor = torch.special.entr(p)
    return terms


def background(activation: Sequence[str], channels: int, *, raw: bool = False) -> tuple[float, ...]:
    """Return what a network would say of a place where there is nothing; ``raw``: as logits."""
    if tuple(activation) == ("softmax",):
        return (_SURE if raw else 1.0, *(0.0,) * (channels - 1))
    return tuple(-_SURE if raw and name == "sigmoid" else 0.0 for name in activation)
