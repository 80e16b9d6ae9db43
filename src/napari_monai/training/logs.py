"""What a training writes down as it goes: two tables, and the same for TensorBoard.

``steps.csv`` has a row a step, ``log.csv`` one a validation, ``warm_start.csv`` one a step of the
warm start, ``events.out.tfevents.*`` all of them. A training that is resumed leaves no step in them
twice: rows after the state that it goes on from are cut off, and TensorBoard is told to forget
them.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2
from tensorboardX.summary import scalar

from ..folders import replacing

VALIDATIONS = "log.csv"
STEPS = "steps.csv"
WARM = "warm_start.csv"
_STEP_COLUMNS = ("step", "loss", "learning_rate", "seconds")
# Seconds after which steps are to be seen by those who follow the files.
_FLUSHED = 5.0


class Logs:
    """The open files of one sitting of a training.

    Parameters
    ----------
    folder
        The training's folder, which exists.
    scores
        Names of all scores that a validation may have, in the order of their columns.
    step
        The step that the training goes on from; later ones are forgotten.
    """

    def __init__(self, folder: Path, scores: Sequence[str], *, step: int) -> None:
        cut_after(folder / VALIDATIONS, step)
        cut_after(folder / STEPS, step)
        columns = ("step", "train_loss", "val_loss", *scores, "best", "seconds")
        self._validations = _Table(folder / VALIDATIONS, columns)
        self._steps = _Table(folder / STEPS, _STEP_COLUMNS)
        self._folder = folder
        self._warm: _Table | None = None  # opened when there is something to write
        # Not the asynchronous writer: its thread would die of a full disk, and nobody would know.
        self._board = EventsWriter(str(folder / "events"), filename_suffix=f".{step}")
        self._restart(step)
        self._flushed = time.monotonic()

    def step(self, step: int, loss: float, rate: float, seconds: float) -> None:
        """Write a step down."""
        self._steps.add(
            {"step": step, "loss": loss, "learning_rate": rate, "seconds": round(seconds, 3)}
        )
        self._tell(step, {"loss/step": loss, "learning_rate": rate})
        if time.monotonic() - self._flushed > _FLUSHED:
            self.flush()

    def warm_step(self, step: int, loss: float, seconds: float) -> None:
        """Write a step of the warm start down."""
        if self._warm is None:
            cut_after(self._folder / WARM, step - 1)
            self._warm = _Table(self._folder / WARM, ("step", "loss", "seconds"))
        self._warm.add({"step": step, "loss": loss, "seconds": round(seconds, 3)})
        self._tell(step, {"loss/warm_start": loss})
        if time.monotonic() - self._flushed > _FLUSHED:
            self.flush()

    def validation(self, row: Mapping[str, Any]) -> None:
        """Write a validation down: ``step``, losses, scores, ``best``, ``seconds``."""
        self._validations.add({**row, "seconds": round(row["seconds"], 1)})
        losses = {"loss/training": row["train_loss"], "loss/validation": row["val_loss"]}
        others = ("step", "train_loss", "val_loss", "best", "seconds")
        scores = {f"scores/{k}": v for k, v in row.items() if k not in others}
        # What was not measured is no point of a curve.
        self._tell(row["step"], {k: v for k, v in {**losses, **scores}.items() if v == v})
        self.flush()

    def forget_after(self, step: int) -> None:
        """Cut off what was written of later steps, which are done once more."""
        for table in (self._validations, self._steps):
            table.close()
            cut_after(table.path, step)
            table.open()
        self._restart(step)

    def flush(self) -> None:
        """Let those who follow the files see all that was written."""
        for table in (self._validations, self._steps, self._warm):
            if table is not None:
                table.flush()
        self._board.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Close all files."""
        # A file that is full fails once more when it is closed; that was said already.
        for file in (self._validations, self._steps, self._warm, self._board):
            with suppress(OSError):
                if file is not None:
                    file.close()

    def _restart(self, step: int) -> None:
        begun = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._board.write_event(
            event_pb2.Event(wall_time=time.time(), step=step + 1, session_log=begun)
        )

    def _tell(self, step: int, values: Mapping[str, float]) -> None:
        event = event_pb2.Event(wall_time=time.time(), step=step)
        for name, value in values.items():
            event.summary.value.extend(scalar(name, value).value)
        self._board.write_event(event)


class _Table:
    """A CSV file to which rows are added; its header is written when it is new."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = columns
        self.open()

    def open(self) -> None:
        fresh = not self.path.exists() or not self.path.stat().st_size
        self._file: TextIO = self.path.open("a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, self._columns, restval="")
        if fresh:
            self._writer.writeheader()

    def add(self, row: Mapping[str, Any]) -> None:
        self._writer.writerow(row)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def cut_after(path: Path, step: int) -> None:
    """Leave out of a table the rows of later steps, and what a kill has left of a row."""
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(file)
    kept = [line for number, line in enumerate(lines) if number == 0 or _is_until(line, step)]
    if kept == lines:
        return
    with replacing(path) as beside:
        beside.write_text("".join(kept), encoding="utf-8", newline="")


def _is_until(line: str, step: int) -> bool:
    first = line.split(",", 1)[0]
    return line.endswith("\n") and first.isdecimal() and int(first) <= step
