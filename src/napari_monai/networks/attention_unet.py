"""The Attention U-Net of MONAI, for images of any size.

Oktay et al., "Attention U-Net: learning where to look for the pancreas", MIDL 2018: gates on the
connections from the way down to the way up, told by the coarser features what matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monai.networks.nets.attentionunet import AttentionUnet as MonaiAttentionUnet

from .options import (
    NetworkOptions,
    as_arguments,
    require,
    require_axes,
    require_dropout,
    require_list,
    require_whole,
    total_stride,
)
from .sizes import PaddedWithin


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`monai.networks.nets.AttentionUnet`, with its names.

    Attributes
    ----------
    channels : tuple of int
        Features of each level, finest first; two levels or more.
    strides : tuple
        By how much each level but the first shrinks the image, one number or one for each axis.
    kernel_size, up_kernel_size : int or tuple of int
        Odd sizes of the kernels on the way down and up.
    dropout : float
        Probability of a feature to be dropped in training.
    """

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    strides: tuple[int | tuple[int, ...], ...] = (2, 2, 2, 2)
    kernel_size: int | tuple[int, ...] = 3
    up_kernel_size: int | tuple[int, ...] = 3
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what MONAI would fail on later."""
        super().__post_init__()
        # A gate computes with half of a level's features.
        fits = len(self.channels) >= 2 and min(self.channels[:-1]) >= 2 and self.channels[-1] >= 1
        require(fits, "channels", self.channels, "two or more whole numbers of 2 or more")
        require_whole("channels", self.channels)
        require_list("strides", self.strides, len(self.channels) - 1)
        for stride in self.strides:
            require_axes("strides", stride, self.spatial_dims)
        require_axes("kernel_size", self.kernel_size, self.spatial_dims, odd=True)
        require_axes("up_kernel_size", self.up_kernel_size, self.spatial_dims, odd=True)
        require_dropout(self.dropout)


class AttentionUnet(PaddedWithin, MonaiAttentionUnet):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's Attention U-Net, padded within to the sizes it can take."""


def build(**arguments: Any) -> AttentionUnet:
    """Build an Attention U-Net with random weights from the arguments of :class:`Options`."""
    options = Options(**arguments)
    stride = total_stride(options.strides, options.spatial_dims)
    return AttentionUnet(total_stride=stride, **as_arguments(options))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size."""
    first = {2: {"small": 16, "base": 32, "large": 64}, 3: {"small": 8, "base": 16, "large": 32}}
    return {
        size: {"channels": [width * 2**level for level in range(5)], "strides": [2] * 4}
        for size, width in first[spatial_dims].items()
    }
