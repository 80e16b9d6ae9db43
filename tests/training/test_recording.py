"""A training recorded: its end is told however it comes, and it stops when it is asked to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_monai.errors import TrainingError
from napari_monai.events import Event, Started, StepDone
from napari_monai.training.events_file import Begun, Ended, Tail
from napari_monai.training.recording import recorded
from napari_monai.training.run_folder import ask_to_stop, is_running


class Steps:
    """Three steps, and whether they were closed before the last."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.closed = False

    def __call__(self) -> Iterator[Event]:
        try:
            yield Started(3, "steps")
            for n in range(1, 4):
                yield StepDone(n, 3, 1.0, 0.1)
            if self.error is not None:
                raise self.error
        except GeneratorExit:
            self.closed = True
            raise


def told(folder: Path) -> list[object]:
    return [line.said for line in Tail(folder).read()]


def test_events_are_passed_on_and_written(tmp_path: Path) -> None:
    events = list(recorded(Steps(), tmp_path))
    assert told(tmp_path) == [Begun(False), *events, Ended("finished")]
    assert not is_running(tmp_path)


def test_it_holds_the_folder_while_it_runs(tmp_path: Path) -> None:
    events = recorded(Steps(), tmp_path)
    next(events)
    assert is_running(tmp_path)
    with pytest.raises(TrainingError, match="is under way in it"):
        next(recorded(Steps(), tmp_path))
    events.close()
    assert not is_running(tmp_path)
    assert isinstance(next(recorded(Steps(), tmp_path)), Started)


def test_it_stops_at_once_when_it_is_asked_to(tmp_path: Path) -> None:
    steps = Steps()
    events = recorded(steps, tmp_path)
    next(events)
    next(events)
    ask_to_stop(tmp_path, now=True)
    assert list(events) == []
    assert steps.closed
    assert told(tmp_path)[-1] == Ended("stopped")


def test_a_wish_to_end_well_is_left_to_the_training(tmp_path: Path) -> None:
    steps = Steps()
    events = recorded(steps, tmp_path)
    next(events)
    ask_to_stop(tmp_path)
    assert len(list(events)) == 3
    assert not steps.closed
    assert told(tmp_path)[-1] == Ended("stopped")  # it can go on


def test_closing_is_a_stop(tmp_path: Path) -> None:
    steps = Steps()
    events = recorded(steps, tmp_path, resumed=True)
    next(events)
    events.close()
    assert steps.closed
    assert told(tmp_path) == [Begun(True), Started(3, "steps"), Ended("stopped")]


def test_an_error_is_told_and_raised(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no voxel"):
        list(recorded(Steps(TrainingError("no voxel")), tmp_path))
    assert told(tmp_path)[-1] == Ended("failed", "TrainingError", "no voxel")


def test_of_what_never_began_nothing_is_left(tmp_path: Path) -> None:
    def refused() -> Iterator[Event]:
        raise TrainingError("No pair.")
        yield

    with pytest.raises(TrainingError):
        list(recorded(refused, tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    with pytest.raises(TrainingError):
        list(recorded(refused, tmp_path))  # a folder that was there is left, and says why
    assert told(tmp_path) == [Begun(False), Ended("failed", "TrainingError", "No pair.")]
