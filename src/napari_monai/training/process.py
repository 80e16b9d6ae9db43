"""A training in a process of its own: begun, followed, told to stop, found again.

The window does not stall beside it, and whichever of the two dies, the other goes on: a training
goes on without the viewer, and can be followed by the next one; a viewer says in a line that the
training was killed, and the training can be resumed. What it says comes by `events_file`.

>>> for event in train_process(Job(pairs=pairs, model="nuclei-2d")):      # doctest: +SKIP
...     print(event)
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

from .. import errors
from ..errors import NapariMonaiError, TrainingError
from ..events import Busy, Event, StepDone
from ..runfile import NAME as RUN
from . import launch
from .events_file import Ended, Tail, size, still_true
from .handing import Job, hand_over
from .run_folder import (
    CHECKPOINT,
    LOG,
    Run,
    ask_to_stop,
    busy,
    forget_stop,
    is_running,
    list_runs,
    new_folder,
    owner,
    runs_folder,
    stop_asked_now,
)

__all__ = [
    "Job",
    "Run",
    "ask_to_stop",
    "attach",
    "list_runs",
    "new_folder",
    "resume_process",
    "runs_folder",
    "train_process",
]

Events = Generator[Event, None, None]
Detach = bool | Callable[[], bool]

# Seconds between two looks at what a training has said.
_LOOK = 0.1
# Seconds that a training has for its checkpoint when it is told to stop at once.
_LAST_STEP = 30.0
# The end of what a process has printed, in bytes, and how the command line begins an error.
_WORDS = 4096
_ERROR = "napari-monai: error: "
# What gloo and NCCL say of another process that is gone; and the most that is repeated of an error.
_LEFT_ALONE = ("Connection closed by peer", "Connection reset by peer", "ncclRemoteError")
_LONGEST = 200
# Bytes of free space below which a disk is full.
_FULL = 2**20


def train_process(job: Job, *, detach: Detach = False) -> Events:
    """Train in a process of its own.

    Parameters
    ----------
    job
        What to train, and on what.
    detach
        Whether the training goes on when the generator is closed; otherwise it is stopped, its
        last state kept. A function is asked then.

    Yields
    ------
    What `napari_monai.fine_tune` yields, and Busy where there is nothing new.

    Raises
    ------
    TrainingError
        If another training is under way in the folder, or has been; or if the process was killed.
    NapariMonaiError
        As `napari_monai.fine_tune` does.
    """
    folder = job.output or new_folder(job.name or "training")
    fresh = not folder.exists()
    if is_running(folder):
        raise TrainingError(busy(folder))
    if (folder / CHECKPOINT).exists():
        raise TrainingError(f"{folder} holds a training already: resume it or take another folder.")
    try:
        yield from hand_over(job, folder)
    except BaseException:
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    yield from begin(folder, resume=False, detach=detach)


def resume_process(folder: Path, *, detach: Detach = False) -> Events:
    """Go on with the training in a folder, or begin it again where it has no checkpoint yet.

    See `train_process`.
    """
    if not (folder / RUN).is_file():
        raise TrainingError(f"{folder} holds no training to resume: there is no {RUN}.")
    if is_running(folder):
        raise TrainingError(busy(folder))
    yield from begin(folder, resume=(folder / CHECKPOINT).exists(), detach=detach)


def attach(folder: Path, *, detach: Detach = True) -> Events:
    """Follow a training that was begun before, from its first event on, to its end.

    Steps that were done again after a kill are left out, as far as they are known. See
    `train_process`; of a training that has ended all that it has said is told at once.
    """
    if not (folder / RUN).is_file():
        raise TrainingError(f"{folder} holds no training: there is no {RUN}.")
    yield from _follow(folder, Tail(folder), None, detach)


def begin(
    folder: Path,
    *,
    resume: bool,
    detach: Detach = False,
    processes: int = 1,
    background: bool = True,
) -> Events:
    """Start what trains as the ``run.json`` of a folder says, and follow it.

    See `train_process`. Several ``processes`` share the work; those in the ``background`` give way
    to others.
    """
    tail = Tail(folder, size(folder))
    forget_stop(folder)
    given = ["--resume"] if resume else ["--settings", str(folder / RUN)]
    words = ["train", "--output", str(folder), *given, *(["--background"] if background else [])]
    process = launch.start(folder, words, processes=processes)
    yield from _follow(folder, tail, process.pid, detach)


def _follow(folder: Path, tail: Tail, pid: int | None, detach: Detach) -> Events:
    """Yield what a training says until it ends, and raise what it ended with.

    ``pid`` is that of the process where it was begun here, and may not have said a word yet.
    """
    step, ended = 0, None
    try:
        while True:
            # Asked before it is read: of a process that is gone all is read.
            alive = launch.is_alive(pid) or is_running(folder)
            for line in still_true(tail.read()):
                said = line.said
                if isinstance(said, Event):
                    step = said.step if isinstance(said, StepDone) else step
                    yield said
                else:
                    ended = said if isinstance(said, Ended) else None
            if not alive:
                break
            yield Busy()
            time.sleep(_LOOK)
    except (GeneratorExit, KeyboardInterrupt):
        if not (detach() if callable(detach) else detach):
            _stop(folder, pid)
        raise
    if ended is None:
        raise _killed(folder, pid, step)
    if ended.how == "failed":
        raise _failed(folder, ended)


def _stop(folder: Path, pid: int | None) -> None:
    """Stop a training at once: by asking, which keeps its last state, or by force."""
    until = time.monotonic() + _LAST_STEP
    while launch.is_alive(pid) or is_running(folder):
        if time.monotonic() > until:
            held = owner(folder)
            if held is not None and held.alive:
                launch.end(held.pid)
            if pid is not None and launch.is_alive(pid):
                launch.end(pid)
            return
        # Again and again: a process that only just begins forgets an earlier wish.
        if not stop_asked_now(folder):
            with suppress(OSError):  # of a full disk: then by force
                ask_to_stop(folder, now=True)
        time.sleep(_LOOK)
    forget_stop(folder)


# -- how it ended ---------------------------------------------------------------------------------


def _failed(folder: Path, ended: Ended) -> NapariMonaiError:
    """Return the error that a training ended with, as it would have been raised here."""
    kind = getattr(errors, ended.kind, None)
    if isinstance(kind, type) and issubclass(kind, NapariMonaiError):
        return kind(ended.error)
    if any(words in ended.error for words in _LEFT_ALONE):
        return TrainingError(
            "One of the processes that train together has ended, and the others with it: "
            f"{folder / LOG} says why. Resume to go on."
        )
    words = ended.error.rstrip(".")
    words = words if len(words) <= _LONGEST else words[:_LONGEST] + "..."
    return TrainingError(
        f"The training ended with {ended.kind}: {words}. {folder / LOG} says more."
    )


def _killed(folder: Path, pid: int | None, step: int) -> TrainingError:
    """Return the error of a training that ended without a word."""
    held = owner(folder)
    code = launch.exit_code(pid if pid is not None else held.pid if held else -1)
    # What it printed counts if it ended of itself: otherwise that is of an earlier one.
    words = _last_words(folder) if code is not None and code > 0 else ""
    if words:
        return TrainingError(words)
    if (folder / CHECKPOINT).exists():
        cure = "Resume it: it goes on from its last checkpoint"
    else:
        cure = "Start it again: it has no checkpoint yet"
    when = f" after step {step}" if step else ""
    return TrainingError(f"The training was ended from outside{when}{_why(folder, code)}. {cure}.")


def _why(folder: Path, code: int | None) -> str:
    """Return what is known of why a process ended, to be put in brackets."""
    if shutil.disk_usage(folder).free < _FULL:
        return " (the disk is full)"
    if code is None:
        return ""
    if code >= 0:
        return f" (exit code {code})"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    return f" ({name}, as of a system that is out of memory)" if name == "SIGKILL" else f" ({name})"


def _last_words(folder: Path) -> str:
    """Return the error that the command line printed last, before it could train at all."""
    try:
        content = (folder / LOG).read_bytes()[-_WORDS:].decode("utf-8", "replace")
    except OSError:
        return ""
    last = content.rstrip().rpartition("\n")[2]
    return last.removeprefix(_ERROR) if last.startswith(_ERROR) else ""
