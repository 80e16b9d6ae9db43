"""The steps of a training: when to validate and to save between them, and when they are over."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from typing import Literal

from ..errors import OutOfMemoryError, TrainingError
from ..events import EpochDone, Event, Said, Started, StepDone
from ..settings import TrainingSettings
from .clock import Costs, Pace, cut
from .ends import NotANumberError, is_out_of_memory
from .record import Record
from .run_folder import stop_asked
from .trainer import Step

End = Literal["steps", "patience", "minutes", "stop"]
_ENDS: tuple[End, ...] = ("steps", "patience", "minutes", "stop")


class Stepping:
    """The loop over steps.

    Parameters
    ----------
    record
        What was done so far, and the trainer.
    settings
        How to train.
    validate
        Validates the present state, keeps it where it is the best, and saves it.
    """

    def __init__(
        self, record: Record, settings: TrainingSettings, validate: Callable[[], EpochDone]
    ) -> None:
        self._record = record
        self._trainer = record.trainer
        self._team = record.trainer.team
        self._settings = settings
        self._validate = validate
        self._pace = Pace()
        self._waiting: Step | None = None

    def run(self) -> Generator[Event, None, End]:
        """Do all steps; return why they are over.

        Goes back to the last saved state, for smaller steps or parts of batches, where that is
        a cure.
        """
        try:
            while True:
                try:
                    return (yield from self._steps())
                except NotANumberError as error:
                    failure: Exception = error
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    failure = OutOfMemoryError("memory")
                yield from self._again(failure)
        except GeneratorExit:
            self._leave()
            raise

    def _steps(self) -> Generator[Event, None, End]:
        # The loss on a GPU is read a step late, so that it has something to do meanwhile.
        late = self._trainer.device.type != "cpu"
        while (end := self._end()) is None:
            begun = time.monotonic()
            waiting, self._waiting = self._waiting, self._trainer.advance()
            if waiting is not None:
                yield self._told(waiting)
            due = self._due(self._trainer.step)
            if due or not late:
                yield self._read()
            self._pace.note(time.monotonic() - begun)
            if due == "validation":
                yield self._validate()
            elif due == "saving":
                self._record.save()
            yield from self._fit()
        if self._waiting is not None:
            yield self._read()
        return end

    def _due(self, step: int) -> Literal["validation", "saving"] | None:
        """Return what is to be done after a step."""
        if step % self._trainer.plan.validate_every == 0 or step == self._trainer.plan.steps:
            return "validation"
        return "saving" if self._record.due else None

    def _end(self) -> End | None:
        """Return why no further step is to be done, where that is so."""
        best, step = self._record.so_far.best, self._trainer.step
        found: End | None = None
        if step >= self._trainer.plan.steps:
            found = "steps"
        elif 0 < self._settings.patience <= best.worse:
            found = "patience"
        elif self._settings.minutes and self._seconds_left() <= 0:
            found = "minutes"
        elif stop_asked(self._record.folder):
            found = "stop"
        number = int(self._team.agree(_ENDS.index(found) if found else -1))
        return _ENDS[number] if number >= 0 else None

    def _seconds_left(self) -> float:
        """Return what the minutes leave for steps, beside a last validation and what follows."""
        so_far = self._record.so_far
        spent = self._record.clock.seconds + so_far.validating + so_far.ending
        return 60 * self._settings.minutes - spent

    def _read(self) -> StepDone:
        """Return the event of the last step, once its loss is known."""
        assert self._waiting is not None
        step, self._waiting = self._waiting, None
        return self._told(step)

    def _told(self, step: Step) -> StepDone:
        loss = float(step.loss)
        if not math.isfinite(loss):
            raise NotANumberError(f"the loss is {loss} at step {step.number}")
        self._record.step(step, loss)
        return StepDone(step.number, self._trainer.plan.steps, loss, step.rate)

    def _fit(self) -> Iterator[Event]:
        """Cut the steps to what fits into the minutes, once it is known how long one takes."""
        so_far, minutes = self._record.so_far, self._settings.minutes
        if so_far.fitted or not minutes:
            return
        if not self._team.agree(self._pace.known(minutes=minutes)):
            return
        plan, step = self._trainer.plan, self._trainer.step
        costs = Costs(self._team.agree(self._pace.seconds), so_far.validating, so_far.ending)
        left = self._team.agree(60 * minutes - self._record.clock.seconds)
        often = self._settings.validate_every
        fitting = cut(plan, step, seconds=left, costs=costs, often=often)
        so_far.fitted = True
        if fitting.steps != plan.steps:
            self._trainer.follow(fitting)
            yield Said(f"{fitting.steps} of {plan.steps} steps fit into {minutes:g} minutes")
            yield Started(fitting.steps, "steps")
        self._record.save()

    def _again(self, failure: Exception) -> Iterator[Event]:
        """Go back to the last saved state in a way that may not fail again, or give up."""
        trainer = self._trainer
        self._waiting = None
        if isinstance(failure, NotANumberError):
            if trainer.slowed < 1:
                raise TrainingError(
                    f"Training has failed: {failure}, also at half the learning rate: lower it, or "
                    "train in float32."
                )
            self._record.go_back()
            trainer.slowed = 0.5
            cure = "half the learning rate"
        else:
            parts = 2 * trainer.parts
            size = trainer.plan.batch_size * self._settings.accumulate // self._team.size
            if self._team.size > 1 or trainer.parts >= size:
                raise OutOfMemoryError(
                    f"{'A patch' if trainer.parts >= size else 'A batch'} of "
                    f"{' x '.join(map(str, trainer.plan.patch))} voxels does not fit the device: "
                    "take a smaller patch, batch size or network."
                )
            trainer.forget_gradients()
            self._record.go_back()
            trainer.parts = min(parts, size)
            failure = OutOfMemoryError("a batch does not fit the device")
            cure = f"each batch in {trainer.parts} parts"
        self._record.save()
        yield Said(
            f"{str(failure).capitalize()}: going on from step {trainer.step} with {cure}", "warning"
        )

    def _leave(self) -> None:
        """Save what was done when the training is cancelled between two steps."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            loss = float(waiting.loss)
            if not math.isfinite(loss):
                return
            self._record.step(waiting, loss)
        self._record.leave()
