"""Models into the user's store, from a path or a web address, step by step."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..events import BytesDone, Event, Imported, Said, Started, Stopped
from . import bundle_zoo
from .archive import cache_folder
from .download import MOST_BYTES, download_steps, is_url

ZOO = "monai:"
_LOOK = 0.1  # seconds between two words on how far a download is

_LISTS = ("channels", "labels")


def bare_options(texts: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the options of a format from what a user has typed, by the names of `BARE_OPTIONS`.

    What is left empty is left out.
    """
    said = {name: text.strip() for name, text in texts.items() if text and text.strip()}
    return {
        name: [word.strip() for word in text.split(",")] if name in _LISTS else text
        for name, text in said.items()
    }


def import_steps(
    source: str | Path,
    *,
    name: str | None = None,
    sha256: str | None = None,
    most: int = MOST_BYTES,
    **options: Any,
) -> Generator[Event, None, None]:
    """Put a model into the user's store; the last event is `Imported`.

    Nothing of the model runs. Closing the generator while it downloads leaves nothing in the
    store; what has arrived is gone on with the next time.

    Parameters
    ----------
    source
        A path, or a http or https address, of any format that can be read; or ``monai:`` and
        the name of a bundle in the MONAI model zoo.
    name
        What to call it; by default its own name.
    sha256
        What the SHA-256 of a file from the web has to be.
    most
        Bytes that a file from the web may have.
    **options
        What the format asks for, such as the ``architecture`` of a bare state dict.

    Raises
    ------
    ReadError
        If it cannot be downloaded.
    ModelError
        If it is no model, or the name is taken.
    """
    from .importing import import_model  # which needs torch

    text = str(source)
    if not (is_url(text) or text.startswith(ZOO)):
        if sha256 is not None:
            raise ModelError(f"{source} is no web address: sha256 is of what is downloaded.")
        yield Imported(import_model(source, name=name, **options))
        return
    if is_url(text):
        fetched = yield from download_steps(text, downloads_folder(), sha256=sha256, most=most)
        yield Said(f"{fetched.path.name}: sha256 {fetched.sha256}")
        path, place = fetched.path, fetched.path.parent
    else:
        path = place = yield from _zoo_steps(text.removeprefix(ZOO))
    try:
        model = import_model(path, name=name, **options)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    yield Imported(model)


def downloads_folder() -> Path:
    """Return where downloads are kept until they are whole; it may be removed."""
    return cache_folder().with_name("downloads")


def zoo_names() -> list[str]:
    """Return the names of the bundles in the model zoo, as its server lists them.

    Raises ReadError if it cannot be reached.
    """
    return sorted(bundle_zoo.zoo())


def _zoo_steps(name: str) -> Generator[Event, None, Path]:
    """Download a bundle in a thread beside, saying how far it is; return its folder."""
    stopped = threading.Event()
    sizes = (0, 0)

    def told(done: int, total: int) -> None:
        nonlocal sizes
        sizes = done, total
        if stopped.is_set():
            raise Stopped

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(bundle_zoo.download, name, downloads_folder(), progress=told)
        begun = False
        try:
            while not wait([running], timeout=_LOOK).done:
                done, total = (-(-size // 10**6) for size in sizes)
                if total and not begun:
                    begun = True
                    yield Started(total, "MB")
                yield BytesDone(done, total) if begun else Event()
        finally:
            stopped.set()
    return Path(running.result())
