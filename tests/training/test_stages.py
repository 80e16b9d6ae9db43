"""Every network of the table, taken apart into stages."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tests.networks.test_contract import SMALL

from napari_monai.errors import NetworkError
from napari_monai.networks import NETWORKS, build_network, fixed_size
from napari_monai.training.stages import stages

# Forms with layers that the small ones lack.
_MORE: dict[str, list[dict[str, Any]]] = {
    "dynunet": [{**SMALL["dynunet"][0], "deep_supervision": True}],
    "flexible_unet": [{"backbone": "efficientnet-b0", "decoder_channels": [8, 8, 8, 4, 4]}],
    "segresnet_ds": [{**SMALL["segresnet_ds"][0], "dsdepth": 2}],
    "swin_unetr": [{**SMALL["swin_unetr"][0], "use_v2": True}],
    "unet": [{"channels": [4, 6], "strides": [2], "norm": "batch"}],
}
CASES = [
    pytest.param(
        name,
        {"spatial_dims": dims, "in_channels": 1, "out_channels": 3, **form},
        id=f"{name}-{number}-{dims}d",
    )
    for name in NETWORKS
    for number, form in enumerate([*SMALL[name], *_MORE.get(name, [])])
    for dims in NETWORKS[name].dims
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_each_parameter_is_in_one_stage_and_the_head_holds_what_depends_on_the_classes(
    name: str, arguments: dict[str, Any]
) -> None:
    network = build_network(name, arguments)

    found = stages(network, name)

    held = [tensor for stage in found for tensor in stage.parameters]
    assert sorted(held) == sorted(dict(network.named_parameters()))
    norms = [norm for stage in found for norm in stage.norms]
    statistics = [m for m in network.modules() if getattr(m, "running_mean", None) is not None]
    assert {id(norm) for norm in norms} == {id(norm) for norm in statistics}
    assert len(norms) == len(statistics)
    parts = [stage.part for stage in found]
    order = ("head", "decoder", "encoder")
    assert parts == sorted(parts, key=order.index)
    assert parts.count("head") == 1
    assert parts.count("encoder") >= 2
    more = dict(build_network(name, {**arguments, "out_channels": 4}).named_parameters())
    changed = {n for n, p in network.named_parameters() if p.shape != more[n].shape}
    assert changed <= set(found[0].parameters)


@pytest.mark.parametrize(("name", "arguments"), [c for c in CASES if c.id.endswith("2d")])
def test_stages_stand_in_the_order_of_the_way_back(name: str, arguments: dict[str, Any]) -> None:
    network = build_network(name, arguments).eval()
    of = {
        tensor.rpartition(".")[0]: number
        for number, stage in enumerate(stages(network, name))
        for tensor in stage.parameters
    }
    clock = itertools.count()
    last: dict[int, int] = {}  # when a stage was at work for the last time

    def note(layer: str) -> Any:
        return lambda *_: last.__setitem__(of[layer], next(clock))

    for layer, module in network.named_modules():
        if layer in of:
            module.register_forward_hook(note(layer))
    with torch.no_grad():
        network(torch.zeros(1, 1, *(fixed_size(name, arguments) or (64, 64))))

    # All but what is left of the classifier that an EfficientNet was.
    idle = {of[layer] for layer in of if layer.startswith("encoder._fc")}
    assert set(last) == set(of.values()) - idle
    times = [last[number] for number in sorted(last)]
    assert times == sorted(times, reverse=True)


def test_a_network_of_another_name_is_refused() -> None:
    network = build_network("fcn", {"spatial_dims": 2, "in_channels": 1, "out_channels": 2})

    with pytest.raises(NetworkError, match=r"'stages\.0.* is in no stage of vnet"):
        stages(network, "vnet")
