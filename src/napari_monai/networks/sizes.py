"""Make a network take images of any size: pad at the high side, crop the result back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class PaddedWithin(nn.Module):
    """What makes one of MONAI's networks take images of any size from 1 up.

    To stand before MONAI's class among the bases. The state dict is MONAI's own, and so are the
    logits wherever MONAI takes the image.

    Parameters
    ----------
    total_stride : tuple of int
        By how much the network shrinks each axis.
    **arguments
        Those of MONAI's class.
    """

    def __init__(self, *, total_stride: tuple[int, ...], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.total_stride = total_stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(batch, out_channels, *spatial)`` of any image size from 1 up."""
        return crop_to(super().forward(self.pad(x)), x.shape[2:])

    def pad(self, x: torch.Tensor) -> torch.Tensor:
        """Return the image with the sizes that MONAI's network takes."""
        return pad_to_stride(x, self.total_stride)


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
    sizes = zip(image.shape[2:], stride, strict=True)
    # ONNX rounds a division of negative numbers the other way.
    positions: list[Any] = [(size + step - 1) // step for size, step in sizes]
    if _is_traced():
        # Sizes are tensors here, and what is decided by them has to be one, too.
        single = torch.stack(positions).amax() == 1
        positions[-1] = positions[-1] + single.to(torch.int64)
    elif max(positions) == 1:
        positions[-1] = 2
    return pad_to(image, [count * step for count, step in zip(positions, stride, strict=True)])


def pad_to_least(image: torch.Tensor, stride: Sequence[int]) -> torch.Tensor:
    """Repeat the last row of each axis until a network that rounds down has something left.

    For networks that drop the rows which do not fill a stride and put them back themselves.
    As in `pad_to_stride`, images that would end as a single position get a second one.
    """
    positions = [max(1, size // step) for size, step in zip(image.shape[2:], stride, strict=True)]
    least = list(stride)
    if max(positions) == 1:
        least[-1] *= 2
    return pad_to(image, [max(*pair) for pair in zip(image.shape[2:], least, strict=True)])


def pad_to(image: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Repeat the last row of each axis up to these spatial sizes, none less than the image's."""
    gaps = [wanted - size for wanted, size in zip(sizes, image.shape[2:], strict=True)]
    # What is traced pads images that fit by nothing, so that it pads others too.
    if not _is_traced() and not any(gaps):
        return image
    # F.pad counts axes from the last one; replicate, as reflection needs more than one row.
    pads = [amount for gap in reversed(gaps) for amount in (0, gap)]
    return functional.pad(image, pads, mode="replicate")


def crop_to(logits: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Return the low corner of ``(batch, channels, *spatial)`` with these spatial sizes."""
    for axis, size in enumerate(sizes, start=2):
        logits = logits.narrow(axis, 0, size)
    return logits


def _is_traced() -> bool:
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]
