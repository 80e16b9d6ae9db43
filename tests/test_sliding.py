"""A network over an array: against MONAI and brute force, and when memory or precision run out."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from scipy.signal.windows import gaussian
from torch import nn

from napari_monai.devices import has_native_bfloat16
from napari_monai.errors import ModelError, OutOfMemoryError
from napari_monai.events import Said
from napari_monai.sliding import Part, predict, predict_parts, tile

CPU = torch.device("cpu")


def _network(dims: int, channels: int = 2, outputs: int = 3) -> nn.Module:
    """Return a random network that sees two voxels around each one."""
    torch.manual_seed(dims)
    conv = nn.Conv2d if dims == 2 else nn.Conv3d
    return nn.Sequential(
        conv(channels, 4, 3, padding=1), nn.Tanh(), conv(4, outputs, 3, padding=1)
    ).eval()


def _array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class Act(nn.Module):
    """A network that is any function of a batch."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.function(batch)


# -- what comes out --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "window", "overlap"),
    [
        # Sizes at which MONAI's spacing is even too.
        pytest.param((40, 56), (16, 16), 0.5, id="2d"),
        pytest.param((40, 24), (16, 24), 0.25, id="2d-one-column"),
        pytest.param((20, 16, 24), (8, 8, 12), 0.5, id="3d"),
    ],
)
@pytest.mark.parametrize("blend", ["gaussian", "constant"])
def test_equals_monai(shape, window, overlap, blend):
    array, network = _array(2, *shape), _network(len(shape))
    weights = torch.ones(window)
    if blend == "gaussian":
        for axis, side in enumerate(window):
            line = torch.from_numpy(gaussian(side, side / 8)).float()
            weights = weights * line.reshape([-1 if a == axis else 1 for a in range(len(window))])
    with torch.inference_mode():
        expected = sliding_window_inference(
            torch.from_numpy(array)[None],
            window,
            3,
            lambda batch: torch.softmax(network(batch), dim=1),
            overlap=overlap,
            roi_weight_map=weights,
        )[0].numpy()
    ours = predict(
        array,
        network,
        device=CPU,
        window=window,
        overlap=overlap,
        blend=blend,
        activation=("softmax",),
    )
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_uneven_sizes_equal_a_loop_over_the_windows():
    array, network = _array(2, 23, 31), _network(2)
    tiling = tile((23, 31), (8, 12), overlap=0.4, blend="constant")
    total, count = np.zeros((3, 23, 31)), np.zeros((23, 31))
    for y, x in itertools.product(*tiling.starts):
        window = torch.from_numpy(array[None, :, y : y + 8, x : x + 12])
        with torch.inference_mode():
            total[:, y : y + 8, x : x + 12] += network(window)[0].numpy()
        count[y : y + 8, x : x + 12] += 1
    ours = predict(array, network, device=CPU, window=(8, 12), overlap=0.4, blend="constant")
    np.testing.assert_allclose(ours, total / count, atol=1e-5)


def test_2d_network_runs_slice_by_slice():
    volume, network = _array(2, 5, 20, 17), _network(2)
    ours = predict(volume, network, device=CPU, window=(8, 8))
    for z in range(5):
        alone = predict(volume[:, z], network, device=CPU, window=(8, 8))
        np.testing.assert_allclose(ours[:, z], alone, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "window"),
    [
        pytest.param((33, 29), (12, 12), id="2d"),
        pytest.param((3, 33, 29), (12, 12), id="2d-over-slices"),
        pytest.param((13, 17, 11), (8, 8, 8), id="3d"),
    ],
)
def test_batch_size_changes_nothing(shape, window):
    array, network = _array(2, *shape), _network(len(window))
    results = [
        predict(array, network, device=CPU, window=window, batch_size=n) for n in (1, 3, 7, None)
    ]
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=1e-6)


def test_flips_average_all_mirrored_copies():
    array, network = _array(2, 8, 10), _network(2)
    copies = []
    for axes in [(), (1,), (2,), (1, 2)]:
        flipped = np.ascontiguousarray(np.flip(array, axes))
        with torch.inference_mode():
            out = network(torch.from_numpy(flipped)[None])[0].sigmoid().numpy()
        copies.append(np.flip(out, axes))
    ours = predict(
        array, network, device=CPU, window=(8, 10), flips=True, activation=("sigmoid",) * 3
    )
    np.testing.assert_allclose(ours, np.mean(copies, axis=0), atol=1e-6)


def test_flips_of_a_2d_network_leave_the_slices_in_order():
    volume = _array(1, 4, 6, 6)
    ours = predict(
        volume, Act(lambda b: 2 * b), device=CPU, window=(6, 6), flips=True, batch_size=4
    )
    np.testing.assert_allclose(ours, 2 * volume, atol=1e-6)


def test_each_channel_has_its_activation():
    array = _array(2, 6, 6)
    ours = predict(
        array, nn.Identity(), device=CPU, window=(6, 6), activation=("sigmoid", "identity")
    )
    np.testing.assert_allclose(ours[0], 1 / (1 + np.exp(-array[0])), atol=1e-6)
    np.testing.assert_allclose(ours[1], array[1], atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (5, 40), (2, 3, 9)], ids=str)
def test_images_smaller_than_the_window(shape):
    array = _array(1, *shape)
    seen = set()

    def double(batch):
        seen.add(tuple(batch.shape[2:]))
        return 2 * batch

    ours = predict(array, Act(double), device=CPU, window=(16, 16), size_multiple=8)
    np.testing.assert_allclose(ours, 2 * array, atol=1e-6)
    assert all(side % 8 == 0 for sides in seen for side in sides)


def test_parts_tile_the_array_in_order():
    array = _array(1, 30, 41)
    tiling = tile((30, 41), (16, 16))
    seen = np.zeros((30, 41), int)
    maps = np.full((1, 30, 41), np.nan, np.float32)
    parts = list(
        predict_parts(array, nn.Identity(), tiling, device=CPU, spatial_dims=2, batch_size=4)
    )
    for number, part in enumerate(parts, 1):
        assert (part.done, part.total) == (number, tiling.total)
        seen[part.box] += 1
        maps[(slice(None), *part.box)] = part.values
    assert (seen == 1).all()
    np.testing.assert_allclose(maps, array, atol=1e-6)


def test_a_network_in_training_is_run_in_evaluation_and_left_in_training():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    array = _array(1, 8, 8)
    ours = predict(array, network, device=CPU, window=(8, 8))
    assert network.training
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(array)[None])[0].numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_the_first_of_several_outputs_counts():
    array = _array(1, 8, 8)
    ours = predict(array, Act(lambda b: [b, b[..., ::2, ::2]]), device=CPU, window=(8, 8))
    np.testing.assert_array_equal(ours, array)


# -- when it does not suffice ----------------------------------------------------------------------


def _events(array, network, *, device=CPU, window=(8, 8), **told):
    tiling = tile(array.shape[1:], window)
    return list(
        predict_parts(array, network, tiling, device=device, spatial_dims=len(window), **told)
    )


def _maps(events, shape):
    maps = np.full(shape, np.nan, np.float32)
    for event in events:
        if isinstance(event, Part):
            maps[(slice(None), *event.box)] = event.values
    return maps


def _lines(events):
    return [e.message for e in events if isinstance(e, Said)]


def test_out_of_memory_makes_batches_smaller():
    def fussy(batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return 3 * batch

    array = _array(1, 30, 60)
    events = _events(array, Act(fussy), batch_size=9)
    assert _lines(events) == [
        "Out of memory: going on with 4 windows at once.",
        "Out of memory: going on with 2 windows at once.",
    ]
    np.testing.assert_allclose(_maps(events, array.shape), 3 * array, atol=1e-5)


def test_out_of_memory_of_a_gpu_goes_on_on_the_cpu():
    """The device is one without memory at all, so that this runs on any machine."""

    class Fussy(nn.Module):
        def forward(self, batch):
            if batch.device.type != "cpu":
                raise torch.OutOfMemoryError("out of memory")
            return 3 * batch

    array = _array(1, 20, 20)
    events = _events(array, Fussy(), device=torch.device("meta"), batch_size=2)
    assert _lines(events) == [
        "Out of memory: going on with 1 windows at once.",
        "meta is out of memory: going on on the CPU, more slowly.",
    ]
    np.testing.assert_allclose(_maps(events, array.shape), 3 * array, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_full_gpu_goes_on_on_the_cpu():
    array, network = _array(2, 300, 300), _network(2).to("cuda")
    expected = predict(array, network, device=torch.device("cuda"), window=(256, 256))
    torch.cuda.empty_cache()
    used = torch.cuda.memory_allocated() / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(used + 1e-5)
    try:
        events = _events(array, network, device=torch.device("cuda"), window=(256, 256))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("CPU" in line for line in _lines(events))
    assert next(network.parameters()).is_cuda
    np.testing.assert_allclose(_maps(events, expected.shape), expected, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_what_a_gpu_has_done_before_it_is_full_is_kept():
    calls = []

    def fussy(batch):
        calls.append(batch.device.type)
        if batch.is_cuda and len(calls) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return 3 * batch

    array = _array(1, 30, 30)
    events = _events(array, Act(fussy), device=torch.device("cuda"), batch_size=1)
    assert calls[:2] == ["cuda", "cuda"]
    assert calls[-1] == "cpu"
    np.testing.assert_allclose(_maps(events, array.shape), 3 * array, atol=1e-5)


def test_out_of_memory_of_the_cpu_is_an_error():
    def never(batch):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    with pytest.raises(OutOfMemoryError, match="choose a smaller window"):
        _events(_array(1, 20, 20), Act(never))


@pytest.mark.parametrize(
    ("function", "line"),
    [
        pytest.param(lambda b: b[..., ::2, ::2], "one value a voxel is needed", id="half-size"),
        pytest.param(lambda b: b / 0, "values that are no numbers", id="not-finite"),
        pytest.param(
            lambda b: b.reshape(7, 7, 7), r"fails on windows of shape \(1, 8, 8\)", id="fails"
        ),
    ],
)
def test_a_network_that_does_not_do_is_a_model_error_of_one_line(function, line):
    with pytest.raises(ModelError, match=line) as caught:
        _events(_array(1, 12, 12), Act(function))
    assert "\n" not in str(caught.value)


def test_wrong_number_of_activations():
    with pytest.raises(ModelError, match="gives 1 channels, but 2 are described"):
        _events(_array(1, 8, 8), nn.Identity(), activation=("sigmoid", "identity"))


def _far(gain: float, offset: float) -> nn.Module:
    """Return a network of one convolution, which autocast runs in the lower precision."""
    network = nn.Conv2d(1, 1, 1)
    nn.init.constant_(network.weight, gain)
    nn.init.constant_(network.bias, offset)
    return network.eval()


def test_overflow_goes_on_in_float32():
    array = np.abs(_array(1, 20, 20)) + 1
    events = _events(array, _far(1e6, 0), precision="float16")
    assert _lines(events) == ["Values overflow in float16: going on in float32."]
    np.testing.assert_allclose(_maps(events, array.shape), 1e6 * array, rtol=1e-5)


@pytest.mark.skipif(not has_native_bfloat16(), reason="auto is float32 on this CPU")
def test_auto_keeps_to_float32_where_bfloat16_changes_the_result():
    """Values of 1000 to 1001 are two numbers in bfloat16."""
    array = 1000 + np.random.default_rng(0).random((1, 24, 24), dtype=np.float32)
    network = _far(1.0, -1000.5)
    events = _events(array, network, activation=("sigmoid",), precision="auto")
    assert _lines(events)[0] == "bfloat16 changes the result: going on in float32."
    np.testing.assert_array_equal(_maps(events, array.shape) > 0.5, array > 1000.5)
    low = _events(array, network, activation=("sigmoid",), precision="bfloat16")
    assert ((_maps(low, array.shape) > 0.5) != (array > 1000.5)).mean() > 0.1


@pytest.mark.skipif(not has_native_bfloat16(), reason="auto is float32 on this CPU")
def test_auto_takes_bfloat16_where_it_does_no_harm():
    array, network = _array(1, 8, 8), _far(30.0, 1.0)
    events = _events(array, network, activation=("sigmoid",), precision="auto")
    assert _lines(events) == []
    low = _events(array, network, activation=("sigmoid",), precision=torch.bfloat16)
    np.testing.assert_array_equal(_maps(events, array.shape), _maps(low, array.shape))
