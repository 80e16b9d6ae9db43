"""The line that says what was found."""

from __future__ import annotations

import numpy as np
import pytest

from napari_monai import LabelVolume
from napari_monai._napari.results import plural, summary
from napari_monai.grid import Grid
from napari_monai.volume import LabelClass

ORGANS = tuple(
    LabelClass(n, name) for n, name in enumerate(("liver", "spleen", "heart", "aorta"), 1)
)


def labels(numbers: list[int], leading: str = "", **kind: object) -> LabelVolume:
    """Return a row of labels, one a column; two time points of it with ``"t"``."""
    row = np.array([numbers], np.uint16)
    data = np.stack([row, row]) if leading else row
    return LabelVolume(data, Grid.from_spacing(row.shape), leading=leading, **kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param(
            labels([0, 3, 3, 9], kind="instances", classes=(LabelClass(1, "nucleus"),)),
            "2 nuclei in 3.2 s on CPU",
            id="objects",
        ),
        pytest.param(
            labels([5, 5], kind="instances", classes=(LabelClass(1, "cell"),)),
            "1 cell in 3.2 s on CPU",
            id="one",
        ),
        pytest.param(labels([0], kind="instances"), "0 objects in 3.2 s on CPU", id="none"),
        pytest.param(
            labels([1, 2], "t", kind="instances"), "4 objects in 3.2 s on CPU", id="over time"
        ),
        pytest.param(
            labels([0, 2, 1], classes=ORGANS), "Found liver, spleen in 3.2 s on CPU", id="few"
        ),
        pytest.param(
            labels([1, 2, 3, 4], classes=ORGANS), "Found 4 of 4 classes in 3.2 s on CPU", id="many"
        ),
        pytest.param(labels([0], classes=ORGANS), "Found nothing in 3.2 s on CPU", id="nothing"),
    ],
)
def test_summary(found: LabelVolume, said: str) -> None:
    assert summary(found, 3.21, "cpu") == said


def test_device_is_called_as_people_do() -> None:
    assert summary(labels([0]), 1, "cuda:0").endswith("on GPU")
    assert summary(labels([0]), 1, "mps").endswith("on Apple GPU")


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("cell", "cells"),
        ("nucleus", "nuclei"),
        ("body", "bodies"),
        ("ray", "rays"),
        ("patch", "patches"),
        ("axis", "axises"),
    ],
)
def test_plural(one: str, many: str) -> None:
    assert plural(one) == many
