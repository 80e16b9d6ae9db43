"""nnU-Net's plain network, that takes the weights of its ``PlainConvUNet``.

Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation", Nature Methods 18, 203-211, 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .nnunet_parts import ConvStack, NnUNet, NnUNetOptions


@dataclass(frozen=True, kw_only=True)
class Options(NnUNetOptions):
    """Arguments of nnU-Net's plain network, with the names of its plans.

    Attributes
    ----------
    n_conv_per_stage : int or tuple of int
        Convolutions of each level on the way down, finest first.
    """

    n_conv_per_stage: int | tuple[int, ...] = 2

    def __post_init__(self) -> None:
        """Refuse what makes no such network."""
        super().__post_init__()
        self.counts("n_conv_per_stage", self.levels)


class PlainConvEncoder(nn.Module):
    """Levels of plain convolutions, the first of each with the stride of its level."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.stages = nn.Sequential()
        width = options.in_channels
        for features, count, kernel, stride in zip(
            options.features_per_stage,
            options.counts("n_conv_per_stage", options.levels),
            options.kernels,
            options.strides,
            strict=True,
        ):
            stack = ConvStack(
                options, width, features, count=count, kernel_size=kernel, stride=stride
            )
            # nnU-Net leaves room for a pooling before it.
            self.stages.append(nn.Sequential(stack))
            width = features

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of all levels, finest first."""
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels


def build(**arguments: Any) -> NnUNet:
    """Build nnU-Net's plain network with random weights from arguments of :class:`Options`."""
    options = Options(**arguments)
    return NnUNet(options, PlainConvEncoder(options))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the base one has nnU-Net's widths."""
    levels = {2: 7, 3: 6}[spatial_dims]
    widest = {2: 16, 3: 10}[spatial_dims]
    return {
        size: {
            "features_per_stage": [first * min(2**level, widest) for level in range(levels)],
            "strides": [1, *[2] * (levels - 1)],
        }
        for size, first in {"small": 16, "base": 32, "large": 48}.items()
    }
