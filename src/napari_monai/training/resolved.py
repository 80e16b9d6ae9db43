"""What a training does in numbers: settings with all that was left to be worked out filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from ..models import ModelDescription
from ..settings import TrainingSettings
from .kinds import choose_augment
from .presets import UNCHANGED, Augment
from .shares import Source

__all__ = ["UNCHANGED", "Augment", "Resolved", "resolve"]

# Where nothing else is said: what a small network learns two thousand images of nuclei with.
_STEPS = {"quick": 500, "balanced": 2000, "thorough": 8000}
_BATCH = {2: 12, 3: 2}
_RATE = 2e-3
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
    """Fill in what settings leave open; ``images`` are the training images."""
    ndim = description.inputs.spatial_dims
    steps = settings.steps or _STEPS[settings.goal]
    fixed = description.inferer.window if description.inputs.fixed_size else _PATCH[ndim]
    return Resolved(
        steps=steps,
        batch_size=settings.batch_size or _BATCH[ndim],
        learning_rate=settings.learning_rate or _RATE,
        validate_every=settings.validate_every or max(1, steps // _VALIDATIONS),
        patch=settings.patch or fixed,
        augment=choose_augment(settings, description, images),
    )
