"""One network being trained: steps, the moving average of its weights, and its state."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..devices import pick_device, pick_precision
from ..models import ModelDescription
from ..networks import build_network
from ..networks.sizes import crop_to
from ..settings import Precision, TrainingSettings
from .adversary import Adversary
from .distributed import Team, normalise_together
from .ends import NotANumberError
from .examples import Example
from .loader import Batches, planned_workers
from .objective import Heads, Objective
from .patches import PatchSampler
from .pretext import WarmStart
from .rates import Freezer, parameter_groups, rate_factor
from .resolved import UNCHANGED, Resolved
from .supervision import supervised

# Batches of validation patches on which the loss is measured, the same every time.
_LOSS_BATCHES = 4


@dataclass(frozen=True, eq=False)
class Step:
    """A step that is done: its number from 1, its loss (a tensor on the device), its rate."""

    number: int
    loss: torch.Tensor
    rate: float


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
    begin
        Gives a new network the weights to start from.
    team
        The processes that share each batch.
    unlabelled
        Images for a warm start beside the training images.
    remembered
        Images that a part of each batch is drawn from, as settings say.
    """

    def __init__(
        self,
        description: ModelDescription,
        examples: Sequence[Example],
        plan: Resolved,
        settings: TrainingSettings,
        *,
        begin: Callable[[nn.Module], object] | None = None,
        team: Team | None = None,
        unlabelled: Sequence[Example] = (),
        remembered: Sequence[Example] = (),
    ) -> None:
        self.settings = settings
        self.team = team or Team()
        self.examples = examples
        self.remembered = remembered
        self.classes = description.outputs.kind == "classes"
        self.description = description
        self.objective = Objective(settings, description, examples)
        self.device = pick_device(settings.device)
        self.precision = pick_precision(self.device, settings.precision)
        self.memory_format = (
            torch.channels_last if description.inputs.spatial_dims == 2 else torch.contiguous_format
        )
        network = _new_network(description, settings, begin).to(self.device)
        network = network.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.average: nn.Module = copy.deepcopy(network).eval().requires_grad_(False)
        self.network = normalise_together(network, self.team, self.device).train()
        self.heads = self.team.wrap(Heads(self.network, deep=settings.deep_supervision))
        name = description.network.name
        self.optimiser = torch.optim.AdamW(
            parameter_groups(self.network, name, settings), lr=plan.learning_rate, fused=True
        )
        self.adversary: Adversary | None = None
        if settings.adversarial_weight > 0:
            self.adversary = Adversary(description, plan, settings, self.device)
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.precision == torch.float16
        )
        self._averaged = list(_pairs(self.average, self.network, floating=True))
        self._copied = list(_pairs(self.average, self.network, floating=False))
        self.step = 0
        # Parts that a batch is cut into, each of which goes through the network alone.
        self.parts = settings.accumulate
        # Factor of all learning rates, smaller after a loss that was no number.
        self.slowed = 1.0
        self._batches: Batches | None = None
        self._fixed: PatchSampler | None = None
        # What is learnt first, without labels; none once that is done.
        self.warm: WarmStart | None = None
        if settings.warm_start != "none":
            images = [*examples, *unlabelled]
            self.warm = WarmStart(self.network, description, images, plan, settings, self.device)
        self.follow(plan)

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.network.parameters())

    @property
    def precision_name(self) -> Precision:
        """The number format inside the network, as settings name it."""
        return cast(Precision, str(self.precision).removeprefix("torch."))

    def check_finite(self) -> None:
        """Raise NotANumberError where a weight is none any more."""
        tensors = [value for _, value in self._averaged]
        if not torch.stack([tensor.isfinite().all() for tensor in tensors]).all():
            raise NotANumberError(f"a weight is no number after step {self.step}")

    def begin_warm(self) -> None:
        """Begin with what the warm start has learnt."""
        if self.warm is not None:
            self.warm.finish()
            self.team.spread(self.network)
            self.average.load_state_dict(self.network.state_dict())
        self.warm = None

    def forget_gradients(self) -> None:
        """Give back the memory of a step that was not finished."""
        self.optimiser.zero_grad(set_to_none=True)
        if self.adversary is not None:
            self.adversary.optimiser.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def follow(self, plan: Resolved) -> None:
        """Go on by this plan, which may have other steps than the one so far."""
        self.close()
        self.plan = plan
        settings = self.settings
        whole = replace(plan, batch_size=plan.batch_size * settings.accumulate)
        sampler = PatchSampler(
            self.examples,
            whole,
            seed=settings.seed,
            classes=self.classes,
            calm=settings.calm,
            device=self.device,
            remembered=self.remembered,
            remember=settings.remember,
        )
        self._batches = Batches(
            sampler,
            first=self.step,
            workers=planned_workers(self.device, settings.workers),
            stop=plan.steps,
            part=self.team.part,
        )
        self._freezer: Freezer | None = None
        if settings.freeze != "none":
            name = self.description.network.name
            self._freezer = Freezer(self.network, name, settings, steps=plan.steps)
        if self.adversary is not None:
            self.adversary.begin = settings.adversarial_from * plan.steps

    def close(self) -> None:
        """End the threads that make batches."""
        if self._batches is not None:
            self._batches.close()
        self._batches = None

    def averaged(self) -> nn.Module:
        """Return the network with the moving average of the weights, in eval mode."""
        return self.average

    def advance(self) -> Step:
        """Do the next step. Its loss is not waited for, where the device works by itself."""
        rate = self.plan.learning_rate * self.slowed
        rate *= rate_factor(self.step, self.plan.steps, self.settings.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        assert self._batches is not None
        batch = self._batches.get(self.step)
        if self._freezer is not None:
            self.network.train()  # norms of a stage that has been set free, too
            self._freezer.hold(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        with self._own_random():
            loss = self._accumulate(*batch)
        if self.settings.gradient_clip > 0:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(
                self.network.parameters(), self.settings.gradient_clip, foreach=True
            )
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.adversary is not None and self.adversary.learns(self.step):
            self.adversary.update()
        self.step += 1
        self._update_average()
        return Step(self.step, loss, rate)

    def _accumulate(
        self, images: torch.Tensor, targets: torch.Tensor, spacings: Sequence[tuple[float, ...]]
    ) -> torch.Tensor:
        """Sum up the gradients of all parts of a batch; return its loss."""
        total = torch.zeros((), device=self.device)
        n = len(images)
        size = -(-n // self.parts)
        for first in range(0, n, size):
            part = slice(first, first + size)
            share = min(size, n - first) / n
            together = first + size >= n  # gradients of processes are summed up but once
            with nullcontext() if together else self.team.quiet(self.heads):
                total += share * self._part(images[part], targets[part], spacings[part], share)
        return total

    def _part(
        self,
        images: torch.Tensor,
        targets: torch.Tensor,
        spacings: Sequence[tuple[float, ...]],
        share: float,
    ) -> torch.Tensor:
        """Add the gradient of a part of a batch, which is that share of it; return its loss."""
        images = images.to(self.device, memory_format=self.memory_format, non_blocking=True)
        whole = self.team.whole
        heads = [whole(head.float()) for head in self._forward(self.heads, images)]
        targets = whole(targets.to(self.device, non_blocking=True))
        loss = self.objective(
            heads,
            targets,
            spacings=self.team.all_spacings(spacings),
            progress=(self.step + 1) / self.plan.steps,
        )
        minimised, adversary = loss, self.adversary
        if adversary is not None and adversary.learns(self.step):
            images = whole(images)
            logits = crop_to(heads[0], targets.shape[2:])
            if adversary.counts(self.step):
                minimised = loss + adversary.loss(logits, images, targets)
            adversary.learn(logits.detach(), images, targets, share=share)
        # Gradients of processes are averaged, but each is of its part alone.
        self.scaler.scale(minimised * share * self.team.size).backward()
        return loss.detach()

    @torch.no_grad()
    def loss_on(self, examples: Sequence[Example]) -> float:
        """Return the averaged network's mean loss on fixed, unchanged patches of examples."""
        if self._fixed is None:
            plain = replace(self.plan, augment=UNCHANGED)
            self._fixed = PatchSampler(
                examples,
                plain,
                seed=self.settings.seed,
                classes=self.classes,
                device=self.device,
            )
        heads = Heads(self.average, deep=False)
        losses = []
        for number in range(_LOSS_BATCHES):
            images, targets = self._fixed.batch(number)
            images = images.to(self.device, memory_format=self.memory_format)
            found = self._forward(heads, images)
            spacings = self._fixed.spacings(number)
            losses.append(self.objective(found, targets.to(self.device), spacings=spacings))
        return float(torch.stack(losses).mean())

    def _forward(self, heads: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
        reduced = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision, enabled=reduced):
            found: list[torch.Tensor] = heads(images)
        return found

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on: tensors and plain values."""
        return {
            "step": self.step,
            "parts": self.parts,
            "slowed": self.slowed,
            "plan": self.plan.to_json(),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "adversary": self.adversary.state() if self.adversary else {},
            "warm": self.warm.state() if self.warm else {},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        if self.adversary is not None:
            self.adversary.restore(state["adversary"])
        if not state["warm"]:
            self.warm = None
        elif self.warm is not None:
            self.warm.restore(state["warm"])
        self.step = int(state["step"])
        self.parts = int(state["parts"])
        self.slowed = float(state["slowed"])
        self.follow(Resolved.from_json(state["plan"]))

    def _own_random(self) -> AbstractContextManager[None]:
        """Return a context whose random numbers (dropout) depend on seed and step alone."""
        devices = [self.device] if self.device.type == "cuda" else []
        own = (self.settings.seed, self.step, *([self.team.rank] if self.team.rank else []))
        return _seeded(hash(own) % 2**63, devices)

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average forgets faster, so that it does not keep the first random weights.
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        averages, values = zip(*self._averaged, strict=True)
        get_ema_multi_avg_fn(decay)(averages, values, self.step)
        for average, value in self._copied:
            average.copy_(value)


def _new_network(
    description: ModelDescription,
    settings: TrainingSettings,
    begin: Callable[[nn.Module], object] | None,
) -> nn.Module:
    """Return a network with its first weights: random ones of the seed, or those to start from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = build_network(description.network.name, description.network.arguments)
    if begin is not None:
        begin(network)
    if settings.deep_supervision:
        supervised(network, description.network.name)
    return network


def _pairs(
    average: nn.Module, network: nn.Module, *, floating: bool
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the parameters and buffers of both, each once, that hold fractions or do not."""
    # Not by the state dict, where some networks have a tensor under several names.
    for tensors in (nn.Module.parameters, nn.Module.buffers):
        for mine, its in zip(tensors(average), tensors(network), strict=True):
            if its.is_floating_point() == floating:
                yield mine, its


@contextmanager
def _seeded(seed: int, devices: Sequence[torch.device]) -> Iterator[None]:
    """Draw torch's random numbers from a seed, and put them back to where they were."""
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(seed)
        yield
