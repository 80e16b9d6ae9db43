"""What a training has come to, and all that it writes into its folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..models import ModelDescription
from ..settings import TrainingSettings
from .checkpoint import load_checkpoint, save_checkpoint
from .clock import Clock
from .ends import NotANumberError
from .logs import Logs
from .outcome import FOLDER, Best, curves, save_outcome
from .trainer import Step, Trainer
from .validate import score_names

# What a model was planned with, for those who train it further.
_PLANNED = "planned"
# Seconds after which the state is written.
_SAVED_EVERY = 120.0


@dataclass
class Progress:
    """What a resumed training has to know beside the state of its trainer.

    Attributes
    ----------
    best
        The best state so far.
    before
        Scores of the model to start from.
    history
        The rows of the log.
    loss, losses
        Sum and number of the losses since the last validation.
    validating, ending
        Seconds of a validation, and of what is done after the last step.
    fitted
        Whether the steps are cut to what fits into the minutes that are given.
    """

    best: Best = field(default_factory=Best)
    before: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    loss: float = 0.0
    losses: int = 0
    validating: float = 0.0
    ending: float = 0.0
    fitted: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for the checkpoint."""
        return {**vars(self), "best": vars(self.best)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Progress:
        """Make it from what `to_json` gave."""
        return cls(**{**values, "best": Best(**values["best"])})


class Record:
    """The folder of a training. Of several processes the first alone writes.

    Parameters
    ----------
    folder
        Where all is written.
    description
        The model that is trained.
    settings
        How it is trained.
    trainer
        The network and its state.
    decoding
        How objects are decoded; empty for classes.
    told
        What the card says of settings, data and parent.
    """

    def __init__(
        self,
        folder: Path,
        description: ModelDescription,
        settings: TrainingSettings,
        trainer: Trainer,
        *,
        decoding: Mapping[str, Any],
        told: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        self.description = description
        self.settings = settings
        self.trainer = trainer
        self.decoding = decoding
        self.told = told
        self.so_far = Progress()
        self.clock = Clock()
        self._writes = trainer.team.leads
        self._logs: Logs | None = None
        self._saved_at = time.monotonic()

    def open(self) -> None:
        """Open the logs, behind the step that the trainer has done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._writes:
            for stale in self.folder.glob(f".{FOLDER}-*"):  # left by a kill
                shutil.rmtree(stale, ignore_errors=True)
            names = score_names(self.description)
            self._logs = Logs(self.folder, names, step=self.trainer.step)

    def close(self) -> None:
        """Close the logs."""
        if self._logs is not None:
            self._logs.close()

    @property
    def due(self) -> bool:
        """Whether the state is to be written again, validated or not."""
        late = time.monotonic() - self._saved_at > _SAVED_EVERY
        return bool(self.trainer.team.agree(late))

    def step(self, step: Step, loss: float) -> None:
        """Write a step down."""
        self.so_far.loss += loss
        self.so_far.losses += 1
        if self._logs is not None:
            self._logs.step(step.number, loss, step.rate, self.clock.seconds)

    def warm_step(self, step: int, loss: float) -> None:
        """Write a step of the warm start down."""
        if self._logs is not None:
            self._logs.warm_step(step, loss, self.clock.seconds)

    def validation(self, row: Mapping[str, Any]) -> None:
        """Write a validation down."""
        self.so_far.history.append(dict(row))
        self.so_far.loss, self.so_far.losses = 0.0, 0
        if self._logs is not None:
            self._logs.validation(row)

    def keep(
        self,
        weights: Mapping[str, torch.Tensor],
        *,
        validation_images: int,
        decoding: Mapping[str, Any] | None = None,
    ) -> None:
        """Write weights as the best model so far."""
        if not self._writes:
            return
        trainer, so_far = self.trainer, self.so_far
        training = {
            **self.told,
            **{k: v for k, v in self.description.training.items() if k == _PLANNED},
            "images": len(trainer.examples),
            "validation_images": validation_images,
            "plan": trainer.plan.to_json(),
            "steps": trainer.step,
            "best_step": so_far.best.step,
            "seconds": round(self.clock.seconds, 1),
            "device": str(trainer.device),
            "precision": trainer.precision_name,
            "processes": trainer.team.size,
            "curves": curves(so_far.history),
        }
        save_outcome(
            self.folder,
            self.description,
            weights,
            decoding=self.decoding if decoding is None else decoding,
            scores=so_far.best.scores,
            before=so_far.before,
            training=training,
        )

    def save(self) -> None:
        """Write the state, so that a kill loses nothing that was done before.

        Raises NotANumberError where a weight is no number: the state before is worth more.
        """
        self.trainer.check_finite()
        if self._logs is not None:
            self._logs.flush()
            state = {
                "settings": self.settings.to_json(),
                "description": self.description.to_json(),
                "told": dict(self.told),
                "so_far": self.so_far.to_json(),
                "seconds": self.clock.seconds,
            }
            save_checkpoint(self.folder, {**self.trainer.state(), **state})
        self._saved_at = time.monotonic()

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self.trainer.restore(saved)
        self.so_far = Progress.from_json(saved["so_far"])
        self.clock = Clock(saved["seconds"])

    def go_back(self) -> None:
        """Go back to the last state that was written, and forget what came after."""
        seconds = self.clock.seconds
        self.restore(load_checkpoint(self.folder))
        self.clock = Clock(seconds)  # the time is spent all the same
        if self._logs is not None:
            self._logs.forget_after(self.trainer.step)

    def leave(self) -> None:
        """Write the state when the training is cancelled between two steps, if it is any good."""
        with suppress(NotANumberError):
            self.save()
