"""Models in the home of the test, and the Segment widget docked in a real viewer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models.known import INSTANCES, threshold_model

from napari_monai.models import Model


@pytest.fixture
def bright(home: Path) -> Model:
    """Return a 2-D model of one class: what is above 100."""
    return threshold_model(home / "models" / "bright", threshold=100.0, name="bright")


@pytest.fixture
def bright_3d(home: Path) -> Model:
    """Return a 3-D model of one class: what is above 100."""
    folder = home / "models" / "bright3d"
    return threshold_model(folder, threshold=100.0, dims=3, name="bright3d")


@pytest.fixture
def blobs(home: Path) -> Model:
    """Return a 2-D model of objects: what is above 100."""
    folder = home / "models" / "blobs"
    return threshold_model(folder, threshold=100.0, name="blobs", **INSTANCES)


@pytest.fixture
def squares() -> np.ndarray:
    """Return an image of three bright squares, 32 x 48."""
    image = np.zeros((32, 48), np.uint8)
    for y, x in ((4, 4), (18, 10), (10, 30)):
        image[y : y + 7, x : x + 7] = 200
    return image


@pytest.fixture
def docked(make_napari_viewer: Callable[..., Any], qtbot: Any) -> Callable[..., tuple[Any, Any]]:
    """Return a function that opens a viewer, shows images in it, and docks the Segment widget."""

    def dock(*images: np.ndarray, **settings: Any) -> tuple[Any, Any]:
        viewer = make_napari_viewer()
        for image in images:
            viewer.add_image(image, **{"name": "Image", **settings})
        _, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Segment")
        return viewer, widget

    return dock
