"""``run.json``: all that a run was made with, written beside its output, read to repeat it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from . import __version__
from .errors import SettingsError

NAME = "run.json"
_LIBRARIES = ("torch", "monai", "numpy", "scipy", "scikit-image")


def write_run(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write ``run.json`` into a folder, with the versions of what ran, and return its path."""
    from .io.files import replacing

    path = folder / NAME
    everything = {"napari_monai": __version__, "versions": versions(), **content}
    text = json.dumps(everything, indent=2, ensure_ascii=False, default=str)
    with replacing(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")
    return path


def read_run(path: Path, *, command: str) -> dict[str, Any]:
    """Return the content of a run file that ``command`` wrote.

    Raises
    ------
    SettingsError
        If it cannot be read, or belongs to another command.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise SettingsError(f"{path} is not JSON: {error}.") from None
    if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
        raise SettingsError(f'{path} has no "settings": give a {NAME} that {command} has written.')
    if content.get("command", command) != command:
        raise SettingsError(
            f"{path} is of {content['command']!r}: give a {NAME} that {command} has written."
        )
    return content


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found
