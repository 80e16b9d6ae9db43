"""``events.jsonl``: all that a training has said, a line each with its time, for who follows it.

Beside events there is a line where a process begins and one where it ends of itself; of one that
was killed the last is missing. A line that is not whole is none.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from ..errors import WriteError
from ..events import EpochDone, Event, Started, StepDone
from ..io.files import one_line
from .event_json import from_json, to_json

NAME = "events.jsonl"
How = Literal["finished", "stopped", "failed"]

# Bytes from the end that say how a training stands.
_TAIL = 2**18


@dataclass(frozen=True)
class Begun:
    """A process has begun to train, or, ``resumed``, to go on."""

    resumed: bool


@dataclass(frozen=True)
class Ended:
    """A process has ended of itself: done, asked to stop, or for an error of a kind."""

    how: How
    kind: str = ""
    error: str = ""


@dataclass(frozen=True)
class Line:
    """What was said, and when, in seconds since 1970."""

    time: float
    said: Event | Begun | Ended


class EventsFile:
    """The file as the one who trains writes it.

    Parameters
    ----------
    folder
        The folder of the training.

    Raises
    ------
    WriteError
        If it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        # A process that was killed while it wrote has left a part of a line.
        if _size(self._path) and _end(self._path, 1) != b"\n":
            self._append(b"\n")

    def begin(self, *, resumed: bool) -> None:
        """Say that a process begins."""
        self._write({"begun": {"resumed": resumed}})

    def add(self, event: Event) -> None:
        """Say what happens."""
        self._write(to_json(event, self._folder))

    def end(self, how: How, error: BaseException | None = None) -> None:
        """Say how a process ends."""
        words = " ".join(str(error).split())
        said = {"kind": type(error).__name__, "error": words} if error else {}
        self._write({"ended": {"how": how, **said}})

    def _write(self, values: Mapping[str, Any]) -> None:
        line = json.dumps({"time": round(time.time(), 3), **values}, allow_nan=False)
        self._append(line.encode() + b"\n")

    def _append(self, content: bytes) -> None:
        try:
            # Opened anew: a folder on a network is then seen by others at once.
            with self._path.open("ab", buffering=0) as file:
                file.write(content)
        except OSError as error:
            raise WriteError(
                f"{self._path} cannot be written ({one_line(error)}): make room, and resume."
            ) from None


class Tail:
    """The file as one who follows reads it: what is new, each time it is asked.

    Parameters
    ----------
    folder
        The folder of the training.
    start
        The byte to begin at.
    """

    def __init__(self, folder: Path, start: int = 0) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._at = start

    def read(self) -> list[Line]:
        """Return the lines that have come since."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                content = file.read()
        except FileNotFoundError:
            return []
        whole = content.rfind(b"\n") + 1
        self._at += whole
        return [
            line for text in content[:whole].splitlines() if (line := _line(text, self._folder))
        ]


def size(folder: Path) -> int:
    """Return how many bytes the file has so far."""
    return _size(folder / NAME)


def last_lines(folder: Path) -> list[Line]:
    """Return the last lines: they say how a training stands, if not all that it has said."""
    return Tail(folder, max(0, size(folder) - _TAIL)).read()


def still_true(lines: Iterable[Line]) -> list[Line]:
    """Return lines without the steps that were done once more after a kill."""
    kept: list[tuple[str, Line]] = []
    what, fresh = "", False  # which steps are done: there may be others before the training's own
    for line in lines:
        said = line.said
        if isinstance(said, Begun):
            fresh = True
        elif isinstance(said, Started):
            what = said.what
        elif fresh and isinstance(said, StepDone | EpochDone):
            fresh, step = False, said.step
            kept = [
                (of, old)
                for of, old in kept
                if not (of == what and isinstance(old.said, StepDone | EpochDone))
                or old.said.step < step
            ]
        kept.append((what, line))
    return [line for _, line in kept]


def _line(text: bytes, folder: Path) -> Line | None:
    try:
        values = json.loads(text)
        when = float(values["time"])
        if "begun" in values:
            return Line(when, Begun(bool(values["begun"]["resumed"])))
        if "ended" in values:
            told = values["ended"]
            how = told["how"] if told["how"] in ("finished", "stopped") else "failed"
            kind, error = str(told.get("kind", "")), str(told.get("error", ""))
            return Line(when, Ended(cast(How, how), kind, error))
        event = from_json(values, folder)
    except (ValueError, KeyError, TypeError):
        return None  # what a kill has left, or a newer version has written
    return None if event is None else Line(when, event)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _end(path: Path, n: int) -> bytes:
    with path.open("rb") as file:
        file.seek(-n, os.SEEK_END)
        return file.read(n)
