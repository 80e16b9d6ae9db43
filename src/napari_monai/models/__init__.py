"""Models: what they are, where they are found, how they are written; torch only when one runs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..preprocess import Operation
from .description import (
    Inferer,
    Inputs,
    ModelDescription,
    NetworkSpec,
    Outputs,
    WeightsFile,
)
from .store import (
    Catalogue,
    Model,
    catalogue,
    find,
    list_models,
    load_model,
    read_model,
    shipped_folder,
    user_folder,
)

if TYPE_CHECKING:
    from .native import save_model

__all__ = [
    "Catalogue",
    "Inferer",
    "Inputs",
    "Model",
    "ModelDescription",
    "NetworkSpec",
    "Operation",
    "Outputs",
    "WeightsFile",
    "catalogue",
    "find",
    "list_models",
    "load_model",
    "read_model",
    "save_model",
    "shipped_folder",
    "user_folder",
]


def __getattr__(name: str) -> Any:
    if name != "save_model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(".native", __name__).save_model
