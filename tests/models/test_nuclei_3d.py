"""The 3D model that comes with the package: its size, its card, and how good it is on stacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import stacks

from napari_monai import Volume, evaluate, load_model, read, segment
from napari_monai.evaluation import average_precision
from napari_monai.grid import Grid
from napari_monai.models import Model


@pytest.fixture(scope="module")
def model() -> Model:
    """Return the shipped model."""
    return load_model("nuclei-3d")


def test_it_is_small(model: Model) -> None:
    assert sum(file.stat().st_size for file in model.folder.iterdir()) <= 8e6


def test_its_card_is_complete_and_says_that_it_saw_no_real_stack(model: Model) -> None:
    card = model.description
    texts = (card.title, card.description, card.licence, card.intended_use, card.limits)
    assert all(texts)
    assert card.authors
    assert card.citations
    assert "generated" in card.limits
    assert card.training["images"] == 360
    assert card.scores["validation"]["AP50"] > 0.7
    assert (model.folder / "preview.png").is_file()
    assert (model.folder / "README.md").is_file()


def test_it_finds_the_nuclei_of_the_stack(model: Model, sample_data: Path) -> None:
    truth = read(sample_data / "nuclei_3d_truth.ome.tif", labels=True)
    found = segment(read(sample_data / "nuclei_3d.ome.tif"), model)
    assert found.grid == truth.grid
    scores = evaluate(found, truth, kind="instances").mean
    assert scores["AP50"] > 0.95
    assert scores["AP"] > 0.85


@pytest.mark.parametrize(
    ("seed", "arrangement", "microscope"),
    [
        pytest.param(300_003, "tissue", "confocal", id="tissue"),
        pytest.param(300_002, "spheroid", "lightsheet", id="spheroid"),
    ],
)
def test_it_finds_the_nuclei_of_a_stack_it_has_not_seen(
    model: Model,
    seed: int,
    arrangement: stacks.Arrangement,
    microscope: stacks.Microscope,
) -> None:
    scene = stacks.random_scene(
        seed, arrangement=arrangement, microscope=microscope, size=(14.0, 28.0, 28.0)
    )
    stack, truth = stacks.generate(scene)
    volume = Volume(stack, Grid.from_spacing(stack.shape, scene.spacing, unit="um"))
    assert average_precision(segment(volume, model).numpy(), truth)[0] > 0.65


def test_nuclei_are_as_large_whatever_the_voxels(model: Model, sample_data: Path) -> None:
    image = read(sample_data / "nuclei_3d.ome.tif")
    coarse = Volume(
        image.numpy()[::2, ::2, ::2],
        Grid.from_spacing((16, 96, 96), [2 * step for step in image.grid.spacing], unit="um"),
    )
    volumes = []
    for volume in (image, coarse):
        sizes = np.bincount(segment(volume, model).numpy().ravel())[1:]
        volumes.append(np.median(sizes) * np.prod(volume.grid.spacing))
    assert volumes[1] == pytest.approx(volumes[0], rel=0.15)
