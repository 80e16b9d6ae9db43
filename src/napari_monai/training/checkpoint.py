"""The state of a training on disk, so that it goes on exactly where it was.

One file, written beside and renamed, so that a kill at any time leaves the last whole one. It
holds tensors and plain values only and is read with torch's restricted loader.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import TrainingError

NAME = "checkpoint.pt"


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> Path:
    """Write the state of a training into its folder."""
    path = folder / NAME
    beside = folder / (NAME + ".part")
    try:
        with beside.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """Read the state of a training; raises TrainingError when there is none or it is damaged."""
    path = folder / NAME
    if not path.is_file():
        raise TrainingError(f"{folder} holds no training to resume: there is no {NAME}.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(f"{path} is damaged ({line}): train into a new folder.") from None
    if not isinstance(state, dict):
        raise TrainingError(f"{path} is not a checkpoint of napari-monai: train into a new folder.")
    return state


def check_settings(saved: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Refuse to resume with other settings, which would be neither the old training nor a new."""
    for key in sorted({*saved, *now}):
        if key in ("device", "precision"):
            continue
        if _plain(saved.get(key)) != _plain(now.get(key)):
            raise TrainingError(
                f"{folder}: this training was begun with {key} {saved.get(key)!r}, not "
                f"{now.get(key)!r}. Resume with the same settings or train into a new folder."
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
