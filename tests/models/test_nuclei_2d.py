"""The model that comes with the package: its size, its card, and how good it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_monai import LabelVolume, evaluate, load_model, read, segment
from napari_monai.evaluation import evaluate_folder
from napari_monai.io import write
from napari_monai.models import Model


@pytest.fixture(scope="module")
def model() -> Model:
    """Return the shipped model."""
    return load_model("nuclei-2d")


def test_it_is_small(model: Model) -> None:
    assert sum(file.stat().st_size for file in model.folder.iterdir()) <= 8e6


def test_its_card_is_complete(model: Model) -> None:
    card = model.description
    texts = (card.title, card.description, card.licence, card.intended_use, card.limits)
    assert all(texts)
    assert card.authors
    assert card.citations
    assert card.training["images"] == 536
    assert card.scores["validation"]["AP50"] > 0.7


def test_it_finds_the_nuclei_of_the_sample(model: Model, sample_data: Path) -> None:
    truth = read(sample_data / "nuclei_2d_truth.tif", labels=True)
    found = segment(read(sample_data / "nuclei_2d.tif"), model)
    assert found.grid == truth.grid
    assert evaluate(found, truth, kind="instances").mean["AP50"] > 0.85


def test_it_finds_the_nuclei_of_the_stack(model: Model, sample_data: Path) -> None:
    image = read(sample_data / "nuclei_3d.ome.tif")
    truth = read(sample_data / "nuclei_3d_truth.ome.tif", labels=True)
    found = segment(image, model)
    assert isinstance(found, LabelVolume)
    numbers = np.unique(truth.numpy())[1:]
    assert 0.7 * len(numbers) < found.numpy().max() < 1.5 * len(numbers)


def test_grey_or_grey_as_colour_makes_no_difference(model: Model, shared_data: Path) -> None:
    file = sorted((shared_data / "nuclei2d/val/fluorescence/images").iterdir())[0]
    grey = read(file)
    assert not grey.rgb
    colour = type(grey)(np.stack([grey.numpy()] * 3), grey.grid, "c", rgb=True)
    assert np.array_equal(segment(grey, model).numpy(), segment(colour, model).numpy())


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [("fluorescence", 0.85), ("tissue", 0.66)])
def test_average_precision_on_images_it_has_not_seen(
    model: Model, shared_data: Path, tmp_path: Path, kind: str, least: float
) -> None:
    folder = shared_data / "nuclei2d" / "val" / kind
    for file in sorted((folder / "images").iterdir()):
        write(tmp_path / f"{file.stem}.tif", segment(read(file), model))
    scores = evaluate_folder(tmp_path, folder / "labels", kind="instances")
    assert len(scores.cases) == len(list((folder / "labels").iterdir()))
    assert scores.mean["AP50"] >= least
