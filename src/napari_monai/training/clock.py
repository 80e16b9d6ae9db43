"""How long a training has run, and how many steps fit into the time that it may take."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import ceil

from .resolved import Resolved

# Steps that are not timed, in which buffers are made, and how many are timed at least.
_FIRST = 3
_TIMED = 8
# Part of the time after which the steps timed so far must do.
_SOON = 0.05
# Part of the time left free: steps are not all alike.
_SPARE = 0.05
# Part of the time that validations may take, where they are not asked for after so many steps.
_VALIDATING = 0.3


class Clock:
    """Seconds of a training, those of earlier sittings included."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._begun = time.monotonic() - seconds

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._begun


class Pace:
    """How long a step takes, from the first few of a sitting."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def note(self, seconds: float) -> None:
        """Note what a step took."""
        if len(self._times) < _FIRST + _TIMED:
            self._times.append(seconds)

    def known(self, *, minutes: float) -> bool:
        """Return whether enough steps were timed, for a training of so many minutes."""
        timed = len(self._times) - _FIRST
        return timed >= _TIMED or (timed > 0 and sum(self._times) > _SOON * 60 * minutes)

    @property
    def seconds(self) -> float:
        """Seconds a step."""
        timed = self._times[_FIRST:]
        return sum(timed) / len(timed)


@dataclass(frozen=True)
class Costs:
    """Seconds of a step, of a validation, and of what is done after the last step."""

    step: float
    validation: float
    end: float


def cut(plan: Resolved, step: int, *, seconds: float, costs: Costs, often: int | None) -> Resolved:
    """Return the plan with as many steps as fit, at most its own.

    Parameters
    ----------
    plan
        The plan so far.
    step
        Steps that are done.
    seconds
        Seconds that are left.
    costs
        What each part takes.
    often
        Steps between validations where the user has said so; else they are as many as planned, or
        fewer where they would take too much of the time.
    """
    left = max(0.0, (seconds - costs.end) * (1 - _SPARE))
    if often:
        fits = int(left / (costs.step + costs.validation / often))
        return replace(plan, steps=min(plan.steps, step + max(1, fits)))
    count = max(1, round(plan.steps / plan.validate_every))
    if costs.validation > 0:
        count = min(count, max(1, int(left * _VALIDATING / costs.validation)))
    fits = int(max(0.0, left - count * costs.validation) / costs.step)
    steps = min(plan.steps, step + max(1, fits))
    if steps == plan.steps:
        return plan
    return replace(plan, steps=steps, validate_every=max(1, ceil(steps / count)))
