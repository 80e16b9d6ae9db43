"""Generated stacks of nuclei: the same for the same seed, right in space, optics and noise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import stack_fields
import stack_nuclei
import stack_optics
import stacks
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import pdist

from napari_monai import read

SMALL = (12.0, 24.0, 24.0)
CLEAR = stack_optics.Optics(
    microscope="widefield",
    aperture=1.0,
    index=1.33,
    wavelength=0.5,
    pinhole=1.5,
    sheet=1.0,
    haze=0.0,
    haze_width=2.0,
    scattering=0.0,
    attenuation=0.0,
    bleaching=0.0,
    shading=0.0,
    stripes=0.0,
    photons=100.0,
    background=0.0,
    excess=1.0,
    read_noise=0.0,
    offset=100.0,
    bits=16,
    exposure=0.5,
)


def test_the_same_seed_gives_the_same_stack() -> None:
    one, again, other = (
        stacks.generate(stacks.random_scene(seed, size=SMALL)) for seed in (4, 4, 5)
    )
    assert np.array_equal(one[0], again[0])
    assert np.array_equal(one[1], again[1])
    assert one[0].shape != other[0].shape or not np.array_equal(one[0], other[0])


@pytest.mark.parametrize("arrangement", stacks.ARRANGEMENTS)
@pytest.mark.parametrize("microscope", stacks.MICROSCOPES)
def test_truth_is_whole_bright_nuclei(
    arrangement: stack_nuclei.Arrangement, microscope: stack_optics.Microscope
) -> None:
    scene = stacks.random_scene(11, arrangement=arrangement, microscope=microscope, size=SMALL)
    assert (scene.tissue.arrangement, scene.optics.microscope) == (arrangement, microscope)
    stack, truth = stacks.generate(scene)
    assert stack.shape == truth.shape == scene.shape
    count = int(truth.max())
    assert count > 1
    assert np.array_equal(np.unique(truth), np.arange(count + 1))
    for number, box in enumerate(ndimage.find_objects(truth), start=1):
        assert ndimage.label(truth[box] == number)[1] == 1
    assert stack[truth > 0].mean() > 1.2 * np.median(stack[truth == 0])


@pytest.mark.parametrize("seed", range(30))
def test_voxels_are_such_as_people_take(seed: int) -> None:
    scene = stacks.random_scene(seed)
    step, pixel, same = scene.spacing
    assert pixel == same
    assert 0.1 <= pixel <= 0.66
    assert pixel <= step <= max(8.01 * pixel, 0.25)
    assert step <= max(0.76 * scene.tissue.radius, 0.25)
    assert np.allclose(np.multiply(scene.shape, scene.spacing)[1:], stacks.SIZE[1:], rtol=0.02)


def test_sizes_and_kinds_of_all_sorts_are_drawn() -> None:
    scenes = [stacks.random_scene(seed) for seed in range(200)]
    radii = [scene.tissue.radius for scene in scenes]
    ratios = [scene.spacing[0] / scene.spacing[1] for scene in scenes]
    assert min(radii) < 2.6 < 6 < max(radii)
    assert min(ratios) < 1.2 < 5 < max(ratios)
    kinds = {(scene.tissue.arrangement, scene.optics.microscope) for scene in scenes}
    assert len(kinds) == len(stacks.ARRANGEMENTS) * len(stacks.MICROSCOPES)


def widths(image: stack_fields.Field, spacing: tuple[float, ...]) -> list[float]:
    """Return the standard deviations of a bead's image along each axis, in µm."""
    found = []
    for axis, step in enumerate(spacing):
        profile = image.sum(tuple(a for a in range(3) if a != axis)).astype(float)
        at = np.arange(len(profile)) * step
        mean = np.average(at, weights=profile)
        found.append(float(np.sqrt(np.average((at - mean) ** 2, weights=profile))))
    return found


@pytest.mark.parametrize(
    ("optics", "expected"),
    [
        # sqrt(2) / (2 pi) and 2 sqrt(6) / (2 pi), by hand
        pytest.param(CLEAR, (0.51852, 0.11254, 0.11254), id="widefield"),
        pytest.param(
            replace(CLEAR, aperture=0.5, index=1.0), (1.55944, 0.22508, 0.22508), id="low aperture"
        ),
        pytest.param(
            replace(CLEAR, microscope="lightsheet", aperture=0.5, sheet=1.0),
            (0.90071, 0.22508, 0.22508),
            id="sheet",
        ),
    ],
)
def test_a_bead_is_as_wide_as_the_point_spread_function(
    optics: stack_optics.Optics, expected: tuple[float, ...]
) -> None:
    spacing = (0.15, 0.06, 0.06)
    bead = np.zeros((121, 81, 81), np.float32)
    bead[60, 40, 40] = 1
    image = stack_optics.through_lens(bead, spacing, optics)
    assert optics.psf == pytest.approx(expected, rel=1e-3)
    assert widths(image, spacing) == pytest.approx(expected, rel=0.03)
    assert image.sum() == pytest.approx(1, rel=1e-3)


def test_a_confocal_sees_finer_the_narrower_its_pinhole() -> None:
    wide, narrow = (replace(CLEAR, microscope="confocal", pinhole=p).psf for p in (3.0, 1.0))
    assert all(n < w < c for n, w, c in zip(narrow, wide, CLEAR.psf, strict=True))
    # two equal Gaussians multiplied would be narrower by sqrt(2); excitation is shorter still
    assert narrow[1] == pytest.approx(0.11254 / 1.12 / np.sqrt(1 + 1.12**-2), rel=1e-3)


def test_haze_keeps_the_light_and_spreads_it() -> None:
    light = np.zeros((40, 60, 60), np.float32)
    light[20, 30, 30] = 1000
    spacing = (0.5, 0.4, 0.4)
    hazy = stack_optics.through_lens(light, spacing, replace(CLEAR, haze=0.5))
    clear = stack_optics.through_lens(light, spacing, CLEAR)
    assert hazy.max() == pytest.approx(clear.max() / 2, rel=0.05)
    assert hazy[20, 30, 50] > clear[20, 30, 50]


@pytest.mark.parametrize(("excess", "read_noise"), [(1.0, 0.0), (1.8, 0.0), (1.0, 4.0)])
def test_noise_is_that_of_photons_and_of_reading(excess: float, read_noise: float) -> None:
    optics = replace(CLEAR, excess=excess, read_noise=read_noise)
    photons = np.full((40, 64, 64), 50.0)
    grey = stack_optics.recorded(photons, optics, np.random.default_rng(0)).astype(float)
    gain = (0.5 * 65535 - 100) / 50
    assert grey.mean() == pytest.approx(100 + gain * 50, rel=5e-3)
    assert grey.var() == pytest.approx(gain**2 * (50 * excess + read_noise**2), rel=0.02)


def test_light_is_lost_with_depth_and_time() -> None:
    image = np.ones((11, 8, 8), np.float32)
    rng = np.random.default_rng(0)
    photons = stack_optics.lit(image, (1, 1, 1), replace(CLEAR, attenuation=1.0), rng)
    assert photons[:, 0, 0] == pytest.approx(100 * np.exp(-np.linspace(0, 1, 11)), rel=1e-4)
    photons = stack_optics.lit(image, (1, 1, 1), replace(CLEAR, bleaching=0.5), rng)
    assert photons[-1, 0, 0] / photons[0, 0, 0] == pytest.approx(np.exp(0.5), rel=1e-4)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_grey_values_fill_the_range_of_the_file(bits: int) -> None:
    optics = replace(CLEAR, bits=bits, exposure=1.5, offset=10)
    photons = np.linspace(0, 200, 8 * 32 * 32).reshape(8, 32, 32)
    grey = stack_optics.recorded(photons, optics, np.random.default_rng(0))
    assert grey.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert grey.max() == 2**bits - 1


@given(seed=st.integers(0, 10_000))
def test_centres_are_pushed_apart(seed: int) -> None:
    centres = np.random.default_rng(seed).uniform(0, 40, (25, 3))
    moved = stack_nuclei.push_apart(centres, np.full(25, 3.0))
    assert pdist(moved).min() > 0.95 * 6


def test_a_field_is_smooth_with_mean_0_and_variance_1() -> None:
    rng = np.random.default_rng(0)
    field = stack_fields.smooth_field(rng, (60, 120, 120), (1.0, 0.5, 0.5), 2.0)
    assert abs(field.mean()) < 0.05
    assert field.var() == pytest.approx(1, abs=0.1)
    # voxels a tenth of the length apart hardly differ, those three lengths apart are unrelated
    assert np.abs(np.diff(field[::, ::, :], axis=2)).mean() < 0.3
    far = np.corrcoef(field[:, :, :-12].ravel(), field[:, :, 12:].ravel())[0, 1]
    assert abs(far) < 0.1


def test_only_the_largest_piece_of_a_nucleus_is_kept() -> None:
    labels = np.zeros((3, 12, 12), np.uint16)
    labels[:, 1:5, 1:5] = 7
    labels[0, 8, 8] = 7  # cut off
    labels[0, 10, 10] = 3  # too small
    tidied = stack_nuclei.tidy(labels)
    assert tidied.max() == 1
    assert (tidied == 1).sum() == 48


def test_the_command_writes_stacks_with_truth_and_spacing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["stacks", "--count", "2", "--seed", "7", "--output", str(tmp_path), "--size"]
    monkeypatch.setattr("sys.argv", [*line, *map(str, SMALL)])
    assert stacks.main() == 0
    told = json.loads((tmp_path / "stacks.json").read_text())
    assert len(told) == len(capsys.readouterr().out.splitlines()) == 2
    for seed, (name, scene) in zip((7, 8), told.items(), strict=True):
        expected, truth = stacks.generate(stacks.random_scene(seed, size=SMALL))
        image = read(tmp_path / "images" / f"{name}.ome.tif")
        labels = read(tmp_path / "labels" / f"{name}.ome.tif", labels=True)
        assert np.array_equal(image.numpy(), expected)
        assert np.array_equal(labels.numpy(), truth)
        assert image.grid.spacing_in("µm") == pytest.approx(scene["spacing"])
        assert scene["nuclei"] == truth.max()
