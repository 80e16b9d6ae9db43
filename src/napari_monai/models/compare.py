"""Two forms of one network, compared on made-up images: what every exporter does at its end."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from ..errors import ModelError
from .description import ModelDescription
from .parts import Inputs

# Largest difference of outputs, as a part of their largest value.
TOLERANCE = 1e-4
# A larger one may still be rounding: deep networks, and norms over few positions, enlarge it. More
# than this it is not, nor more than so many times what the network itself is off.
_DOUBTFUL = 1e-2
_TIMES = 4
# What nearly all networks can halve their images down from.
_MULTIPLES = (32, 64)
# Sides of the images, where the network leaves the choice.
_SIDE = {2: 128, 3: 64}

Images = Sequence[torch.Tensor]


def examples(
    description: ModelDescription, network: torch.nn.Module | None = None
) -> Iterator[tuple[Images, Inputs]]:
    """Yield images to try an exported network with, and what it takes if it passes with them.

    First images of two sizes as the description has them. Then of multiples of 32 and 64:
    networks that pad within may lose that when they are traced. Then of the window's size alone,
    and of that only for a network that says so by its attribute ``fixed_when_traced``.
    """
    inputs, window = description.inputs, description.inferer.window
    side = _SIDE[inputs.spatial_dims]
    fixed = inputs.fixed_size or getattr(network, "fixed_when_traced", False)
    for most in () if fixed else (1, *_MULTIPLES):
        steps = [math.lcm(m, most) for m in inputs.multiples]
        # Two steps at least: networks pad what they shrink to a single position, too.
        few = 2 if most > 1 else 1
        least = [max(min(n, side), few * m) for n, m in zip(window, steps, strict=True)]
        first = [-(-n // step) * step for n, step in zip(least, steps, strict=True)]
        second = [n + step for n, step in zip(first, steps, strict=True)]
        images = [_drawn(inputs, size, seed) for seed, size in enumerate((first, second))]
        yield images, replace(inputs, size_multiple=tuple(steps))
    steps = list(inputs.multiples)
    only = [-(-n // step) * step for n, step in zip(window, steps, strict=True)]
    yield [_drawn(inputs, only, 0)], replace(inputs, fixed_size=True)


def check_same(
    network: torch.nn.Module, other: Callable[[torch.Tensor], torch.Tensor], images: Images
) -> None:
    """Raise ModelError where two networks give different outputs, saying how far apart.

    Outputs are the same within `TOLERANCE`, or where both are as near as float32 comes to what
    the network gives in float64.
    """
    for image in images:
        with torch.inference_mode():
            wanted, found = first(network(image)), first(other(image))
        if found.shape != wanted.shape:
            raise ModelError(f"it gives {tuple(found.shape)} instead of {tuple(wanted.shape)}")
        difference = float((found - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))
        if difference <= TOLERANCE:
            continue
        if not (difference <= _DOUBTFUL and _is_rounding(network, image, wanted, found)):
            raise ModelError(f"its outputs differ from the network's by {difference:.1e}")


def _is_rounding(
    network: torch.nn.Module, image: torch.Tensor, wanted: torch.Tensor, found: torch.Tensor
) -> bool:
    """Whether outputs are not much further from those in float64 than the network's own."""
    try:
        with torch.inference_mode():
            exact = first(copy.deepcopy(network).double()(image.double()))
    except (RuntimeError, ModelError, MemoryError):  # it knows float32 only, or is too large
        return False
    own, others = (float((each - exact).abs().max()) for each in (wanted, found))
    return others <= _TIMES * own


def first(outputs: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the outputs at full resolution, which come first under deep supervision."""
    return outputs if isinstance(outputs, torch.Tensor) else outputs[0]


def _drawn(inputs: Inputs, size: Sequence[int], seed: int) -> torch.Tensor:
    # Two at once, so that a batch axis that became fixed is noticed.
    shape = (2, len(inputs.channels), *size)
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, np.float32))
