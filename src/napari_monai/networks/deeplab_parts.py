"""What DeepLabV3 and V3+ share: options, and the pyramid on top of the residual encoder.

Chen et al., "Rethinking atrous convolution for semantic image segmentation", arXiv:1706.05587.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from monai.networks.layers.factories import Conv
from torch import nn

from .blocks import Blocks, NormName
from .options import Layer, NetworkOptions, require, require_dropout
from .resnet_encoder import BlockName, ResNetEncoder


@dataclass(frozen=True, kw_only=True)
class DeepLabOptions(NetworkOptions):
    """Arguments of both networks.

    The defaults are a small encoder (an 18-layer ResNet of half the width) that trains from
    scratch. That of the paper's size is ``block="bottleneck"``, ``depths=(3, 4, 23, 3)``,
    ``channels=(64, 128, 256, 512)``, ``norm="batch"``.

    Attributes
    ----------
    block : str
        Residual blocks of two 3x3 convolutions (``"basic"``), or of 1x1, 3x3, 1x1 with four
        times as many features between blocks (``"bottleneck"``).
    depths : tuple of int
        Blocks of each of the four stages of the encoder.
    channels : tuple of int
        Features within the blocks of each stage.
    output_stride : int or tuple of int
        By how much the encoder shrinks the image: 16, or 8 for finer features at two to five
        times the work. One for each axis when they differ, the largest 8 or 16, the others
        powers of two: ``(4, 16, 16)`` for slices four times as far apart as pixels.
    multi_grid : tuple of int
        Factors on the atrous rate of the last stage's blocks, taken in turn.
    atrous_rates : tuple of int
        Rates of the pyramid's branches at output stride 16; doubled at 8. A rate beyond the size
        of the feature map sees nothing but the centre: windows of less than 300 pixels, as in 3D,
        are better off with smaller ones, such as ``(2, 4, 6)``.
    aspp_channels : int
        Features of each branch of the pyramid.
    dropout : float
        Probability of a feature of the pyramid to be dropped in training.
    norm : str
        ``"instance"`` and ``"group"`` work with any batch; ``"batch"``, as in the paper, learns
        from the statistics of the batch and wants more than a few images in it.
    act : str or (str, dict)
        An activation by its name in MONAI's factories, alone or with arguments.
    """

    block: BlockName = "basic"
    depths: tuple[int, ...] = (2, 2, 2, 2)
    channels: tuple[int, ...] = (32, 64, 128, 256)
    output_stride: int | tuple[int, ...] = 16
    multi_grid: tuple[int, ...] = (1, 2, 4)
    atrous_rates: tuple[int, ...] = (6, 12, 18)
    aspp_channels: int = 256
    dropout: float = 0.1
    norm: NormName = "instance"
    # In place: a third less memory in training.
    act: Layer = ("relu", {"inplace": True})

    def __post_init__(self) -> None:
        """Refuse what makes no DeepLab."""
        super().__post_init__()
        for name in ("depths", "channels"):
            values = getattr(self, name)
            fits = len(values) == 4 and min(values) >= 1
            require(fits, name, values, "four whole numbers of 1 or more")
        strides = self.strides
        fits = len(strides) == self.spatial_dims and max(strides) in (8, 16)
        fits = fits and all(step >= 1 and step.bit_count() == 1 for step in strides)
        wanted = "8 or 16, or powers of two for each axis with a largest of 8 or 16"
        require(fits, "output_stride", self.output_stride, wanted)
        for name in ("multi_grid", "atrous_rates"):
            values = getattr(self, name)
            fits = bool(values) and min(values) >= 1
            require(fits, name, values, "whole numbers of 1 or more")
        require(self.aspp_channels >= 2, "aspp_channels", self.aspp_channels, "2 or more")
        require_dropout(self.dropout)

    @property
    def strides(self) -> tuple[int, ...]:
        """The output stride of each axis."""
        if isinstance(self.output_stride, int):
            return (self.output_stride,) * self.spatial_dims
        return self.output_stride

    @property
    def rates(self) -> tuple[int, ...]:
        """The rates of the pyramid's branches at this output stride."""
        return tuple(rate * 16 // max(self.strides) for rate in self.atrous_rates)


class AtrousSpatialPyramidPooling(nn.Module):
    """Look at features at several scales at once, and at the whole image.

    Parameters
    ----------
    blocks : Blocks
        Dimensions, normalization and activation.
    in_channels, out_channels : int
        Features before and after.
    rates : sequence of int
        Atrous rates of the 3x3 branches beside the 1x1 branch.
    separable : bool
        Whether these are separable convolutions, as in V3+.
    dropout : float
        Probability of a resulting feature to be dropped in training.
    """

    def __init__(
        self,
        blocks: Blocks,
        in_channels: int,
        out_channels: int,
        *,
        rates: Sequence[int],
        dropout: float,
        separable: bool = True,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [blocks.convolution(in_channels, out_channels, kernel_size=1)]
        )
        for rate in rates:
            branch = blocks.separable if separable else blocks.convolution
            self.branches.append(branch(in_channels, out_channels, dilation=rate))
        # The mean of an image is a single value for each channel: it has no variance over
        # space, nor over a batch of one, so that it is normalised over the channels instead.
        self.pooled = nn.Sequential(
            Conv["conv", blocks.spatial_dims](in_channels, out_channels, 1, bias=False),
            nn.GroupNorm(1, out_channels),
            blocks.activation(),
        )
        # What is the same all over an image, instance normalization would take out again here,
        # and with it all that this branch gives: groups of channels keep it.
        if blocks.norm == "instance":
            blocks = replace(blocks, norm="group")
        branches = len(self.branches) + 1
        self.project = blocks.convolution(branches * out_channels, out_channels, kernel_size=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features ``(batch, out_channels, *spatial)`` of the same spatial sizes."""
        axes = tuple(range(2, x.ndim))
        mean = self.pooled(x.mean(axes, keepdim=True))
        scales = [branch(x) for branch in self.branches]
        scales.append(mean.expand(-1, -1, *x.shape[2:]))
        pyramid: torch.Tensor = self.dropout(self.project(torch.cat(scales, dim=1)))
        return pyramid


def make_encoder(options: DeepLabOptions, blocks: Blocks) -> ResNetEncoder:
    """Return the residual encoder that options describe."""
    return ResNetEncoder(
        blocks,
        options.in_channels,
        kind=options.block,
        depths=options.depths,
        channels=options.channels,
        output_stride=options.strides,
        multi_grid=options.multi_grid,
    )


def encoder_presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return the options of encoder and pyramid by size."""
    # 3D windows are small: rates that reach beyond them would see nothing.
    rates = {"atrous_rates": [6, 12, 18] if spatial_dims == 2 else [1, 2, 3]}
    return {
        "small": {**rates, "aspp_channels": 128, "channels": [16, 32, 64, 128]},
        "base": {**rates, "channels": [32, 64, 128, 256]},
        "large": {
            **rates,
            "block": "bottleneck",
            "depths": [3, 4, 23, 3] if spatial_dims == 2 else [3, 4, 6, 3],
            "channels": [64, 128, 256, 512],
        },
    }
