"""DeepLabV3+ in 2D and 3D, for images of any size.

Chen et al., "Encoder-decoder with atrous separable convolution for semantic image
segmentation", ECCV 2018: a residual encoder with output stride 8 or 16, atrous spatial pyramid
pooling (ASPP) with separable convolutions, and a decoder that takes in low-level features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.networks.layers.factories import Conv
from torch import nn
from torch.nn import functional

from .blocks import Blocks
from .deeplab_parts import (
    AtrousSpatialPyramidPooling,
    DeepLabOptions,
    encoder_presets,
    make_encoder,
)
from .options import require
from .sizes import crop_to, pad_to_stride


@dataclass(frozen=True, kw_only=True)
class Options(DeepLabOptions):
    """Arguments of :class:`DeepLabV3Plus`: those of the encoder and pyramid, and of the decoder.

    Attributes
    ----------
    decoder_channels : int
        Features of the decoder.
    low_level_channels : int
        Features that the decoder takes from the first stage.
    """

    decoder_channels: int = 256
    low_level_channels: int = 48

    def __post_init__(self) -> None:
        """Refuse what makes no DeepLabV3+."""
        super().__post_init__()
        for name in ("decoder_channels", "low_level_channels"):
            value = getattr(self, name)
            require(value >= 2, name, value, "2 or more")


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
        self.encoder = make_encoder(options, blocks)
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


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the large one in 2D is that of the paper but for its norm."""
    sizes = encoder_presets(spatial_dims)
    sizes["small"]["decoder_channels"] = 128
    return sizes
