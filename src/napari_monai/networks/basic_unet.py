"""The plain U-Net, BasicUNet of MONAI, for images of any size.

Falk et al., "U-Net: deep learning for cell counting, detection, and morphometry", Nature Methods
16, 67-70, 2019: two convolutions a level, four levels down by pooling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from monai.networks.nets.basic_unet import BasicUNet as MonaiBasicUNet

from .options import (
    Layer,
    NetworkOptions,
    as_arguments,
    require,
    require_dropout,
    require_whole,
)
from .sizes import PaddedWithin, pad_to_least

Upsample = Literal["deconv", "pixelshuffle", "nontrainable"]
# Four poolings by 2.
_STRIDE = 16


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`monai.networks.nets.BasicUNet`, with its names.

    Attributes
    ----------
    features : tuple of int
        Features of the five levels, finest first, and of the last layer before the logits.
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
    act: Layer = ("LeakyReLU", {"negative_slope": 0.1, "inplace": True})
    norm: Layer = ("instance", {"affine": True})
    bias: bool = True
    dropout: float | Layer = 0.0
    upsample: Upsample = "deconv"

    def __post_init__(self) -> None:
        """Refuse what MONAI would fail on later."""
        super().__post_init__()
        require(len(self.features) == 6, "features", self.features, "six whole numbers")
        require_whole("features", self.features)
        if isinstance(self.dropout, int | float):
            require_dropout(self.dropout)


class BasicUNet(PaddedWithin, MonaiBasicUNet):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's BasicUNet, padded within where an image is smaller than its poolings.

    Odd sizes it deals with itself.
    """

    def pad(self, x: torch.Tensor) -> torch.Tensor:
        """Return the image with the sizes that MONAI's network takes."""
        return pad_to_least(x, self.total_stride)


def build(**arguments: Any) -> BasicUNet:
    """Build a plain U-Net with random weights from the arguments of :class:`Options`."""
    options = Options(**arguments)
    return BasicUNet(total_stride=(_STRIDE,) * options.spatial_dims, **as_arguments(options))


def size_multiple(options: Options) -> int:
    """Return 1: the network pads within."""
    return 1


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the large 2D one is that of the paper."""
    first = {2: {"small": 16, "base": 32, "large": 64}, 3: {"small": 8, "base": 16, "large": 32}}
    return {
        size: {"features": [*(width * 2**level for level in range(5)), width]}
        for size, width in first[spatial_dims].items()
    }
