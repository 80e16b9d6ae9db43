"""The line that filters a table: ``volume > 50``, ``class = liver``, plain words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .columns import Column

Mask = npt.NDArray[np.bool_]

# Texts in quotes, signs, what parts terms, words.
_TOKEN = re.compile(r'"[^"]*"?|<=|>=|!=|==|[=<>≤≥≠,;&]|[^\s"<>=!≤≥≠,;&]+')
_SIGNS = {s: s for s in ("<", ">", "<=", ">=", "!=", "=")} | {
    "==": "=",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
}
_COMPARE = {
    "<": np.less,
    ">": np.greater,
    "<=": np.less_equal,
    ">=": np.greater_equal,
}
_PARTING = (",", ";", "&", "and")
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)(?:-|\.\.)(-?\d+(?:\.\d+)?)")
_SUPERSCRIPT = str.maketrans("²³", "23")


@dataclass(frozen=True, eq=False)
class Matches:
    """Which rows a line asks for, and what of it is not understood."""

    rows: Mask
    problem: str = ""


def matching(text: str, columns: Sequence[Column]) -> Matches:
    """Return which rows a line of text asks for.

    ``volume > 50`` compares the numbers of a column, named by its title or the beginning of it;
    ``class = liver`` looks for a text in it; ``label = 3, 5-9`` for several numbers. All terms
    have to be true, and all other words: a word is true where a text column holds it, or where it
    is the number in the first column. A term that is not understood, or not finished yet, asks
    for nothing, and is the ``problem``.
    """
    rows = np.ones(len(columns[0].values) if columns else 0, bool)
    words, problem = _Terms(text, columns).take(rows)
    for word in words:
        rows &= _holds(word, columns)
    return Matches(rows, problem)


class _Terms:
    """The tokens of a line, from which comparisons are taken one by one."""

    def __init__(self, text: str, columns: Sequence[Column]) -> None:
        self._tokens = _TOKEN.findall(text)
        self._columns = columns

    def take(self, rows: Mask) -> tuple[list[str], str]:
        """Narrow the rows by each comparison; return the words that are left, and a problem."""
        words: list[str] = []
        problem, at = "", 0
        while at < len(self._tokens):
            token = self._tokens[at]
            at += 1
            if token in _SIGNS:
                column, used = self._column(words)
                del words[len(words) - used :]
                values, at = self._values(column, at)
                said = _narrow(rows, column, _SIGNS[token], values)
                problem = problem or said or ("" if column else self._unknown(at))
            elif token.lower() not in _PARTING:
                words.append(token)
        return [w.strip('"') for w in words if w.strip('"')], problem

    def _column(self, words: Sequence[str]) -> tuple[Column | None, int]:
        """Return the column that the last of these words name, and how many these are."""
        longest = max((len(column.title.split()) for column in self._columns), default=0)
        for count in range(min(longest, len(words)), 0, -1):
            name = " ".join(words[len(words) - count :]).lower().strip('"')
            for same in (str.__eq__, str.startswith):
                for column in self._columns:
                    if same(column.title.lower(), name):
                        return column, count
        return None, min(1, len(words))

    def _values(self, column: Column | None, at: int) -> tuple[list[str], int]:
        """Return what a column is compared with, and the place after it."""
        if at >= len(self._tokens) or self._tokens[at] in (*_SIGNS, *_PARTING):
            return [], at
        values, at = [self._tokens[at].strip('"')], at + 1
        if column is None or column.is_text:
            return values, at
        while self._is_unit(column, at):
            at += 1
        while at + 1 < len(self._tokens) and self._tokens[at] == ",":
            if _numbers(self._tokens[at + 1]) is None:
                break
            values, at = [*values, self._tokens[at + 1]], at + 2
        return values, at

    def _is_unit(self, column: Column, at: int) -> bool:
        if at >= len(self._tokens) or not column.unit:
            return False
        one, two = (t.translate(_SUPERSCRIPT) for t in (self._tokens[at], column.unit))
        return one == two

    def _unknown(self, at: int) -> str:
        titles = ", ".join(c.title.lower() for c in self._columns)
        return f"Compare one of {titles}: such as {self._columns[0].title.lower()} > 5."


def _narrow(rows: Mask, column: Column | None, sign: str, values: Sequence[str]) -> str:
    """Keep the rows in which a comparison is true; return what is wrong with it."""
    if column is None:
        return ""
    if not values:
        return f"{column.title} {sign} what?"
    if column.is_text:
        hits = np.strings.find(column.lowered, values[0].lower()) >= 0
        if sign not in ("=", "!="):
            return f"{column.title} is a text: {column.title.lower()} = {values[0]}."
        rows &= hits if sign == "=" else ~hits
        return ""
    spans = [_numbers(value) for value in values]
    wrong = [v for v, s in zip(values, spans, strict=True) if s is None]
    if wrong:
        return f"{column.title} is a number, not {wrong[0]!r}."
    if sign in _COMPARE:
        rows &= _COMPARE[sign](column.values, spans[0][0])  # type: ignore[index]
        return ""
    hits = np.zeros(len(rows), bool)
    for low, high in filter(None, spans):
        hits |= (column.values >= low) & (column.values <= high)
    rows &= hits if sign == "=" else ~hits
    return ""


def _numbers(text: str) -> tuple[float, float] | None:
    """Return the first and last number of ``"5"`` or ``"5-9"``."""
    span = _RANGE.fullmatch(text)
    if span is not None:
        return float(span[1]), float(span[2])
    try:
        return float(text), float(text)
    except ValueError:
        return None


def _holds(word: str, columns: Sequence[Column]) -> Mask:
    """Return in which rows a text holds a word, or the first column is this number."""
    hits = np.zeros(len(columns[0].values) if columns else 0, bool)
    span = _numbers(word)
    if span is not None and columns and not columns[0].is_text:
        hits |= (columns[0].values >= span[0]) & (columns[0].values <= span[1])
    for column in columns:
        if column.is_text:
            hits |= np.strings.find(column.lowered, word.lower()) >= 0
    return hits
