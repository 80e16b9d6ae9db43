"""Models: what they are, where they are found, how they are written; torch only when one runs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..preprocess import Operation
from .description import ModelDescription
from .native import read as read_model
from .parts import Inferer, Inputs, NetworkSpec, Outputs, TestTensor, WeightsFile
from .store import (
    Catalogue,
    Model,
    catalogue,
    find,
    list_models,
    load_model,
    shipped_folder,
    user_folder,
)

if TYPE_CHECKING:
    from .weights import save_model

__all__ = [
    "Catalogue",
    "Inferer",
    "Inputs",
    "Model",
    "ModelDescription",
    "NetworkSpec",
    "Operation",
    "Outputs",
    "TestTensor",
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
    return importlib.import_module(".weights", __name__).save_model
