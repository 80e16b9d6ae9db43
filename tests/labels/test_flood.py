"""A region grown from seeds, against SimpleITK and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.segmentation import flood as flood_fill

from napari_monai.errors import EditError
from napari_monai.labels.flood import flood, flooding

IMAGES = arrays.arrays(
    np.int16,
    st.one_of(arrays.array_shapes(min_dims=2, max_dims=2, max_side=9), st.just((4, 5, 6))),
    elements=st.integers(0, 4),
)


def _picture(text):
    return np.array([[int(c) for c in row] for row in text.split()], np.int16)


@pytest.mark.parametrize(
    ("image", "seed", "told", "expected"),
    [
        pytest.param("11011 11010 00001", (0, 0), {}, "11000 11000 00000", id="what-touches"),
        pytest.param("1100 1100 0011", (0, 0), {}, "1100 1100 0000", id="faces"),
        pytest.param(
            "1100 1100 0011", (0, 0), {"connectivity": None}, "1100 1100 0011", id="corners"
        ),
        pytest.param("1111111", (0, 3), {"distance": 2.0}, "0111110", id="near"),
        pytest.param(
            "11111 11111 11111", (1, 2), {"distance": 1.0}, "00100 01110 00100", id="ball"
        ),
        pytest.param("000 010", (0, 0), {}, "000 000", id="seed-out-of-range"),
        pytest.param("12321", (0, 2), {"high": 3}, "11111", id="range-is-inclusive"),
        pytest.param("12321", (0, 2), {"low": 2, "high": 3}, "01110", id="lower-end"),
    ],
)
def test_flood(image, seed, told, expected):
    mask = flood(_picture(image), [seed], **{"low": 1, "high": 1, "spacing": (1, 1), **told})
    np.testing.assert_array_equal(mask, _picture(expected) > 0)


def test_distance_counts_in_space():
    mask = flood(np.ones((5, 9)), [(2, 4)], low=1, high=1, spacing=(3.0, 1.5), distance=4.0)
    y, x = np.mgrid[:5, :9]
    np.testing.assert_array_equal(mask, np.hypot((y - 2) * 3.0, (x - 4) * 1.5) <= 4.0)


def test_walls_hold():
    allowed = np.ones((3, 9), bool)
    allowed[:, 4] = False
    mask = flood(np.ones((3, 9)), [(0, 0)], low=0, high=2, spacing=(1, 1), allowed=allowed)
    np.testing.assert_array_equal(mask, np.arange(9) < [[4]] * 3)


@given(IMAGES, st.data(), st.sampled_from([1, None]))
def test_as_simpleitk_grows(image, data, connectivity):
    import SimpleITK as sitk  # noqa: N813

    drawn = data.draw(st.lists(st.tuples(*(st.integers(0, n - 1) for n in image.shape)),
                               min_size=1, max_size=3))  # fmt: skip
    low, high = sorted(data.draw(st.tuples(st.integers(0, 4), st.integers(0, 4))))
    theirs = sitk.ConnectedThreshold(
        sitk.GetImageFromArray(image),
        seedList=[seed[::-1] for seed in drawn],
        lower=float(low),
        upper=float(high),
        connectivity=(
            sitk.ConnectedThresholdImageFilter.FaceConnectivity
            if connectivity == 1
            else sitk.ConnectedThresholdImageFilter.FullConnectivity
        ),
    )
    spacing = (1.0,) * image.ndim
    ours = flood(image, drawn, low=low, high=high, spacing=spacing, connectivity=connectivity)
    np.testing.assert_array_equal(ours, sitk.GetArrayFromImage(theirs) > 0)


def test_a_long_way_through_a_large_image_is_found_and_little_is_read():
    image = np.zeros((4, 300, 400), np.uint8)
    image[2, 150, 10:390] = 1
    image[2, 5:150, 389] = 1
    image[1, 20, :] = 1
    read = []

    def free(box):
        read.append(box)
        return image[box] > 0

    (*_, (box, mask)) = flooding(free, [(2, 150, 200)], image.shape, spacing=(1, 1, 1))
    whole = np.zeros(image.shape, bool)
    whole[box] = mask
    theirs = flood_fill(image, (2, 150, 200), connectivity=1)
    np.testing.assert_array_equal(whole, theirs)
    assert read[0][1] == slice(126, 175)
    (*_, (box, mask)) = flooding(free, [(1, 20, 5)], image.shape, spacing=(1, 1, 1), distance=30)
    assert mask.sum() == 36
    assert box[1] == slice(0, 45)


def test_seeds_outside_are_left_out_and_some_must_be_inside():
    image = np.ones((3, 3))
    assert flood(image, [(-5, 0), (1.4, 0.6)], low=1, high=1, spacing=(1, 1)).all()
    with pytest.raises(EditError, match="No point lies"):
        flood(image, [(-1, 0), (3, 3)], low=1, high=1, spacing=(1, 1))


def test_not_a_number_is_a_wall():
    image = np.array([[1.0, np.nan, 1.0]])
    mask = flood(image, [(0, 0)], low=-np.inf, high=np.inf, spacing=(1, 1))
    np.testing.assert_array_equal(mask, [[True, False, False]])
