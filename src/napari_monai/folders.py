"""Where the program keeps what is the user's: models, choices, and what it has measured.

``NAPARI_MONAI_HOME`` names one folder for all of it in place of the platform's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

_NAME = "napari-monai"


def data_folder() -> Path:
    """Return the folder of the user's models; it may not exist yet."""
    return _home() or Path(platformdirs.user_data_dir(_NAME))


def cache_folder() -> Path:
    """Return the folder of what can be found out again; it may not exist yet."""
    home = _home()
    return home / "cache" if home else Path(platformdirs.user_cache_dir(_NAME))


def config_folder() -> Path:
    """Return the folder of what the user has decided; it may not exist yet."""
    return _home() or Path(platformdirs.user_config_dir(_NAME))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a path beside a file; what is written there takes the file's place, if all goes well.

    It is on the disk before it does, so that a kill at any time leaves the one or the other. One
    process alone may write a file.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _home() -> Path | None:
    home = os.environ.get("NAPARI_MONAI_HOME")
    return Path(home).expanduser() if home else None
