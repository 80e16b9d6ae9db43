"""The folder of a training: who trains in it, how it is told to stop, and what became of it.

Only one process trains in a folder at a time. A lock of the system says so, which goes with the
process however that ends; who it is stands in the locked file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Literal

from ..autosaving import Owner
from ..errors import NapariMonaiError, TrainingError, WriteError
from ..events import EpochDone, Started, StepDone, Trained
from ..folders import data_folder
from ..io.files import one_line
from ..runfile import NAME as RUN
from ..runfile import read_run
from .events_file import NAME as EVENTS
from .events_file import Begun, Ended, last_lines

STOP = "stop"
LOCK = "worker.lock"
LOG = "worker.log"
MODEL = "model"
CHECKPOINT = "checkpoint.pt"

State = Literal["running", "finished", "unfinished", "failed"]

# Seconds without a word after which a training on another computer is taken to have ended.
_SILENT = 1800
# Where in the file the lock lies: beyond all that is written, as Windows lets nobody read there.
_LOCKED_BYTE = 2**30
_NOW = "now"


# -- where runs are -------------------------------------------------------------------------------


def runs_folder() -> Path:
    """Return the folder of the user's trainings; it may not exist yet."""
    return data_folder() / "runs"


def new_folder(name: str) -> Path:
    """Return a folder of a name for a new training that does not exist yet."""
    word = re.sub(r"[^\w.-]+", "-", name).strip("-._")[:60] or "training"
    root = runs_folder()
    numbers = range(1, sys.maxsize)
    return next(p for p in (root / f"{word}-{n}" for n in numbers) if not p.exists())


# -- stopping -------------------------------------------------------------------------------------


def ask_to_stop(folder: Path, *, now: bool = False) -> None:
    """Ask the training in a folder for an end.

    As after its last step it keeps the best state and makes a model of it; its last state is kept
    too, and it can go on from there. ``now`` leaves the model as the last validation left it.
    """
    beside = folder / f".{STOP}-{os.getpid()}"
    beside.write_text(_NOW if now else "", encoding="utf-8")
    beside.replace(folder / STOP)


def forget_stop(folder: Path) -> None:
    """Forget that a training in a folder was asked for an end, before it begins or goes on."""
    with contextlib.suppress(OSError):
        (folder / STOP).unlink(missing_ok=True)


def stop_asked(folder: Path) -> bool:
    """Whether the training in a folder was asked for an end."""
    return (folder / STOP).exists()


def stop_asked_now(folder: Path) -> bool:
    """Whether the training in a folder was asked for an end at once."""
    try:
        return (folder / STOP).read_text(encoding="utf-8") == _NOW
    except OSError:
        return False


# -- who trains in it -----------------------------------------------------------------------------


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[Owner]:
    """Hold a folder as the process that trains in it.

    Raises
    ------
    TrainingError
        If another process trains in it.
    WriteError
        If it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+b")
    except OSError as error:
        raise WriteError(
            f"{folder} cannot be written ({one_line(error)}): choose another folder."
        ) from None
    with file:
        before = owner(folder)
        if not _lock(file, free=before is None or not before.alive):
            raise TrainingError(busy(folder))
        me = Owner.me()
        file.truncate(0)
        file.write(json.dumps(asdict(me)).encode())
        file.flush()
        try:
            yield me
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)


def owner(folder: Path) -> Owner | None:
    """Return the process that trains in a folder, or was killed when it did."""
    try:
        said = json.loads((folder / LOCK).read_bytes())
        return Owner(str(said["host"]), int(said["pid"]), float(said["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_running(folder: Path) -> bool:
    """Whether a process trains in a folder; of another computer's, whether it was heard of."""
    held = owner(folder)
    if held is None:
        return False
    if held.alive is not None:
        return held.alive
    try:
        return time.time() - (folder / EVENTS).stat().st_mtime < _SILENT
    except OSError:
        return False


def busy(folder: Path) -> str:
    """Return the line that says that another process trains in a folder."""
    held = owner(folder)
    who = f" (process {held.pid} on {held.host})" if held else ""
    return f"{folder}: a training{who} is under way in it: stop that one, or take another folder."


def _lock(file: IO[bytes], *, free: bool) -> bool:
    """Take the lock of a file; where the disk knows no locks, if the last owner is ``free``."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return free
    finally:
        file.seek(0)
    return True


# -- what became of it ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A training as its folder has it.

    Parameters
    ----------
    folder
        Its folder.
    name
        The name of its model.
    state
        ``"unfinished"``: stopped or killed, it can go on.
    step, steps
        How far it has come, of how many.
    scores
        Of the last validation, or of the model where it is finished.
    when
        When it was last heard of.
    error
        Why it failed, in a line.
    """

    folder: Path
    name: str
    state: State
    step: int
    steps: int
    scores: Mapping[str, float]
    when: datetime
    error: str = ""

    @property
    def model(self) -> Path | None:
        """The folder of its best model, once there is one."""
        path = self.folder / MODEL
        return path if (path / "model.json").is_file() else None

    @property
    def resumable(self) -> bool:
        """Whether it can go on from a checkpoint."""
        return self.state in ("unfinished", "failed") and (self.folder / CHECKPOINT).is_file()


def read_run_folder(folder: Path) -> Run:
    """Return what became of the training in a folder.

    Raises SettingsError if there is none.
    """
    content = read_run(folder / RUN, command="train")
    lines = last_lines(folder)
    step = steps = 0
    scores: Mapping[str, float] = {}
    ended: Ended | None = None
    when = (folder / RUN).stat().st_mtime
    for line in lines:
        when = line.time
        said = line.said
        if isinstance(said, Begun):
            ended = None
        elif isinstance(said, Ended):
            ended = said
        elif isinstance(said, Started) and said.what == "steps":
            steps = said.total
        elif isinstance(said, StepDone | EpochDone):
            step, steps = said.step, said.steps
        if isinstance(said, EpochDone | Trained):
            scores = said.scores or scores
    state: State = "unfinished"
    if is_running(folder):
        state = "running"
    elif ended is not None and ended.how != "stopped":
        state = ended.how
    return Run(
        folder,
        str(content.get("name") or folder.name),
        state,
        step,
        steps,
        scores,
        datetime.fromtimestamp(when).astimezone(),
        ended.error if ended else "",
    )


def list_runs(root: Path | None = None) -> tuple[Run, ...]:
    """Return the trainings in a folder, the user's by default, the newest first."""
    found = []
    for path in (root or runs_folder()).glob(f"*/{RUN}"):
        with contextlib.suppress(NapariMonaiError, OSError):
            found.append(read_run_folder(path.parent))
    return tuple(sorted(found, key=lambda run: run.when, reverse=True))
