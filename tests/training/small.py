"""A training so small that it takes a second: pictures of discs, and a tiny network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from napari_monai import LabelVolume, TrainingSettings, Volume
from napari_monai.events import Event
from napari_monai.grid import Grid
from napari_monai.models import load_model
from napari_monai.models.weights import read_weights
from napari_monai.training import fine_tune
from napari_monai.training.checkpoint import load_checkpoint
from napari_monai.training.examples import Pair

TINY = '{"channels": [8, 16, 16], "strides": [1, 2], "num_res_units": 1}'
SETTINGS = TrainingSettings(
    network_arguments=TINY,
    steps=6,
    patch=(32, 32),
    batch_size=2,
    validate_every=3,
    precision="float32",
    validation_part=0.0,
    device="cpu",
)


def discs(seed: int, size: int = 64, *, colour: bool = False) -> tuple[Volume, LabelVolume]:
    """Return a picture of bright discs of radius 4 to 7, some touching, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((size, size), np.uint16)
    rows, columns = np.indices(labels.shape)
    for number, (r, c) in enumerate(rng.uniform(6, size - 6, (9, 2)), start=1):
        disc = np.hypot(rows - r, columns - c) <= rng.uniform(4, 7)
        labels[disc & (labels == 0)] = number
    clean = ndimage.gaussian_filter((labels > 0) * 150.0, 0.7)
    image = np.clip(clean + rng.normal(20, 6, labels.shape), 0, 255).astype(np.uint8)
    grid = Grid.from_spacing(labels.shape)
    truth = LabelVolume(labels, grid, kind="instances", name=f"discs {seed}")
    if colour:
        picture = np.stack([image, 255 - image, image // 2])
        return Volume(picture, grid, "c", rgb=True, name=f"discs {seed}"), truth
    return Volume(image, grid, name=f"discs {seed}"), truth


PAIRS: list[Pair] = [discs(seed) for seed in range(4)]
HELD_OUT: list[Pair] = [discs(seed) for seed in range(4, 6)]


def stored(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of the model in a folder."""
    return read_weights(load_model(folder))


def run(output: Path, **changes: Any) -> list[Event]:
    """Train on the discs and return all events."""
    keywords = {"settings": SETTINGS, "validation": HELD_OUT, "name": "discs", **changes}
    model, pairs = keywords.pop("model", None), keywords.pop("pairs", PAIRS)
    return list(fine_tune(model, pairs, output=output, **keywords))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the averaged weights of the last state."""
    return dict(load_checkpoint(folder)["average"])


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two states are equal to the bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
