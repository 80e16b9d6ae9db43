"""NIfTI affines of every orientation, straight and oblique."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np

ORIENTATIONS = [
    "".join(letters)
    for order in itertools.permutations(("RL", "AP", "SI"))
    for letters in itertools.product(*order)
]
SHAPE, SPACING = (5, 6, 7), (0.7, 1.2, 3.0)


def rotation(degrees: float) -> np.ndarray:
    """Return a rotation about an axis that is none of the world's."""
    axis, angle = np.array((1.0, 2.0, 3.0)) / np.sqrt(14), np.radians(degrees)
    cross = np.cross(np.eye(3), axis)
    return (
        np.cos(angle) * np.eye(3)
        - np.sin(angle) * cross
        + (1 - np.cos(angle)) * np.outer(axis, axis)
    )


def affine_of(codes: str, degrees: float = 0.0) -> np.ndarray:
    """Return a NIfTI affine whose axes run to ``codes``, leaning by so many degrees."""
    ornt = nib.orientations.axcodes2ornt(codes)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(ornt):
        affine[int(world), axis] = sign * SPACING[axis]
    affine[:3, :3] = rotation(degrees) @ affine[:3, :3]
    affine[:3, 3] = (-31.0, 17.5, 204.25)
    return affine


def sheared(codes: str, degrees: float = 0.0) -> np.ndarray:
    """Return such an affine with its slices shifted, as a tilted gantry leaves them."""
    affine = affine_of(codes, degrees)
    affine[:3, 2] += 0.4 * affine[:3, 1]
    return affine


LEANING = {
    "straight": affine_of,
    "oblique": lambda codes: affine_of(codes, 16),
    "sheared": sheared,
}
