"""What the Fine-tune widget does in a thread beside the window: hand over, train, look, use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from ..errors import NapariMonaiError
from ..events import Busy, EpochDone, Event, Said, Started, StepDone, Trained
from ..models import Model
from ..settings import TrainingSettings
from ..volume import Volume
from . import finetune_curves, finetune_preview
from .finetune_curves import StepsDone
from .finetune_data import IGNORED, Counted, Taken, counted
from .finetune_preview import Seen, read_seen
from .jobs import Steps
from .smooth import load_torch

if TYPE_CHECKING:
    from ..training.examples import Pair
    from ..training.preparing import Prepared


# Seconds between two words on the steps: a hundred a second are no news.
_TOLD_EVERY = 0.1
# Times that a training is let go of while its own thread may still be at it.
_TRIES = 20


@dataclass(frozen=True, eq=False)
class Wanted:
    """A training as it was asked for."""

    model: Model | None
    taken: tuple[Taken, ...]
    which: Counted
    settings: TrainingSettings
    name: str


@dataclass(frozen=True)
class Begun(Event):
    """A training has a folder now, by which it can be stopped and found again."""

    folder: Path
    name: str


@dataclass(frozen=True, eq=False)
class Previewed(Event):
    """A validation can be looked at."""

    seen: Seen


@dataclass(frozen=True)
class Checked(Event):
    """The data were looked through: what is wrong, what is odd, and what would be done."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    plan: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Pictured(Event):
    """Changed training images: uint8 array of shape (height, width, 3)."""

    picture: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Stored(Event):
    """The new model is in the store."""

    model: Model


@dataclass(frozen=True, eq=False)
class Handed:
    """What a training takes: pairs, images without labels, settings that know what is left out."""

    pairs: list[Pair]
    validation: list[Pair]
    unlabelled: list[Volume | Path]
    settings: TrainingSettings


def handed(wanted: Wanted) -> Handed:
    """Return what was asked for as a training takes it. Files may be read."""
    own = wanted.settings.ignore_label
    ignored = IGNORED if own is None else own
    labelled = [one for one in wanted.taken if one.labels is not None]
    pairs = [(counted(one, wanted.which, ignored), one) for one in labelled]
    partial = any(pair[1] is not one.labels for pair, one in pairs)
    settings = replace(wanted.settings, ignore_label=ignored if partial else own)
    training: list[Pair] = [pair for pair, one in pairs if not one.validation]
    validation: list[Pair] = [pair for pair, one in pairs if one.validation]
    unlabelled = [one.image for one in wanted.taken if one.labels is None]
    return Handed(training, validation, unlabelled, settings)


# -- to train -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Listener:
    """Who listens to a training, as its thread sees them.

    ``left`` is set when nobody does any more; ``stays`` says whether the training goes on then.
    """

    left: threading.Event
    stays: Callable[[], bool]


def train_steps(wanted: Wanted, listener: Listener) -> Steps:
    """Train in a process of its own."""
    from ..training.process import Job, new_folder, train_process

    yield Said("Handing the data over…")
    _warm_up()
    data = handed(wanted)
    folder = new_folder(wanted.name)
    yield Begun(folder, wanted.name)
    job = Job(
        pairs=data.pairs,
        model=wanted.model,
        settings=data.settings,
        output=folder,
        validation=data.validation,
        unlabelled=data.unlabelled,
        name=wanted.name,
    )
    yield from _shown(train_process(job, detach=listener.stays), listener)


def resume_steps(folder: Path, name: str, listener: Listener) -> Steps:
    """Go on with a training that was stopped; all that it has said before is said again."""
    from ..training.process import attach, resume_process

    yield Said("Going on…")
    _warm_up()
    yield Begun(folder, name)
    with suppress(NapariMonaiError):  # how it ended the last time
        earlier = attach(folder, detach=True)
        yield from _shown((e for e in earlier if not isinstance(e, Trained)), listener)
    yield from _shown(resume_process(folder, detach=listener.stays), listener)


def follow_steps(folder: Path, name: str, listener: Listener) -> Steps:
    """Follow a training that goes on, or show one that is through."""
    from ..training.process import attach

    _warm_up()
    yield Begun(folder, name)
    yield from _shown(_caught_up(attach(folder, detach=listener.stays)), listener)


def _warm_up() -> None:
    """Do here once what takes long the first time: to draw, and to show labels."""
    finetune_curves.warm_up()
    finetune_preview.warm_up()


def _caught_up(steps: Iterator[Event]) -> Steps:
    """Yield the events of a training, and begin to count anew where those of the past end.

    They come all at once, and say nothing of the time that is left.
    """
    past, last = True, None
    with closing(cast("Steps", steps)):
        for event in steps:
            last = event if isinstance(event, StepDone) else last
            yield event
            if past and isinstance(event, Busy):
                past = False
                if last is not None:
                    yield Started(last.steps, "steps")


def _shown(steps: Iterator[Event], listener: Listener) -> Steps:
    """Yield the events of a training as a window can follow them, until nobody listens.

    Steps come together; and with a validation what it left to be looked at. The training is let
    go of here, as to stop it takes its time.
    """
    losses: list[StepDone] = []
    told, seen = 0.0, 0
    with closing(cast("Steps", steps)):
        for event in steps:
            if listener.left.is_set():
                return
            if isinstance(event, StepDone):
                losses.append(event)
            due = time.monotonic() - told >= _TOLD_EVERY or not isinstance(event, StepDone)
            if losses and due:
                yield StepsDone(tuple(losses))
                yield losses[-1]
                losses, told = [], time.monotonic()
            if not isinstance(event, StepDone):
                yield event
            folder = event.preview if isinstance(event, EpochDone) else None
            if folder is not None and (stamp := _stamp(folder)) != seen:
                seen = stamp
                # Otherwise the next validation is being written, and will be told of.
                with suppress(OSError, ValueError, KeyError):
                    yield Previewed(read_seen(folder))


def _stamp(folder: Path) -> int:
    """Return when a prediction was written; 0 where there is none."""
    with suppress(OSError):
        return (folder / "prediction.npy").stat().st_mtime_ns
    return 0


def stop(folder: Path, *, now: bool = False) -> None:
    """Ask a training to end, and to make a model of the best state unless that is ``now``."""
    from ..training.process import ask_to_stop

    ask_to_stop(folder, now=now)


class Leaving:
    """Lets go of a training when the window goes: no thread of it is there to do so any more."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.steps: Steps | None = None  # of the training that is under way
        self.folder: Path | None = None  # of it, once it has one

    def __call__(self, *_what: object) -> None:
        """Stop the training, unless it is to go on without a window."""
        steps, self.steps = self.steps, None
        if steps is None:
            return
        self._listener.left.set()
        if self.folder is not None and not self._listener.stays():
            with suppress(OSError):
                stop(self.folder, now=True)
        for _ in range(_TRIES):
            try:
                steps.close()  # stops one, too, that has only just begun
                return
            except ValueError:  # its thread is still at it, and may close it itself
                time.sleep(_TOLD_EVERY)


def use_steps(folder: Path) -> Steps:
    """Put the best model of a training into the store."""
    from ..training.keeping import add_to_store

    yield Said("Putting the model into the store…")
    load_torch()
    yield Stored(add_to_store(folder))


# -- to look first --------------------------------------------------------------------------------


def check_steps(wanted: Wanted) -> Steps:
    """Look through the data as a training would before it starts. PyTorch is loaded here."""
    yield Said("Looking through the data…")
    load_torch()
    from ..training.rehearsal import plan_lines

    try:
        found, _ = _prepared(wanted)
    except NapariMonaiError as error:
        yield Checked((str(error),), (), ())
        return
    warnings = tuple(p.text for p in found.problems if p.severity == "warning")
    yield Checked(tuple(found.errors), warnings, tuple(plan_lines(found)))


def picture_steps(wanted: Wanted) -> Steps:
    """Draw training images as the augmentation would change them. PyTorch is loaded here."""
    yield Said("Changing some training images…")
    load_torch()
    from ..training.rehearsal import changed_patches

    found, settings = _prepared(wanted)
    yield Pictured(changed_patches(found, settings))


def _prepared(wanted: Wanted) -> tuple[Prepared, TrainingSettings]:
    from ..training.preparing import prepare_training

    data = handed(wanted)
    found = prepare_training(
        wanted.model,
        data.pairs,
        settings=data.settings,
        validation=data.validation,
        unlabelled=data.unlabelled,
        name=wanted.name,
        examples=False,
    )
    return found, data.settings
