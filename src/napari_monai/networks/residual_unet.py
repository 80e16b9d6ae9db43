"""The residual U-Net: MONAI's U-Net with residual units at all levels, wider and deeper.

Zhang et al., "Road extraction by deep residual U-Net", IEEE GRSL 15, 749-753, 2018; Kerfoot et
al., "Left-ventricle quantification using residual U-Net", STACOM 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import unet
from .options import require
from .unet import UNet


@dataclass(frozen=True, kw_only=True)
class Options(unet.Options):
    """Arguments of the U-Net, with one residual unit or more."""

    channels: tuple[int, ...] = (32, 64, 128, 256, 512)

    def __post_init__(self) -> None:
        """Refuse a U-Net without residual units."""
        super().__post_init__()
        require(self.num_res_units >= 1, "num_res_units", self.num_res_units, "1 or more")


def build(**arguments: Any) -> UNet:
    """Build a residual U-Net with random weights from the arguments of :class:`Options`."""
    return unet.build(**vars(Options(**arguments)))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size."""
    first = {2: {"small": 16, "base": 32, "large": 64}, 3: {"small": 16, "base": 24, "large": 32}}
    units = {"small": 2, "base": 2, "large": 3}
    return {
        size: {
            "channels": [width * 2**level for level in range(5)],
            "strides": [2] * 4,
            "num_res_units": units[size],
            "norm": "batch" if spatial_dims == 2 else "instance",
        }
        for size, width in first[spatial_dims].items()
    }
