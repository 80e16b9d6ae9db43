"""nnU-Net's rules for spacing, patch, levels and batch, as plain functions of numbers.

Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation", Nature Methods 18, 203-211, 2021; in numbers as its second version has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, prod

import numpy as np

# An axis is coarse whose spacing is so many times that of the others.
_ANISOTROPIC = 3.0
# Voxels along an axis of a patch that none needs to exceed, by the number of axes.
_LARGEST = {2: 2048, 3: 256}
# Axes are shrunk while they have twice as many voxels, the last one while it has three times.
_SMALLEST = 4
# Part of all training voxels that one batch may show.
_COVERED = 0.05

Axes = tuple[int, ...]


@dataclass(frozen=True)
class Topology:
    """The levels of a network for a patch.

    Attributes
    ----------
    patch
        Size of the patch, a multiple of what the strides need.
    strides
        By how much each level shrinks each axis; 1 for the first.
    kernels
        Kernel sizes of each level: 1 along axes much coarser than the others, else 3.
    """

    patch: Axes
    strides: tuple[Axes, ...]
    kernels: tuple[Axes, ...]

    @property
    def multiples(self) -> Axes:
        """What each axis is shrunk by in all."""
        return tuple(prod(steps) for steps in zip(*self.strides, strict=True))

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.strides)


def target_spacing(
    spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]
) -> tuple[float, ...]:
    """Return the spacing to resample images to: the median along each axis.

    Along an axis that is much coarser, and has much fewer voxels, the tenth percentile: so few
    slices are not made fewer.
    """
    all_spacings = np.asarray(spacings, np.float64)
    target = np.median(all_spacings, axis=0)
    size = np.median(np.asarray(shapes, np.float64), axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(len(target)) if axis != worst]
    finest = max(target[others])
    coarse = target[worst] > _ANISOTROPIC * finest
    if coarse and size[worst] * _ANISOTROPIC < min(size[others]):
        target[worst] = max(np.percentile(all_spacings[:, worst], 10), finest)
    return tuple(float(step) for step in target)


def levels_of(spacing: Sequence[float], patch: Sequence[float], *, most: int = 99) -> Topology:
    """Return the levels of a network for a patch of about a size.

    Axes are halved together while their spacings differ by less than twice, the finest first,
    until few voxels are left.

    Parameters
    ----------
    spacing
        Of each axis.
    patch
        Size of the patch; that of the result is rounded up.
    most
        Number of levels, the first included, that there may be.
    """
    steps, sizes = list(map(float, spacing)), list(map(float, patch))
    ndim = len(steps)
    kernel = [1] * ndim
    strides: list[Axes] = [(1,) * ndim]
    kernels: list[Axes] = []
    while len(strides) < most:
        large = [axis for axis in range(ndim) if sizes[axis] >= 2 * _SMALLEST]
        finest = min((steps[axis] for axis in large), default=0.0)
        halved = [axis for axis in large if steps[axis] < 2 * finest]
        if not halved or (len(halved) == 1 and sizes[halved[0]] < 3 * _SMALLEST):
            break
        kernel = [3 if steps[a] < 2 * min(steps) else kernel[a] for a in range(ndim)]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in halved else 1 for axis in range(ndim)))
        for axis in halved:
            steps[axis] *= 2
            sizes[axis] = ceil(sizes[axis] / 2)
    kernels.append((3,) * ndim)
    multiples = [prod(each) for each in zip(*strides, strict=True)]
    rounded = tuple(ceil(n / m) * m for n, m in zip(patch, multiples, strict=True))
    return Topology(rounded, tuple(strides), tuple(kernels))


def fit_topology(
    spacing: Sequence[float],
    median_shape: Sequence[float],
    fits: Callable[[Topology], bool],
    *,
    largest: Sequence[int] | None = None,
    most: int = 99,
) -> Topology:
    """Return the levels for the largest patch that fits a budget.

    A patch begins as a cube in space no larger than the median image, and is cut along the axis
    on which it shows most of an image until it fits.

    Parameters
    ----------
    spacing, median_shape
        Of the prepared images.
    fits
        Whether a patch, and its levels, are within the budget.
    largest
        Sizes that the patch may not exceed.
    most
        Number of levels that there may be.
    """
    ndim = len(spacing)
    fineness = 1 / np.asarray(spacing, np.float64)
    cube = fineness * (_LARGEST[ndim] ** ndim / np.prod(fineness)) ** (1 / ndim)
    first = np.minimum(np.round(cube), median_shape)
    if largest is not None:
        first = np.minimum(first, largest)
    found = levels_of(spacing, first, most=most)
    while not fits(found) and max(found.patch) > _SMALLEST:
        patch = list(found.patch)
        parts = [n / whole for n, whole in zip(patch, median_shape, strict=True)]
        axis = max(range(ndim), key=lambda a: (parts[a], a))
        # With one level less the step to the next size may be a smaller one.
        less = [n - m if a == axis else n for a, (n, m) in enumerate(
            zip(patch, found.multiples, strict=True))]  # fmt: skip
        if less[axis] < 1:
            break
        patch[axis] -= levels_of(spacing, less, most=most).multiples[axis]
        found = levels_of(spacing, patch, most=most)
    return found


def fit_batch(
    patch: Sequence[int], voxels: float, headroom: float, *, least: int = 2, most: int = 256
) -> int:
    """Return how many patches a batch has.

    Parameters
    ----------
    patch
        Size of a patch.
    voxels
        Those of all training images.
    headroom
        How many patches fit the budget.
    least, most
        How many there are whatever fits: a batch shows no more than 5 % of all voxels but for the
        least.
    """
    covered = round(voxels * _COVERED / prod(patch))
    return max(least, min(round(headroom), covered, most))


def feature_maps(
    topology: Topology, features: Sequence[int], *, outputs: int, convolutions: int = 2
) -> int:
    """Return the values that the convolutions of nnU-Net's plain network give for a patch.

    It is what nnU-Net takes for the memory of a network.
    """
    total, size = 0, np.asarray(topology.patch)
    sizes = []
    for stride, width in zip(topology.strides, features, strict=True):
        size = size // np.asarray(stride)
        sizes.append(int(np.prod(size)))
        total += convolutions * width * sizes[-1]
    for voxels, width in zip(sizes[:-1], features, strict=False):
        total += (1 + convolutions) * width * voxels
    return total + outputs * sizes[0]
