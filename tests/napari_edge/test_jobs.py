"""Work in another thread: progress, Cancel, errors, and nothing left behind."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from napari.utils.notifications import ErrorNotification, notification_manager
from qtpy.QtWidgets import QApplication, QWidget

from napari_monai._napari.jobs import Job
from napari_monai.errors import ModelError
from napari_monai.events import Event, FileDone, Said, Started, StepDone, WindowDone


class Watch:
    """A job, and what it says."""

    def __init__(self, qtbot: Any, steps: Any) -> None:
        self.qtbot = qtbot
        self.parent = QWidget()
        qtbot.addWidget(self.parent)
        self.events: list[Event] = []
        self.progress: list[tuple[int, int, str]] = []
        self.threads: set[threading.Thread] = set()
        self.job = Job(steps, "Testing", self.parent)
        self.job.happened.connect(self._on_event)
        self.job.progressed.connect(lambda *p: self.progress.append(p))

    def _on_event(self, event: Event) -> None:
        self.threads.add(threading.current_thread())
        self.events.append(event)

    def run(self) -> str:
        with self.qtbot.waitSignal(self.job.ended, timeout=10_000) as blocker:
            self.job.start()
        return str(blocker.args[0])


@pytest.fixture
def watch(qtbot: Any) -> Iterator[Callable[[Any], Watch]]:
    notification_manager.records.clear()
    yield lambda steps: Watch(qtbot, steps)
    QApplication.processEvents()


def messages() -> list[tuple[str, str]]:
    return [(str(n.severity), n.message) for n in notification_manager.records]


def test_events_arrive_in_order_in_the_main_thread(watch) -> None:
    where: list[threading.Thread] = []
    sent = [Started(3, "windows"), *(WindowDone(n, 3) for n in (1, 2, 3))]

    def steps() -> Iterator[Event]:
        where.append(threading.current_thread())
        yield from sent

    seen = watch(steps())
    assert seen.run() == "done"
    assert seen.events == sent
    assert seen.threads == {threading.main_thread()}
    assert where[0] is not threading.main_thread()
    assert [p[:2] for p in seen.progress] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert seen.progress[-1][2] == "3 of 3 windows"


def test_events_do_not_pile_up_in_a_busy_window(
    make_napari_viewer, watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawing the viewer's progress bar lets the next event in, whose drawing lets in the next."""
    make_napari_viewer()
    monkeypatch.setattr("napari_monai._napari.jobs._ACTIVITY_EVERY", 0.0)
    depths: list[int] = []

    def steps() -> Iterator[Event]:
        yield Started(80, "files")
        for n in range(80):
            yield FileDone(n + 1, 80)

    def slow(_event: Event) -> None:
        time.sleep(0.001)
        depths.append(sum(1 for _ in traceback.walk_stack(None)))

    seen = watch(steps())
    seen.job.happened.connect(slow)
    assert seen.run() == "done"
    assert len(depths) == 81
    assert max(depths) < min(depths) + 30


def test_training_steps_count_too(watch) -> None:
    def steps() -> Iterator[Event]:
        yield Started(2, "steps")
        yield StepDone(1, 2, 0.5, 0.1)

    seen = watch(steps())
    seen.run()
    assert seen.progress[-1] == (1, 2, "1 of 2 steps")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModelError("The model lacks a tensor: get it again."), "The model lacks a tensor"),
        (RuntimeError("mat1 and mat2"), "RuntimeError: mat1 and mat2"),
        (ValueError("odd"), "odd"),
        (MemoryError("no room"), "no room"),
        (PermissionError(13, "Permission denied", "x.csv"), "[Errno 13] Permission denied"),
    ],
    ids=["ours", "swallowed by workers", "unforeseen", "memory", "file"],
)
def test_errors_become_notifications(watch, error: Exception, said: str) -> None:
    def steps() -> Iterator[Event]:
        yield Started(1, "windows")
        raise error

    seen = watch(steps())
    assert seen.run() == "failed"
    ((severity, message),) = messages()
    assert severity == "error"
    assert message.startswith(said)
    assert seen.job.error == message
    traceback = isinstance(notification_manager.records[0], ErrorNotification)
    assert traceback == (not isinstance(error, ModelError | OSError))


def test_warnings_pop_up_and_information_does_not(watch) -> None:
    def steps() -> Iterator[Event]:
        yield Said("Running on CPU.")
        yield Said("The GPU is out of memory.", "warning")

    seen = watch(steps())
    seen.run()
    assert messages() == [("warning", "The GPU is out of memory.")]
    assert len(seen.events) == 2


def test_cancel_closes_the_generator(watch, qtbot) -> None:
    closed = threading.Event()
    beyond: list[int] = []

    def steps() -> Iterator[Event]:
        try:
            for n in range(1000):
                time.sleep(0.005)
                yield WindowDone(n, 1000)
                beyond.append(n)
        finally:
            closed.set()

    seen = watch(steps())
    with qtbot.waitSignal(seen.job.ended, timeout=10_000) as blocker:
        seen.job.start()
        qtbot.waitUntil(lambda: len(seen.events) > 3)
        seen.job.cancel()
        count = len(seen.events)
    assert blocker.args == ["cancelled"]
    assert closed.is_set()
    assert len(beyond) < 900
    assert len(seen.events) == count, "nothing is sent after the cancel"
    assert messages() == []


def test_parent_gone_cancels(qtbot) -> None:
    closed = threading.Event()

    def steps() -> Iterator[Event]:
        try:
            while True:
                time.sleep(0.005)
                yield Said("still here")
        finally:
            closed.set()

    parent = QWidget()
    job = Job(steps(), "Testing", parent)
    job.start()
    qtbot.wait(50)
    parent.deleteLater()
    del parent, job
    qtbot.waitUntil(closed.is_set, timeout=10_000)


def test_the_activity_list_is_left_as_it_was(watch) -> None:
    from napari.utils import progress

    def steps() -> Iterator[Event]:
        yield Started(2, "windows")
        yield WindowDone(1, 2)

    before = set(progress._all_instances)
    seen = watch(steps())
    at_the_end: list[set[Any]] = []
    seen.job.ended.connect(lambda _: at_the_end.append(set(progress._all_instances)))
    seen.run()
    assert at_the_end == [before]
