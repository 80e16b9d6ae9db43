"""What the commands print: lines, bars on a terminal, one line a warning or error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from ..events import Event

PROGRAM = "napari-monai"


def complain(message: str, *, level: str = "error") -> None:
    """Print one line about an error or a warning on stderr, clear of any progress bar."""
    lead = f"{PROGRAM}: {level}: " if level else f"{PROGRAM}: "
    _write(lead + " ".join(message.split()), sys.stderr)


def say(line: str) -> None:
    """Print a result line on stdout, clear of any progress bar."""
    _write(line, sys.stdout)


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells on stdout, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip())


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print our warnings as one line, and leave out those of libraries, meant for developers.

    A stand-in for `warnings.showwarning`.
    """
    if category.__module__.startswith(f"{__package__.partition('.')[0]}."):
        complain(str(message), level="warning")


@contextlib.contextmanager
def bar(total: int | None, unit: str, *, hidden: bool = False, **kwargs: Any) -> Iterator[Any]:
    """Give a progress bar on stderr that shows on a terminal only, and goes when it is done."""
    from tqdm import tqdm

    with tqdm(
        total=total,
        unit=f" {unit}",
        file=sys.stderr,
        disable=hidden or None,  # None: unless it is a terminal
        leave=False,
        dynamic_ncols=True,
        **kwargs,
    ) as progress:
        yield progress


def follow(
    events: Generator[Event, None, None] | Iterator[Event], *, said: set[str] | None = None
) -> Iterator[Event]:
    """Yield the events of a job, having said what there is to say; close the job at the end.

    Closing tells the job to stop: on Ctrl-C it leaves nothing half-written. What is in ``said``
    is not said again: a job an image would tell the device a hundred times.
    """
    said = set() if said is None else said
    from ..events import Said

    try:
        for event in events:
            if not isinstance(event, Said):
                yield event
            elif event.message not in said:
                said.add(event.message)
                complain(event.message, level="warning" if event.level == "warning" else "")
    finally:
        if isinstance(events, Generator):
            events.close()


def _write(line: str, stream: TextIO) -> None:
    tqdm = sys.modules.get("tqdm")
    if tqdm is not None:
        tqdm.tqdm.write(line, file=stream)
    else:
        print(line, file=stream)
    stream.flush()
