"""The U-Net of MONAI, with residual units, for images of any size.

Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation", MICCAI
2015; residual units after Kerfoot et al., "Left-ventricle quantification using residual U-Net",
STACOM 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from monai.networks.nets.unet import UNet as MonaiUNet

from .options import Layer, NetworkOptions, require, require_dropout
from .sizes import crop_to, pad_to_stride


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
        levels = len(self.channels) - 1
        require(len(self.strides) == levels, "strides", self.strides, f"a list of {levels}")
        for stride in self.strides:
            self._require_axes("strides", stride, odd=False)
        self._require_axes("kernel_size", self.kernel_size, odd=True)
        self._require_axes("up_kernel_size", self.up_kernel_size, odd=True)
        require(self.num_res_units >= 0, "num_res_units", self.num_res_units, "0 or more")
        require_dropout(self.dropout)
        require(
            sorted(self.adn_ordering) in map(sorted, ("ADN", "AN", "AD", "DN", "A", "D", "N", "")),
            "adn_ordering",
            self.adn_ordering,
            "letters of A, D and N, each at most once",
        )

    def _require_axes(self, name: str, value: int | tuple[int, ...], *, odd: bool) -> None:
        sizes = (value,) if isinstance(value, int) else value
        fits = isinstance(value, int) or len(value) == self.spatial_dims
        fits = fits and all(size >= 1 and (size % 2 == 1 or not odd) for size in sizes)
        kind = "odd number" if odd else "number of 1 or more"
        require(fits, name, value, f"one {kind}, or one for each of the {self.spatial_dims} axes")

    @property
    def total_stride(self) -> tuple[int, ...]:
        """By how much the deepest level is smaller than the image, for each axis."""
        per_axis = [
            (stride,) * self.spatial_dims if isinstance(stride, int) else stride
            for stride in self.strides
        ]
        return tuple(math.prod(steps) for steps in zip(*per_axis, strict=True))


class UNet(MonaiUNet):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's U-Net, padded within to the sizes it can take.

    The state dict is that of :class:`monai.networks.nets.UNet` with the same arguments, and so
    are the logits wherever that one takes the image.
    """

    def __init__(self, *, total_stride: tuple[int, ...], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.total_stride = total_stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(batch, out_channels, *spatial)`` of any image size from 1 up."""
        padded = pad_to_stride(x, self.total_stride)
        return crop_to(super().forward(padded), x.shape[2:])


def build(**arguments: Any) -> UNet:
    """Build a U-Net with random weights from the arguments of :class:`Options`."""
    options = Options(**arguments)
    return UNet(total_stride=options.total_stride, **vars(options))


def size_multiple(options: Options) -> int:
    """Return 1: the network pads within."""
    return 1
