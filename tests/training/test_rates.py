"""Rates by stage, frozen stages, and when they are set free."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from napari_monai.errors import TrainingError
from napari_monai.networks import build_network
from napari_monai.settings import TrainingSettings
from napari_monai.training.rates import Freezer, check_rates, parameter_groups
from napari_monai.training.stages import stages

# Head, two levels of the decoder; bottom, three levels of the encoder: seven stages.
_ARGUMENTS: dict[str, Any] = {
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 6, 8, 8],
    "strides": [2, 2, 2],
    "num_res_units": 1,
    "norm": "batch",
}


def _network() -> nn.Module:
    torch.manual_seed(0)
    return build_network("unet", _ARGUMENTS)


def test_each_stage_is_slower_than_the_one_before_and_only_weights_decay() -> None:
    network = _network()
    settings = TrainingSettings(layer_decay=0.5, weight_decay=0.1)

    groups = parameter_groups(network, "unet", settings)

    factor = {id(p): group["factor"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(factor) == sum(len(g["params"]) for g in groups) == len([*network.parameters()])
    found = stages(network, "unet")
    assert [{factor[id(p)] for p in s.parameters.values()} for s in found] == [
        {0.5**depth} for depth in range(len(found))
    ]
    for name, parameter in network.named_parameters():
        weight = name.endswith(("conv.weight", "residual.weight"))
        assert decay[id(parameter)] == (0.1 if weight else 0.0), name


def test_without_decay_there_is_one_rate() -> None:
    groups = parameter_groups(_network(), "unet", TrainingSettings())

    assert [group["factor"] for group in groups] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("freeze", "unfreeze", "frozen"),
    [
        ("none", 0.5, [0] * 11),
        ("encoder", 0.0, [4] * 11),
        ("encoder", 0.8, [4, 4, 3, 3, 2, 2, 1, 1, 0, 0, 0]),
        ("all_but_head", 0.6, [6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0]),
        ("all_but_head", 0.1, [6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_stages_are_set_free_one_by_one(freeze: Any, unfreeze: float, frozen: list[int]) -> None:
    settings = TrainingSettings(freeze=freeze, unfreeze=unfreeze)
    freezer = Freezer(_network(), "unet", settings, steps=10)

    assert [freezer.frozen(step) for step in range(11)] == frozen


def test_frozen_stages_stay_bit_by_bit_and_free_ones_move() -> None:
    network = _network()
    settings = TrainingSettings(freeze="encoder", unfreeze=0.5, weight_decay=0.1)
    freezer = Freezer(network, "unet", settings, steps=8)
    optimiser = torch.optim.AdamW(parameter_groups(network, "unet", settings), lr=0.01)
    kept = []
    for step in range(5):
        before = copy.deepcopy(network.state_dict())
        freezer.hold(step)
        optimiser.zero_grad(set_to_none=True)
        network(torch.randn(2, 1, 16, 16)).square().mean().backward()
        optimiser.step()
        after = network.state_dict()
        same = {name for name, value in after.items() if torch.equal(value, before[name])}
        kept.append(_levels(network, same))

    assert kept == [4, 3, 2, 1, 0]


def _levels(network: nn.Module, same: set[str]) -> int:
    """Return how many of the last stages are wholly the same; the others are wholly not."""
    kept = []
    for stage in stages(network, "unet"):
        layers = {name.rpartition(".")[0] for name in stage.parameters}
        tensors = {name for name in network.state_dict() if name.rpartition(".")[0] in layers}
        # A batch norm takes the bias before it away: that one has next to no gradient.
        tensors -= {name for name in tensors if name.endswith("conv.bias")}
        assert tensors <= same or not tensors & same
        kept.append(tensors <= same)
    assert kept == sorted(kept)
    return sum(kept)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (TrainingSettings(freeze="encoder"), "Freezing encoder leaves random weights"),
        (TrainingSettings(layer_decay=0.7), r"A layer decay of 0\.7 slows down"),
    ],
    ids=["freeze", "decay"],
)
def test_a_network_that_has_learnt_nothing_is_neither_frozen_nor_slowed(
    settings: TrainingSettings, message: str
) -> None:
    check_rates(settings, pretrained=True)
    check_rates(TrainingSettings(), pretrained=False)

    with pytest.raises(TrainingError, match=message):
        check_rates(settings, pretrained=False)
