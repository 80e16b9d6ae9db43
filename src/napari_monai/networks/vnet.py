"""The V-Net, of MONAI's parts, for images of any size.

Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical image
segmentation", 3DV 2016: 5x5 kernels, and residual units of one to three convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from monai.networks.blocks.convolutions import Convolution
from monai.networks.nets.vnet import (
    DownTransition,
    OutputTransition,
    UpTransition,
    get_acti_layer,
)
from torch import nn

from .options import Layer, NetworkOptions, require, require_dropout, require_whole
from .sizes import crop_to, pad_to_stride

# Four convolutions with stride 2.
_STRIDE = 16


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`monai.networks.nets.VNet`, with its names, and the width.

    Attributes
    ----------
    width : int
        Features of the finest level: 16 in the paper and in MONAI.
    act : str or (str, dict)
        An activation by its name in MONAI's factories, alone or with arguments.
    dropout_prob_down : float or None
        Probability of a feature to be dropped in training, on the way down.
    dropout_prob_up : (float or None, float)
        The same on the way up, for the coarse levels and for what comes across.
    dropout_dim : int
        1 to drop single values, 2 or 3 to drop whole maps.
    bias : bool
        Whether convolutions have a bias.
    """

    width: int = 16
    act: Layer = ("elu", {"inplace": True})
    dropout_prob_down: float | None = 0.5
    dropout_prob_up: tuple[float | None, float] = (0.5, 0.5)
    dropout_dim: int = 3
    bias: bool = False

    def __post_init__(self) -> None:
        """Refuse what MONAI would fail on later."""
        super().__post_init__()
        require_whole("width", self.width)
        require(self.dropout_dim in (1, 2, 3), "dropout_dim", self.dropout_dim, "1, 2 or 3")
        for value in (self.dropout_prob_down, *self.dropout_prob_up):
            if value is not None:
                require_dropout(value, "dropout_prob")


class FirstLevel(nn.Module):
    """A convolution beside the image itself, its channels repeated: MONAI's ``InputTransition``.

    MONAI's takes only images whose channels divide its features; here the last round of repeats
    is cut where they do not.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.act_function = get_acti_layer(options.act, options.width)
        self.conv_block = Convolution(
            options.spatial_dims,
            options.in_channels,
            options.width,
            kernel_size=5,
            act=None,
            norm="batch",
            bias=options.bias,
        )
        self.order = [feature % options.in_channels for feature in range(options.width)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features ``(batch, width, *spatial)``."""
        features: torch.Tensor = self.act_function(self.conv_block(x) + x[:, self.order])
        return features


class VNet(nn.Module):
    """A V-Net of any width, padded within.

    With 16 features the state dict is that of :class:`monai.networks.nets.VNet`, and so are the
    logits wherever that one takes the image.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        dims, width, act, bias = options.spatial_dims, options.width, options.act, options.bias
        size = options.dropout_dim
        down, up = options.dropout_prob_down, options.dropout_prob_up
        self.in_tr = FirstLevel(options)
        self.down_tr32 = DownTransition(dims, width, 1, act, bias=bias)
        self.down_tr64 = DownTransition(dims, 2 * width, 2, act, bias=bias)
        self.down_tr128 = DownTransition(dims, 4 * width, 3, act, down, size, bias=bias)
        self.down_tr256 = DownTransition(dims, 8 * width, 2, act, down, size, bias=bias)
        self.up_tr256 = UpTransition(dims, 16 * width, 16 * width, 2, act, up, size)
        self.up_tr128 = UpTransition(dims, 16 * width, 8 * width, 2, act, up, size)
        self.up_tr64 = UpTransition(dims, 8 * width, 4 * width, 1, act)
        self.up_tr32 = UpTransition(dims, 4 * width, 2 * width, 1, act)
        self.out_tr = OutputTransition(dims, 2 * width, options.out_channels, act, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(batch, out_channels, *spatial)`` of any image size from 1 up."""
        sizes = x.shape[2:]
        level = self.in_tr(pad_to_stride(x, (_STRIDE,) * len(sizes)))
        levels = [level]
        for down in (self.down_tr32, self.down_tr64, self.down_tr128, self.down_tr256):
            level = down(level)
            levels.append(level)
        level = levels.pop()
        for up in (self.up_tr256, self.up_tr128, self.up_tr64, self.up_tr32):
            level = up(level, levels.pop())
        return crop_to(self.out_tr(level), sizes)


def build(**arguments: Any) -> VNet:
    """Build a V-Net with random weights from the arguments of :class:`Options`."""
    return VNet(Options(**arguments))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the base one is that of the paper."""
    return {"small": {"width": 8}, "base": {"width": 16}, "large": {"width": 24}}
