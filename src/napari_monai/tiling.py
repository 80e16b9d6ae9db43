"""Windows over an image: where they lie, how they blend, and what each of them finishes.

Pure arithmetic on shapes. Windows stand on a lattice, so that positions and finished parts come
apart into one list an axis; so do the weights, but for those of MONAI's and nnU-Net's Gaussians,
which have a floor: near a corner of the window all voxels weigh the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .errors import SettingsError
from .settings import Blend

Weights = npt.NDArray[np.float32]
Box = tuple[slice, ...]
Steps = Literal["even", "monai", "nnunet"]
Padding = Literal["mirror", "zeros", "edge"]

# Standard deviation of the Gaussian as a part of the window: that of nnU-Net (Isensee 2021).
_SIGMA = 1 / 8


@dataclass(frozen=True, eq=False)
class Tiling:
    """A lattice of windows, numbered with the last axis fastest.

    Parameters
    ----------
    shape
        Shape of the image.
    window
        Shape of every window.
    padding
        Voxels put before and after the image on each axis, where it is smaller than the window.
    starts
        First voxel of the windows along each axis, rising, in the padded image.
    weights
        Along each axis, the weights of each window's voxels. At any voxel, those of all windows
        over it sum to 1; the weight in space is the product over the axes.
    importance
        The weight of each voxel of a window, of the window's shape, where it does not come apart
        into axes: then ``weights`` are 1, and sums are divided by those of these.
    fill
        What stands in the padding: the image mirrored, zeros, or the voxels of its border.
    """

    shape: tuple[int, ...]
    window: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    starts: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[Weights, ...], ...]
    importance: Weights | None = None
    fill: Padding = "mirror"

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def total(self) -> int:
        """Number of windows."""
        return int(np.prod([len(s) for s in self.starts]))

    @property
    def per_row(self) -> int:
        """Number of windows with the same place along the first axis: they follow each other."""
        return self.total // len(self.starts[0])

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """Shape of the image with its padding."""
        return tuple(n + a + b for n, (a, b) in zip(self.shape, self.padding, strict=True))

    def place(self, index: int) -> tuple[int, ...]:
        """Return which window along each axis the window of a number is."""
        return tuple(int(i) for i in np.unravel_index(index, [len(s) for s in self.starts]))

    def box(self, index: int) -> Box:
        """Return where a window lies in the padded image."""
        corner = (s[i] for s, i in zip(self.starts, self.place(index), strict=True))
        return tuple(slice(a, a + w) for a, w in zip(corner, self.window, strict=True))

    def cell(self, index: int) -> Box:
        """Return the part of the padded image that the window of a number finishes.

        No later window reaches into it when windows are done in order. The cells of all windows
        tile the padded image, and each lies in its own window.
        """
        sides = []
        for starts, i, n in zip(self.starts, self.place(index), self.padded_shape, strict=True):
            sides.append(slice(starts[i], starts[i + 1] if i + 1 < len(starts) else n))
        return tuple(sides)

    def unpadded(self, box: Box) -> Box:
        """Return the part of a box of the padded image that lies on the image, in its indices."""
        sides = zip(box, self.padding, self.shape, strict=True)
        return tuple(
            slice(max(0, side.start - before), min(n, side.stop - before))
            for side, (before, _), n in sides
        )

    def pad(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return an array with its last axes padded.

        An axis that is to be mirrored and is one voxel wide is repeated.
        """
        if not any(map(any, self.padding)):
            return array
        lead = array.ndim - len(self.shape)
        if self.fill != "mirror":
            mode: Literal["constant", "edge"] = "constant" if self.fill == "zeros" else "edge"
            return np.pad(array, [(0, 0)] * lead + list(self.padding), mode=mode)
        for axis, (n, widths) in enumerate(zip(self.shape, self.padding, strict=True), start=lead):
            pads = [widths if a == axis else (0, 0) for a in range(array.ndim)]
            array = np.pad(array, pads, mode="reflect") if n > 1 else np.pad(array, pads, "edge")
        return array


def plan(
    shape: Sequence[int],
    window: Sequence[int],
    *,
    overlap: float = 0.5,
    blend: Blend = "gaussian",
    multiple: Sequence[int] | int = 1,
    steps: Steps = "even",
    padding: Padding = "mirror",
) -> Tiling:
    """Return windows that cover an image.

    Parameters
    ----------
    shape
        Shape of the image.
    window
        Size of a window along each axis. It grows to the next multiple, and where the ``steps``
        are even it shrinks to an image that is smaller, though not below two multiples.
    overlap
        Least part of a window that the next one covers again.
    blend
        Weights of a window: ``"gaussian"``, highest in the middle, or ``"constant"``.
    multiple
        What the sides of a window must be multiples of, one an axis or one for all.
    steps
        Where windows lie and which Gaussian they have: ``"even"``, as few as suffice at equal
        distances; or those of ``monai.inferers.sliding_window_inference`` or of nnU-Net's
        predictor, for models that were tuned with them.
    padding
        What stands beside an image that is smaller than a window.
    """
    if len(window) != len(shape):
        raise SettingsError(f"Window {tuple(window)} needs {len(shape)} numbers, one an axis.")
    multiples = (multiple,) * len(shape) if isinstance(multiple, int) else tuple(multiple)
    sides, pads, starts = [], [], []
    for n, wanted, m in zip(shape, window, multiples, strict=True):
        # Two multiples: with one, a network whose deepest layer has one voxel cannot normalise.
        least = min(max(n, 2 * m), wanted) if steps == "even" else wanted
        side = -(-least // m) * m
        missing = max(0, side - n)
        sides.append(side)
        pads.append((missing // 2, missing - missing // 2))
        starts.append(_STARTS[steps](max(n, side), side, overlap))
    importance = None
    if steps != "even" and blend == "gaussian" and any(len(s) > 1 for s in starts):
        importance = _IMPORTANCE[steps](sides)
    weights = [
        _weights(s, side, max(n, side), blend)
        if importance is None
        else (np.ones(side, np.float32),) * len(s)
        for s, side, n in zip(starts, sides, shape, strict=True)
    ]
    return Tiling(
        tuple(int(n) for n in shape),
        tuple(sides),
        tuple(pads),
        tuple(starts),
        tuple(weights),
        importance,
        padding,
    )


# -- where windows begin ----------------------------------------------------------------------


def _even_starts(n: int, side: int, overlap: float) -> tuple[int, ...]:
    """Return the fewest evenly spaced starts whose windows overlap by no less than asked."""
    step = max(1, int(side * (1 - overlap)))
    gaps = -(-(n - side) // step)
    if gaps == 0:
        return (0,)
    return tuple((2 * i * (n - side) + gaps) // (2 * gaps) for i in range(gaps + 1))


def _monai_starts(n: int, side: int, overlap: float) -> tuple[int, ...]:
    """Return starts at equal steps, but for the last window, which ends where the image does."""
    step = max(1, int(side * (1 - overlap)))
    return (*range(0, n - side, step), n - side)


def _nnunet_starts(n: int, side: int, overlap: float) -> tuple[int, ...]:
    """Return evenly spaced starts; a half is rounded to the even number, as numpy does."""
    # nnU-Net is told the step and not the overlap: 0.3, which is not 1 - 0.7.
    gaps = math.ceil((n - side) / max(1, side * round(1 - overlap, 12)))
    if gaps == 0:
        return (0,)
    return tuple(int(np.round((n - side) / gaps * i)) for i in range(gaps + 1))


_STARTS: Mapping[Steps, Callable[[int, int, float], tuple[int, ...]]] = {
    "even": _even_starts,
    "monai": _monai_starts,
    "nnunet": _nnunet_starts,
}


# -- what their voxels weigh ------------------------------------------------------------------


def _weights(starts: Sequence[int], side: int, n: int, blend: Blend) -> tuple[Weights, ...]:
    """Return the weights of each window along one axis, summing to 1 at every voxel.

    The Gaussian falls to 3e-4 at a window's edge, so it never vanishes, and at the image's edge,
    where there is one window only, its weight is 1.
    """
    profile = np.ones(side)
    if blend == "gaussian":
        away = (np.arange(side) - (side - 1) / 2) / (side * _SIGMA)
        profile = np.exp(-0.5 * away**2)
    total = np.zeros(n)
    for start in starts:
        total[start : start + side] += profile
    return tuple((profile / total[s : s + side]).astype(np.float32) for s in starts)


def _monai_importance(sides: Sequence[int]) -> Weights:
    """Return MONAI's Gaussian about the middle of a window, nowhere below 1e-3."""
    lines = []
    for side in sides:
        away = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
        lines.append(np.exp(away**2 / np.float32(-2 * (side * _SIGMA) ** 2)))
    product: Weights = reduce(np.multiply.outer, lines)
    return np.maximum(product, np.float32(1e-3))


def _nnunet_importance(sides: Sequence[int]) -> Weights:
    """Return nnU-Net's Gaussian about a window's voxel ``side // 2``, as float16 keeps it.

    It is 10 in the middle. What float16 cannot tell from 0 weighs as much as the least that it
    can.
    """
    lines = []
    for side in sides:
        point = np.zeros(side)
        point[side // 2] = 1
        lines.append(ndimage.gaussian_filter1d(point, side * _SIGMA, mode="constant"))
    product = reduce(np.multiply.outer, lines)
    product /= product.max() / 10
    # By way of float32, as torch does it.
    rounded: Weights = product.astype(np.float32).astype(np.float16).astype(np.float32)
    least: np.float32 = rounded[rounded > 0].min()
    return np.maximum(rounded, least)


_IMPORTANCE: Mapping[str, Callable[[Sequence[int]], Weights]] = {
    "monai": _monai_importance,
    "nnunet": _nnunet_importance,
}
