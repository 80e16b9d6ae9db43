"""What an import costs: torch and MONAI stay out until a button or a command needs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import napari_monai

WIDGETS = sorted(
    f"napari_monai._napari.{path.stem}"
    for path in (Path(napari_monai.__file__).parent / "_napari").glob("*.py")
    if path.stem != "__init__"
)
CHECK = "\nimport sys; print(sorted({'torch', 'monai', %s} & set(sys.modules)))"


def loaded(code: str, *, watched: str = "'torch'") -> str:
    """Return which of torch, monai and the ``watched`` are loaded after ``code``, as printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code + CHECK % watched],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_package_loads_nothing_heavy() -> None:
    assert loaded("import napari_monai", watched="'numpy', 'napari', 'qtpy', 'scipy'") == "[]"


@pytest.mark.parametrize(
    "code",
    [
        "import napari_monai; napari_monai.InferenceSettings, napari_monai.TrainingSettings",
        "import napari_monai; napari_monai.read, napari_monai.write",
        "import napari_monai; napari_monai.load_model",
        "import napari_monai; napari_monai.measure, napari_monai.MeasureSettings",
        "from napari_monai.models import list_models; list_models()",
        "from napari_monai.models import list_models; list_models(); import sys; "
        "assert not any(name.startswith('scipy') for name in sys.modules)",
        "from napari_monai.networks import NETWORKS",
        "from napari_monai.training.process import Job, list_runs; list_runs()",
        "from napari_monai.io import FORMATS",
        "import sys, napari_monai; napari_monai.edit_labels; "
        "from napari_monai.labels.operations import OPERATIONS; "
        "[row.settings_type() for row in OPERATIONS.values()]; "
        "assert not {'numpy', 'scipy'} & set(sys.modules)",
        "import napari_monai.events, napari_monai.preprocess",
    ],
)
def test_settings_and_tables_do_without_torch(code: str) -> None:
    assert loaded(code, watched="'napari', 'qtpy'") == "[]"


def test_every_module_of_the_edge_does_without_torch() -> None:
    assert len(WIDGETS) > 5
    code = "\n".join(f"import {name}" for name in WIDGETS)
    assert loaded(code, watched="'matplotlib'") == "[]"


@pytest.mark.parametrize("name", ["files", "segment_widget"])
def test_what_commands_point_at_does_without_torch(name: str) -> None:
    assert loaded(f"import napari_monai._napari.{name}") == "[]"
