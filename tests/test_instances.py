"""Decoding of foreground and centre distance into instances."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.metrics import contingency_table
from skimage.morphology import h_maxima

from napari_monai.instances import centre_distance, decode


def balls(
    shape: tuple[int, ...],
    centres: list[tuple[float, ...]],
    radius: float,
    spacing: tuple[float, ...],
) -> npt.NDArray[np.int32]:
    """Label each voxel by its nearest centre within ``radius``, in physical distance."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    away = np.stack(
        [np.linalg.norm((grid - centre) * spacing, axis=-1) for centre in centres], axis=0
    )
    return np.where(away.min(0) <= radius, away.argmin(0) + 1, 0).astype(np.int32)


def same_partition(a: npt.NDArray[np.int32], b: npt.NDArray[np.int32]) -> bool:
    """Whether two labellings differ in their numbers only."""
    table = contingency_table(a, b)
    rows, columns = table.nonzero()
    return len(set(rows)) == len(rows) and len(set(columns)) == len(columns)


class TestCentreDistance:
    def test_literal_row(self) -> None:
        labels = np.array([[0, 1, 1, 1, 0, 2, 2, 0]])
        padded = np.pad(labels, ((3, 3), (0, 0)), mode="edge")
        distance = centre_distance(padded)
        np.testing.assert_allclose(distance[3], [0, 0.5, 1, 0.5, 0, 1, 1, 0])

    def test_touching_objects_have_their_own_edges(self) -> None:
        labels = np.zeros((9, 14), int)
        labels[2:7, 2:7] = 1
        labels[2:7, 7:12] = 2
        distance = centre_distance(labels)
        for number in (1, 2):
            alone = ndimage.distance_transform_edt(labels == number)
            np.testing.assert_allclose(
                distance[labels == number], (alone / alone.max())[labels == number], rtol=1e-6
            )

    @pytest.mark.parametrize("spacing", [(1, 1, 1), (3, 1, 1), (1, 0.5, 2)])
    def test_spacing_is_physical(self, spacing: tuple[float, ...]) -> None:
        labels = np.zeros((7, 11, 12), int)
        labels[1:6, 2:9, 3:10] = 4
        expected = ndimage.distance_transform_edt(labels, sampling=spacing)
        np.testing.assert_allclose(
            centre_distance(labels, spacing=spacing), expected / expected.max(), rtol=1e-6
        )

    def test_an_object_cut_by_the_border_goes_on_beyond_it(self) -> None:
        labels = np.zeros((8, 8), int)
        labels[:4] = 1  # only its lower edge can be seen
        np.testing.assert_allclose(centre_distance(labels)[:, 3], [1, 0.75, 0.5, 0.25, 0, 0, 0, 0])

    @pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
    def test_an_object_without_any_edge(self, shape: tuple[int, ...]) -> None:
        assert (centre_distance(np.ones(shape, int)) == 1).all()

    @given(arrays(np.int32, (9, 10), elements=st.integers(0, 4)))
    def test_range_and_peak_of_every_object(self, labels: npt.NDArray[np.int32]) -> None:
        distance = centre_distance(labels)
        assert ((distance > 0) == (labels > 0)).all()
        for number in np.unique(labels[labels > 0]):
            assert distance[labels == number].max() == 1


class TestDecode:
    @pytest.mark.parametrize(
        ("shape", "spacing"),
        [
            ((48, 64), (1, 1)),
            ((24, 64), (2, 1)),
            ((24, 40, 40), (1, 1, 1)),
            ((10, 40, 40), (3, 1, 1)),
        ],
        ids=["2d", "2d anisotropic", "3d", "3d anisotropic"],
    )
    def test_touching_balls_come_back(
        self, shape: tuple[int, ...], spacing: tuple[float, ...]
    ) -> None:
        middle = [n / 2 for n in shape[:-1]]
        centres = [(*middle, 10.0), (*middle, 26.0)]
        truth = balls(shape, centres, 9, spacing)
        found = decode(
            (truth > 0).astype(np.float32), centre_distance(truth, spacing=spacing), spacing=spacing
        )
        assert same_partition(found, truth)

    def test_seeds_are_the_h_maxima(self) -> None:
        rng = np.random.default_rng(0)
        distance = ndimage.gaussian_filter(rng.random((60, 60)), 2.5)
        distance = ((distance - distance.min()) / np.ptp(distance)).astype(np.float32)
        for height in (0.05, 0.1, 0.3):
            found = decode(
                np.ones_like(distance), distance, seed_threshold=height, smoothing=0, threshold=0.5
            )
            expected = ndimage.label(h_maxima(distance, height), np.ones((3, 3)))[1]
            assert found.max() == expected

    def test_a_lower_seed_threshold_splits_more(self) -> None:
        x = np.linspace(-1, 1, 81)
        profile = 0.8 + 0.1 * np.cos(2 * np.pi * x)  # three equal peaks, 0.2 above the valleys
        distance = np.tile(profile, (5, 1))
        counts = [
            decode(np.ones_like(distance), distance, seed_threshold=h, smoothing=0).max()
            for h in (0.05, 0.25)
        ]
        assert counts == [3, 1]

    def test_a_piece_without_a_seed_is_one_object(self) -> None:
        foreground = np.zeros((20, 20))
        foreground[5:9, 5:9] = 1
        found = decode(foreground, np.full((20, 20), 0.01), seed_threshold=0.5)
        assert ((found == 1) == (foreground == 1)).all()

    def test_nothing(self) -> None:
        found = decode(np.zeros((4, 5)), np.zeros((4, 5)))
        assert found.dtype == np.int32
        assert not found.any()

    def test_small_objects_are_dropped_by_physical_size(self) -> None:
        labels = np.zeros((6, 30, 30), int)
        labels[2, 4:6, 4:6] = 1  # 4 voxels of 3 x 1 x 1: 12
        labels[2, 12:16, 12:16] = 2  # 16 voxels: 48
        maps = (labels > 0).astype(float), centre_distance(labels)
        for size, kept in ((0, 2), (12, 2), (13, 1), (48, 1), (49, 0)):
            found = decode(*maps, spacing=(3, 1, 1), min_size=size, smoothing=0)
            assert found.max() == kept, size

    def test_small_objects_are_dropped_by_their_voxels(self) -> None:
        labels = np.zeros((20, 20), int)
        labels[2:4, 2:4] = 1
        labels[10:14, 10:14] = 2
        maps = (labels > 0).astype(float), centre_distance(labels)
        for count, kept in ((4, 2), (5, 1), (16, 1), (17, 0)):
            found = decode(*maps, spacing=(0.1, 0.1), min_voxels=count, smoothing=0)
            assert found.max() == kept, count

    @pytest.mark.parametrize(
        ("parting", "count"), [(0.0, 1), (0.2, 1), (0.6, 2), (1.0, 2)], ids=str
    )
    def test_objects_part_where_they_touch(self, parting: float, count: int) -> None:
        foreground = np.ones((5, 21), np.float32)
        touching = np.zeros((5, 21), np.float32)
        touching[:, 10] = 0.5
        maps = foreground, 0.8 * foreground, touching  # a distance that sees no pass
        found = decode(*maps, seed_threshold=0.1, smoothing=0, parting=parting)
        assert found.max() == count
        if count == 2:
            assert (found[:, :10] == 1).all()
            assert (found[:, 11:] == 2).all()

    def test_a_map_that_touches_nowhere_changes_nothing(self) -> None:
        rng = np.random.default_rng(1)
        foreground, distance = ndimage.gaussian_filter(rng.random((2, 50, 50)), (0, 2, 2)) * 1.2
        foreground = (foreground > 0.58).astype(np.float32)
        found = decode(foreground, distance, np.zeros_like(distance))
        np.testing.assert_array_equal(found, decode(foreground, distance))

    @pytest.mark.parametrize(
        ("least", "kept"),
        [(0.0, [1, 2, 3]), (0.75, [1, 2, 3]), (0.76, [1, 3]), (0.9, [1]), (1.0, [])],
        ids=str,
    )
    def test_objects_of_low_mean_probability_are_dropped(
        self, least: float, kept: list[int]
    ) -> None:
        foreground = np.zeros((5, 15))
        foreground[1:4, 1:4] = 0.9375
        foreground[1:4, 6:9] = 0.75
        foreground[1, 6], foreground[3, 8] = 1, 0.5  # 0.75 in the mean
        foreground[1:4, 11:14] = 0.875
        found = decode(foreground, foreground, threshold=0.4, smoothing=0, min_certainty=least)
        columns = [slice(1, 4), slice(6, 9), slice(11, 14)]
        expected = np.zeros((5, 15), int)
        for number, index in enumerate(kept, start=1):
            expected[1:4, columns[index - 1]] = number
        np.testing.assert_array_equal(found, expected)

    @settings(deadline=None)
    @given(
        arrays(np.float32, (12, 13), elements=st.floats(0, 1, width=32)),
        arrays(np.float32, (12, 13), elements=st.floats(-0.5, 1.5, width=32)),
        st.floats(0.01, 0.5),
    )
    def test_labels_fill_the_foreground_with_connected_objects(
        self, foreground: npt.NDArray[np.float32], distance: npt.NDArray[np.float32], height: float
    ) -> None:
        found = decode(foreground, distance, seed_threshold=height)
        assert ((found > 0) == (foreground >= 0.5)).all()
        assert np.array_equal(np.unique(found[found > 0]), np.arange(1, found.max() + 1))
        for number in range(1, found.max() + 1):
            assert ndimage.label(found == number, np.ones((3, 3)))[1] == 1
