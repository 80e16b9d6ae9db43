"""A training recorded in its folder while it runs, and ended when somebody asks for it there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from ..errors import WriteError
from ..events import Event, Started
from .events_file import NAME as EVENTS
from .events_file import EventsFile, How
from .run_folder import LOCK, claimed, stop_asked, stop_asked_now


def recorded(
    events: Callable[[], Iterator[Event]], folder: Path, *, resumed: bool = False
) -> Generator[Event, None, None]:
    """Yield the events of a training as they are written into its folder, which it holds.

    Parameters
    ----------
    events
        Begins the training, once the folder is held.
    folder
        The folder of the training.
    resumed
        Whether it goes on with an earlier one.

    Raises
    ------
    TrainingError
        If another training is under way in the folder.
    """
    fresh, begun = not folder.exists(), False
    try:
        with claimed(folder):
            for event in _written(events, folder, resumed=resumed):
                begun = begun or isinstance(event, Started)
                yield event
    finally:
        if fresh and not begun:
            _unmake(folder)


def _written(
    events: Callable[[], Iterator[Event]], folder: Path, *, resumed: bool
) -> Iterator[Event]:
    file = EventsFile(folder)
    file.begin(resumed=resumed)
    how: How = "stopped"
    error: BaseException | None = None
    steps, asked = events(), False
    try:
        for event in steps:
            file.add(event)
            yield event
            asked = asked or stop_asked(folder)
            if asked and stop_asked_now(folder):
                return
        how = "stopped" if asked else "finished"
    except (GeneratorExit, KeyboardInterrupt):
        raise
    except BaseException as caught:
        how, error = "failed", caught
        raise
    finally:
        if isinstance(steps, Generator):
            steps.close()  # its last state is kept before the end is said
        with contextlib.suppress(WriteError):  # of a full disk: the first error is to be seen
            file.end(how, error)


def _unmake(folder: Path) -> None:
    """Take away a folder that was made for a training which has not begun."""
    with contextlib.suppress(OSError):
        for name in (EVENTS, LOCK):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
