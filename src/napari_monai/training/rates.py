"""Which parts of a network learn when, and how fast: frozen stages, rates by stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from ..errors import TrainingError
from ..settings import TrainingSettings
from .stages import Stage, stages


def check_rates(settings: TrainingSettings, *, pretrained: bool) -> None:
    """Raise TrainingError when settings ask for what takes a network that has learnt before."""
    if pretrained:
        return
    if settings.freeze != "none":
        raise TrainingError(
            f"Freezing {settings.freeze} leaves random weights as they are: start from a model, "
            "from weights or with a warm start, or freeze none."
        )
    if settings.layer_decay < 1:
        raise TrainingError(
            f"A layer decay of {settings.layer_decay} slows down layers that have learnt nothing "
            "yet: start from a model, from weights or with a warm start, or set it to 1."
        )


def parameter_groups(
    network: nn.Module, name: str, settings: TrainingSettings
) -> list[dict[str, Any]]:
    """Return the groups of parameters for an optimiser.

    Weights decay, biases and norms do not. Each group has a ``"factor"``, by which the learning
    rate of a step is to be multiplied: 1 at the head, and ``layer_decay`` times that of the stage
    before at each next one (discriminative fine-tuning, Howard & Ruder 2018).

    Parameters
    ----------
    network
        A network of the table.
    name
        What the table calls it.
    settings
        How to train.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for depth, stage in enumerate(stages(network, name)):
        factor = settings.layer_decay**depth
        for parameter in stage.parameters.values():
            groups.setdefault((factor, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": settings.weight_decay if decays else 0.0,
            "factor": factor,
        }
        for (factor, decays), parameters in groups.items()
    ]


def rate_factor(step: int, steps: int, warm_up: float) -> float:
    """Return the learning rate's factor in a step from 0: a linear rise, then a half cosine to 0.

    Loshchilov & Hutter 2017, with warm-up (Goyal et al. 2017) over that part of the steps.
    """
    rise = max(1, round(warm_up * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


class Freezer:
    """Keeps stages of a network as they are, and sets them free one by one.

    Frozen parameters get no gradient, and norms of frozen stages keep their running statistics.

    Parameters
    ----------
    network
        A network of the table.
    name
        What the table calls it.
    settings
        What is frozen, and until when.
    steps
        Steps of the whole training.
    """

    def __init__(
        self, network: nn.Module, name: str, settings: TrainingSettings, *, steps: int
    ) -> None:
        self.stages = stages(network, name)
        self.first = first_frozen(self.stages, settings)
        self.until = settings.unfreeze * steps

    def frozen(self, step: int) -> int:
        """Return how many stages are frozen at a step, counted from the last.

        They are set free at even intervals, the last of them at the end of the part of the steps
        that the settings give; where that is none, never (gradual unfreezing, Howard & Ruder
        2018).
        """
        held = len(self.stages) - self.first
        if held == 0 or self.until <= 0:
            return held
        return max(0, held - int(step * held / self.until))

    def hold(self, step: int) -> None:
        """Make a network that is in training mode ready for a step."""
        free = len(self.stages) - self.frozen(step)
        for number, stage in enumerate(self.stages):
            learns = number < free
            for parameter in stage.parameters.values():
                parameter.requires_grad_(learns)
            for norm in stage.norms:
                norm.train(learns)


def first_frozen(found: Sequence[Stage], settings: TrainingSettings) -> int:
    """Return the index of the first stage that settings freeze; all after it are frozen too."""
    if settings.freeze == "encoder":
        return next(n for n, stage in enumerate(found) if stage.part == "encoder")
    return 1 if settings.freeze == "all_but_head" else len(found)
