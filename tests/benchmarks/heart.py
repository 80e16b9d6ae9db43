"""How long a window stands still: a timer in its event loop, and a mouse that moves over it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

_BEAT = 5  # milliseconds


class Clocks(NamedTuple):
    """Seconds on the wall, that the thread computed, and that it waited for a core."""

    wall: float
    computed: float
    waited: float


_NEVER = Clocks(0.0, 0.0, 0.0)


def waited_for_a_core(thread: int) -> float:
    """Return the seconds that a thread could have run and had no core; Linux counts them."""
    with suppress(OSError), open(f"/proc/self/task/{thread}/schedstat") as file:
        return int(file.read().split()[1]) / 1e9
    return 0.0


class Heart:
    """Beats as often as the event loop lets it; the longest pause is how long that stood still.

    Parameters
    ----------
    over
        A widget over which the mouse moves with every tenth beat; ``mouse`` is how long at most
        such a move waited until the widget had it.
    """

    def __init__(self, over: Any = None) -> None:
        from qtpy.QtCore import QEventLoop, QTimer

        self._loop = QEventLoop()
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._start, self._seconds = 0.0, 0.0
        self._last, self._longest = _NEVER, _NEVER
        self._took = math.inf
        self._done: Callable[[], bool] = bool
        self._over, self._beats = over, 0
        self.mouse = 0.0
        # This one, and those that may hold Python's lock while they wait for a core.
        self.threads = [threading.get_native_id()]
        self.own = 0.0  # the longest pause without what other programs took the core for

    def _clocks(self) -> Clocks:
        waited = sum(map(waited_for_a_core, self.threads))
        return Clocks(time.perf_counter(), time.thread_time(), waited)

    def _beat(self) -> None:
        now = self._clocks()
        pause = Clocks(*(b - a for a, b in zip(self._last, now, strict=True)))
        self._longest = max(self._longest, pause)
        self.own = max(self.own, pause.wall - pause.waited)
        self._last = now
        self._beats += 1
        if self._over is not None and self._beats % 10 == 0:
            self._move()
        if self._took == math.inf and self._done():
            self._took = now.wall - self._start
        if now.wall - self._start - self._took > self._seconds:
            self._loop.quit()

    def _move(self) -> None:
        """Post a move of the mouse; what waits before it in the queue counts as its delay."""
        from qtpy.QtCore import QEvent, QPointF, Qt, QTimer
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        x, y = 20 + self._beats % 200, 20 + self._beats // 3 % 200
        spot = QPointF(x, y)
        none = Qt.MouseButton.NoButton
        event = QMouseEvent(
            QEvent.Type.MouseMove, spot, spot, none, none, Qt.KeyboardModifier.NoModifier
        )
        posted = time.perf_counter()
        QApplication.postEvent(self._over, event)
        QTimer.singleShot(0, lambda: self._moved(posted))

    def _moved(self, posted: float) -> None:
        self.mouse = max(self.mouse, time.perf_counter() - posted)

    def until(self, done: Callable[[], bool], seconds: float = 0.3) -> tuple[float, float, float]:
        """Let events in until it is done and a little longer.

        Return how long it took, the longest pause, and the time that the window computed in it.
        """
        self._done, self._seconds, self._took = done, seconds, math.inf
        self._last = self._clocks()
        self._start, self._longest, self.mouse, self.own = self._last.wall, _NEVER, 0.0, 0.0
        self._timer.start(_BEAT)
        self._loop.exec()
        self._timer.stop()
        return self._took, self._longest.wall, self._longest.computed


def say(what: str, figures: tuple[float, float, float]) -> float:
    """Print the figures and return the longest pause."""
    took, pause, computed = figures
    print(
        f"{what} in {took:.2f} s, longest pause {pause * 1e3:.0f} ms "
        f"(of which computing {computed * 1e3:.0f} ms)"
    )
    return pause
