"""Measurements: scikit-image's regionprops, bodies with known values, and brute force as judges."""

from __future__ import annotations

import math

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from scipy.spatial.transform import Rotation
from skimage.measure import label as components_of
from skimage.measure import regionprops

from napari_monai.errors import VolumeError
from napari_monai.events import BlockDone, Measured, Started
from napari_monai.labels import measure as module
from napari_monai.labels import runs
from napari_monai.labels.measure import measure, measure_steps, remeasure

SPACING = {2: (0.5, 2.0), 3: (3.0, 0.5, 2.0)}
ARRAYS = arrays.arrays(
    st.sampled_from([np.uint8, np.int32, np.uint16]),
    st.one_of(
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=8),
        arrays.array_shapes(min_dims=3, max_dims=3, max_side=6),
    ),
    elements=st.sampled_from([0, 0, 0, 1, 1, 2, 100]),
)


@pytest.fixture
def thin_slabs(monkeypatch):
    monkeypatch.setattr(runs, "PART", 1)


def _image(shape):
    return np.random.default_rng(0).integers(-900, 3000, shape).astype(np.int16)


def _pieces(labels, value):
    return components_of(labels == value, connectivity=labels.ndim).max()


def _same_as_scikit_image(labels, table, spacing, image):
    known = regionprops(labels, intensity_image=image, spacing=spacing)
    assert table.label.tolist() == [one.label for one in known]
    inner = [axis for axis, n in enumerate(labels.shape) if n > 1]
    for row, one in enumerate(known):
        start, stop = one.bbox[: labels.ndim], one.bbox[labels.ndim :]
        assert (tuple(table.start[row]), tuple(table.stop[row])) == (start, stop)
        assert table.box(row) == one.slice
        assert table.voxels[row] == one.num_pixels
        assert table.volume[row] == pytest.approx(one.area)
        assert table.world[row] == pytest.approx(one.centroid)
        assert table.centroid[row] * spacing == pytest.approx(one.centroid)
        assert table.mean[row] == pytest.approx(one.intensity_mean)
        assert (table.minimum[row], table.maximum[row]) == (one.intensity_min, one.intensity_max)
        assert table.border[row] == any(start[a] == 0 or stop[a] == labels.shape[a] for a in inner)
        assert table.components[row] == _pieces(labels, one.label)
        planes = np.any(labels == one.label, axis=tuple(range(1, labels.ndim)))
        assert table.slices[row] == (planes.sum() if labels.ndim == 3 else 1)
        where = (np.argwhere(labels == one.label) - table.centroid[row]) * spacing
        squares = np.linalg.eigvalsh(where.T @ where / len(where))[::-1].clip(0)
        assert table.axes[row] ** 2 == pytest.approx(4 * (labels.ndim + 2) * squares, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(ARRAYS)
def test_any_labels_are_as_scikit_image_measures_them(labels):
    spacing, image = SPACING[labels.ndim], _image(labels.shape)
    table = measure(labels, spacing=spacing, image=image)
    _same_as_scikit_image(labels, table, spacing, image)


@pytest.mark.usefixtures("thin_slabs")
@pytest.mark.parametrize("store", ["numpy", "fortran", "zarr", "dask", "memmap"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_slab_by_slab_from_any_store(tmp_path, store, ndim):
    smooth = ndimage.gaussian_filter(_image((13, 14, 15)[:ndim]).astype(float), 1.0)
    labels = (components_of(smooth > np.quantile(smooth, 0.8)) % 4).astype(np.uint16)
    image = _image(labels.shape)
    if store == "zarr":
        kept = zarr.create_array(
            tmp_path / "labels.zarr", data=labels, chunks=(4, 5, 6)[:ndim], overwrite=True
        )
    elif store == "memmap":
        np.save(tmp_path / "labels.npy", labels)
        kept = np.load(tmp_path / "labels.npy", mmap_mode="r")
    else:
        kept = {"dask": da.from_array, "fortran": np.asfortranarray, "numpy": np.asarray}[store](
            labels
        )
    table = measure(kept, spacing=SPACING[ndim], image=image)
    assert table.components.max() > 1
    _same_as_scikit_image(labels, table, SPACING[ndim], image)


def test_affine_leads_to_the_world():
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 2, 1:4] = 4
    affine = [[0, 0, -2, 10], [0, 3, 0, 20], [4, 0, 0, 30], [0, 0, 0, 1]]
    table = measure(labels, spacing=(4, 3, 2), affine=affine)
    assert table.centroid.tolist() == [[1, 2, 2]]
    assert table.world.tolist() == [[6, 26, 34]]


@pytest.mark.parametrize(
    ("ndim", "spacing"),
    [(2, (1, 1)), (2, (0.5, 2)), (3, (1, 1, 1)), (3, (2.5, 0.7, 1))],
    ids=["disk", "disk-anisotropic", "ball", "ball-anisotropic"],
)
def test_a_ball_is_round_however_it_is_cut_into_voxels(ndim, spacing):
    radius = 20.0
    places = [np.arange(-math.ceil(25 / s), math.ceil(25 / s) + 1) * s for s in spacing]
    grid = np.meshgrid(*places, indexing="ij")
    table = measure((sum(g**2 for g in grid) <= radius**2).astype(int), spacing=spacing)
    volume = math.pi * radius**2 if ndim == 2 else 4 / 3 * math.pi * radius**3
    assert table.volume[0] == pytest.approx(volume, rel=0.02)
    assert table.axes[0] == pytest.approx([2 * radius] * ndim, rel=0.02)
    assert table.roundness[0] == pytest.approx(1, abs=0.005)
    assert table.roundness[0] <= 1


@pytest.mark.parametrize("spacing", [(1, 1, 1), (2, 0.8, 1.3)], ids=["even", "anisotropic"])
def test_axes_of_a_turned_ellipsoid(spacing):
    half = np.array([20.0, 12.0, 8.0])
    turned = Rotation.from_euler("zyx", [30, 20, 50], degrees=True).as_matrix()
    places = [np.arange(-math.ceil(22 / s), math.ceil(22 / s) + 1) * s for s in spacing]
    grid = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1)
    labels = (((grid @ turned / half) ** 2).sum(axis=-1) <= 1).astype(np.uint8)
    table = measure(labels, spacing=spacing)
    assert table.axes[0] == pytest.approx(2 * half, rel=0.02)
    assert table.volume[0] == pytest.approx(4 / 3 * math.pi * half.prod(), rel=0.02)
    # The second moments of an ellipsoid over those of the ball of its volume.
    assert table.roundness[0] == pytest.approx(
        3 * half.prod() ** (2 / 3) / (half**2).sum(), rel=0.01
    )


@pytest.mark.parametrize(
    ("shape", "spacing", "roundness"),
    [
        # A square and a cube by the papers; a bar of a x b by the moments of a rectangle.
        pytest.param((6, 6), (1, 1), 3 / math.pi, id="square"),
        pytest.param((1, 1), (2, 2), 3 / math.pi, id="one-pixel"),
        pytest.param((6, 3), (1, 2), 3 / math.pi, id="square-anisotropic"),
        pytest.param((2, 8), (1, 1), 6 * 16 / (math.pi * 68), id="bar"),
        pytest.param((4, 4, 4), (1, 1, 1), 2.4 * (3 / (4 * math.pi)) ** (2 / 3), id="cube"),
        pytest.param((2, 4, 8), (2, 1, 0.5), 2.4 * (3 / (4 * math.pi)) ** (2 / 3), id="cube-mm"),
    ],
)
def test_roundness_of_boxes(shape, spacing, roundness):
    labels = np.pad(np.ones(shape, np.uint8), 1)
    assert measure(labels, spacing=spacing).roundness[0] == pytest.approx(roundness)


def test_only_the_values_asked_for():
    labels = np.array([[0, 1, 2], [3, 3, 2]])
    some = measure(labels, spacing=(1, 1), values=[3, 2, 9])
    assert some.label.tolist() == [2, 3]
    assert some.voxels.tolist() == [2, 2]
    assert some.mean is None


def test_nothing_at_all():
    table = measure(np.zeros((3, 4), np.uint8), spacing=(1, 1), image=np.ones((3, 4)))
    assert len(table) == 0
    assert table.centroid.shape == (0, 2)
    assert table.find([1, 2]).tolist() == [-1, -1]
    assert all(len(column) == 0 for column in table.columns().values())


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 3), (2, 3, 0)])
def test_an_empty_array(shape):
    assert len(measure(np.zeros(shape, int), spacing=(1,) * len(shape))) == 0


def test_labels_far_above_their_count():
    labels = np.array([[0, 2**31 - 2, 2**31 - 2], [7, 0, 70_000]], np.int32)
    table = measure(labels, spacing=(1, 1))
    assert table.label.tolist() == [7, 70_000, 2**31 - 2]
    assert table.voxels.tolist() == [1, 1, 2]


def test_steps_tell_how_far_they_are(monkeypatch):
    monkeypatch.setattr(runs, "PART", 8)
    events = list(measure_steps(np.ones((4, 2, 4), int), spacing=(1, 1, 1)))
    assert events[0] == Started(4, "slabs")
    assert events[1:-1] == [BlockDone(n, 4) for n in (1, 2, 3, 4)]
    assert isinstance(events[-1], Measured)
    assert events[-1].table.components.tolist() == [1]


@pytest.mark.parametrize(
    ("labels", "told", "message"),
    [
        pytest.param(np.zeros((2, 2)), {}, "whole numbers", id="floats"),
        pytest.param(np.zeros(2, int), {}, "2 or 3 axes", id="one-axis"),
        pytest.param(np.array([[-1]]), {}, "hold -1", id="negative"),
        pytest.param(np.ones((2, 2), int), {"spacing": (1, 0)}, "Spacing", id="spacing-0"),
        pytest.param(np.ones((2, 2), int), {"spacing": (1, 1, 1)}, "2 axes", id="spacing-3"),
        pytest.param(np.ones((2, 2), int), {"image": np.ones((2, 3))}, "image of", id="image"),
        pytest.param(np.ones((2, 2), int), {"affine": np.eye(4)}, "affine of", id="affine"),
    ],
)
def test_what_does_not_fit_is_said(labels, told, message):
    with pytest.raises(VolumeError, match=message) as caught:
        measure(labels, **{"spacing": (1, 1), **told})
    assert "\n" not in str(caught.value)


class TestRemeasure:
    @settings(max_examples=60, deadline=None)
    @given(ARRAYS, st.data())
    def test_is_as_measuring_all_again(self, labels, data):
        spacing, image = SPACING[labels.ndim], _image(labels.shape)
        before = measure(labels, spacing=spacing, image=image)
        ends = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in labels.shape]
        box = tuple(slice(*pair) for pair in ends)
        changed = labels.copy()
        changed[box] = data.draw(st.sampled_from([0, 1, 2, 7]))
        touched = np.unique(np.concatenate([labels[box], changed[box]], axis=None))
        known = measure(changed, spacing=spacing, image=image)
        boxes = data.draw(st.sampled_from([None, [box]]))
        again = remeasure(before, changed, touched, changed=boxes, image=image)
        for name, column in known.columns().items():
            np.testing.assert_allclose(again.columns()[name], column, err_msg=name)

    @pytest.mark.parametrize("each", [0, 10**6], ids=["one-by-one", "together"])
    def test_far_apart_and_side_by_side(self, monkeypatch, each):
        monkeypatch.setattr(module, "_EACH", each)
        labels = np.zeros((9, 20), np.uint8)
        labels[0, :3], labels[8, 15:], labels[4, 4:9] = 1, 2, 3
        before = measure(labels, spacing=(1, 1))
        labels[0, 1], labels[8, 14:16], labels[4, 6] = 0, (2, 0), 4
        boxes = [np.s_[0:1, 1:2], np.s_[8:9, 14:16], np.s_[4:5, 6:7]]
        again = remeasure(before, labels, [1, 2, 3, 4], changed=boxes)
        known = measure(labels, spacing=(1, 1))
        for name, column in known.columns().items():
            np.testing.assert_allclose(again.columns()[name], column, err_msg=name)
        assert again.components.tolist() == [2, 2, 2, 1]

    def test_many_together(self):
        labels = np.arange(1, 401, dtype=np.uint16).reshape(20, 20)
        before = measure(labels, spacing=(1, 1))
        changed = labels // 2
        again = remeasure(before, changed, range(1, 401), changed=[np.s_[0:20, 0:20]])
        assert again.label.tolist() == list(range(1, 201))
        assert again.voxels.tolist() == [2] * 199 + [1]

    def test_leaves_the_rest_alone(self):
        labels = np.array([[1, 0, 2], [1, 0, 2]])
        before = measure(labels, spacing=(1, 1))
        again = remeasure(before, np.zeros_like(labels), [2], changed=[np.s_[0:2, 2:3]])
        assert again.label.tolist() == [1]
        assert again.voxels.tolist() == [2]  # not looked at, as it was not named

    def test_wants_the_image_again(self):
        labels = np.ones((2, 2), int)
        table = measure(labels, spacing=(1, 1), image=labels)
        with pytest.raises(VolumeError, match="give the image"):
            remeasure(table, labels, [1])
        with pytest.raises(VolumeError, match=r"of \(2, 2\), not \(3, 3\)"):
            remeasure(table, np.ones((3, 3), int), [1], image=np.ones((3, 3)))


class TestTable:
    labels = np.array([[[1, 5]], [[0, 5]]])

    def test_columns_have_names(self):
        columns = measure(self.labels, spacing=(1, 1, 1)).columns()
        assert columns["centroid z"].tolist() == [0, 0.5]
        assert columns["stop x"].tolist() == [1, 2]
        assert "axis 3" in columns
        assert "mean" not in columns
        other = measure(self.labels, spacing=(1, 1, 1)).columns(axes=("P", "S", "L"))
        assert other["start L"].tolist() == [0, 1]

    def test_rows_are_found(self):
        table = measure(self.labels, spacing=(1, 1, 1))
        assert table.find([5, 1, 2, 9]).tolist() == [1, 0, -1, -1]
        assert (table.row(5), table.row(6)) == (1, None)
        assert table.take([1]).label.tolist() == [5]
        assert table.take(table.voxels < 2).label.tolist() == [1]
