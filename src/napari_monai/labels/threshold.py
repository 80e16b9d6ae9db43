"""Labels by intensity: what lies in a range, and where a range starts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EditError
from ..volume import ArrayLike

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

# Voxels that a threshold is worked out from.
_SAMPLES = 1 << 20


def within_range(
    image: npt.NDArray[Any], *, lower: float | None = None, upper: float | None = None
) -> Mask:
    """Return where an image lies in a range, its ends included; NaN never does.

    A limit that is ``None`` is none.

    Raises
    ------
    EditError
        If the lower limit is above the upper one.
    """
    check_range(lower, upper)
    inside: Mask = ~np.isnan(image) if image.dtype.kind == "f" else np.ones(image.shape, np.bool_)
    if lower is not None:
        inside &= image >= lower
    if upper is not None:
        inside &= image <= upper
    return inside


def check_range(lower: float | None, upper: float | None) -> None:
    """Raise EditError if the lower limit is above the upper one."""
    if lower is not None and upper is not None and lower > upper:
        raise EditError(f"The range from {lower:g} to {upper:g} is empty: exchange its ends.")


def threshold(
    labels: Labels,
    image: npt.NDArray[Any],
    *,
    lower: float | None = None,
    upper: float | None = None,
    into: int = 1,
    over: bool = False,
    clear: bool = False,
) -> Labels:
    """Return labels with what lies in a range of intensities added to one of them.

    Parameters
    ----------
    labels
        Whole numbers, 0 for background.
    image
        Of the same shape.
    lower, upper
        The range, ends included; ``None`` is without a limit.
    into
        The label that the voxels become.
    over
        Whether other labels are replaced, and not background alone.
    clear
        Whether voxels of the label that lie outside the range become background.
    """
    inside = within_range(image, lower=lower, upper=upper)
    result = labels.copy()
    if clear:
        result[(labels == into) & ~inside] = 0
    result[inside if over else inside & (labels == 0)] = into
    return result


def otsu(image: ArrayLike) -> float:
    """Return the lowest intensity of what is bright: Otsu's threshold, of a sample of the image.

    The threshold that parts the intensities into two classes with the least variance within them
    (Otsu, IEEE Transactions on Systems, Man, and Cybernetics, 1979). Large images are looked at
    every few voxels along each axis.

    Raises
    ------
    EditError
        If the image is the same everywhere.
    """
    from skimage.filters import threshold_otsu

    voxels = float(np.prod(image.shape, dtype=float))
    step = max(1, round((voxels / _SAMPLES) ** (1 / len(image.shape))))
    sample = np.asarray(image[(slice(None, None, step),) * len(image.shape)]).ravel()
    if sample.dtype.kind == "f":
        sample = sample[np.isfinite(sample)]
    if not sample.size or sample.min() == sample.max():
        raise EditError("The image has no contrast to find a threshold in: give the lower limit.")
    whole = sample.dtype.kind in "iub"
    limit = threshold_otsu(sample.astype(np.int64) if whole else sample)  # type: ignore[no-untyped-call]
    # Above it is bright: the next number that an image of this type can hold.
    return float(limit + 1 if whole else np.nextafter(limit, np.asarray(np.inf, sample.dtype)))
