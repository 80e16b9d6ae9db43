"""A discriminator of patches: for each region of an image, whether its labels look drawn by hand.

PatchGAN of Isola et al. (CVPR 2017): convolutions alone, so that each output judges a patch of
its input. Weights are normalised by their largest singular value (Miyato et al., ICLR 2018)
rather than features by their statistics, so that it stays smooth however few patches a batch
has.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks.convolutions import Convolution
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

# Layers that shrink the image, and the least size along an axis that is shrunk further.
_LEVELS = 3
_LEAST = 8
_WIDTH = 32
_WIDEST = 128


class PatchDiscriminator(nn.Sequential):
    """From images and their maps, shape (batch, channel, *spatial), to one number a patch.

    Its outputs are of shape (batch, 1, *spatial of the patches), positive for maps taken for
    true ones. In 2D each sees 54 x 54 pixels.

    Parameters
    ----------
    in_channels
        Channels of the image and of the maps together.
    patch
        Size of the patches that are to be judged: axes with few voxels are shrunk less.
    """

    def __init__(self, in_channels: int, patch: Sequence[int]) -> None:
        super().__init__()
        ndim = len(patch)
        width = in_channels
        features = _WIDTH
        sizes = list(patch)
        for _ in range(_LEVELS):
            shrunk = [size >= _LEAST and 2 * size >= max(sizes) for size in sizes]
            self._add(ndim, width, features, shrunk)
            sizes = [size // 2 if yes else size for size, yes in zip(sizes, shrunk, strict=True)]
            width, features = features, min(2 * features, _WIDEST)
        self._add(ndim, width, features, [False] * ndim)
        self._add(ndim, features, 1, [False] * ndim, last=True)

    def _add(
        self, ndim: int, width: int, features: int, shrunk: Sequence[bool], *, last: bool = False
    ) -> None:
        # Kernels of 4 with a stride of 2 treat all voxels alike, those of 3 do not.
        layer = Convolution(
            ndim,
            width,
            features,
            kernel_size=[4 if yes else 3 for yes in shrunk],
            strides=[2 if yes else 1 for yes in shrunk],
            padding=1,
            norm=None,
            act=("leakyrelu", {"negative_slope": 0.2}),
            conv_only=last,
        )
        layer.conv = spectral_norm(layer.conv)
        self.append(layer)


def hinge(true: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """Return the loss of a discriminator by its outputs of true maps and of those found.

    It is 0 where they are above 1 and below -1 (Lim & Ye 2017).
    """
    return (1 - true).relu().mean() + (1 + found).relu().mean()
