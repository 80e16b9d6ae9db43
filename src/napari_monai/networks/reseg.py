"""ReSeg, a recurrent network in 2D and 3D, for images of any size.

Visin et al., "ReSeg: a recurrent neural network-based model for semantic segmentation", CVPR
workshops 2016: gated recurrent units (GRU) sweep over the features of a small convolutional
network along each axis, forwards and backwards, so that each position hears of the whole image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from monai.networks.layers.factories import Conv, Pool
from torch import nn

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
    """Arguments of :class:`ReSeg`.

    The paper's has the first stages of VGG-16, ``channels=(64, 128, 256)``,
    ``depths=(2, 2, 3)``, and ``hidden=100``, ``up_channels=50``.

    Attributes
    ----------
    channels, depths : tuple of int
        Features and number of convolutions of each stage.
    strides : tuple
        By how much the pooling between stages shrinks the image, one less than stages: one
        number, or one for each axis.
    layers : int
        How often all axes are swept.
    hidden : int
        Units of each sweep and direction.
    up_channels : int
        Features on the way up.
    dropout : float
        Probability of a value to be dropped in training before the recurrent layers.
    norm : str
        ``"batch"``, ``"instance"`` or ``"group"``, for the convolutions.
    act : str or (str, dict)
        An activation by its name in MONAI's factories, alone or with arguments.
    """

    channels: tuple[int, ...] = (32, 64, 128)
    depths: tuple[int, ...] = (2, 2, 3)
    strides: tuple[int | tuple[int, ...], ...] = (2, 2)
    layers: int = 2
    hidden: int = 64
    up_channels: int = 32
    dropout: float = 0.0
    norm: NormName = "batch"
    act: Layer = ("relu", {"inplace": True})

    def __post_init__(self) -> None:
        """Refuse what makes no ReSeg."""
        super().__post_init__()
        stages = len(self.channels)
        require(stages >= 2, "channels", self.channels, "two or more whole numbers")
        require_whole("channels", self.channels)
        require_list("depths", self.depths, stages)
        require_whole("depths", self.depths)
        require_list("strides", self.strides, stages - 1)
        for stride in self.strides:
            require_axes("strides", stride, self.spatial_dims)
        for name in ("layers", "hidden", "up_channels"):
            require_whole(name, getattr(self, name))
        require_dropout(self.dropout)


class Sweep(nn.Module):
    """Gated recurrent units that go along one axis, forwards and backwards.

    Parameters
    ----------
    axis : int
        The axis of a tensor ``(batch, channels, *spatial)``, 2 or more.
    in_channels, hidden : int
        Features before, and units of each direction: twice as many features after.
    """

    def __init__(self, axis: int, in_channels: int, hidden: int) -> None:
        super().__init__()
        self.axis = axis
        self.gru = nn.GRU(in_channels, hidden, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features ``(batch, 2 * hidden, *spatial)``; each line is a sequence."""
        # In so many words, as exporters take no axes that are counted from the end.
        others = [axis for axis in range(x.ndim) if axis not in (1, self.axis)]
        order = [*others, self.axis, 1]
        lines = x.permute(order)
        # Copies of a network leave the weights scattered, which CUDA's recurrence warns about.
        if x.is_cuda:
            self.gru.flatten_parameters()
        swept, _ = self.gru(lines.reshape(-1, *lines.shape[-2:]))
        back: torch.Tensor = swept.reshape(*lines.shape[:-1], -1)
        return back.permute([order.index(axis) for axis in range(x.ndim)])


class ReSeg(nn.Module):
    """Convolutions, sweeps along all axes, and transposed convolutions."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        dims = options.spatial_dims
        blocks = Blocks(dims, options.norm, options.act)
        self.total_stride = total_stride(options.strides, dims)
        steps = [per_axis(stride, dims) for stride in options.strides]
        self.stages = nn.Sequential()
        width = options.in_channels
        for number, (features, depth) in enumerate(
            zip(options.channels, options.depths, strict=True)
        ):
            if number:
                step = steps[number - 1]
                self.stages.append(Pool["max", dims](kernel_size=step, stride=step))
            for _ in range(depth):
                self.stages.append(blocks.convolution(width, features))
                width = features
        self.dropout = nn.Dropout(options.dropout)
        self.sweeps = nn.Sequential()
        for _ in range(options.layers):
            for axis in range(2, 2 + dims):
                self.sweeps.append(Sweep(axis, width, options.hidden))
                width = 2 * options.hidden
        self.enlarge = nn.Sequential()
        for step in reversed(steps):
            self.enlarge.append(
                Conv["convtrans", dims](width, options.up_channels, step, stride=step)
            )
            self.enlarge.append(blocks.activation())
            width = options.up_channels
        self.classifier = Conv["conv", dims](width, options.out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(batch, out_channels, *spatial)`` of any image size from 1 up."""
        features = self.dropout(self.stages(pad_to_stride(x, self.total_stride)))
        logits = self.classifier(self.enlarge(self.sweeps(features)))
        return crop_to(logits, x.shape[2:])


def build(**arguments: Any) -> ReSeg:
    """Build a ReSeg with random weights from the arguments of :class:`Options`."""
    return ReSeg(Options(**arguments))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the large one in 2D is that of the paper."""
    # More halvings in 3D: sweeps take their time at each position of a line.
    widths = [1, 2, 4] if spatial_dims == 2 else [1, 2, 4, 4]
    depths = [2, 2, 3] if spatial_dims == 2 else [1, 2, 2, 2]
    first = {2: {"small": 16, "base": 32, "large": 64}, 3: {"small": 8, "base": 16, "large": 32}}
    sweeps = {
        "small": {"hidden": 32, "up_channels": 16},
        "base": {"hidden": 64, "up_channels": 32},
        "large": {"hidden": 100, "up_channels": 50},
    }
    return {
        size: {
            "channels": [width * factor for factor in widths],
            "depths": depths,
            "strides": [2] * (len(widths) - 1),
            "norm": "batch" if spatial_dims == 2 else "instance",
            **sweeps[size],
        }
        for size, width in first[spatial_dims].items()
    }
