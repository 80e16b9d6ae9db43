"""Boolean operations between two arrays of labels of one shape; new arrays are returned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import EditError

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
How = Literal["or", "and", "minus", "xor", "replace"]


def combine(
    labels: Labels,
    other: Labels,
    *,
    how: How,
    values: Iterable[int] | None = None,
    same: bool = False,
    over: bool = False,
    into: int | None = None,
    shift: int = 0,
) -> Labels:
    """Return labels combined with others, voxel by voxel.

    Parameters
    ----------
    labels, other
        Whole numbers, 0 for background, of one shape.
    how
        ``"or"`` adds the other labels; ``"and"`` keeps what has an other label too; ``"minus"``
        removes what has one; ``"xor"`` removes what has one and adds the others elsewhere;
        ``"replace"`` removes the labels and puts the others in their place.
    values
        The labels that lose or are replaced; ``None`` is all. With ``same``, also the only other
        labels that count.
    same
        Whether a label is compared with the other one of its own number; otherwise any counts.
    over
        Whether the others that are added win where there is a label already.
    into
        The number that is given to all that is added; its own when left out.
    shift
        What is added to the numbers of what is added, where ``into`` is left out.

    Returns
    -------
    numpy.ndarray
        Of the type of ``labels``, or of a larger one where a new number does not fit it.

    Raises
    ------
    EditError
        If the shapes differ or there is no such operation.
    """
    if labels.shape != other.shape:
        raise EditError(
            f"Labels of shape {labels.shape} and of shape {other.shape} cannot be combined: take "
            "two of one grid."
        )
    mine, theirs = _among(labels, values), _among(other, values if same else None)
    both = mine & (other == labels) if same else mine & theirs
    nothing = np.zeros_like(mine)
    removed, added = {
        "or": (nothing, theirs),
        "and": (mine & ~both, nothing),
        "minus": (both, nothing),
        "xor": (both, theirs & ~both),
        "replace": (mine, theirs),
    }.get(how, (None, None))
    if removed is None or added is None:
        raise EditError(f"Labels are combined by or, and, minus, xor or replace, not {how!r}.")
    if how == "replace":
        added = added & ((labels == 0) | mine | over)
    else:
        added = added & ((labels == 0) | (mine & over))
    new = other[added] if into is None else np.array([into] if added.any() else [], np.int64)
    shift = shift if into is None else 0
    kind = _type_for(labels, new, shift)
    result = labels.astype(kind)
    result[removed] = 0
    result[added] = new.astype(kind) + kind.type(shift)
    return result


def _among(labels: Labels, values: Iterable[int] | None) -> Mask:
    there: Mask = labels != 0
    return there if values is None else there & np.isin(labels, list(values))


def _type_for(labels: Labels, new: Labels, shift: int) -> np.dtype[Any]:
    """Return the type of labels if it holds new numbers with a shift, or one that holds both."""
    if not new.size:
        return labels.dtype
    low, high = int(new.min()) + shift, int(new.max()) + shift
    limits = np.iinfo(labels.dtype)
    if limits.min <= low and high <= limits.max:
        return labels.dtype
    low, high = min(low, int(labels.min())), max(high, int(labels.max()))
    for kind in (np.dtype(np.int64), np.dtype(np.uint64)):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return kind
    raise EditError(
        f"The labels would have numbers from {low} to {high}, which no type holds: give all that "
        "is added one number."
    )
