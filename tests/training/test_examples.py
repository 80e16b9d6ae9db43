"""What the network is to predict, against brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.models.known import description

from napari_monai import LabelVolume, Volume
from napari_monai.grid import Grid
from napari_monai.training.examples import make_examples, touching
from napari_monai.volume import LabelClass


@pytest.mark.parametrize("shape", [(14, 17), (7, 8, 9)], ids=["2d", "3d"])
@pytest.mark.parametrize("seed", range(3))
def test_objects_touch_where_two_are_near(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(shape) < 0.05, rng.integers(1, 200, shape), 0)
    expected = np.zeros(shape, bool)
    for index in np.ndindex(shape):
        box = tuple(slice(max(0, i - 2), i + 3) for i in index)
        expected[index] = len(np.setdiff1d(labels[box], [0])) > 1
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(touching(labels), expected)


@pytest.mark.parametrize("labels", [np.zeros((5, 5), int), np.ones((5, 5), int)], ids=["0", "1"])
def test_one_object_or_none_touches_nothing(labels: np.ndarray) -> None:
    assert not touching(labels).any()


def test_patches_can_stand_on_every_class_as_often() -> None:
    labels = np.ones((128, 128), np.uint8)
    labels[:50, :50], labels[0, :7] = 2, 3
    grid = Grid.from_spacing(labels.shape)
    told = description(2, 1)
    known = tuple(LabelClass(n, f"c{n}") for n in (1, 2, 3))
    outputs = replace(told.outputs, channels=("background", "c1", "c2", "c3"))
    network = replace(told.network, arguments={**told.network.arguments, "out_channels": 4})
    told = replace(told, labels=known, outputs=outputs, network=network)
    (example,) = make_examples([(Volume(labels, grid), LabelVolume(labels, grid))], told)
    chosen = example.labels[tuple(example.centres.T)]
    assert np.bincount(chosen).tolist() == [0, 4096 // 3, 4096 // 3, 7]
    assert len(np.unique(example.centres, axis=0)) == len(chosen)
