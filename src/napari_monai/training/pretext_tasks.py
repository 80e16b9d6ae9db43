"""Tasks that images set by themselves: what a network is shown, and how its answer is graded."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from monai.transforms.intensity.array import RandCoarseDropout
from monai.transforms.spatial.array import Rotate90
from torch.nn import functional

from .resolved import UNCHANGED, Augment

# Masked blocks along the longest axis of a patch, and what part of it they cover. What small ones
# hide follows from the voxels beside them: on membranes in EM, networks began the worse the smaller
# the blocks were.
_BLOCKS = 4
_COVERED = 0.5
_QUARTERS = 4


class Task(ABC):
    """One task.

    Attributes
    ----------
    outputs
        Channels that the network needs for its answer.
    """

    outputs: int

    @abstractmethod
    def augment(self, planned: Augment) -> Augment:
        """Return how patches may be changed, of how they are in the supervised training."""

    @abstractmethod
    def ask(self, images: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the network is shown of a batch, and what it has to find out.

        ``images`` have shape (batch, channel, *spatial).
        """

    @abstractmethod
    def grade(self, answer: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Return the loss of the network's outputs, shape (batch, outputs, *spatial), float32."""


class MaskedTask(Task):
    """To fill in blocks that are masked: half of the image, as far as blocks do not overlap.

    The error is the mean absolute one over what was masked (Xie et al., SimMIM, CVPR 2022). A
    masked voxel has the mean of its patch.

    Parameters
    ----------
    channels
        Channels of an image.
    patch
        Size of the patches.
    """

    def __init__(self, channels: int, patch: Sequence[int]) -> None:
        self.outputs = channels
        side = max(2, max(patch) // _BLOCKS)
        block = [min(side, max(1, size // 2)) for size in patch]
        part = math.prod(block) / math.prod(patch)
        # As many as cover that part of the patch where they lie at random.
        holes = max(1, round(math.log(1 - _COVERED) / math.log(1 - part)))
        self._dropout = RandCoarseDropout(holes, block, fill_value=0.0, prob=1.0)

    def augment(self, planned: Augment) -> Augment:
        """Return the changes of the geometry alone: noise cannot be filled in."""
        return replace(planned, intensity=0.0)

    def ask(self, images: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return masked images; and the images, with a last channel of 1 where they are masked."""
        self._dropout.set_random_state(seed)
        seen = torch.stack(
            [
                torch.as_tensor(self._dropout(torch.ones(1, *images.shape[2:]))).as_subclass(
                    torch.Tensor
                )
                for _ in images
            ]
        ).to(images.device)
        axes = tuple(range(2, images.ndim))
        shown = torch.where(seen > 0, images, images.mean(axes, keepdim=True))
        return shown, torch.cat([images, 1 - seen], 1)

    def grade(self, answer: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Return the mean absolute error over what was masked."""
        images, masked = truth[:, :-1], truth[:, -1:]
        error = (answer - images).abs() * masked
        return error.sum() / (masked.sum() * images.shape[1]).clamp_min(1)


class RotationTask(Task):
    """To tell by how many quarters an image was turned in its plane (Gidaris et al., ICLR 2018).

    The answer is the mean of the outputs over the image. It takes images that have an upside:
    bodies and organs have one, most cells and membranes do not.
    """

    outputs = _QUARTERS

    def augment(self, planned: Augment) -> Augment:
        """Return no changes: they would turn the image as well."""
        return UNCHANGED

    def ask(self, images: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return turned images, square in their plane, and the numbers of quarters."""
        side = min(images.shape[-2:])
        top, left = ((size - side) // 2 for size in images.shape[-2:])
        square = images[..., top : top + side, left : left + side]
        generator = torch.Generator().manual_seed(seed)
        quarters = torch.randint(_QUARTERS, (len(images),), generator=generator)
        plane = (images.ndim - 4, images.ndim - 3)  # without batch and channel
        turned = [
            Rotate90(k=int(k), spatial_axes=plane)(image).as_subclass(torch.Tensor)
            for k, image in zip(quarters, square, strict=True)
        ]
        return torch.stack(turned), quarters.to(images.device)

    def grade(self, answer: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy of the numbers of quarters."""
        return functional.cross_entropy(answer.flatten(2).mean(2), truth)
