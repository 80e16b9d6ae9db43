"""The sample images: made by the committed script, right in space, and like what they stand for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from scipy import ndimage
from skimage.filters import threshold_otsu

NUCLEI = [
    pytest.param("nuclei_2d.tif", "nuclei_2d_truth.tif", id="2d"),
    pytest.param("nuclei_3d.ome.tif", "nuclei_3d_truth.ome.tif", id="3d"),
]


def volume(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return voxels and affine of a NIfTI, read by nibabel."""
    image = nib.load(path)
    assert isinstance(image, nib.Nifti1Image)
    return np.asanyarray(image.dataobj), image.affine


@pytest.fixture(scope="module")
def organs(sample_data: Path) -> dict[str, int]:
    """Return the number of each organ of the abdomen."""
    names = json.loads((sample_data / "abdomen_ct_truth.json").read_text())
    return {name: int(number) for number, name in names.items()}


@pytest.fixture(scope="module")
def ct(sample_data: Path) -> npt.NDArray[Any]:
    """Return the CT in Hounsfield units."""
    return volume(sample_data / "abdomen_ct.nii.gz")[0]


@pytest.fixture(scope="module")
def truth(sample_data: Path) -> npt.NDArray[Any]:
    """Return the organs of the CT."""
    return volume(sample_data / "abdomen_ct_truth.nii.gz")[0]


@pytest.mark.slow
def test_script_makes_the_committed_files(sample_data: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-B", sample_data / "generate.py", "--check"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_of_it_is_small(sample_data: Path) -> None:
    assert sum(path.stat().st_size for path in sample_data.glob("*.*")) < 3_000_000


@pytest.mark.parametrize(("image", "labels"), NUCLEI)
def test_each_nucleus_is_one_bright_piece(sample_data: Path, image: str, labels: str) -> None:
    picture = tifffile.imread(sample_data / image)
    nuclei = tifffile.imread(sample_data / labels)
    assert picture.shape == nuclei.shape
    count = int(nuclei.max())
    assert 80 < count < 200
    assert np.array_equal(np.unique(nuclei), np.arange(count + 1))
    smooth = ndimage.gaussian_filter(picture.astype(float), 1)
    background = np.median(smooth[nuclei == 0])
    dim = 0
    for number, box in enumerate(ndimage.find_objects(nuclei), 1):
        assert ndimage.label(nuclei[box] == number)[1] == 1
        dim += smooth[box][nuclei[box] == number].mean() < 1.5 * background
    assert dim < 0.05 * count


def test_nuclei_are_hard_for_a_threshold_but_not_hidden(sample_data: Path) -> None:
    picture = tifffile.imread(sample_data / "nuclei_2d.tif").astype(float)
    nuclei = tifffile.imread(sample_data / "nuclei_2d_truth.tif")
    smooth = ndimage.gaussian_filter(picture, 1)
    mask = np.log(smooth) > threshold_otsu(np.log(smooth))
    dice = 2 * (mask & (nuclei > 0)).sum() / (mask.sum() + (nuclei > 0).sum())
    pieces = ndimage.label(mask)[1]
    assert dice > 0.9
    assert pieces < 0.8 * nuclei.max(), "nothing touches: too easy to be worth a network"


def test_pixel_size_of_the_2d_nuclei(sample_data: Path) -> None:
    for name in ("nuclei_2d.tif", "nuclei_2d_truth.tif"):
        with tifffile.TiffFile(sample_data / name) as tiff:
            tags = tiff.pages.first.tags
            across, along = (tags[tag].value for tag in ("XResolution", "YResolution"))
            assert tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER
        assert across == along == (20_000, 1)  # 0.5 µm


def test_voxel_size_of_the_3d_nuclei(sample_data: Path) -> None:
    for name in ("nuclei_3d.ome.tif", "nuclei_3d_truth.ome.tif"):
        with tifffile.TiffFile(sample_data / name) as tiff:
            assert tiff.is_ome
            assert tiff.series[0].axes == "ZYX"
            pixels = tifffile.xml2dict(str(tiff.ome_metadata))["OME"]["Image"]["Pixels"]
        sizes = [(pixels[f"PhysicalSize{a}"], pixels[f"PhysicalSize{a}Unit"]) for a in "ZYX"]
        assert sizes == [(1.0, "µm"), (0.4, "µm"), (0.4, "µm")]


def test_ct_and_truth_share_a_grid_that_is_not_the_identity(sample_data: Path) -> None:
    values, affine = volume(sample_data / "abdomen_ct.nii.gz")
    labels, of_labels = volume(sample_data / "abdomen_ct_truth.nii.gz")
    assert values.dtype == np.int16
    assert values.shape == labels.shape
    assert np.array_equal(affine, of_labels)
    assert nib.aff2axcodes(affine) == ("L", "P", "S")
    assert np.allclose(nib.affines.voxel_sizes(affine), (3, 3, 4))


def test_every_organ_is_named_and_there(truth: npt.NDArray[Any], organs: dict[str, int]) -> None:
    assert sorted(organs.values()) == np.unique(truth)[1:].tolist()
    millilitres = np.bincount(truth.ravel()) * 36 / 1000
    assert 900 < millilitres[organs["liver"]] < 1900
    assert 90 < millilitres[organs["spleen"]] < 350
    for side in ("right", "left"):
        assert 100 < millilitres[organs[f"kidney_{side}"]] < 250


@pytest.mark.parametrize(
    ("organ", "low", "high"),
    [
        ("liver", 90, 130),
        ("spleen", 90, 140),
        ("kidney_right", 130, 210),
        ("aorta", 130, 200),
        ("gallbladder", -10, 30),
        ("lung_left", -900, -700),
        ("ribs", 200, 600),
    ],
)
def test_hounsfield_units(
    ct: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    organs: dict[str, int],
    organ: str,
    low: float,
    high: float,
) -> None:
    assert low < np.median(ct[truth == organs[organ]]) < high


def test_anatomy_is_the_right_way_round(
    sample_data: Path, ct: npt.NDArray[Any], truth: npt.NDArray[Any], organs: dict[str, int]
) -> None:
    affine = volume(sample_data / "abdomen_ct.nii.gz")[1]

    def centre(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return the centre in mm to the right, the front, the head."""
        return np.asarray(affine[:3, :3] @ np.argwhere(mask).mean(0) + affine[:3, 3])

    at = {name: centre(truth == number) for name, number in organs.items()}
    assert at["liver"][0] > at["spleen"][0] + 100
    assert at["kidney_right"][0] > at["kidney_left"][0] + 100
    assert at["vertebrae"][1] < at["aorta"][1] < at["colon"][1]
    assert at["hips"][2] < at["kidney_left"][2] < at["liver"][2] < at["lung_right"][2]
    stomach = truth == organs["stomach"]
    air = stomach & (ct < -800)
    assert 0.1 < air.sum() / stomach.sum() < 0.6
    assert centre(air)[1] > centre(stomach)[1], "air rises to the front of who lies on the back"
