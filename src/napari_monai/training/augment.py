"""How the intensities of a patch are changed: which effects, and how much of each, is drawn here.

The order is that of taking an image: what is stained and how it is lit, the optics, the voxels,
the noise, and what goes wrong with whole slices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from .effects import blur, coarsen, noise, power, restain, shade, spoil_slices
from .presets import Augment

# How likely each change is.
_OFTEN, _SOMETIMES, _SELDOM = 0.5, 0.3, 0.2
# Of those with a gamma: how many have it at their bright end.
_FROM_ABOVE = 0.3
# A blur or a noise narrower than this, of what it may be at most, would hardly be seen.
_LEAST = 0.25
# Mean difference between channels of a picture that has colours, and the level above which the
# mean of one that light goes through is.
_COLOURED, _BRIGHT = 0.02, 0.4


def change_intensity(
    image: torch.Tensor,
    augment: Augment,
    rng: np.random.Generator,
    *,
    spacing: Sequence[float],
    limits: npt.NDArray[np.floating],
) -> torch.Tensor:
    """Return a patch with its intensities changed at random.

    Parameters
    ----------
    image
        float32 tensor of shape (channel, *spatial), on any device.
    augment
        What is changed, and how much.
    rng
        Where all chance comes from.
    spacing
        Distance between voxels along each axis: blur and coarser voxels are as large along all
        of them.
    limits
        What is dark and what is bright in each channel, shape (2, channel).
    """
    strength = augment.intensity
    if strength <= 0:
        return image
    low, span = _column(limits[0], image), _column(limits[1] - limits[0], image)
    image = (image - low) / span
    grey = len(image) > 1 and bool((image == image[:1]).all())
    image = _light(image, augment, rng, strength, grey=grey)
    image = _levels(image, augment, rng, strength, grey=grey)
    image = _optics(image, augment, rng, strength, spacing)
    image = _detector(image, augment, rng, strength, grey=grey)
    return image * span + low


def _column(values: npt.NDArray[np.floating], image: torch.Tensor) -> torch.Tensor:
    column = values.astype(np.float32).reshape(-1, *(1,) * (image.ndim - 1))
    return torch.from_numpy(column).to(image.device)


def _light(
    image: torch.Tensor, augment: Augment, rng: np.random.Generator, strength: float, *, grey: bool
) -> torch.Tensor:
    """Return the image with other amounts of stain, and lit unevenly."""
    if augment.stain > 0 and rng.random() < _OFTEN:
        most = augment.stain * strength
        factors = (1 + rng.uniform(-most, most, 3)).tolist()
        shifts = (rng.uniform(-most, most, 3) / 4).tolist()
        if augment.colour and not grey and _is_stained(image):
            image = restain(image, factors, shifts)
    if augment.shading > 0 and rng.random() < _SOMETIMES:
        image = shade(image, rng, augment.shading * strength * rng.uniform(0.3, 1))
    return image


def _is_stained(image: torch.Tensor) -> bool:
    """Whether this is colour on a bright ground, which stains darken."""
    chroma = (image.amax(0) - image.amin(0)).mean()
    return bool(chroma > _COLOURED) and bool(image.mean() > _BRIGHT)


def _levels(
    image: torch.Tensor, augment: Augment, rng: np.random.Generator, strength: float, *, grey: bool
) -> torch.Tensor:
    """Return the image with another gamma, gain and offset, or inverted.

    Channels of a grey picture mostly stay equal: only one in four gets gains of its own for each.
    """
    if augment.gamma > 0 and rng.random() < _OFTEN:
        exponent = float(np.exp(rng.normal(0, augment.gamma * strength)))
        image = power(image, exponent, from_above=rng.random() < _FROM_ABOVE)
    gain = np.zeros(len(image))
    if rng.random() < _OFTEN:
        gain += rng.normal(0, augment.gain * strength)
    if len(image) > 1 and rng.random() < (0.25 if grey else _OFTEN):
        gain += rng.normal(0, augment.channels * strength, len(image))
    if gain.any():
        image = image * _column(np.exp(gain), image)
    if augment.offset > 0 and rng.random() < _OFTEN:
        image = image + float(rng.normal(0, augment.offset * strength))
    if augment.inversion > 0 and rng.random() < augment.inversion:
        image = 1 - image
    return image


def _optics(
    image: torch.Tensor,
    augment: Augment,
    rng: np.random.Generator,
    strength: float,
    spacing: Sequence[float],
) -> torch.Tensor:
    """Return the image out of focus, or of coarser voxels."""
    size = np.asarray(spacing[-(image.ndim - 1) :], float)
    relative = size / size.min()
    if augment.blur > 0 and rng.random() < _SELDOM:
        widest = augment.blur * strength * rng.uniform(_LEAST, 1)
        image = blur(image, widest * rng.uniform(0.6, 1, len(size)) / relative)
    most = (augment.resolution - 1) * strength
    if most > 0 and rng.random() < _SELDOM:
        # Axes that are coarse already stay as they are.
        factors = np.maximum(1, (1 + rng.uniform(_LEAST, 1) * most) / relative)
        if image.ndim == 4 and rng.random() < 0.5:
            only = rng.integers(3)  # slices taken along another axis
            factors[np.arange(3) != only] = 1
        image = coarsen(image, factors)
    return image


def _detector(
    image: torch.Tensor, augment: Augment, rng: np.random.Generator, strength: float, *, grey: bool
) -> torch.Tensor:
    """Return the image with noise, and with faults of single slices."""
    even = augment.noise * strength * rng.uniform(_LEAST, 1) if rng.random() < _SOMETIMES else 0.0
    shot = augment.photons * strength * rng.uniform(_LEAST, 1) if rng.random() < _SOMETIMES else 0.0
    if even > 0 or shot > 0:
        generator = torch.Generator(image.device).manual_seed(int(rng.integers(2**62)))
        image = noise(image, even, shot, generator=generator, together=grey)
    if augment.faults > 0 and image.ndim == 4 and rng.random() < _OFTEN:
        image = spoil_slices(image, rng, min(1.0, augment.faults * strength))
    return image
