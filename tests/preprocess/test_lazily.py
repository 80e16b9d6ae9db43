"""Boxes of a lazily prepared image are those of the whole one, to the last bit."""

from __future__ import annotations

import math
import tracemalloc

import dask.array
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.known import description
from tests.space import ORIENTATIONS, grid

from napari_monai.errors import ModelError
from napari_monai.grid import Grid
from napari_monai.io.lazy import LazyArray
from napari_monai.models import Inputs, Operation
from napari_monai.preprocess import prepare, prepare_bytes, prepare_lazily
from napari_monai.volume import Volume

SOURCES = "napari_monai.preprocess.sources"


class Chunked:
    """An array in chunks that counts how often each of them is read."""

    def __init__(self, array: np.ndarray, chunks: tuple[int, ...]) -> None:
        self.array, self.chunks = array, chunks
        self.shape, self.dtype = array.shape, array.dtype
        self.reads = np.zeros([-(-n // c) for n, c in zip(self.shape, chunks, strict=True)], int)

    def __getitem__(self, key):
        if key[-1] is Ellipsis:
            key = (*key[:-1], *(slice(None),) * (len(self.shape) - len(key) + 1))
        touched = []
        for one, n, c in zip(key, self.shape, self.chunks, strict=True):
            side = slice(one, one + 1) if isinstance(one, int) else one
            start, stop, _ = side.indices(n)
            touched.append(slice(start // c, -(-stop // c)))
        self.reads[tuple(touched)] += 1
        return self.array[key].copy()


# -- the same to the last bit ----------------------------------------------------------------------

STORES = {
    "memory": lambda array: array,
    "fortran": np.asfortranarray,
    "dask": lambda array: dask.array.from_array(array, chunks=5),
    "zarr": lambda array: zarr.array(array, chunks=(7,) * array.ndim, store={}),
    "lazy": lambda array: LazyArray(array.T, order=range(array.ndim)[::-1]),
    "chunks": lambda array: Chunked(array, (16,) * array.ndim),
}
DTYPES = ["?", "u1", ">i2", "<u2", "<i4", "<f2", "<f4", ">f4", "<f8"]


def _operations(dims: int) -> st.SearchStrategy[Operation]:
    lengths = st.none() | st.floats(0.6, 2.5)
    told = {
        "orientation": {"codes": st.sampled_from(ORIENTATIONS)},
        "spacing": {
            "spacing": st.lists(lengths, min_size=dims, max_size=dims),
            "order": st.sampled_from([0, 1, 3]),
            "align": st.sampled_from(["centre", "extent", "corner"]),
            "separate_z": st.sampled_from([False, True, "auto"]),
        },
        "resize": {
            "size": st.lists(st.none() | st.integers(1, 30), min_size=dims, max_size=dims),
            "mode": st.sampled_from(["area", "linear", "nearest", "cubic"]),
        },
        "crop_foreground": {
            "threshold": st.sampled_from([-10.0, 100.0, 150.0]),
            "margin": st.integers(0, 3),
            "k_divisible": st.integers(1, 4),
            "allow_smaller": st.booleans(),
        },
        "crop_nonzero": {},
        "pad": {
            "size": st.lists(st.none() | st.integers(1, 25), min_size=dims, max_size=dims),
            "method": st.sampled_from(["symmetric", "end"]),
            "mode": st.sampled_from(["constant", "edge", "reflect"]),
        },
        "pad_divisible": {"k": st.integers(1, 9)},
        "scale_minmax": {"per_channel": st.booleans()},
        "scale_linear": {"gain": st.sampled_from([-2.0, 0.1]), "offset": st.just(3.0)},
        "cast": {"dtype": st.sampled_from(["uint8", "int16", "float16"])},
        "zoom": {"factor": st.sampled_from([0.5, 1.3, 2.0])},
        "scale_percentiles": {
            "lower": st.sampled_from([0.0, 1.0, 30.0]),
            "upper": st.sampled_from([70.0, 99.8, 100.0]),
            "per_channel": st.booleans(),
            "clip": st.booleans(),
        },
        "scale_range": {
            "a_min": st.just(-50.0),
            "a_max": st.just(130.0),
            "b_min": st.sampled_from([-1.0, 0.0]),
            "clip": st.booleans(),
        },
        "zscore": st.fixed_dictionaries({"per_channel": st.booleans()}, optional={}).flatmap(
            lambda told: st.sampled_from([{}, {"nonzero": True}, {"mask": True}]).map(
                lambda more: {**told, **more}
            )
        ),
        "clip": {"minimum": st.just(-20.0), "maximum": st.none() | st.just(90.0)},
        "colour": {},
    }
    return st.one_of(
        st.builds(
            Operation,
            st.just(name),
            st.fixed_dictionaries(parameters) if isinstance(parameters, dict) else parameters,
        )
        for name, parameters in told.items()
    )


@st.composite
def images(draw: st.DrawFn):
    """Draw an image in any storage, and a model that takes it."""
    shape = draw(st.sampled_from([(9, 33), (5, 6, 7), (20, 3, 18), (1, 19, 4), (17, 17, 2)]))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    channels = draw(st.sampled_from([None, 1, 2, 3]))
    rgb = channels == 3 and draw(st.booleans())
    full = shape if channels is None else (channels, *shape)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    data = rng.normal(40, 60, full)
    if dtype.kind == "f" and draw(st.booleans()):
        for value in (np.nan, np.inf, -np.inf):
            data[rng.random(full) < 0.03] = value
    data = (np.abs(data) if dtype.kind in "bu" else data).astype(dtype)
    if rgb and draw(st.booleans()):
        data[:] = data[:1]
    spacing = tuple(draw(st.sampled_from([0.7, 1.0, 1.9])) for _ in range(3))
    place = (
        grid(
            shape,
            draw(st.sampled_from(ORIENTATIONS))[: len(shape)],
            spacing,
            tilt=draw(st.sampled_from([0.0, 0.2])),
            unit=draw(st.sampled_from(["mm", "mm", "pixel"])),
        )
        if len(shape) == 3
        else Grid.from_spacing(shape, spacing[:2], unit="mm")
    )
    dims = draw(st.sampled_from([2, len(shape)]))
    steps = draw(st.lists(_operations(dims), max_size=4))
    colour = any(step.name == "colour" for step in steps)
    count = channels or 1
    if colour and count == 1:
        count = 3
    elif rgb and not colour and draw(st.booleans()):
        count = 1  # only for grey pictures; others are refused
    colour = colour and count == 3
    data = STORES[draw(st.sampled_from(sorted(STORES)))](data)
    volume = Volume(data, place, "" if channels is None else "c", rgb=rgb)
    inputs = Inputs(tuple(f"c{i}" for i in range(count)), dims, colour=colour)
    return volume, description(dims, count, inputs=inputs, preprocess=tuple(steps))


def _made(make, volume: Volume, model):
    """Return a prepared image, or why it cannot be."""
    try:
        return make(volume, model)
    except ModelError as error:
        return str(error)


@given(images(), st.sampled_from([300, 5000, 2**20]), st.data())
@settings(max_examples=150)
def test_boxes_equal_the_whole(drawn, block, data):
    volume, model = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{SOURCES}._FROM_FILE", block)
        made = [_made(make, volume, model) for make in (prepare, prepare_lazily)]
    whole, lazy = made
    if isinstance(whole, str):
        assert whole == lazy
        return
    assert whole.notes == lazy.notes
    assert whole.shape == lazy.shape == whole.array.shape
    assert (whole.grid, whole.back) == (lazy.grid, lazy.back)
    for _ in range(4):
        ends = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in whole.grid.shape]
        box = tuple(slice(*pair) for pair in ends)
        read = lazy.read(box)
        assert read.dtype == np.float32
        assert read.flags.c_contiguous
        expected = whole.array[(slice(None), *box)].tobytes()
        assert read.tobytes() == whole.read(box).tobytes() == expected
    everything = lazy.read((slice(None),) * whole.grid.ndim)
    assert everything.tobytes() == whole.array.tobytes()
    assert np.isfinite(whole.array).all()


def test_a_box_has_an_axis_for_each_of_the_grid_and_no_steps():
    volume = Volume(np.zeros((4, 5)), Grid.from_spacing((4, 5)))
    for made in (prepare(volume, description(2)), prepare_lazily(volume, description(2))):
        for box in ((slice(0, 2),), (slice(0, 4, 2), slice(None))):
            with pytest.raises(ValueError, match="2 slices without steps"):
                made.read(box)


# -- what is read ----------------------------------------------------------------------------------

PERCENTILES, ZSCORE = Operation("scale_percentiles"), Operation("zscore")
ZOOM = Operation("zoom", {"factor": 0.5})


@pytest.mark.parametrize(
    ("steps", "dtype", "passes"),
    [
        pytest.param((), "i2", 0, id="nothing"),
        pytest.param((Operation("clip", {"minimum": 0}),), "i2", 0, id="pointwise"),
        pytest.param((), "f4", 1, id="not-finite"),
        pytest.param((PERCENTILES,), "f4", 2, id="percentiles"),
        pytest.param((ZSCORE,), "f4", 1, id="moments"),
        pytest.param((PERCENTILES, ZSCORE), "i2", 3, id="both"),
        pytest.param((ZSCORE, ZOOM), "f4", 1, id="resampled-after"),
    ],
)
@pytest.mark.parametrize("codes", ["IPL", "RAS", "LPI"])
def test_each_chunk_is_read_once_a_pass(monkeypatch, steps, dtype, passes, codes):
    monkeypatch.setattr(f"{SOURCES}._FROM_FILE", 2**14)
    data = Chunked(np.zeros((64, 48, 32), dtype), (16, 16, 32))
    volume = Volume(data, grid(data.shape, codes))
    lazy = prepare_lazily(volume, description(3, preprocess=tuple(steps)))
    middle = any(step.name == "zscore" for step in steps)
    extra = data.reads - passes
    assert extra.min() == 0
    assert extra.sum() <= 8 * middle  # where the mean is guessed
    data.reads[:] = 0
    lazy.read((slice(0, 4),) * 3)
    assert data.reads.sum() == 1


def test_memory_for_statistics_is_bounded(monkeypatch):
    monkeypatch.setattr(f"{SOURCES}._FROM_FILE", 2**16)
    monkeypatch.setattr("napari_monai.preprocess.statistics._PIECE", 2**16)
    data = Chunked(np.zeros((160, 128, 128), np.int16), (8, 128, 128))
    volume = Volume(data, Grid.from_spacing(data.shape))
    model = description(3, preprocess=(PERCENTILES, ZSCORE))
    prepare_lazily(Volume(data.array[:9], Grid.from_spacing((9, 128, 128))), model)  # imports
    tracemalloc.start()
    prepare_lazily(volume, model)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6  # the image has 10.5 MB as float32


def test_time_points_of_files_are_read_box_by_box():
    array = np.random.default_rng(0).normal(size=(3, 20, 30)).astype(np.float32)
    data = Chunked(array, (1, 8, 8))
    frame = Volume(data, Grid.from_spacing((20, 30)), "t").at_time(1)
    lazy = prepare_lazily(frame, description(2, preprocess=(PERCENTILES,)))
    assert data.reads[[0, 2]].sum() == 0
    assert (data.reads[1] == 2).all()
    whole = prepare(frame, description(2, preprocess=(PERCENTILES,)))
    np.testing.assert_array_equal(lazy.read((slice(3, 9), slice(5, 30))), whole.array[:, 3:9, 5:])


# -- what a value becomes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "raw", "value"),
    [
        pytest.param([], 7, 7, id="nothing"),
        pytest.param([("scale_range", {"a_min": 0, "a_max": 200})], 50, 0.25, id="range"),
        pytest.param([("clip", {"minimum": 10})], 3, 10, id="cut-off-below"),
        pytest.param([("clip", {"maximum": 90})], 50, 50, id="below-the-limit"),
        pytest.param([("clip", {"maximum": 90})], 90, None, id="cut-off-above"),
        pytest.param([("zscore", {"nonzero": True})], 1, None, id="not-monotone"),
        pytest.param([("zoom", {"factor": 2.0})], 7, 7, id="resampled"),
        pytest.param([], float("nan"), None, id="nan"),
    ],
)
def test_value_of_a_raw_intensity(steps, raw, value):
    volume = Volume(np.arange(100.0).reshape(10, 10), Grid.from_spacing((10, 10)))
    operations = tuple(Operation(*step) for step in steps)
    for make in (prepare, prepare_lazily):
        found = make(volume, description(2, preprocess=operations)).value_of(raw)
        assert (None if found is None else found.tolist()) == (None if value is None else [value])


@given(st.integers(0, 99), st.sampled_from([PERCENTILES, ZSCORE]), st.floats(-30, 30))
def test_value_of_parts_the_voxels_as_the_raw_intensity_does(seed, operation, raw):
    data = np.random.default_rng(seed).normal(0, 20, (3, 12, 9)).astype(np.float32)
    volume = Volume(data, Grid.from_spacing((12, 9)), "c")
    prepared = prepare(volume, description(2, 3, preprocess=(operation,)))
    value = prepared.value_of(raw)
    assert value.shape == (3,)
    below = data <= np.float32(raw)
    assert (prepared.array <= value[:, None, None])[below].all()
    np.testing.assert_array_equal(prepared.array > value[:, None, None] + 1e-6, ~below)


# -- the estimate ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "lazy"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param([], True, id="from-a-file"),
        pytest.param([("scale_percentiles", {})], False, id="percentiles"),
        pytest.param([("colour", {})], False, id="colour"),
        pytest.param([("zoom", {"factor": 1.3}), ("zscore", {})], False, id="held"),
        pytest.param(
            [("zoom", {"factor": 1.3}), ("zscore", {}), ("orientation", {"codes": "RAS"})],
            False,
            id="held-and-turned",
        ),
        pytest.param(
            [("resize", {"size": [160, 150, 70], "mode": "cubic"})], False, id="cubic-finer"
        ),
        pytest.param(
            [("resize", {"size": [80, 80, 60], "mode": "cubic"}), ("zscore", {})],
            False,
            id="cubic-coarser",
        ),
        pytest.param([("pad", {"size": [150, 150, 80]})], False, id="padded"),
    ],
)
def test_the_estimate_is_close_to_the_peak(monkeypatch, steps, lazy):
    monkeypatch.setattr("napari_monai.preprocess.prepared._WORK", 0)
    monkeypatch.setattr(f"{SOURCES}._IN_MEMORY", 2**12)
    monkeypatch.setattr("napari_monai.preprocess.statistics._PIECE", 2**13)
    array = np.zeros((128, 128, 64), np.int16)
    volume = Volume(Chunked(array, array.shape) if lazy else array, Grid.from_spacing(array.shape))
    count = 3 if ("colour", {}) in steps else 1
    inputs = Inputs(tuple(f"c{i}" for i in range(count)), 3, colour=count == 3)
    operations = tuple(Operation(*step) for step in steps)
    model = description(3, count, inputs=inputs, preprocess=operations)
    estimate = prepare_bytes(volume, model)
    tracemalloc.start()
    prepare(volume, model)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.8 * peak < estimate < 1.25 * peak + math.prod(array.shape) / 8
