"""Of which kind images are, and what settings make of a preset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_monai import LabelVolume, TrainingSettings, Volume, write
from napari_monai.grid import Grid
from napari_monai.models import ModelDescription
from napari_monai.training.kinds import choose_augment, kinds_of
from napari_monai.training.plan import plan_model
from napari_monai.training.presets import PRESETS, Augment
from napari_monai.training.resolved import Resolved, resolve
from napari_monai.volume import LabelClass


def cells(*, dark: bool) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows, columns = np.indices((96, 96))
    image = np.zeros((96, 96))
    for r, c in rng.uniform(8, 88, (8, 2)):
        image = np.maximum(image, np.hypot(rows - r, columns - c) < 7)
    image = 20 + 200 * image + rng.normal(0, 4, image.shape)
    return np.clip(image if dark else 255 - image, 0, 255).astype(np.uint8)


def stained() -> Volume:
    paler = cells(dark=False) / 255
    picture = np.stack([paler, paler**1.5, paler**0.3]) * 255
    return Volume(picture.astype(np.uint8), Grid.from_spacing((96, 96)), "c", rgb=True)


def patient(low: float, high: float) -> Volume:
    rng = np.random.default_rng(0)
    body = np.hypot(*np.indices((64, 64)) - 32) < 24
    slices = np.where(body, high, low) + rng.normal(0, 10, (8, 64, 64))
    return Volume(slices.astype(np.int16), Grid((8, 64, 64), np.eye(4), unit="mm"))


def grey(*, dark: bool) -> Volume:
    return Volume(cells(dark=dark), Grid.from_spacing((96, 96)))


def description(
    image: Volume, modality: str = "", names: tuple[str, ...] = ("object",)
) -> ModelDescription:
    labels = np.zeros(image.grid.shape, np.uint8)
    labels.flat[: len(names)] = range(1, len(names) + 1)
    classes = tuple(LabelClass(n, name) for n, name in enumerate(names, start=1))
    truth = LabelVolume(labels, image.grid, classes=classes, kind="classes")
    settings = TrainingSettings(target="classes")
    return plan_model("new", [(image, truth)], settings, card={"modality": modality})


BRIGHT, DARK, COLOURED = grey(dark=False), grey(dark=True), stained()
CT, MR = patient(-1000, 40), patient(0, 400)


@pytest.mark.parametrize(
    ("image", "modality", "expected"),
    [
        (DARK, "", "fluorescence"),
        (BRIGHT, "", "em"),
        (COLOURED, "", "histology"),
        (CT, "", "ct"),
        (MR, "", "mr"),
        (MR, "CT", "ct"),
        (DARK, "EM", "em"),
        (COLOURED, "fluorescence", "histology"),
        (BRIGHT, "fluorescence", "em"),
        (BRIGHT, "fluorescence, histology", "em"),
        (CT, "MR", "ct"),
    ],
    ids=[
        "dark ground", "bright ground", "colour", "Hounsfield units", "patient", "their card",
        "card", "tissue for a model of cells", "bright for a model of cells", "card of two kinds",
        "Hounsfield units before the card",
    ],
)  # fmt: skip
def test_the_kind_of_an_image(image: Volume, modality: str, expected: str) -> None:
    assert kinds_of(description(image, modality), [image]) == (expected,)


def test_without_images_the_card_says_it() -> None:
    assert kinds_of(description(DARK, "histology")) == ("histology",)
    assert kinds_of(description(DARK, "T1 MRI")) == ("mr",)
    assert kinds_of(description(DARK)) == ("fluorescence",)
    assert kinds_of(description(MR)) == ("mr",)


def test_images_of_two_kinds_get_what_either_needs(tmp_path: Path) -> None:
    file = tmp_path / "cells.tif"
    write(file, DARK)
    augment = choose_augment(TrainingSettings(), description(COLOURED), [COLOURED, file])
    assert augment.kind == "fluorescence and histology"
    assert augment.stain == PRESETS["histology"].stain
    assert augment.photons == PRESETS["fluorescence"].photons
    assert augment.colour


def test_settings_go_before_the_kind() -> None:
    settings = TrainingSettings(augmentation="ct", flips=True, scale=1.1, intensity=0.5)
    augment = choose_augment(settings, description(DARK), [DARK])
    assert (augment.kind, augment.flips, augment.scale, augment.intensity) == ("ct", True, 1.1, 0.5)
    assert augment.angle == PRESETS["ct"].angle
    none = choose_augment(TrainingSettings(augmentation="none"), description(DARK), [DARK])
    assert (none.flips, none.rotations, none.scale, none.intensity) == (False, False, 1.0, 0.0)
    assert none.elastic == none.tilt == 0


@pytest.mark.parametrize(
    ("names", "flips"),
    [
        (("kidney_left", "kidney_right"), False),
        (("Left lung",), False),
        (("cleft", "bright"), True),
    ],
    ids=["underscore", "words", "within a word"],
)
def test_left_and_right_are_never_swapped(names: tuple[str, ...], flips: bool) -> None:
    settings = TrainingSettings(augmentation="em")
    assert choose_augment(settings, description(DARK, names=names)).flips == flips


def test_the_plan_carries_it_there_and_back() -> None:
    plan = resolve(TrainingSettings(), description(DARK), [DARK])
    assert plan.augment.kind == "fluorescence"
    assert Resolved.from_json(plan.to_json()) == plan
    assert isinstance(plan.augment, Augment)
