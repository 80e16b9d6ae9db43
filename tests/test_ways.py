"""The ways in which a device runs a network: equal outputs, originals left alone, memory of it."""

from __future__ import annotations

import copy
import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.networks.nets import DynUNet, SegResNet, UNet

from napari_monai import ways
from napari_monai.errors import ModelError
from napari_monai.events import Busy, Said
from napari_monai.folders import cache_folder
from napari_monai.sliding import Part, predict_parts, tile
from napari_monai.ways import Finding, Way, candidates, formed, usual

CPU = torch.device("cpu")


def _networks(dims):
    torch.manual_seed(0)
    return {
        "prelu": UNet(dims, 1, 2, (4, 8), (2,), num_res_units=1),
        "slopes": UNet(dims, 1, 2, (4, 8), (2,), act=("prelu", {"num_parameters": 1})),
        "affine": DynUNet(dims, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 8, 8]),
        "group": SegResNet(
            dims, init_filters=8, out_channels=2, blocks_down=(1, 1), blocks_up=(1,)
        ),
        "batch": UNet(dims, 1, 2, (4, 8), (2,), norm="batch"),
    }


NAMES = list(_networks(2))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_every_way_gives_the_outputs_of_the_network(name, dims, channels_last, size):
    network = _networks(dims)[name].eval()
    for module in network.modules():  # slopes and scales of a trained network
        if isinstance(module, torch.nn.PReLU):
            module.weight.data.fill_(-0.3)
        elif getattr(module, "weight", None) is not None and module.weight.ndim == 1:
            module.weight.data.uniform_(0.5, 2)
    batch = torch.randn(size, 1, *(16,) * dims)
    way = Way(torch.float32, channels_last)
    before = copy.deepcopy(network.state_dict())
    with torch.inference_mode():
        expected = network(batch)
        form = formed(network, way, dims)
        found = form(batch.contiguous(memory_format=way.layout(dims)))
        again = network(batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(again, expected, rtol=0, atol=0)
    assert all(t.is_contiguous() for t in network.state_dict().values())
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_form_follows_the_weights(channels_last):
    """Training changes the weights of the same module in place."""
    network = _networks(2)["prelu"].eval()
    way = Way(torch.float32, channels_last)
    batch = torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        first = formed(network, way, 2)(batch)
        assert formed(network, way, 2) is formed(network, way, 2)
        for parameter in network.parameters():
            parameter.mul_(1.5)
        second = formed(network, way, 2)(batch)
        torch.testing.assert_close(second, network(batch), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(first, second)


def test_layouts_as_a_rule():
    found = {name: usual(network, torch.bfloat16) for name, network in _networks(3).items()}
    layouts = {name: way.channels_last for name, way in found.items()}
    assert layouts == {
        "prelu": False,
        "slopes": False,
        "affine": False,
        "group": True,
        "batch": True,
    }


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_is_no_network_of_layers_runs_as_it_is():
    class Twice(torch.nn.Module):
        def forward(self, batch):
            return 2 * batch

    for network in (Twice(), torch.jit.script(torch.nn.Conv2d(1, 1, 3))):
        assert candidates(network, torch.float32) == [Way()]
        assert formed(network, Way(torch.float32, True), 2) is network


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("at_once", [1, 2, 16])
def test_a_way_as_text(dtype, channels_last, at_once):
    way = Way(dtype, channels_last, at_once)
    assert Way.of(str(way)) == way


@pytest.mark.parametrize(
    "text",
    ["", "auto", "float32, sideways", "nn", "bfloat16,channels last", "float32, 0 at once"],
)
def test_other_text_is_no_way(text):
    with pytest.raises(ValueError, match="no way to run"):
        Way.of(text)


def _run(network, size=64, **told):
    array = np.random.default_rng(0).normal(size=(1, size, size)).astype(np.float32)
    tiling = tile((size, size), (16, 16))
    told = {"activation": ("softmax",), "precision": "auto", **told}
    events = list(predict_parts(array, network, tiling, device=CPU, spatial_dims=2, **told))
    parts = [e for e in events if isinstance(e, Part)]
    maps = np.full((2, size, size), np.nan, np.float32)
    for part in parts:
        maps[(slice(None), *part.box)] = part.values
    return parts, maps, [e.message for e in events if isinstance(e, Said)]


def _file():
    return cache_folder() / "ways.json"


def test_the_fastest_way_is_found_once_and_remembered():
    network = _networks(2)["batch"].eval()
    parts, _, lines = _run(network)
    ((key, written),) = json.loads(_file().read_text()).items()
    assert written["fastest"]
    assert Way.of(written["way"]) == parts[0].way
    assert lines[-1].startswith(f"Fastest here: {written['way']}, ")
    other = replace(parts[0].way, channels_last=not parts[0].way.channels_last)
    _file().write_text(json.dumps({key: {"way": str(other), "fastest": True}}))
    again, _, lines = _run(network)
    assert lines == []  # nothing is measured
    assert {part.way for part in again} == {other}


def test_the_search_can_be_cancelled_between_two_windows():
    array, tiling = np.ones((1, 64, 64), np.float32), tile((64, 64), (16, 16))
    network = _networks(2)["batch"].eval()
    events = predict_parts(array, network, tiling, device=CPU, spatial_dims=2, precision="auto")
    assert isinstance(next(events), Busy)
    events.close()
    assert not _file().exists()


def test_other_weights_are_measured_anew():
    first, second = _networks(2)["batch"].eval(), _networks(2)["batch"].eval()
    with torch.no_grad():
        next(second.parameters()).add_(0.1)
    _run(first)
    _run(second)
    assert len(json.loads(_file().read_text())) == 2


def test_a_short_run_times_nothing():
    parts, _, lines = _run(_networks(2)["batch"].eval(), size=16)
    assert parts[0].way.channels_last
    assert lines == []
    assert not any(entry["fastest"] for entry in ways._entries().values())


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "{", "nonsense", '{"KEY": 3}', '{"KEY": {"way": "x", "fastest": true}}'],
)
def test_a_damaged_memory_is_written_anew(content):
    network = _networks(2)["batch"].eval()
    _run(network)
    (key,) = json.loads(_file().read_text())
    _file().write_text(content.replace("KEY", key))
    _, _, lines = _run(network)
    assert lines[-1].startswith("Fastest here")
    assert json.loads(_file().read_text())[key]["fastest"]


def test_a_memory_that_cannot_be_written_is_done_without(home):
    (home / "cache").write_text("a file in its place")
    parts, _, lines = _run(_networks(2)["batch"].eval())
    assert parts
    assert lines[-1].startswith("Fastest here")


def test_only_the_latest_ways_are_kept(monkeypatch):
    monkeypatch.setattr(ways, "_MOST", 3)
    for i in range(5):
        ways.remember(f"{i}", Finding(Way(), fastest=True))
    assert list(json.loads(_file().read_text())) == ["2", "3", "4"]


@pytest.fixture
def threads():
    """Threads to share, which the tests otherwise have not."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("lanes", [2, 3, 4])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_windows_side_by_side_give_the_same_maps(lanes, batch_size):
    network = _networks(2)["prelu"].eval()
    one, expected, _ = _run(network, precision=Way(), batch_size=batch_size)
    several, found, _ = _run(network, precision=Way(at_once=lanes), batch_size=batch_size)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert [(p.done, p.box) for p in several] == [(p.done, p.box) for p in one]
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("threads")
def test_a_run_that_is_closed_leaves_no_thread():
    before = set(threading.enumerate())
    array = np.zeros((1, 64, 64), np.float32)
    events = predict_parts(
        array,
        _networks(2)["prelu"].eval(),
        tile((64, 64), (16, 16)),
        device=CPU,
        spatial_dims=2,
        precision=Way(at_once=2),
    )
    next(events)
    assert set(threading.enumerate()) - before
    events.close()
    assert set(threading.enumerate()) == before
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("threads")
def test_windows_side_by_side_give_way_together():
    """What overflows in one lane is run again in float32, and what was ahead of it, too."""

    class Far(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(1e6))

        def forward(self, batch):
            return (
                batch.to(torch.get_autocast_dtype("cpu")) * self.scale.half()
                if (torch.is_autocast_enabled("cpu"))
                else batch * self.scale
            )

    told = {"activation": (), "batch_size": 1}
    _, expected, _ = _run(Far(), precision=Way(), **told)
    parts, found, lines = _run(Far(), precision=Way(torch.float16, at_once=2), **told)
    assert lines == ["Values overflow in float16: going on in float32."]
    np.testing.assert_array_equal(found, expected)
    assert {part.way for part in parts} == {usual(Far(), torch.float32)}


@pytest.mark.usefixtures("threads")
def test_an_error_in_a_lane_is_one_line():
    class Fails(torch.nn.Conv2d):
        def forward(self, batch):
            raise ValueError("no such layer\nmore of it")

    with pytest.raises(ModelError, match=r"^The network fails on windows .*: no such layer$"):
        _run(Fails(1, 2, 1), precision=Way(at_once=2))
    assert torch.get_num_threads() == 4


def test_a_network_whose_copies_fail_runs_as_it_is():
    """Layers may count on memory in the usual order."""

    class Flat(torch.nn.Module):
        def forward(self, batch):
            return batch.view(len(batch), -1).sin().view(batch.shape)

    torch.manual_seed(0)
    conv = torch.nn.Conv2d
    layers = conv(1, 4, 3, padding=1), conv(4, 4, 3, padding=1), Flat(), conv(4, 2, 1)
    network = torch.nn.Sequential(*layers).eval()
    _, expected, _ = _run(network, precision=Way())
    parts, found, lines = _run(network, precision=Way(channels_last=True))
    assert lines == ["The network does not run in a quicker form: going on as it is."]
    np.testing.assert_array_equal(found, expected)
    assert {part.way for part in parts} == {Way()}
