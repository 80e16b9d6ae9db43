"""The course of one training: what is done before its steps, at each validation, and at its end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from ..events import EpochDone, Event, Said, Started, Trained
from ..models import read_model
from ..networks.cost import flops
from ..settings import TrainingSettings
from .distributed import normalises_apart
from .ends import clear_ends
from .examples import Example
from .held_out import HeldOut, Validated
from .outcome import FOLDER, scores_line
from .preview import FOLDER as PREVIEW
from .preview import Preview
from .record import Record
from .run_folder import forget_stop
from .starting import Start
from .stepping import End, Stepping
from .validate import tune_decoding
from .warming import warm_up

# Trials of a decoding, about, that are made after the last step.
_TRIALS = 25


class Job:
    """One training.

    Parameters
    ----------
    record
        Its folder, description and trainer.
    settings
        How to train.
    examples
        The validation images; there may be none.
    start
        The model to start from, as it comes into the new one.
    """

    def __init__(
        self,
        record: Record,
        settings: TrainingSettings,
        examples: Sequence[Example],
        *,
        start: Start | None = None,
    ) -> None:
        self.record = record
        self.trainer = record.trainer
        self.team = record.trainer.team
        self.settings = settings
        self.start = start
        self.held_out = HeldOut(
            examples,
            record.description,
            self.team,
            self.trainer.device,
            self.trainer.precision_name,
        )
        self.instances = record.description.outputs.kind == "instances"
        self.preview: Preview | None = None
        if examples and self.team.leads:
            self.preview = Preview(record.folder / PREVIEW, self.held_out.own, record.description)

    def run(self, saved: Mapping[str, Any] | None) -> Iterator[Event]:
        """Yield the events of the training, from its beginning or from a saved state."""
        record = self.record
        if saved is not None:
            record.restore(saved)
            yield Said(f"Resuming after step {self.trainer.step}")
        yield Said(f"Training {self._described()}")
        if normalises_apart(self.trainer.network, self.team):
            yield Said("Batch normalisation sees the part of each process alone", "warning")
        with clear_ends(record.folder):
            record.open()
            try:
                if saved is None:
                    yield from self._begin()
                yield from warm_up(record, self.settings)
                yield Started(self.trainer.plan.steps, "steps")
                end = yield from Stepping(record, self.settings, self._validate).run()
                yield from self._finish(end)
            finally:
                record.close()
                self.trainer.close()

    def _described(self) -> str:
        trainer, network = self.trainer, self.record.description.network
        work = flops(network.name, network.arguments, trainer.plan.patch) / 1e9
        together = f", {self.team.size} processes" if self.team.size > 1 else ""
        return (
            f"{network.name} ({trainer.parameters / 1e6:.1f} M parameters, {work:.1f} GFLOP a "
            f"patch) on {len(trainer.examples)} images, on {trainer.device} in "
            f"{trainer.precision_name}{together}"
        )

    def _begin(self) -> Iterator[Event]:
        """Score the model to start from, and write down where the training begins."""
        if self.preview:
            self.preview.begin()
        first = self._first_scores()
        if first is not None:
            self._note_costs(first)
        if first is not None and self._comparable is not None:
            so_far = self.record.so_far
            so_far.before = first.scores
            self._show("before", first)
            yield Said(f"Before training: {scores_line(first.scores)}")
            # It is the first to be beaten, and kept if nothing does.
            so_far.best.take(0, first.scores)
            self._keep()
        self.record.save()

    def _first_scores(self) -> Validated | None:
        """Return the scores of the model to start from; where there is none, of a new network.

        Those are worth nothing, but tell how long a validation takes.
        """
        if not self.held_out.examples:
            return None
        decoding, shown = self.record.decoding, self._shown
        if self._comparable is not None:
            return self.held_out.validate_parent(self._comparable, decoding, shown=shown)
        if self.settings.minutes:
            return self.held_out.validate(self.trainer.averaged(), decoding)
        return None

    @property
    def _comparable(self) -> Start | None:
        """The model to start from, where it finds such things in such images as the new one."""
        start = self.start
        return start if start and self.held_out.takes(start.transfer.model) else None

    def _validate(self) -> EpochDone:
        """Score the averaged network, keep it if it is the best, and save the state."""
        so_far, step = self.record.so_far, self.trainer.step
        self.trainer.check_finite()
        train_loss = so_far.loss / so_far.losses if so_far.losses else math.nan
        scores, val_loss = self._scores()
        best = not self.held_out.examples or not so_far.best.beats(scores)
        if best:
            so_far.best.take(step, scores)
        else:
            so_far.best.worse += 1
        seconds = self.record.clock.seconds
        row = {"step": step, "train_loss": train_loss, "val_loss": val_loss, **scores}
        self.record.validation({**row, "best": best, "seconds": seconds})
        if best:
            self._keep()
        self.record.save()
        preview = self.preview.folder if self.preview else None
        return EpochDone(
            step, self.trainer.plan.steps, train_loss, val_loss, scores, best, seconds, preview
        )

    def _scores(self) -> tuple[dict[str, float], float]:
        """Return the scores of the averaged network, and its loss, on the validation images."""
        if not self.held_out.examples:
            return {}, math.nan
        network, decoding = self.trainer.averaged(), self.record.decoding
        found = self.held_out.validate(network, decoding, shown=self._shown)
        self._note_costs(found)
        self._show("prediction", found)
        return found.scores, self.trainer.loss_on(self.held_out.examples)

    def _finish(self, end: End) -> Iterator[Event]:
        """Bring the best model into its last form, and say how it went."""
        record, trainer, best = self.record, self.trainer, self.record.so_far.best
        said = {
            "patience": f"Nothing better in {best.worse} validations: done after step",
            "minutes": f"{self.settings.minutes:g} minutes are over: done after step",
            "stop": "Stopped as asked after step",
        }
        if end != "steps":
            yield Said(f"{said[end]} {trainer.step}")
        history = record.so_far.history
        validated = bool(history) and history[-1]["step"] == trainer.step
        kept = self.team.agree((record.folder / FOLDER / "model.json").exists())
        if not validated and (end == "minutes" or not kept or not self.held_out.examples):
            yield self._validate()
        else:
            record.save()
        if record.so_far.before and best.step == 0:
            yield Said("No state was better than the model to start from: it is kept", "warning")
        yield from self._polish()
        forget_stop(record.folder)
        yield Trained(
            record.folder / FOLDER,
            dict(best.scores),
            record.clock.seconds,
            dict(record.so_far.before),
        )

    def _polish(self) -> Iterator[Event]:
        """Choose the decoding of the best state, and write the model once more with all curves."""
        if not self.team.leads:
            return
        # As written, with the sums of its weights.
        network = read_model(self.record.folder / FOLDER).load_network(self.trainer.device)
        decoding = self.record.decoding
        if self.held_out.examples and self.instances:
            yield Said("Choosing how to decode instances on the validation images")
            maps = self.held_out.maps(network)
            described = self.record.description
            for tried, scores in tune_decoding(maps, self.held_out.examples, described, decoding):
                yield Said(f"AP50 {scores['AP50']:.3f}, AP {scores['AP']:.3f} with {tried}")
            decoding, self.record.so_far.best.scores = tried, scores
        self._keep({k: v.cpu() for k, v in network.state_dict().items()}, decoding)

    def _keep(
        self, weights: Mapping[str, Any] | None = None, decoding: Mapping[str, Any] | None = None
    ) -> None:
        """Write the averaged weights, or others, as the best model so far."""
        self.record.keep(
            weights or self.trainer.averaged().state_dict(),
            validation_images=len(self.held_out.examples),
            decoding=decoding,
        )

    def _note_costs(self, found: Validated) -> None:
        so_far = self.record.so_far
        so_far.validating = self.team.agree(found.seconds)
        if self.instances:
            so_far.ending = self.team.agree(found.seconds + _TRIALS * found.decoding)

    @property
    def _shown(self) -> int | None:
        return self.preview.index if self.preview else None

    def _show(self, name: Literal["prediction", "before"], found: Validated) -> None:
        if self.preview and found.shown is not None:
            self.preview.show(name, found.shown)
