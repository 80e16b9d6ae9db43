"""Which models fit an image and why not: dimensions, channels, voxel size, kind of image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from tests.models.known import description

from napari_monai import Volume
from napari_monai.grid import Grid
from napari_monai.models import (
    Inputs,
    Model,
    ModelDescription,
    Operation,
    shipped_folder,
    user_folder,
)
from napari_monai.models.fitting import choose, fits, modality_of


def image(*shape: int, leading: str = "", rgb: bool = False, value: int = 0) -> Volume:
    spatial = shape[len(leading) :]
    data = np.full(shape, value, np.uint8)
    return Volume(data, Grid.from_spacing(spatial), leading=leading, rgb=rgb)


def scan(spacing: tuple[float, ...] = (1, 1, 1), unit: str = "mm", modality: str = "") -> Volume:
    """Return a patient's volume; of a DICOM modality where one is named."""
    grid = Grid.from_spacing((4, 8, 9), spacing, unit=unit, anatomical=True)
    meta = {"dicom": SimpleNamespace(modality=modality)} if modality else {}
    return Volume(np.zeros((4, 8, 9), np.int16), grid, meta=meta)


def made_for(modality: str, dims: int = 3, *, name: str = "bright") -> ModelDescription:
    return description(dims, name=name, inputs=Inputs(("c0",), dims, modality=modality))


def at(spacing: list[float | None], unit: str = "mm", **more: Any) -> ModelDescription:
    """Return a model that resamples to a spacing."""
    step = Operation("spacing", {"spacing": spacing, "unit": unit})
    return description(len(spacing), preprocess=(*more.pop("before", ()), step), **more)


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
    assert fits(told, volume).why_not == said


def test_one_channel_does_not_take_colour() -> None:
    data = np.zeros((3, 8, 9), np.uint8)
    data[0] = 100
    picture = Volume(data, Grid.from_spacing((8, 9)), leading="c", rgb=True)
    said = "takes one channel, and this image is in colour"
    assert fits(description(2), picture).why_not == said


def test_colour_film_is_looked_at() -> None:
    data = np.zeros((2, 3, 8, 9), np.uint8)
    data[:, 0] = 100
    film = Volume(data, Grid.from_spacing((8, 9)), leading="tc", rgb=True)
    assert fits(description(2), film).why_not is not None
    assert fits(description(2), replace(film, data=data * 0)).why_not is None


def test_what_cannot_run_says_why_first() -> None:
    told = replace(description(3), blockers=("Cascades are not supported.", "Nor is this."))
    for volume in (image(4, 8, 9), image(8, 9)):
        assert fits(told, volume).why_not == "cannot run: Cascades are not supported."


@pytest.mark.parametrize(
    ("told", "volume", "why_not", "notes"),
    [
        pytest.param(at([1.5, 1.5, 1.5]), scan((1, 1, 1)), None, (), id="near"),
        pytest.param(at([1.5, 1.5, 1.5]), scan((0.4, 0.4, 0.4)), None, (), id="finer"),
        pytest.param(
            at([1.5, 1.5, 1.5]),
            scan((8, 1, 1)),
            None,
            ("works at 1.5 mm, and the voxels of this image are 8 × 1 × 1 mm",),
            id="thick slices",
        ),
        pytest.param(
            at([1.5, 1.5, 1.5]),
            scan((2, 0.3, 0.3), unit="µm"),
            "works at 1.5 mm, and the voxels of this image are 2 × 0.3 × 0.3 µm",
            (),
            id="cells for an organ model",
        ),
        pytest.param(
            at([0.5, 0.5], "µm"),
            scan((3, 1, 1)),
            "works at 0.5 µm, and the voxels of this image are 1 mm",
            (),
            id="organs for a cell model, slices' own axes",
        ),
        pytest.param(
            at([0.5, 0.5], "µm"),
            image(8, 9),
            None,
            ("works at 0.5 µm, and the voxel size of this image is not known",),
            id="not known",
        ),
        pytest.param(
            at([None, 0.5, 0.5], "mm"), scan((9, 0.5, 0.5)), None, (), id="an axis that is left"
        ),
        pytest.param(
            at([1, 1, 9], before=(Operation("orientation", {"codes": "RAS"}),)),
            scan((9, 1, 1)),
            None,
            (),
            id="axes in the model's order",
        ),
        pytest.param(
            at([9, 1, 1], before=(Operation("orientation", {"codes": "RAS"}),)),
            scan((9, 1, 1)),
            None,
            ("works at 9 × 1 × 1 mm, and the voxels of this image are 1 × 1 × 9 mm",),
            id="axes in another order",
        ),
    ],
)
def test_voxel_size(
    told: ModelDescription, volume: Volume, why_not: str | None, notes: tuple[str, ...]
) -> None:
    found = fits(told, volume)
    slices = tuple(n for n in found.notes if "slice by itself" not in n)
    assert (found.why_not, slices) == (why_not, notes)


@pytest.mark.parametrize(
    ("wanted", "is_a", "notes"),
    [
        ("CT", "CT", ()),
        ("MRI", "MR", ()),
        ("ct, mr", "MR", ()),
        ("MR", "CT", ("is made for MR, and this image is CT",)),
        ("fluorescence", "", ("is made for fluorescence, and this image is of a patient",)),
        ("", "CT", ()),
        ("MR", "", ()),
    ],
)
def test_modality(wanted: str, is_a: str, notes: tuple[str, ...]) -> None:
    found = fits(made_for(wanted), scan(modality=is_a))
    assert (found.why_not, found.notes) == (None, notes)


def test_a_ct_without_a_header_is_known_by_its_numbers() -> None:
    ct = scan()
    assert modality_of(ct) == ""
    values = np.full((4, 8, 9), -1000, np.int16)
    values[:, 3:] = 40
    assert modality_of(replace(ct, data=values)) == "CT"
    assert modality_of(replace(ct, data=values + 1024)) == ""
    picture = Volume(values, Grid.from_spacing((4, 8, 9)))
    assert modality_of(picture) == ""


def test_the_best_comes_first() -> None:
    told = [
        made_for("MR", name="mr"),
        made_for("", name="any"),
        made_for("CT", name="ct"),
        description(2, name="flat"),
        description(3, 2, name="two"),
        replace(made_for("CT", name="blocked"), blockers=("no.",)),
    ]
    models = [Model(d, Path(d.name)) for d in told]
    found = choose(models, scan(modality="CT"))
    assert [m.name for m, _ in found] == ["ct", "any", "mr", "flat", "two", "blocked"]
    assert [fit.why_not is None for _, fit in found] == [True] * 4 + [False] * 2


def test_of_two_the_one_of_the_nearer_voxel_size_comes_first() -> None:
    told = [at([3, 3, 3], name="coarse"), at([1, 1, 1], name="fine")]
    models = [Model(d, Path(d.name)) for d in told]
    assert [m.name for m, _ in choose(models, scan((1, 1, 1)))] == ["fine", "coarse"]
    assert [m.name for m, _ in choose(models, scan((4, 4, 4)))] == ["coarse", "fine"]


def test_one_plane_is_read_once() -> None:
    class Watched:
        shape, dtype = (50, 64, 64), np.dtype(np.int16)
        keys: ClassVar[list[Any]] = []

        def __getitem__(self, key: Any) -> Any:
            self.keys.append(key)
            return np.zeros((64, 64), self.dtype)

    watched = Watched()
    volume = Volume(watched, Grid.from_spacing(watched.shape, unit="mm", anatomical=True))
    for wanted in ("CT", "MR"):
        fits(made_for(wanted), volume)
    assert watched.keys == [(25,)]


def test_the_users_own_come_before_those_of_the_package(home: Path) -> None:
    told = description(2)
    models = [Model(told, shipped_folder() / "a"), Model(told, user_folder() / "b")]
    assert [m.folder.name for m, _ in choose(models, image(8, 9))] == ["b", "a"]


def test_what_has_to_be_asked_for_comes_after_what_has_not() -> None:
    told = description(2)
    code = replace(told, name="code", trust="python_code")
    models = [Model(code, user_folder() / "code"), Model(told, shipped_folder() / "plain")]
    assert [m.folder.name for m, _ in choose(models, image(8, 9))] == ["plain", "code"]
