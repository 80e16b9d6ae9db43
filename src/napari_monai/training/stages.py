"""The stages of a network, from its head back to the layers that see the image first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import nn

from ..errors import NetworkError

Part = Literal["head", "decoder", "encoder"]


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of a network that is frozen, and given a learning rate, as one.

    Attributes
    ----------
    part
        Whether it is the head, which alone depends on what is predicted, of the decoder, or of
        the encoder.
    parameters
        Its parameters by name.
    norms
        Its layers that keep running statistics.
    """

    part: Part
    parameters: dict[str, nn.Parameter]
    norms: tuple[nn.Module, ...]


class _Rule(NamedTuple):
    """Which names make stages: one, or one for each value of the pattern's group.

    Values are numbers, or nestings that are the deeper the longer they are; ``order`` 1 puts
    the lowest next to the head, -1 the highest.
    """

    part: Part
    pattern: str
    order: int = 1


def _head(pattern: str) -> _Rule:
    return _Rule("head", pattern)


def _decoder(pattern: str, order: int = 1) -> _Rule:
    return _Rule("decoder", pattern, order)


def _encoder(pattern: str, order: int = -1) -> _Rule:
    return _Rule("encoder", pattern, order)


_UNET = (
    _head(r"model\.2\."),
    _decoder(r"model\.((?:1\.submodule\.)+)2\."),
    _encoder(r"model\.(?:1\.submodule\.)+(?![012]\.)"),
    _encoder(r"model\.((?:1\.submodule\.)*)0\."),
)
_NNUNET = (
    _head(r"decoder\.seg_layers\."),
    _decoder(r"decoder\.(?:stages|transpconvs)\.(\d+)\.", -1),
    _encoder(r"encoder\.stages\.(\d+)\."),
    _encoder(r"encoder\.stem\."),
)
_RESNET = (_encoder(r"encoder\.stages\.(\d+)\."), _encoder(r"encoder\.stem\."))
# By network, from the head back: the order in which gradients reach the layers.
_RULES: dict[str, tuple[_Rule, ...]] = {
    "unet": _UNET,
    "residual_unet": _UNET,
    "basic_unet": (
        _head(r"final_conv\."),
        _decoder(r"upcat_(\d)\."),
        _encoder(r"down_(\d)\."),
        _encoder(r"conv_0\."),
    ),
    "basic_unetplusplus": (
        _head(r"final_conv_0_\d\."),
        _decoder(r"upcat_(\d)_\d\."),  # a row of nodes, all of one resolution
        _encoder(r"conv_(\d)_0\."),
    ),
    "attention_unet": (
        _head(r"model\.2\."),
        _decoder(r"model\.1\.((?:submodule\.1\.)*)(?:attention|merge|upconv)\."),
        _encoder(r"model\.1\.(?:submodule\.1\.)*submodule\.(?![01]\.)"),
        _encoder(r"model\.((?:1\.submodule\.)*)0\."),
    ),
    "dynunet": (
        _head(r"(?:output_block|deep_supervision_heads)\."),
        _decoder(r"upsamples\.(\d+)\.", -1),
        _encoder(r"bottleneck\."),
        _encoder(r"downsamples\.(\d+)\."),
        _encoder(r"input_block\."),
    ),
    "plain_conv_unet": _NNUNET,
    "residual_encoder_unet": _NNUNET,
    "segresnet": (
        _head(r"conv_final\."),
        _decoder(r"up_(?:layers|samples)\.(\d+)\.", -1),
        _encoder(r"down_layers\.(\d+)\."),
        _encoder(r"convInit\."),
    ),
    "segresnet_ds": (
        _head(r"up_layers\.\d+\.head\."),
        _decoder(r"up_layers\.(\d+)\.", -1),
        _encoder(r"encoder\.layers\.(\d+)\."),
        _encoder(r"encoder\.conv_init\."),
    ),
    "vnet": (
        _head(r"out_tr\."),
        _decoder(r"up_tr(\d+)\."),  # numbered by their features
        _encoder(r"down_tr(\d+)\."),
        _encoder(r"in_tr\."),
    ),
    "flexible_unet": (
        _head(r"segmentation_head\."),
        _decoder(r"decoder\.blocks\.(\d+)\.", -1),
        # Of the classifier that the encoder was, used no more: its end.
        _encoder(r"encoder\.(?:_conv_head|_bn1|_fc)\."),
        _encoder(r"encoder\.(?:_blocks\.|layer)(\d+)\."),
        _encoder(r"encoder\.(?:_conv_stem|_bn0|conv1|bn1)\."),
    ),
    "dints": (
        _head(r"stem_finals\."),
        _decoder(r"stem_up\.(\d+)\."),
        _encoder(r"dints_space\.cell_tree\.\((\d+), \d+\)\."),
        _encoder(r"stem_down\.(\d+)\."),
    ),
    "unetr": (
        _head(r"out\."),
        _decoder(r"decoder(\d)\."),
        _encoder(r"encoder\d\.|vit\.norm\."),
        _encoder(r"vit\.blocks\.(\d+)\."),
        _encoder(r"vit\.patch_embedding\."),
    ),
    "swin_unetr": (
        _head(r"out\."),
        _decoder(r"decoder(\d)\."),
        _encoder(r"encoder\d+\."),
        _encoder(r"swinViT\.layers(\d)c?\."),
        _encoder(r"swinViT\.patch_embed\."),
    ),
    "deeplabv3plus": (
        _head(r"classifier\."),
        _decoder(r"(?:decoder|low_level)\."),
        _decoder(r"aspp\."),
        *_RESNET,
    ),
    "deeplabv3": (_head(r"classifier\."), _decoder(r"aspp\."), *_RESNET),
    "fcn": (
        _head(r"(?:head\.4|scores|enlarge)\."),
        _decoder(r"head\."),
        _encoder(r"stages\.(\d+)\."),
    ),
    "reseg": (
        _head(r"classifier\."),
        _decoder(r"enlarge\."),
        _decoder(r"sweeps\.(\d+)\.", -1),
        _encoder(r"stages\.(\d+)\."),
    ),
}
_Place = tuple[int, int]


def stages(network: nn.Module, name: str) -> list[Stage]:
    """Return the stages of a network, the head first and what sees the image first last.

    Each parameter is in one stage. The order is that of the way back through the layers, along
    which features become more general (Howard & Ruder 2018): head, decoder from fine to coarse,
    encoder from coarse to fine.

    Parameters
    ----------
    network
        A network of the table.
    name
        What the table calls it.

    Raises
    ------
    NetworkError
        If it has a parameter that the network of this name does not have.
    """
    parts = {rank: rule.part for rank, rule in enumerate(_RULES[name])}
    parameters: dict[_Place, dict[str, nn.Parameter]] = {}
    for tensor, parameter in network.named_parameters():
        parameters.setdefault(_place(name, tensor), {})[tensor] = parameter
    norms: dict[_Place, list[nn.Module]] = {}
    for layer, module in _with_statistics(network):
        norms.setdefault(_place(name, f"{layer}."), []).append(module)
    return [
        Stage(parts[place[0]], parameters.get(place, {}), tuple(norms.get(place, ())))
        for place in sorted({*parameters, *norms})
    ]


def _place(name: str, tensor: str) -> _Place:
    """Return where in the order of stages a tensor of a network stands."""
    for rank, rule in enumerate(_RULES[name]):
        found = re.match(rule.pattern, tensor)
        if found:
            return rank, rule.order * _depth(found[1]) if found.groups() else 0
    raise NetworkError(f"{tensor!r} is in no stage of {name}: build the network by its name.")


def _depth(value: str) -> int:
    return int(value) if value.isdigit() else len(value)


def _with_statistics(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the norms that keep running statistics, each once."""
    for layer, module in network.named_modules():
        if getattr(module, "running_mean", None) is not None:
            yield layer, module
