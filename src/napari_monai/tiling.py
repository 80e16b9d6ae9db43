"""Windows over an image: where they lie, how they blend, and what each of them finishes.

Pure arithmetic on shapes. Windows stand on a regular lattice, so that positions, weights and
finished parts all come apart into one list an axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import SettingsError
from .settings import Blend

Weights = npt.NDArray[np.float32]
Box = tuple[slice, ...]

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
    """

    shape: tuple[int, ...]
    window: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    starts: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[Weights, ...], ...]

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
        """Return an array with its last axes padded: mirrored, or repeated where one voxel wide."""
        if not any(map(any, self.padding)):
            return array
        lead = array.ndim - len(self.shape)
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
) -> Tiling:
    """Return evenly spaced windows that cover an image.

    Parameters
    ----------
    shape
        Shape of the image.
    window
        Size of a window along each axis. It shrinks to an image that is smaller, though not
        below two multiples, and grows to the next multiple.
    overlap
        Least part of a window that the next one covers again.
    blend
        Weights of a window: ``"gaussian"``, highest in the middle, or ``"constant"``.
    multiple
        What the sides of a window must be multiples of, one an axis or one for all.
    """
    if len(window) != len(shape):
        raise SettingsError(f"Window {tuple(window)} needs {len(shape)} numbers, one an axis.")
    multiples = (multiple,) * len(shape) if isinstance(multiple, int) else tuple(multiple)
    sides, padding, starts, weights = [], [], [], []
    for n, wanted, m in zip(shape, window, multiples, strict=True):
        # Two multiples: with one, a network whose deepest layer has one voxel cannot normalise.
        side = -(-min(max(n, 2 * m), wanted) // m) * m
        missing = max(0, side - n)
        sides.append(side)
        padding.append((missing // 2, missing - missing // 2))
        starts.append(_starts(max(n, side), side, overlap))
        weights.append(_weights(starts[-1], side, max(n, side), blend))
    return Tiling(
        tuple(int(n) for n in shape), tuple(sides), tuple(padding), tuple(starts), tuple(weights)
    )


def _starts(n: int, side: int, overlap: float) -> tuple[int, ...]:
    """Return the fewest evenly spaced starts whose windows overlap by no less than asked."""
    step = max(1, int(side * (1 - overlap)))
    gaps = -(-(n - side) // step)
    if gaps == 0:
        return (0,)
    return tuple((2 * i * (n - side) + gaps) // (2 * gaps) for i in range(gaps + 1))


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
