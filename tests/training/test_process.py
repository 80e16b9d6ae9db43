"""Trainings in processes of their own: followed, stopped, killed, resumed, left alone."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.training.small import HELD_OUT, PAIRS, SETTINGS, same, weights

from napari_monai.errors import ModelNotFoundError, TrainingError
from napari_monai.events import Busy, EpochDone, Event, Said, Started, StepDone, Trained
from napari_monai.models import find
from napari_monai.training import fine_tune
from napari_monai.training.events_file import EventsFile
from napari_monai.training.handing import hand_over
from napari_monai.training.keeping import add_to_store
from napari_monai.training.process import (
    Job,
    ask_to_stop,
    attach,
    list_runs,
    resume_process,
    train_process,
)
from napari_monai.training.run_folder import is_running, owner, read_run_folder

# Long enough to be reached while it runs.
LONG = dataclasses.replace(SETTINGS, steps=60, validate_every=4)


def told(events: Iterator[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Busy)]


def alike(event: Event) -> object:
    """Return what of an event does not depend on the time and the folder."""
    if isinstance(event, EpochDone):
        return dataclasses.replace(event, seconds=0, preview=None)
    if isinstance(event, Trained):
        return dataclasses.replace(event, seconds=0, path=Path())
    return event


def numbers(events: list[Event]) -> list[object]:
    kinds = (Started, StepDone, EpochDone, Trained)
    return [alike(event) for event in events if isinstance(event, kinds)]


def kill(folder: Path) -> None:
    """Kill the process that trains in a folder."""
    held = owner(folder)
    assert held is not None
    psutil.Process(held.pid).kill()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """Return the folder and the events of the long training, made here without a break."""
    folder = tmp_path_factory.mktemp("whole")
    arguments = {"settings": LONG, "validation": HELD_OUT, "name": "discs"}
    return folder, told(fine_tune(None, PAIRS, output=folder, **arguments))


def job(output: Path | None = None) -> Job:
    return Job(pairs=PAIRS, validation=HELD_OUT, settings=LONG, name="discs", output=output)


@pytest.mark.slow
def test_a_killed_training_says_so_and_goes_on_to_the_very_weights(
    tmp_path: Path, whole: tuple[Path, list[Event]]
) -> None:
    expected, events_here = whole
    folder = tmp_path / "run"
    events = train_process(job(folder))
    assert any(isinstance(event, StepDone) and event.step == 6 for event in events)
    with pytest.raises(TrainingError, match="is under way in it"):
        next(train_process(job(folder)))
    kill(folder)
    with pytest.raises(TrainingError, match=r"ended from outside after step \d+.*Resume it") as no:
        told(events)
    assert "\n" not in str(no.value)
    run = read_run_folder(folder)
    assert (run.state, run.resumable, run.steps) == ("unfinished", True, 60)
    with pytest.raises(TrainingError, match="holds a training already"):
        next(train_process(job(folder)))

    rest = told(resume_process(folder))
    assert any("Resuming after step" in e.message for e in rest if isinstance(e, Said))
    assert same(weights(expected), weights(folder))
    # What a viewer is told that comes now: everything, each step once, as without the kill.
    everything = told(attach(folder))
    steps = [e for e in numbers(everything) if not isinstance(e, Started)]
    assert steps == [e for e in numbers(events_here) if not isinstance(e, Started)]
    assert numbers(rest)[-1] == numbers(events_here)[-1]
    assert read_run_folder(folder).state == "finished"


PARENT = """
import sys
from pathlib import Path
from napari_monai.training.process import resume_process
assert "torch" not in sys.modules
for event in resume_process(Path(sys.argv[1])):
    print(type(event).__name__, flush=True)
"""


@pytest.mark.slow
def test_a_training_outlives_who_began_it_and_is_found_again(tmp_path: Path) -> None:
    events = train_process(dataclasses.replace(job(), name="found"))
    first = next(events)  # handed over, and no more
    assert isinstance(first, Said)
    events.close()
    assert list_runs() == ()  # nothing is left of what never began

    endless = dataclasses.replace(LONG, steps=10_000, validate_every=10_000)
    folder = tmp_path / "run"
    list(hand_over(dataclasses.replace(job(), settings=endless), folder))
    command = [sys.executable, "-c", PARENT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        for line in parent.stdout:
            if line == "StepDone\n":
                parent.kill()
    assert is_running(folder)
    assert read_run_folder(folder).state == "running"

    followed = attach(folder)
    steps = [e for e in (next(followed) for _ in range(50)) if isinstance(e, StepDone)]
    assert steps[0].step == 1
    followed.close()  # lets go of it
    assert is_running(folder)

    ending = attach(folder, detach=False)
    for event in ending:
        if isinstance(event, StepDone) and event.step > steps[-1].step:
            break
    ask_to_stop(folder)
    last = told(ending)[-1]
    assert isinstance(last, Trained)
    assert not is_running(folder)
    run = read_run_folder(folder)
    assert (run.state, run.resumable) == ("unfinished", True)
    assert 0 < run.step < 10_000
    assert (folder / "run.json").exists()
    model = add_to_store(folder)
    assert find("discs").folder == model.folder
    assert add_to_store(folder).name == "discs-2"

    again = resume_process(folder)
    for event in again:
        if isinstance(event, StepDone):
            assert event.step == run.step + 1
            break
    begun = time.monotonic()
    again.close()  # stops it at once
    assert time.monotonic() - begun < 25
    assert not is_running(folder)
    assert read_run_folder(folder).step >= run.step + 1


def test_an_error_of_the_process_is_raised_as_it_is_there(tmp_path: Path) -> None:
    wrong = dataclasses.replace(job(tmp_path), model="nuclei-2x")
    with pytest.raises(ModelNotFoundError, match=r"Did you mean 'nuclei-2d'\?"):
        told(train_process(wrong))
    run = read_run_folder(tmp_path)
    assert (run.state, "nuclei-2d" in run.error) == ("failed", True)
    with pytest.raises(ModelNotFoundError):
        told(attach(tmp_path))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("no kernel\nfor this"), r"RuntimeError: no kernel for this\. .* says more"),
        (RuntimeError("x" * 999), r"RuntimeError: x{200}\.\.\."),
        (RuntimeError("[gloo] Connection closed by peer [1]"), "One of the processes .* Resume"),
    ],
    ids=["plain", "long", "left-alone"],
)
def test_an_error_of_the_program_is_one_line(tmp_path: Path, error: Exception, words: str) -> None:
    list(hand_over(job(), tmp_path))
    file = EventsFile(tmp_path)
    file.begin(resumed=False)
    file.end("failed", error)
    with pytest.raises(TrainingError, match=words) as caught:
        told(attach(tmp_path))
    assert "\n" not in str(caught.value)


def test_what_the_process_cannot_even_begin_is_one_line(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("x")
    (tmp_path / "folder").mkdir()
    pair = (text, tmp_path / "folder")
    with pytest.raises(TrainingError, match=r"is a file and .* a folder"):
        told(train_process(Job(pairs=[pair], output=tmp_path / "run")))


@pytest.mark.parametrize("follow", [attach, resume_process])
def test_a_folder_without_a_training_is_refused(tmp_path: Path, follow: object) -> None:
    with pytest.raises(TrainingError, match="holds no training"):
        next(follow(tmp_path))  # type: ignore[operator]
