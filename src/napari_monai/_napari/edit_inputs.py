"""What a tool works from besides the labels: where it may change them, and what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Points, Shapes
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from ..errors import EditError
from ..labels.scene import Region
from .drawn import clear, helper, labelled_region, lines_of, outlined, points_of
from .edit_arrays import image_at
from .layer_box import disconnector
from .layer_choice import LayerChoice
from .parts import button, form_rows

if TYPE_CHECKING:
    import napari

    from .edit_session import EditSession

SELECTED, ALL = "Selected labels", "All labels"
EVERYWHERE, SLICE, OUTLINES, THROUGH, INSIDE = (
    "Everywhere",
    "This slice",
    "Outlines, this slice",
    "Outlines, all slices",
    "Inside other labels",
)
_PLACES = {
    EVERYWHERE: "Nothing is left out",
    SLICE: "Only the slice that is seen",
    OUTLINES: "Only inside what is drawn on this slice of the shapes below",
    THROUGH: "Only inside what is drawn on this slice, in all slices along this axis",
    INSIDE: "Only where another labels layer has labels",
}


class EditInputs(QWidget):
    """Which labels a tool works on, where it may change them, and the layers it looks at.

    Rows are there while they are needed.

    Parameters
    ----------
    viewer
        The viewer.
    session
        Gives the labels under correction, or ``None``.
    """

    changed = Signal()
    lasso_wanted = Signal()

    def __init__(
        self, viewer: napari.viewer.Viewer, session: Callable[[], EditSession | None]
    ) -> None:
        super().__init__()
        self._session = session
        self._needs: frozenset[str] = frozenset()
        self._mode = "add_path"
        self.work_on = QComboBox()
        self.work_on.addItems([SELECTED, ALL])
        self.work_on.setToolTip("Which labels the tool works on")
        self.where = QComboBox()
        self.where.addItems(list(_PLACES))
        self.where.setToolTip("Where labels may change")
        self.inside = LayerChoice(viewer, Labels, nothing="No other labels", fits=self._is_other)
        self.other = LayerChoice(viewer, Labels, nothing="No other labels", fits=self._is_other)
        self.points = LayerChoice(viewer, Points, nothing="No points")
        self.shapes = LayerChoice(viewer, Shapes, nothing="No shapes")
        self.points_button = button("Place", "Place points on the labels", self.place_points)
        self.lines_button = button("Draw", "Draw on the labels", self.draw)
        for made in (self.points_button, self.lines_button):
            made.setFixedWidth(60)
        self._rows = form_rows(self)
        self._rows.addRow("Work on", self.work_on)
        self._rows.addRow("Where", self.where)
        self._rows.addRow("Inside", self.inside)
        self._rows.addRow("Second labels", self.other)
        self._points_row = _beside(self.points, self.points_button)
        self._rows.addRow("Points", self._points_row)
        self._shapes_row = _beside(self.shapes, self.lines_button)
        self._rows.addRow("Shapes", self._shapes_row)
        self.work_on.currentTextChanged.connect(self._show_rows)
        self.where.currentTextChanged.connect(self._show_rows)
        for choice in (self.inside, self.other, self.points, self.shapes):
            choice.chosen.connect(self.changed)
        self._unwatch: Callable[[], None] | None = None
        for drawn in (self.points, self.shapes):
            drawn.chosen.connect(self._watch)
        self._watch()
        dims = viewer.dims.events
        follow = tuple((e, self._on_seen) for e in (dims.current_step, dims.ndisplay))
        for emitter, slot in follow:
            emitter.connect(slot)
        self.destroyed.connect(disconnector(follow))
        self._show_rows()

    def _is_other(self, layer: Any) -> bool:
        session = self._session()
        return (
            session is not None
            and layer is not session.layer
            and image_at(layer, session.shape, session.time) is not None
        )

    def refill(self) -> None:
        """Offer what fits the labels of the moment."""
        self.inside.refill()
        self.other.refill()
        self._show_rows()

    def show_needs(self, needs: Collection[str], *, mode: str) -> None:
        """Show the rows of what a tool needs; ``mode`` is the one that shapes are drawn in."""
        self._needs, self._mode = frozenset(needs), mode
        self._show_rows()

    def _show_rows(self, _text: str = "") -> None:
        where = self.where.currentText()
        outlines = where in (OUTLINES, THROUGH)
        for row, shown in (
            (self.inside, where == INSIDE),
            (self.other, "other" in self._needs),
            (self._points_row, "points" in self._needs),
            (self._shapes_row, "lines" in self._needs or outlines),
        ):
            self._rows.setRowVisible(row, shown)
        self.changed.emit()

    # -- what is drawn, and where one looks ---------------------------------------------------

    def _watch(self) -> None:
        """Follow what is drawn on the layers that are chosen."""
        if self._unwatch is not None:
            self.destroyed.disconnect(self._unwatch)
            self._unwatch()
        layers = [x.layer for x in (self.points, self.shapes) if x.layer is not None]
        follow = tuple((layer.events.data, self._on_drawn) for layer in layers)
        for emitter, slot in follow:
            emitter.connect(slot)
        self._unwatch = disconnector(follow)
        self.destroyed.connect(self._unwatch)

    def _on_drawn(self, event: Any) -> None:
        if not str(getattr(event, "action", "")).endswith("ing"):  # said again when it is done
            self.changed.emit()

    def _on_seen(self, _event: object = None) -> None:
        """Say so where what there is depends on the slice that is seen."""
        where = self.where.currentText()
        if where in (SLICE, OUTLINES, THROUGH) or self._needs & {"points", "lines", "plane"}:
            self.changed.emit()

    # -- drawing ------------------------------------------------------------------------------

    def place_points(self) -> None:
        """Make a layer of points beside the labels, and place points on it."""
        session = self._session()
        if session is not None:
            self.points.choose(helper(session, Points, "add"))

    def draw(self) -> None:
        """Make a layer of shapes beside the labels, and draw on it; in 3-D, draw on the canvas."""
        session = self._session()
        if session is None:
            return
        if session.viewer.dims.ndisplay == 3:
            self.lasso_wanted.emit()
            return
        outline = self.where.currentText() in (OUTLINES, THROUGH) and "lines" not in self._needs
        mode = "add_polygon_lasso" if outline else self._mode
        self.shapes.choose(helper(session, Shapes, mode))

    def clear_drawn(self) -> None:
        """Take away the points and lines that the tool has used, if they were drawn for it."""
        session = self._session()
        if session is not None:
            if "points" in self._needs:
                clear(self.points.layer, session)
            if "lines" in self._needs:
                clear(self.shapes.layer, session)

    # -- what is given to a tool --------------------------------------------------------------

    def changes(self, session: EditSession, *, trial: bool = False) -> dict[str, Any]:
        """Return what the scene of the session has besides the labels.

        On trial, to see what is missing, a region is stood for by any other one.

        Raises
        ------
        EditError
            If the place that is chosen is not there: see `missing`.
        """
        found: dict[str, Any] = {}
        if self.where.currentText() != EVERYWHERE:
            one = (slice(0, 1),) * session.ndim
            region = Region(one, np.ones((1,) * session.ndim, np.bool_))
            found["region"] = region if trial else self._region(session)
            if found["region"] is None:
                raise EditError(self._cure(session))
        if self.work_on.currentText() == ALL:
            found["selected"] = ()
        if "other" in self._needs:
            found["other"] = image_at(self.other.layer, session.shape, session.time)
        if "points" in self._needs:
            found["points"] = points_of(self.points.layer, session)
        if "lines" in self._needs:
            found["lines"] = lines_of(self.shapes.layer, session)
        return found

    def _region(self, session: EditSession) -> Region | None:
        where = self.where.currentText()
        if where == SLICE:
            return session.slice_region
        if where in (OUTLINES, THROUGH):
            return outlined(self.shapes.layer, session, through=where == THROUGH)
        return labelled_region(self.inside.layer, session) if where == INSIDE else None

    def missing(self, session: EditSession) -> str:
        """Return what there is to do before the place that is chosen is known; empty if nothing."""
        where = self.where.currentText()
        if where == EVERYWHERE:
            return ""
        # Not looked through at each step: other labels may be a large volume.
        there = self.inside.layer if where == INSIDE else self._region(session)
        return "" if there is not None else self._cure(session)

    def _cure(self, session: EditSession) -> str:
        where = self.where.currentText()
        if session.ndim == 3 and session.plane is None and where != INSIDE:
            return "Show a slice: turn the view to 2-D."
        if where == INSIDE:
            return "Choose other labels on the same voxels that hold something."
        return "Draw an outline on this slice first."


def _beside(choice: QWidget, made: QPushButton) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    layout.addWidget(choice, 1)
    layout.addWidget(made)
    return row
