"""One network being trained: steps, the moving average of its weights, and its state."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from ..devices import pick_device, pick_precision
from ..errors import TrainingError
from ..models import Model, ModelDescription
from ..networks import build_network
from ..networks.starting import LoadReport, load_matching
from ..settings import Precision, TrainingSettings
from .choose_loss import choose_loss
from .class_loss import Spacings
from .examples import Example
from .losses import instance_loss
from .patches import PatchSampler
from .resolved import UNCHANGED, Resolved
from .supervision import Supervised, supervised, supervision

# Batches of validation patches on which the loss is measured, the same every time.
_LOSS_BATCHES = 4


class Trainer:
    """The network, its optimiser, and the moving average of its weights.

    Parameters
    ----------
    description
        What the network is and what it is to predict.
    examples
        The training images.
    plan
        What settings leave open, worked out.
    settings
        How to train.
    parent
        The model whose weights to start from.
    """

    def __init__(
        self,
        description: ModelDescription,
        examples: Sequence[Example],
        plan: Resolved,
        settings: TrainingSettings,
        *,
        parent: Model | None = None,
    ) -> None:
        self.settings = settings
        self.plan = plan
        self.classes = description.outputs.kind == "classes"
        self.class_loss = choose_loss(settings, description, examples)
        self.device = pick_device(settings.device)
        self.precision = pick_precision(self.device, settings.precision)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = build_network(description.network.name, description.network.arguments)
        if parent is not None:
            weights = parent.load_network(torch.device("cpu")).state_dict()
            network.load_state_dict(weights)
        if settings.deep_supervision:
            supervised(network, description.network.name)
        self.memory_format = (
            torch.channels_last if description.inputs.spatial_dims == 2 else torch.contiguous_format
        )
        self.network = network.to(self.device).to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.average: nn.Module = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            _groups(self.network, settings.weight_decay), lr=plan.learning_rate
        )
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.precision == torch.float16
        )
        self.sampler = PatchSampler(
            examples, plan, seed=settings.seed, classes=self.classes, calm=settings.calm
        )
        self.step = 0

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.network.parameters())

    @property
    def precision_name(self) -> Precision:
        """The number format inside the network, as settings name it."""
        return cast(Precision, str(self.precision).removeprefix("torch."))

    def averaged(self) -> nn.Module:
        """Return the network with the moving average of the weights, in eval mode."""
        return self.average

    def start_from(self, tensors: Mapping[str, Any]) -> LoadReport:
        """Begin with given weights as far as they fit; see `load_matching`."""
        report = load_matching(self.network, tensors)
        self.average.load_state_dict(self.network.state_dict())
        return report

    def advance(self) -> tuple[float, float]:
        """Do the next step; return its loss and learning rate.

        Raises TrainingError when the loss is no longer a number.
        """
        rate = self.plan.learning_rate * self._rate(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        images, targets = self.sampler.batch(self.step)
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        with self._own_random():
            loss = self._loss(
                self.network,
                images,
                targets,
                spacings=self.sampler.spacings(self.step),
                progress=(self.step + 1) / self.plan.steps,
            )
            self.scaler.scale(loss).backward()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss is {value} at step {self.step + 1}: lower the learning rate or "
                "train in float32."
            )
        if self.settings.gradient_clip > 0:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.step += 1
        self._update_average()
        return value, rate

    @torch.no_grad()
    def loss_on(self, examples: Sequence[Example]) -> float:
        """Return the averaged network's mean loss on fixed, unchanged patches of examples."""
        plain = replace(self.plan, augment=UNCHANGED)
        sampler = PatchSampler(examples, plain, seed=self.settings.seed, classes=self.classes)
        losses = [
            self._loss(self.average, *sampler.batch(k), spacings=sampler.spacings(k))
            for k in range(_LOSS_BATCHES)
        ]
        return float(torch.stack(losses).mean())

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on: tensors and plain values."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.step = int(state["step"])

    def _loss(
        self,
        network: nn.Module,
        images: torch.Tensor,
        targets: torch.Tensor,
        *,
        spacings: Spacings,
        progress: float = 1.0,
    ) -> torch.Tensor:
        images = images.to(self.device, memory_format=self.memory_format, non_blocking=True)
        targets = targets.to(self.device, non_blocking=True)
        reduced = self.precision != torch.float32
        deep = self.settings.deep_supervision and network.training
        with torch.autocast(self.device.type, self.precision, enabled=reduced):
            heads = cast(Supervised, network).all_heads(images) if deep else [network(images)]
        heads = [head.float() for head in heads]  # losses sum over many voxels: never in half
        finest = partial(self._level_loss, spacings=spacings, progress=progress)
        if deep:
            # Borders are drawn at the finest level: there alone the distance to them counts.
            return supervision(heads, targets, finest, self._level_loss)
        return finest(heads[0], targets)

    def _level_loss(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        spacings: Spacings | None = None,
        progress: float = 0.0,
    ) -> torch.Tensor:
        if self.class_loss is not None:
            return self.class_loss(logits, targets, spacings=spacings, progress=progress)
        return instance_loss(
            logits,
            targets,
            distance_weight=self.settings.distance_weight,
            touching_weight=self.settings.touching_weight,
            partial=self.settings.partial,
        )

    def _rate(self, step: int) -> float:
        """Return the learning rate's factor: a linear rise, then a half cosine to 0.

        Loshchilov & Hutter 2017, with warm-up (Goyal et al. 2017).
        """
        rise = max(1, round(self.settings.warm_up * self.plan.steps))
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, self.plan.steps - rise)))

    def _own_random(self) -> AbstractContextManager[None]:
        """Return a context whose random numbers (dropout) depend on seed and step alone."""
        devices = [self.device] if self.device.type == "cuda" else []
        return _seeded(hash((self.settings.seed, self.step)) % 2**63, devices)

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average forgets faster, so that it does not keep the first random weights.
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        # Not by the state dict, where some networks have a tensor under several names.
        for average, value in zip(_tensors(self.average), _tensors(self.network), strict=True):
            if value.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)


def _tensors(network: nn.Module) -> Iterator[torch.Tensor]:
    """Yield all parameters and buffers, each once."""
    yield from network.parameters()
    yield from network.buffers()


@contextmanager
def _seeded(seed: int, devices: Sequence[torch.device]) -> Iterator[None]:
    """Draw torch's random numbers from a seed, and put them back to where they were."""
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(seed)
        yield


def _groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return parameter groups: weights decay, biases and norms do not."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": weights, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
