"""Segmentation end to end, with networks whose answer is known: labels land in the right voxels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.models.known import INSTANCES, random_model, threshold_model
from tests.space import ORIENTATIONS, grid, sample

from napari_monai.errors import (
    ModelError,
    NapariMonaiError,
    OutOfMemoryError,
    SettingsError,
)
from napari_monai.events import Said, Segmented, Started, WindowDone
from napari_monai.grid import Grid
from napari_monai.inference import predict, segment, segment_steps
from napari_monai.models import Inferer, Inputs, Operation, Outputs, load_model
from napari_monai.settings import InferenceSettings
from napari_monai.volume import LabelClass, LabelVolume, Volume

EXACT = InferenceSettings(device="cpu", precision="float32")


def _volume(shape, where: Grid | None = None, *, seed=0, **told) -> Volume:
    """Return an image of whole numbers below 100; thresholds lie between them."""
    data = np.random.default_rng(seed).integers(0, 100, shape).astype(np.uint8)
    return Volume(data, where or Grid.from_spacing(shape), **told)


def _preview(events, shape, timed=False) -> np.ndarray:
    """Return what the previews of a run add up to; every voxel is told exactly once."""
    found = np.zeros(shape, np.int64)
    told = np.zeros(shape, int)
    for event in events:
        if isinstance(event, WindowDone) and event.region is not None:
            assert found[event.region].shape == event.labels.shape
            found[event.region] = event.labels
            told[event.region] += 1
    assert (told == 1).all()
    return found


def _lines(events):
    return [e.message for e in events if isinstance(e, Said)]


# -- every label in its voxel ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def volumes_model(tmp_path_factory):
    return threshold_model(
        tmp_path_factory.mktemp("m") / "m", threshold=49.5, dims=3, inferer=Inferer((4, 4, 4))
    )


@pytest.fixture(scope="module")
def slices_model(tmp_path_factory):
    return threshold_model(
        tmp_path_factory.mktemp("m") / "m", threshold=49.5, inferer=Inferer((4, 4))
    )


@pytest.mark.parametrize("codes", ORIENTATIONS)
@pytest.mark.parametrize("dims", [2, 3])
def test_every_orientation(codes, dims, volumes_model, slices_model):
    volume = _volume((5, 6, 7), grid((5, 6, 7), codes, (1.0, 2.0, 3.0), tilt=0.1))
    model = slices_model if dims == 2 else volumes_model
    events = list(segment_steps(volume, model, settings=EXACT))
    labels = events[-1].labels
    np.testing.assert_array_equal(labels.numpy(), volume.data > 49.5)
    np.testing.assert_array_equal(_preview(events, volume.grid.shape), volume.data > 49.5)
    assert labels.grid == volume.grid


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_resampled(codes, tmp_path_factory):
    model = threshold_model(
        tmp_path_factory.mktemp("m") / "m",
        threshold=49.5,
        gain=0.1,
        dims=3,
        inferer=Inferer((6, 6, 6)),
        preprocess=(
            Operation("orientation", {"codes": "RAS"}),
            Operation("spacing", {"spacing": [0.9, 1.3, None]}),
        ),
    )
    volume = _volume((5, 6, 7), grid((5, 6, 7), codes, (1.0, 2.0, 1.4)))
    # Through the world, with none of the package's resampling.
    prepared = volume.grid.oriented("RAS")
    prepared = prepared.with_spacing((0.9, 1.3, prepared.spacing[2]))
    bright = sample(volume.data.astype(float), volume.grid, prepared)
    probability = 1 / (1 + np.exp(-0.1 * (bright - 49.5)))
    expected = sample(probability, prepared, volume.grid)
    clear = np.abs(expected - 0.5) > 1e-4
    events = list(segment_steps(volume, model, settings=EXACT))
    found = events[-1].labels.numpy()
    np.testing.assert_array_equal(found[clear], (expected > 0.5)[clear])
    assert clear.mean() > 0.95
    np.testing.assert_array_equal(_preview(events, volume.grid.shape), found)


def test_resampling_loses_little_of_a_smooth_image(tmp_path):
    model = threshold_model(
        tmp_path / "m",
        threshold=0.5,
        dims=3,
        preprocess=(Operation("spacing", {"spacing": [1.5, 1.5, 1.5]}),),
    )
    data = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(30, 40, 24)), 3)
    data = (data - data.min()) / np.ptp(data)
    volume = Volume(data, grid((30, 40, 24), "LPS", (1.0, 1.0, 2.0)))
    found = segment(volume, model, settings=EXACT).numpy()
    assert (found == (data > 0.5)).mean() > 0.985


@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 2), (13, 31), (8, 8), (1, 40), (2, 3, 9), (1, 17, 23)], ids=str
)
def test_any_size(shape, slices_model):
    volume = _volume(shape)
    found = segment(volume, slices_model, settings=EXACT)
    np.testing.assert_array_equal(found.numpy(), volume.data > 49.5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 30, 3), (9, 8, 11)], ids=str)
def test_any_size_3d(shape, volumes_model):
    volume = _volume(shape)
    found = segment(volume, volumes_model, settings=EXACT)
    np.testing.assert_array_equal(found.numpy(), volume.data > 49.5)


@pytest.mark.parametrize("codes", ["RAS", "LPI", "ASR"])
def test_a_slice_out_of_a_patient(codes, slices_model):
    where = grid((1, 6, 7), codes)
    flat = Grid((6, 7), where.affine[:, [1, 2, 0, 3]])
    volume = _volume((6, 7), flat)
    found = segment(volume, slices_model, settings=EXACT)
    np.testing.assert_array_equal(found.numpy(), volume.data > 49.5)


def test_a_2d_model_sees_axial_slices(tmp_path):
    """A network with a receptive field gives the same as each axial slice by itself."""
    model = random_model(tmp_path / "m", inferer=Inferer((16, 16)))
    volume = _volume((20, 18, 5), grid((20, 18, 5), "RAS"))
    found = segment(volume, model, settings=EXACT).numpy()
    for k in range(5):
        axial = Volume(volume.data[:, :, k][::-1, ::-1].T, Grid.from_spacing((18, 20)))
        alone = segment(axial, model, settings=EXACT).numpy()
        np.testing.assert_array_equal(found[:, :, k], alone.T[::-1, ::-1])


# -- channels, time, classes -----------------------------------------------------------------------


def test_channels_are_weighted_in_their_order(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5, weights=(1.0, -2.0, 0.0))
    volume = _volume((3, 10, 11), Grid.from_spacing((10, 11)), leading="c", rgb=True)
    data = volume.data.astype(int)
    found = segment(volume, model, settings=EXACT)
    np.testing.assert_array_equal(found.numpy(), data[0] - 2 * data[1] > 0.5)
    assert (found.leading, found.rgb) == ("", False)


@pytest.mark.parametrize("leading", ["t", "tc"])
def test_each_time_point_by_itself(tmp_path, leading):
    model = threshold_model(
        tmp_path / "m", threshold=0.5, preprocess=(Operation("scale_percentiles"),)
    )
    shape = (3, 12, 10) if leading == "t" else (3, 1, 12, 10)
    data = np.random.default_rng(0).normal(size=shape) * np.arange(1, 4).reshape(
        (3, *(1,) * (len(shape) - 1))
    )
    volume = Volume(data, Grid.from_spacing((12, 10)), leading=leading, time_step=2.5)
    events = list(segment_steps(volume, model, settings=EXACT))
    found = events[-1].labels
    assert (found.leading, found.time_step, found.data.shape) == ("t", 2.5, (3, 12, 10))
    for t in range(3):
        alone = segment(volume.at_time(t), model, settings=EXACT).numpy()
        np.testing.assert_array_equal(found.numpy()[t], alone)
    np.testing.assert_array_equal(_preview(events, (3, 12, 10)), found.numpy())
    windows = [e for e in events if isinstance(e, WindowDone)]
    started = next(e for e in events if isinstance(e, Started))
    assert [w.done for w in windows] == list(range(1, started.total + 1))
    assert {w.total for w in windows} == {started.total}


@pytest.mark.parametrize(
    ("numbers", "dtype"), [((1, 2), np.uint8), ((7, 255), np.uint8), ((3, 300), np.uint16)]
)
def test_labels_carry_the_numbers_of_their_classes(tmp_path, numbers, dtype):
    """Two sigmoid channels: the second one, without weights, is never above its threshold."""
    labels = tuple(LabelClass(n, f"class {n}") for n in numbers)
    outputs = Outputs("classes", ("a", "b"), ("sigmoid", "sigmoid"))
    model = threshold_model(tmp_path / "m", threshold=49.5, outputs=outputs, labels=labels)
    volume = _volume((9, 9))
    settings = replace(EXACT, threshold=0.6)
    found = segment(volume, model, settings=settings)
    np.testing.assert_array_equal(found.numpy(), np.where(volume.data > 49.5, numbers[0], 0))
    assert found.dtype == dtype
    assert found.classes == labels


@pytest.mark.parametrize("activation", [("softmax",), ("sigmoid", "sigmoid")], ids=str)
@pytest.mark.parametrize("threshold", [0.2, 0.9])
def test_threshold_of_classes(tmp_path, activation, threshold):
    softmax = activation == ("softmax",)
    labels = tuple(LabelClass(n, "x") for n in range(1, 2 if softmax else 3))
    model = threshold_model(
        tmp_path / "m",
        threshold=49.5,
        gain=0.1,
        outputs=Outputs("classes", ("a", "b"), activation),
        labels=labels,
    )
    volume = _volume((20, 20))
    found = segment(volume, model, settings=replace(EXACT, threshold=threshold)).numpy()
    probability = 1 / (1 + np.exp(-0.1 * (volume.data - 49.5)))
    if softmax:
        np.testing.assert_array_equal(found > 0, probability >= threshold)
    else:  # the second channel is 0.5 everywhere
        expected = np.where(probability > 0.5, 1, 2)
        expected[np.maximum(probability, 0.5) < threshold] = 0
        np.testing.assert_array_equal(found, expected)


# -- objects ---------------------------------------------------------------------------------------


def _blobs(shape, corners, size=3) -> np.ndarray:
    data = np.zeros(shape, np.float32)
    for corner in corners:
        data[tuple(slice(c, c + size) for c in corner)] = 1
    return data


def test_objects_of_a_picture(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5, gain=20, **INSTANCES)
    data = _blobs((20, 24), [(1, 1), (1, 10), (12, 3), (14, 17)])
    events = list(segment_steps(Volume(data, Grid.from_spacing(data.shape)), model, settings=EXACT))
    found = events[-1].labels
    np.testing.assert_array_equal(_preview(events, data.shape), data > 0.5)
    expected, count = ndimage.label(data)
    assert (found.kind, found.dtype, found.numpy().max()) == ("instances", np.uint16, count)
    np.testing.assert_array_equal(found.numpy() > 0, expected > 0)
    pairs = set(zip(found.numpy().ravel(), expected.ravel(), strict=True))
    assert len(pairs) == count + 1


@pytest.mark.parametrize("codes", ["RAS", "LIP", "SAR"])
def test_a_2d_model_finds_objects_across_slices(tmp_path, codes):
    model = threshold_model(tmp_path / "m", threshold=0.5, gain=20, **INSTANCES)
    data = _blobs((14, 12, 13), [(1, 1, 1), (1, 1, 7), (9, 8, 9), (8, 1, 2)])
    found = segment(Volume(data, grid(data.shape, codes)), model, settings=EXACT).numpy()
    expected, count = ndimage.label(data)
    pairs = set(zip(found.ravel(), expected.ravel(), strict=True))
    assert len(pairs) == count + 1
    assert found.max() == count == 4


def test_objects_of_a_resampled_image_come_back_whole(tmp_path):
    told = {**INSTANCES, "preprocess": (Operation("spacing", {"spacing": [0.5, 0.5]}),)}
    model = threshold_model(tmp_path / "m", threshold=0.5, gain=20, **told)
    data = _blobs((20, 24), [(1, 1), (12, 3), (14, 17)], size=4)
    volume = Volume(data, Grid.from_spacing(data.shape, (1.0, 1.0), unit="mm"))
    found = segment(volume, model, settings=EXACT)
    assert found.grid == volume.grid
    np.testing.assert_array_equal(found.numpy() > 0, data > 0)
    assert found.numpy().max() == 3


@pytest.mark.parametrize(
    ("own", "asked", "as_one"),
    [
        ((), 2.0, ("zoom",)),
        (("zoom",), 1.5, ("zoom",)),
        (("scale_minmax", "pad_divisible"), 0.5, ("scale_minmax", "zoom", "pad_divisible")),
    ],
    ids=str,
)
def test_zoom_is_as_if_the_model_did_it(tmp_path, own, asked, as_one):
    told = {"zoom": {"factor": 2.0}, "pad_divisible": {"k": 8}}

    def model(names, factor):
        parameters = {**told, "zoom": {"factor": factor}}
        steps = tuple(Operation(name, parameters.get(name, {})) for name in names)
        return threshold_model(tmp_path / str(factor), threshold=0.5, preprocess=steps)

    data = np.random.default_rng(0).random((40, 30))
    data = ndimage.gaussian_filter(data, 1.5)
    data = (data - data.min()) / np.ptp(data)
    volume = Volume(data, Grid.from_spacing(data.shape, (0.5, 0.5), unit="µm"))
    found = segment(volume, model(own, 2.0), settings=replace(EXACT, zoom=asked))
    factor = asked * (2.0 if "zoom" in own else 1.0)
    expected = segment(volume, model(as_one, factor), settings=EXACT)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert found.grid == volume.grid
    assert (found.numpy() == (data > 0.5)).mean() > 0.94


def test_a_zoom_beyond_what_can_be_is_said(tmp_path):
    told = (Operation("zoom", {"factor": 4.0}),)
    model = threshold_model(tmp_path / "m", threshold=0.5, preprocess=told)
    with pytest.raises(SettingsError, match=r"0\.1 to 10, not 20"):
        segment(_volume((8, 8)), model, settings=replace(EXACT, zoom=5.0))


def test_settings_go_before_the_models_decoding(tmp_path):
    told = {**INSTANCES, "postprocess": (Operation("instances", {"min_size": 1000.0}),)}
    model = threshold_model(tmp_path / "m", threshold=0.5, gain=20, **told)
    data = _blobs((20, 24), [(1, 1)], size=2) + _blobs((20, 24), [(10, 10)], size=5)
    volume = Volume(data, Grid.from_spacing(data.shape, (2.0, 2.0), unit="µm"))
    assert segment(volume, model, settings=EXACT).numpy().max() == 0
    both = segment(volume, model, settings=replace(EXACT, min_size=0.0)).numpy()
    assert both.max() == 2
    # 2 x 2 and 5 x 5 voxels of 4 µm²
    large = segment(volume, model, settings=replace(EXACT, min_size=50.0)).numpy()
    np.testing.assert_array_equal(large > 0, _blobs((20, 24), [(10, 10)], size=5) > 0)


def test_threshold_of_objects(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5, gain=4, **INSTANCES)
    data = _blobs((10, 20), [(2, 2)]) + 0.6 * _blobs((10, 20), [(2, 12)])
    volume = Volume(data, Grid.from_spacing(data.shape))
    for threshold, objects in ((None, 2), (0.8, 1), (0.95, 0)):
        events = list(segment_steps(volume, model, settings=replace(EXACT, threshold=threshold)))
        assert events[-1].labels.numpy().max() == objects
        assert ndimage.label(_preview(events, data.shape))[1] == objects


def test_nothing_found_is_an_empty_result(tmp_path):
    for name, told in (("a", {}), ("b", INSTANCES)):
        model = threshold_model(tmp_path / name, threshold=0.5, **told)
        found = segment(Volume(np.zeros((9, 8)), Grid.from_spacing((9, 8))), model, settings=EXACT)
        assert found.numpy().shape == (9, 8)
        assert found.numpy().max() == 0


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batch_size_changes_no_label(tmp_path, batch_size):
    model = random_model(tmp_path / "m", inferer=Inferer((12, 12)))
    volume = _volume((3, 41, 37))
    reference = segment(volume, model, settings=EXACT).numpy()
    assert 0.01 < reference.mean() < 0.99
    other = segment(volume, model, settings=replace(EXACT, batch_size=batch_size)).numpy()
    assert (other == reference).mean() > 0.9999


@pytest.mark.parametrize(
    ("inferer", "settings"),
    [
        pytest.param(Inferer((16, 16), 0.25, "constant", True), EXACT, id="as-the-model-says"),
        pytest.param(
            Inferer((32, 32)),
            replace(EXACT, window=(16, 16), overlap=0.25, blend="constant", flips=True),
            id="as-the-settings-say",
        ),
    ],
)
def test_how_the_window_slides(tmp_path, inferer, settings):
    model = random_model(tmp_path / "m", inferer=inferer)
    volume = _volume((40, 52))
    events = list(segment_steps(volume, model, settings=settings))
    maps = predict(
        volume.data[np.newaxis].astype(np.float32),
        model.load_network(),
        device=torch.device("cpu"),
        window=(16, 16),
        overlap=0.25,
        blend="constant",
        flips=True,
        activation=("softmax",),
    )
    assert next(e for e in events if isinstance(e, Started)).total == 3 * 4
    assert (events[-1].labels.numpy() == maps.argmax(0)).mean() > 0.9999


def test_a_window_of_wrong_length_is_refused(slices_model):
    settings = replace(EXACT, window=(8, 8, 8))
    with pytest.raises(SettingsError, match="has 3 numbers, but bright needs 2"):
        segment(_volume((8, 8)), slices_model, settings=settings)


def test_what_has_to_be_said_is_said(tmp_path):
    model = random_model(tmp_path / "m")
    volume = Volume(np.full((8, 8), np.nan), Grid.from_spacing((8, 8)), name="hole")
    settings = replace(EXACT, window=(5, 5), min_size=3.0, seed_threshold=0.1)
    assert _lines(segment_steps(volume, model, settings=settings)) == [
        "Window sides grow to multiples of 2, as bright needs.",
        "Seed threshold is for models of objects: it does nothing here.",
        "Smallest object is for models of objects: it does nothing here.",
        "Running bright on CPU.",
        "hole: 64 values that are not finite count as 0.",
    ]


# -- the result ------------------------------------------------------------------------------------


def test_the_result_is_labels_on_the_inputs_grid(slices_model):
    volume = _volume((9, 8), name="cells", meta={"header": 1})
    before = volume.data.copy()
    *_, last = segment_steps(volume, slices_model, settings=EXACT)
    assert isinstance(last, Segmented)
    labels = last.labels
    assert isinstance(labels, LabelVolume)
    assert (labels.name, labels.meta, labels.grid) == (
        "cells bright",
        {"header": 1},
        volume.grid,
    )
    assert (last.device, last.seconds > 0) == ("cpu", True)
    assert labels.data.flags.c_contiguous
    np.testing.assert_array_equal(volume.data, before)


def test_lazy_and_big_endian_data(slices_model):
    class Lazy:
        def __init__(self, array):
            self.array, self.shape, self.dtype = array, array.shape, array.dtype

        def __getitem__(self, key):
            return Lazy(self.array[key]) if isinstance(key, int) else self.array[key]

    data = _volume((2, 9, 8)).data.astype(">u2")
    volume = Volume(Lazy(data), Grid.from_spacing((9, 8)), leading="t")
    np.testing.assert_array_equal(segment(volume, slices_model, settings=EXACT).data, data > 49.5)


def test_auto_agrees_with_float32(tmp_path):
    model = random_model(tmp_path / "m")
    volume = _volume((50, 60))
    exact = segment(volume, model, settings=EXACT).numpy()
    auto = segment(volume, model, settings=InferenceSettings(device="cpu")).numpy()
    assert (exact == auto).mean() > 0.99


def test_a_model_that_was_saved_again_is_loaded_again(tmp_path):
    volume = _volume((9, 8))
    for threshold in (20.5, 60.5):
        model = threshold_model(tmp_path / "m", threshold=threshold)
        found = segment(volume, model, settings=EXACT).numpy()
        np.testing.assert_array_equal(found, volume.data > threshold)


# -- cancelled, or not possible --------------------------------------------------------------------


def test_closing_cancels_between_windows(slices_model):
    volume = _volume((64, 64))
    steps = segment_steps(volume, slices_model, settings=replace(EXACT, batch_size=2))
    seen = []
    for event in steps:
        seen.append(event)
        if isinstance(event, WindowDone):
            break
    steps.close()
    assert next(steps, None) is None
    assert seen[-1].done == 1
    assert seen[-1].total > 100
    found = segment(volume, slices_model, settings=EXACT)
    np.testing.assert_array_equal(found.numpy(), volume.data > 49.5)


def test_a_picture_for_a_3d_model(volumes_model):
    with pytest.raises(
        ModelError, match="bright takes volumes, but image is 2-D: choose a 2D model"
    ):
        segment(_volume((8, 8)), volumes_model, settings=EXACT)


def test_channels_that_do_not_fit(slices_model):
    volume = _volume((2, 8, 8), Grid.from_spacing((8, 8)), leading="c")
    with pytest.raises(ModelError, match=r"takes 1 channel \(c0\), but image has 2"):
        segment(volume, slices_model, settings=EXACT)


def test_a_model_with_a_missing_tensor(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    changed = {**model.description.network.arguments, "num_res_units": 1}
    file = tmp_path / "m" / "model.json"
    values = json.loads(file.read_text())
    values["network"]["arguments"] = changed
    file.write_text(json.dumps(values))
    with pytest.raises(ModelError, match=r"lacks tensor .* get the model again"):
        segment(_volume((8, 8)), load_model(tmp_path / "m"), settings=EXACT)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_sise": 1.0}, r"Did you mean 'min_size'\?"),
        ({"min_size": "1"}, "min_size is no number"),
        ({"spacing": 1.0}, "no parameter 'spacing'"),
    ],
)
def test_decoding_that_cannot_be(tmp_path, parameters, message):
    told = {**INSTANCES, "postprocess": (Operation("instances", parameters),)}
    model = threshold_model(tmp_path / "m", threshold=0.5, **told)
    with pytest.raises(ModelError, match=message):
        segment(_volume((8, 8)), model, settings=EXACT)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RuntimeError("broken\nfile"), ModelError, "bright failed on image: broken"),
        (RuntimeError("CUDA out of memory. Tried"), OutOfMemoryError, "does not fit into memory"),
        (MemoryError(), OutOfMemoryError, "does not fit into memory"),
        (ModelError("own"), ModelError, "own"),
    ],
)
def test_no_runtime_error_leaves(slices_model, error, kind, message):
    """The viewer's workers swallow RuntimeErrors."""

    class Broken:
        shape, dtype = (8, 8), np.dtype(np.uint8)

        def __getitem__(self, key):
            raise error

    volume = Volume(Broken(), Grid.from_spacing((8, 8)))
    with pytest.raises(kind, match=message) as caught:
        segment(volume, slices_model, settings=EXACT)
    assert isinstance(caught.value, NapariMonaiError)
    assert not isinstance(caught.value, RuntimeError)
    assert "\n" not in str(caught.value)


def test_an_image_beyond_all_memory_is_refused_before_it_is_read(volumes_model):
    class Vast:
        shape, dtype = (10**5, 10**5, 10**5), np.dtype(np.uint8)

        def __getitem__(self, key):
            raise AssertionError("read")

    volume = Volume(Vast(), Grid.from_spacing((10**5,) * 3))
    with pytest.raises(OutOfMemoryError, match=r"image needs .* GiB of memory"):
        segment(volume, volumes_model, settings=EXACT)


def test_networks_that_give_no_numbers(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5, gain=3e38)
    with pytest.raises(ModelError, match="values that are no numbers"):
        segment(_volume((8, 8)), model, settings=EXACT)


def test_the_smallest_window_of_a_normalising_network(tmp_path):
    """Instance norm refuses a layer of one voxel, which an image of one voxel would leave."""
    arguments = {
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 2,
        "channels": [4, 4, 4],
        "strides": [2, 2],
    }
    model = random_model(
        tmp_path / "m",
        inferer=Inferer((64, 64)),
        network_arguments=arguments,
        inputs=Inputs(("c0",), 2, size_multiple=4),
    )
    assert segment(_volume((1, 1)), model, settings=EXACT).numpy().shape == (1, 1)
