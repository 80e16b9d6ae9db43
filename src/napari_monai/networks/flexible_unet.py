"""The FlexibleUNet of MONAI: a U-Net on a classifier's encoder, for images of any size.

Encoders: Tan and Le, "EfficientNet", ICML 2019; He et al., "Deep residual learning for image
recognition", CVPR 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from monai.networks.nets.flexible_unet import FlexibleUNet as MonaiFlexibleUNet

from ..errors import NetworkError, did_you_mean
from .options import (
    Layer,
    NetworkOptions,
    as_arguments,
    require,
    require_dropout,
    require_whole,
)
from .sizes import PaddedWithin

# Five halvings.
_STRIDE = 32


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`monai.networks.nets.FlexibleUNet`, with its names.

    Attributes
    ----------
    backbone : str
        ``"efficientnet-b0"`` to ``"efficientnet-b8"``, ``"resnet10"`` to ``"resnet200"``.
    decoder_channels : tuple of int
        Features of each level on the way up, coarsest first.
    norm, act : str or (str, dict)
        Layers of the way up by their names in MONAI's factories, alone or with arguments.
    dropout : float or (str, dict)
        Probability of a feature of the way up to be dropped in training.
    decoder_bias : bool
        Whether convolutions of the way up have a bias.
    upsample : str
        How features are enlarged: ``"nontrainable"``, ``"deconv"`` or ``"pixelshuffle"``.
    pre_conv : str or None
        ``"default"`` for a convolution before enlarging without training.
    interp_mode : str
        Interpolation of enlarging without training.
    is_pad : bool
        Whether MONAI pads features on the way up; here the image is padded before.
    """

    backbone: str = "efficientnet-b0"
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32, 16)
    norm: Layer = ("batch", {"eps": 1e-3, "momentum": 0.1})
    act: Layer = ("relu", {"inplace": True})
    dropout: float | Layer = 0.0
    decoder_bias: bool = False
    upsample: Literal["nontrainable", "deconv", "pixelshuffle"] = "nontrainable"
    pre_conv: Literal["default"] | None = "default"
    interp_mode: Literal["nearest", "linear", "bilinear", "bicubic", "trilinear"] = "nearest"
    is_pad: bool = True

    def __post_init__(self) -> None:
        """Refuse what MONAI would fail on later."""
        super().__post_init__()
        known = FLEXUNET_BACKBONE.register_dict
        if self.backbone not in known:
            raise NetworkError(
                f"No backbone named {self.backbone!r}. {did_you_mean(self.backbone, known)}"
            )
        levels = known[self.backbone]["feature_number"]
        fits = len(self.decoder_channels) >= levels
        wanted = f"{levels} whole numbers for {self.backbone}"
        require(fits, "decoder_channels", self.decoder_channels, wanted)
        require_whole("decoder_channels", self.decoder_channels)
        if isinstance(self.dropout, int | float):
            require_dropout(self.dropout)


class FlexibleUNet(PaddedWithin, MonaiFlexibleUNet):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's FlexibleUNet, padded within to the sizes it can take."""


def build(**arguments: Any) -> FlexibleUNet:
    """Build a FlexibleUNet with random weights from the arguments of :class:`Options`."""
    options = Options(**arguments)
    return FlexibleUNet(
        total_stride=(_STRIDE,) * options.spatial_dims, pretrained=False, **as_arguments(options)
    )


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; in 3D with the residual encoders that MedicalNet has weights of."""
    backbones = {
        2: {"small": "efficientnet-b0", "base": "efficientnet-b2", "large": "efficientnet-b4"},
        3: {"small": "resnet10", "base": "resnet18", "large": "resnet50"},
    }
    return {size: {"backbone": backbone} for size, backbone in backbones[spatial_dims].items()}
