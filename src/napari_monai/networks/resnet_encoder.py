"""A residual encoder that keeps its resolution by dilation, in 2D and 3D.

He et al., "Deep residual learning for image recognition", CVPR 2016; output stride, atrous rates
and multi-grid as in Chen et al., "Rethinking atrous convolution for semantic image
segmentation", arXiv:1706.05587, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from monai.networks.layers.factories import Pool
from torch import nn

from .blocks import Blocks

BlockName = Literal["basic", "bottleneck"]

# A bottleneck block ends with this many times the channels that it computes with.
_EXPANSION: dict[BlockName, int] = {"basic": 1, "bottleneck": 4}


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1 as a bottleneck, beside a shortcut.

    Parameters
    ----------
    blocks : Blocks
        Dimensions, normalization and activation.
    in_channels, width : int
        Channels of the input and of the convolutions within; the output has
        ``width``, four times as many after a bottleneck.
    kind : str
        ``"basic"`` or ``"bottleneck"``.
    strides : int or sequence of int
        By how much the block shrinks each axis.
    dilation : int
        The atrous rate of its 3x3 convolutions.
    """

    def __init__(
        self,
        blocks: Blocks,
        in_channels: int,
        width: int,
        *,
        kind: BlockName,
        strides: int | Sequence[int] = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        conv = blocks.convolution
        self.out_channels = width * _EXPANSION[kind]
        if kind == "basic":
            self.residual = nn.Sequential(
                conv(in_channels, width, strides=strides, dilation=dilation),
                conv(width, width, dilation=dilation, activated=False),
            )
        else:
            self.residual = nn.Sequential(
                conv(in_channels, width, kernel_size=1),
                conv(width, width, strides=strides, dilation=dilation),
                conv(width, self.out_channels, kernel_size=1, activated=False),
            )
        shrinks = max(strides if isinstance(strides, Sequence) else (strides,)) > 1
        self.shortcut: nn.Module = nn.Identity()
        if shrinks or in_channels != self.out_channels:
            self.shortcut = conv(
                in_channels, self.out_channels, kernel_size=1, strides=strides, activated=False
            )
        self.act = blocks.activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features ``(batch, out_channels, *spatial / strides)``."""
        activated: torch.Tensor = self.act(self.residual(x) + self.shortcut(x))
        return activated


class ResNetEncoder(nn.Module):
    """Stem, pooling and four stages of residual blocks.

    The image is halved by the stem, the pooling, and the first blocks of stages 2, 3, 4, as long
    as the output stride is not reached; from there on a stage doubles the atrous rate instead.

    Parameters
    ----------
    blocks : Blocks
        Dimensions, normalization and activation.
    in_channels : int
        Channels of the image.
    kind : str
        ``"basic"`` or ``"bottleneck"``.
    depths : sequence of int
        Blocks of each of the four stages.
    channels : sequence of int
        Widths of the four stages; the stem has the first.
    output_stride : sequence of int
        By how much each axis is shrunk in all: powers of two, the largest 4 or more. An axis that
        is shrunk less than others joins in the last halvings: there its coarser samples are
        about as far apart as those of the other axes.
    multi_grid : sequence of int
        Factors on the atrous rate of the last stage's blocks, taken in turn.

    Attributes
    ----------
    low_level_channels, out_channels : int
        Channels of the two results of :meth:`forward`.
    """

    def __init__(
        self,
        blocks: Blocks,
        in_channels: int,
        *,
        kind: BlockName,
        depths: Sequence[int],
        channels: Sequence[int],
        output_stride: Sequence[int],
        multi_grid: Sequence[int],
    ) -> None:
        super().__init__()
        halvings = halving_steps(output_stride)
        stem, pool, later = halvings[0], halvings[1], halvings[2:]
        # Where an axis is not halved yet, its samples are far apart: a short kernel does.
        self.stem = blocks.convolution(
            in_channels,
            channels[0],
            kernel_size=[7 if step == 2 else 3 for step in stem],
            strides=stem,
        )
        self.pool = Pool["max", blocks.spatial_dims](
            kernel_size=[3 if step == 2 else 1 for step in pool],
            stride=pool,
            padding=[step // 2 for step in pool],
        )
        self.stages = nn.ModuleList()
        width, rate = channels[0], 1
        for index, (depth, stage_width) in enumerate(zip(depths, channels, strict=True)):
            strides: tuple[int, ...] = (1,) * blocks.spatial_dims
            if 0 < index <= len(later):
                strides = later[index - 1]
            elif index > 0:
                rate *= 2
            factors = multi_grid if index == len(depths) - 1 else (1,)
            stage = nn.Sequential()
            for number in range(depth):
                block = ResidualBlock(
                    blocks,
                    width,
                    stage_width,
                    kind=kind,
                    strides=strides if number == 0 else 1,
                    dilation=rate * factors[number % len(factors)],
                )
                stage.append(block)
                width = block.out_channels
            self.stages.append(stage)
        self.low_level_channels = channels[0] * _EXPANSION[kind]
        self.out_channels = width

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the features after the first stage and those after the last.

        Their spatial sizes are those of the image over the strides of stem and pooling, and over
        the output stride, rounded up.
        """
        low_level = self.stages[0](self.pool(self.stem(x)))
        features = low_level
        for stage in self.stages[1:]:
            features = stage(features)
        return low_level, features


def halving_steps(output_stride: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the strides, 1 or 2 for each axis, that multiply to an output stride.

    >>> halving_steps((4, 16, 16))
    [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]
    """
    counts = [stride.bit_length() - 1 for stride in output_stride]
    total = max(counts)
    return [tuple(2 if step >= total - count else 1 for count in counts) for step in range(total)]
