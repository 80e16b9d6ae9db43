"""The warm start of a training: steps without labels, before the first one with them."""

from __future__ import annotations

from collections.abc import Iterator

from ..devices import is_out_of_memory
from ..errors import OutOfMemoryError
from ..events import Event, Said, Started, StepDone
from ..settings import TrainingSettings
from .record import Record
from .run_folder import stop_asked

# Part of the minutes of a training that it may take.
_TIME = 0.5


def warm_up(record: Record, settings: TrainingSettings) -> Iterator[Event]:
    """Do what is left of the warm start; yields its own Started, and StepDone for each step.

    Several processes do the same each, as if alone, and go on with the weights of the first.

    Raises
    ------
    TrainingError
        If its loss is no number.
    OutOfMemoryError
        If a batch does not fit the device.
    """
    trainer = record.trainer
    warm = trainer.warm
    if warm is None:
        return
    yield Started(warm.steps, "steps of the warm start")
    try:
        while warm.step < warm.steps:
            if trainer.team.agree(stop_asked(record.folder)):
                return  # what was learnt is in the checkpoint
            spent = record.clock.seconds / 60
            if trainer.team.agree(0 < _TIME * settings.minutes < spent):
                yield Said(f"Half the minutes are over: warm start ends at step {warm.step}")
                break
            loss, rate = warm.advance()
            record.warm_step(warm.step, loss)
            if record.due:
                record.save()
            yield StepDone(warm.step, warm.steps, loss, rate)
    except GeneratorExit:
        record.leave()
        raise
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"A batch of {trainer.plan.batch_size} patches does not fit the device in the warm "
            "start: take a smaller batch size or patch."
        ) from None
    trainer.begin_warm()
    record.save()
