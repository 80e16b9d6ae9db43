"""Make a network take images of any size: pad at the high side, crop the result back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional


def pad_to_stride(image: torch.Tensor, stride: Sequence[int]) -> torch.Tensor:
    """Repeat the last row of each axis until its size is a multiple of the network's stride.

    A network that has shrunk its input to a single position cannot normalise it, as one value
    has no variance: images that small get a second position along the last axis.

    Parameters
    ----------
    image : torch.Tensor
        ``(batch, channels, *spatial)``.
    stride : sequence of int
        By how much the network shrinks each axis.

    Returns
    -------
    torch.Tensor
        The image, padded at the high side of each axis; the image itself when it fits.
    """
    sizes = image.shape[2:]
    positions = [-(-size // step) for size, step in zip(sizes, stride, strict=True)]
    if max(positions) == 1:
        positions[-1] = 2
    gaps = [count * step - size for count, step, size in zip(positions, stride, sizes, strict=True)]
    if not any(gaps):
        return image
    # F.pad counts axes from the last one; replicate, as reflection needs more than one row.
    pads = [amount for gap in reversed(gaps) for amount in (0, gap)]
    return functional.pad(image, pads, mode="replicate")


def crop_to(logits: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Return the low corner of ``(batch, channels, *spatial)`` with these spatial sizes."""
    for axis, size in enumerate(sizes, start=2):
        logits = logits.narrow(axis, 0, size)
    return logits
