"""Copy slices of labels to other ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[Any]


def copied(
    source: Labels,
    target: Labels,
    *,
    values: Iterable[int] | None = None,
    over: bool = False,
    clear: bool = True,
) -> Labels:
    """Return a slice with the labels of another one in it.

    Parameters
    ----------
    source, target
        Labels of one shape; slices of a volume, or several at once.
    values
        The labels that are copied; ``None`` is all.
    over
        Whether they are put over other labels in the target, and not over background alone.
    clear
        Whether what the target has of these labels goes first; otherwise both are there.
    """
    numbers = None if values is None else list(values)
    result = target.copy()
    if clear:
        result[(target != 0) if numbers is None else np.isin(target, numbers)] = 0
    chosen = source != 0
    if numbers is not None:
        chosen &= np.isin(source, numbers)
    if not over:
        chosen &= result == 0
    result[chosen] = source[chosen]
    return result
