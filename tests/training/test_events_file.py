"""The file of events: what is written is read, whatever a kill has left in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_monai.errors import TrainingError, WriteError
from napari_monai.events import EpochDone, Said, Started, StepDone
from napari_monai.training.events_file import (
    NAME,
    Begun,
    Ended,
    EventsFile,
    Tail,
    last_lines,
    size,
    still_true,
)


def step(n: int) -> StepDone:
    return StepDone(n, 6, 1 / n, 0.1)


def epoch(n: int) -> EpochDone:
    return EpochDone(n, 6, 0.5, 0.5, {"AP": 0.1}, True, 1.0)


def said(folder: Path) -> list[object]:
    return [line.said for line in Tail(folder).read()]


def test_what_is_written_is_read_in_order(tmp_path: Path) -> None:
    file = EventsFile(tmp_path)
    file.begin(resumed=False)
    file.add(Started(6, "steps"))
    file.end("failed", TrainingError("No\n  voxel."))
    assert said(tmp_path) == [
        Begun(False),
        Started(6, "steps"),
        Ended("failed", "TrainingError", "No voxel."),
    ]


def test_a_tail_gives_what_is_new(tmp_path: Path) -> None:
    tail = Tail(tmp_path)
    assert tail.read() == []
    file = EventsFile(tmp_path)
    file.add(step(1))
    assert [line.said for line in tail.read()] == [step(1)]
    later = Tail(tmp_path, size(tmp_path))
    file.add(step(2))
    assert [line.said for line in tail.read()] == [step(2)]
    assert [line.said for line in later.read()] == [step(2)]
    assert tail.read() == []


def test_a_line_counts_once_it_is_whole(tmp_path: Path) -> None:
    EventsFile(tmp_path).add(step(1))
    whole = (tmp_path / NAME).read_bytes()
    tail = Tail(tmp_path)
    (tmp_path / NAME).write_bytes(whole[:-5])
    assert tail.read() == []
    (tmp_path / NAME).write_bytes(whole)
    assert [line.said for line in tail.read()] == [step(1)]


def test_what_a_kill_has_left_of_a_line_spoils_no_other(tmp_path: Path) -> None:
    EventsFile(tmp_path).add(step(1))
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"time": 3, "event": "Step\xff')
    EventsFile(tmp_path).add(step(2))
    assert said(tmp_path) == [step(1), step(2)]


def test_the_last_lines_of_a_long_training(tmp_path: Path) -> None:
    file = EventsFile(tmp_path)
    for n in range(1, 4000):
        file.add(step(n))
    found = [line.said for line in last_lines(tmp_path)]
    assert 1000 < len(found) < 3999
    assert found[-1] == step(3999)


def test_steps_that_were_done_again_count_once(tmp_path: Path) -> None:
    file = EventsFile(tmp_path)
    for event in (Started(6, "steps"), step(1), step(2), epoch(2), step(3), step(4)):
        file.add(event)
    file.begin(resumed=True)  # from the checkpoint of step 2
    for event in (Said("Resuming after step 2"), step(3)):
        file.add(event)
    kept = [line.said for line in still_true(Tail(tmp_path).read())]
    assert [s for s in kept if isinstance(s, StepDone)] == [step(1), step(2), step(3)]
    assert epoch(2) in kept
    assert Begun(True) in kept


def test_steps_before_those_of_the_training_are_counted_apart(tmp_path: Path) -> None:
    file = EventsFile(tmp_path)
    warm = [StepDone(n, 3, 9.0, 0.1) for n in (1, 2, 3)]
    for event in (Started(3, "steps of the warm start"), *warm, Started(6, "steps"), step(1)):
        file.add(event)
    file.begin(resumed=True)
    for event in (Started(6, "steps"), step(1), step(2)):
        file.add(event)
    kept = [line.said for line in still_true(Tail(tmp_path).read())]
    assert [s for s in kept if isinstance(s, StepDone)] == [*warm, step(1), step(2)]


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    file = EventsFile(tmp_path / "gone")
    with pytest.raises(WriteError, match=r"cannot be written .*: make room") as caught:
        file.add(step(1))
    assert "\n" not in str(caught.value)
