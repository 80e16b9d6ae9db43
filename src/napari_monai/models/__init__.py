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
    from .importing import export_model, import_model
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
    "export_model",
    "find",
    "import_model",
    "list_models",
    "load_model",
    "read_model",
    "save_model",
    "shipped_folder",
    "user_folder",
]


# Names whose modules need torch, imported on first use.
_LAZY = {"export_model": ".importing", "import_model": ".importing", "save_model": ".weights"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name], __name__), name)
