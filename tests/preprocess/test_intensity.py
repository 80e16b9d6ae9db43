"""Values against MONAI's transforms, and against nnU-Net's and BioImage.IO's formulas."""

from __future__ import annotations

import numpy as np
import pytest
from monai.transforms import (
    CastToType,
    NormalizeIntensity,
    ScaleIntensity,
    ScaleIntensityRange,
    ScaleIntensityRangePercentiles,
)
from scipy.ndimage import binary_fill_holes
from tests.models.known import description
from tests.preprocess.images import STORED, matches, prepared, scan, tensor

from napari_monai.errors import ModelError
from napari_monai.grid import Grid
from napari_monai.models import Inputs, Operation
from napari_monai.preprocess import check_operations, prepare
from napari_monai.volume import Volume


@pytest.mark.parametrize(
    ("name", "parameters", "theirs"),
    [
        pytest.param("scale_minmax", {}, ScaleIntensity(), id="minmax"),
        pytest.param(
            "scale_minmax",
            {"b_min": -1, "b_max": 3.0, "per_channel": True},
            ScaleIntensity(-1, 3, channel_wise=True),
            id="minmax-channels",
        ),
        pytest.param(
            "scale_linear",
            {"gain": 1.25},
            ScaleIntensity(minv=None, maxv=None, factor=0.25),
            id="factor",
        ),
        pytest.param(
            "scale_percentiles",
            {"lower": 2, "upper": 97, "b_min": -1, "b_max": 1, "clip": True, "per_channel": False},
            ScaleIntensityRangePercentiles(2, 97, -1, 1, clip=True),
            id="percentiles",
        ),
        pytest.param(
            "scale_percentiles",
            {"lower": 2, "upper": 97, "b_min": 5, "b_max": 9},
            ScaleIntensityRangePercentiles(2, 97, 5, 9, channel_wise=True),
            id="percentiles-channels",
        ),
        pytest.param(
            "scale_range",
            {"a_min": -175, "a_max": 250, "b_min": -1, "b_max": 1, "clip": True},
            ScaleIntensityRange(-175, 250, -1, 1, clip=True),
            id="range",
        ),
        pytest.param(
            "zscore",
            {"mean": 90.5, "std": 33},
            NormalizeIntensity(subtrahend=90.5, divisor=33.0),
            id="fixed",
        ),
        pytest.param(
            "zscore",
            {"mean": [90.5, 10], "std": [33, 20], "nonzero": True},
            NormalizeIntensity([90.5, 10], [33, 20], nonzero=True, channel_wise=True),
            id="fixed-nonzero-channels",
        ),
        pytest.param(
            "zscore", {"nonzero": True, "per_channel": False}, NormalizeIntensity(nonzero=True),
            id="nonzero-together",
        ),
        pytest.param("cast", {"dtype": "float32"}, lambda x: x, id="float32"),
        pytest.param("cast", {"dtype": "int16"}, CastToType(np.int16), id="int16"),
        pytest.param("cast", {"dtype": "float16"}, CastToType(np.float16), id="float16"),
    ],
)  # fmt: skip
def test_values_equal_monai(name, parameters, theirs):
    volume = scan()
    matches(prepared(volume, STORED, Operation(name, parameters)), theirs(tensor(volume)))


def test_casts_stay_in_the_range_of_the_type():
    volume = Volume(np.array([[-7.9, 300.0, 2.9, -0.5]]), Grid.from_spacing((1, 4)))
    for dtype, expected in (("uint8", [0, 255, 2, 0]), ("int8", [-7, 127, 2, 0])):
        made = prepare(volume, description(2, preprocess=(Operation("cast", {"dtype": dtype}),)))
        np.testing.assert_array_equal(made.array[0, 0], expected)


def test_clipped_by_channel():
    volume = scan()
    ours = prepared(
        volume, STORED, Operation("clip", {"minimum": [20, -50], "maximum": [90.5, 100]})
    )
    image = volume.numpy()
    expected = np.stack([image[0].clip(20, 90.5), image[1].clip(-50, 100)])
    np.testing.assert_array_equal(ours.array, expected)


def test_scaled_by_channel():
    volume = scan()
    ours = prepared(
        volume, STORED, Operation("scale_linear", {"gain": [2, 0.5], "offset": [1, -3]})
    )
    image = volume.numpy()
    np.testing.assert_allclose(
        ours.array, np.stack([image[0] * 2 + 1, image[1] / 2 - 3]), rtol=1e-6
    )


@pytest.mark.parametrize("eps", [1e-6, 10.0])
def test_eps_is_added_to_the_divisor(eps):
    volume = scan()
    image = volume.numpy().astype(float)
    ours = prepared(volume, STORED, Operation("zscore", {"eps": eps}))
    mean, std = image.mean((1, 2, 3), keepdims=True), image.std((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(ours.array, (image - mean) / (std + eps), atol=1e-4)
    ours = prepared(
        volume, STORED, Operation("scale_percentiles", {"lower": 1, "upper": 99, "eps": eps})
    )
    low, high = np.percentile(image, [1, 99], axis=(1, 2, 3))[..., None, None, None]
    np.testing.assert_allclose(ours.array, (image - low) / (high - low + eps), atol=1e-4)


def _head(seed=0):
    """Return a scan with a hole of zeros within, which is seen in one channel only."""
    volume = scan(border=3, seed=seed)
    data = volume.numpy().copy()
    data[:, 6:8, 7:9, 5:6] = 0
    data[0, 4:6] = 0
    data[:, :5, :6] = 0  # a corner of the box
    return Volume(data, volume.grid, "c")


def test_the_mask_is_that_of_nnunet():
    volume = _head()
    data = volume.numpy()
    where = np.nonzero((data != 0).any(axis=0))
    box = tuple(slice(w.min(), w.max() + 1) for w in where)
    cropped = data[(slice(None), *box)].astype(float)
    mask = binary_fill_holes((cropped != 0).any(axis=0))
    assert not mask.all()
    assert (mask & (cropped == 0).all(axis=0)).any()
    for channel in cropped:
        channel[mask] = (channel[mask] - channel[mask].mean()) / max(channel[mask].std(), 1e-8)
    ours = prepared(volume, STORED, Operation("crop_nonzero"), Operation("zscore", {"mask": True}))
    np.testing.assert_allclose(ours.array, cropped, atol=1e-4)


def test_pictures_have_no_enclosed_voxels():
    data = np.ones((1, 9, 9), np.float32)
    data[0, 4, 4] = 0
    data[0, 0, 0] = 3
    volume = Volume(data[0], Grid.from_spacing((9, 9)))
    made = prepare(volume, description(2, preprocess=(Operation("zscore", {"mask": True}),)))
    assert made.array[0, 4, 4] == 0
    inside = data[0][data[0] != 0]
    assert made.array[0, 0, 0] == pytest.approx((3 - inside.mean()) / inside.std(), abs=1e-5)


def test_channels_that_are_not_named_stay():
    volume = scan(channels=3)
    ours = prepared(volume, STORED, Operation("zscore", {"channels": [0, 2], "eps": 1e-6}))
    np.testing.assert_array_equal(ours.array[1], volume.numpy()[1])
    np.testing.assert_allclose(ours.array[[0, 2]].std((1, 2, 3)), 1, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("zscore", {"mean": 1.0}, "both or not at all"),
        ("zscore", {"mean": ["a"], "std": [1]}, "mean is a number or one a channel"),
        ("zscore", {"mask": True, "nonzero": True}, "exclude each other"),
        ("zscore", {"channels": [-1]}, "channels are numbers from 0"),
        ("scale_linear", {"gain": []}, "gain is a number or one a channel"),
        ("scale_minmax", {"b_min": 2}, "b_min must be below b_max"),
        ("cast", {"dtype": "int"}, "dtype is no"),
        ("cast", {}, "dtype"),
        ("clip", {"minimum": [None]}, "minimum is a number or one a channel"),
    ],
)
def test_parameters_that_cannot_be_are_refused_in_one_line(name, parameters, message):
    with pytest.raises(ModelError) as caught:
        check_operations([Operation(name, parameters)], 3)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_for_other_channels_are_refused():
    volume = scan()
    inputs = Inputs(("a", "b"), 3)
    model = description(
        3, 2, inputs=inputs, preprocess=(Operation("clip", {"minimum": [1, 2, 3]}),)
    )
    with pytest.raises(ModelError, match="3 numbers of minimum for 2 channels"):
        prepare(volume, model)
