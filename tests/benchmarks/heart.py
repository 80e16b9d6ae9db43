"""How long a window stands still: a timer in its event loop, and a mouse that moves over it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

_BEAT = 5  # milliseconds


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
        self._last, self._longest = (0.0, 0.0), (0.0, 0.0)
        self._took = math.inf
        self._done: Callable[[], bool] = bool
        self._over, self._beats = over, 0
        self.mouse = 0.0

    def _clocks(self) -> tuple[float, float]:
        return time.perf_counter(), time.thread_time()

    def _beat(self) -> None:
        now = self._clocks()
        self._longest = max(self._longest, (now[0] - self._last[0], now[1] - self._last[1]))
        self._last = now
        self._beats += 1
        if self._over is not None and self._beats % 10 == 0:
            self._move()
        if self._took == math.inf and self._done():
            self._took = now[0] - self._start
        if now[0] - self._start - self._took > self._seconds:
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
        self._start, self._longest, self.mouse = self._last[0], (0.0, 0.0), 0.0
        self._timer.start(_BEAT)
        self._loop.exec()
        self._timer.stop()
        return (self._took, *self._longest)


def say(what: str, figures: tuple[float, float, float]) -> float:
    """Print the figures and return the longest pause."""
    took, pause, computed = figures
    print(
        f"{what} in {took:.2f} s, longest pause {pause * 1e3:.0f} ms "
        f"(of which computing {computed * 1e3:.0f} ms)"
    )
    return pause
