"""The fully convolutional network (FCN) with fused skips, in 2D and 3D, for any image size.

Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015:
scores of a VGG-like encoder, enlarged step by step and summed with scores of finer levels. Norms,
which the paper did without, let it train from scratch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from monai.networks.layers.factories import Conv, Pool
from torch import nn
from torch.nn import functional

from .blocks import Blocks, NormName
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


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`FCN`.

    The paper's is ``channels=(64, 128, 256, 512, 512)``, ``depths=(2, 2, 3, 3, 3)``,
    ``head_channels=4096``, ``head_kernel=7``.

    Attributes
    ----------
    channels : tuple of int
        Features of each stage of the encoder.
    depths : tuple of int
        Convolutions of each stage.
    strides : tuple
        By how much the pooling after each stage shrinks the image: one number, or one for each
        axis, so that thick slices are shrunk less than the plane.
    skips : int
        Finer stages whose scores are fused: 2 for FCN-8s, 1 for FCN-16s, 0 for FCN-32s.
    head_channels, head_kernel : int
        Features, and odd size of the first kernel, of the two layers before the scores.
    dropout : float
        Probability of a map of these layers to be dropped in training.
    norm : str
        ``"batch"``, ``"instance"`` or ``"group"``.
    act : str or (str, dict)
        An activation by its name in MONAI's factories, alone or with arguments.
    """

    channels: tuple[int, ...] = (32, 64, 128, 256, 256)
    depths: tuple[int, ...] = (2, 2, 3, 3, 3)
    strides: tuple[int | tuple[int, ...], ...] = (2, 2, 2, 2, 2)
    skips: int = 2
    head_channels: int = 512
    head_kernel: int = 3
    dropout: float = 0.5
    norm: NormName = "batch"
    act: Layer = ("relu", {"inplace": True})

    def __post_init__(self) -> None:
        """Refuse what makes no FCN."""
        super().__post_init__()
        stages = len(self.channels)
        require(stages >= 1, "channels", self.channels, "one or more whole numbers")
        require_whole("channels", self.channels)
        require_list("depths", self.depths, stages)
        require_whole("depths", self.depths)
        require_list("strides", self.strides, stages)
        for stride in self.strides:
            require_axes("strides", stride, self.spatial_dims)
        require(0 <= self.skips < stages, "skips", self.skips, f"0 to {stages - 1}")
        require_whole("head_channels", self.head_channels)
        require_axes("head_kernel", self.head_kernel, self.spatial_dims, odd=True)
        require_dropout(self.dropout)

    @property
    def steps(self) -> tuple[tuple[int, ...], ...]:
        """The stride of each stage along each axis."""
        return tuple(per_axis(stride, self.spatial_dims) for stride in self.strides)


class FCN(nn.Module):
    """An encoder, scores of its last stages, and their sum on the way up."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        dims, outputs = options.spatial_dims, options.out_channels
        blocks = Blocks(dims, options.norm, options.act)
        self.total_stride = total_stride(options.strides, dims)
        self.interpolation = "bilinear" if dims == 2 else "trilinear"
        self.stages = nn.ModuleList()
        width = options.in_channels
        for features, depth, step in zip(
            options.channels, options.depths, options.steps, strict=True
        ):
            stage = nn.Sequential()
            for _ in range(depth):
                stage.append(blocks.convolution(width, features))
                width = features
            stage.append(Pool["max", dims](kernel_size=step, stride=step))
            self.stages.append(stage)
        drop = nn.Dropout2d if dims == 2 else nn.Dropout3d
        self.head = nn.Sequential(
            blocks.convolution(width, options.head_channels, kernel_size=options.head_kernel),
            drop(options.dropout),
            blocks.convolution(options.head_channels, options.head_channels, kernel_size=1),
            drop(options.dropout),
            Conv["conv", dims](options.head_channels, outputs, 1),
        )
        self.scores, self.enlarge = nn.ModuleList(), nn.ModuleList()
        for level in range(1, options.skips + 1):
            self.enlarge.append(enlarging(outputs, options.steps[-level]))
            score = Conv["conv", dims](options.channels[-1 - level], outputs, 1)
            # The fused network begins as the one without, as in the paper.
            nn.init.zeros_(score.weight)
            self.scores.append(score)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(batch, out_channels, *spatial)`` of any image size from 1 up."""
        padded = pad_to_stride(x, self.total_stride)
        levels = []
        features = padded
        for stage in self.stages:
            features = stage(features)
            levels.append(features)
        logits = self.head(levels.pop())
        for enlarge, score in zip(self.enlarge, self.scores, strict=True):
            logits = enlarge(logits) + score(levels.pop())
        # The last step is interpolation: it was not learned in the paper either.
        logits = functional.interpolate(
            logits, size=tuple(padded.shape[2:]), mode=self.interpolation, align_corners=False
        )
        return crop_to(logits, x.shape[2:])


def enlarging(channels: int, factors: tuple[int, ...]) -> nn.Module:
    """Return a transposed convolution of each channel that begins as linear interpolation.

    Its result has the sizes of its input times the factors.
    """
    kernels = [2 * factor - factor % 2 for factor in factors]
    layer: nn.Module = Conv["convtrans", len(factors)](
        channels,
        channels,
        kernels,
        stride=factors,
        padding=[(kernel - factor) // 2 for kernel, factor in zip(kernels, factors, strict=True)],
        groups=channels,
        bias=False,
    )
    weight = torch.ones(())
    for kernel, factor in zip(kernels, factors, strict=True):
        distance = (torch.arange(kernel) - (kernel - 1) / 2).abs() / factor
        weight = weight[..., None] * (1 - distance)
    with torch.no_grad():
        layer.weight.copy_(weight.expand_as(layer.weight))  # type: ignore[operator, arg-type]
    return layer


def build(**arguments: Any) -> FCN:
    """Build an FCN with random weights from the arguments of :class:`Options`."""
    return FCN(Options(**arguments))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the large one in 2D has the encoder of the paper."""
    norm = "batch" if spatial_dims == 2 else "instance"
    first = {2: {"small": 16, "base": 32, "large": 64}, 3: {"small": 8, "base": 16, "large": 32}}
    return {
        size: {
            "channels": [width * factor for factor in (1, 2, 4, 8, 8)],
            "head_channels": 16 * width,
            "norm": norm,
        }
        for size, width in first[spatial_dims].items()
    }
