"""Models in the store of the test's own home."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.bright import bright_model

from napari_monai.models import Model


@pytest.fixture
def bright(home: Path) -> Model:
    """Return the model of classes, in the user's store by the name "bright"."""
    return bright_model(home / "models" / "bright")


@pytest.fixture
def blobs(home: Path) -> Model:
    """Return the model of instances, in the user's store by the name "blobs"."""
    return bright_model(home / "models" / "blobs", kind="instances")
