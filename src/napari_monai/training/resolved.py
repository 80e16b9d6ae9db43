"""What a training does in numbers: settings with all that was left to be worked out filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from ..models import ModelDescription
from ..settings import TrainingSettings
from .kinds import choose_augment
from .presets import UNCHANGED, Augment
from .shares import Source

__all__ = ["UNCHANGED", "Augment", "Resolved", "resolve"]

# Steps by the goal, of a new network and of one that knows something already.
_STEPS = {"quick": 500, "balanced": 2000, "thorough": 8000}
_FURTHER = {"quick": 250, "balanced": 1000, "thorough": 4000}
# Highest learning rates of AdamW: of most networks, of those that diverge with it.
_RATE, _RATES = 2e-3, {"unetr": 2e-4, "swin_unetr": 2e-4, "residual_encoder_unet": 1e-3}
# Part of it for a model that is trained further: with its own head, and with a new one.
_KEPT, _NEW_HEAD = 0.25, 0.5
# Where nothing was planned: what a small network learns two thousand images of nuclei with.
_BATCH = {2: 12, 3: 2}
_PATCH = {2: (192, 192), 3: (48, 96, 96)}
_VALIDATIONS = 4


@dataclass(frozen=True)
class Resolved:
    """The numbers of a training that settings may leave open."""

    steps: int
    batch_size: int
    learning_rate: float
    validate_every: int
    patch: tuple[int, ...]
    augment: Augment

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, for the checkpoint and the card."""
        return {
            "steps": self.steps,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "validate_every": self.validate_every,
            "patch": list(self.patch),
            "augment": vars(self.augment),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Make it from what `to_json` gave."""
        rest = {**values, "patch": tuple(values["patch"]), "augment": Augment(**values["augment"])}
        return cls(**rest)


def resolve(
    settings: TrainingSettings, description: ModelDescription, images: Sequence[Source] = ()
) -> Resolved:
    """Fill in what settings leave open; ``images`` are the training images.

    Patch and batch are those that were planned when the description was made; steps follow from
    the goal, and the learning rate from the network. A model that is trained further takes half
    the steps, and a lower rate.
    """
    ndim = description.inputs.spatial_dims
    planned: Mapping[str, Any] = description.training.get("planned", {})
    further = bool(planned.get("pretrained"))
    steps = settings.steps or (_FURTHER if further else _STEPS)[settings.goal]
    fixed = description.inferer.window if description.inputs.fixed_size else _PATCH[ndim]
    return Resolved(
        steps=steps,
        batch_size=settings.batch_size or int(planned.get("batch_size", _BATCH[ndim])),
        learning_rate=settings.learning_rate or _rate(description, planned),
        validate_every=settings.validate_every or max(1, steps // _VALIDATIONS),
        patch=settings.patch or tuple(planned.get("patch", fixed)),
        augment=choose_augment(settings, description, images),
    )


def _rate(description: ModelDescription, planned: Mapping[str, Any]) -> float:
    rate = _RATES.get(description.network.name, _RATE)
    if not planned.get("pretrained"):
        return rate
    return rate * (_NEW_HEAD if planned.get("new_head") else _KEPT)
