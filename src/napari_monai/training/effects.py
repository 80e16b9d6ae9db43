"""What changes the intensities of a patch: one function an effect, the amounts given.

Every function takes an image of shape (channel, *spatial) in which dark is about 0 and bright
about 1, on any device, and returns a new one. What is random comes from a given generator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from .geometry import spline

# Optical densities of haematoxylin, eosin and DAB in red, green, blue (Ruifrok & Johnston 2001).
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
# Least light that is told from none, of the light that comes in.
_DARKEST = 1e-3


def power(image: torch.Tensor, exponent: float, *, from_above: bool = False) -> torch.Tensor:
    """Return the image with a gamma; ``from_above`` bends its bright end rather than its dark."""
    if from_above:
        return 1 - power(1 - image, exponent)
    return image.sign() * image.abs().clamp_min(1e-6).pow(exponent)


def blur(image: torch.Tensor, sigmas: Sequence[float]) -> torch.Tensor:
    """Return the image smoothed by a Gaussian of its own width, in voxels, along each axis."""
    for axis, sigma in enumerate(sigmas, start=1):
        if sigma < 0.1 or image.shape[axis] == 1:  # narrower than a voxel can show
            continue
        radius = max(1, int(np.ceil(3 * sigma)))
        x = torch.arange(-radius, radius + 1, dtype=torch.float32, device=image.device)
        kernel = torch.exp(-0.5 * (x / sigma) ** 2)
        image = _along(image, kernel / kernel.sum(), axis, radius)
    return image


def _along(image: torch.Tensor, kernel: torch.Tensor, axis: int, radius: int) -> torch.Tensor:
    """Return the image convolved along one axis, its edge voxels repeated beyond it."""
    n = image.shape[axis]
    before = int(np.prod(image.shape[:axis]))
    lines = image.reshape(before, 1, n, -1)
    lines = functional.pad(lines, (0, 0, radius, radius), mode="replicate")
    return functional.conv2d(lines, kernel.reshape(1, 1, -1, 1)).reshape(image.shape)


def coarsen(image: torch.Tensor, factors: Sequence[float]) -> torch.Tensor:
    """Return the image as if scanned with voxels larger by a factor an axis, interpolated back."""
    shape = tuple(image.shape[1:])
    small = [max(1, round(n / f)) for n, f in zip(shape, factors, strict=True)]
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    means = functional.interpolate(image[None], size=small, mode="area")
    return functional.interpolate(means, size=shape, mode=mode, align_corners=False)[0]


def noise(
    image: torch.Tensor,
    even: float,
    photons: float,
    *,
    generator: torch.Generator,
    together: bool,
) -> torch.Tensor:
    """Return the image with Gaussian noise of a variance of ``even**2 + photons**2 * signal``.

    That of a camera: readout, and counted photons, whose number varies by its square root.
    ``together`` gives all channels the same.
    """
    shape = (1, *image.shape[1:]) if together else image.shape
    drawn = torch.randn(shape, generator=generator, device=image.device)
    if photons <= 0:
        return image + even * drawn
    return image + (even**2 + photons**2 * image.clamp_min(0)).sqrt() * drawn


def shade(image: torch.Tensor, rng: np.random.Generator, strength: float) -> torch.Tensor:
    """Return the image times a smooth random field between exp(-strength) and exp(strength)."""
    ndim = image.ndim - 1
    points = rng.uniform(-strength, strength, (*(5,) * ndim, 1)).astype(np.float32)
    field = spline(points, image.shape[1:], device=image.device)[..., 0]
    return image * field.exp()


def restain(image: torch.Tensor, factors: Sequence[float], shifts: Sequence[float]) -> torch.Tensor:
    """Return a colour picture of stained tissue with more or less of each stain.

    The amounts of haematoxylin, eosin and the rest are found in optical density, multiplied by
    ``factors`` and shifted by ``shifts`` (Tellez et al. 2018).
    """
    stains = _STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True)
    change = np.linalg.inv(stains) @ np.diag(factors) @ stains
    offset = np.asarray(shifts) @ stains
    matrix = torch.from_numpy(change.T.astype(np.float32)).to(image.device)
    added = torch.from_numpy(offset.astype(np.float32)).to(image.device)
    density = -image.clamp_min(_DARKEST).log()
    changed = matrix @ density.flatten(1) + added[:, None]
    return (-changed).exp().reshape(image.shape)


def spoil_slices(image: torch.Tensor, rng: np.random.Generator, part: float) -> torch.Tensor:
    """Return a volume some of whose slices along its first axis are missing, faint or unsharp."""
    spoilt = np.flatnonzero(rng.random(image.shape[1]) < part)
    image = image.clone() if len(spoilt) else image
    for index in spoilt:
        here = image[:, index]
        how = rng.random()
        if how < 0.2:
            image[:, index] = float(rng.choice((0.0, 1.0)))
        elif how < 0.7:
            middle = here.mean()
            faint, shift = float(rng.uniform(0.3, 0.7)), float(rng.normal(0, 0.1))
            image[:, index] = (here - middle) * faint + middle + shift
        else:
            image[:, index] = blur(here, (float(rng.uniform(1.0, 2.5)),) * 2)
    return image
