"""Weights for a new network to begin with, read from wherever they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import TrainingError
from ..models import load_model
from ..models.checkpoints import read_checkpoint
from ..models.weights import read_weights


def read_start(source: str) -> Mapping[str, Any]:
    """Return the tensors of a model, by its name or folder, or of a file of weights.

    Files are safetensors or checkpoints of torch, of which data alone is read.

    Raises
    ------
    TrainingError
        If the file cannot be read.
    ModelError
        If there is no such model, or the checkpoint holds more than data.
    """
    path = Path(source)
    if not path.is_file() or path.suffix == ".json":
        return read_weights(load_model(source))
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = path.read_bytes()
    except (OSError, SafetensorError) as error:
        line = str(error).splitlines()[0]
        raise TrainingError(f"{path} cannot be read ({line}): choose another file.") from None
    values = read_checkpoint(content, path)
    if not isinstance(values, Mapping):
        raise TrainingError(f"{path} holds no tensors by name: choose another file.")
    return values
