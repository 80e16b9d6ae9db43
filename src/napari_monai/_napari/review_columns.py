"""The columns of the tables of a review: findings, and the regions of a proposal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt

from ..labels.findings import Finding
from ..labels.proposals import Proposal
from .columns import Column

SIZE = 3  # column of the size of a region


def finding_columns(
    findings: Sequence[Finding], *, done: Collection[str], name_of: Callable[[int], str]
) -> list[Column]:
    """Return the columns of findings, which are numbered from 1 as they are ranked."""
    what = [_what(one, name_of) for one in findings]
    return [
        Column("rank", "No.", "Place in the list", np.arange(1, len(findings) + 1)),
        Column("what", "What", "Object or slice", _words(what)),
        Column(
            "done",
            "Done",
            "Whether it was looked at",
            _words(["done" if f.key in done else "" for f in findings]),
        ),
        Column("reason", "Reason", "Why to look at it", _words([f.reason for f in findings])),
        Column(
            "score",
            "Score",
            "From 0 to 1: how much it is worth looking at",
            np.array([f.score for f in findings], float),
            digits=2,
            shown=False,
        ),
    ]


def _what(one: Finding, name_of: Callable[[int], str]) -> str:
    if one.what == "slice":
        return f"slice {one.number}"
    name = name_of(one.number)
    return f"object {name}" if name.isdigit() else name


def proposal_columns(
    regions: Sequence[Proposal], *, unit: str, name_of: Callable[[int], str]
) -> list[Column]:
    """Return the columns of regions, by their own numbers."""
    olds, news = ([_name(n, name_of) for n in side] for side in _sides(regions))
    sizes = np.array([r.volume for r in regions], float)
    unsure = [np.nan if r.uncertainty is None else r.uncertainty for r in regions]
    return [
        Column("number", "No.", "Number of the region", np.array([r.number for r in regions], int)),
        Column("old", "Is", "What it is now", _words(olds)),
        Column("new", "Becomes", "What is proposed", _words(news)),
        Column("volume", "Size", "Of the region", sizes, unit=unit),
        Column(
            "unsure",
            "Uncertainty",
            "Mean uncertainty of the model in it",
            np.array(unsure, float),
            digits=2,
            shown=False,
        ),
    ]


def _sides(regions: Sequence[Proposal]) -> tuple[list[int], list[int]]:
    return [r.old for r in regions], [r.new for r in regions]


def _name(number: int, name_of: Callable[[int], str]) -> str:
    return name_of(number) if number else "background"


def _words(texts: Sequence[str]) -> npt.NDArray[np.str_]:
    return np.array(texts, np.str_) if texts else np.zeros(0, np.str_)
