"""Validation runs the network over whole images as inference does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from tests.models.known import description

from napari_monai.models import Inferer
from napari_monai.training.examples import Example
from napari_monai.training.validate import predict_examples, score_maps
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
    (maps,) = predict_examples(
        network, [example], told, device=torch.device("cpu"), precision="float32"
    )

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


def test_dice_of_a_sigmoid_is_of_the_surest_class_where_there_are_labels() -> None:
    told = description(2, 1)
    outputs = replace(told.outputs, channels=("nucleus", "rim"), activation=("sigmoid", "sigmoid"))
    told = replace(told, outputs=outputs, labels=(LabelClass(1, "nucleus"), LabelClass(2, "rim")))
    maps = np.array([[[0.9, 0.2, 0.6, 0.9]], [[0.1, 0.3, 0.7, 0.1]]], np.float32)
    labels = np.array([[1, 1, 2, -1]], np.int32)
    example = Example("one", maps.astype(np.float16), labels[None], labels, (1.0, 1.0), labels[:0])
    scores = score_maps(maps, example, told, {})
    assert scores == pytest.approx({"Dice nucleus": 2 / 3, "Dice rim": 1.0})
