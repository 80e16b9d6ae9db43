"""Patches: geometry against coordinates written into the image, intensities, repeatability."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from napari_monai.training.examples import Example
from napari_monai.training.geometry import random_matrix
from napari_monai.training.patches import PatchSampler, grey_limits
from napari_monai.training.presets import PRESETS, UNCHANGED, Augment
from napari_monai.training.resolved import Resolved

# Flips, rotations and scale alone.
PLACED = Augment(intensity=0.0)


def sampler_of(
    examples: list[Example],
    patch: tuple[int, ...],
    augment: Augment = UNCHANGED,
    *,
    batch_size: int = 3,
    classes: bool = False,
    seed: int = 0,
    steps: int = 10,
    calm: float = 0.0,
) -> PatchSampler:
    plan = Resolved(steps, batch_size, 1e-3, 5, patch, augment)
    return PatchSampler(examples, plan, seed=seed, classes=classes, calm=calm)


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
    sampler = sampler_of([coordinates(shape, spacing)], patch)
    for step in range(5):
        images, targets = sampler.batch(step)
        assert images.shape == targets.shape == (3, len(shape), *patch)
        assert torch.equal(images, targets)
        for image in images:
            np.testing.assert_allclose(steps_of(image), np.eye(len(shape)), atol=1e-3)
            low, high = image.amin((*range(1, image.ndim),)), image.amax((*range(1, image.ndim),))
            assert (low >= -1e-3).all()
            assert (high <= torch.tensor(shape) - 1 + 1e-3).all()
            # On voxels, so that nothing is interpolated.
            np.testing.assert_allclose(image, image.round(), atol=1e-3)


@CASES
def test_augmentation_is_a_similarity_in_space(
    shape: tuple[int, ...], patch: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    example = coordinates(shape, spacing)
    # Kept away from the edges, where the image is mirrored.
    middle = np.asarray(shape)[None] // 2
    example = dataclasses.replace(example, centres=middle.astype(np.int32))
    sampler = sampler_of([example], patch, PLACED)
    scales, turned, mirrored = [], 0, 0
    for step in range(12):
        rng = np.random.default_rng((0, step))
        matrix = random_matrix(len(shape), rng, PLACED, spacing=spacing)
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
    sampler = sampler_of([example], (20, 20), PLACED)
    matrix = random_matrix(2, np.random.default_rng(3), PLACED, spacing=(1.0, 1.0))
    centre = np.array([200.0, 190.0])
    image, _ = sampler.cut(0, centre, np.random.default_rng(3), PLACED)
    np.testing.assert_allclose(steps_of(image), matrix, atol=1e-3)
    np.testing.assert_allclose(image.mean((1, 2)), centre, atol=1e-2)


def test_an_image_smaller_than_the_patch_is_mirrored() -> None:
    example = coordinates((10, 12), (1.0, 1.0))
    images, _ = sampler_of([example], (32, 32)).batch(0)
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
    augment = dataclasses.replace(PRESETS["fluorescence"], elastic=0.2)
    _, targets = sampler_of([example], (32, 32), augment, classes=True, batch_size=8).batch(0)
    assert targets.dtype == torch.int64
    assert set(targets.unique().tolist()) == {0, 7}


@pytest.mark.parametrize("kind", list(PRESETS))
@CASES
def test_image_and_target_move_together(
    kind: str, shape: tuple[int, ...], patch: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    augment = dataclasses.replace(PRESETS[kind], intensity=0.0)  # type: ignore[index]
    images, targets = sampler_of([coordinates(shape, spacing)], patch, augment).batch(4)
    assert torch.equal(images, targets)
    assert not torch.equal(images[0], images[1])


def test_the_same_step_gives_the_same_batch() -> None:
    example = coordinates((50, 50), (1.0, 1.0))
    one, two = (
        sampler_of([example], (16, 16), PRESETS["fluorescence"], batch_size=4) for _ in range(2)
    )
    one.batch(0)
    assert torch.equal(one.batch(3)[0], two.batch(3)[0])
    assert not torch.equal(one.batch(3)[0], two.batch(4)[0])
    other = sampler_of([example], (16, 16), PRESETS["fluorescence"], batch_size=4, seed=1)
    assert not torch.equal(one.batch(3)[0], other.batch(3)[0])


@pytest.mark.parametrize("part", [slice(0, 2), slice(2, 5), slice(1, None, 2)], ids=str)
def test_a_part_of_a_batch_is_that_part(part: slice) -> None:
    examples = [coordinates((50, 50), (1.0, 1.0)), coordinates((40, 60), (2.0, 1.0))]
    sampler = sampler_of(examples, (16, 16), PRESETS["em"], batch_size=5)
    images, targets = sampler.batch(7)
    some_images, some_targets = sampler.batch(7, part)
    assert torch.equal(some_images, images[part])
    assert torch.equal(some_targets, targets[part])
    assert sampler.spacings(7, part) == sampler.spacings(7)[part]


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
    sampler = sampler_of([flat], (32, 32), PRESETS["fluorescence"], batch_size=8, calm=0.4)
    changed = [not torch.equal(*sampler.batch(step)) for step in range(10)]
    assert changed == [True] * 6 + [False] * 4


def test_spacings_are_those_of_the_images_of_the_batch() -> None:
    both = [coordinates((20, 20), (1.0, 1.0)), coordinates((200, 200), (2.0, 3.0))]
    both[1].image[:] = -1
    sampler = sampler_of(both, (4, 4), batch_size=16)
    images, _ = sampler.batch(5)
    expected = [(2.0, 3.0) if float(image.amax()) < 0 else (1.0, 1.0) for image in images]
    assert sampler.spacings(5) == expected
    assert len(set(expected)) == 2


def test_rare_classes_are_seen_as_often_as_frequent_ones() -> None:
    labels = np.ones((200, 200), np.int32)
    labels[:100] = 0
    labels[150, 20] = 2  # one voxel
    example = Example(
        "rare",
        np.zeros((1, *labels.shape), np.float16),
        labels[None].astype(np.int16),
        labels,
        (1.0, 1.0),
        np.argwhere(labels).astype(np.int32),
    )
    sampler = sampler_of([example], (16, 16), batch_size=100, classes=True)
    _, targets = sampler.batch(0)
    seen = (targets == 2).flatten(1).any(1).sum()
    assert 12 < int(seen) < 45  # half of the half that is centred on foreground: 25


@pytest.mark.parametrize("shape", [(2, 90, 70), (2, 20, 50, 60)], ids=["2d", "3d"])
def test_grey_limits_are_those_of_the_whole_image(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    image = rng.uniform(-3, 5, shape) * np.array([1.0, 10.0]).reshape(2, *(1,) * (len(shape) - 1))
    limits = grey_limits(image.astype(np.float16), together=False)
    np.testing.assert_allclose(limits, [[-3, -30], [5, 50]], rtol=0.03)
    np.testing.assert_allclose(grey_limits(image, together=True)[:, 0], [-30, 50], rtol=0.05)
    flat = np.full(shape, 4.0, np.float32)
    assert grey_limits(flat, together=False).tolist() == [[4, 4], [5, 5]]
