"""Resampling, cropping and padding against MONAI's transforms and their inverses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    CropForeground,
    DivisiblePad,
    Orientation,
    Resize,
    Spacing,
    SpatialPad,
)
from tests.models.known import arguments, threshold_model
from tests.preprocess.images import STORED, matches, prepared, scan, tensor

from napari_monai import segment
from napari_monai.errors import ModelError
from napari_monai.models import NetworkSpec, Operation, Outputs
from napari_monai.preprocess import check_operations
from napari_monai.returning import Returning, bring_labels
from napari_monai.settings import InferenceSettings

CHAINS = [
    pytest.param(
        [Operation("orientation", {"codes": "RAS"})],
        [Orientation("RAS", labels=None)],
        id="orientation",
    ),
    pytest.param(
        [STORED, Operation("spacing", {"spacing": [1.5, 1.5, 2.0], "align": "corner"})],
        [Spacing((1.5, 1.5, 2.0), padding_mode="border", align_corners=True)],
        id="spacing-coarser",
    ),
    pytest.param(
        [STORED, Operation("spacing", {"spacing": [0.7, 0.8, 1.0], "align": "corner"})],
        [Spacing((0.7, 0.8, 1.0), padding_mode="border")],
        id="spacing-finer",
    ),
    pytest.param(
        [
            Operation("orientation", {"codes": "LPS"}),
            Operation("spacing", {"spacing": [1.3, 1.1, 1.9], "align": "corner"}),
        ],
        [Orientation("LPS", labels=None), Spacing((1.3, 1.1, 1.9), padding_mode="border")],
        id="orientation-spacing",
    ),
    pytest.param(
        [
            STORED,
            Operation("spacing", {"spacing": [0.7, 1.4, 2.0], "align": "corner", "order": 3}),
        ],
        [Spacing((0.7, 1.4, 2.0), mode=3, padding_mode="nearest")],
        id="spacing-cubic",
    ),
    pytest.param(
        [STORED, Operation("resize", {"size": [9, 20, 7]})], [Resize((9, 20, 7))], id="resize-area"
    ),
    pytest.param(
        [STORED, Operation("resize", {"size": [9, 17, 7]})],
        [Resize((9, 17, 7))],
        id="resize-area-coarser",
    ),
    pytest.param(
        [STORED, Operation("resize", {"size": [9, None, 23], "mode": "linear"})],
        [Resize((9, -1, 23), mode="trilinear")],
        id="resize-linear",
    ),
    pytest.param(
        [STORED, Operation("resize", {"size": [28, 34, 22], "mode": "nearest"})],
        [Resize((28, 34, 22), mode="nearest-exact")],
        id="resize-nearest",
    ),
    pytest.param([STORED, Operation("crop_foreground")], [CropForeground()], id="crop"),
    pytest.param(
        [STORED, Operation("crop_foreground", {"threshold": 150.0, "channels": [1]})],
        [CropForeground(select_fn=lambda x: x > 150, channel_indices=[1])],
        id="crop-threshold-channel",
    ),
    pytest.param(
        [STORED, Operation("crop_foreground", {"margin": [4, 0, 1], "k_divisible": [4, 8, 1]})],
        [CropForeground(margin=(4, 0, 1), k_divisible=(4, 8, 1))],
        id="crop-margin-divisible",
    ),
    pytest.param(
        [STORED, Operation("crop_foreground", {"margin": 5, "allow_smaller": True})],
        [CropForeground(margin=5, allow_smaller=True)],
        id="crop-smaller",
    ),
    pytest.param(
        [STORED, Operation("pad", {"size": [20, None, 16]})], [SpatialPad((20, -1, 16))], id="pad"
    ),
    pytest.param(
        [STORED, Operation("pad", {"size": [15, 20, 1], "method": "end", "value": -3.0})],
        [SpatialPad((15, 20, 1), method="end", value=-3.0)],
        id="pad-end",
    ),
    pytest.param(
        [STORED, Operation("pad", {"size": [20, 20, 20], "mode": "reflect"})],
        [SpatialPad((20, 20, 20), mode="reflect")],
        id="pad-reflect",
    ),
    pytest.param(
        [STORED, Operation("pad_divisible", {"k": 8, "mode": "edge"})],
        [DivisiblePad(8, mode="edge")],
        id="pad-divisible",
    ),
    pytest.param(
        [STORED, Operation("pad_divisible", {"k": [8, 1, 5]})],
        [DivisiblePad((8, 1, 5))],
        id="pad-divisible-axes",
    ),
    pytest.param(
        [
            Operation("orientation", {"codes": "RAS"}),
            Operation("crop_foreground"),
            Operation("spacing", {"spacing": [1.2, 1.2, 1.2], "align": "corner"}),
            Operation("pad_divisible", {"k": 16}),
        ],
        [
            Orientation("RAS", labels=None),
            CropForeground(),
            Spacing((1.2, 1.2, 1.2), padding_mode="border"),
            DivisiblePad(16),
        ],
        id="all",
    ),
    pytest.param(
        [
            Operation("orientation", {"codes": "RAS"}),
            Operation("spacing", {"spacing": [1.6, 1.6, 1.6], "align": "corner"}),
            Operation("crop_foreground"),
            Operation("pad", {"size": [12, 12, 12]}),
        ],
        [
            Orientation("RAS", labels=None),
            Spacing((1.6, 1.6, 1.6), padding_mode="border"),
            CropForeground(),
            SpatialPad((12, 12, 12)),
        ],
        id="crop-after-spacing",
    ),
]  # fmt: skip
PLACES = [
    pytest.param("RAS", 0.0, id="RAS"),
    pytest.param("SLA", 0.0, id="SLA"),
    pytest.param("LPS", 0.25, id="oblique"),
]


def _theirs(volume, transforms):
    chain = Compose(transforms)
    return chain, chain(tensor(volume))


@pytest.mark.parametrize(("operations", "transforms"), CHAINS)
@pytest.mark.parametrize(("codes", "tilt"), PLACES)
def test_voxels_and_their_places_are_those_of_monai(operations, transforms, codes, tilt):
    volume = scan(codes=codes, tilt=tilt)
    ours = prepared(volume, *operations)
    _, theirs = _theirs(volume, transforms)
    matches(ours, theirs, atol=2e-2)  # of values around 100, resampled there in single precision


def _home(back, maps, outside):
    """Return maps on the native grid, put there in one part."""
    box = tuple(slice(0, n) for n in maps.shape[1:])
    found = Returning(back, outside).bring(box, torch.from_numpy(maps), lambda part: [part])
    return back.how.inverse().apply(found[0].numpy())


@pytest.mark.parametrize(("operations", "transforms"), CHAINS)
@pytest.mark.parametrize(("codes", "tilt"), PLACES)
def test_maps_come_home_as_by_monais_inverse(operations, transforms, codes, tilt):
    volume = scan(codes=codes, tilt=tilt)
    ours = prepared(volume, *operations)
    chain, theirs = _theirs(volume, transforms)
    maps = np.random.default_rng(1).random((2, *ours.grid.shape), np.float32)
    image = MetaTensor(torch.from_numpy(maps), affine=theirs.affine)
    image.applied_operations = theirs.applied_operations
    if ours.grid.shape == (9, 20, 7):
        pytest.skip("MONAI averages more than two voxels on the way back from a finer grid")
    if any("nearest-exact" in str(op) or "'mode': 3" in str(op) for op in image.applied_operations):
        pytest.skip("MONAI's inverse takes the order of the way there, which maps do not suit")
    expected = chain.inverse(image).numpy()
    found = _home(ours.back, maps, (0.0, 0.0))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_what_was_cropped_away_is_background():
    volume = scan(border=3)
    ours = prepared(volume, STORED, Operation("crop_foreground"))
    maps = np.full((2, *ours.grid.shape), 0.5, np.float32)
    found = _home(ours.back, maps, (1.0, 0.0))
    outside = volume.numpy().max(axis=0) <= 0
    inside = (slice(3, -4),) * 3
    assert (found[:, *inside] == 0.5).all()
    assert outside[0].all()
    assert (found[0][0] == 1).all()
    assert (found[1][0] == 0).all()
    labels = np.zeros(volume.grid.shape, np.uint8)
    for box, part in bring_labels(ours.back, np.full(ours.grid.shape, 7, np.uint8)):
        labels[box] = part
    assert (labels[inside] == 7).all()
    assert (labels == 7).sum() == np.prod(ours.grid.shape)


@pytest.mark.parametrize("threshold", [None, 0.4])
@pytest.mark.parametrize(
    "softmax", [pytest.param(True, id="softmax"), pytest.param(False, id="sigmoid")]
)
def test_a_run_leaves_background_outside_the_crop(tmp_path, threshold, softmax):
    volume = scan(channels=1)
    more = {} if softmax else {"outputs": Outputs("classes", ("bright",), ("sigmoid",))}
    if not softmax:
        more["network"] = NetworkSpec("unet", arguments(3, 1, 1))
    model = threshold_model(
        tmp_path / "m",
        threshold=-1e4,  # all that the network sees is bright
        dims=3,
        preprocess=(
            Operation("crop_nonzero"),
            Operation("spacing", {"spacing": [1.5, 1.5, 1.5], "align": "extent", "order": 3}),
        ),
        **more,
    )
    settings = InferenceSettings(device="cpu", precision="float32", threshold=threshold)
    labels = segment(volume, model, settings=settings).numpy()
    expected = np.zeros(volume.grid.shape, bool)
    expected[2:-3, 2:-3, 2:-3] = True
    np.testing.assert_array_equal(labels > 0, expected)


def test_labels_go_forth_with_background_beyond_the_image():
    volume = scan(channels=1)
    ours = prepared(volume, STORED, Operation("pad", {"size": [20, 20, 20]}))
    labels = np.random.default_rng(0).integers(1, 5, volume.grid.shape)
    expected = np.asarray(SpatialPad((20, 20, 20))(torch.from_numpy(labels)[None]))[0]
    np.testing.assert_array_equal(ours.back.prepare_labels(labels), expected)


def test_transposed_axes_come_home():
    volume = scan(channels=1, codes="LPS")
    ours = prepared(volume, Operation("transpose", {"axes": [2, 0, 1]}))
    np.testing.assert_array_equal(ours.array[0], volume.numpy()[0].transpose(2, 0, 1))
    np.testing.assert_array_equal(_home(ours.back, ours.array, (0.0,)), volume.numpy())


def test_an_image_without_foreground_stays_whole():
    volume = scan(channels=1)
    ours = prepared(volume, STORED, Operation("crop_foreground", {"threshold": 1e6}))
    assert ours.grid.shape == volume.grid.shape
    assert ours.notes == ("Nothing is above 1e+06: the image is not cropped.",)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("transpose", {"axes": [0, 0]}, "axes names not each from 0 once"),
        ("spacing", {"spacing": [1, 1, 1], "order": 4}, "order goes from 0 to 3"),
        ("spacing", {"spacing": [1, 1, 1], "align": "edge"}, "align is no"),
        ("spacing", {"spacing": [1, 1, 1], "separate_z": "yes"}, "separate_z is no"),
        ("resize", {"size": [1, 1]}, "2 numbers for 3 dimensions"),
        ("resize", {"size": [1, 1, 0]}, "positive whole numbers"),
        ("pad", {"size": [1, 1, 1.5]}, "positive whole numbers"),
        ("pad", {"size": [1, 1, 1], "mode": "wrap"}, "mode is no"),
        ("pad_divisible", {"k": 0}, "whole numbers from 1"),
        ("crop_foreground", {"margin": [-1]}, "whole numbers from 0"),
    ],
)
def test_parameters_that_cannot_be_are_refused_in_one_line(name, parameters, message):
    with pytest.raises(ModelError) as caught:
        check_operations([Operation(name, parameters)], 3)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
