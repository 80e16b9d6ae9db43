"""DeepLabV3+ in 2D and 3D, for images of any size.

Chen et al., "Encoder-decoder with atrous separable convolution for semantic image
segmentation", ECCV 2018: a residual encoder with output stride 8 or 16, atrous spatial pyramid
pooling (ASPP) with separable convolutions, and a decoder that takes in low-level features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from monai.networks.layers.factories import Conv
from torch import nn
from torch.nn import functional

from .blocks import Blocks, NormName
from .options import Layer, NetworkOptions, require, require_dropout
from .resnet_encoder import BlockName, ResNetEncoder
from .sizes import crop_to, pad_to_stride


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`DeepLabV3Plus`.

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
    aspp_channels, decoder_channels : int
        Features of each branch of the pyramid, and of the decoder.
    low_level_channels : int
        Features that the decoder takes from the first stage.
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
    decoder_channels: int = 256
    low_level_channels: int = 48
    dropout: float = 0.1
    norm: NormName = "instance"
    # In place: a third less memory in training.
    act: Layer = ("relu", {"inplace": True})

    def __post_init__(self) -> None:
        """Refuse what makes no DeepLabV3+."""
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
        for name in ("aspp_channels", "decoder_channels", "low_level_channels"):
            value = getattr(self, name)
            require(value >= 2, name, value, "2 or more")
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
        Atrous rates of the separable 3x3 branches beside the 1x1 branch.
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
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [blocks.convolution(in_channels, out_channels, kernel_size=1)]
        )
        for rate in rates:
            self.branches.append(blocks.separable(in_channels, out_channels, dilation=rate))
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


class DeepLabV3Plus(nn.Module):
    """Encoder, pyramid and decoder.

    The image-level branch of the pyramid sees the window that the network is given: predict in
    windows about as large as those it was trained on.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        blocks = Blocks(options.spatial_dims, options.norm, options.act)
        self.output_stride = options.strides
        self.interpolation = "bilinear" if options.spatial_dims == 2 else "trilinear"
        self.encoder = ResNetEncoder(
            blocks,
            options.in_channels,
            kind=options.block,
            depths=options.depths,
            channels=options.channels,
            output_stride=options.strides,
            multi_grid=options.multi_grid,
        )
        self.aspp = AtrousSpatialPyramidPooling(
            blocks,
            self.encoder.out_channels,
            options.aspp_channels,
            rates=options.rates,
            dropout=options.dropout,
        )
        self.low_level = blocks.convolution(
            self.encoder.low_level_channels, options.low_level_channels, kernel_size=1
        )
        width = options.decoder_channels
        self.decoder = nn.Sequential(
            blocks.separable(options.aspp_channels + options.low_level_channels, width),
            blocks.separable(width, width),
        )
        self.classifier = Conv["conv", options.spatial_dims](width, options.out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(batch, out_channels, *spatial)`` of any image size from 1 up."""
        # Padded to whole strides, so that features are enlarged by the very factor by which the
        # encoder shrank the image: otherwise labels would drift by up to a stride towards the
        # high side of odd sizes.
        padded = pad_to_stride(x, self.output_stride)
        low_level, features = self.encoder(padded)
        pyramid = self._enlarge(self.aspp(features), low_level.shape[2:])
        joined = torch.cat([pyramid, self.low_level(low_level)], dim=1)
        logits = self.classifier(self.decoder(joined))
        return crop_to(self._enlarge(logits, padded.shape[2:]), x.shape[2:])

    def _enlarge(self, features: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
        return functional.interpolate(
            features, size=tuple(sizes), mode=self.interpolation, align_corners=False
        )


def build(**arguments: Any) -> DeepLabV3Plus:
    """Build a DeepLabV3+ with random weights from the arguments of :class:`Options`."""
    return DeepLabV3Plus(Options(**arguments))


def size_multiple(options: Options) -> int:
    """Return 1: the network pads within."""
    return 1


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the large one in 2D is that of the paper but for its norm."""
    # 3D windows are small: rates that reach beyond them would see nothing.
    rates = {"atrous_rates": [6, 12, 18] if spatial_dims == 2 else [1, 2, 3]}
    narrow = {"aspp_channels": 128, "decoder_channels": 128}
    return {
        "small": {**rates, **narrow, "channels": [16, 32, 64, 128]},
        "base": {**rates, "channels": [32, 64, 128, 256]},
        "large": {
            **rates,
            "block": "bottleneck",
            "depths": [3, 4, 23, 3] if spatial_dims == 2 else [3, 4, 6, 3],
            "channels": [64, 128, 256, 512],
        },
    }
