"""An adversarial term: a discriminator learns to tell maps that were found from true ones.

Its gradient says what no loss by voxels can: whether outlines, gaps and shapes look like those
that were drawn (Luc et al. 2016). It sees the image beside the maps (Isola et al. 2017), so that
maps have to fit it and not only look well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from ..models import ModelDescription
from ..settings import TrainingSettings
from .discriminator import PatchDiscriminator, hinge
from .partial import IGNORED
from .resolved import Resolved

# Least probability of the true class in true maps (Luc et al. 2016): without it they would be
# known by nothing but being 0 or 1.
_SURE = 0.9
_RATE = 2e-4
# It learns alone in the last part of the steps that are done before it counts.
_ALONE = 0.2
_SEED = 7_000_003


class Adversary:
    """The discriminator of a training and its optimiser.

    Parameters
    ----------
    description
        What the network predicts.
    plan
        Number of steps, size of patches.
    settings
        Weight of the term, and from when on it counts.
    device
        Where to run.
    """

    def __init__(
        self,
        description: ModelDescription,
        plan: Resolved,
        settings: TrainingSettings,
        device: torch.device,
    ) -> None:
        self.weight = settings.adversarial_weight
        self.classes = description.outputs.kind == "classes"
        self.softmax = description.outputs.softmax
        self.begin = settings.adversarial_from * plan.steps
        arguments = description.network.arguments
        self.maps = int(arguments["out_channels"])
        channels = arguments["in_channels"] + arguments["out_channels"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed + _SEED)
            self.network = PatchDiscriminator(channels, plan.patch).to(device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=_RATE, betas=(0.5, 0.999))

    def learns(self, step: int) -> bool:
        """Return whether the discriminator learns in a step, counted from 0."""
        return step >= self.begin * (1 - _ALONE)

    def counts(self, step: int) -> bool:
        """Return whether its term is part of the loss of a step."""
        return step >= self.begin

    def loss(
        self, logits: torch.Tensor, images: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Return the term, weighted, whose gradient makes what was found look true.

        Parameters
        ----------
        logits
            Of the finest level, shape (batch, channel, *spatial), float32.
        images
            What the network saw, shape (batch, channel, *spatial).
        targets
            What the sampler gives, shape (batch, maps, *spatial).
        """
        found = self._found(logits) * self._known(targets)
        # The discriminator itself is to learn nothing from this.
        self.network.requires_grad_(False).eval()
        judged = self.network(torch.cat([images, found], 1))
        self.network.requires_grad_(True)
        term: torch.Tensor = -self.weight * judged.mean()
        return term

    def learn(
        self,
        logits: torch.Tensor,
        images: torch.Tensor,
        targets: torch.Tensor,
        *,
        share: float = 1.0,
    ) -> torch.Tensor:
        """Add the discriminator's gradient on a batch, or on a share of it; return its loss.

        Takes what `loss` takes.
        """
        with torch.no_grad():
            known = self._known(targets)
            found = self._found(logits)
            true = self._true(targets, found)
            pairs = [torch.cat([images, maps * known], 1) for maps in (true, found)]
        judged = self.network.train()(torch.cat(pairs))
        loss = hinge(*judged.chunk(2))
        (share * loss).backward()
        return loss.detach()

    def update(self) -> None:
        """Make the step of the gradient that `learn` has added up."""
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """Return all that its next step depends on: tensors and plain values."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])

    def _found(self, logits: torch.Tensor) -> torch.Tensor:
        if not self.classes:
            # Foreground and, maybe, where objects touch are probabilities; the distance is none.
            return torch.cat([logits[:, :1].sigmoid(), logits[:, 1:2], logits[:, 2:].sigmoid()], 1)
        return logits.softmax(1) if self.softmax else logits.sigmoid()

    def _true(self, targets: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """Return the true maps, no surer of a class than what was found, or than `_SURE`."""
        if not self.classes:
            foreground = _unsure(targets[:, :1], found[:, :1])
            near = _unsure(targets[:, 2:3], found[:, 2:])
            return torch.cat([foreground, targets[:, 1:2], near], 1)
        index = targets[:, 0].clamp_min(0)
        channels = found.shape[1] + (0 if self.softmax else 1)
        hot = functional.one_hot(index, channels).movedim(-1, 1).to(found.dtype)
        return _shared(hot, found) if self.softmax else _unsure(hot[:, 1:], found)

    def _known(self, targets: torch.Tensor) -> torch.Tensor:
        """Return 1 where maps count, one for all of them or one for each, else 0."""
        if self.classes:
            return (targets != IGNORED).float()
        if targets.shape[1] <= 3:  # all is labelled
            return targets.new_ones(())
        labelled, certain = targets[:, 3:4], targets[:, 4:5]
        known = [labelled, labelled * certain, labelled]
        return torch.cat(known[: self.maps], 1)


def _unsure(true: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """Return masks of 0 and 1 as probabilities."""
    return torch.where(true > 0.5, found.clamp_min(_SURE), found.clamp_max(1 - _SURE))


def _shared(hot: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """Return one of all classes as probabilities; the others share the rest as they were found."""
    sure = (hot * found).sum(1, keepdim=True)
    most = sure.clamp_min(_SURE)
    rest = found * (1 - most) / (1 - sure).clamp_min(1e-6)
    return torch.where(hot > 0.5, most, rest)
