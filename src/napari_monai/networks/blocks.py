"""Convolutions with normalization and activation, from MONAI's dimension-generic blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from monai.networks.blocks.convolutions import Convolution
from monai.networks.layers.utils import get_act_layer
from torch import nn

from .options import Layer

NormName = Literal["batch", "instance", "group"]


@dataclass(frozen=True)
class Blocks:
    """What all blocks of a network share, and the blocks.

    Attributes
    ----------
    spatial_dims : int
        2 or 3.
    norm : str
        ``"batch"``, ``"instance"`` or ``"group"``, each with scale and shift for each channel.
    act : str or (str, dict)
        An activation by its name in MONAI's factories, alone or with arguments.
    """

    spatial_dims: int
    norm: NormName
    act: Layer

    def convolution(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int | Sequence[int] = 3,
        strides: int | Sequence[int] = 1,
        dilation: int = 1,
        groups: int = 1,
        activated: bool = True,
    ) -> nn.Module:
        """Return a convolution without bias, its normalization, and an activation if wanted."""
        block: nn.Module = Convolution(
            self.spatial_dims,
            in_channels,
            out_channels,
            kernel_size=kernel_size,
            strides=strides,
            dilation=dilation,
            groups=groups,
            bias=False,
            adn_ordering="NA",
            norm=_norm_layer(self.norm, out_channels),
            act=self.act if activated else None,
        )
        return block

    def separable(self, in_channels: int, out_channels: int, *, dilation: int = 1) -> nn.Module:
        """Return an atrous separable convolution: 3x3 within each channel, then 1x1 across.

        Both have their normalization and activation (Chen et al. 2018, section 3.2).
        """
        return nn.Sequential(
            self.convolution(in_channels, in_channels, dilation=dilation, groups=in_channels),
            self.convolution(in_channels, out_channels, kernel_size=1),
        )

    def activation(self) -> nn.Module:
        """Return an activation alone."""
        layer: nn.Module = get_act_layer(self.act)
        return layer


def group_count(channels: int) -> int:
    """Return the groups for group normalization: up to 32 of at least 4 channels each.

    Wu and He, "Group normalization", ECCV 2018, use 32 groups; the narrow layers of a small
    network have fewer, as a group of one channel would be instance normalization.
    """
    fits = (groups for groups in range(32, 1, -1) if channels % groups == 0)
    return next((groups for groups in fits if channels // groups >= 4), 1)


def _norm_layer(norm: NormName, channels: int) -> Layer:
    """Return the name of a norm with the arguments that MONAI's factory leaves open."""
    if norm == "group":
        return ("group", {"num_groups": group_count(channels)})
    return (norm, {"affine": True})
