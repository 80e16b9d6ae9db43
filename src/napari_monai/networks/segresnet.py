"""The SegResNet of MONAI, for images of any size.

Myronenko, "3D MRI brain tumor segmentation using autoencoder regularization", BrainLes 2018,
without the autoencoder: residual blocks that normalise first, sums instead of concatenations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from monai.networks.nets.segresnet import SegResNet as MonaiSegResNet

from .options import (
    Layer,
    NetworkOptions,
    as_arguments,
    require,
    require_dropout,
    require_list,
    require_whole,
)
from .sizes import PaddedWithin

Upsample = Literal["nontrainable", "deconv", "pixelshuffle"]


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`monai.networks.nets.SegResNet`, with its names.

    Attributes
    ----------
    init_filters : int
        Features of the finest level, doubled from level to level.
    dropout_prob : float or None
        Probability of a feature of the first layer to be dropped in training.
    act, norm : str or (str, dict)
        Layers by their names in MONAI's factories, alone or with arguments.
    blocks_down : tuple of int
        Residual blocks of each level on the way down, finest first.
    blocks_up : tuple of int
        Residual blocks of each level on the way up, coarsest first, one level less.
    upsample_mode : str
        How features are enlarged: ``"nontrainable"``, ``"deconv"`` or ``"pixelshuffle"``.
    """

    init_filters: int = 8
    dropout_prob: float | None = None
    act: Layer = ("RELU", {"inplace": True})
    norm: Layer = ("GROUP", {"num_groups": 8})
    blocks_down: tuple[int, ...] = (1, 2, 2, 4)
    blocks_up: tuple[int, ...] = (1, 1, 1)
    upsample_mode: Upsample = "nontrainable"

    def __post_init__(self) -> None:
        """Refuse what MONAI would fail on later."""
        super().__post_init__()
        require_whole("init_filters", self.init_filters)
        fits = len(self.blocks_down) >= 2
        require(fits, "blocks_down", self.blocks_down, "two or more whole numbers")
        require_whole("blocks_down", self.blocks_down)
        require_list("blocks_up", self.blocks_up, len(self.blocks_down) - 1)
        require_whole("blocks_up", self.blocks_up)
        if self.dropout_prob is not None:
            require_dropout(self.dropout_prob, "dropout_prob")


class SegResNet(PaddedWithin, MonaiSegResNet):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's SegResNet, padded within to the sizes it can take."""


def build(**arguments: Any) -> SegResNet:
    """Build a SegResNet with random weights from the arguments of :class:`Options`."""
    options = Options(**arguments)
    stride = 2 ** (len(options.blocks_down) - 1)
    return SegResNet(total_stride=(stride,) * options.spatial_dims, **as_arguments(options))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size."""
    first = {2: {"small": 16, "base": 32, "large": 64}, 3: {"small": 8, "base": 16, "large": 32}}
    return {size: {"init_filters": width} for size, width in first[spatial_dims].items()}
