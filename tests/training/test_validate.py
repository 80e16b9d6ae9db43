"""Validation runs the network over whole images as inference does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from tests.models.known import description

from napari_monai.models import Inferer
from napari_monai.training.distributed import Team
from napari_monai.training.examples import Example
from napari_monai.training.held_out import HeldOut
from napari_monai.training.validate import (
    class_names,
    found_labels,
    predict_example,
    score_maps,
    whole,
)
from napari_monai.volume import LabelClass


@pytest.mark.parametrize("flips", [False, True], ids=["plain", "mirrored along one axis"])
@pytest.mark.parametrize("side", [13, 5], ids=["larger than a window", "smaller"])
def test_windows_are_laid_and_mirrored_as_the_model_says(side: int, flips: bool) -> None:
    inferer = Inferer(
        (8, 8), 0.25, "gaussian", flips, steps="monai", padding="zeros", mirror_axes=(1,)
    )
    told = description(2, 1)
    told = replace(told, inferer=inferer, outputs=replace(told.outputs, activation=("softmax",)))
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, len(told.outputs.channels), 5, padding=2)
    image = np.random.default_rng(0).normal(size=(1, side, 11)).astype(np.float32)
    nothing = np.zeros((side, 11), np.int32)
    example = Example(
        "one", image.astype(np.float16), nothing[None], nothing, (1.0, 1.0), nothing[:0]
    )
    how = {"device": torch.device("cpu"), "precision": "float32"}
    maps = whole(predict_example(network, example, told, **how), example)

    def probabilities(x: torch.Tensor) -> torch.Tensor:
        found = network(x).softmax(1)
        return (found + network(x.flip(3)).softmax(1).flip(3)) / 2 if flips else found

    with torch.no_grad():
        wanted = sliding_window_inference(
            torch.from_numpy(example.image.astype(np.float32))[None],
            (8, 8),
            4,
            probabilities,
            overlap=0.25,
            mode="gaussian",
        )
    np.testing.assert_allclose(maps, wanted[0].numpy(), atol=1e-5)


def test_classes_are_found_part_by_part_as_in_the_whole() -> None:
    told = replace(description(3, 1), inferer=Inferer((8, 8, 8), 0.5))
    torch.manual_seed(1)
    network = torch.nn.Conv3d(1, 2, 3, padding=1)
    image = np.random.default_rng(0).normal(size=(1, 30, 9, 10)).astype(np.float16)
    labels = np.random.default_rng(1).integers(0, 2, image.shape[1:])
    example = Example("one", image, labels[None], labels, (1.0,) * 3, labels[:0, 0, 0])
    device: Any = torch.device("cpu")
    held_out = HeldOut([example], told, Team(), device, "float32")
    how: Any = {"device": device, "precision": "float32"}
    parts = list(predict_example(network, example, told, **how))
    # Windows of 8 every 4 planes: what is kept of the maps is a few planes, not all.
    assert max(values[0].size for _, values in parts) < labels.size / 2
    maps = whole(iter(parts), example)
    found = held_out.validate(network, {}, shown=0)
    assert (found.shown == found_labels(maps, example, told, {})).all()
    assert 0 < found.shown.mean() < 1
    assert (
        found.scores["Dice"] == score_maps(maps, example, told, {})[f"Dice {class_names(told)[1]}"]
    )


def test_dice_of_a_sigmoid_is_of_the_surest_class_where_there_are_labels() -> None:
    told = description(2, 1)
    outputs = replace(told.outputs, channels=("nucleus", "rim"), activation=("sigmoid", "sigmoid"))
    told = replace(told, outputs=outputs, labels=(LabelClass(1, "nucleus"), LabelClass(2, "rim")))
    maps = np.array([[[0.9, 0.2, 0.6, 0.9]], [[0.1, 0.3, 0.7, 0.1]]], np.float32)
    labels = np.array([[1, 1, 2, -1]], np.int32)
    example = Example("one", maps.astype(np.float16), labels[None], labels, (1.0, 1.0), labels[:0])
    scores = score_maps(maps, example, told, {})
    assert scores == pytest.approx({"Dice nucleus": 2 / 3, "Dice rim": 1.0})
