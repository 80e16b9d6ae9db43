"""Which models fit an image, and what is said of those that do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from tests.models.known import INSTANCES, description

from napari_monai import Volume
from napari_monai._napari.choices import auto_values, card_line, card_text, choices
from napari_monai._napari.layers import image_layers
from napari_monai.grid import Grid
from napari_monai.models import Inferer, Model, Operation
from napari_monai.models.fitting import Fit
from napari_monai.volume import LabelClass


def model(dims: int, channels: int = 1, **changes: Any) -> Model:
    told = replace(description(dims, channels), **changes)
    return Model(told, Path(told.name))


def image(*shape: int, leading: str = "", rgb: bool = False, value: int = 0) -> Volume:
    spatial = shape[len(leading) :]
    data = np.full(shape, value, np.uint8)
    return Volume(data, Grid.from_spacing(spatial), leading=leading, rgb=rgb)


def test_fitting_ones_first_volumes_before_slices() -> None:
    models = [
        model(2, name="flat"),
        model(3, 2, name="many"),
        model(3, name="solid"),
    ]
    found = choices(models, Image(np.zeros((4, 8, 9))))
    assert [c.model.name for c in found] == ["solid", "flat", "many"]
    assert [c.why_not is None for c in found] == [True, True, False]
    found = choices(models, Image(np.zeros((8, 9))))
    assert [c.model.name for c in found] == ["flat", "many", "solid"]


def test_model_of_all_channels_gets_them_through_one_of_them() -> None:
    volume = image(2, 4, 8, 9, leading="c")
    layer = Layer.create(*image_layers(volume)[1])
    many, one = choices([model(3, 2, name="many"), model(3, name="one")], layer)
    assert many.volume is volume
    assert many.why_not is None
    assert one.volume is not None
    assert (one.volume.channels, one.volume.channel_names) == (1, ("channel 1",))


def test_without_an_image_all_are_offered() -> None:
    (choice,) = choices([model(2)], None)
    assert (choice.why_not, choice.volume) == (None, None)


def test_without_an_image_what_cannot_run_does_not_fit() -> None:
    told = replace(description(2), blockers=("it needs a prompt.",))
    (choice,) = choices([Model(told, Path())], None)
    assert choice.why_not == "cannot run: it needs a prompt."


def test_the_card_begins_with_what_speaks_against_it() -> None:
    lines = card_text(description(2), Fit(notes=("looks at each slice by itself",))).splitlines()
    assert lines[0] == "Note: looks at each slice by itself"
    assert card_text(description(2), Fit("takes volumes")).startswith("Does not fit: takes volumes")


def test_card() -> None:
    classes = tuple(LabelClass(n, f"organ {n}") for n in range(1, 5))
    assert card_line(description(2, **INSTANCES)).endswith("· 2D, one label per object")
    assert card_line(description(3)) == "Finds what is bright · 3D, bright"
    slices = card_line(description(2), Fit(notes=("looks at each slice by itself",)))
    assert slices.splitlines()[1] == "It looks at each slice by itself."
    told = replace(description(2), intended_use="Tests.", limits="Only tests.")
    assert card_text(told).splitlines() == [
        "bright 1.0 · CC0-1.0",
        "For tests.",
        "For: Tests.",
        "Limits: Only tests.",
        "Labels: bright",
    ]
    many = replace(
        description(2),
        labels=classes,
        network=replace(description(2).network, arguments={}),
        outputs=replace(
            description(2).outputs, channels=("background", *(c.name for c in classes))
        ),
    )
    assert card_line(many) == "Finds what is bright · 2D, 4 classes"


def test_auto_stands_for_what_the_model_says() -> None:
    told = replace(
        description(2, **INSTANCES),
        inferer=Inferer((64, 32), 0.25, "constant", True),
        postprocess=(Operation("instances", {"threshold": 0.4, "smoothing": 1.0}),),
    )
    assert auto_values(told) == {
        "window": (64, 32),
        "overlap": 0.25,
        "blend": "constant",
        "flips": True,
        "threshold": 0.4,
    }
