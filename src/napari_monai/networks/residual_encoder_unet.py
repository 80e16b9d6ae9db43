"""nnU-Net's network with a residual encoder, that takes the weights of ``ResidualEncoderUNet``.

Isensee et al., "nnU-Net revisited: a call for rigorous validation in 3D medical image
segmentation", MICCAI 2024; blocks after He et al., "Bag of tricks for image classification with
convolutional neural networks", CVPR 2019 (ResNet-D: shortcuts shrink by mean pooling).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from monai.networks.layers.factories import Pool
from monai.networks.layers.utils import get_act_layer
from torch import nn

from .nnunet_parts import Axes, ConvStack, ConvUnit, NnUNet, NnUNetOptions
from .options import per_axis, require, require_whole


@dataclass(frozen=True, kw_only=True)
class Options(NnUNetOptions):
    """Arguments of nnU-Net's residual encoder network, with the names of its plans.

    Attributes
    ----------
    n_blocks_per_stage : int or tuple of int
        Residual blocks of each level on the way down, finest first.
    block : str
        Blocks of two convolutions (``"basic"``), or of 1x1, one with the kernel, and 1x1
        (``"bottleneck"``).
    bottleneck_channels : int or tuple of int or None
        Features within the blocks of each level, for bottlenecks.
    stem_channels : int or None
        Features of the convolution before the first level; None for those of that level.
    """

    n_conv_per_stage_decoder: int | tuple[int, ...] = 1
    n_blocks_per_stage: int | tuple[int, ...] = (1, 3, 4, 6, 6)
    block: Literal["basic", "bottleneck"] = "basic"
    bottleneck_channels: int | tuple[int, ...] | None = None
    stem_channels: int | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no such network."""
        super().__post_init__()
        self.counts("n_blocks_per_stage", self.levels)
        if self.stem_channels is not None:
            require_whole("stem_channels", self.stem_channels)
        if self.block == "bottleneck":
            given = self.bottleneck_channels
            require(given is not None, "bottleneck_channels", given, "a number of features")
            self.counts("bottleneck_channels", self.levels)


class ResidualBlock(nn.Module):
    """Convolutions beside a shortcut, joined before the last activation."""

    def __init__(
        self,
        options: Options,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: Axes,
        stride: Axes,
        within: int,
    ) -> None:
        super().__init__()
        if options.block == "basic":
            self.conv1 = ConvUnit(
                options, in_channels, out_channels, kernel_size=kernel_size, stride=stride
            )
            self.conv2 = ConvUnit(
                options, out_channels, out_channels, kernel_size=kernel_size,
                drops=False, activated=False,
            )  # fmt: skip
            self.nonlin2 = _activation(options)
        else:
            self.conv1 = ConvUnit(options, in_channels, within, kernel_size=1, drops=False)
            self.conv2 = ConvUnit(options, within, within, kernel_size=kernel_size, stride=stride)
            self.conv3 = ConvUnit(
                options, within, out_channels, kernel_size=1, drops=False, activated=False
            )
            self.nonlin3 = _activation(options)
        self.skip = nn.Sequential()
        steps = per_axis(stride, options.spatial_dims)
        if max(steps) > 1:
            self.skip.append(Pool["avg", options.spatial_dims](steps, steps))
        if in_channels != out_channels:
            projection = ConvUnit(
                options, in_channels, out_channels, kernel_size=1,
                bias=False, drops=False, activated=False,
            )  # fmt: skip
            self.skip.append(projection)
        self.basic = options.block == "basic"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features ``(batch, out_channels, *spatial / stride)``."""
        features = self.conv2(self.conv1(x))
        if self.basic:
            joined: torch.Tensor = self.nonlin2(features + self.skip(x))
        else:
            joined = self.nonlin3(self.conv3(features) + self.skip(x))
        return joined


class ResidualStack(nn.Module):
    """Residual blocks one after the other, the first of which may shrink the image."""

    def __init__(self, options: Options, in_channels: int, level: int) -> None:
        super().__init__()
        features = options.features_per_stage[level]
        within = 0
        if options.block == "bottleneck":
            within = options.counts("bottleneck_channels", options.levels)[level]
        self.blocks = nn.Sequential()
        for number in range(options.counts("n_blocks_per_stage", options.levels)[level]):
            block = ResidualBlock(
                options,
                features if number else in_channels,
                features,
                kernel_size=options.kernels[level],
                stride=1 if number else options.strides[level],
                within=within,
            )
            self.blocks.append(block)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features ``(batch, features, *spatial / stride)``."""
        features: torch.Tensor = self.blocks(x)
        return features


class ResidualEncoder(nn.Module):
    """A convolution, and levels of residual blocks."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        width = options.stem_channels or options.features_per_stage[0]
        self.stem = ConvStack(
            options, options.in_channels, width, count=1, kernel_size=options.kernels[0]
        )
        self.stages = nn.Sequential()
        for level, features in enumerate(options.features_per_stage):
            self.stages.append(ResidualStack(options, width, level))
            width = features

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of all levels, finest first."""
        x = self.stem(x)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels


def build(**arguments: Any) -> NnUNet:
    """Build nnU-Net's residual encoder network with random weights from :class:`Options`."""
    options = Options(**arguments)
    network = NnUNet(options, ResidualEncoder(options))
    # As in nnU-Net: each block begins as its shortcut alone.
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            last = module.conv2 if module.basic else module.conv3
            if options.norm is not None and getattr(last.norm, "weight", None) is not None:
                nn.init.zeros_(last.norm.weight)
    return network


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the base one is nnU-Net's ResEnc M and L."""
    levels = {2: 8, 3: 6}[spatial_dims]
    widest = {2: 16, 3: 10}[spatial_dims]

    def plan(first: int, blocks: list[int]) -> dict[str, Any]:
        return {
            "features_per_stage": [first * min(2**level, widest) for level in range(levels)],
            "strides": [1, *[2] * (levels - 1)],
            "n_blocks_per_stage": blocks[:levels],
        }

    deep = [1, 3, 4, 6, 6, 6, 6, 6]
    return {
        "small": plan(16, [1, 2, 2, 2, 2, 2, 2, 2]),
        "base": plan(32, deep),
        "large": plan(40, deep),
    }


def _activation(options: Options) -> nn.Module:
    if options.nonlin is None:
        return nn.Identity()
    layer: nn.Module = get_act_layer(options.nonlin)
    return layer
