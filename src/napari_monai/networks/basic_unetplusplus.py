"""The U-Net++ of MONAI, BasicUNetPlusPlus, for images of any size.

Zhou et al., "UNet++: a nested U-Net architecture for medical image segmentation", DLMIA 2018:
ways up from every level, joined with all before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus as MonaiBasicUNetPlusPlus

from .basic_parts import STRIDE, BasicOptions, basic_presets
from .options import as_arguments
from .sizes import crop_to, pad_to_least


@dataclass(frozen=True, kw_only=True)
class Options(BasicOptions):
    """Arguments of :class:`monai.networks.nets.BasicUNetPlusPlus`, with its names.

    Attributes
    ----------
    deep_supervision : bool
        Whether the logits are the mean of all four ways up, of one to four levels, as in the
        paper's accurate mode, or those of the last, which alone sees all levels.
    """

    deep_supervision: bool = False


class BasicUNetPlusPlus(MonaiBasicUNetPlusPlus):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's BasicUNetPlusPlus for images of any size, that gives one tensor of logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(batch, out_channels, *spatial)`` of any image size from 1 up."""
        sizes = x.shape[2:]
        logits = super().forward(pad_to_least(x, (STRIDE,) * len(sizes)))
        return crop_to(torch.stack(logits).mean(dim=0), sizes)


def build(**arguments: Any) -> BasicUNetPlusPlus:
    """Build a U-Net++ with random weights from the arguments of :class:`Options`."""
    return BasicUNetPlusPlus(**as_arguments(Options(**arguments)))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size."""
    return basic_presets(spatial_dims)
