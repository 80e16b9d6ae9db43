"""Findings of a review: an object or a slice, why it is worth looking at, and what comes next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """An object or a slice that is worth looking at.

    Parameters
    ----------
    what
        ``"object"`` or ``"slice"``: a plane along the first axis.
    number
        The label of the object, or the index of the slice.
    score
        From 0 to 1; the higher, the sooner.
    reason
        One line for the user, as ``"volume 12 times the median"``.
    at
        Where to look, in voxels, one number an axis.
    """

    what: Literal["object", "slice"]
    number: int
    score: float
    reason: str
    at: tuple[float, ...]

    @property
    def key(self) -> str:
        """Its name in notes: ``"object 12"``, ``"slice 40"``."""
        return f"{self.what} {self.number}"


def ranked(*findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings of several searches by falling score, one of each object or slice.

    What was found several times has all its reasons, and a score above each of theirs: as likely
    as that one of them at least is right, if they are independent.
    """
    together: dict[str, list[Finding]] = {}
    for search in findings:
        for one in search:
            together.setdefault(one.key, []).append(one)
    result = []
    for same in together.values():
        same.sort(key=lambda f: -f.score)
        wrong = 1.0
        for one in same:
            wrong *= 1 - min(max(one.score, 0.0), 1.0)
        first, reasons = same[0], dict.fromkeys(f.reason for f in same)
        result.append(Finding(first.what, first.number, 1 - wrong, "; ".join(reasons), first.at))
    return tuple(sorted(result, key=lambda f: (-f.score, f.what, f.number)))


def next_finding(
    findings: Sequence[Finding],
    *,
    after: str = "",
    done: Collection[str] = (),
    back: bool = False,
) -> Finding | None:
    """Return what to look at next: the one after the key ``after`` that is not done.

    From the last it goes on to the first. ``None`` where all is done.
    """
    keys = [f.key for f in findings]
    step = -1 if back else 1
    start = keys.index(after) + step if after in keys else (-1 if back else 0)
    for away in range(len(keys)):
        at = (start + step * away) % len(keys)
        if keys[at] not in done:
            return findings[at]
    return None


def percent(share: float) -> str:
    """Return a share such as ``"34 %"``."""
    number = 100 * float(share)
    return f"{number:.0f} %" if number >= 1 else f"{number:.1g} %"


def times(ratio: float) -> str:
    """Return a ratio such as ``"12 times"``."""
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"
