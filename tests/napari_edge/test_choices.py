"""Which models fit an image, and what is said of those that do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Layer
from tests.models.known import INSTANCES, description

from napari_monai import Volume
from napari_monai._napari.choices import auto_values, card_line, card_text, choices, why_not
from napari_monai._napari.layers import image_layers
from napari_monai.grid import Grid
from napari_monai.models import Inferer, Inputs, Model, ModelDescription, Operation
from napari_monai.volume import LabelClass


def model(dims: int, channels: int = 1, **changes: Any) -> Model:
    told = replace(description(dims, channels), **changes)
    return Model(told, Path(told.name))


def image(*shape: int, leading: str = "", rgb: bool = False, value: int = 0) -> Volume:
    spatial = shape[len(leading) :]
    data = np.full(shape, value, np.uint8)
    return Volume(data, Grid.from_spacing(spatial), leading=leading, rgb=rgb)


COLOUR = {
    "inputs": Inputs(("red", "green", "blue"), 2, colour=True),
    "preprocess": (Operation("colour"),),
}


@pytest.mark.parametrize(
    ("told", "volume", "said"),
    [
        pytest.param(description(2), image(8, 9), None, id="2D on a picture"),
        pytest.param(description(2), image(4, 8, 9), None, id="2D on slices"),
        pytest.param(description(3), image(4, 8, 9), None, id="3D on a volume"),
        pytest.param(
            description(3), image(8, 9), "takes volumes, and this image is 2D", id="3D on a picture"
        ),
        pytest.param(
            description(3, 2),
            image(4, 8, 9),
            "takes 2 channels (c0, c1), and this image has 1",
            id="two channels on one",
        ),
        pytest.param(
            description(2),
            image(2, 8, 9, leading="c"),
            "takes 1 channel (c0), and this image has 2",
            id="one channel on two",
        ),
        pytest.param(description(2, 3, **COLOUR), image(8, 9), None, id="colour on grey"),
        pytest.param(
            description(2, 3, **COLOUR),
            image(4, 8, 9, leading="c", rgb=True),
            None,
            id="colour on RGBA",
        ),
        pytest.param(
            description(2, 3, **COLOUR),
            image(2, 8, 9, leading="c"),
            "takes 3 channels, and this image has 2",
            id="colour on two channels",
        ),
        pytest.param(
            description(2), image(3, 8, 9, leading="c", rgb=True), None, id="grey stored as colour"
        ),
    ],
)
def test_why_not(told: ModelDescription, volume: Volume, said: str | None) -> None:
    assert why_not(told, volume) == said


def test_one_channel_does_not_take_colour() -> None:
    data = np.zeros((3, 8, 9), np.uint8)
    data[0] = 100
    picture = Volume(data, Grid.from_spacing((8, 9)), leading="c", rgb=True)
    assert why_not(description(2), picture) == ("takes one channel, and this image is in colour")


def test_colour_film_is_looked_at() -> None:
    data = np.zeros((2, 3, 8, 9), np.uint8)
    data[:, 0] = 100
    film = Volume(data, Grid.from_spacing((8, 9)), leading="tc", rgb=True)
    assert why_not(description(2), film) is not None
    assert why_not(description(2), replace(film, data=data * 0)) is None


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


def test_card() -> None:
    classes = tuple(LabelClass(n, f"organ {n}") for n in range(1, 5))
    assert card_line(description(2, **INSTANCES)).endswith("· 2D, one label per object")
    assert card_line(description(3)) == "Finds what is bright · 3D, bright"
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
