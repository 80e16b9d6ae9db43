"""The SwinUNETR of MONAI, for images of any size.

Hatamizadeh et al., "Swin UNETR: Swin transformers for semantic segmentation of brain tumors in
MRI images", BrainLes 2021: attention within windows that shift from layer to layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from monai.networks.nets.swin_unetr import SwinUNETR as MonaiSwinUNETR

from .options import (
    Layer,
    NetworkOptions,
    as_arguments,
    require,
    require_axes,
    require_dropout,
    require_list,
    require_whole,
)
from .sizes import PaddedWithin


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`monai.networks.nets.SwinUNETR`, with its names.

    Attributes
    ----------
    patch_size : int
        By how much the first layer, and each of the four stages, shrinks the image.
    depths, num_heads : tuple of int
        Layers and attention heads of the four stages; heads divide the features of their stage.
    window_size : int or tuple of int
        Side of the windows that attention looks at, in positions of a stage.
    feature_size : int
        Features of the first stage, a multiple of 12, doubled from stage to stage.
    qkv_bias : bool
        Whether queries, keys and values have a bias.
    mlp_ratio : float
        Width of the layer within a layer, as a multiple of the features.
    norm_name : str or (str, dict)
        A normalization by its name in MONAI's factories, for the convolutions.
    drop_rate, attn_drop_rate, dropout_path_rate : float
        Probabilities of values, attention weights and whole branches to be dropped in training.
    normalize, patch_norm : bool
        Whether features are normalised after each stage, and after the first layer.
    downsample : str
        ``"merging"``, or ``"mergingv2"``.
    use_v2 : bool
        Whether a residual block begins each stage.
    """

    patch_size: int = 2
    depths: tuple[int, ...] = (2, 2, 2, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: int | tuple[int, ...] = 7
    feature_size: int = 24
    qkv_bias: bool = True
    mlp_ratio: float = 4.0
    norm_name: Layer = "instance"
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    dropout_path_rate: float = 0.0
    normalize: bool = True
    patch_norm: bool = False
    downsample: Literal["merging", "mergingv2"] = "merging"
    use_v2: bool = False

    def __post_init__(self) -> None:
        """Refuse what MONAI would fail on later."""
        super().__post_init__()
        # MONAI's stages halve the image, whatever the size of the patch.
        require(self.patch_size == 2, "patch_size", self.patch_size, "2, what MONAI's way up needs")
        for name in ("depths", "num_heads"):
            require_list(name, getattr(self, name), 4)
            require_whole(name, getattr(self, name))
        require_axes("window_size", self.window_size, self.spatial_dims)
        fits = self.feature_size >= 12 and self.feature_size % 12 == 0
        require(fits, "feature_size", self.feature_size, "a multiple of 12")
        for stage, heads in enumerate(self.num_heads):
            features = self.feature_size * 2**stage
            fits = features % heads == 0
            require(fits, "num_heads", self.num_heads, f"divisors of a stage's {features} features")
        require(self.mlp_ratio > 0, "mlp_ratio", self.mlp_ratio, "more than 0")
        for name in ("drop_rate", "attn_drop_rate", "dropout_path_rate"):
            require_dropout(getattr(self, name), name)


class SwinUNETR(PaddedWithin, MonaiSwinUNETR):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's SwinUNETR, padded within to the sizes it can take."""

    # Its windows are counted in Python, which no exporter sees.
    fixed_when_traced = True


def build(**arguments: Any) -> SwinUNETR:
    """Build a SwinUNETR with random weights from the arguments of :class:`Options`."""
    options = Options(**arguments)
    stride = options.patch_size**5
    return SwinUNETR(total_stride=(stride,) * options.spatial_dims, **as_arguments(options))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the large one is that of the paper."""
    return {
        size: {"feature_size": width, "window_size": 7}
        for size, width in {"small": 12, "base": 24, "large": 48}.items()
    }
