"""The U-Net of MONAI, with residual units, for images of any size.

Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation", MICCAI
2015; residual units after Kerfoot et al., "Left-ventricle quantification using residual U-Net",
STACOM 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monai.networks.nets.unet import UNet as MonaiUNet

from .options import (
    Layer,
    NetworkOptions,
    as_arguments,
    require,
    require_axes,
    require_dropout,
    require_list,
    total_stride,
)
from .sizes import PaddedWithin


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`monai.networks.nets.UNet`, with its names.

    Attributes
    ----------
    channels : tuple of int
        Features of each level, finest first; two levels or more.
    strides : tuple
        By how much each level but the first shrinks the image: one number for all axes, or one
        for each axis, so that thick slices are shrunk less than the plane.
    kernel_size, up_kernel_size : int or tuple of int
        Odd sizes of the kernels on the way down and up, one for all axes or one for each.
    num_res_units : int
        Convolutions within a residual unit; 0 for plain convolutions.
    act, norm : str or (str, dict) or None
        Layers by their names in MONAI's factories, with arguments: ``["group", {"num_groups":
        8}]``; None for no layer.
    dropout : float
        Probability of a feature to be dropped in training.
    bias : bool
        Whether convolutions have a bias.
    adn_ordering : str
        Order of activation (A), dropout (D) and normalization (N) after a convolution.
    """

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    strides: tuple[int | tuple[int, ...], ...] = (2, 2, 2, 2)
    kernel_size: int | tuple[int, ...] = 3
    up_kernel_size: int | tuple[int, ...] = 3
    num_res_units: int = 2
    act: Layer | None = "prelu"
    norm: Layer | None = "instance"
    dropout: float = 0.0
    bias: bool = True
    adn_ordering: str = "NDA"

    def __post_init__(self) -> None:
        """Refuse what MONAI would warn about or fail on later."""
        super().__post_init__()
        require(
            len(self.channels) >= 2 and min(self.channels) >= 1,
            "channels",
            self.channels,
            "two or more whole numbers of 1 or more",
        )
        require_list("strides", self.strides, len(self.channels) - 1)
        for stride in self.strides:
            require_axes("strides", stride, self.spatial_dims)
        require_axes("kernel_size", self.kernel_size, self.spatial_dims, odd=True)
        require_axes("up_kernel_size", self.up_kernel_size, self.spatial_dims, odd=True)
        require(self.num_res_units >= 0, "num_res_units", self.num_res_units, "0 or more")
        require_dropout(self.dropout)
        require(
            sorted(self.adn_ordering) in map(sorted, ("ADN", "AN", "AD", "DN", "A", "D", "N", "")),
            "adn_ordering",
            self.adn_ordering,
            "letters of A, D and N, each at most once",
        )

    @property
    def total_stride(self) -> tuple[int, ...]:
        """By how much the deepest level is smaller than the image, for each axis."""
        return total_stride(self.strides, self.spatial_dims)


class UNet(PaddedWithin, MonaiUNet):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's U-Net, padded within to the sizes it can take."""


def build(**arguments: Any) -> UNet:
    """Build a U-Net with random weights from the arguments of :class:`Options`."""
    options = Options(**arguments)
    return UNet(total_stride=options.total_stride, **as_arguments(options))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; a level at full resolution keeps objects of a few voxels apart."""
    widths = {
        2: {
            "small": [16, 32, 64, 128, 128],
            "base": [16, 32, 64, 128, 192, 256],
            "large": [32, 64, 128, 256, 384, 512],
        },
        3: {
            "small": [8, 16, 32, 64, 128],
            "base": [16, 32, 64, 128, 192],
            "large": [32, 64, 128, 256, 384],
        },
    }
    return {
        size: {
            "channels": channels,
            "strides": [1, *[2] * (len(channels) - 2)],
            "num_res_units": 2,
            "norm": "batch" if spatial_dims == 2 else "instance",
        }
        for size, channels in widths[spatial_dims].items()
    }
