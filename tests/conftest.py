"""What every test shares: a home of its own, the shared data, one thread for the networks."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# Times say nothing about right or wrong on a machine that does something else at the side.
hypothesis.settings.register_profile(
    "plain", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# For a night: pytest tests/io/test_fuzz.py --hypothesis-profile deep
hypothesis.settings.register_profile(
    "deep", hypothesis.settings.get_profile("plain"), max_examples=1000
)
hypothesis.settings.load_profile("plain")

# Read once, when the libraries are imported: tests run side by side and on small machines.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The user's own napari settings neither steer the tests nor are written by them; an empty value
# means settings that live in memory only.
os.environ["NAPARI_CONFIG"] = ""
# Matched against the PyQt6 that [gui] installs, whatever else is there.
os.environ.setdefault("QT_API", "pyqt6")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep models and settings of the person who runs the tests out of them."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("NAPARI_MONAI_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the checkout that these tests belong to."""
    return REPOSITORY


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """Return the folder of the project's own sample images."""
    return REPOSITORY / "sample_data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images beside the checkout; without it the test is skipped."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real images in ../shared/data, which are not part of the project")
    return folder
