"""How far work has come, and when it will be done, said calmly."""

from __future__ import annotations

import math
import time

# Seconds and steps after the first one before anything is said of the time left.
_LEAST_SECONDS, _LEAST_STEPS = 2.0, 2
# An end that was said is kept while it is off by no more than this part of what is left, or by so
# many seconds; and until the doubt has lasted.
_OFF, _OFF_SECONDS, _DOUBT = 0.25, 4.0, 3.0
_FOLLOW = 0.1  # part of a tolerable difference that every estimate takes away


class Pace:
    """How far work has come.

    The first step, which loads and warms up, does not count for the pace of the others.
    """

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self.now = 0.0
        self.what = ""
        self._first: tuple[float, int] | None = None
        self._end = Countdown()

    def begin(self, total: int, what: str) -> None:
        """Start to count to ``total`` of ``what``."""
        if what != self.what:
            self._end = Countdown()
        self.total, self.done, self.what, self._first = total, 0, what, None

    def reach(self, done: int, *, now: float | None = None) -> None:
        """Say that so many are done; ``now`` in seconds, of any clock."""
        self.done = done
        self.now = time.monotonic() if now is None else now
        if self._first is None:
            self._first = (self.now, done)
        self._end.hear(self.seconds_left, self.now)

    @property
    def seconds_each(self) -> float | None:
        """Seconds that a step takes, once there is something to go by."""
        if self._first is None:
            return None
        seconds, steps = self.now - self._first[0], self.done - self._first[1]
        if steps < _LEAST_STEPS or seconds < _LEAST_SECONDS:
            return None
        return seconds / steps

    @property
    def seconds_left(self) -> float | None:
        """Seconds until all is done, once there is something to go by."""
        each = self.seconds_each
        return None if each is None else each * (self.total - self.done)

    def words(self) -> str:
        """Return such as ``"12 of 40 windows, about 20 s left"``."""
        counted = f"{self.done} of {self.total} {self.what}"
        left = "" if self.done >= self.total else self._end.words(self.now)
        return f"{counted}, {left}" if left else counted


class Countdown:
    """The time left, which does not jump.

    It goes down with the clock and follows estimates slowly. More is left than was said only where
    estimates have been far from it for a while.
    """

    def __init__(self) -> None:
        self._end: float | None = None
        self._least = math.inf  # that was left by what was said
        self._doubtful_since: float | None = None

    def hear(self, left: float | None, now: float) -> None:
        """Take an estimate: seconds left, or ``None`` where nothing is known yet."""
        if left is None:
            return
        off = 0.0 if self._end is None else now + left - self._end
        if self._end is None:
            self._end = now + left
        elif abs(off) <= max(_OFF_SECONDS, _OFF * left):
            self._end += _FOLLOW * off
            self._doubtful_since = None
        elif self._doubtful_since is None:
            self._doubtful_since = now
        elif now - self._doubtful_since >= _DOUBT:
            self._end, self._doubtful_since = now + left, None
            self._least = math.inf
        self._least = min(self._least, self._end - now)

    def words(self, now: float) -> str:
        """Return such as ``"about 2 min left"``, and nothing as long as nothing is known."""
        return "" if self._end is None else about(min(self._least, self._end - now))


def about(seconds: float) -> str:
    """Return a time left in words, in steps that do not flicker: ``"about 40 s left"``."""
    if seconds <= 5:
        return "a few seconds left"
    if seconds <= 60:
        return f"about {_up(seconds, 10)} s left"
    minutes = seconds / 60
    if minutes <= 60:
        return f"about {_up(minutes, 1 if minutes <= 10 else 5)} min left"
    rounded = _up(minutes, 15)
    hours, rest = divmod(rounded, 60)
    return f"about {hours} h {rest} min left" if rest else f"about {hours} h left"


def span(seconds: float) -> str:
    """Return a span of time as people say it: ``"0.4 s"``, ``"12 s"``, ``"2 h 5 min"``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _up(value: float, step: int) -> int:
    return step * math.ceil(value / step)
