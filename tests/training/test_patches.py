"""Patches: geometry against coordinates written into the image, intensities, repeatability."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from napari_monai.settings import TrainingSettings
from napari_monai.training.examples import Example
from napari_monai.training.patches import PatchSampler, change_intensity, random_matrix

PLAIN = TrainingSettings(flips=False, rotations=False, scale=1.0, intensity=0.0, batch_size=3)
NO_INTENSITY = dataclasses.replace(PLAIN, flips=True, rotations=True, scale=1.4)


def coordinates(shape: tuple[int, ...], spacing: tuple[float, ...]) -> Example:
    """Return an example whose channels hold each voxel's own index along each axis."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"))
    labels = np.ones(shape, np.int32)
    return Example(
        "coordinates",
        index.astype(np.float32),
        index.astype(np.float32),
        labels,
        spacing,
        np.argwhere(labels).astype(np.int32),
    )


CASES = pytest.mark.parametrize(
    ("shape", "patch", "spacing"),
    [((150, 170), (24, 32), (1.0, 1.0)), ((30, 60, 70), (6, 12, 10), (3.0, 1.0, 0.5))],
    ids=["2d", "3d anisotropic"],
)


def steps_of(patch: torch.Tensor) -> np.ndarray:
    """Return the index steps in the image per step in the patch: one column a patch axis.

    Raises AssertionError when the patch is no affine map of the image.
    """
    values = patch.numpy().astype(np.float64)
    columns = []
    for axis in range(1, values.ndim):
        difference = np.diff(values, axis=axis)
        column = difference.reshape(len(values), -1).mean(1)
        spread = np.abs(difference - column.reshape(-1, *(1,) * (values.ndim - 1))).max()
        assert spread < 1e-2, "not affine"
        columns.append(column)
    return np.stack(columns, axis=1)


@CASES
def test_without_augmentation_a_patch_is_a_crop(
    shape: tuple[int, ...], patch: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    sampler = PatchSampler([coordinates(shape, spacing)], patch, settings=PLAIN, classes=False)
    for step in range(5):
        images, targets = sampler.batch(step)
        assert images.shape == targets.shape == (3, len(shape), *patch)
        assert torch.equal(images, targets)
        for image in images:
            np.testing.assert_allclose(steps_of(image), np.eye(len(shape)), atol=1e-3)
            low, high = image.amin((*range(1, image.ndim),)), image.amax((*range(1, image.ndim),))
            assert (low >= -1e-3).all()
            assert (high <= torch.tensor(shape) - 1 + 1e-3).all()


@CASES
def test_augmentation_is_a_similarity_in_space(
    shape: tuple[int, ...], patch: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    example = coordinates(shape, spacing)
    # Kept away from the edges, where the image is mirrored.
    middle = np.asarray(shape)[None] // 2
    example = dataclasses.replace(example, centres=middle.astype(np.int32))
    sampler = PatchSampler([example], patch, settings=NO_INTENSITY, classes=False)
    scales, turned, mirrored = [], 0, 0
    for step in range(12):
        rng = np.random.default_rng((0, step))
        matrix = random_matrix(len(shape), rng, NO_INTENSITY, spacing=spacing)
        physical = np.diag(spacing) @ matrix @ np.diag(1 / np.asarray(spacing))
        plane = physical[-2:, -2:]
        scale = np.sqrt(abs(np.linalg.det(plane)))
        # The stretch that differs between axes is small: the rest is a rotation and a scale.
        np.testing.assert_allclose(plane @ plane.T / scale**2, np.eye(2), atol=0.3)
        assert 1 / 1.7 < scale < 1.7
        scales.append(scale)
        turned += abs(plane[0, 1]) > 0.2
        mirrored += np.linalg.det(plane) < 0
    assert min(scales) < 0.9 < 1.1 < max(scales)
    assert turned > 3
    assert 1 < mirrored < 11
    images, targets = sampler.batch(1)
    assert torch.equal(images, targets)


def test_the_matrix_maps_patch_steps_to_image_steps() -> None:
    example = coordinates((400, 400), (1.0, 1.0))  # so large that edges are out of reach
    sampler = PatchSampler([example], (20, 20), settings=NO_INTENSITY, classes=False)
    rng = np.random.default_rng(3)
    example.centres[:] = 200
    matrix = random_matrix(2, np.random.default_rng(3), NO_INTENSITY, spacing=(1.0, 1.0))
    image, _ = sampler._patch(example, rng, NO_INTENSITY)
    np.testing.assert_allclose(steps_of(image), matrix, atol=1e-3)


def test_an_image_smaller_than_the_patch_is_mirrored() -> None:
    example = coordinates((10, 12), (1.0, 1.0))
    images, _ = PatchSampler([example], (32, 32), settings=PLAIN, classes=False).batch(0)
    assert images.shape == (3, 2, 32, 32)
    assert images[:, 0].max() <= 9
    assert images[:, 1].max() <= 11


def test_classes_are_never_interpolated() -> None:
    labels = np.zeros((60, 60), np.int16)
    labels[20:40, 20:40] = 7
    example = Example(
        "classes",
        labels[None].astype(np.float16),
        labels[None],
        labels.astype(np.int32),
        (1.0, 1.0),
        np.argwhere(labels).astype(np.int32),
    )
    _, targets = PatchSampler([example], (32, 32), settings=NO_INTENSITY, classes=True).batch(0)
    assert targets.dtype == torch.int64
    assert set(targets.unique().tolist()) == {0, 7}


def test_the_same_step_gives_the_same_batch() -> None:
    settings = TrainingSettings(batch_size=4)
    example = coordinates((50, 50), (1.0, 1.0))
    one, two = (
        PatchSampler([example], (16, 16), settings=settings, classes=False) for _ in range(2)
    )
    one.batch(0)
    assert torch.equal(one.batch(3)[0], two.batch(3)[0])
    assert not torch.equal(one.batch(3)[0], two.batch(4)[0])
    other = PatchSampler(
        [example], (16, 16), settings=dataclasses.replace(settings, seed=1), classes=False
    )
    assert not torch.equal(one.batch(3)[0], other.batch(3)[0])


@pytest.mark.parametrize("shape", [(8, 3, 20, 20), (8, 1, 6, 20, 20)], ids=["2d", "3d"])
def test_intensities_change_within_reason(shape: tuple[int, ...]) -> None:
    images = torch.rand(*shape)
    changed = torch.cat(
        [change_intensity(images.clone(), np.random.default_rng(k)) for k in range(30)]
    )
    original = images.repeat(30, *(1,) * (len(shape) - 1))
    assert torch.isfinite(changed).all()
    flat = (1, 2, 3, 4)[: len(shape) - 1]
    moved = (changed - original).abs().mean(flat)
    assert 0.02 < moved.mean() < 0.5
    assert moved.max() < 3
    same = change_intensity(images.clone(), np.random.default_rng(0), strength=0.0)
    torch.testing.assert_close(same, images, atol=1e-5, rtol=0.05)


def test_grey_pictures_mostly_stay_grey() -> None:
    images = torch.rand(200, 1, 8, 8).repeat(1, 3, 1, 1)
    changed = change_intensity(images, np.random.default_rng(0))
    grey = (changed - changed[:, :1]).abs().amax((1, 2, 3)) < 1e-5
    assert 100 < int(grey.sum()) < 190


def test_calm_steps_leave_intensities_alone() -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[16:48, 16:48] = 1
    flat = Example(
        "flat",
        np.where(labels > 0, 1, 0)[None].astype(np.float16),
        labels[None].astype(np.float16),
        labels,
        (1.0, 1.0),
        np.argwhere(labels).astype(np.int32),
    )
    settings = TrainingSettings(steps=10, calm=0.4, batch_size=8)
    sampler = PatchSampler([flat], (32, 32), settings=settings, classes=False)
    changed = [not torch.equal(*sampler.batch(step)) for step in range(10)]
    assert changed == [True] * 6 + [False] * 4


def test_spacings_are_those_of_the_images_of_the_batch() -> None:
    both = [coordinates((20, 20), (1.0, 1.0)), coordinates((200, 200), (2.0, 3.0))]
    both[1].image[:] = -1
    settings = dataclasses.replace(PLAIN, batch_size=16)
    sampler = PatchSampler(both, (4, 4), settings=settings, classes=False)
    images, _ = sampler.batch(5)
    expected = [(2.0, 3.0) if float(image.amax()) < 0 else (1.0, 1.0) for image in images]
    assert sampler.spacings(5) == expected
    assert len(set(expected)) == 2
