"""How patches are changed, and how much for each kind of image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["fluorescence", "histology", "em", "ct", "mr"]


@dataclass(frozen=True)
class Augment:
    """How patches are changed; 0 is never for all but ``scale``, where that is 1.

    Intensities are changed in a range of their own, in which an image's darkest voxels are 0 and
    its brightest 1 whatever its preprocessing made of them, and all by ``intensity``.

    Attributes
    ----------
    kind
        The kind of image that is imitated, for messages.
    flips
        Whether patches are mirrored.
    rotations
        Whether they are turned.
    angle
        Largest angle in the plane of the slices, in degrees; 180 is any.
    tilt
        Largest angle out of that plane, in degrees; less where slices are thick.
    scale
        Largest factor of the size, either way.
    elastic
        Standard deviation of a smooth displacement, as part of the distance between its control
        points, of which there is one a quarter of the patch.
    intensity
        Factor of all that follows.
    gain, offset, gamma
        Standard deviations: of the logarithm of a factor, of what is added, of the logarithm of
        an exponent.
    channels
        Standard deviation of the logarithm of a factor that each channel gets of its own.
    noise, photons
        Largest standard deviation of noise: everywhere, and of that which grows with the square
        root of the signal where that is 1, as counted photons have it.
    blur
        Largest standard deviation of a blur, in voxels of the finest axis.
    resolution
        Largest factor by which voxels are made coarser before they are interpolated back.
    inversion
        Part of the patches in which dark and bright are swapped.
    stain
        Largest part by which the amount of a stain changes, in optical density.
    shading
        Largest logarithm of a smooth field that multiplies the image: uneven light, or the bias
        field of MR.
    faults
        Part of a volume's slices that are missing, faint or out of focus.
    colour
        Whether the channels are red, green and blue, with one range for all.
    """

    kind: str = ""
    flips: bool = True
    rotations: bool = True
    angle: float = 180.0
    tilt: float = 0.0
    scale: float = 1.4
    elastic: float = 0.0
    intensity: float = 1.0
    gain: float = 0.25
    offset: float = 0.1
    gamma: float = 0.35
    channels: float = 0.1
    noise: float = 0.1
    photons: float = 0.0
    blur: float = 1.2
    resolution: float = 0.0
    inversion: float = 0.0
    stain: float = 0.0
    shading: float = 0.0
    faults: float = 0.0
    colour: bool = False


# Patches as they are, on which a loss is measured.
UNCHANGED = Augment(flips=False, rotations=False, scale=1.0, intensity=0.0)

# Patients have a left and a right, and lie in the scanner as they do: no mirroring, small angles.
# Cells and tissue have neither.
PRESETS: dict[Kind, Augment] = {
    "fluorescence": Augment(
        kind="fluorescence",
        tilt=20.0,
        scale=1.4,
        elastic=0.08,
        photons=0.1,
        noise=0.06,
        resolution=2.0,
        shading=0.4,
    ),
    "histology": Augment(
        kind="histology",
        scale=1.4,
        elastic=0.06,
        gain=0.1,
        offset=0.05,
        gamma=0.25,
        channels=0.07,
        noise=0.05,
        resolution=1.7,
        stain=0.3,
        shading=0.15,
    ),
    "em": Augment(
        kind="em",
        tilt=20.0,
        scale=1.25,
        elastic=0.1,
        gain=0.2,
        gamma=0.3,
        noise=0.08,
        resolution=1.7,
        shading=0.2,
        faults=0.05,
    ),
    "ct": Augment(
        kind="ct",
        flips=False,
        angle=20.0,
        tilt=15.0,
        scale=1.3,
        elastic=0.06,
        gain=0.1,
        offset=0.04,
        gamma=0.15,
        noise=0.04,
        blur=1.0,
        resolution=2.0,
    ),
    "mr": Augment(
        kind="mr",
        flips=False,
        angle=20.0,
        tilt=15.0,
        scale=1.3,
        elastic=0.06,
        gain=0.2,
        offset=0.05,
        gamma=0.35,
        noise=0.06,
        blur=1.0,
        resolution=2.0,
        shading=0.5,
    ),
}
