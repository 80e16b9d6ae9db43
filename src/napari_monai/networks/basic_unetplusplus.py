"""The U-Net++ of MONAI, BasicUNetPlusPlus, for images of any size.

Zhou et al., "UNet++: a nested U-Net architecture for medical image segmentation", DLMIA 2018:
ways up from every level, joined with all before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus as MonaiBasicUNetPlusPlus

from .options import (
    Layer,
    NetworkOptions,
    as_arguments,
    require,
    require_dropout,
    require_whole,
)
from .sizes import crop_to, pad_to_least

# Four poolings by 2.
_STRIDE = 16


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`monai.networks.nets.BasicUNetPlusPlus`, with its names.

    Attributes
    ----------
    features : tuple of int
        Features of the five levels, finest first, and of the last layer before the logits.
    deep_supervision : bool
        Whether the logits are the mean of all four ways up, of one to four levels, as in the
        paper's accurate mode, or those of the last, which alone sees all levels.
    act, norm : str or (str, dict)
        Layers by their names in MONAI's factories, alone or with arguments.
    bias : bool
        Whether convolutions have a bias.
    dropout : float or (str, dict)
        Probability of a feature to be dropped in training, or a layer of MONAI's factory.
    upsample : str
        How features are enlarged: ``"deconv"``, ``"pixelshuffle"`` or ``"nontrainable"``.
    """

    features: tuple[int, ...] = (32, 32, 64, 128, 256, 32)
    deep_supervision: bool = False
    act: Layer = ("LeakyReLU", {"negative_slope": 0.1, "inplace": True})
    norm: Layer = ("instance", {"affine": True})
    bias: bool = True
    dropout: float | Layer = 0.0
    upsample: Literal["deconv", "pixelshuffle", "nontrainable"] = "deconv"

    def __post_init__(self) -> None:
        """Refuse what MONAI would fail on later."""
        super().__post_init__()
        require(len(self.features) == 6, "features", self.features, "six whole numbers")
        require_whole("features", self.features)
        if isinstance(self.dropout, int | float):
            require_dropout(self.dropout)


class BasicUNetPlusPlus(MonaiBasicUNetPlusPlus):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's BasicUNetPlusPlus for images of any size, that gives one tensor of logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(batch, out_channels, *spatial)`` of any image size from 1 up."""
        sizes = x.shape[2:]
        logits = super().forward(pad_to_least(x, (_STRIDE,) * len(sizes)))
        return crop_to(torch.stack(logits).mean(dim=0), sizes)


def build(**arguments: Any) -> BasicUNetPlusPlus:
    """Build a U-Net++ with random weights from the arguments of :class:`Options`."""
    return BasicUNetPlusPlus(**as_arguments(Options(**arguments)))


def size_multiple(options: Options) -> int:
    """Return 1: the network pads within."""
    return 1


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size."""
    first = {2: {"small": 16, "base": 32, "large": 64}, 3: {"small": 8, "base": 16, "large": 32}}
    return {
        size: {"features": [*(width * 2**level for level in range(5)), width]}
        for size, width in first[spatial_dims].items()
    }
