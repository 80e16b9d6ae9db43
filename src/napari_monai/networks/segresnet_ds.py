"""The SegResNetDS of MONAI: SegResNet for thick slices, and with heads at coarser levels.

Myronenko et al., "Automated 3D segmentation of kidneys and tumors in MICCAI KiTS 2023
challenge", KiTS 2023 (the network of MONAI's Auto3DSeg).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from monai.networks.nets.segresnet_ds import SegResNetDS as MonaiSegResNetDS
from monai.networks.nets.segresnet_ds import scales_for_resolution

from .options import (
    Layer,
    NetworkOptions,
    as_arguments,
    require,
    require_list,
    require_whole,
    total_stride,
)
from .sizes import PaddedWithin


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`monai.networks.nets.SegResNetDS`, with its names.

    Attributes
    ----------
    init_filters : int
        Features of the finest level, doubled from level to level.
    act, norm : str or (str, dict)
        Layers by their names in MONAI's factories, alone or with arguments.
    blocks_down : tuple of int
        Residual blocks of each level on the way down, finest first.
    blocks_up : tuple of int or None
        Those on the way up, coarsest first, one level less; None for one each.
    dsdepth : int
        Levels that have a head. Those of coarser levels are run by deep supervision alone: the
        logits are those of the finest level.
    upsample_mode : str
        How features are enlarged: ``"deconv"``, ``"nontrainable"`` or ``"pixelshuffle"``.
    resolution : tuple of float or None
        Spacing of each axis: the coarsest ones are left alone until the others have caught up.
    """

    init_filters: int = 32
    act: Layer = "relu"
    norm: Layer = "batch"
    blocks_down: tuple[int, ...] = (1, 2, 2, 4)
    blocks_up: tuple[int, ...] | None = None
    dsdepth: int = 1
    upsample_mode: Literal["deconv", "nontrainable", "pixelshuffle"] = "deconv"
    resolution: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what MONAI would fail on later."""
        super().__post_init__()
        require_whole("init_filters", self.init_filters)
        fits = len(self.blocks_down) >= 2
        require(fits, "blocks_down", self.blocks_down, "two or more whole numbers")
        require_whole("blocks_down", self.blocks_down)
        ups = len(self.blocks_down) - 1
        if self.blocks_up is not None:
            require_list("blocks_up", self.blocks_up, ups)
            require_whole("blocks_up", self.blocks_up)
        require_whole("dsdepth", self.dsdepth)
        if self.resolution is not None:
            fits = len(self.resolution) == self.spatial_dims and min(self.resolution) > 0
            wanted = f"null or {self.spatial_dims} numbers above 0"
            require(fits, "resolution", self.resolution, wanted)

    @property
    def total_stride(self) -> tuple[int, ...]:
        """By how much the deepest level is smaller than the image, for each axis."""
        levels = len(self.blocks_down)
        if self.resolution is None:
            return (2 ** (levels - 1),) * self.spatial_dims
        scales = scales_for_resolution(self.resolution, n_stages=levels)
        steps = [[int(step) for step in scale] for scale in scales]
        return total_stride(steps[:-1], self.spatial_dims)


class SegResNetDS(PaddedWithin, MonaiSegResNetDS):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's SegResNetDS, padded within, that gives the logits of the finest level alone."""

    def __init__(self, *, total_stride: tuple[int, ...], **arguments: Any) -> None:
        super().__init__(total_stride=total_stride, **arguments)
        levels = max(1, len(arguments["blocks_down"]) - 1)
        self.coarse_heads = min(arguments["dsdepth"], levels) - 1
        # The heads that MONAI's forward runs; all are made by now.
        self.dsdepth = 1

    def all_heads(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits of all levels with a head, of the padded image, finest first."""
        self.dsdepth = self.coarse_heads + 1
        try:
            found = MonaiSegResNetDS.forward(self, self.pad(x))
        finally:
            self.dsdepth = 1
        # MONAI gives the finest alone where there is no other, and to one that does not train.
        return found if isinstance(found, list) else [found]


def build(**arguments: Any) -> SegResNetDS:
    """Build a SegResNetDS with random weights from the arguments of :class:`Options`."""
    options = Options(**arguments)
    return SegResNetDS(total_stride=options.total_stride, **as_arguments(options))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the large one is Auto3DSeg's."""
    deep = {"blocks_down": [1, 2, 2, 4, 4], "norm": "instance"}
    return {
        "small": {"init_filters": 16, "norm": "instance"},
        "base": {"init_filters": 32, "norm": "instance"},
        "large": {"init_filters": 32, **deep},
    }
