"""One contract for every network of the table, in every number of dimensions it comes in."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from napari_monai.errors import NetworkError
from napari_monai.networks import (
    NETWORKS,
    SIZES,
    NetworkInfo,
    build_network,
    network_arguments,
    network_info,
    presets,
    size_multiple,
)
from napari_monai.settings import NetworkName, NetworkSize

# Small forms of every network.
_UNET = {"channels": [4, 6, 8], "strides": [2, 2], "num_res_units": 1}
_DEEPLAB = {
    "depths": [1, 1, 1, 2],
    "channels": [4, 4, 8, 8],
    "atrous_rates": [1, 2],
    "aspp_channels": 8,
    "decoder_channels": 8,
    "low_level_channels": 4,
}
_DEEPLABV3 = {
    key: value
    for key, value in _DEEPLAB.items()
    if key not in ("decoder_channels", "low_level_channels")
}
_FCN = {"channels": [4, 4, 8, 8, 8], "depths": [1] * 5, "head_channels": 8, "dropout": 0.1}
_RESEG = {
    "channels": [4, 6, 8],
    "depths": [1, 1, 1],
    "hidden": 8,
    "up_channels": 8,
    "layers": 1,
    "act": "leakyrelu",
}
_BASIC = {"features": [4, 4, 6, 6, 8, 4]}
_DYNUNET = {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "filters": [4, 6, 8]}
_NNUNET = {"features_per_stage": [4, 6, 8], "strides": [1, 2, 2]}
_SEGRESNET = {"init_filters": 4, "blocks_down": [1, 1, 1], "blocks_up": [1, 1]}
_TOKENS = {"img_size": 48, "hidden_size": 12, "mlp_dim": 16, "num_heads": 3, "feature_size": 4}
_SWIN = {"feature_size": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 3, 4], "window_size": 2}
SMALL: dict[str, list[dict[str, Any]]] = {
    "unet": [
        {**_UNET, "norm": "instance", "bias": False},
        {**_UNET, "norm": "batch", "bias": False, "num_res_units": 0, "dropout": 0.1},
        {**_UNET, "norm": ["group", {"num_groups": 1}], "act": "relu"},
    ],
    "residual_unet": [{**_UNET, "num_res_units": 2}],
    "basic_unet": [_BASIC, {**_BASIC, "norm": "batch", "upsample": "nontrainable"}],
    "basic_unetplusplus": [{**_BASIC, "deep_supervision": True}],
    "attention_unet": [{"channels": [4, 6, 8], "strides": [2, 2]}],
    "dynunet": [_DYNUNET, {**_DYNUNET, "res_block": True, "norm_name": "batch", "dropout": 0.1}],
    "plain_conv_unet": [{**_NNUNET, "norm": "batch", "dropout": 0.1}],
    "residual_encoder_unet": [
        {**_NNUNET, "n_blocks_per_stage": 1},
        {**_NNUNET, "n_blocks_per_stage": 1, "block": "bottleneck", "bottleneck_channels": 3},
    ],
    "segresnet": [
        {**_SEGRESNET, "norm": ["group", {"num_groups": 2}]},
        {**_SEGRESNET, "norm": "batch", "upsample_mode": "deconv", "dropout_prob": 0.1},
    ],
    "segresnet_ds": [{**_SEGRESNET, "norm": "instance"}],
    "vnet": [{"width": 4, "dropout_prob_down": 0.1, "dropout_prob_up": [0.1, 0.1]}],
    "flexible_unet": [{"backbone": "resnet10", "decoder_channels": [8, 8, 8, 4, 4]}],
    "dints": [{"num_blocks": 2, "num_depths": 2, "channel_mul": 0.125}],
    "unetr": [_TOKENS],
    "swin_unetr": [_SWIN],
    "deeplabv3plus": [
        {**_DEEPLAB, "norm": "instance", "act": "leakyrelu"},
        {**_DEEPLAB, "norm": "batch", "output_stride": 8},
        {**_DEEPLAB, "norm": "group", "block": "bottleneck"},
    ],
    "deeplabv3": [{**_DEEPLABV3, "norm": "instance"}, {**_DEEPLABV3, "norm": "batch"}],
    "fcn": [
        {**_FCN, "norm": "batch"},
        {**_FCN, "norm": "instance", "channels": [4, 8, 8, 8, 8], "strides": [2, 3, 1, 2, 2]},
    ],
    "reseg": [{**_RESEG, "norm": "instance"}, {**_RESEG, "norm": "batch", "strides": [3, 1]}],
}
# What stands in the state dict that a network shares with MONAI or nnU-Net, and is not used.
UNUSED = {
    "unetr": "norm_cross_attn",
    # The heads of coarser levels.
    "plain_conv_unet": "seg_layers.0",
    "residual_encoder_unet": "seg_layers.0",
}
CASES = [
    pytest.param(
        name,
        {"spatial_dims": dims, "in_channels": 2, "out_channels": 3, **options},
        id=f"{name}-{number}-{dims}d",
    )
    for name, forms in SMALL.items()
    for number, options in enumerate(forms)
    for dims in NETWORKS[name].dims
]
every_network = pytest.mark.parametrize(("name", "arguments"), CASES)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def image(arguments: dict[str, Any], *sizes: int, batch: int = 1) -> torch.Tensor:
    """Return noise with the given size of each axis, the first ones dropped in 2D."""
    return torch.randn(batch, arguments["in_channels"], *sizes[-arguments["spatial_dims"] :])


def absorbed_biases(network: torch.nn.Module) -> set[str]:
    """Return the names of convolutions' biases."""
    kinds = torch.nn.modules.conv._ConvNd
    return {f"{n}.bias" for n, layer in network.named_modules() if isinstance(layer, kinds)}


def test_every_network_of_the_table_is_under_contract() -> None:
    assert SMALL.keys() == NETWORKS.keys()
    assert all(info.name == name for name, info in NETWORKS.items())
    # When to choose it, in one sentence.
    assert all(info.summary.count(". ") == 0 and info.summary[-1] == "." for info in _infos())


def _infos() -> list[NetworkInfo]:
    return list(NETWORKS.values())


def test_settings_name_the_table_and_its_sizes() -> None:
    assert get_args(NetworkName) == tuple(NETWORKS)
    assert get_args(NetworkSize) == ("auto", *SIZES)


@pytest.mark.parametrize("name", NETWORKS)
def test_presets_are_options_in_full(name: str) -> None:
    for dims in NETWORKS[name].dims:
        for options in presets(name, dims).values():
            plain = {"spatial_dims": dims, "in_channels": 3, "out_channels": 2, **options}
            assert network_arguments(name, plain).items() >= plain.items()


@every_network
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (9, 1, 2), (5, 17, 23), (16, 8, 32)], ids=str)
def test_logits_have_the_size_of_the_image(
    name: str, arguments: dict[str, Any], sizes: tuple[int, ...], training: bool
) -> None:
    network = build_network(name, arguments).train(training)
    x = image(arguments, *sizes)
    assert size_multiple(name, arguments) == 1
    logits = network(x)
    assert logits.shape == (1, 3, *x.shape[2:])
    assert logits.isfinite().all()


@every_network
def test_gradients_reach_every_parameter(name: str, arguments: dict[str, Any]) -> None:
    network = build_network(name, arguments).double()
    # Some norms begin at 0, behind which nothing is reached yet.
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    # Two images that differ in brightness, as norms take out what a batch or image shares.
    x = image(arguments, 9, 17, 31, batch=2).double()
    x[1] = 3 * x[1] + 5
    logits = network(x)
    (logits * torch.randn_like(logits)).sum().backward()
    # In double precision what is not connected stays below 1e-12, what is does not.
    reached = {
        key: 0.0 if value.grad is None else float(value.grad.abs().max())
        for key, value in network.named_parameters()
    }
    assert reached
    left = {key for key, grad in reached.items() if grad < 1e-9}
    # But for the biases that a norm takes out again right after.
    left -= absorbed_biases(network)
    assert {key for key in left if UNUSED.get(name, "-") not in key} == set()


@every_network
def test_a_few_steps_on_a_single_image_lower_the_loss(name: str, arguments: dict[str, Any]) -> None:
    network = build_network(name, arguments)
    x = functional.interpolate(image(arguments, 1, 3, 4), scale_factor=8.0)
    truth = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)

    def advance() -> float:
        # The same dropout in each step.
        torch.manual_seed(1)
        loss = functional.cross_entropy(network(x), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = [advance() for _ in range(6)]
    assert losses[-1] < 0.99 * losses[0]


@every_network
def test_a_copy_gives_the_same_and_stands_alone(name: str, arguments: dict[str, Any]) -> None:
    network = build_network(name, arguments)
    x = image(arguments, 5, 17, 23)
    network(x)
    twin = copy.deepcopy(network).eval()
    expected = network.eval()(x)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    torch.testing.assert_close(twin(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "arguments"), [case for case in CASES if str(case.id).endswith("-0-2d")]
)
# What recurrent layers do with the list of their weights.
@pytest.mark.filterwarnings("ignore:The tensor attributes .* assigned during export")
def test_the_network_exports(name: str, arguments: dict[str, Any]) -> None:
    network = build_network(name, arguments).eval()
    x = image(arguments, 17, 23)
    program = torch.export.export(network, (x,))
    torch.testing.assert_close(program.module()(x), network(x), rtol=1e-4, atol=1e-5)


@every_network
def test_arguments_round_trip_through_json(name: str, arguments: dict[str, Any]) -> None:
    complete = network_arguments(name, arguments)
    again = json.loads(json.dumps(complete, allow_nan=False))
    assert again == complete
    assert network_arguments(name, again) == complete
    assert complete.items() >= arguments.items()
    first = build_network(name, arguments).eval()
    second = build_network(name, again).eval()
    second.load_state_dict(first.state_dict(), strict=True)
    x = image(arguments, 6, 17, 23)
    torch.testing.assert_close(second(x), first(x), rtol=0, atol=0)


@every_network
def test_saved_weights_give_the_same_logits(
    name: str, arguments: dict[str, Any], tmp_path: Any
) -> None:
    first = build_network(name, arguments)
    first(image(arguments, 8, 32, 24, batch=2))  # moves the running statistics of batch norm
    save_file(
        {k: t.clone() for k, t in first.state_dict().items()}, tmp_path / "weights.safetensors"
    )
    second = build_network(name, arguments)
    x = image(arguments, 6, 17, 23)
    assert not torch.equal(second.eval()(x), first.eval()(x))
    second.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
    torch.testing.assert_close(second(x), first(x), rtol=0, atol=0)


@every_network
def test_prediction_is_repeatable_and_the_same_in_any_batch(
    name: str, arguments: dict[str, Any]
) -> None:
    network = build_network(name, arguments).eval()
    x = image(arguments, 6, 17, 23, batch=3)
    together = network(x)
    torch.testing.assert_close(network(x), together, rtol=0, atol=0)
    one_by_one = torch.cat([network(x[index : index + 1]) for index in range(3)])
    torch.testing.assert_close(one_by_one, together, rtol=1e-3, atol=1e-3)


@every_network
def test_bfloat16_stays_close_to_full_precision(name: str, arguments: dict[str, Any]) -> None:
    network = build_network(name, arguments).eval()
    x = image(arguments, 6, 33, 31)
    exact = network(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(x)
    assert rough.isfinite().all()
    assert (rough.float() - exact).std() < 0.2 * exact.std()


@every_network
def test_channels_last_changes_nothing(name: str, arguments: dict[str, Any]) -> None:
    dims = arguments["spatial_dims"]
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    network = build_network(name, arguments).eval()
    x = image(arguments, 6, 33, 31, batch=2)
    plain = network(x)
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    torch.testing.assert_close(network(x.to(memory_format=layout)), plain, rtol=1e-4, atol=1e-5)


WRONG = [
    ({"in_channels": None}, "in_channels is None: give a whole number"),
    ({"in_channels": 0}, "in_channels is 0: give 1 or more"),
    ({"out_channels": True}, "out_channels is True: give a whole number"),
    ({"spatial_dims": 4}, "has no 4D form: give spatial_dims 2 or 3"),
    ({"outchannels": 2}, "'outchannels'. Did you mean 'out_channels'? It takes spatial_"),
    ({"breadth": 3}, "no option 'breadth'. It takes spatial_dims, in_channels, out_channels"),
    ({"channels": [4, 0, 4, 8]}, "channels is [4, 0, 4, 8]: give"),
    ({"channels": [4, 8.5, 8, 8]}, "channels is [4, 8.5, 8, 8]: give a list of"),
    ({"channels": 8}, "channels is 8: give a list of"),
    ({"dropout": 1}, "dropout is 1: give a probability"),
    ({"dropout": float("nan")}, "dropout is nan: give a number"),
    ({"norm": "nrom"}, "'nrom'"),
    ({"act": "rleu"}, "RLEU"),
    ({"act": ["relu", {"wings": 2}]}, "wings"),
    ({"act": ["relu"]}, "act is ['relu']: give a text or [a text, a mapping]"),
]


def has(name: str, option: str) -> bool:
    """Say whether a network has an option."""
    return option in network_arguments(
        name, {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    )


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        pytest.param(name, change, message, id=f"{name}-{change}")
        for name in NETWORKS
        for change, message in WRONG
        if has(name, next(iter(change))) or "It takes" in message
    ],
)
def test_wrong_arguments_are_named_in_one_line(
    name: str, change: dict[str, Any], message: str
) -> None:
    dims = change.get("spatial_dims", 2)
    with pytest.raises(NetworkError) as caught:
        build_network(name, {"spatial_dims": dims, "in_channels": 1, "out_channels": 2, **change})
    assert message in str(caught.value).replace("'NROM'", "'nrom'")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("missing", ["spatial_dims", "in_channels", "out_channels"])
def test_missing_arguments_are_named(name: str, missing: str) -> None:
    arguments = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    del arguments[missing]
    with pytest.raises(NetworkError, match=f"'{name}' needs {missing}: give it"):
        network_arguments(name, arguments)


def test_an_unknown_network_gets_its_near_miss() -> None:
    with pytest.raises(
        NetworkError, match=r"No network named 'segresnt'\. Did you mean 'segresnet"
    ):
        network_info("segresnt")
    with pytest.raises(NetworkError, match=r"'x'\. Known: attention_unet, basic_"):
        build_network("x", {})


def test_the_table_leaves_torch_alone() -> None:
    code = "import sys, napari_monai.networks; print(sorted({'torch', 'monai'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
