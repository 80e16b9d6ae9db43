"""A chart of measured columns: points or bars, those that are chosen, and a lasso over them.

Matplotlib is imported when the first chart is made. What is chosen, and the lasso, is drawn over
a picture of all the rest, so that a hundred thousand points are drawn once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from napari.utils.theme import get_theme
from qtpy.QtCore import QSize, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from .layer_box import disconnector
from .measure_link import CHOSEN_COLOUR

if TYPE_CHECKING:
    import napari

Floats = npt.NDArray[np.float64]
Tool = Literal["lasso", "rectangle"]

_SOON = 30  # milliseconds
_EDGES = (58, 12, 12, 42)  # pixels at the left, at the right, above and below
_COLOUR = "#56b4e9"
_BINS = (10, 80)
_NEAR = 8  # pixels from a point at which a click still means it
_APART = 2  # pixels between two corners of a lasso
_STILL = 4  # pixels that a mouse may move in a click


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a chart shows: one axis, or two; ``keys`` are of the points."""

    keys: npt.NDArray[np.int64]
    x: Floats
    y: Floats | None  # None draws a histogram
    titles: tuple[str, str]
    log: tuple[bool, bool] = (False, False)

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """Which points have a place on the axes."""
        ok = np.isfinite(self.x) & (~np.array(self.log[0]) | (self.x > 0))
        if self.y is not None:
            ok &= np.isfinite(self.y) & (~np.array(self.log[1]) | (self.y > 0))
        return np.asarray(ok)


class Chart(QWidget):
    """Draws points or bars; a lasso or a rectangle chooses among them, a click the nearest.

    Parameters
    ----------
    viewer
        Whose colours it takes.
    """

    taken = Signal(object, bool)  # keys; whether they are added to those that were chosen

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.tool: Tool = "lasso"
        self._drawn: Drawn | None = None
        self._chosen: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._ok: npt.NDArray[np.intp] = np.zeros(0, np.intp)  # points that are drawn
        self._edges: Floats = np.zeros(0)  # of bars
        self._canvas: Any = None
        self._axes: Any = None
        self._over: list[Any] = []  # drawn over the rest
        self._behind: Any = None
        self._stroke: list[tuple[float, float]] = []
        self._stale = False
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON)
        self._soon.timeout.connect(self._draw)
        viewer.events.theme.connect(self._on_theme)
        self.destroyed.connect(disconnector(((viewer.events.theme, self._on_theme),)))

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a size for a chart."""
        return QSize(300, 260)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return a size in which it can be read."""
        return QSize(140, 140)

    @property
    def canvas(self) -> Any:
        """What matplotlib draws on; ``None`` before the first chart."""
        return self._canvas

    @property
    def axes(self) -> Any:
        """The axes of the chart."""
        return self._axes

    def show_drawn(self, drawn: Drawn | None) -> None:
        """Draw other points soon."""
        self._drawn = drawn
        self._on_theme()

    def choose(self, keys: npt.NDArray[np.int64]) -> None:
        """Show which are chosen."""
        self._chosen = keys
        if self._canvas is not None and not self._stale and self.isVisible():
            self._draw_over()
        else:
            self._on_theme()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Draw what came while it was not seen."""
        super().showEvent(event)
        if self._stale:
            self._soon.start()

    def _on_theme(self, _event: object = None) -> None:
        self._stale = True
        if self.isVisible():
            self._soon.start()

    # -- drawing ------------------------------------------------------------------------------

    def _make(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        figure = Figure()
        self._canvas = FigureCanvasQTAgg(figure)  # type: ignore[no-untyped-call]
        self._canvas.setMinimumSize(10, 10)
        self._axes = figure.subplots()
        for event, slot in (
            ("resize_event", self._on_theme),
            ("button_press_event", self._on_press),
            ("motion_notify_event", self._on_move),
            ("button_release_event", self._on_release),
        ):
            self._canvas.mpl_connect(event, slot)
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self._canvas)

    def _draw(self) -> None:
        if not self._stale or not self.isVisible():
            return
        self._stale = False
        if self._canvas is None:
            if self._drawn is None:
                return
            self._make()
        theme = get_theme(self._viewer.theme)
        text, back = theme.text.as_hex(), theme.background.as_hex()
        figure, axes = self._canvas.figure, self._axes
        figure.set_facecolor(back)
        figure.subplots_adjust(**_margins(self._canvas.width(), self._canvas.height()))
        axes.clear()
        self._over = []
        axes.set_facecolor(back)
        axes.tick_params(colors=text, labelsize=7)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(text)
        axes.grid(alpha=0.15, color=text)
        axes.set_axisbelow(True)
        if self._drawn is not None:
            self._draw_all(self._drawn, text)
        self._canvas.draw()
        self._behind = self._canvas.copy_from_bbox(figure.bbox)
        self._draw_over()

    def _draw_all(self, drawn: Drawn, text: str) -> None:
        axes = self._axes
        self._ok = np.flatnonzero(drawn.usable)
        x = drawn.x[self._ok]
        axes.set_xlabel(drawn.titles[0], color=text, fontsize=8)
        axes.set_ylabel(drawn.titles[1], color=text, fontsize=8)
        if not len(x):
            axes.text(
                0.5, 0.5, "nothing to draw", color=text, alpha=0.7, ha="center", va="center",
                fontsize=8, transform=axes.transAxes,
            )  # fmt: skip
            return
        if drawn.log[0]:
            axes.set_xscale("log")
        if drawn.log[1]:
            axes.set_yscale("log")
        if drawn.y is None:
            self._edges = bin_edges(x, drawn.log[0])
            counts, _ = np.histogram(x, self._edges)
            axes.stairs(counts, self._edges, fill=True, color=_COLOUR, alpha=0.8)
            axes.set_ylim(
                0.8 if drawn.log[1] else 0, counts.max() * (1.5 if drawn.log[1] else 1.05)
            )
        else:
            size = float(np.clip(8 - math.log10(len(x)) * 1.4, 1.2, 6))
            axes.plot(
                x, drawn.y[self._ok], ls="", marker="o", ms=size, mew=0, color=_COLOUR,
                alpha=0.7 if len(x) < 5000 else 0.4,
            )  # fmt: skip
            self._size = size

    def _draw_over(self, stroke: Floats | None = None) -> None:
        """Draw what is chosen, and the lasso, over the picture of all."""
        if self._behind is None or self._drawn is None:
            return
        for artist in self._over:
            artist.remove()
        self._over = []
        drawn, axes = self._drawn, self._axes
        at = self._ok[np.isin(drawn.keys[self._ok], self._chosen)]
        if len(at) and drawn.y is None:
            counts, _ = np.histogram(drawn.x[at], self._edges)
            self._over.append(
                axes.stairs(counts, self._edges, fill=True, color=CHOSEN_COLOUR, animated=True)
            )
        elif len(at):
            points = drawn.x[at], drawn.y[at]  # type: ignore[index]
            self._over += axes.plot(
                *points,
                ls="",
                marker="o",
                ms=self._size + 1,
                mew=0,
                color=CHOSEN_COLOUR,
                animated=True,
            )
        if stroke is not None and len(stroke) > 1:
            closed = np.vstack([stroke, stroke[:1]])
            places = axes.transData.inverted().transform(closed)
            self._over += axes.plot(*places.T, color=CHOSEN_COLOUR, lw=1.2, ls="--", animated=True)
        self._canvas.restore_region(self._behind)
        for artist in self._over:
            axes.draw_artist(artist)
        self._canvas.blit(self._canvas.figure.bbox)

    # -- the mouse ----------------------------------------------------------------------------

    def _on_press(self, event: Any) -> None:
        if event.button == 1 and event.inaxes is self._axes and self._drawn is not None:
            self._stroke = [(event.x, event.y)]

    def _on_move(self, event: Any) -> None:
        if not self._stroke:
            return
        x, y = self._stroke[-1]
        if max(abs(event.x - x), abs(event.y - y)) >= _APART:
            self._stroke.append((event.x, event.y))
            self._draw_over(self._corners())

    def _on_release(self, event: Any) -> None:
        if event.button != 1 or not self._stroke:
            return
        self._stroke.append((event.x, event.y))
        clicked = np.ptp(np.array(self._stroke), axis=0).max() < _STILL
        corners, self._stroke = self._corners(), []
        more = "shift" in (event.modifiers or ()) or "ctrl" in (event.modifiers or ())
        at = self._nearest(event.x, event.y) if clicked else self._within(corners)
        assert self._drawn is not None
        self._draw_over()
        self.taken.emit(self._drawn.keys[at], more)

    def _corners(self) -> Floats:
        """Return the outline so far, in pixels: of bars and rectangles its four corners."""
        stroke = np.array(self._stroke, np.float64)
        bars = self._drawn is not None and self._drawn.y is None
        if len(stroke) < 2 or (self.tool == "lasso" and not bars):
            return stroke
        (x0, y0), (x1, y1) = stroke[0], stroke[-1]
        if bars:
            y0, y1 = self._axes.bbox.y0, self._axes.bbox.y1
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])

    def _pixels(self) -> Floats:
        """Return where the points that are drawn are, in pixels of the canvas."""
        drawn = self._drawn
        assert drawn is not None
        x = drawn.x[self._ok]
        y = np.ones_like(x) if drawn.y is None else drawn.y[self._ok]
        return np.asarray(self._axes.transData.transform(np.column_stack([x, y])))

    def _within(self, corners: Floats) -> npt.NDArray[np.intp]:
        from matplotlib.path import Path

        if self._drawn is not None and self._drawn.y is None:
            low, high = corners[:, 0].min(), corners[:, 0].max()
            x = self._pixels()[:, 0]
            return np.asarray(self._ok[(x >= low) & (x <= high)])
        return np.asarray(self._ok[Path(corners).contains_points(self._pixels())])

    def _nearest(self, x: float, y: float) -> npt.NDArray[np.intp]:
        """Return the point at a place, or all of the bar there; nothing beside them."""
        pixels = self._pixels()
        if not len(pixels):
            return np.zeros(0, np.intp)
        if self._drawn is not None and self._drawn.y is None:
            place = float(self._axes.transData.inverted().transform((x, y))[0])
            bar = int(np.clip(np.searchsorted(self._edges, place) - 1, 0, len(self._edges) - 2))
            low, high = self._edges[bar], self._edges[bar + 1]
            values = self._drawn.x[self._ok]
            last = bar == len(self._edges) - 2
            below = values <= high if last else values < high
            return np.asarray(self._ok[(values >= low) & below])
        away = np.hypot(pixels[:, 0] - x, pixels[:, 1] - y)
        best = int(away.argmin())
        return self._ok[best : best + 1] if away[best] <= _NEAR else np.zeros(0, np.intp)


def bin_edges(values: Floats, log: bool = False) -> Floats:
    """Return the edges of bars: by the rule of Freedman and Diaconis, not too few nor too many."""
    scaled = np.log10(values) if log else values
    low, high = float(scaled.min()), float(scaled.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    width = 2 * float(np.subtract(*np.percentile(scaled, [75, 25]))) / len(values) ** (1 / 3)
    count = _BINS[1] if width <= 0 else math.ceil((high - low) / width)
    if not log and (values == np.round(values)).all() and high - low <= _BINS[1]:
        edges = np.arange(low, high + 2) - 0.5 if low == round(low) else np.array([low, high])
        return np.asarray(edges, np.float64)
    edges = np.linspace(low, high, int(np.clip(count, *_BINS)) + 1)
    edges = 10**edges if log else edges
    # What is rounded on the way back must not lose the least and the greatest.
    edges[0], edges[-1] = min(edges[0], values.min()), max(edges[-1], values.max())
    return np.asarray(edges, np.float64)


def _margins(width: int, height: int) -> dict[str, float]:
    left, right, top, bottom = _EDGES
    return {
        "left": min(0.4, left / max(width, 1)),
        "right": max(0.6, 1 - right / max(width, 1)),
        "top": max(0.6, 1 - top / max(height, 1)),
        "bottom": min(0.4, bottom / max(height, 1)),
    }
