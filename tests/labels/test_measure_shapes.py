"""Surfaces, diameters, contacts: analytic bodies, scikit-image and brute force as judges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist, pdist
from scipy.spatial.transform import Rotation
from scipy.special import elliprg
from skimage.measure import regionprops

from napari_monai.labels import feret, near, runs
from napari_monai.labels.contacts import directions, touching
from napari_monai.labels.feret import feret_diameters
from napari_monai.labels.near import neighbours_within
from napari_monai.labels.surface_area import surface_areas

CUBIC, THICK, FLAT = (1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (0.8, 1.3, 2.0)
TURNED = Rotation.from_euler("zyx", [30, 20, 50], degrees=True).as_matrix()
LABELS = arrays.arrays(
    st.sampled_from([np.uint8, np.int32]),
    st.one_of(arrays.array_shapes(min_dims=2, max_dims=2, max_side=7),
              arrays.array_shapes(min_dims=3, max_dims=3, max_side=5)),
    elements=st.sampled_from([0, 0, 1, 2, 9]),
)  # fmt: skip


@pytest.fixture
def thin_slabs(monkeypatch):
    monkeypatch.setattr(runs, "PART", 1)


def _body(half, spacing, inside, turned=None):
    """Return the voxels whose middles lie in a body; ``half`` bounds it after any turn."""
    reach = [math.ceil(half / s) + 1 for s in spacing]
    # Not centred on a voxel: no voxel lies on the surface by chance.
    places = [(np.arange(-r, r + 1) + 0.17) * s for r, s in zip(reach, spacing, strict=True)]
    points = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1)
    return inside(points if turned is None else points @ turned).astype(np.uint8)


def _ellipsoid(axes):
    return lambda points: ((points / axes) ** 2).sum(axis=-1) <= 1


def _box(axes):
    return lambda points: (np.abs(points) <= axes).all(axis=-1)


def _surface_of_ellipsoid(a, b, c):
    """Return the surface by Carlson's symmetric integral."""
    return 4 * math.pi * elliprg((a * b) ** 2, (a * c) ** 2, (b * c) ** 2)


def _area(body, spacing):
    return surface_areas(body, np.array([1]), spacing)[0]


class TestSurface:
    @pytest.mark.parametrize(
        ("axes", "spacing", "turned", "within"),
        [
            pytest.param((12, 12, 12), CUBIC, None, 0.01, id="ball"),
            pytest.param((15, 15, 15), THICK, None, 0.015, id="ball-thick-slices"),
            pytest.param((15, 15, 15), FLAT, None, 0.015, id="ball-all-different"),
            pytest.param((20, 12, 8), CUBIC, None, 0.02, id="ellipsoid"),
            pytest.param((20, 12, 8), CUBIC, TURNED, 0.02, id="ellipsoid-turned"),
            pytest.param((20, 14, 12), THICK, TURNED, 0.04, id="ellipsoid-turned-thick-slices"),
        ],
    )
    def test_of_round_bodies(self, axes, spacing, turned, within):
        body = _body(max(axes), spacing, _ellipsoid(axes), turned)
        assert _area(body, spacing) == pytest.approx(_surface_of_ellipsoid(*axes), rel=within)

    @pytest.mark.parametrize(
        ("spacing", "turned", "within"),
        [
            pytest.param(CUBIC, None, 0.1, id="along-the-voxels"),
            pytest.param(CUBIC, TURNED, 0.03, id="turned"),
            pytest.param(THICK, None, 0.18, id="thick-slices"),
            pytest.param(THICK, TURNED, 0.05, id="turned-thick-slices"),
        ],
    )
    def test_of_boxes(self, spacing, turned, within):
        half = np.array([15.0, 11.0, 8.5])
        body = _body(float(np.linalg.norm(half)), spacing, _box(half), turned)
        a, b, c = 2 * half
        assert _area(body, spacing) == pytest.approx(2 * (a * b + b * c + a * c), rel=within)

    @pytest.mark.parametrize("spacing", [(1.0, 1.0), (3.0, 1.0)], ids=["square", "anisotropic"])
    def test_of_a_disk_is_its_perimeter(self, spacing):
        body = _body(20, spacing, _ellipsoid((20, 20)))
        assert _area(body, spacing) == pytest.approx(40 * math.pi, rel=0.02)

    def test_a_plane_is_as_far_off_as_is_said(self):
        # 2 sum(share |n u|) is the area that the formula finds of a unit of a plane.
        from napari_monai.labels.surface_area import _shares

        normals = np.random.default_rng(0).normal(size=(3000, 3))
        normals = np.concatenate([np.eye(3), normals / np.linalg.norm(normals, axis=1)[:, None]])
        for spacing, low, high in ((CUBIC, -0.073, 0.023), (THICK, -0.16, 0.102)):
            sides = directions(3) * np.array(spacing)
            units = sides / np.linalg.norm(sides, axis=1)[:, None]
            found = 2 * np.abs(normals @ units.T) @ _shares(units) - 1
            assert low - 0.001 <= found.min()
            assert found.max() <= high + 0.001
            assert found[3:].mean() == pytest.approx(0, abs=0.003)

    @settings(max_examples=40)
    @given(LABELS)
    def test_any_perimeter_is_as_scikit_image_measures_it(self, labels):
        if labels.ndim == 3:
            labels = labels[0]
        known = regionprops(labels)
        numbers = np.array([one.label for one in known], np.int64)
        found = surface_areas(labels, numbers, (1.0, 1.0))
        assert found == pytest.approx([one.perimeter_crofton for one in known])


class TestFeret:
    @settings(max_examples=60)
    @given(LABELS, st.sampled_from([(3, 64), (1000, 2**21)]))
    def test_any_label_has_the_diameter_of_all_its_points(self, labels, sizes):
        spacing = np.array(FLAT[: labels.ndim])
        numbers = np.unique(labels[labels > 0]).astype(np.int64)
        # By their hulls, and few pairs at a time; or all pairs at once.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(feret, "_MANY", sizes[0])
            patch.setattr(feret, "_PAIRS", sizes[1])
            found = feret_diameters(labels, numbers, spacing)
        half = np.concatenate([np.eye(labels.ndim), -np.eye(labels.ndim)]) / 2
        for number, diameter in zip(numbers, found, strict=True):
            points = (np.argwhere(labels == number)[:, None] + half).reshape(-1, labels.ndim)
            assert diameter == pytest.approx(pdist(points * spacing).max())

    @pytest.mark.parametrize("many", [10, 400], ids=["hulls", "pairs"])
    @pytest.mark.parametrize("spacing", [(2.0, 0.5), CUBIC, FLAT], ids=str)
    def test_many_labels_are_as_far_across_as_their_hulls(self, spacing, many, monkeypatch):
        monkeypatch.setattr(feret, "_MANY", many)
        random = np.random.default_rng(3)
        shape = (90, 90) if len(spacing) == 2 else (30, 40, 40)
        labels, _ = ndimage.label(ndimage.gaussian_filter(random.normal(size=shape), 1.2) > 0.05)
        labels[tuple(n // 2 for n in shape)] = 70_000  # a hole, and a number far from the others
        numbers = np.unique(labels)[1:].astype(np.int64)
        found = feret_diameters(labels, numbers, spacing)
        half = np.concatenate([np.eye(labels.ndim), -np.eye(labels.ndim)]) / 2
        for number, diameter in zip(numbers, found, strict=True):
            faces = (np.argwhere(labels == number)[:, None] + half).reshape(-1, labels.ndim)
            corners = faces[ConvexHull(faces).vertices] * spacing
            assert diameter == pytest.approx(pdist(corners).max(), rel=1e-12)

    @pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 0.5), CUBIC, THICK], ids=str)
    def test_of_convex_labels_is_as_scikit_image_measures_it(self, spacing):
        body = _body(9, spacing, _ellipsoid((9.0, 6.0, 4.0)[: len(spacing)]))
        (known,) = regionprops(body, spacing=spacing)
        convex = known.image_convex.astype(np.uint8)
        found = [feret_diameters(one, np.array([1]), spacing)[0] for one in (body, convex)]
        assert found[1] == pytest.approx(known.feret_diameter_max)
        assert found[0] == pytest.approx(found[1], abs=max(spacing) / 2)

    @pytest.mark.usefixtures("thin_slabs")
    def test_slab_by_slab(self):
        body = _body(12, CUBIC, _ellipsoid((12, 5, 5)), TURNED)
        assert feret_diameters(body, np.array([1, 7]), CUBIC)[0] == pytest.approx(24, abs=1.5)


class TestTouching:
    @pytest.mark.parametrize("thin", [False, True], ids=["at-once", "slab-by-slab"])
    @settings(max_examples=40)
    @given(labels=LABELS)
    def test_any_labels(self, thin, labels):
        numbers = np.unique(labels[labels > 0]).astype(np.int64)
        usual, runs.PART = runs.PART, 1 if thin else runs.PART
        try:
            found = touching(labels, numbers)
            sliced = surface_areas(labels, numbers, FLAT[: labels.ndim])
        finally:
            runs.PART = usual
        near = {int(n): set() for n in numbers}
        places = np.argwhere(labels > 0)
        for one in places:
            for other in places[(np.abs(places - one) <= 1).all(axis=1)]:
                near[int(labels[tuple(one)])].add(int(labels[tuple(other)]))
        assert found.tolist() == [len(others - {n}) for n, others in near.items()]
        assert sliced == pytest.approx(surface_areas(labels, numbers, FLAT[: labels.ndim]))

    def test_large_numbers_and_those_that_do_not_count(self):
        labels = np.array([[5, 2**31 - 2, 7], [0, 0, 3]], np.int64)
        assert touching(labels, np.array([3, 5, 7, 2**31 - 2])).tolist() == [2, 1, 2, 3]
        assert touching(labels, np.array([5, 7])).tolist() == [0, 0]
        assert touching(np.zeros((3, 3), bool), np.zeros(0, np.int64)).tolist() == []


class TestNear:
    @settings(max_examples=60)
    @given(LABELS, st.sampled_from([0.0, 0.8, 1.3, 2.1, 3.7, 50.0]), st.booleans())
    def test_any_labels(self, labels, distance, few):
        spacing = np.array(FLAT[: labels.ndim])
        numbers = np.unique(labels[labels > 0]).astype(np.int64)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(near, "_PAIRS", 2 if few else 2**22)
            found = neighbours_within(labels, numbers, distance, spacing)
        assert found.tolist() == _near(labels, numbers, distance, spacing)

    @pytest.mark.parametrize("distance", [1.5, 4.0, 9.0])
    @pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 1.9), CUBIC, THICK], ids=str)
    def test_crowds(self, spacing, distance):
        shape = (70, 50) if len(spacing) == 2 else (12, 24, 30)
        noise = np.random.default_rng(5).normal(size=shape)
        labels, _ = ndimage.label(ndimage.gaussian_filter(noise, 1) > 0.25)
        labels[labels % 7 == 0] *= 10_000_000
        numbers = np.unique(labels)[1:].astype(np.int64)
        # One that does not count is nobody's neighbour.
        some = np.delete(numbers, 3)
        kept = np.where(np.isin(labels, some), labels, 0)
        found = neighbours_within(labels, some, distance, spacing)
        assert found.tolist() == _near(kept, some, distance, spacing)
        assert found.max() > 0

    def test_one_step_away_is_touching(self):
        labels = np.random.default_rng(0).integers(0, 9, (5, 6, 7)) ** 2
        numbers = np.unique(labels)[1:].astype(np.int64)
        found = neighbours_within(labels, numbers, math.sqrt(3), CUBIC)
        assert found.tolist() == touching(labels, numbers).tolist()

    def test_nothing_there(self):
        empty = np.zeros((0, 4), np.uint8), np.zeros(0, np.int64)
        assert neighbours_within(*empty, 3.0, (1.0, 1.0)).tolist() == []


def _near(labels, numbers, distance, spacing):
    """Return how many others there are, from the distances of all voxels."""
    places = [np.argwhere(labels == n) * spacing for n in numbers]
    return [
        sum(cdist(one, other).min() <= distance * (1 + 1e-9) for other in places) - 1
        for one in places
    ]
