"""How images look when they are opened: windows, inverted grey, levels, colour, time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Layer
from pydicom.dataset import Dataset
from tests.io.dicom_files import axial, mr_slice, save
from tests.io.test_ome_zarr import VOXELS, make

from napari_monai import Volume, read, read_all
from napari_monai._napari.image_look import background
from napari_monai._napari.layers import image_layers, volume_of
from napari_monai.grid import Grid
from napari_monai.io import ome_zarr, tiff

HEIGHTS = (0.0, 2.5, 5.0)
PATIENT = Grid((20, 20, 20), np.diag((-1.0, -1.0, 1.0, 1.0)))


def layers(volume: Volume) -> list[Any]:
    return [Layer.create(*d) for d in image_layers(volume)]


def opened(folder: Path, made: list[Dataset]) -> Any:
    """Return the only layer of a DICOM series."""
    (volume,) = read_all(save(folder, made))
    (layer,) = layers(volume)
    return layer


@pytest.mark.parametrize(
    ("elements", "limits"),
    [
        pytest.param({"WindowCenter": 40, "WindowWidth": 80}, (0, 79), id="brain"),
        pytest.param(
            {"WindowCenter": [50, -600], "WindowWidth": [400, 1500]}, (-150, 249), id="two"
        ),
        pytest.param(
            {"WindowCenter": 40, "WindowWidth": 80, "VOILUTFunction": "LINEAR_EXACT"},
            (0, 80),
            id="exact",
        ),
        pytest.param({}, (-160, 240), id="none: soft tissue"),
        pytest.param({"WindowCenter": 40, "WindowWidth": 0}, (-160, 240), id="no width"),
        pytest.param({"WindowCenter": "x", "WindowWidth": 80}, (-160, 240), id="no number"),
    ],
)
def test_window_of_a_ct(elements: dict[str, Any], limits: Any, tmp_path: Path) -> None:
    made = axial(HEIGHTS)
    for one in made:
        for key, value in elements.items():
            one.add_new(key, "DS" if key.startswith("W") else "CS", None)
            one[key]._value = value
    assert tuple(opened(tmp_path, made).contrast_limits) == limits


def test_window_of_no_use_is_left_out(tmp_path: Path) -> None:
    """Some scanners say the window of a PET in other numbers than the values are in."""
    made = [mr_slice((0, 0, z), number=n) for n, z in enumerate(HEIGHTS)]
    for one in made:
        one.WindowCenter, one.WindowWidth = 90_000, 10
    low, high = opened(tmp_path, made).contrast_limits
    assert 0 <= low < 200
    assert 3900 < high < 4096


def test_film_is_shown_inverted_with_its_values_kept(tmp_path: Path) -> None:
    made = axial(HEIGHTS, PhotometricInterpretation="MONOCHROME1")
    layer = opened(tmp_path, made)
    assert layer.colormap.name == "gray_r"
    np.testing.assert_array_equal(
        np.asarray(layer.data[-1]), made[0].pixel_array.astype(int) - 1024
    )
    plain = opened(tmp_path / "plain", axial(HEIGHTS))
    assert plain.colormap.name == "gray"


def test_ct_is_told_by_air_and_tissue(shared_data: Path) -> None:
    (ct,) = layers(read(shared_data / "ct" / "ct.nii.gz"))
    assert tuple(ct.contrast_limits) == (-160, 240)
    (brain,) = layers(read(shared_data / "nifti" / "chris_PD.nii.gz"))
    assert tuple(brain.contrast_limits) != (-160, 240)


@pytest.mark.parametrize(
    ("low", "share", "grid"),
    [
        pytest.param(0, 0.5, PATIENT, id="magnetic resonance has no negative numbers"),
        pytest.param(-1000, 0.01, PATIENT, id="no air"),
        pytest.param(-1000, 0.5, Grid.from_spacing((20, 20, 20)), id="no patient"),
        pytest.param(-32768, 0.5, PATIENT, id="other numbers"),
    ],
)
def test_what_is_no_ct(low: int, share: float, grid: Grid) -> None:
    data = np.random.default_rng(0).integers(0, 200, (20, 20, 20)).astype(np.int16)
    data[: round(20 * share) or 1, : 20 if share > 0.1 else 2] = low
    (layer,) = layers(Volume(data, grid))
    assert tuple(layer.contrast_limits) != (-160, 240)


def test_one_value_has_no_limits() -> None:
    (layer,) = layers(Volume(np.full((20, 20, 20), 7.0), PATIENT))
    assert layer.contrast_limits[0] < layer.contrast_limits[1]


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (np.pad(np.ones((2, 2, 2)), 1, constant_values=-1024), -1024),
        (np.full((3, 3, 3), np.nan), 0),
        (np.pad(np.ones((1, 2, 2, 2)), ((0, 0), (1, 1), (1, 1), (1, 1)), constant_values=5), 5),
    ],
)
def test_background(data: np.ndarray, value: float) -> None:
    assert background(data) == value


# -- several resolutions -----------------------------------------------------------------------


def test_levels_of_an_ome_zarr_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ome_zarr, "LAZY_FROM", 0)
    volume = read(make(tmp_path / "cells.ome.zarr", levels=3))
    one, two = (layer for layer in layers(volume)[:2])
    assert one.multiscale
    assert [tuple(level.shape) for level in one.data] == [
        (2, 8, 30, 41),
        (2, 8, 15, 21),
        (2, 8, 8, 11),
    ]
    for number, level in enumerate(two.data):
        step = 2**number
        np.testing.assert_array_equal(np.asarray(level), VOXELS[:, 1, :, ::step, ::step])
    assert tuple(two.scale) == (0.25, 2, 0.5, 0.25)
    assert volume_of(two, whole=True) is volume
    np.testing.assert_array_equal(volume_of(two).numpy(), VOXELS[:, 1])


def test_levels_of_what_fits_the_memory_are_not_needed(tmp_path: Path) -> None:
    volume = read(make(tmp_path / "cells.ome.zarr", levels=3))
    assert not any(layer.multiscale for layer in layers(volume))


@pytest.mark.parametrize("rgb", [False, True])
def test_levels_of_a_tiff_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rgb: bool
) -> None:
    monkeypatch.setattr(tiff, "LAZY_FROM", 0)
    shape = (96, 128, 3) if rgb else (96, 128)
    data = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    path = tmp_path / "slide.ome.tif"
    how = {"tile": (32, 32), "compression": "zlib", "photometric": "rgb" if rgb else "minisblack"}
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(data, subifds=1, metadata={"axes": "YXS"[: data.ndim]}, **how)
        tif.write(data[::2, ::2], subfiletype=1, **how)
    volume = read(path)
    (layer,) = layers(volume)
    assert layer.multiscale
    assert layer.rgb == rgb
    np.testing.assert_array_equal(np.asarray(layer.data[0]), data)
    np.testing.assert_array_equal(np.asarray(layer.data[1]), data[::2, ::2])
    assert volume_of(layer) is volume


# -- colour and time ---------------------------------------------------------------------------


def test_palette_of_a_picture_is_shown_in_colour(tmp_path: Path) -> None:
    from PIL import Image

    picture = Image.fromarray(np.eye(8, dtype=np.uint8), "P")
    picture.putpalette([0, 0, 0, 255, 128, 0])
    picture.save(tmp_path / "picture.png")
    (layer,) = layers(read(tmp_path / "picture.png"))
    assert layer.rgb
    np.testing.assert_array_equal(layer.data[3, 3], (255, 128, 0))


def test_colour_dicom_is_shown_in_colour(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 5, 3)).astype(np.uint8)
    made = axial(
        HEIGHTS, pixels=pixels[..., 0], PhotometricInterpretation="RGB", RescaleSlope=None,
        RescaleIntercept=None,
    )  # fmt: skip
    for one in made:
        one.SamplesPerPixel, one.PlanarConfiguration = 3, 0
        one.PixelData = pixels.tobytes()
    layer = opened(tmp_path, made)
    assert layer.rgb
    np.testing.assert_array_equal(np.asarray(layer.data[0]), pixels)
    assert layer.axis_labels == ("z", "y", "x")


def test_time_series_of_a_patient(shared_data: Path) -> None:
    (volume,) = read_all(shared_data / "dicom" / "enhanced_fmri")
    (layer,) = layers(volume)
    assert layer.axis_labels == ("t", "z", "y", "x")
    assert layer.data.shape[0] == volume.times == 4
    assert layer.scale[0] == (volume.time_step or 1)
    at = volume.grid.reorientation_to()
    np.testing.assert_array_equal(np.asarray(layer.data[1]), at.apply(volume.at_time(1).numpy()))
