"""napari-monai: segment, correct, fine-tune and measure volumes with MONAI networks in napari.

The public names below are imported on first use, so that ``import napari_monai`` costs nothing
and leaves torch alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .errors import NapariMonaiError as NapariMonaiError
    from .evaluation import evaluate as evaluate
    from .grid import Grid as Grid
    from .inference import segment as segment
    from .inference import segment_steps as segment_steps
    from .io import read as read
    from .io import read_all as read_all
    from .io import write as write
    from .io.contents import contents as contents
    from .joining import join_channels as join_channels
    from .labels.operations import edit_labels as edit_labels
    from .labels.settings_measure import MeasureSettings as MeasureSettings
    from .measurement import measure as measure
    from .models import Model as Model
    from .models import export_model as export_model
    from .models import import_model as import_model
    from .models import load_model as load_model
    from .settings import EvaluationSettings as EvaluationSettings
    from .settings import InferenceSettings as InferenceSettings
    from .settings import TrainingSettings as TrainingSettings
    from .training import fine_tune as fine_tune
    from .volume import LabelVolume as LabelVolume
    from .volume import Volume as Volume

# Public name -> the module that has it.
_PUBLIC = {
    "EvaluationSettings": "settings",
    "Grid": "grid",
    "InferenceSettings": "settings",
    "LabelVolume": "volume",
    "MeasureSettings": "labels.settings_measure",
    "Model": "models",
    "NapariMonaiError": "errors",
    "TrainingSettings": "settings",
    "Volume": "volume",
    "contents": "io.contents",
    "edit_labels": "labels.operations",
    "evaluate": "evaluation",
    "export_model": "models",
    "fine_tune": "training",
    "import_model": "models",
    "join_channels": "joining",
    "load_model": "models",
    "measure": "measurement",
    "read": "io",
    "read_all": "io",
    "segment": "inference",
    "segment_steps": "inference",
    "write": "io",
}

__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
