"""Operations against MONAI and against resampling through world coordinates; the way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import (
    NormalizeIntensity,
    ScaleIntensityRange,
    ScaleIntensityRangePercentiles,
    SpatialResample,
)
from tests.models.known import description
from tests.space import ORIENTATIONS, grid, sample

from napari_monai.errors import ModelError, OutOfMemoryError
from napari_monai.grid import Grid
from napari_monai.models import Inputs, Operation
from napari_monai.preprocess import OPERATIONS, check_operations, prepare
from napari_monai.returning import Returning, bring_labels
from napari_monai.volume import Volume


def _volume(shape, where: Grid | None = None, *, dtype=np.float32, seed=0, **told) -> Volume:
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 200, shape) if np.dtype(dtype).kind in "iu" else rng.normal(size=shape)
    return Volume(data.astype(dtype), where or Grid.from_spacing(shape), **told)


def _prepared(volume: Volume, *operations: Operation, dims: int | None = None, channels: int = 1):
    return prepare(
        volume, description(dims or volume.grid.ndim, channels, preprocess=tuple(operations))
    )


# -- geometry --------------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_is_taken_as_it_is_shown(codes):
    volume = _volume((3, 4, 5), grid((3, 4, 5), codes, (1.0, 2.0, 3.0)))
    prepared = _prepared(volume)
    assert prepared.grid.orientation == "IPL"
    np.testing.assert_array_equal(
        prepared.array[0], sample(volume.data, volume.grid, prepared.grid, order=0)
    )
    assert not prepared.back.resampled
    np.testing.assert_array_equal(_labels_home(prepared.back, prepared.array[0]), volume.data)


@pytest.mark.parametrize("shape", [(4, 5), (2, 4, 5)], ids=["picture", "stack"])
def test_pictures_and_stacks_stay_as_they_are(shape):
    volume = _volume(shape)
    prepared = _prepared(volume, dims=2)
    np.testing.assert_array_equal(prepared.array[0], volume.data)
    assert prepared.grid == volume.grid


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASL", "IRP"])
@pytest.mark.parametrize("tilt", [0.0, 0.2], ids=["straight", "oblique"])
def test_resampled_through_the_world(codes, tilt):
    volume = _volume((7, 6, 9), grid((7, 6, 9), codes, (1.0, 2.0, 0.7), tilt=tilt))
    prepared = _prepared(
        volume,
        Operation("orientation", {"codes": "RAS"}),
        Operation("spacing", {"spacing": [0.8, 1.5, 1.0]}),
    )
    assert prepared.grid.orientation == "RAS"
    np.testing.assert_allclose(prepared.grid.spacing, (0.8, 1.5, 1.0), rtol=1e-6)
    np.testing.assert_allclose(prepared.grid.centre, volume.grid.centre, atol=1e-6)
    np.testing.assert_allclose(
        prepared.array[0], sample(volume.data, volume.grid, prepared.grid), atol=1e-5
    )


def test_the_order_of_operations_is_kept():
    """Spacing counts in the axes that are there when its turn comes."""
    volume = _volume((4, 6, 8), grid((4, 6, 8), "RAS", (1.0, 2.0, 3.0)))
    turn = Operation("orientation", {"codes": "SAR"})
    first = _prepared(volume, turn, Operation("spacing", {"spacing": [1.5, None, None]}))
    second = _prepared(volume, Operation("spacing", {"spacing": [1.5, None, None]}), turn)
    assert first.grid.spacing == pytest.approx((1.5, 2.0, 1.0))
    assert second.grid.spacing == pytest.approx((3.0, 2.0, 1.5))
    for prepared in (first, second):
        np.testing.assert_allclose(
            prepared.array[0], sample(volume.data, volume.grid, prepared.grid), atol=1e-5
        )


@pytest.mark.parametrize("second", ["RAS", "SPL", "PIR"])
def test_two_orientations_lead_back_as_one(second):
    volume = _volume((3, 4, 5), grid((3, 4, 5), "LSP"))
    turns = [Operation("orientation", {"codes": codes}) for codes in ("AIL", second)]
    prepared = _prepared(volume, *turns)
    assert prepared.grid.orientation == second
    np.testing.assert_array_equal(_labels_home(prepared.back, prepared.array[0]), volume.data)


def test_two_numbers_of_spacing_are_of_the_slices():
    volume = _volume((3, 8, 6), Grid.from_spacing((3, 8, 6), (5, 1, 1), unit="µm"))
    prepared = _prepared(
        volume, Operation("spacing", {"spacing": [2.0, 0.5], "unit": "µm"}), dims=2
    )
    assert prepared.grid.spacing == pytest.approx((5, 2, 0.5))
    assert prepared.array.shape == (1, 3, 4, 12)


def test_spacing_is_converted_between_units():
    volume = _volume((10, 10), Grid.from_spacing((10, 10), (500, 500), unit="nm"))
    prepared = _prepared(volume, Operation("spacing", {"spacing": [1.0, 1.0], "unit": "µm"}))
    assert prepared.array.shape == (1, 5, 5)


def test_spacing_that_is_as_good_as_right_is_left():
    volume = _volume((10, 10), Grid.from_spacing((10, 10), (1.004, 1.0), unit="mm"))
    prepared = _prepared(volume, Operation("spacing", {"spacing": [1.0, 1.0]}))
    np.testing.assert_array_equal(prepared.array[0], volume.data)
    assert not prepared.back.resampled


def test_unknown_pixel_size_is_left_and_said():
    volume = _volume((6, 6))
    prepared = _prepared(volume, Operation("spacing", {"spacing": [0.5, 0.5], "unit": "µm"}))
    np.testing.assert_array_equal(prepared.array[0], volume.data)
    assert prepared.notes == (
        "The pixel size is not known: the image is not resampled to the model's µm.",
    )


@pytest.mark.parametrize("factor", [0.5, 1.5, 2.0, 3.0])
@pytest.mark.parametrize(("shape", "dims"), [((9, 14), 2), ((5, 8, 6), 3), ((4, 9, 8), 2)])
def test_zoom_is_a_finer_spacing_of_the_networks_axes(shape, dims, factor):
    spacing = (3.0, 1.0, 2.0)[3 - len(shape) :]
    volume = _volume(shape, Grid.from_spacing(shape, spacing, unit="µm"))
    zoomed = _prepared(volume, Operation("zoom", {"factor": factor}), dims=dims)
    finer = [s / factor for s in spacing[len(shape) - dims :]]
    same = _prepared(volume, Operation("spacing", {"spacing": finer, "unit": "µm"}), dims=dims)
    assert zoomed.grid.is_close(same.grid, tolerance=1e-9)
    np.testing.assert_array_equal(zoomed.array, same.array)


@pytest.mark.parametrize("factor", [1.5, 2.0, 2.7])
def test_labels_survive_a_zoom_and_back(factor):
    volume = _volume((13, 17))
    back = _prepared(volume, Operation("zoom", {"factor": factor})).back
    labels = np.random.default_rng(0).integers(0, 9, (13, 17))
    np.testing.assert_array_equal(_labels_home(back, back.prepare_labels(labels)), labels)


def test_a_zoom_that_nobody_means_is_refused():
    empty = np.broadcast_to(np.float32(0), (400, 400, 400))
    volume = Volume(empty, Grid.from_spacing(empty.shape))
    with pytest.raises(OutOfMemoryError, match="crop it"):
        _prepared(volume, Operation("zoom", {"factor": 10.0}))


def test_a_size_that_nobody_means_is_refused():
    volume = _volume((100, 100, 100), Grid.from_spacing((100,) * 3, (1,) * 3, unit="m"))
    with pytest.raises(OutOfMemoryError, match="check the image's pixel size and unit"):
        _prepared(volume, Operation("spacing", {"spacing": [1.0, 1.0, 1.0]}))


@st.composite
def resampled(draw: st.DrawFn):
    """Draw a volume of any orientation and its preparation at another spacing."""
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    lengths = st.floats(0.5, 3.0)
    here = draw(st.tuples(lengths, lengths, lengths))
    there = [draw(st.none() | lengths) for _ in range(3)]
    volume = _volume(shape, grid(shape, draw(st.sampled_from(ORIENTATIONS)), here))
    codes = draw(st.sampled_from(ORIENTATIONS))
    return volume, _prepared(
        volume,
        Operation("orientation", {"codes": codes}),
        Operation("spacing", {"spacing": there}),
    )


def _labels_home(back, labels):
    found = np.full(back.native.shape, -1, labels.dtype)
    for box, part in bring_labels(back, labels):
        assert (found[box] == -1).all()  # no voxel twice
        found[box] = part
    return found


@given(resampled())
def test_labels_come_back_through_the_world(drawn):
    volume, prepared = drawn
    labels = np.arange(np.prod(prepared.grid.shape)).reshape(prepared.grid.shape)
    back = _labels_home(prepared.back, labels)
    # Halfway between two voxels rounding decides: those are left out.
    index = np.stack(np.indices(volume.grid.shape), axis=-1)
    at = prepared.grid.world_to_index(volume.grid.index_to_world(index))
    clear = (np.abs(at % 1 - 0.5) > 1e-6).all(axis=-1)
    expected = sample(labels, prepared.grid, volume.grid, order=0)
    np.testing.assert_array_equal(back[clear], expected[clear])
    assert back.shape == volume.grid.shape


@given(resampled())
def test_labels_go_forth_through_the_world(drawn):
    volume, prepared = drawn
    labels = np.arange(np.prod(volume.grid.shape)).reshape(volume.grid.shape)
    index = np.stack(np.indices(prepared.grid.shape), axis=-1)
    at = volume.grid.world_to_index(prepared.grid.index_to_world(index))
    clear = (np.abs(at % 1 - 0.5) > 1e-6).all(axis=-1)
    expected = sample(labels, volume.grid, prepared.grid, order=0)
    np.testing.assert_array_equal(prepared.back.prepare_labels(labels)[clear], expected[clear])


@given(resampled(), st.integers(0, 2**31))
def test_probabilities_are_interpolated_before_they_are_decided(drawn, seed):
    volume, prepared = drawn
    maps = np.random.default_rng(seed).random((2, *prepared.grid.shape), dtype=np.float32)
    found = _decided(prepared.back, maps, lambda part: part[0] * 100)
    expected = sample(maps[0], prepared.grid, volume.grid) * 100
    np.testing.assert_allclose(found, expected, atol=1e-3)


def _decided(back, maps, decide):
    """Return what the way back makes of maps that are finished in one part."""
    returning = Returning(back)
    whole = tuple(slice(0, n) for n in back.prepared.shape)
    (found,) = returning.bring(whole, torch.from_numpy(maps), lambda part: [decide(part)])
    return np.ascontiguousarray(back.how.inverse().apply(found.numpy()))


def _ordered(maps):
    return maps.argmax(dim=0)


@pytest.mark.parametrize("codes", ["IPL", "LSP", "RAS"])
def test_slabs_on_the_way_back_change_nothing(codes, monkeypatch):
    volume = _volume((9, 8, 7), grid((9, 8, 7), codes))
    prepared = _prepared(volume, Operation("spacing", {"spacing": [0.6, 1.7, 1.2]}))
    maps = np.random.default_rng(0).random((3, *prepared.grid.shape), dtype=np.float32)
    whole = _decided(prepared.back, maps, _ordered)
    monkeypatch.setattr("napari_monai.returning._SLAB", 200)
    found = _decided(prepared.back, maps, _ordered)
    np.testing.assert_array_equal(found, whole)
    assert found.flags.c_contiguous


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SRA"])
@pytest.mark.parametrize("tilt", [0.0, 0.3], ids=["straight", "oblique"])
def test_the_way_back_is_that_of_monai(codes, tilt):
    volume = _volume((12, 9, 14), grid((12, 9, 14), codes, (1.0, 2.0, 0.7), tilt=tilt))
    prepared = _prepared(
        volume,
        Operation("orientation", {"codes": "RAS"}),
        Operation("spacing", {"spacing": [1.3, 1.5, 1.6]}),
    )
    maps = np.random.default_rng(1).random((4, *prepared.grid.shape), dtype=np.float32)
    back = SpatialResample(mode="bilinear", padding_mode="border", align_corners=True)(
        MetaTensor(maps, affine=prepared.grid.affine.copy()),
        dst_affine=volume.grid.affine.copy(),
        spatial_size=volume.grid.shape,
    ).numpy()
    second, first = np.sort(back, axis=0)[-2:]
    clear = first - second > 1e-4
    assert clear.mean() > 0.99
    found = _decided(prepared.back, maps, _ordered)
    np.testing.assert_array_equal(found[clear], back.argmax(axis=0)[clear])


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "theirs"),
    [
        pytest.param(
            Operation("scale_percentiles", {"lower": 1, "upper": 99.8}),
            ScaleIntensityRangePercentiles(1, 99.8, 0, 1, channel_wise=True),
            id="percentiles",
        ),
        pytest.param(
            Operation("scale_percentiles", {"lower": 5, "upper": 95, "per_channel": False}),
            ScaleIntensityRangePercentiles(5, 95, 0, 1),
            id="percentiles-together",
        ),
        pytest.param(
            Operation("scale_percentiles", {"lower": 5, "upper": 95, "clip": True}),
            ScaleIntensityRangePercentiles(5, 95, 0, 1, clip=True, channel_wise=True),
            id="percentiles-clipped",
        ),
        pytest.param(
            Operation("scale_range", {"a_min": -57, "a_max": 164, "clip": True}),
            ScaleIntensityRange(-57, 164, 0, 1, clip=True),
            id="range-clipped",
        ),
        pytest.param(
            Operation("scale_range", {"a_min": 0, "a_max": 255, "b_min": -1, "b_max": 1}),
            ScaleIntensityRange(0, 255, -1, 1),
            id="range",
        ),
        pytest.param(
            Operation("zscore"), NormalizeIntensity(channel_wise=True), id="zscore"
        ),
        pytest.param(
            Operation("zscore", {"nonzero": True}),
            NormalizeIntensity(nonzero=True, channel_wise=True),
            id="zscore-nonzero",
        ),
        pytest.param(
            Operation("zscore", {"per_channel": False}), NormalizeIntensity(), id="zscore-together"
        ),
        pytest.param(
            Operation("clip", {"minimum": 20, "maximum": 90}),
            lambda image: image.clamp(20, 90),
            id="clip",
        ),
        pytest.param(
            Operation("clip", {"maximum": 90}), lambda image: image.clamp(max=90), id="clip-above"
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.uint8, ">u2", np.int16, np.float64], ids=str)
def test_values_equal_monai(operation, theirs, dtype):
    volume = _volume((2, 9, 11), Grid.from_spacing((9, 11)), dtype=np.uint8, leading="c")
    data = volume.numpy()
    data[data < 15] = 0
    volume = Volume(data.astype(dtype), volume.grid, leading="c")
    before = volume.numpy().copy()
    prepared = _prepared(volume, operation, channels=2)
    expected = theirs(torch.from_numpy(data.astype(np.float32)))
    np.testing.assert_allclose(prepared.array, np.asarray(expected), atol=2e-5)
    assert prepared.array.dtype == np.float32
    np.testing.assert_array_equal(volume.numpy(), before)


@pytest.mark.parametrize(
    "operation",
    [Operation("scale_percentiles"), Operation("zscore"), Operation("zscore", {"nonzero": True})],
    ids=["percentiles", "zscore", "nonzero"],
)
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_constant_image_becomes_0(operation, value):
    volume = Volume(np.full((4, 4), value), Grid.from_spacing((4, 4)))
    np.testing.assert_array_equal(_prepared(volume, operation).array, np.zeros((1, 4, 4)))


@pytest.mark.parametrize(
    "operation",
    [
        Operation("scale_percentiles"),
        Operation("zscore"),
        Operation("scale_range", {"a_min": -2, "a_max": 2}),
    ],
    ids=["percentiles", "zscore", "range"],
)  # fmt: skip
def test_values_that_are_not_finite_count_as_0_and_spoil_no_statistics(operation):
    data = np.random.default_rng(0).normal(size=(6, 6))
    holes = data.copy()
    holes[0, 0], holes[1, 1], holes[2, 2] = np.nan, np.inf, -np.inf
    finite = np.isfinite(holes)
    prepared = _prepared(Volume(holes, Grid.from_spacing((6, 6))), operation)
    row = Volume(data[finite][np.newaxis], Grid.from_spacing((1, int(finite.sum()))))
    np.testing.assert_allclose(
        prepared.array[0][finite], _prepared(row, operation).array[0, 0], atol=1e-6
    )
    assert (prepared.array[0][~finite] == 0).all()
    assert prepared.notes == ("image: 3 values that are not finite count as 0.",)


def test_nothing_finite_at_all():
    volume = Volume(np.full((3, 3), np.nan), Grid.from_spacing((3, 3)))
    for name in ("scale_percentiles", "zscore"):
        assert (_prepared(volume, Operation(name)).array == 0).all()


# -- channels --------------------------------------------------------------------------------------

COLOUR = {
    "inputs": Inputs(("red", "green", "blue"), 2, colour=True),
    "preprocess": (Operation("colour"),),
}


@pytest.mark.parametrize(
    ("channels", "rgb"),
    [(1, False), (3, False), (3, True), (4, True)],
    ids=["grey", "three-channels", "rgb", "rgba"],
)
def test_colour_models_take_grey_and_colour(channels, rgb):
    shape = (channels, 5, 6) if channels > 1 else (5, 6)
    volume = _volume(shape, Grid.from_spacing((5, 6)), leading="c" if channels > 1 else "", rgb=rgb)
    array = prepare(volume, description(2, 3, **COLOUR)).array
    expected = volume.data[:3] if channels > 1 else np.stack([volume.data] * 3)
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("channels", "wanted", "message"),
    [
        pytest.param(
            2,
            1,
            "bright takes 1 channel (c0), but image has 2 (channel 0, channel 1): "
            "choose the channels that fit, or another model.",
            id="too-many",
        ),
        pytest.param(1, 2, "takes 2 channels (c0, c1), but image has 1 (channel 0)", id="too-few"),
    ],
)
def test_other_channels_are_refused(channels, wanted, message):
    volume = _volume((channels, 5, 6), Grid.from_spacing((5, 6)), leading="c")
    with pytest.raises(ModelError) as caught:
        _prepared(volume, channels=wanted)
    assert message in str(caught.value)


def test_two_channels_are_no_colour():
    volume = _volume((2, 5, 6), Grid.from_spacing((5, 6)), leading="c")
    with pytest.raises(ModelError, match="takes 3 channels"):
        prepare(volume, description(2, 3, **COLOUR))


def test_a_colour_picture_for_one_channel_is_refused_unless_it_is_grey():
    colour = _volume((3, 5, 6), Grid.from_spacing((5, 6)), leading="c", rgb=True)
    with pytest.raises(ModelError, match="takes 1 channel"):
        _prepared(colour)
    grey = np.stack([colour.data[0]] * 3 + [np.full((5, 6), 255)])
    prepared = _prepared(Volume(grey, colour.grid, leading="c", rgb=True))
    np.testing.assert_array_equal(prepared.array[0], colour.data[0])
    assert "grey picture stored as colour" in prepared.notes[0]


def test_a_picture_for_a_3d_model_is_refused():
    with pytest.raises(ModelError, match="choose a 2D model"):
        _prepared(_volume((5, 6)), dims=3)


def test_complex_values_are_refused():
    volume = Volume(np.zeros((4, 4), np.complex64), Grid.from_spacing((4, 4)))
    with pytest.raises(ModelError, match="complex64"):
        _prepared(volume)


# -- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("orientation", {"codes": "RAR"}, "names not each axis once"),
        ("orientation", {"codes": 3}, "codes is no str"),
        ("spacing", {}, "spacing"),
        ("spacing", {"spacing": [1, 0]}, "positive numbers or null"),
        ("spacing", {"spacing": [1, True]}, "positive numbers or null"),
        ("spacing", {"spacing": [1, 1], "unit": "pixel"}, "has no size in mm"),
        ("spacing", {"spacing": [1, 1], "unit": "inch"}, "No unit of length"),
        ("zoom", {"factor": 0}, "from 0.1 to 10"),
        ("zoom", {"factor": "x"}, "factor is no float"),
        ("colour", {"mode": 1}, "It has none"),
        ("scale_percentiles", {"lower": 60, "upper": 50}, "lower < upper"),
        ("scale_range", {"a_min": 1}, "a_max"),
        ("scale_range", {"a_min": 1, "a_max": 1}, "a_min must be below a_max"),
        ("zscore", {"nonzero": 1}, "nonzero is no bool"),
        ("clip", {}, "minimum, maximum or both"),
        ("resample", {}, "No preprocess operation 'resample'"),
    ],
)
def test_operations_that_cannot_be_are_refused_in_one_line(name, parameters, message):
    with pytest.raises(ModelError) as caught:
        check_operations([Operation(name, parameters)], 2)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_table_names_every_operation_of_the_format():
    assert set(OPERATIONS) == {
        "orientation", "transpose", "spacing", "resize", "zoom", "crop_foreground", "crop_nonzero",
        "pad", "pad_divisible", "colour", "scale_percentiles", "scale_range", "scale_minmax",
        "scale_linear", "zscore", "clip", "cast",
    }  # fmt: skip
