"""Columns of a table that may have a hundred thousand rows.

A column is an array, so that rows are sorted and found without asking for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Column:
    """One column: its words, and a value a row.

    Parameters
    ----------
    key
        What it is called by code.
    title
        What it is called on the screen, and in the line that filters.
    meaning
        One sentence for the tooltip.
    values
        Numbers or texts, one a row: what is sorted and compared. NaN stands for nothing.
    unit
        Unit of the numbers.
    texts
        What is shown, where that is not the value itself.
    digits
        Significant digits that are shown of numbers that are not whole.
    shown
        Whether it is shown until the user says otherwise.
    """

    key: str
    title: str
    meaning: str
    values: npt.NDArray[Any]
    unit: str = ""
    texts: Sequence[str] | None = None
    digits: int = 4
    shown: bool = True

    @property
    def heading(self) -> str:
        """Title with unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def is_text(self) -> bool:
        """Whether its values are texts."""
        return self.values.dtype.kind in "UO"

    def text(self, row: int) -> str:
        """Return what is shown of a row."""
        if self.texts is not None:
            return str(self.texts[row])
        value = self.values[row]
        if self.values.dtype.kind == "f":
            return number_text(float(value), self.digits)
        return str(value)

    @cached_property
    def lowered(self) -> npt.NDArray[np.str_]:
        """Its texts in small letters."""
        return np.strings.lower(self.values.astype(np.str_))

    def order(self, *, descending: bool = False) -> npt.NDArray[np.intp]:
        """Return the rows by value; what is NaN or no text comes last, what is equal as it was."""
        if self.is_text:
            _, ranks = np.unique(self.lowered, return_inverse=True)
            nothing = self.lowered == ""
        else:
            # Ranks, so that the largest number of any type can be turned round.
            _, ranks = np.unique(self.values, return_inverse=True)
            nothing = np.isnan(self.values) if self.values.dtype.kind == "f" else None
        ranks = -ranks if descending else ranks
        if nothing is not None:
            ranks = np.where(nothing, len(ranks), ranks)
        return np.argsort(ranks, kind="stable")


def number_text(value: float, digits: int = 4) -> str:
    """Return a number as people write it: no exponent where it can be helped, nothing for NaN."""
    if not np.isfinite(value):
        return ""
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if 0 < abs(value) < 10.0 ** (1 - digits):
        return f"{value:.2g}"
    text = f"{value:.{max(0, digits - max(whole, 1))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
