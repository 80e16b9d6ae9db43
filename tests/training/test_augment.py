"""Changes of intensities: each effect against its definition, all of them within reason."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.color import combine_stains, separate_stains

from napari_monai.training import effects
from napari_monai.training.augment import change_intensity
from napari_monai.training.presets import PRESETS, UNCHANGED, Augment

KINDS = pytest.mark.parametrize("kind", list(PRESETS))
UNIT = np.array([[0.0], [1.0]], np.float32)
NOTHING = dataclasses.replace(
    UNCHANGED, intensity=1.0, gain=0, offset=0, gamma=0, channels=0, noise=0, blur=0
)


def noisy(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def changed(image: torch.Tensor, augment: Augment, seed: int = 0) -> torch.Tensor:
    limits = np.broadcast_to(UNIT, (2, len(image)))
    rng = np.random.default_rng(seed)
    return change_intensity(image, augment, rng, spacing=(1.0,) * (image.ndim - 1), limits=limits)


def test_blur_is_scipys_along_each_axis() -> None:
    image = noisy(2, 12, 30, 20)
    found = effects.blur(image, (0.05, 1.5, 0.8))
    expected = ndimage.gaussian_filter(
        image.numpy(), (0, 0, 1.5, 0.8), mode="nearest", truncate=3.4
    )
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)


def test_coarser_voxels_are_means_of_the_fine_ones() -> None:
    image = noisy(1, 8, 8, 8)
    found = effects.coarsen(image, (4.0, 1.0, 1.0))
    means = image[0].reshape(2, 4, 8, 8).mean(1)
    # Beyond the centres of the coarse voxels their values are held.
    np.testing.assert_allclose(found[0, :2], means[[0, 0]], atol=1e-6)
    np.testing.assert_allclose(found[0, -2:], means[[1, 1]], atol=1e-6)
    np.testing.assert_allclose(found[0, 3] + found[0, 4], means.sum(0), atol=1e-6)
    assert torch.equal(effects.coarsen(image, (1.0, 1.0, 1.0)), image)


def test_stains_are_unmixed_as_skimage_does() -> None:
    picture = noisy(3, 20, 20) * 0.9 + 0.05
    factors, shifts = (1.3, 0.7, 1.1), (0.02, -0.01, 0.0)
    found = effects.restain(picture, factors, shifts).numpy()
    stains = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    density = -np.log(picture.numpy().transpose(1, 2, 0).astype(float))
    amounts = density @ np.linalg.inv(stains) * factors + shifts
    np.testing.assert_allclose(found.transpose(1, 2, 0), np.exp(-amounts @ stains), rtol=1e-3)
    # skimage clips amounts at 0, so that only mixtures of the stains come back from it.
    pure = np.array([[[0.05, 0.03, 0.01]]])
    one = combine_stains(pure, stains)
    more = effects.restain(
        torch.from_numpy(one.transpose(2, 0, 1).astype(np.float32)), (2.0, 1.0, 1.0), (0, 0, 0)
    )
    again = separate_stains(more.numpy().transpose(1, 2, 0), np.linalg.inv(stains))
    np.testing.assert_allclose(again, pure * (2, 1, 1), atol=1e-3)


def test_noise_grows_with_the_square_root_of_the_signal() -> None:
    steps = torch.tensor([0.0, 0.25, 1.0]).repeat_interleave(40_000).reshape(1, 3, 40_000)
    generator = torch.Generator().manual_seed(0)
    found = effects.noise(steps, 0.05, 0.2, generator=generator, together=False)
    spread = (found - steps)[0].std(1)
    np.testing.assert_allclose(
        spread, np.sqrt(0.05**2 + 0.2**2 * np.array([0, 0.25, 1])), rtol=0.02
    )
    picture = torch.zeros(3, 8, 8)
    same = effects.noise(picture, 1.0, 0.0, generator=generator, together=True)
    assert torch.equal(same[0], same[2])


def test_shading_is_smooth_and_bounded() -> None:
    field = effects.shade(torch.ones(1, 64, 64), np.random.default_rng(0), 0.4)[0].log()
    assert field.abs().max() <= 0.4
    assert field.std() > 0.03
    assert np.abs(np.diff(field.numpy(), axis=0)).max() < 0.05


def test_gamma_leaves_the_ends_alone() -> None:
    ramp = torch.linspace(0, 1, 11).reshape(1, 1, 11)
    np.testing.assert_allclose(effects.power(ramp, 2.0), ramp**2, atol=1e-6)
    np.testing.assert_allclose(
        effects.power(ramp, 2.0, from_above=True), 1 - (1 - ramp) ** 2, atol=1e-6
    )


def test_faults_are_of_whole_slices() -> None:
    image = noisy(1, 200, 9, 9)
    before = image.clone()
    found = effects.spoil_slices(image, np.random.default_rng(0), 0.2)
    assert torch.equal(image, before)
    touched = (found != image).flatten(2).any(2)[0]
    assert 20 < int(touched.sum()) < 60
    spread = found.flatten(2).std(2)[0]
    assert (spread[touched] < image.flatten(2).std(2)[0][touched]).all()
    assert int((spread[touched] == 0).sum()) >= 3  # missing


@KINDS
@pytest.mark.parametrize("shape", [(3, 24, 24), (1, 8, 20, 20)], ids=["2d", "3d"])
def test_intensities_change_within_reason(kind: str, shape: tuple[int, ...]) -> None:
    augment = PRESETS[kind]  # type: ignore[index]
    image = noisy(*shape)
    original = image.clone()
    moved = []
    for seed in range(40):
        found = changed(image, augment, seed)
        assert torch.isfinite(found).all()
        assert found.dtype == torch.float32
        moved.append(float((found - image).abs().mean()))
    assert torch.equal(image, original)  # what is given is never changed in place
    assert 0.02 < np.mean(moved) < 0.3
    assert max(moved) < 1.5
    assert changed(image, dataclasses.replace(augment, intensity=0.0)) is image
    assert torch.equal(changed(image, augment, 3), changed(image, augment, 3))


@pytest.mark.parametrize(
    "field",
    ["gain", "offset", "gamma", "channels", "noise", "photons", "blur", "shading", "inversion"],
)
def test_every_amount_alone_does_something(field: str) -> None:
    image = noisy(2, 24, 24)
    augment = dataclasses.replace(NOTHING, **{field: 0.5})
    assert all(torch.equal(changed(image, NOTHING, seed), image) for seed in range(5))
    assert any(not torch.equal(changed(image, augment, seed), image) for seed in range(20))


def test_the_range_of_an_image_does_not_matter() -> None:
    """A CT in Hounsfield units, z-scored or from 0 to 1 is changed alike."""
    image = noisy(1, 6, 20, 20)
    augment = dataclasses.replace(PRESETS["ct"], faults=0.2)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        limits = np.array([[-1000.0], [600.0]], np.float32)
        found = change_intensity(
            image * 1600 - 1000, augment, rng, spacing=(1, 1, 1), limits=limits
        )
        expected = changed(image, augment, seed)
        torch.testing.assert_close((found + 1000) / 1600, expected, atol=1e-4, rtol=1e-3)


def test_grey_pictures_mostly_stay_grey_and_are_not_stained() -> None:
    augment = dataclasses.replace(PRESETS["histology"], colour=True)
    grey = 0
    for seed in range(60):
        found = changed(noisy(1, 8, 8).repeat(3, 1, 1), augment, seed)
        grey += bool((found - found[:1]).abs().max() < 1e-5)
    assert 35 < grey < 58


def test_only_bright_colours_are_stained() -> None:
    augment = dataclasses.replace(NOTHING, stain=0.3, colour=True)
    tissue = noisy(3, 16, 16) * 0.4 + 0.6
    assert any(not torch.equal(changed(tissue, augment, s), tissue) for s in range(6))
    glowing = noisy(3, 16, 16) * torch.tensor([0.6, 0.1, 0.1]).reshape(3, 1, 1)
    assert all(torch.equal(changed(glowing, augment, s), glowing) for s in range(6))
    other = dataclasses.replace(augment, colour=False)
    assert all(torch.equal(changed(tissue, other, s), tissue) for s in range(6))
