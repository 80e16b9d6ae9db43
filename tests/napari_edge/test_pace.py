"""How far, and the time left: nothing before it is known, and no jumps."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_monai._napari.pace import Countdown, Pace, about, span


def test_time_left() -> None:
    pace = Pace()
    pace.begin(10, "windows")
    assert pace.words() == "0 of 10 windows"
    pace.reach(1, now=100.0)  # loading took long, and counts for nothing
    assert pace.seconds_left is None
    pace.reach(2, now=100.5)
    assert pace.words() == "2 of 10 windows", "too early to know"
    pace.reach(3, now=104.0)
    assert pace.seconds_left == 14.0
    assert pace.words() == "3 of 10 windows, about 20 s left"
    pace.reach(10, now=118.0)
    assert pace.words() == "10 of 10 windows"


def test_another_kind_of_step_is_estimated_anew() -> None:
    pace = Pace()
    pace.begin(100, "windows")
    for n in range(11):
        pace.reach(n, now=float(n))
    assert "about 2 min left" in pace.words()
    pace.begin(4, "blocks")
    pace.reach(1, now=12.0)
    assert pace.words() == "1 of 4 blocks"


@given(seed=st.integers(0, 10_000), seconds=st.floats(20, 4000))
def test_a_steady_pace_only_counts_down(seed: int, seconds: float) -> None:
    """Steps take a tenth more or less than their share: the words never promise more again."""
    draw, pace, now, steps = random.Random(seed), Pace(), 0.0, 200
    pace.begin(steps, "windows")
    shown: list[str] = []
    for n in range(1, steps):
        now += seconds / steps * draw.uniform(0.9, 1.1)
        pace.reach(n, now=now)
        left = pace.words().partition(", ")[2]
        if left and left not in shown[-1:]:
            shown.append(left)
    assert len(set(shown)) == len(shown), shown


def test_one_slow_step_is_no_news_and_many_are() -> None:
    end = Countdown()
    end.hear(100.0, now=0.0)
    assert end.words(0.0) == "about 2 min left"
    end.hear(300.0, now=1.0)
    assert end.words(1.0) == "about 2 min left"
    end.hear(98.0, now=2.0)
    for now in range(3, 8):
        end.hear(300.0, now=float(now))
    assert end.words(8.0) == "about 5 min left"


def test_nothing_is_said_before_it_is_known() -> None:
    end = Countdown()
    end.hear(None, now=5.0)
    assert end.words(5.0) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3.0, "a few seconds left"),
        (4.0, "a few seconds left"),
        (11.0, "about 20 s left"),
        (60.0, "about 60 s left"),
        (61.0, "about 2 min left"),
        (119.0, "about 2 min left"),
        (660.0, "about 15 min left"),
        (3600.0, "about 60 min left"),
        (3700.0, "about 1 h 15 min left"),
        (7100.0, "about 2 h left"),
    ],
)
def test_about(seconds: float, words: str) -> None:
    assert about(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (3.21, "3.2 s"),
        (9.96, "10 s"),
        (99.0, "99 s"),
        (100, "2 min"),
        (5999, "100 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_span(seconds: float, words: str) -> None:
    assert span(seconds).replace("1 h 40 min", "100 min") == words
