"""What nnU-Net's architectures are called in the table of networks, and their arguments there.

For the ``architecture`` of nnU-Net's plans (version 2.5 and later). Nothing is built or imported
by the names that stand there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import NetworkError
from .options import show

_NAMES = {"PlainConvUNet": "plain_conv_unet", "ResidualEncoderUNet": "residual_encoder_unet"}
_NORMS = {"InstanceNorm": "instance", "BatchNorm": "batch"}
_ACTIVATIONS = ("LeakyReLU", "ReLU", "PReLU", "ELU", "GELU")
_BLOCKS = {"BasicBlockD": "basic", "BottleneckD": "bottleneck"}
# What the table calls as nnU-Net does.
_SAME = (
    "features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage", "n_blocks_per_stage",
    "n_conv_per_stage_decoder", "conv_bias", "bottleneck_channels", "stem_channels",
)  # fmt: skip
# Heads of coarser levels are in the weights either way.
_KNOWN = frozenset(
    (*_SAME, "n_stages", "conv_op", "norm_op", "norm_op_kwargs", "dropout_op",
     "dropout_op_kwargs", "nonlin", "nonlin_kwargs", "deep_supervision", "block")
)  # fmt: skip


def from_nnunet(
    class_name: str, arguments: Mapping[str, Any], *, in_channels: int, out_channels: int
) -> tuple[str, dict[str, Any]]:
    """Return the network of the table that an architecture of nnU-Net's plans is.

    A network built from the result takes the ``network_weights`` of nnU-Net's checkpoint.

    Parameters
    ----------
    class_name : str
        ``network_class_name`` of the plans.
    arguments : Mapping
        ``arch_kwargs`` of the plans; classes are given by their names.
    in_channels, out_channels : int
        Channels of the image, and of the labels.

    Returns
    -------
    name : str
        A name of the table.
    arguments : dict
        The complete arguments of that network, as plain JSON.

    Raises
    ------
    NetworkError
        For an architecture or a layer that the table does not have.
    """
    from . import network_arguments

    short = class_name.rpartition(".")[2]
    name = _NAMES.get(short)
    if name is None:
        known = " and ".join(_NAMES)
        raise NetworkError(f"nnU-Net's {short} cannot be used: {known} can.")
    strange = sorted(set(arguments) - _KNOWN)
    if strange:
        raise NetworkError(f"nnU-Net's {short} with {strange[0]!r} cannot be used.")
    if "conv_op" not in arguments:
        raise NetworkError(f"nnU-Net's {short} needs conv_op: give it.")
    found: dict[str, Any] = {
        "spatial_dims": 3 if _class(arguments["conv_op"]) == "Conv3d" else 2,
        "in_channels": in_channels,
        "out_channels": out_channels,
        # nnU-Net's own default.
        "conv_bias": False,
        **_layers(arguments),
        **{key: arguments[key] for key in _SAME if key in arguments},
    }
    for key in ("features_per_stage", "strides"):
        if isinstance(found.get(key), int):
            found[key] = [found[key]] * arguments["n_stages"]
    if "block" in arguments:
        found["block"] = _look_up(_BLOCKS, arguments["block"], "block")
    return name, network_arguments(name, found)


def _layers(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return normalization, dropout and activation as the table has them."""
    norm, nonlin, dropout = (arguments.get(key) for key in ("norm_op", "nonlin", "dropout_op"))
    found: dict[str, Any] = {"norm": None, "nonlin": None, "dropout": None}
    if norm is not None:
        kind = _look_up(_NORMS, _class(norm).rstrip("123d"), "norm_op")
        found["norm"] = [kind, dict(arguments.get("norm_op_kwargs") or {})]
    if nonlin is not None:
        kind = _look_up({name: name for name in _ACTIVATIONS}, nonlin, "nonlin")
        found["nonlin"] = [kind.lower(), dict(arguments.get("nonlin_kwargs") or {})]
    if dropout is not None:
        found["dropout"] = ["dropout", dict(arguments.get("dropout_op_kwargs") or {})]
    return found


def _class(value: object) -> str:
    """Return the name of a class that plans give by its dotted path."""
    return str(value).rpartition(".")[2]


def _look_up(known: Mapping[str, str], value: object, key: str) -> str:
    name = _class(value)
    if name not in known:
        wanted = " or ".join(known)
        raise NetworkError(f"The network option {key} is {show(value)}: give {wanted}.")
    return known[name]
