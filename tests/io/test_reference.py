"""Labels on to the grid of the image that they belong to, voxel for voxel."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.io.dicom_files import axial, save

from napari_monai import io
from napari_monai.errors import GridError, ReadError, VolumeError
from napari_monai.grid import Grid, Reorientation
from napari_monai.io.reference import labels_on
from napari_monai.volume import LabelClass, LabelVolume, Volume

SHEARED = np.array(
    [[0.3, 0.0, -2.5, 9.0], [0.1, 0.7, 0.0, -4.0], [1.1, 0.2, 0.1, 30.0], [0, 0, 0, 1]]
)
GRID = Grid((4, 5, 6), SHEARED)
TURNS = [
    Reorientation(axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]


def image(grid: Grid = GRID, name: str = "ct") -> Volume:
    return Volume(np.zeros(grid.shape, np.int16), grid, name=name, meta={"made": "here"})


def labels(grid: Grid = GRID) -> LabelVolume:
    array = np.random.default_rng(3).integers(0, 4, grid.shape).astype(np.uint8)
    return LabelVolume(array, grid, name="organs", classes=(LabelClass(2, "liver"),))


@pytest.mark.parametrize("how", TURNS)
def test_every_turn_and_flip_is_undone(how: Reorientation) -> None:
    ours = labels()
    turned = LabelVolume(how.apply(ours.numpy()), GRID.reoriented(how), classes=ours.classes)
    found = labels_on(turned, [image()])
    assert found.grid == GRID
    assert (found.meta["made"], found.classes) == ("here", ours.classes)
    np.testing.assert_array_equal(found.numpy(), ours.numpy())


@given(
    st.tuples(*[st.integers(-2, 2)] * 3),
    st.tuples(*[st.integers(1, 7)] * 3),
    st.sampled_from(TURNS),
)
def test_boxes_are_put_where_they_were_cut_out(
    start: tuple[int, ...], shape: tuple[int, ...], how: Reorientation
) -> None:
    whole = np.zeros((20, 20, 20), np.uint8)
    whole[8:12, 8:13, 8:14] = labels().numpy()  # the image's own voxels start at 8, 8, 8
    box = whole[tuple(slice(8 + a, 8 + a + n) for a, n in zip(start, shape, strict=True))]
    grid = GRID.crop(start, shape).reoriented(how)
    expected = np.zeros_like(whole)
    inside = tuple(slice(8 + a, 8 + a + n) for a, n in zip(start, shape, strict=True))
    expected[inside] = box
    if all(a < n and a + m > 0 for a, m, n in zip(start, shape, GRID.shape, strict=True)):
        found = labels_on(LabelVolume(how.apply(box), grid), [image()])
        np.testing.assert_array_equal(found.numpy(), expected[8:12, 8:13, 8:14])


def test_a_time_axis_stays() -> None:
    array = np.arange(2 * 120).reshape(2, 4, 5, 6)
    how = TURNS[-1]
    turned = LabelVolume(how.apply(array), GRID.reoriented(how), leading="t")
    np.testing.assert_array_equal(labels_on(turned, [image()]).numpy(), array)


def test_the_first_image_that_fits() -> None:
    other = image(GRID.crop((0, 0, 0), (2, 2, 2)), "other")
    coarse = image(GRID.with_spacing((2, 2, 2)), "coarse")
    assert labels_on(labels(), [coarse, other, image()]).grid == GRID


def moved(by: float) -> Grid:
    affine = SHEARED.copy()
    affine[:3, 3] += by * SHEARED[:3, 1]
    return Grid(GRID.shape, affine)


@pytest.mark.parametrize(
    "grid",
    [
        moved(0.3),
        moved(20.0),
        GRID.with_spacing([s * 1.05 for s in GRID.spacing]),
        Grid.from_spacing(GRID.shape, GRID.spacing, unit="mm"),
        Grid(GRID.shape, SHEARED, "µm"),
        GRID.crop((1, 0, 0), GRID.shape),
    ],
    ids=["part of a voxel", "elsewhere", "spacing", "turned", "unit", "labels outside"],
)
def test_what_does_not_fit_is_refused(grid: Grid) -> None:
    with pytest.raises(
        GridError, match=r"organs .*does not lie on the voxels of the reference"
    ) as e:
        labels_on(labels(grid), [image()])
    assert "\n" not in str(e.value)


def test_rounded_headers_fit() -> None:
    affine = SHEARED.astype(np.float32).astype(float) + 1e-5
    affine[3] = (0, 0, 0, 1)
    assert labels_on(labels(Grid(GRID.shape, affine)), [image()]).grid == GRID


class TestWrite:
    def test_on_a_folder_with_several_series(self, tmp_path: Path) -> None:
        save(tmp_path / "in", axial([0, 1, 2]), "a{:03}.dcm")
        save(tmp_path / "in", axial([0, 2.5, 5, 7.5], SeriesInstanceUID="1.2.3"), "b{:03}.dcm")
        volume = io.read_series(tmp_path / "in")[1]
        turned = volume.grid.reorientation_to("RAS")
        array = np.random.default_rng(0).integers(0, 3, volume.grid.shape).astype(np.uint8)
        other = LabelVolume(turned.apply(array), volume.grid.reoriented(turned))
        for reference in (tmp_path / "in", tmp_path / "in" / "b000.dcm", volume):
            io.write(tmp_path / "x.nii.gz", other, reference=reference)
            found = io.read(tmp_path / "x.nii.gz", labels=True)
            assert found.grid.is_close(volume.grid)
            np.testing.assert_array_equal(found.numpy(), array)

    def test_on_a_nifti(self, tmp_path: Path) -> None:
        io.write(tmp_path / "ct.nii.gz", image())
        box = labels(GRID.crop((1, 1, 1), (2, 2, 2)))
        io.write(tmp_path / "x.nii.gz", box, reference=tmp_path / "ct.nii.gz")
        assert io.read(tmp_path / "x.nii.gz").grid == io.read(tmp_path / "ct.nii.gz").grid

    def test_what_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(VolumeError, match="for labels only"):
            io.write(tmp_path / "x.nii.gz", image(), reference=image())
        with pytest.raises(ReadError, match="no file or folder"):
            io.write(tmp_path / "x.nii.gz", labels(), reference=tmp_path / "none")
        (tmp_path / "empty").mkdir()
        with pytest.raises(ReadError, match="no DICOM image"):
            io.write(tmp_path / "x.nii.gz", labels(), reference=tmp_path / "empty")
        assert not (tmp_path / "x.nii.gz").exists()
