"""The parts of nnU-Net's networks, with the names of nnU-Net's weights.

Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation", Nature Methods 18, 203-211, 2021. Modules that nnU-Net registers twice are twice
in the state dict here too, so that its checkpoints load strictly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from monai.networks.layers.factories import Conv
from monai.networks.layers.utils import get_act_layer, get_dropout_layer, get_norm_layer
from torch import nn

from .options import (
    Layer,
    NetworkOptions,
    per_axis,
    require,
    require_axes,
    require_dropout,
    require_list,
    require_whole,
    total_stride,
)
from .sizes import crop_to, pad_to_stride

Axes = int | tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class NnUNetOptions(NetworkOptions):
    """What nnU-Net's networks have in common, with the names of its plans.

    Attributes
    ----------
    features_per_stage : tuple of int
        Features of each level, finest first; two levels or more.
    kernel_sizes : int or tuple
        Odd kernel sizes: one for all levels, or one for each level (one number, or one an axis).
    strides : tuple
        By how much each level shrinks the image; 1 for the first.
    n_conv_per_stage_decoder : int or tuple of int
        Convolutions of each level on the way up, coarsest first, one level less.
    conv_bias : bool
        Whether convolutions have a bias.
    norm, nonlin : str or (str, dict) or None
        Layers by their names in MONAI's factories, with arguments; None for no layer.
    dropout : float or (str, dict) or None
        Probability of a map to be dropped in training, or a layer of MONAI's factory.
    """

    features_per_stage: tuple[int, ...] = (32, 64, 128, 256, 320)
    kernel_sizes: int | tuple[Axes, ...] = 3
    strides: tuple[Axes, ...] = (1, 2, 2, 2, 2)
    n_conv_per_stage_decoder: int | tuple[int, ...] = 2
    conv_bias: bool = True
    norm: Layer | None = ("instance", {"affine": True})
    nonlin: Layer | None = ("leakyrelu", {"inplace": True})
    dropout: float | Layer | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no such network."""
        super().__post_init__()
        fits = len(self.features_per_stage) >= 2
        require(fits, "features_per_stage", self.features_per_stage, "two or more whole numbers")
        require_whole("features_per_stage", self.features_per_stage)
        require_list("strides", self.strides, self.levels)
        for stride in self.strides:
            require_axes("strides", stride, self.spatial_dims)
        # The logits would be smaller than the image.
        first = max(per_axis(self.strides[0], self.spatial_dims))
        require(first == 1, "strides", self.strides, "1 as the first")
        if not isinstance(self.kernel_sizes, int):
            require_list("kernel_sizes", self.kernel_sizes, self.levels)
        for kernel in self.kernels:
            require_axes("kernel_sizes", kernel, self.spatial_dims, odd=True)
        self.counts("n_conv_per_stage_decoder", self.levels - 1)
        if isinstance(self.dropout, int | float):
            require_dropout(self.dropout)

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.features_per_stage)

    @property
    def kernels(self) -> tuple[Axes, ...]:
        """The kernel sizes of each level."""
        if isinstance(self.kernel_sizes, int):
            return (self.kernel_sizes,) * self.levels
        return self.kernel_sizes

    @property
    def total_stride(self) -> tuple[int, ...]:
        """By how much the deepest level is smaller than the image, for each axis."""
        return total_stride(self.strides, self.spatial_dims)

    def counts(self, name: str, length: int) -> tuple[int, ...]:
        """Return an option that is one whole number for all levels or one for each."""
        value = getattr(self, name)
        counts = (value,) * length if isinstance(value, int) else value
        require_list(name, counts, length)
        require_whole(name, counts)
        return tuple(counts)


class ConvUnit(nn.Module):
    """A convolution, dropout, normalization and activation, those that there are.

    Parameters
    ----------
    options : NnUNetOptions
        Dimensions and layers.
    in_channels, out_channels : int
        Features before and after.
    kernel_size, stride : int or tuple of int
        Of the convolution, which keeps the size of the image but for the stride.
    bias : bool or None
        Whether the convolution has a bias; None for what the options say.
    drops, activated : bool
        Whether there is dropout, and an activation.
    """

    def __init__(
        self,
        options: NnUNetOptions,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: Axes,
        stride: Axes = 1,
        bias: bool | None = None,
        drops: bool = True,
        activated: bool = True,
    ) -> None:
        super().__init__()
        dims = options.spatial_dims
        kernel = per_axis(kernel_size, dims)
        self.conv = Conv["conv", dims](
            in_channels,
            out_channels,
            kernel,
            stride=per_axis(stride, dims),
            padding=tuple(size // 2 for size in kernel),
            bias=options.conv_bias if bias is None else bias,
        )
        layers: list[nn.Module] = [self.conv]
        if drops and options.dropout is not None:
            dropout = options.dropout
            if isinstance(dropout, int | float):
                dropout = ("dropout", {"p": dropout})
            self.dropout = get_dropout_layer(dropout, dropout_dim=dims)
            layers.append(self.dropout)
        if options.norm is not None:
            self.norm = get_norm_layer(options.norm, spatial_dims=dims, channels=out_channels)
            layers.append(self.norm)
        if activated and options.nonlin is not None:
            self.nonlin = get_act_layer(options.nonlin)
            layers.append(self.nonlin)
        self.all_modules = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features ``(batch, out_channels, *spatial / stride)``."""
        features: torch.Tensor = self.all_modules(x)
        return features


class ConvStack(nn.Module):
    """Convolutions one after the other, the first of which may shrink the image."""

    def __init__(
        self,
        options: NnUNetOptions,
        in_channels: int,
        out_channels: int,
        *,
        count: int,
        kernel_size: Axes,
        stride: Axes = 1,
    ) -> None:
        super().__init__()
        self.convs = nn.Sequential()
        for number in range(count):
            unit = ConvUnit(
                options,
                out_channels if number else in_channels,
                out_channels,
                kernel_size=kernel_size,
                stride=1 if number else stride,
            )
            self.convs.append(unit)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features ``(batch, out_channels, *spatial / stride)``."""
        features: torch.Tensor = self.convs(x)
        return features


class Decoder(nn.Module):
    """The way up, with a head at each level; the heads of coarser levels are for training.

    nnU-Net's weights have the encoder within the decoder once more, hence it is given.
    """

    def __init__(self, options: NnUNetOptions, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        dims, widths = options.spatial_dims, options.features_per_stage
        counts = options.counts("n_conv_per_stage_decoder", options.levels - 1)
        self.stages, self.transpconvs, self.seg_layers = (nn.ModuleList() for _ in range(3))
        for level, count in zip(reversed(range(options.levels - 1)), counts, strict=True):
            width, stride = widths[level], per_axis(options.strides[level + 1], dims)
            self.transpconvs.append(
                Conv["convtrans", dims](
                    widths[level + 1], width, stride, stride=stride, bias=options.conv_bias
                )
            )
            self.stages.append(
                ConvStack(
                    options, 2 * width, width, count=count, kernel_size=options.kernels[level]
                )
            )
            self.seg_layers.append(Conv["conv", dims](width, options.out_channels, 1))

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the logits of the finest level from the features of all levels."""
        (logits,) = self.all_heads(levels, 1)
        return logits

    def all_heads(self, levels: Sequence[torch.Tensor], count: int) -> list[torch.Tensor]:
        """Return the logits of this many levels, finest first, from the features of all."""
        x, *finer = reversed(levels)
        found: list[torch.Tensor] = []
        left = len(finer)
        for enlarge, stage, head, across in zip(
            self.transpconvs, self.stages, self.seg_layers, finer, strict=True
        ):
            x = stage(torch.cat([enlarge(x), across], dim=1))
            if left <= count:
                found.insert(0, head(x))
            left -= 1
        return found


class NnUNet(nn.Module):
    """An encoder and nnU-Net's decoder, padded within to the sizes that the strides need."""

    def __init__(self, options: NnUNetOptions, encoder: nn.Module) -> None:
        super().__init__()
        self.total_stride = options.total_stride
        self.encoder = encoder
        self.decoder = Decoder(options, encoder)
        self.apply(he_weights)
        # nnU-Net's loss leaves out the head of the coarsest level that has one.
        ups = options.levels - 1
        self.coarse_heads = ups - 2 if ups > 2 else ups - 1

    def all_heads(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits of the levels to train on, of the padded image, finest first."""
        levels = self.encoder(pad_to_stride(x, self.total_stride))
        found: list[torch.Tensor] = self.decoder.all_heads(levels, self.coarse_heads + 1)
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(batch, out_channels, *spatial)`` of any image size from 1 up."""
        logits = self.decoder(self.encoder(pad_to_stride(x, self.total_stride)))
        return crop_to(logits, x.shape[2:])


def he_weights(layer: nn.Module) -> None:
    """Draw the weights of a convolution for leaky activations (He et al., ICCV 2015)."""
    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    if isinstance(layer, kinds):
        nn.init.kaiming_normal_(layer.weight, a=0.01)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
