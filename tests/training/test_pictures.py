"""Pictures of changed patches: what they show, and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_monai.errors import WriteError
from napari_monai.settings import TrainingSettings
from napari_monai.training.examples import Example
from napari_monai.training.pictures import preview, write_picture
from napari_monai.training.presets import PRESETS, UNCHANGED, Augment
from napari_monai.training.resolved import Resolved

SEED = TrainingSettings(seed=1)


def example(shape: tuple[int, ...], channels: int = 1) -> Example:
    labels = np.zeros(shape, np.int32)
    labels[tuple(slice(n // 4, n - n // 4) for n in shape)] = 2
    image = np.repeat((0.2 + 0.3 * (labels > 0))[None], channels, axis=0).astype(np.float16)
    return Example(
        "box",
        image,
        labels[None].astype(np.float16),
        labels,
        (1.0,) * len(shape),
        np.argwhere(labels).astype(np.int32),
    )


def plan(patch: tuple[int, ...], augment: Augment) -> Resolved:
    return Resolved(10, 2, 1e-3, 5, patch, augment)


@pytest.mark.parametrize(
    ("shape", "patch", "channels"),
    [((64, 64), (48, 64), 1), ((64, 64), (48, 64), 3), ((12, 64, 64), (8, 48, 64), 2)],
    ids=["grey", "colour", "volume of two channels"],
)
def test_a_row_an_example_a_column_a_variant(
    shape: tuple[int, ...], patch: tuple[int, ...], channels: int
) -> None:
    picture = preview(
        [example(shape, channels)] * 5, plan(patch, PRESETS["em"]), SEED, rows=3, columns=4
    )
    high, wide = 3 * 48, 3 * 64  # enlarged
    assert picture.shape == (3 * high + 2 * 4, 4 * wide + 3 * 4, 3)
    assert picture.dtype == np.uint8
    assert (picture[high : high + 4] == 255).all()
    first, second = picture[:high, :wide], picture[:high, wide + 4 : 2 * wide + 4]
    assert not np.array_equal(first, second)


def test_unchanged_patches_show_the_image_and_the_borders_of_its_labels() -> None:
    picture = preview([example((64, 64))], plan((64, 64), UNCHANGED), SEED, rows=1, columns=2)
    first, second = picture[:, :192], picture[:, 196:]
    assert np.array_equal(first, second)
    assert len(np.unique(first.reshape(-1, 3), axis=0)) == 3  # two greys and one line
    line = (first == (86, 180, 233)).all(-1)
    inside = np.zeros((192, 192), bool)
    inside[48:144, 48:144] = True
    core = np.zeros_like(inside)
    core[49:143, 49:143] = True
    assert np.array_equal(line, inside & ~core)


def test_the_same_seed_gives_the_same_picture() -> None:
    one = plan((32, 32), PRESETS["histology"])
    pictures = [preview([example((64, 64), 3)], one, SEED) for _ in range(2)]
    assert np.array_equal(*pictures)


def test_the_picture_is_written_as_png(tmp_path: Path) -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    path = write_picture(tmp_path / "new" / "changes.png", picture)
    with Image.open(path) as read:
        assert read.format == "PNG"
        assert np.array_equal(np.asarray(read), picture)
    with pytest.raises(WriteError, match="choose another file"):
        write_picture(tmp_path, picture)
