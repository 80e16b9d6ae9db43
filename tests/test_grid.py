"""The grid against its own inverses and against nibabel's orientation functions."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel import orientations

from napari_monai.errors import GridError
from napari_monai.grid import UNITS, Grid, Reorientation, millimetres, unit_name

ALL_CODES = sorted(
    "".join(letters)
    for order in itertools.permutations(("RL", "AP", "SI"))
    for letters in itertools.product(*order)
)

lengths = st.integers(1, 9)
steps = st.floats(0.05, 20)
angles = st.floats(-np.pi, np.pi)


def rotation(a: float, b: float, c: float) -> npt.NDArray[np.float64]:
    """Return the rotation by three Euler angles."""
    z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    y = np.array([[np.cos(c), 0, np.sin(c)], [0, 1, 0], [-np.sin(c), 0, np.cos(c)]])
    return np.asarray(z @ x @ y, dtype=np.float64)


@st.composite
def grids(draw: st.DrawFn, ndims: tuple[int, ...] = (2, 3)) -> Grid:
    """Draw grids of every tilt, spacing and position, some with a shear."""
    n = draw(st.sampled_from(ndims))
    affine = np.eye(4)
    matrix = rotation(draw(angles), draw(angles), draw(angles)) * [draw(steps) for _ in range(3)]
    shear = np.eye(3)
    shear[0, 2] = draw(st.floats(-0.5, 0.5))
    affine[:3, :3] = matrix @ shear
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    shape = tuple(draw(lengths) for _ in range(n))
    return Grid(shape, affine, draw(st.sampled_from(UNITS)), draw(st.booleans()))


@st.composite
def reorientations(draw: st.DrawFn, n: int) -> Reorientation:
    axes = tuple(draw(st.permutations(range(n))))
    return Reorientation(axes, tuple(draw(st.booleans()) for _ in range(n)))


def box(shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return the index of every voxel, shape (*shape, ndim)."""
    return np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)


def of_codes(codes: str, shape: tuple[int, ...] = (4, 5, 6)) -> Grid:
    """Return a grid whose axes run towards ``codes``, of spacing 2, 3, 4 mm."""
    affine = orientations.inv_ornt_aff(
        orientations.ornt_transform(
            orientations.axcodes2ornt("RAS"), orientations.axcodes2ornt(codes)
        ),
        (1, 1, 1),
    )
    affine = affine @ np.diag([2, 3, 4, 1])
    affine[:3, 3] = (-20, 7, 100)
    return Grid(shape, affine)


class TestPositions:
    @given(grids(), st.data())
    def test_index_to_world_and_back(self, grid: Grid, data: st.DataObject) -> None:
        index = [data.draw(st.floats(-50, 50)) for _ in range(grid.ndim)]
        back = grid.world_to_index(grid.index_to_world(index))
        np.testing.assert_allclose(back, index, atol=1e-6)

    def test_literal(self) -> None:
        grid = Grid((10, 10, 10), [[2, 0, 0, -5], [0, 3, 0, 1], [0, 0, 4, 0], [0, 0, 0, 1]])
        np.testing.assert_array_equal(grid.index_to_world([1, 1, 1]), [-3, 4, 4])
        np.testing.assert_array_equal(grid.world_to_index([-3, 4, 4]), [1, 1, 1])
        np.testing.assert_array_equal(grid.centre, [4, 14.5, 18])
        assert grid.spacing == (2, 3, 4)
        assert grid.orientation == "RAS"
        assert grid.voxel_volume == pytest.approx(24)

    @given(grids(ndims=(3,)), st.integers(0, 2**32 - 1))
    def test_many_points_at_once_as_nibabel(self, grid: Grid, seed: int) -> None:
        index = np.random.default_rng(seed).uniform(-9, 9, (4, 5, 3))
        np.testing.assert_allclose(
            grid.index_to_world(index), nib.affines.apply_affine(grid.affine, index), atol=1e-9
        )

    @given(grids(ndims=(3,)))
    def test_voxel_volume_is_the_determinant(self, grid: Grid) -> None:
        assert grid.voxel_volume == pytest.approx(abs(np.linalg.det(grid.affine[:3, :3])))

    def test_area_of_a_picture(self) -> None:
        assert Grid.from_spacing((5, 5), (2, 3)).voxel_volume == pytest.approx(6)

    def test_a_point_off_the_slice_drops_onto_it(self) -> None:
        grid = Grid.from_spacing((8, 9), (2, 3))
        above = grid.index_to_world([4, 5]) + (0, 0, 7)
        np.testing.assert_allclose(grid.world_to_index(above), [4, 5])


class TestOrientation:
    @pytest.mark.parametrize("codes", ALL_CODES)
    @pytest.mark.parametrize("tilt", [0.0, 12.0], ids=["straight", "oblique"])
    def test_codes_as_nibabel(self, codes: str, tilt: float) -> None:
        grid = of_codes(codes)
        affine = grid.affine.copy()
        affine[:3, :3] = rotation(np.deg2rad(tilt), 0.1 * bool(tilt), 0) @ affine[:3, :3]
        tilted = Grid(grid.shape, affine)
        assert tilted.orientation == "".join(nib.aff2axcodes(affine)) == codes
        assert tilted.is_oblique == (tilt != 0)
        assert tilted.is_orthogonal

    @pytest.mark.parametrize("wanted", ["RAS", "IPL", "LPS", "SRA", "ALI"])
    @pytest.mark.parametrize("codes", ALL_CODES)
    def test_voxels_and_affine_as_nibabel(self, codes: str, wanted: str) -> None:
        grid = of_codes(codes)
        array = np.arange(4 * 5 * 6).reshape(4, 5, 6)
        how = grid.reorientation_to(wanted)
        transform = orientations.ornt_transform(
            orientations.io_orientation(grid.affine), orientations.axcodes2ornt(wanted)
        )
        np.testing.assert_array_equal(
            how.apply(array), orientations.apply_orientation(array, transform)
        )
        expected = grid.affine @ orientations.inv_ornt_aff(transform, grid.shape)
        moved = grid.reoriented(how)
        np.testing.assert_allclose(moved.affine, expected, atol=1e-9)
        assert moved.orientation == wanted
        assert moved == grid.oriented(wanted)

    @given(grids(), st.data())
    def test_a_voxel_keeps_its_place(self, grid: Grid, data: st.DataObject) -> None:
        how = data.draw(reorientations(grid.ndim))
        places = grid.index_to_world(box(grid.shape))  # (*shape, 3): the world axis stays last
        moved = np.moveaxis(how.apply(np.moveaxis(places, -1, 0)), 0, -1)
        expected = grid.reoriented(how).index_to_world(box(grid.reoriented(how).shape))
        np.testing.assert_allclose(moved, expected, atol=1e-6)

    @given(st.integers(1, 3).flatmap(reorientations), st.data())
    def test_there_and_back_is_exact(self, how: Reorientation, data: st.DataObject) -> None:
        shape = tuple(data.draw(lengths) for _ in how.axes)
        array = np.arange(2 * int(np.prod(shape))).reshape(2, *shape)
        np.testing.assert_array_equal(how.inverse().apply(how.apply(array)), array)
        assert how.inverse().inverse() == how

    @given(grids(), st.data())
    def test_grid_there_and_back(self, grid: Grid, data: st.DataObject) -> None:
        how = data.draw(reorientations(grid.ndim))
        back = grid.reoriented(how).reoriented(how.inverse())
        assert back.is_close(grid, tolerance=1e-6)
        assert (back.shape, back.unit, back.anatomical) == (grid.shape, grid.unit, grid.anatomical)

    def test_reorienting_copies_nothing(self) -> None:
        array = np.zeros((2, 3, 4))
        assert np.shares_memory(Reorientation((2, 0, 1), (True, False, True)).apply(array), array)

    def test_the_display_frame_leaves_pictures_and_stacks_alone(self) -> None:
        for shape in ((7, 5), (4, 7, 5)):
            grid = Grid.from_spacing(shape, unit="µm")
            assert grid.oriented() == grid
            assert not any(grid.reorientation_to().flips)

    def test_a_slice_takes_the_codes_of_the_axes_it_has(self) -> None:
        grid = Grid((4, 5), np.diag([2.0, 3, 4, 1]))
        how = grid.reorientation_to("IPL")
        assert how == Reorientation((1, 0), (True, True))
        assert grid.oriented().orientation == "PL"

    @pytest.mark.parametrize("codes", ["RAA", "RA", "XYZ", "", "RASL"])
    def test_no_orientation(self, codes: str) -> None:
        with pytest.raises(GridError, match="Not an orientation"):
            Grid.from_spacing((2, 2, 2)).reorientation_to(codes)

    @pytest.mark.parametrize(
        ("axes", "flips"), [((0, 0), (False, False)), ((0, 1), (True,)), ((1, 2), (True, True))]
    )
    def test_no_reorientation(self, axes: tuple[int, ...], flips: tuple[bool, ...]) -> None:
        with pytest.raises(GridError, match="Not a reorientation"):
            Reorientation(axes, flips)

    def test_axes_that_do_not_fit(self) -> None:
        how = Reorientation((1, 0), (False, False))
        with pytest.raises(GridError, match="1-D array"):
            how.apply(np.zeros(3))
        with pytest.raises(GridError, match="does not fit 3"):
            Grid.from_spacing((2, 2, 2)).reoriented(how)


class TestGridsMadeOfIt:
    @given(grids(), st.data())
    def test_crop_keeps_places(self, grid: Grid, data: st.DataObject) -> None:
        start = [data.draw(st.integers(-4, n)) for n in grid.shape]
        part = grid.crop(start, tuple(data.draw(lengths) for _ in start))
        index = [data.draw(st.integers(0, n - 1)) for n in part.shape]
        np.testing.assert_allclose(
            part.index_to_world(index), grid.index_to_world(np.add(index, start)), atol=1e-6
        )

    def test_crop_as_slicing_in_nibabel(self) -> None:
        image: Any = nib.Nifti1Image(np.zeros((8, 9, 10), np.uint8), of_codes("LPS").affine)
        part = Grid(image.shape, image.affine).crop((1, 2, 3), (4, 5, 6))
        expected = image.slicer[1:5, 2:7, 3:9]
        assert part.shape == expected.shape
        np.testing.assert_allclose(part.affine, expected.affine)

    @given(grids(), st.data())
    def test_with_spacing_keeps_the_centre(self, grid: Grid, data: st.DataObject) -> None:
        wanted = [data.draw(st.floats(0.5, 2)) * s for s in grid.spacing]
        other = grid.with_spacing(wanted)
        np.testing.assert_allclose(other.spacing, wanted)
        np.testing.assert_allclose(other.centre, grid.centre, atol=1e-6)
        np.testing.assert_allclose(other.direction, grid.direction, atol=1e-9)
        before = np.multiply(grid.shape, grid.spacing)
        after = np.multiply(other.shape, wanted)
        single = np.asarray(other.shape) == 1
        assert (single | (np.abs(after - before) <= np.divide(wanted, 2) * (1 + 1e-9))).all()

    @given(grids(), st.data())
    def test_with_shape_keeps_the_field_of_view(self, grid: Grid, data: st.DataObject) -> None:
        other = grid.with_shape([data.draw(lengths) for _ in grid.shape])
        for corner in itertools.product((-0.5, 0.5), repeat=grid.ndim):
            ends = [
                g.index_to_world((np.asarray(g.shape) - 1) / 2 + np.multiply(corner, g.shape))
                for g in (grid, other)
            ]
            np.testing.assert_allclose(*ends, atol=1e-6)

    def test_with_spacing_literal(self) -> None:
        grid = Grid.from_spacing((10, 10), (1, 1), unit="mm").with_spacing((2, 4))
        assert grid.shape == (5, 3)  # 2.5 is rounded up
        np.testing.assert_allclose(grid.index_to_world([0, 0]), [-0.5, -0.5, 0])

    @pytest.mark.parametrize("spacing", [(1, 0), (1, -1), (1, np.nan), (1, np.inf), (1,)])
    def test_no_spacing(self, spacing: tuple[float, ...]) -> None:
        with pytest.raises(GridError, match="2 positive numbers"):
            Grid.from_spacing((3, 3)).with_spacing(spacing)
        with pytest.raises(GridError, match="2 positive numbers"):
            Grid.from_spacing((3, 3), spacing)

    def test_numbers_that_do_not_fit(self) -> None:
        grid = Grid.from_spacing((3, 3))
        with pytest.raises(GridError, match="2 axes"):
            grid.crop((1,), (2, 2))
        with pytest.raises(GridError, match="2 numbers"):
            grid.with_shape((1, 2, 3))
        with pytest.raises(GridError, match="Origin needs 2"):
            Grid.from_spacing((3, 3), origin=(1, 2, 3))


class TestFromSpacing:
    def test_a_stack_runs_inferior_posterior_left(self) -> None:
        grid = Grid.from_spacing((4, 5, 6), (3, 2, 1), unit="um", origin=(10, 20, 30))
        np.testing.assert_array_equal(grid.index_to_world([0, 0, 0]), [-30, -20, -10])
        np.testing.assert_array_equal(grid.index_to_world([1, 2, 3]), [-33, -24, -13])
        assert grid.orientation == "IPL"
        assert grid.unit == "µm"
        assert not grid.anatomical

    def test_a_picture_lies_in_the_plane_of_slice_0(self) -> None:
        grid = Grid.from_spacing((5, 6), (2, 1))
        np.testing.assert_array_equal(grid.index_to_world([1, 1]), [-1, -2, 0])
        np.testing.assert_array_equal(
            grid.affine[:, :2], Grid.from_spacing((4, 5, 6), (1, 2, 1)).affine[:, 1:3]
        )

    @given(st.lists(steps, min_size=1, max_size=3))
    def test_spacing_is_exact(self, spacing: list[float]) -> None:
        assert Grid.from_spacing([3] * len(spacing), spacing).spacing == tuple(spacing)


class TestValues:
    @given(grids())
    def test_equal_grids_hash_alike_and_survive_copies(self, grid: Grid) -> None:
        for other in (pickle.loads(pickle.dumps(grid)), copy.deepcopy(grid), copy.copy(grid)):
            assert other == grid
            assert hash(other) == hash(grid)
            assert not other.affine.flags.writeable

    def test_the_sign_of_a_zero_is_no_difference(self) -> None:
        minus = np.eye(4)
        minus[0, 1] = -0.0
        assert Grid((2, 2), minus) == Grid((2, 2), np.eye(4))
        assert hash(Grid((2, 2), minus)) == hash(Grid((2, 2), np.eye(4)))

    @pytest.mark.parametrize(
        "other",
        [
            Grid((3, 4), np.eye(4), "mm", False),
            Grid((4, 3), np.eye(4), "µm", False),
            Grid((4, 3), np.eye(4), "mm", True),
            Grid((4, 3), np.diag([1, 1, 2, 1]), "mm", False),
            "a grid",
        ],
        ids=["shape", "unit", "anatomical", "affine", "type"],
    )
    def test_unequal(self, other: object) -> None:
        assert Grid((4, 3), np.eye(4), "mm", False) != other

    def test_is_close_measures_in_voxels(self) -> None:
        grid = Grid((100, 100, 100), np.diag([0.001, 0.001, 0.001, 1]))
        affine = grid.affine.copy()
        affine[0, 0] *= 1 + 1e-6
        assert grid.is_close(Grid(grid.shape, affine))
        affine[0, 0] *= 1 + 1e-3  # a tenth of a voxel at the far end
        assert not grid.is_close(Grid(grid.shape, affine))
        assert not grid.is_close(Grid(grid.shape, grid.affine, "µm"))
        assert not grid.is_close(grid.crop((0, 0, 0), (99, 100, 100)))

    def test_it_cannot_be_changed(self) -> None:
        affine = np.eye(4)
        grid = Grid((2, 2), affine)
        affine[0, 0] = 5
        assert grid.spacing == (1, 1)
        with pytest.raises(ValueError, match="read-only"):
            grid.affine[0, 0] = 2
        with pytest.raises(AttributeError):
            grid.unit = "m"  # type: ignore[misc]

    @pytest.mark.parametrize(
        ("shape", "affine", "message"),
        [
            ((), np.eye(4), "1 to 3 axes"),
            ((2, 0), np.eye(4), "1 to 3 axes"),
            ((2, 2, 2, 2), np.eye(4), "1 to 3 axes"),
            ((2, 2), np.eye(3), "4x4"),
            ((2, 2), np.full((4, 4), np.nan), "finite"),
            ((2, 2), np.ones((4, 4)), "last row"),
            ((2, 2), np.diag([1, 0, 1, 1]), "singular"),
            ((2, 2), [[1, 2, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "singular"),
        ],
    )
    def test_no_grid(self, shape: tuple[int, ...], affine: Any, message: str) -> None:
        with pytest.raises(GridError, match=message):
            Grid(shape, affine)

    def test_tiny_voxels_are_not_singular(self) -> None:
        assert Grid((2, 2, 2), np.diag([1e-6, 1e-6, 1e-6, 1]), "m").spacing == (1e-6,) * 3

    def test_shear_is_seen(self) -> None:
        sheared = np.eye(4)
        sheared[1, 2] = 0.3
        assert not Grid((3, 3, 3), sheared).is_orthogonal


class TestUnits:
    @pytest.mark.parametrize(
        ("name", "unit"),
        [("um", "µm"), ("\u03bcm", "µm"), ("\u00b5m", "µm"), ("Micron", "µm"), (" mm ", "mm"),
         ("millimetre", "mm"), ("", "pixel"), ("px", "pixel"), ("nm", "nm"), ("m", "m")],
    )  # fmt: skip
    def test_names(self, name: str, unit: str) -> None:
        assert unit_name(name) == unit

    def test_unknown(self) -> None:
        with pytest.raises(GridError, match=r"No unit of length named 'furlong'\. Known: m, cm"):
            unit_name("furlong")

    def test_spacing_in_another_unit(self) -> None:
        grid = Grid.from_spacing((3, 3), (0.5, 2), unit="µm")
        np.testing.assert_allclose(grid.spacing_in("nm"), (500, 2000))
        np.testing.assert_allclose(grid.spacing_in("mm"), (0.0005, 0.002))

    def test_pixels_have_no_size(self) -> None:
        with pytest.raises(GridError, match="set the pixel size first"):
            Grid.from_spacing((3, 3)).spacing_in("mm")
        assert millimetres("m") == 1000
