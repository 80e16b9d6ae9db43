"""Paths that a description names: none may lead out of the model's folder."""

from __future__ import annotations

from pathlib import PurePosixPath

from ..errors import ModelError


def check_inside(path: str, what: str) -> None:
    """Raise ModelError for a path that could leave the model's folder, on any system."""
    parts = PurePosixPath(path)
    outside = parts.is_absolute() or ".." in parts.parts or not parts.parts
    if outside or "\\" in path or ":" in path or "\0" in path:
        raise ModelError(f"{what} {path!r} leaves the model's folder.")
