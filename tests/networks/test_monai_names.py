"""MONAI's classes by the table's names, against MONAI's own."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import monai.networks.nets
import numpy as np
import pytest
import torch
from monai.networks.nets import dints
from monai.utils import UpsampleMode

from napari_monai.errors import NetworkError
from napari_monai.networks import build_network, from_monai

LEVELS = {"channels": [4, 6, 8], "strides": [2, 2]}
STEPS = {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2]}
THICK = {
    "kernel_size": [[1, 3, 3], 3, 3],
    "strides": [1, [1, 2, 2], 2],
    "upsample_kernel_size": [[1, 2, 2], 2],
}
SWIN = {"feature_size": 12, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 3, 4), "window_size": 2}
TOKENS = {"hidden_size": 12, "mlp_dim": 16, "num_heads": 3, "feature_size": 4}
FORMS: list[tuple[str, str, dict[str, Any], tuple[int, ...]]] = [
    ("UNet", "unet", LEVELS, (8, 12)),
    ("UNet", "unet", {**LEVELS, "num_res_units": 2, "norm": "batch", "act": "relu"}, (8, 8, 4)),
    ("AttentionUnet", "attention_unet", LEVELS, (8, 12)),
    ("AttentionUnet", "attention_unet", {**LEVELS, "strides": (1, 2)}, (6, 8, 4)),
    ("BasicUNet", "basic_unet", {"features": (4, 4, 6, 6, 8, 4)}, (32, 35)),
    ("BasicUNet", "basic_unet", {"features": (4, 4, 6, 6, 8, 4), "norm": "batch"}, (16, 33, 18)),
    ("BasicUNetPlusPlus", "basic_unetplusplus", {"features": (4, 4, 6, 6, 8, 4)}, (33, 32)),
    ("DynUNet", "dynunet", STEPS, (8, 12)),
    ("DynUNet", "dynunet", {**STEPS, "res_block": True, "filters": (4, 6, 8, 9)}, (8, 12, 8)),
    ("DynUNet", "dynunet", {**THICK, "deep_supervision": True, "norm_name": "batch"}, (4, 8, 8)),
    ("SegResNet", "segresnet", {}, (16, 24)),
    ("SegResNet", "segresnet", {"upsample_mode": UpsampleMode.DECONV}, (16, 8, 8)),
    ("SegResNetDS", "segresnet_ds", {"init_filters": 4}, (16, 8)),
    ("SegResNetDS", "segresnet_ds", {"init_filters": 4, "dsdepth": 3}, (16, 8, 8)),
    (
        "SegResNetDS",
        "segresnet_ds",
        {"init_filters": 4, "resolution": (5.0, 1.0, 1.0), "blocks_up": (2, 1, 1)},
        (4, 8, 16),
    ),
    ("VNet", "vnet", {}, (32, 16)),
    ("VNet", "vnet", {"act": "prelu", "bias": True}, (16, 16, 32)),
    ("UNETR", "unetr", {**TOKENS, "img_size": (32, 16)}, (32, 16)),
    ("UNETR", "unetr", {**TOKENS, "img_size": 32, "proj_type": "perceptron"}, (32, 32, 32)),
    ("SwinUNETR", "swin_unetr", SWIN, (64, 32)),
    ("SwinUNETR", "swin_unetr", {**SWIN, "use_v2": True, "downsample": "mergingv2"}, (64, 32, 32)),
    ("FlexibleUNet", "flexible_unet", {"backbone": "efficientnet-b0"}, (64, 96)),
    ("FlexibleUNet", "flexible_unet", {"backbone": "resnet10"}, (32, 32, 64)),
]


@pytest.mark.parametrize(
    ("cls", "name", "options", "sizes"),
    [pytest.param(*form, id=f"{form[0]}-{len(form[3])}d-{n}") for n, form in enumerate(FORMS)],
)
def test_weights_of_monai_s_class_give_its_logits(
    cls: str, name: str, options: dict[str, Any], sizes: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    arguments = {"spatial_dims": len(sizes), "in_channels": 2, "out_channels": 3, **options}
    extra = {"pretrained": False} if cls == "FlexibleUNet" else {}
    theirs = getattr(monai.networks.nets, cls)(**arguments, **extra).eval()
    found, ours_arguments = from_monai(cls, arguments)
    assert found == name
    assert json.loads(json.dumps(ours_arguments)) == ours_arguments
    ours = build_network(found, ours_arguments).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(1, 2, *sizes)
    expected = theirs(x)
    # What gives a list gives the logits of the deepest network last.
    expected = expected[-1] if isinstance(expected, list) else expected
    torch.testing.assert_close(ours(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        ("monai.networks.nets.UNet", "unet"),
        ("Unet", "unet"),
        ("monai.networks.nets.unet.UNet", "unet"),
        ("DynUnet", "dynunet"),
        ("FlexUNet", "flexible_unet"),
        ("BasicUnet", "basic_unet"),
    ],
)
def test_monai_s_other_names(cls: str, name: str) -> None:
    options = {
        "unet": LEVELS,
        "dynunet": STEPS,
        "flexible_unet": {"backbone": "resnet18"},
        "basic_unet": {},
    }
    arguments = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, **options[name]}
    assert from_monai(cls, arguments)[0] == name


COMMON = {"in_channels": 1, "out_channels": 2}


@pytest.mark.parametrize(
    ("cls", "given", "expected"),
    [
        pytest.param(
            "SwinUNETR",
            {**COMMON, "img_size": [96, 96, 96], "use_checkpoint": True, "feature_size": 48},
            {"spatial_dims": 3, "feature_size": 48, "window_size": 7},
            id="removed-img-size",
        ),
        pytest.param(
            "FlexibleUNet",
            {**COMMON, "backbone": "efficientnet-b2", "pretrained": True},
            {"spatial_dims": 2, "backbone": "efficientnet-b2"},
            id="no-download",
        ),
        pytest.param(
            "UNet",
            {**COMMON, "dimensions": 2, "channels": [4, 8], "strides": [2, 2]},
            {"spatial_dims": 2, "strides": [2], "num_res_units": 0, "act": "PRELU"},
            id="earlier-name-and-strides-that-monai-ignores",
        ),
        pytest.param(
            "SegResNet",
            {**COMMON, "norm_name": "group", "num_groups": 4, "init_filters": 16},
            {"norm": ["group", {"num_groups": 4}], "init_filters": 16},
            id="earlier-norm",
        ),
        pytest.param(
            "UNETR",
            {**COMMON, "img_size": 32, "pos_embed": "perceptron"},
            {"proj_type": "perceptron", "img_size": 32},
            id="earlier-embedding",
        ),
        pytest.param(
            "VNet",
            {**COMMON, "dropout_prob": 0.25},
            {"dropout_prob_down": 0.25, "dropout_prob_up": [0.25, 0.25], "width": 16},
            id="earlier-dropout",
        ),
    ],
)
def test_arguments_of_earlier_releases_and_without_effect(
    cls: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    _, arguments = from_monai(cls, given)
    assert arguments.items() >= expected.items()


@pytest.mark.parametrize(
    ("cls", "given", "message"),
    [
        ("HoVerNet", {}, "MONAI's HoVerNet cannot be used: it gives three maps"),
        ("DiNTS", {}, "MONAI's DiNTS needs dints_space"),
        ("SegResNett", {}, r"No network of the table is MONAI's SegResNett\. Did you mean 'SegRes"),
        ("subprocess.call", {}, r"No network of the table is MONAI's call\."),
        ("SegResNet", {"use_conv_final": False}, "with this use_conv_final .*: without it"),
        ("SegResNetDS", {"preprocess": "x"}, "with this preprocess cannot be used: code"),
        ("SwinUNETR", {**COMMON, "use_hyena": True}, "with this use_hyena cannot be used"),
        ("BasicUNetPlusPlus", {"deep_supervision": True}, "it gives a list of logits"),
        (
            "UNet",
            {"spatial_dims": 2, **COMMON, "strides": [2]},
            "MONAI's UNet needs channels: give it",
        ),
        ("UNet", {**COMMON, **LEVELS}, "MONAI's UNet needs spatial_dims: give"),
        ("UNet", {**COMMON, **LEVELS, "spatial_dims": 1}, "'unet' has no 1D form"),
        ("DynUNet", {**COMMON, "spatial_dims": 2, **STEPS, "strides": [2, 2, 2]}, "1 as the first"),
    ],
    ids=str,
)
def test_what_the_table_does_not_have_is_refused_with_its_reason(
    cls: str, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(NetworkError, match=message) as caught:
        from_monai(cls, given)
    assert "\n" not in str(caught.value)


def test_a_dints_takes_its_topology_as_plain_values() -> None:
    edges, operations = [[1, 1, 0, 1], [1, 0, 1, 1]], [[1, 0, 2, 4], [3, 1, 1, 0]]
    nodes = [[1, 1], [1, 1], [1, 0]]
    space = {
        "channel_mul": 0.125,
        "num_blocks": 2,
        "num_depths": 2,
        "arch_code": [edges, operations],
    }
    given = {"dints_space": space, "in_channels": 1, "num_classes": 3, "node_a": nodes}
    name, arguments = from_monai("DiNTS", given)

    with contextlib.redirect_stdout(io.StringIO()):
        topology = dints.TopologyInstance(
            **{**space, "arch_code": [np.array(edges), np.array(operations)]}
        )
        monais = dints.DiNTS(topology, 1, 3, node_a=torch.tensor(nodes)).eval()
    ours = build_network(name, arguments).eval()
    ours.load_state_dict(monais.state_dict())
    x = torch.rand(1, 1, 16, 16, 16)

    assert torch.equal(ours(x), monais(x))
    with pytest.raises(NetworkError, match="arch_code as two lists"):
        from_monai("DiNTS", {**given, "dints_space": {}})
