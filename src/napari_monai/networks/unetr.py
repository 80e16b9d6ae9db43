"""The UNETR of MONAI: a transformer that sees all of a window of one size, and a U-Net's way up.

Hatamizadeh et al., "UNETR: transformers for 3D medical image segmentation", WACV 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from monai.networks.nets import unetr

from ..errors import NetworkError
from .options import (
    Layer,
    NetworkOptions,
    as_arguments,
    per_axis,
    require,
    require_axes,
    require_dropout,
    require_whole,
)
from .sizes import PaddedWithin, pad_to

# The side of the patches that MONAI's UNETR turns into tokens.
_PATCH = 16


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`monai.networks.nets.UNETR`, with its names.

    Attributes
    ----------
    img_size : int or tuple of int
        The size of a window, multiples of 16: each position in it has a code that is learned, so
        that a trained network takes no other. Smaller images are padded.
    feature_size : int
        Features of the finest level of the way up.
    hidden_size, mlp_dim, num_heads : int
        Width of the transformer's 12 layers, of the layer within them, and number of attention
        heads, which divides the width.
    proj_type : str
        How patches become tokens: ``"conv"`` or ``"perceptron"``.
    norm_name : str or (str, dict)
        A normalization by its name in MONAI's factories, alone or with arguments.
    conv_block, res_block : bool
        Whether tokens are convolved as they are enlarged, and the blocks are residual.
    dropout_rate : float
        Probability of a value of the transformer to be dropped in training.
    qkv_bias : bool
        Whether queries, keys and values have a bias.
    """

    img_size: int | tuple[int, ...] = 96
    feature_size: int = 16
    hidden_size: int = 768
    mlp_dim: int = 3072
    num_heads: int = 12
    proj_type: Literal["conv", "perceptron"] = "conv"
    norm_name: Layer = "instance"
    conv_block: bool = True
    res_block: bool = True
    dropout_rate: float = 0.0
    qkv_bias: bool = False

    def __post_init__(self) -> None:
        """Refuse what MONAI would fail on later."""
        super().__post_init__()
        require_axes("img_size", self.img_size, self.spatial_dims)
        fits = all(size % _PATCH == 0 for size in self.fixed_size)
        require(fits, "img_size", self.img_size, f"multiples of {_PATCH}")
        # A single token has no variance to normalise.
        require(
            max(self.fixed_size) > _PATCH, "img_size", self.img_size, "more than one patch of 16"
        )
        require_whole("feature_size", self.feature_size)
        require_whole("hidden_size", self.hidden_size)
        require_whole("mlp_dim", self.mlp_dim)
        require_whole("num_heads", self.num_heads)
        fits = self.hidden_size % self.num_heads == 0
        require(fits, "num_heads", self.num_heads, f"a divisor of hidden_size, {self.hidden_size}")
        require_dropout(self.dropout_rate, "dropout_rate")

    @property
    def fixed_size(self) -> tuple[int, ...]:
        """The size of a window along each axis."""
        return per_axis(self.img_size, self.spatial_dims)


class UNETR(PaddedWithin, unetr.UNETR):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's UNETR, padded within from smaller images to the size it takes."""

    def pad(self, x: torch.Tensor) -> torch.Tensor:
        """Return the image with the sizes that MONAI's network takes."""
        fixed = self.total_stride
        if any(size > most for size, most in zip(x.shape[2:], fixed, strict=True)):
            raise NetworkError(
                f"This UNETR takes images up to {list(fixed)}, not {list(x.shape[2:])}: "
                "give it windows of that size."
            )
        return pad_to(x, fixed)


def build(**arguments: Any) -> UNETR:
    """Build a UNETR with random weights from the arguments of :class:`Options`."""
    options = Options(**arguments)
    # The window is the one size whose multiples it is padded to.
    return UNETR(total_stride=options.fixed_size, **as_arguments(options))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the base one is that of the paper."""
    side = {2: 256, 3: 96}[spatial_dims]
    return {
        "small": {"img_size": side, "hidden_size": 384, "mlp_dim": 1536, "num_heads": 6},
        "base": {"img_size": side, "hidden_size": 768, "mlp_dim": 3072, "num_heads": 12},
        "large": {
            "img_size": side, "hidden_size": 1024, "mlp_dim": 4096, "num_heads": 16,
            "feature_size": 32,
        },
    }  # fmt: skip
