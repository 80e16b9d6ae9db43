"""What a microscope and its camera make of light: blur, haze, loss with depth, and noise.

Point spread functions are Gaussians with the widths of Zhang, Zerubia & Olivo-Marin, "Gaussian
approximations of fluorescence microscope point-spread function models", Applied Optics 46,
1819-1829, 2007 (paraxial): with wave number k, lateral sqrt(2) / (k NA), axial
2 sqrt(6) n / (k NA^2). A confocal's is the product of those of excitation and of emission seen
through a pinhole, a light sheet's that of detection and of the sheet. Shot noise is Poisson's, a
photomultiplier's with an excess factor; a camera adds Gaussian read noise (Janesick, "Photon
transfer", SPIE Press 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from stack_fields import Field, smooth_field

Microscope = Literal["confocal", "lightsheet", "widefield"]
Stack = npt.NDArray[np.uint8 | np.uint16]

# Stokes shift: emission beside excitation.
_STOKES = 1.12


@dataclass(frozen=True)
class Optics:
    """How a stack is taken. Lengths are in µm, light in photons a voxel.

    Attributes
    ----------
    microscope
        Which kind.
    aperture, index, wavelength
        Numerical aperture, refractive index of the immersion, wavelength of emission.
    pinhole
        Of a confocal, how much wider than its diffraction limit emission is let through.
    sheet
        Of a light sheet, the standard deviation of its thickness.
    haze, haze_width
        Share of the light from out of focus, and how far it spreads in the plane.
    scattering
        By how much wider the blur is at the far end of the stack.
    attenuation
        Logarithm of the light that is lost down to there.
    bleaching
        Logarithm of the light that is lost from the last slice, which is taken first, to the first.
    shading
        Standard deviation of the logarithm of uneven illumination.
    stripes
        The same of the shadows in a light sheet, along x.
    photons, background
        In a typical nucleus, and outside.
    excess
        Noise factor: variance over mean of the signal.
    read_noise
        Standard deviation, in photons.
    offset, bits
        Grey value of the dark, and bit depth.
    exposure
        Grey value of the brightest thousandth, as a share of the range; above 1 it is cut off.
    """

    microscope: Microscope
    aperture: float
    index: float
    wavelength: float
    pinhole: float
    sheet: float
    haze: float
    haze_width: float
    scattering: float
    attenuation: float
    bleaching: float
    shading: float
    stripes: float
    photons: float
    background: float
    excess: float
    read_noise: float
    offset: float
    bits: int
    exposure: float

    @property
    def psf(self) -> tuple[float, float, float]:
        """Standard deviations of the point spread function along z, y and x."""
        axial, lateral = _diffraction(self.aperture, self.index, self.wavelength)
        if self.microscope == "confocal":
            exciting = _diffraction(self.aperture, self.index, self.wavelength / _STOKES)
            axial, lateral = (
                _product(e, self.pinhole * w)
                for e, w in zip(exciting, (axial, lateral), strict=True)
            )
        elif self.microscope == "lightsheet":
            axial = _product(axial, self.sheet)
        return axial, lateral, lateral


def _diffraction(aperture: float, index: float, wavelength: float) -> tuple[float, float]:
    """Return the axial and lateral standard deviation of a paraxial point spread function."""
    wave = 2 * np.pi / wavelength
    axial = 2 * np.sqrt(6) * index / (wave * aperture**2)
    return float(axial), float(np.sqrt(2) / (wave * aperture))


def _product(one: float, other: float) -> float:
    """Return the standard deviation of the product of two Gaussians."""
    return float((one**-2 + other**-2) ** -0.5)


def through_lens(light: Field, spacing: Sequence[float], optics: Optics) -> Field:
    """Return the light as the microscope forms its image, with the same mean; z is depth."""
    sigmas = np.array(optics.psf) / np.asarray(spacing)
    image = _blurred(light, sigmas)
    if optics.scattering > 0:
        worse = _blurred(light, sigmas * (1 + optics.scattering))
        image += _ramp(light.shape) * (worse - image)
    if optics.haze > 0:
        image = (1 - optics.haze) * image + optics.haze * _haze(light, spacing, optics)
    return image


def _haze(light: Field, spacing: Sequence[float], optics: Optics) -> Field:
    """Return light from out of focus: cones that widen with distance, as two wide Gaussians."""
    # The half angle of the cone: what spreads by w in the plane comes from w / tan(angle) off it.
    sine = min(0.95, optics.aperture / optics.index)
    slope = sine / np.sqrt(1 - sine**2)
    result = np.zeros_like(light)
    for share, width in ((0.6, optics.haze_width), (0.4, 2.5 * optics.haze_width)):
        result += np.float32(share) * _coarsely_blurred(
            light, np.array([width / slope, width, width]) / np.asarray(spacing)
        )
    return result


def _blurred(light: Field, sigmas: npt.NDArray[np.float64]) -> Field:
    found: Field = ndimage.gaussian_filter(light, sigmas, mode="nearest", truncate=3.5)
    return found


def _coarsely_blurred(light: Field, sigmas: npt.NDArray[np.float64]) -> Field:
    """Return light blurred widely: on means of blocks, which is quicker, and brought back."""
    steps = np.clip(np.floor(sigmas / 2), 1, np.array(light.shape) // 2).astype(int)
    padded = np.pad(light, [(0, -n % s) for n, s in zip(light.shape, steps, strict=True)], "edge")
    shape = [m for n, s in zip(padded.shape, steps, strict=True) for m in (n // s, s)]
    small = ndimage.gaussian_filter(
        padded.reshape(shape).mean((1, 3, 5)), sigmas / steps, mode="nearest", truncate=3
    )
    for axis, (n, step) in enumerate(zip(light.shape, steps, strict=True)):
        at = np.clip((np.arange(n) + 0.5) / step - 0.5, 0, small.shape[axis] - 1)
        low = np.minimum(at.astype(int), max(small.shape[axis] - 2, 0))
        high = np.minimum(low + 1, small.shape[axis] - 1)
        part = (at - low).astype(np.float32).reshape(-1, *(1,) * (2 - axis))
        small = small.take(low, axis) * (1 - part) + small.take(high, axis) * part
    found: Field = small.astype(np.float32)
    return found


def _ramp(shape: Sequence[int]) -> Field:
    """Return 0 at the first slice to 1 at the last, to be multiplied with a stack."""
    return np.linspace(0, 1, shape[0], dtype=np.float32).reshape(-1, 1, 1)


def lit(image: Field, spacing: Sequence[float], optics: Optics, rng: np.random.Generator) -> Field:
    """Return photons a voxel: what is left with depth, lit unevenly, on a background."""
    shape = image.shape
    size = max(n * s for n, s in zip(shape, spacing, strict=True))
    haze = np.exp(0.35 * smooth_field(rng, shape, spacing, size / 3))
    photons = optics.photons * image + optics.background * haze
    ramp = _ramp(shape)
    photons *= np.exp(-optics.attenuation * ramp - optics.bleaching * ramp[::-1])
    # The lamp is the same in all slices.
    lamp = smooth_field(rng, shape[1:], spacing[1:], size / 1.5)
    photons *= np.exp(np.float32(optics.shading) * lamp)
    if optics.stripes > 0:
        shadows = smooth_field(rng, shape[:2], spacing[:2], 0.04 * size)
        photons *= np.exp(np.float32(optics.stripes) * shadows)[:, :, np.newaxis]
    found: Field = np.maximum(photons, 0)
    return found


def recorded(photons: npt.NDArray[Any], optics: Optics, rng: np.random.Generator) -> Stack:
    """Return grey values: counted photons, read noise, gain, offset, and the range of the file."""
    excess = optics.excess
    counts = excess * rng.poisson(photons / excess) + optics.read_noise * rng.standard_normal(
        photons.shape
    )
    top = 2**optics.bits - 1
    bright = max(float(np.percentile(photons, 99.9)), 1e-3)
    gain = (optics.exposure * top - optics.offset) / bright
    grey = np.clip(np.round(optics.offset + gain * counts), 0, top)
    found: Stack = grey.astype(np.uint8 if optics.bits <= 8 else np.uint16)
    return found
