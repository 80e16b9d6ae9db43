"""The folder of a training: one process holds it, a dead one does not, and it tells how it is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from napari_monai.errors import TrainingError, WriteError
from napari_monai.events import EpochDone, Started, StepDone, Trained
from napari_monai.runfile import write_run
from napari_monai.training.events_file import EventsFile
from napari_monai.training.run_folder import (
    ask_to_stop,
    claimed,
    forget_stop,
    is_running,
    list_runs,
    new_folder,
    owner,
    read_run_folder,
    runs_folder,
    stop_asked,
    stop_asked_now,
)

HOLD = """
import sys
from pathlib import Path
from napari_monai.training.run_folder import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Give another process that holds a folder until its input ends."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"held"
        try:
            yield other
        finally:
            other.kill()


def test_another_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        held = owner(tmp_path)
        assert held is not None
        assert held.pid == other.pid
        assert is_running(tmp_path)
        busy = rf"process {other.pid} on .* is under way"
        with pytest.raises(TrainingError, match=busy) as no, claimed(tmp_path):
            pass
        assert "\n" not in str(no.value)
        other.kill()  # and nobody asks how it ended: a zombie, on systems that have such
        until = time.monotonic() + 20
        while is_running(tmp_path) and time.monotonic() < until:
            time.sleep(0.01)
        assert not is_running(tmp_path)
        with claimed(tmp_path) as me:
            assert owner(tmp_path) == me


def test_a_process_that_ends_well_holds_nothing(tmp_path: Path) -> None:
    with claimed(tmp_path):
        assert is_running(tmp_path)
    assert owner(tmp_path) is None
    assert not is_running(tmp_path)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot be written"), claimed(tmp_path / "file" / "run"):
        pass


def test_a_wish_to_stop(tmp_path: Path) -> None:
    assert not stop_asked(tmp_path)
    ask_to_stop(tmp_path)
    assert stop_asked(tmp_path)
    assert not stop_asked_now(tmp_path)
    ask_to_stop(tmp_path, now=True)
    assert stop_asked_now(tmp_path)
    forget_stop(tmp_path)
    forget_stop(tmp_path)
    assert not stop_asked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_new_folders_have_names_of_their_own() -> None:
    first = new_folder("my cells/µ")
    assert first == runs_folder() / "my-cells-µ-1"
    first.mkdir(parents=True)
    assert new_folder("my cells/µ").name == "my-cells-µ-2"
    assert new_folder("..").name == "training-1"


def begun(name: str, *events: Started | StepDone | EpochDone | Trained) -> Path:
    """Return a folder in which a process has said something, and is gone."""
    folder = new_folder(name)
    folder.mkdir(parents=True)
    write_run(folder, {"command": "train", "name": name, "settings": {}})
    file = EventsFile(folder)
    file.begin(resumed=False)
    for event in events:
        file.add(event)
    return folder


EPOCH = EpochDone(4, 8, 0.5, 0.4, {"AP": 0.25}, True, 2.0)


def test_runs_are_listed_with_how_far_they_are_the_newest_first() -> None:
    finished = begun("a", Started(8, "steps"), EPOCH, Trained(Path("model"), {"AP": 0.75}, 3.0))
    EventsFile(finished).end("finished")
    killed = begun("b", Started(8, "steps"), EPOCH, StepDone(5, 8, 0.3, 0.1))
    (killed / "checkpoint.pt").write_bytes(b"")
    failed = begun("c", Started(8, "steps"))
    EventsFile(failed).end("failed", TrainingError("The loss is nan."))
    (runs_folder() / "no run").mkdir()
    a, b, c = sorted(list_runs(), key=lambda run: run.name)
    assert [run.folder for run in (a, b, c)] == [finished, killed, failed]
    assert (a.state, a.scores, a.resumable) == ("finished", {"AP": 0.75}, False)
    assert (b.state, b.step, b.steps, b.scores) == ("unfinished", 5, 8, {"AP": 0.25})
    assert b.resumable
    assert (c.state, c.error, c.steps, c.resumable) == ("failed", "The loss is nan.", 8, False)
    assert [run.when for run in list_runs()] == sorted((r.when for r in (a, b, c)), reverse=True)


def test_a_run_that_goes_on_again_is_running() -> None:
    folder = begun("a", EPOCH)
    EventsFile(folder).end("failed", TrainingError("x"))
    with holder(folder):
        assert read_run_folder(folder).state == "running"
    assert read_run_folder(folder).state == "failed"
    EventsFile(folder).begin(resumed=True)
    assert read_run_folder(folder).state == "unfinished"
    assert read_run_folder(folder).error == ""
