"""Parameters and operations, against counts by hand and by layer."""

from __future__ import annotations

import resource
import time
from typing import Any

import pytest
import torch
from torch import nn

from napari_monai.errors import NetworkError
from napari_monai.networks import NETWORKS, SIZES, build_network, fixed_size, presets
from napari_monai.networks.cost import count_parameters, flops

COMMON = {"in_channels": 2, "out_channels": 3}


def by_layer(network: nn.Module, *sizes: int) -> int:
    """Run a network of convolutions and matrix layers, and add up what each layer has to do."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        if isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
            # Each value of the input goes through all of its channel's kernels.
            total += 2 * inputs[0].numel() * weight[0].numel()
        else:
            positions = output.numel() // weight.shape[0]
            total += 2 * positions * weight.numel()

    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    for layer in network.modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(count)
    network.eval()(torch.zeros(1, 2, *sizes))
    return total


@pytest.mark.parametrize(
    ("name", "options", "sizes"),
    [
        ("unet", {"channels": [4, 6, 8], "strides": [2, 2]}, (12, 16)),
        ("unet", {"channels": [4, 6, 8], "strides": [2, 2], "num_res_units": 1}, (8, 12, 7)),
        ("attention_unet", {"channels": [4, 6, 8], "strides": [2, 2]}, (12, 16)),
        ("segresnet", {"upsample_mode": "deconv"}, (8, 8, 16)),
        ("deeplabv3plus", {"channels": [4, 4, 8, 8]}, (33, 31)),
        ("fcn", {"channels": [4, 4, 8, 8, 8]}, (64, 33)),
        ("plain_conv_unet", {"features_per_stage": [4, 8], "strides": [1, 2]}, (8, 12, 8)),
    ],
)
def test_flops_are_those_of_the_layers(
    name: str, options: dict[str, Any], sizes: tuple[int, ...]
) -> None:
    arguments = {**COMMON, "spatial_dims": len(sizes), **options}
    network = build_network(name, arguments)
    assert flops(name, arguments, sizes) == by_layer(network, *sizes)
    assert count_parameters(name, arguments) == sum(w.numel() for w in network.parameters())


def test_flops_of_a_single_convolution_by_hand() -> None:
    arguments = {
        **COMMON, "spatial_dims": 2, "channels": [4], "depths": [1], "strides": [2], "skips": 0,
        "head_channels": 5, "head_kernel": 1,
    }  # fmt: skip
    # 8 x 6 positions of 3 x 3 kernels from 2 to 4 channels, then 4 x 3 positions from 4 to 5, 5
    # to 5, and 5 to 3 channels; each a multiplication and a sum.
    expected = 2 * (48 * 9 * 2 * 4 + 12 * (4 * 5 + 5 * 5 + 5 * 3))
    assert flops("fcn", arguments, (8, 6)) == expected
    # Scale and shift of three norms, and the bias of the last layer.
    assert count_parameters("fcn", arguments) == 72 + 20 + 25 + 15 + 2 * (4 + 5 + 5) + 3


def test_flops_of_recurrent_sweeps_by_hand() -> None:
    arguments = {
        **COMMON, "spatial_dims": 2, "channels": [4, 4], "depths": [1, 1], "strides": [2],
        "hidden": 5, "up_channels": 3, "layers": 1,
    }  # fmt: skip
    convolutions = 48 * 9 * 2 * 4 + 12 * 9 * 4 * 4
    # 12 positions, two directions, three gates that look at the input and at 5 units.
    sweeps = 12 * 2 * 3 * (4 * 5 + 5 * 5) + 12 * 2 * 3 * (10 * 5 + 5 * 5)
    way_up = 12 * 4 * 10 * 3 + 48 * 3 * 3
    assert flops("reseg", arguments, (8, 6)) == 2 * (convolutions + sweeps + way_up)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dims", [2, 3])
def test_presets_grow_with_their_size(name: str, dims: int) -> None:
    found = presets(name, dims)
    assert tuple(found) == SIZES
    cost = []
    for options in found.values():
        arguments = {"spatial_dims": dims, "in_channels": 3, "out_channels": 4, **options}
        window = fixed_size(name, arguments) or {2: (256, 256), 3: (96, 96, 96)}[dims]
        cost.append((count_parameters(name, arguments), flops(name, arguments, window)))
    assert cost == sorted(cost)
    assert all(small < large for small, large in zip(*cost[::2], strict=True))
    parameters = [count for count, _ in cost]
    assert 1e5 < parameters[0] < 3e7
    assert parameters[-1] < 3e8


def test_a_large_network_takes_no_memory_and_no_time() -> None:
    arguments = {**COMMON, "spatial_dims": 3, "feature_size": 96}
    flops("swin_unetr", arguments, (32, 32, 32))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    # 248 M parameters would be 1 GB, the features of such a window hundreds.
    assert flops("swin_unetr", arguments, (512, 512, 512)) > 1e14
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    assert time.process_time() - begun < 20


def test_a_window_that_does_not_fit_is_refused() -> None:
    arguments = {**COMMON, "spatial_dims": 2}
    with pytest.raises(NetworkError, match=r"window is \[8\]: give 2 sizes"):
        flops("unet", arguments, (8,))
    with pytest.raises(NetworkError, match=r"takes images up to \[96, 96\], not \[97, 8\]"):
        flops("unetr", arguments, (97, 8))
