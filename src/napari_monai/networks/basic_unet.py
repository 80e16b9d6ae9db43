"""The plain U-Net, BasicUNet of MONAI, for images of any size.

Falk et al., "U-Net: deep learning for cell counting, detection, and morphometry", Nature Methods
16, 67-70, 2019: two convolutions a level, four levels down by pooling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from monai.networks.nets.basic_unet import BasicUNet as MonaiBasicUNet

from .basic_parts import STRIDE, BasicOptions, basic_presets
from .options import as_arguments
from .sizes import PaddedWithin, pad_to_least


@dataclass(frozen=True, kw_only=True)
class Options(BasicOptions):
    """Arguments of :class:`monai.networks.nets.BasicUNet`, with its names."""


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
    return BasicUNet(total_stride=(STRIDE,) * options.spatial_dims, **as_arguments(options))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size."""
    return basic_presets(spatial_dims)
