"""Draw fluorescent nuclei in two or three dimensions, with the truth.

Nuclei are warped ellipsoids that crowd where a smooth random field is high. Seen through a
microscope: chromatin texture and nucleoli, blur by the point spread function, haze from out of
focus, uneven illumination, shot and read noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint16]
Picture = npt.NDArray[np.uint8 | np.uint16]


@dataclass(frozen=True)
class Scene:
    """What is under the microscope. Lengths are in µm, light in photons."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    count: int
    radius: float
    radius_spread: float  # standard deviation of the logarithm
    elongation: float  # standard deviation of the logarithm of each half axis
    closest: float  # of two centres, as a share of the sum of their radii
    clustering: float  # 0: nuclei anywhere; the larger, the more they crowd
    mitotic: float  # share of nuclei that are small, bright plates
    brightness: float  # photons in a typical nucleus
    brightness_spread: float  # standard deviation of the logarithm
    background: float  # photons
    psf: tuple[float, ...]  # standard deviations
    haze: float  # share of the light that comes from out of focus
    haze_radius: float
    vignetting: float  # light lost in the corners
    absorption: float  # light lost at the far end of the first axis
    read_noise: float  # photons
    offset: float  # grey values
    gain: float  # grey values a photon
    seed: int


@dataclass(frozen=True)
class Nucleus:
    """One warped ellipsoid: ``axes`` maps an offset in µm to one where the surface is at 1."""

    centre: Array
    axes: Array
    reach: float
    brightness: float
    mitotic: bool
    nucleoli: Array


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], spacing: tuple[float, ...], length: float
) -> Array:
    """Return noise of mean 0 and variance 1 that changes over ``length`` µm."""
    noise = rng.standard_normal(shape)
    noise = ndimage.gaussian_filter(noise, [length / step for step in spacing], mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std())


def place(scene: Scene, rng: np.random.Generator) -> list[Nucleus]:
    """Draw nuclei one by one where they do not sit inside each other."""
    size = np.multiply(scene.shape, scene.spacing)
    crowd = smooth_noise(rng, scene.shape, scene.spacing, 4 * scene.radius)
    nuclei: list[Nucleus] = []
    radii: list[float] = []
    for _ in range(400 * scene.count):
        centre = rng.random(size.size) * size
        chance = rng.random()
        radius = scene.radius * np.exp(scene.radius_spread * rng.standard_normal())
        here = crowd[tuple((centre / scene.spacing).astype(int))]
        if chance > 1 / (1 + np.exp(-scene.clustering * here)):
            continue
        gaps = [
            np.linalg.norm(centre - other.centre) - scene.closest * (radius + r)
            for other, r in zip(nuclei, radii, strict=True)
        ]
        if min(gaps, default=1.0) < 0:
            continue
        nuclei.append(draw_one(scene, rng, centre, radius))
        radii.append(radius)
        if len(nuclei) == scene.count:
            return nuclei
    raise RuntimeError(f"Only {len(nuclei)} of {scene.count} nuclei fit: lower count or closest.")


def draw_one(scene: Scene, rng: np.random.Generator, centre: Array, radius: float) -> Nucleus:
    """Choose the shape and the light of a nucleus."""
    ndim = centre.size
    mitotic = rng.random() < scene.mitotic
    half_axes = radius * np.exp(scene.elongation * rng.standard_normal(ndim))
    if mitotic:
        half_axes = radius * np.array([0.5, 0.95, 0.8])[:ndim]
    rotation, _ = np.linalg.qr(rng.standard_normal((ndim, ndim)))
    spread = 0.3 if mitotic else 1.0
    light = np.exp(scene.brightness_spread * spread * rng.standard_normal()) * (
        2.6 if mitotic else 1.0
    )
    nucleoli = rng.uniform(-0.55, 0.55, (0 if mitotic else int(rng.integers(1, 5)), ndim))
    return Nucleus(
        centre=centre,
        axes=np.diag(1 / half_axes) @ rotation.T,
        reach=float(half_axes.max()),
        brightness=scene.brightness * light,
        mitotic=mitotic,
        nucleoli=nucleoli,
    )


def draw(scene: Scene, rng: np.random.Generator) -> tuple[Array, Labels]:
    """Return the light that the nuclei send out, in photons, and which nucleus is where."""
    positions = np.indices(scene.shape).astype(float)
    for axis, step in enumerate(scene.spacing):
        warp = smooth_noise(rng, scene.shape, scene.spacing, 0.55 * scene.radius)
        positions[axis] = positions[axis] * step + 0.11 * scene.radius * warp
    coarse = smooth_noise(rng, scene.shape, scene.spacing, 0.22 * scene.radius)
    fine = smooth_noise(rng, scene.shape, scene.spacing, 0.09 * scene.radius)
    light = np.zeros(scene.shape)
    nearest = np.ones(scene.shape)  # normalised distance from the centre of the owner
    labels = np.zeros(scene.shape, np.uint16)
    for number, nucleus in enumerate(place(scene, rng), 1):
        box = tuple(
            slice(
                max(int((c - 1.3 * nucleus.reach) / s), 0), int((c + 1.3 * nucleus.reach) / s) + 2
            )
            for c, s in zip(nucleus.centre, scene.spacing, strict=True)
        )
        offsets = np.moveaxis(positions[(slice(None), *box)], 0, -1) - nucleus.centre
        local = offsets @ nucleus.axes.T
        radius = np.sqrt((local**2).sum(-1))
        contrast = 0.7 if nucleus.mitotic else 1.0
        texture = 1 + contrast * (0.17 * coarse[box] + 0.14 * fine[box])
        for spot in nucleus.nucleoli:
            texture -= 0.32 * np.exp(-((local - spot) ** 2).sum(-1) / (2 * 0.16**2))
        # Thick in the middle: in a widefield image light adds up along the third axis.
        dome = 0.7 + 0.3 * np.sqrt(np.clip(1 - radius**2, 0, None))
        edge = np.clip((1 - radius) * nucleus.reach / min(scene.spacing) + 0.5, 0, 1)
        glow = nucleus.brightness * edge * dome * np.clip(texture, 0.2, None)
        if len(scene.shape) == 2:
            light[box] += glow  # one nucleus lies over the other
        else:
            light[box] = np.maximum(light[box], glow)
        owned = radius < nearest[box]
        nearest[box][owned] = radius[owned]
        labels[box][owned] = number
    return light, tidy(labels)


def tidy(labels: Labels) -> Labels:
    """Keep the largest piece of each nucleus and number them without gaps."""
    result = np.zeros_like(labels)
    number = 0
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        if box is None:
            continue
        pieces, _ = ndimage.label(labels[box] == label)
        sizes = np.bincount(pieces.ravel())[1:]
        if sizes.max() < 12:  # a sliver at the border
            continue
        number += 1
        result[box][pieces == sizes.argmax() + 1] = number
    return result


def photograph(scene: Scene, light: Array, rng: np.random.Generator) -> Picture:
    """Return what the camera records, in grey values."""
    near = ndimage.gaussian_filter(
        light, [p / s for p, s in zip(scene.psf, scene.spacing, strict=True)]
    )
    far = ndimage.gaussian_filter(light, [scene.haze_radius / s for s in scene.spacing])
    glow = smooth_noise(rng, scene.shape, scene.spacing, 10 * scene.radius)
    photons = (1 - scene.haze) * near + scene.haze * far + scene.background * (1 + 0.3 * glow)
    rows, columns = np.indices(scene.shape[-2:]) / (np.array(scene.shape[-2:])[:, None, None] - 1)
    distance = (rows - 0.42) ** 2 + (columns - 0.55) ** 2  # the lamp is never quite centred
    photons *= 1 - scene.vignetting * distance / distance.max()
    depth = np.linspace(0, 1, scene.shape[0]).reshape(-1, *[1] * (len(scene.shape) - 1))
    photons *= 1 - scene.absorption * depth
    # Rounded first, so that the last bit of a library's exp() cannot change what is drawn.
    photons = np.clip(np.round(photons, 2), 0, None)
    counts = rng.poisson(photons) + scene.read_noise * rng.standard_normal(scene.shape)
    grey = np.clip(np.round(scene.offset + scene.gain * counts), 0, None)
    if len(scene.shape) == 2:
        return np.asarray(np.minimum(grey, 4095), np.uint16)  # a 12-bit camera
    return np.asarray(np.minimum(grey, 255), np.uint8)


def generate(scene: Scene) -> tuple[Picture, Labels]:
    """Return an image of nuclei and its truth: 0 is background, then one number a nucleus."""
    rng = np.random.default_rng(scene.seed)
    light, labels = draw(scene, rng)
    return photograph(scene, light, rng), labels


NUCLEI_2D = Scene(
    shape=(512, 512),
    spacing=(0.5, 0.5),
    count=150,
    radius=6.0,
    radius_spread=0.16,
    elongation=0.17,
    closest=0.82,
    clustering=1.5,
    mitotic=0.03,
    brightness=420.0,
    brightness_spread=0.34,
    background=38.0,
    psf=(0.6, 0.6),
    haze=0.16,
    haze_radius=9.0,
    vignetting=0.35,
    absorption=0.0,
    read_noise=3.0,
    offset=100.0,
    gain=1.6,
    seed=20,
)

NUCLEI_3D = Scene(
    shape=(32, 192, 192),
    spacing=(1.0, 0.4, 0.4),
    count=95,
    radius=5.2,
    radius_spread=0.12,
    elongation=0.15,
    closest=0.84,
    clustering=1.6,
    mitotic=0.03,
    brightness=85.0,
    brightness_spread=0.28,
    background=4.0,
    psf=(0.9, 0.3, 0.3),
    haze=0.12,
    haze_radius=5.0,
    vignetting=0.12,
    absorption=0.4,
    read_noise=1.2,
    offset=5.0,
    gain=1.2,
    seed=3,
)
