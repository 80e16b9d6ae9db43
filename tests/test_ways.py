"""The ways in which a device runs a network: equal outputs, originals left alone, memory of it."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from monai.networks.nets import DynUNet, SegResNet, UNet

from napari_monai import ways
from napari_monai.events import Said
from napari_monai.folders import cache_folder
from napari_monai.sliding import Part, predict_parts, tile
from napari_monai.ways import Way, candidates, formed, usual

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
def test_a_way_as_text(dtype, channels_last):
    way = Way(dtype, channels_last)
    assert Way.of(str(way)) == way


@pytest.mark.parametrize("text", ["", "auto", "float32, sideways", "nn", "bfloat16,channels last"])
def test_other_text_is_no_way(text):
    with pytest.raises(ValueError, match="no way to run"):
        Way.of(text)


def _run(network, size=48):
    array = np.random.default_rng(0).normal(size=(1, size, size)).astype(np.float32)
    tiling = tile((size, size), (16, 16))
    events = list(
        predict_parts(
            array,
            network,
            tiling,
            device=CPU,
            spatial_dims=2,
            activation=("softmax",),
            precision="auto",
        )
    )
    parts = [e for e in events if isinstance(e, Part)]
    return parts, [e.message for e in events if isinstance(e, Said)]


def _file():
    return cache_folder() / "ways.json"


def test_the_fastest_way_is_found_once_and_remembered():
    network = _networks(2)["batch"].eval()
    parts, lines = _run(network)
    (written,) = json.loads(_file().read_text()).values()
    assert Way.of(written) == parts[0].way
    assert lines[-1].startswith(f"Fastest here: {written}, ")
    other = Way(torch.float32, not parts[0].way.channels_last)
    (key,) = json.loads(_file().read_text())
    _file().write_text(json.dumps({key: str(other)}))
    again, lines = _run(network)
    assert lines == []  # nothing is measured
    assert {part.way for part in again} == {other}


def test_other_weights_are_measured_anew():
    first, second = _networks(2)["batch"].eval(), _networks(2)["batch"].eval()
    with torch.no_grad():
        next(second.parameters()).add_(0.1)
    _run(first)
    _run(second)
    assert len(json.loads(_file().read_text())) == 2


def test_a_short_run_measures_nothing():
    parts, _ = _run(_networks(2)["batch"].eval(), size=16)
    assert parts[0].way.channels_last
    assert not _file().exists()


@pytest.mark.parametrize("content", ["", "[1]", "{", "nonsense", '{"a": 3}'])
def test_a_damaged_memory_is_written_anew(content):
    _file().parent.mkdir(parents=True)
    _file().write_text(content)
    _, lines = _run(_networks(2)["batch"].eval())
    assert lines[-1].startswith("Fastest here")
    assert json.loads(_file().read_text())


def test_a_memory_that_cannot_be_written_is_done_without(home):
    (home / "cache").write_text("a file in its place")
    parts, lines = _run(_networks(2)["batch"].eval())
    assert parts
    assert lines[-1].startswith("Fastest here")


def test_only_the_latest_ways_are_kept(monkeypatch):
    monkeypatch.setattr(ways, "_MOST", 3)
    for i in range(5):
        ways.remember(f"{i}", Way())
    assert list(json.loads(_file().read_text())) == ["2", "3", "4"]
