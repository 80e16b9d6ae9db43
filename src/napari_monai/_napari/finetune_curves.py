"""How a training goes, as numbers and as curves: the loss, and the scores of validations."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QSize, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..events import EpochDone, Event, Started, StepDone
from .layer_box import disconnector

if TYPE_CHECKING:
    import napari

# Points of the curve of the loss at most; each is then the mean of some steps.
_POINTS = 400
_EVERY = 500  # milliseconds between two drawings at least
_AT_ONCE = 50
_SHARE = 0.1  # of the time that drawing may take, on a machine that is busy
_HEIGHT = 250  # pixels
_EDGES = (48, 14, 8, 38)  # pixels at the left, at the right, above and below
# Scores that are drawn in a colour of their own and named; of more, the worst.
_NAMED = 6
_SMALL = 6.5  # size of the letters of legends
# Up to so many, what each was before is drawn as well.
_FEW = 2
# Told apart by all eyes, on dark and on light (Okabe & Ito 2008, without black).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


@dataclass(frozen=True)
class StepsDone(Event):
    """Several training steps are done."""

    steps: tuple[StepDone, ...]


class Progress:
    """What a training has said so far."""

    def __init__(self) -> None:
        self.steps = 0  # there are
        self.what = "steps"
        self.over = False
        self.train: list[tuple[float, float]] = []  # step and mean loss up to it
        self.held_out: list[tuple[int, float]] = []  # step and loss of each validation
        self.scores: dict[str, list[tuple[int, float]]] = {}
        self.before: dict[str, float] = {}
        self.best_step: int | None = None
        self._bin = 1
        self._open: list[float] = []

    def take(self, event: Event) -> bool:
        """Take an event in; say whether there is anything new to draw."""
        if isinstance(event, Started):
            self.steps = event.total
            if event.what != self.what:  # a warm start is over: its losses are others
                self.what, self.train = event.what, []
        elif isinstance(event, StepsDone):
            self.steps = event.steps[-1].steps
            before = len(self.train)
            for step in event.steps:
                self._take_loss(step)
            return len(self.train) != before
        elif isinstance(event, EpochDone):
            self._take_validation(event)
            return True
        return False

    def _take_loss(self, event: StepDone) -> None:
        # Steps after the last checkpoint are done again when a training is resumed.
        while self.train and self.train[-1][0] >= event.step:
            self.train.pop()
        self._open.append(event.loss)
        if len(self._open) < self._bin:
            return
        self.train.append((event.step, sum(self._open) / len(self._open)))
        self._open = []
        if len(self.train) > _POINTS:
            pairs = zip(self.train[::2], self.train[1::2], strict=False)
            self.train = [(late, (a + b) / 2) for (_, a), (late, b) in pairs]
            self._bin *= 2

    def _take_validation(self, event: EpochDone) -> None:
        for points in (self.held_out, *self.scores.values()):
            points[:] = [point for point in points if point[0] < event.step]
        if math.isfinite(event.val_loss):
            self.held_out.append((event.step, event.val_loss))
        for name, value in event.scores.items():
            self.scores.setdefault(name, []).append((event.step, value))
        if event.best and event.scores:
            self.best_step = event.step

    @property
    def drawn(self) -> list[str]:
        """The scores that are drawn: the mean first, and of many classes the worst."""
        names = list(self.scores)
        if len(names) <= _NAMED:
            return names
        worst = sorted(names[1:], key=lambda name: self.scores[name][-1][1])[: _NAMED - 1]
        return [names[0], *(name for name in names if name in worst)]


class Curves(QWidget):
    """Draws what a training has said: at most twice a second, and only where it is seen.

    Nothing is drawn, and matplotlib is not imported, before there is something to show; it is
    imported by the thread of the work, see `warm_up`.

    Parameters
    ----------
    viewer
        Whose colours it takes.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.progress = Progress()
        self._canvas: Any = None
        self._axes: tuple[Any, Any] | None = None
        self.drawings = 0
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_EVERY)
        self._soon.timeout.connect(self._draw)
        self._stale = False
        viewer.events.theme.connect(self._on_theme)
        self.destroyed.connect(disconnector(((viewer.events.theme, self._on_theme),)))
        self.hide()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a size for two small charts."""
        return QSize(280, _HEIGHT)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return a size in which they can be read."""
        return QSize(120, 180)

    def begin(self) -> None:
        """Start with empty curves."""
        self.progress = Progress()
        self.hide()

    def take(self, event: Event) -> None:
        """Show an event soon."""
        if self.progress.take(event):
            self._stale = True
            self.show()
            if not self._soon.isActive():
                self._soon.start()

    def end(self, before: Mapping[str, float]) -> None:
        """Draw it as it is at the end, with the scores that it began with as dotted lines."""
        self.progress.before, self.progress.over = dict(before), True
        self._on_theme()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Draw what came while it was not seen."""
        super().showEvent(event)
        if self._stale and not self._soon.isActive():
            self._soon.start()

    def _on_theme(self, _event: object = None) -> None:
        """Draw anew at once: another theme, another size, or the end."""
        self._stale = self._stale or self._canvas is not None
        if self._stale:
            self._soon.start(_AT_ONCE)

    # -- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        if not self._stale or not self.isVisible():
            return
        self._stale = False
        begun = time.monotonic()
        if self._canvas is None:
            self._make()
        assert self._axes is not None
        theme = get_theme(self._viewer.theme)
        text, back = theme.text.as_hex(), theme.background.as_hex()
        figure = self._canvas.figure
        figure.set_facecolor(back)
        figure.subplots_adjust(**_margins(self._canvas.width(), self._canvas.height()))
        loss, score = self._axes
        for axes, title in ((loss, "loss"), (score, self._score_title())):
            _prepare(axes, title, text, back)
            axes.set_xlim(0, max(1, self.progress.steps))
        self._draw_loss(loss, text)
        self._draw_scores(score, text)
        score.set_xlabel("step", color=text, fontsize=8)
        self._canvas.draw()
        self.drawings += 1
        took = 1000 * (time.monotonic() - begun)
        self._soon.setInterval(max(_EVERY, round(took / _SHARE)))

    def _draw_loss(self, axes: Any, text: str) -> None:
        progress = self.progress
        if progress.train:
            axes.plot(*zip(*progress.train, strict=True), color=_COLOURS[4], lw=1, label="training")
        if progress.held_out:
            points = tuple(zip(*progress.held_out, strict=True))
            axes.plot(*points, color=_COLOURS[1], lw=1.5, marker=".", label="validation")
        self._legend(axes, text)

    def _draw_scores(self, axes: Any, text: str) -> None:
        progress = self.progress
        axes.set_ylim(0, 1.02)
        for at, name in enumerate(progress.drawn):
            colour = _COLOURS[at % len(_COLOURS)]
            points = tuple(zip(*progress.scores[name], strict=True))
            width = 2 if at == 0 else 1.2
            axes.plot(*points, color=colour, lw=width, marker=".", label=short(name))
            if name in progress.before and (at == 0 or len(progress.drawn) <= _FEW):
                axes.axhline(progress.before[name], color=colour, lw=1, ls=":")
        if progress.best_step is not None:
            axes.axvline(progress.best_step, color=text, lw=0.8, ls="--", alpha=0.5)
        if not progress.scores:
            words = "no validation" if progress.over else "scores come with the first validation"
            axes.text(
                0.5, 0.5, words, color=text, alpha=0.7,
                ha="center", va="center", fontsize=8, transform=axes.transAxes,
            )  # fmt: skip
        self._legend(axes, text)

    def _legend(self, axes: Any, text: str) -> None:
        if axes.get_legend_handles_labels()[0]:
            axes.legend(
                loc="best", fontsize=_SMALL, facecolor=axes.get_facecolor(), edgecolor="none",
                framealpha=0.7, labelcolor=text, ncols=2, handlelength=1.0, columnspacing=0.8,
                borderpad=0.1, labelspacing=0.2,
            )  # fmt: skip

    def _score_title(self) -> str:
        names = self.progress.drawn
        return "Dice" if any(name.startswith("Dice") for name in names) else "average precision"

    def _make(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        figure = Figure()
        self._canvas = FigureCanvasQTAgg(figure)  # type: ignore[no-untyped-call]
        self._canvas.setMinimumSize(10, 10)
        self._canvas.mpl_connect("resize_event", self._on_theme)
        loss, score = figure.subplots(2, 1, sharex=True)
        self._axes = loss, score
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self._canvas)


def warm_up() -> None:
    """Import what draws, and draw once, for fonts and layout: not for the window's thread."""
    import matplotlib.backends.backend_qtagg  # noqa: F401
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 2.5))
    for axes in figure.subplots(2, 1):
        _prepare(axes, "loss", "#000000", "#ffffff")
        axes.plot((0, 1), (0, 1), label="training")
        axes.legend(fontsize=_SMALL)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]


def short(name: str) -> str:
    """Return the name of a score as a legend has it: ``"liver"`` of ``"Dice liver"``."""
    if name == "Dice":
        return "mean"
    return name.removeprefix("Dice ")


def rows(before: Mapping[str, float], after: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    """Yield name, score before and after, and the difference, as they are read."""
    for name, value in after.items():
        was = before.get(name)
        if was is None or not math.isfinite(was):
            yield name, "", f"{value:.3f}", ""
        else:
            yield name, f"{was:.3f}", f"{value:.3f}", f"{value - was:+.3f}"


def _margins(width: int, height: int) -> dict[str, float]:
    """Return where charts begin and end in a canvas of so many pixels, with room for numbers."""
    left, right, top, bottom = _EDGES
    return {
        "left": min(0.4, left / width),
        "right": max(0.6, 1 - right / width),
        "top": max(0.6, 1 - top / height),
        "bottom": min(0.4, bottom / height),
        "hspace": 0.15,
    }


def _prepare(axes: Any, title: str, text: str, back: str) -> None:
    """Empty a chart and put its frame into the colours of the window."""
    axes.clear()
    axes.set_facecolor(back)
    axes.set_ylabel(title, color=text, fontsize=8)
    axes.tick_params(colors=text, labelsize=7)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(text)
    axes.grid(alpha=0.15, color=text)
