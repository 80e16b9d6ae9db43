"""Batch norms put into convolutions: the same outputs, and hands off where they are not free."""

from __future__ import annotations

import copy
import importlib
from dataclasses import fields

import pytest
import torch
from torch import nn

from napari_monai.folding import activate_in_place, fold, foldable
from napari_monai.networks import NETWORKS, build_network, fixed_size, presets
from napari_monai.ways import Way, formed

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _trained(network: nn.Module) -> nn.Module:
    """Give batch norms the means and scales that they have after a training."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, _NORMS):
            if module.running_mean is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.3, 3)
            if module.affine:
                module.weight.data.uniform_(-2, 2)
                module.bias.data.normal_()
    return network.eval()


def _norms(network: nn.Module) -> int:
    return sum(isinstance(module, _NORMS) for module in network.modules())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("name", "arguments", "left"),
    [
        ("unet", {"channels": [4, 8, 8], "strides": [1, 2], "norm": "batch"}, 0),
        ("unet", {"channels": [4, 8], "strides": [2], "norm": "batch", "bias": False}, 0),
        ("unet", {"channels": [4, 8], "strides": [2], "norm": "batch", "num_res_units": 0}, 0),
        ("unet", {"channels": [4, 8], "strides": [2], "norm": "batch", "adn_ordering": "AN"}, None),
        ("residual_unet", {"channels": [4, 8], "strides": [2], "norm": "batch"}, 0),
        ("deeplabv3plus", {}, None),
        ("fcn", {}, None),
    ],
    ids=str,
)
def test_outputs_stay(dims, name, arguments, left):
    told = {"spatial_dims": dims, "in_channels": 2, "out_channels": 2, **arguments}
    network = _trained(build_network(name, told))
    batch = torch.randn(2, 2, *(32,) * dims)
    folded = copy.deepcopy(network)
    fold(folded)
    activate_in_place(folded)
    with torch.inference_mode():
        expected, found = network(batch), folded(batch)
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=1e-4, atol=1e-5)
    if left is not None:
        assert _norms(network) > 0
        assert _norms(folded) == left


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("kind", "groups"), [(nn.Conv2d, 2), (nn.ConvTranspose2d, 1)], ids=str)
def test_a_pair_within_sequences_within_sequences(kind, groups, affine, bias):
    layer = kind(4, 6, 3, stride=2, groups=groups, bias=bias)
    norm = nn.BatchNorm2d(6, affine=affine)
    network = _trained(nn.Sequential(nn.Sequential(layer), nn.Sequential(norm, nn.PReLU())))
    batch = torch.randn(2, 4, 9, 9)
    with torch.inference_mode():
        expected = network(batch)
        assert foldable(network)
        fold(network)
        torch.testing.assert_close(network(batch), expected, rtol=1e-4, atol=1e-5)
    assert _norms(network) == 0
    assert not foldable(network)


class _Between(nn.Sequential):
    """A sequence that does something else with its layers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add one between the layers."""
        return self[1](self[0](x) + 1)


def _shared_convolution() -> nn.Module:
    layer = nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(layer, nn.BatchNorm2d(4), layer)


def _shared_norm() -> nn.Module:
    norm = nn.BatchNorm2d(4)
    return nn.Sequential(nn.Conv2d(4, 4, 1), norm, nn.Conv2d(4, 4, 1), norm)


def _shared_sequence() -> nn.Module:
    part = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1))
    return nn.Sequential(part, nn.BatchNorm2d(4), part)


def _of_the_batch() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))


def _watched() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    network[0].register_forward_hook(lambda _module, _arguments, out: out + 1)
    return network


def _computed() -> nn.Module:
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1))
    return nn.Sequential(layer, nn.BatchNorm2d(4))


@pytest.mark.parametrize(
    "make",
    [
        lambda: _Between(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
        lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)),
        lambda: nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)),
        lambda: nn.Sequential(nn.ConvTranspose2d(4, 4, 1, groups=2), nn.BatchNorm2d(4)),
        lambda: nn.ModuleList([nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)]),
        _shared_convolution,
        _shared_norm,
        _shared_sequence,
        _of_the_batch,
        _watched,
        _computed,
    ],
)
def test_what_is_not_free_stays(make):
    network = _trained(make())
    before = [type(module) for module in network.modules()]
    assert not foldable(network)
    fold(network)
    assert [type(module) for module in network.modules()] == before


class _Foreign(nn.Module):
    """A network that takes features out of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sum up all features."""
        total = torch.zeros_like(x)
        for layer in self.layers:
            x = layer(x)
            total = total + x
        return total


def test_networks_of_other_code_run_as_they_are():
    network = _trained(_Foreign())
    batch = torch.randn(1, 2, 4, 4)
    with torch.inference_mode():
        expected = network(batch)
        fold(network)
        activate_in_place(network)
        torch.testing.assert_close(network(batch), expected, rtol=0, atol=0)
    assert _norms(network) == 1
    assert not foldable(network)


@pytest.mark.parametrize("name", [n for n, info in NETWORKS.items() if 2 in info.dims])
def test_every_network_runs_as_before(name):
    told = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, **presets(name, 2)["small"]}
    known = {f.name for f in fields(importlib.import_module(NETWORKS[name].module).Options)}
    told |= dict.fromkeys(known & {"norm", "norm_name"}, "batch")
    network = _trained(build_network(name, told))
    size = fixed_size(name, told)
    batch = torch.randn(1, 1, *(size or (64, 64)))
    with torch.inference_mode():
        expected = network(batch)
        found = formed(network, Way(channels_last=True), 2)(batch)
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=1e-3, atol=1e-4)


def _in_place(network: nn.Module) -> list[bool]:
    return [m.inplace for m in network.modules() if isinstance(m, nn.ReLU)]


def test_activations_work_in_place_where_nothing_else_looks():
    first = nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    network = _trained(
        nn.Sequential(nn.ReLU(), first, nn.Conv2d(4, 4, 1), nn.Identity(), nn.ReLU())
    )
    batch = torch.randn(2, 2, 5, 5)
    kept = batch.clone()
    with torch.inference_mode():
        expected = network(batch)
        fold(network)
        activate_in_place(network)
        assert _in_place(network) == [False, True, True]  # the first sees what the caller has
        torch.testing.assert_close(network(batch), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(batch, kept, rtol=0, atol=0)


def test_features_that_something_else_sees_are_left_alone():
    seen = nn.Conv2d(2, 2, 1)
    seen.register_forward_hook(lambda _module, _arguments, _out: None)
    shared = nn.ReLU()
    network = nn.Sequential(
        _Between(nn.Conv2d(2, 2, 1), nn.ReLU()), seen, nn.ReLU(), nn.Conv2d(2, 2, 1), shared, shared
    )
    activate_in_place(network)
    assert _in_place(network) == [False, False, False]


def test_a_form_is_folded_and_the_network_is_not():
    told = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "norm": "batch"}
    told |= {"channels": [4, 8], "strides": [2], "act": "relu"}
    network = _trained(build_network("unet", told))
    state = copy.deepcopy(network.state_dict())
    for way in (Way(), Way(channels_last=True)):
        form = formed(network, way, 2)
        assert form is not network
        assert _norms(form) == 0
    assert _norms(network) > 0
    torch.testing.assert_close(dict(network.state_dict()), dict(state), rtol=0, atol=0)
    with torch.inference_mode():  # a network that goes on learning is folded again
        before = formed(network, Way(), 2)(torch.ones(1, 1, 8, 8))
        next(m for m in network.modules() if isinstance(m, _NORMS)).running_mean.add_(1)
        after = formed(network, Way(), 2)(torch.ones(1, 1, 8, 8))
        torch.testing.assert_close(after, network(torch.ones(1, 1, 8, 8)), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before, after)
