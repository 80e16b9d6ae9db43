"""What MONAI's BasicUNet and BasicUNetPlusPlus share: options, and presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .options import Layer, NetworkOptions, require, require_dropout, require_whole

# By how much their four poolings shrink each axis.
STRIDE = 16


@dataclass(frozen=True, kw_only=True)
class BasicOptions(NetworkOptions):
    """Arguments of both networks, with MONAI's names.

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
    upsample: Literal["deconv", "pixelshuffle", "nontrainable"] = "deconv"

    def __post_init__(self) -> None:
        """Refuse what MONAI would fail on later."""
        super().__post_init__()
        require(len(self.features) == 6, "features", self.features, "six whole numbers")
        require_whole("features", self.features)
        if isinstance(self.dropout, int | float):
            require_dropout(self.dropout)


def basic_presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the large 2D ones are those of the papers."""
    first = {2: {"small": 16, "base": 32, "large": 64}, 3: {"small": 8, "base": 16, "large": 32}}
    return {
        size: {"features": [*(width * 2**level for level in range(5)), width]}
        for size, width in first[spatial_dims].items()
    }
