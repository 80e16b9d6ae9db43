"""DeepLabV3 in 2D and 3D, for images of any size.

Chen et al., "Rethinking atrous convolution for semantic image segmentation", arXiv:1706.05587: a
residual encoder with output stride 8 or 16, atrous spatial pyramid pooling (ASPP), and logits
that are enlarged by interpolation.
"""

from __future__ import annotations

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
from .sizes import crop_to, pad_to_stride


@dataclass(frozen=True, kw_only=True)
class Options(DeepLabOptions):
    """Arguments of :class:`DeepLabV3`: those of the encoder and pyramid.

    The paper has output stride 16 in training, and 8, which takes the same weights, in use.
    """


class DeepLabV3(nn.Module):
    """Encoder, pyramid and a classifier.

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
            separable=False,
        )
        self.classifier = Conv["conv", options.spatial_dims](
            options.aspp_channels, options.out_channels, 1
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(batch, out_channels, *spatial)`` of any image size from 1 up."""
        # Enlarged by the very factor by which the encoder shrank the image, as in V3+.
        padded = pad_to_stride(x, self.output_stride)
        _, features = self.encoder(padded)
        logits = functional.interpolate(
            self.classifier(self.aspp(features)),
            size=tuple(padded.shape[2:]),
            mode=self.interpolation,
            align_corners=False,
        )
        return crop_to(logits, x.shape[2:])


def build(**arguments: Any) -> DeepLabV3:
    """Build a DeepLabV3 with random weights from the arguments of :class:`Options`."""
    return DeepLabV3(Options(**arguments))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the large one in 2D is that of the paper but for its norm."""
    return encoder_presets(spatial_dims)
