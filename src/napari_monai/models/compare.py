"""Two forms of one network, compared on made-up images: what every exporter does at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from ..errors import ModelError
from .description import ModelDescription

# Largest difference of outputs, as a part of their largest value.
TOLERANCE = 1e-4

Images = Sequence[torch.Tensor]


def examples(description: ModelDescription) -> Iterator[tuple[Images, bool]]:
    """Yield images to try an exported network with, and whether they are of several sizes.

    First those of two sizes, unless the network takes only one; then those of the window's alone.
    """
    window = description.inferer.window
    steps = description.inputs.multiples
    sizes = [tuple(window), tuple(n + max(s, 2) for n, s in zip(window, steps, strict=True))]
    images = [_drawn(description, size, seed) for seed, size in enumerate(sizes)]
    if not description.inputs.fixed_size:
        yield images, True
    yield images[:1], False


def check_same(
    network: torch.nn.Module, other: Callable[[torch.Tensor], torch.Tensor], images: Images
) -> None:
    """Raise ModelError where two networks give different outputs, saying how far apart."""
    for image in images:
        with torch.inference_mode():
            wanted, found = first(network(image)), first(other(image))
        if found.shape != wanted.shape:
            raise ModelError(f"it gives {tuple(found.shape)} instead of {tuple(wanted.shape)}")
        difference = float((found - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))
        if not difference <= TOLERANCE:
            raise ModelError(f"its outputs differ from the network's by {difference:.1e}")


def first(outputs: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the outputs at full resolution, which come first under deep supervision."""
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs


def _drawn(description: ModelDescription, size: Sequence[int], seed: int) -> torch.Tensor:
    # Two at once, so that a batch axis that became fixed is noticed.
    shape = (2, len(description.inputs.channels), *size)
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, np.float32))
