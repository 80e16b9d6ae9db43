"""What a network learns first, without labels: a task that the images set by themselves.

Its body is then where the supervised training starts; its head, of which labels alone know what
it is to say, stays as it was. All images count, labelled or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..devices import pick_precision
from ..errors import TrainingError
from ..io import read
from ..models import ModelDescription
from ..networks import build_network
from ..settings import TrainingSettings
from ..volume import LabelVolume, Volume
from .examples import Example, Pair, make_examples
from .patches import PatchSampler
from .pretext_tasks import MaskedTask, RotationTask, Task
from .rates import parameter_groups, rate_factor
from .resolved import Resolved
from .shares import Source
from .stages import stages

# Apart from the random numbers of the supervised training.
_SEED = 5_000_011


class WarmStart:
    """The training of a network's body without labels.

    Parameters
    ----------
    network
        The network that is to start warm; nothing of it changes before `finish`.
    description
        What it is.
    examples
        Images, with labels or without.
    plan
        Size of patches and batches, and the learning rate.
    settings
        Which task, and for how many steps.
    device
        Where to run.
    """

    def __init__(
        self,
        network: nn.Module,
        description: ModelDescription,
        examples: Sequence[Example],
        plan: Resolved,
        settings: TrainingSettings,
        device: torch.device,
    ) -> None:
        self.pupil = network
        self.settings = settings
        self.device = device
        self.name = description.network.name
        self.rate = plan.learning_rate
        self.steps = settings.warm_start_steps
        self.step = 0
        self.task = _task(description, plan, settings)
        self.sampler = PatchSampler(
            [_unlabelled(example) for example in examples],
            replace(plan, steps=self.steps, augment=self.task.augment(plan.augment)),
            seed=settings.seed + _SEED,
            classes=False,
            device=device,
        )
        arguments = {**description.network.arguments, "out_channels": self.task.outputs}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed + _SEED)
            own = build_network(self.name, arguments)
        self.memory_format = (
            torch.channels_last if description.inputs.spatial_dims == 2 else torch.contiguous_format
        )
        self.network = own.to(device).to(memory_format=self.memory_format)  # type: ignore[call-overload]
        copy_body(network, self.network, self.name)
        one_rate = replace(settings, layer_decay=1.0)
        groups = parameter_groups(self.network, self.name, one_rate)
        self.optimiser = torch.optim.AdamW(groups, lr=self.rate)
        self.precision = pick_precision(device, settings.precision)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == torch.float16)

    def advance(self) -> tuple[float, float]:
        """Do the next step; return its loss and learning rate.

        Raises TrainingError when the loss is no longer a number.
        """
        rate = self.rate * rate_factor(self.step, self.steps, self.settings.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        seed = int(np.random.default_rng((self.sampler.seed, self.step)).integers(2**31))
        images, _ = self.sampler.batch(self.step)
        images = images.to(self.device, memory_format=self.memory_format)
        shown, truth = self.task.ask(images, seed)
        self.optimiser.zero_grad(set_to_none=True)
        reduced = self.precision != torch.float32
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)  # for dropout
            with torch.autocast(self.device.type, self.precision, enabled=reduced):
                answer = self.network.train()(shown)
            loss = self.task.grade(answer.float(), truth)
            self.scaler.scale(loss).backward()
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss of the warm start is {value} at step {self.step + 1}: lower the "
                "learning rate or train in float32."
            )
        if self.settings.gradient_clip > 0:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.step += 1
        return value, rate

    def finish(self) -> None:
        """Give the body to the network that is to start warm; its head stays as it is."""
        copy_body(self.network, self.pupil, self.name)

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on: tensors and plain values."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.step = int(state["step"])


def without_labels(
    images: Sequence[Source],
    description: ModelDescription,
    *,
    settings: TrainingSettings | None = None,
    **options: Any,
) -> Iterator[Example]:
    """Yield the examples of images that have no labels, for a warm start and nothing else.

    ``settings`` and ``options`` are those of `make_examples`.
    """
    settings = replace(
        settings or TrainingSettings(),
        ignore_label=None,
        background_label=None,
        only_corrected=False,
    )
    for image in images:
        volume = image if isinstance(image, Volume) else read(Path(image))
        yield from make_examples([_pair(volume)], description, settings=settings, **options)


@torch.no_grad()
def copy_body(source: nn.Module, target: nn.Module, name: str) -> None:
    """Copy all tensors of a network but those of its head into another of the same form."""
    head = {tensor.rpartition(".")[0] for tensor in stages(source, name)[0].parameters}
    given = dict(_tensors(source))
    for tensor, value in _tensors(target):
        if tensor.rpartition(".")[0] not in head:
            value.copy_(given[tensor])


def _tensors(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield parameters and buffers, each once: some networks have them under several names."""
    yield from network.named_parameters()
    yield from network.named_buffers()


def _task(description: ModelDescription, plan: Resolved, settings: TrainingSettings) -> Task:
    if settings.warm_start == "masked":
        return MaskedTask(len(description.inputs.channels), plan.patch)
    return RotationTask()


def _pair(volume: Volume) -> Pair:
    """Return an image with labels that say nothing, and take no memory."""
    times = (volume.times,) if "t" in volume.leading else ()
    nothing = np.broadcast_to(np.uint8(0), (*times, *volume.grid.shape))
    leading = "t" if times else ""
    return volume, LabelVolume(nothing, volume.grid, leading, name=volume.name)


def _unlabelled(example: Example) -> Example:
    """Return an example without what its labels say, so that all can be drawn from alike."""
    nothing = np.broadcast_to(np.float16(0), (1, *example.labels.shape))
    return replace(example, targets=nothing, centres=example.centres[:0], labelled=None)
