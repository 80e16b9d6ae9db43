"""nnU-Net's networks, against what its own library said of them.

The known values were made with dynamic-network-architectures 0.4.4 (torch 2.15): the names and
shapes of the state dict in order, as the beginning of a SHA-256, and the first of every so many
logits of weights and an image that numpy draws. The library's own logits and those of the table's
network with its weights differed by exactly 0 in each of these cases.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch

from napari_monai.errors import NetworkError
from napari_monai.networks import build_network, from_nnunet

BLOCKS = {
    "PlainConvUNet": {"n_conv_per_stage": [2, 2, 2], "n_conv_per_stage_decoder": [2, 2]},
    "ResidualEncoderUNet": {"n_blocks_per_stage": [1, 2, 2], "n_conv_per_stage_decoder": [1, 1]},
}
KNOWN: list[tuple[str, tuple[int, ...], dict[str, Any], str, list[float]]] = [
    (
        "PlainConvUNet",
        (16, 12),
        {},
        "064b8f74580da8fd",
        [-0.9967, -0.8469, -1.054, -1.0615, -1.0463, -0.9345],
    ),
    (
        "PlainConvUNet",
        (8, 12, 8),
        {},
        "b9324527190a8aca",
        [-0.5162, -0.5604, 0.0946, -0.3549, -0.4246, -0.3868],
    ),
    (
        "PlainConvUNet",
        (4, 8, 12),
        {
            "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        },
        "4853cb934f8ba597",
        [-1.1063, -1.0656, -0.9661, -0.7885, -1.097, -0.9717],
    ),
    (
        "PlainConvUNet",
        (4, 8, 12),
        {
            "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            "norm_op": "torch.nn.modules.batchnorm.BatchNorm3d",
            "conv_bias": False,
            "n_conv_per_stage": [1, 2, 3],
            "n_conv_per_stage_decoder": [1, 2],
        },
        "424f84c3606dd240",
        [0.276, -0.5182, 0.2706, 4.8437, 6.654, 8.3094],
    ),
    (
        "PlainConvUNet",
        (16, 12),
        {
            "dropout_op": "torch.nn.modules.dropout.Dropout2d",
            "dropout_op_kwargs": {"p": 0.3, "inplace": True},
            "deep_supervision": True,
        },
        "f77a2e1ac65b29de",
        [-0.9967, -0.8469, -1.054, -1.0615, -1.0463, -0.9345],
    ),
    (
        "PlainConvUNet",
        (8, 8),
        {"kernel_sizes": [[1, 5], [1, 5], [1, 5]], "strides": [[1, 1], [1, 2], [2, 1]]},
        "6bc11cb5437419da",
        [-0.8703, -0.3897, -0.4962, -0.5502, -0.8663, -0.9733],
    ),
    (
        "ResidualEncoderUNet",
        (16, 12),
        {},
        "2b0f2757e2ef1ac6",
        [0.8637, 0.8411, 0.8294, 0.8704, 0.7802, 0.8485],
    ),
    (
        "ResidualEncoderUNet",
        (8, 12, 8),
        {},
        "9401ff8318503051",
        [0.8407, 0.8277, 0.7721, 0.8468, 0.7742, 0.8349],
    ),
    (
        "ResidualEncoderUNet",
        (4, 8, 12),
        {
            "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        },
        "085093fd69487277",
        [0.8689, 0.8254, 0.865, 0.8485, 0.786, 0.8546],
    ),
    (
        "ResidualEncoderUNet",
        (4, 8, 12),
        {
            "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            "stem_channels": 5,
            "deep_supervision": True,
        },
        "809c722e4fecfdca",
        [-0.1538, -0.1742, -0.1407, -0.1428, -0.1325, -0.1403],
    ),
    (
        "ResidualEncoderUNet",
        (16, 12),
        {"block": "BottleneckD", "bottleneck_channels": [2, 3, 4]},
        "77de1501c2fc7b5b",
        [-0.3057, -0.2124, -0.0205, -0.0101, -0.2696, -0.2669],
    ),
    (
        "ResidualEncoderUNet",
        (16, 12),
        {
            "features_per_stage": [4, 4, 8],
            "norm_op": "torch.nn.modules.batchnorm.BatchNorm2d",
            "dropout_op": "torch.nn.modules.dropout.Dropout2d",
            "dropout_op_kwargs": {"p": 0.3},
        },
        "eef02d3d8f660b37",
        [0.3598, 6.6846, 5.1582, 0.6106, 9.1108, 4.8682],
    ),
]


def plans(cls: str, dims: int, **options: Any) -> dict[str, Any]:
    """Return ``arch_kwargs`` as nnU-Net writes them."""
    return {
        "n_stages": 3,
        "features_per_stage": [4, 6, 8],
        "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
        "kernel_sizes": [[3] * dims] * 3,
        "strides": [[1] * dims, [2] * dims, [2] * dims],
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
        "conv_bias": True,
        **BLOCKS[cls],
        **options,
    }


@pytest.mark.parametrize(
    ("cls", "sizes", "options", "digest", "logits"),
    [pytest.param(*known, id=f"{known[0]}-{n}") for n, known in enumerate(KNOWN)],
)
def test_the_network_is_nnunet_s(
    cls: str, sizes: tuple[int, ...], options: dict[str, Any], digest: str, logits: list[float]
) -> None:
    name, arguments = from_nnunet(
        f"dynamic_network_architectures.architectures.unet.{cls}",
        plans(cls, len(sizes), **options),
        in_channels=2,
        out_channels=3,
    )
    network = build_network(name, arguments).eval()
    state = network.state_dict()
    text = "\n".join(f"{key} {list(tensor.shape)}" for key, tensor in state.items())
    assert hashlib.sha256(text.encode()).hexdigest().startswith(digest)
    for number, (key, tensor) in enumerate(sorted(state.items())):
        if tensor.is_floating_point():
            drawn = np.random.RandomState(number).standard_normal(tuple(tensor.shape))
            drawn = np.abs(drawn) if key.endswith("running_var") else 0.5 * drawn
            tensor.copy_(torch.from_numpy(drawn))
    image = np.random.RandomState(99).standard_normal((1, 2, *sizes)).astype(np.float32)
    with torch.no_grad():
        found = network(torch.from_numpy(image)).flatten()
    some = found[:: max(1, found.numel() // 24)][: len(logits)]
    torch.testing.assert_close(some, torch.tensor(logits), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("cls", "count"),
    # What the library's own networks of these plans have.
    [("PlainConvUNet", 31_196_399), ("ResidualEncoderUNet", 102_350_575)],
)
def test_the_network_of_default_plans_has_nnunet_s_size(cls: str, count: int) -> None:
    blocks = {
        "PlainConvUNet": {"n_conv_per_stage": 2, "n_conv_per_stage_decoder": 2},
        "ResidualEncoderUNet": {
            "n_blocks_per_stage": [1, 3, 4, 6, 6, 6],
            "n_conv_per_stage_decoder": 1,
        },
    }
    wide = {
        "n_stages": 6,
        "features_per_stage": [32, 64, 128, 256, 320, 320],
        "kernel_sizes": 3,
        "strides": [1, 2, 2, 2, 2, 2],
    }
    name, arguments = from_nnunet(
        cls, plans(cls, 3, **wide, **blocks[cls]), in_channels=1, out_channels=3
    )
    with torch.device("meta"):
        network = build_network(name, arguments)
    assert sum(weight.numel() for weight in network.parameters()) == count


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        ("UMambaBot", {}, "UMambaBot cannot be used: PlainConvUNet and ResidualEncoderUNet can"),
        ("PlainConvUNet", {"norm_op": "torch.nn.GroupNorm"}, "give InstanceNorm or BatchNorm"),
        ("PlainConvUNet", {"nonlin": "torch.nn.Tanh"}, "nonlin is 'torch.nn.Tanh': give LeakyReLU"),
        ("PlainConvUNet", {"pool": "max"}, "with 'pool' cannot be used"),
        ("PlainConvUNet", {"strides": [2, 2, 2]}, r"strides is \[2, 2, 2\]: give 1 as the first"),
        ("PlainConvUNet", {"strides": [1, 2]}, r"strides is \[1, 2\]: give a list of 3"),
        ("PlainConvUNet", {"kernel_sizes": [3, 3]}, r"kernel_sizes is .*: give a list of 3"),
        ("PlainConvUNet", {"kernel_sizes": 2}, "kernel_sizes is 2: give one odd number"),
        (
            "PlainConvUNet",
            {"n_conv_per_stage": [2, 0, 2]},
            r"n_conv_per_stage is \[2, 0, 2\]: give whole",
        ),
        ("ResidualEncoderUNet", {"block": "BottleneckD"}, "bottleneck_channels is None: give"),
        ("ResidualEncoderUNet", {"stem_channels": 0}, "stem_channels is 0: give 1 or more"),
    ],
    ids=str,
)
def test_what_is_not_nnunet_s_is_refused(cls: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message) as caught:
        from_nnunet(cls, plans(cls if cls in BLOCKS else "PlainConvUNet", 2) | options,
                    in_channels=1, out_channels=2)  # fmt: skip
    assert "\n" not in str(caught.value)
