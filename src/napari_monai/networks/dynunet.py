"""The DynUNet of MONAI, nnU-Net's network with MONAI's names, for images of any size.

Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation", Nature Methods 18, 203-211, 2021; residual blocks and widths after Futrega et al.,
"Optimized U-Net for brain tumor segmentation", BrainLes 2021.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from monai.networks.nets.dynunet import DynUNet as MonaiDynUNet
from monai.networks.nets.dynunet import DynUNetSkipLayer

from .options import (
    Layer,
    NetworkOptions,
    as_arguments,
    require,
    require_axes,
    require_dropout,
    require_list,
    require_whole,
    total_stride,
)
from .sizes import PaddedWithin

Steps = tuple[int | tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`monai.networks.nets.DynUNet`, with its names.

    Attributes
    ----------
    kernel_size : tuple
        Odd kernel sizes of each level, finest first: one number, or one for each axis.
    strides : tuple
        By how much each level shrinks the image; 1 for the first.
    upsample_kernel_size : tuple or None
        Kernels, and so the factors, of the way up: None for all strides but the first, which they
        have to equal.
    filters : tuple of int or None
        Features of each level; None for nnU-Net's: 32, doubled up to 320 in 3D and 512 in 2D.
    dropout : float or (str, dict) or None
        Probability of a feature to be dropped in training.
    norm_name, act_name : str or (str, dict)
        Layers by their names in MONAI's factories, alone or with arguments.
    deep_supervision : bool
        Whether weights have heads at coarser levels, which are run by deep supervision alone:
        the logits are those of the finest level.
    deep_supr_num : int
        Number of these heads.
    res_block : bool
        Whether the blocks are residual.
    trans_bias : bool
        Whether transposed convolutions have a bias.
    """

    kernel_size: Steps = (3, 3, 3, 3, 3)
    strides: Steps = (1, 2, 2, 2, 2)
    upsample_kernel_size: Steps | None = None
    filters: tuple[int, ...] | None = None
    dropout: float | Layer | None = None
    norm_name: Layer = ("INSTANCE", {"affine": True})
    act_name: Layer = ("leakyrelu", {"inplace": True, "negative_slope": 0.01})
    deep_supervision: bool = False
    deep_supr_num: int = 1
    res_block: bool = False
    trans_bias: bool = False

    def __post_init__(self) -> None:
        """Refuse what MONAI would fail on later."""
        super().__post_init__()
        levels = len(self.strides)
        require(levels >= 3, "strides", self.strides, "three or more")
        require_list("kernel_size", self.kernel_size, levels)
        for kernel in self.kernel_size:
            require_axes("kernel_size", kernel, self.spatial_dims, odd=True)
        for stride in self.strides:
            require_axes("strides", stride, self.spatial_dims)
        # The logits would be smaller than the image.
        first = total_stride(self.strides[:1], self.spatial_dims)
        require(max(first) == 1, "strides", self.strides, "1 as the first")
        if self.upsample_kernel_size is not None:
            ups, downs = (
                [total_stride((step,), self.spatial_dims) for step in steps]
                for steps in (self.upsample_kernel_size, self.strides[1:])
            )
            wanted = "null or all strides but the first"
            require(ups == downs, "upsample_kernel_size", self.upsample_kernel_size, wanted)
        if self.filters is not None:
            fits = len(self.filters) >= levels
            require(fits, "filters", self.filters, f"null or {levels} whole numbers")
            require_whole("filters", self.filters)
        if isinstance(self.dropout, int | float):
            require_dropout(self.dropout)
        if self.deep_supervision:
            fits = 1 <= self.deep_supr_num < levels - 1
            require(fits, "deep_supr_num", self.deep_supr_num, f"1 to {levels - 2}")


class DynUNet(PaddedWithin, MonaiDynUNet):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's DynUNet, padded within, that gives the logits of the finest level alone."""

    def __init__(self, *, total_stride: tuple[int, ...], **arguments: Any) -> None:
        super().__init__(total_stride=total_stride, **arguments)
        # MONAI has them keep their last results, which are in the way of copies of the network.
        for layer in self.modules():
            if isinstance(layer, DynUNetSkipLayer):
                layer.heads = None
        heads = arguments["deep_supr_num"] if arguments["deep_supervision"] else 0
        self.coarse_heads: int = heads
        self.deep_supervision = False

    def all_heads(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits of all levels with a head, of the padded image, finest first."""
        coarse = [x] * self.coarse_heads  # to be replaced
        layers = [
            m
            for m in self.modules()
            if isinstance(m, DynUNetSkipLayer) and m.super_head is not None
        ]
        for layer in layers:
            layer.heads = coarse
        try:
            finest = MonaiDynUNet.forward(self, self.pad(x))
        finally:
            for layer in layers:
                layer.heads = None
        return [finest, *coarse]


def build(**arguments: Any) -> DynUNet:
    """Build a DynUNet with random weights from the arguments of :class:`Options`."""
    options = Options(**arguments)
    stride = total_stride(options.strides, options.spatial_dims)
    if options.upsample_kernel_size is None:
        options = replace(options, upsample_kernel_size=options.strides[1:])
    return DynUNet(total_stride=stride, **as_arguments(options))


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size; the base one has nnU-Net's widths."""
    widest = {2: 512, 3: 320}[spatial_dims]
    levels = {2: 7, 3: 6}[spatial_dims]

    def plan(first: int, **options: Any) -> dict[str, Any]:
        filters = [min(first * 2**level, first * widest // 32) for level in range(levels)]
        steps = {"kernel_size": [3] * levels, "strides": [1, *[2] * (levels - 1)]}
        return {**steps, "filters": filters, **options}

    return {"small": plan(16), "base": plan(32), "large": plan(48, res_block=True)}
