"""The state of a training on disk, so that it goes on exactly where it was.

One file, written beside and renamed, so that a kill at any time leaves the last whole one. It
holds tensors and plain values only and is read with torch's restricted loader.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import TrainingError
from ..folders import replacing

NAME = "checkpoint.pt"
# Of what a checkpoint holds; one of another version is refused.
_VERSION = 2
# Where and how fast a training runs, which does not change what it learns.
_FREE = ("device", "precision", "workers", "memory", "processes")


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> Path:
    """Write the state of a training into its folder; raises OSError when it does not fit."""
    path = folder / NAME
    with replacing(path) as beside, beside.open("wb") as file:
        try:
            torch.save({**state, "version": _VERSION}, file)
        except RuntimeError as error:
            # What torch makes of a write that has failed says nothing of why.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
    return path


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """Read the state of a training.

    Raises TrainingError when there is none, it is damaged, or another version wrote it.
    """
    path = folder / NAME
    if not path.is_file():
        raise TrainingError(f"{folder} holds no training to resume: there is no {NAME}.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        line = str(error).splitlines()[0].split(". ")[0] if str(error) else type(error).__name__
        raise TrainingError(f"{path} is damaged ({line}): train into a new folder.") from None
    if not isinstance(state, dict):
        raise TrainingError(f"{path} is not a checkpoint of napari-monai: train into a new folder.")
    if state.get("version") != _VERSION:
        raise TrainingError(
            f"{path} was written by another version of napari-monai: resume it there, or train "
            "into a new folder."
        )
    return state


def check_settings(saved: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Refuse to resume with other settings, which would be neither the old training nor a new."""
    for key in sorted({*saved, *now}):
        if key in _FREE:
            continue
        if _plain(saved.get(key)) != _plain(now.get(key)):
            raise TrainingError(
                f"{folder}: this training was begun with {key} {saved.get(key)!r}, not "
                f"{now.get(key)!r}. Resume with the same settings or train into a new folder."
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
