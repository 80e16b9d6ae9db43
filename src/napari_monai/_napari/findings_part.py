"""Half of the review: objects and slices worth looking at, one after the other, until all are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox

from ..events import Event
from ..labels.findings import Finding, next_finding
from .edit_arrays import image_at
from .fly import fly_to, slice_of
from .kept_notes import kept_notes
from .layer_choice import LayerChoice
from .layers import MAP_OF
from .parts import button
from .results import MAP_NAME
from .review_columns import finding_columns
from .review_jobs import Reason, Reviewed, Search, search_steps
from .review_part import ReviewPart

if TYPE_CHECKING:
    from napari.layers import Layer

    from .edit_session import EditSession

_BY = {"object": "Objects", "slice": "Slices"}
_HINTS = {
    "odd": "Look: objects of odd size or shape, slices with gaps and jumps.",
    "uncertain": "Look: where the model was unsure. Ask for a map of it when you segment.",
    "different": "Look: where these labels and the other ones differ.",
}
_NOTHING = "Nothing stands out."


class FindingsPart(ReviewPart):
    """What is worth looking at, the first first; done is noted beside the labels.

    Parameters
    ----------
    session
        The labels.
    """

    def __init__(self, session: EditSession) -> None:
        columns = finding_columns((), done=(), name_of=str)
        super().__init__(
            session, columns, verb="Look", hint="List what is worth looking at, the worst first"
        )
        self._kept = kept_notes(session)
        self._reason: Reason = "odd"
        self.findings: tuple[Finding, ...] = ()
        self._looked = False
        self.by = QComboBox()
        for by, title in _BY.items():
            self.by.addItem(title, by)
        self.by.setVisible(session.ndim == 3)
        self.other = LayerChoice(
            session.viewer, Labels, nothing="No other labels", fits=self._is_beside
        )
        self.map = LayerChoice(
            session.viewer, Image, nothing="No map of it", fits=self._is_doubt, maps=True
        )
        self.previous_button = button("Previous", "The one before that is not done (,)", self.back)
        self.done_button = button("Done", "It is right: note that, and go on (O)", self.done)
        self.next_button = button("Next", "The next one that is not done (.)", self.forward)
        self._lay_out(
            (self.by, self.other, self.map),
            (self.previous_button, self.done_button, self.next_button),
        )
        self.table.add_action("Done or not", self.toggle, Qt.Key.Key_Space)
        self._kept.changed.connect(self._show)
        self.look_for("odd")

    # -- what to look for ---------------------------------------------------------------------

    def look_for(self, reason: Reason) -> None:
        """Look for other things from now on."""
        if reason != self._reason:
            self.findings, self._looked = (), False
        self._reason = reason
        self.other.setVisible(reason == "different")
        self.map.setVisible(reason == "uncertain")
        self._show()

    def _is_beside(self, layer: Layer) -> bool:
        """Whether a layer is another one on the voxels of the labels."""
        session = self._session
        here = image_at(layer, session.shape, session.time) is not None
        return here and layer is not session.layer

    def _is_doubt(self, layer: Layer) -> bool:
        return is_uncertainty(layer) and self._is_beside(layer)

    def search(self) -> None:
        """Look for what is worth looking at."""
        session = self._session
        other = (self.map if self._reason == "uncertain" else self.other).layer
        if self._reason != "odd" and other is None:
            self.status.setText(_HINTS[self._reason])
            return
        search = Search(
            self._reason,
            self.by.currentData() if session.ndim == 3 else "object",
            "classes" if session.classes else "instances",
            (session.layer.name, "" if other is None else other.name),
        )
        array = None if self._reason == "odd" else image_at(other, session.shape, session.time)
        self._start(search_steps(search, session.scene(), array), "Looking")

    def _found(self, event: Event) -> None:
        if isinstance(event, Reviewed):
            self.findings, self._looked = event.findings, True
            self._show()
            self.table.fit_columns()
            at = self._kept.notes.at
            here = next((f for f in self.findings if f.key == at and at not in self._done), None)
            self._look_at(here or next_finding(self.findings, done=self._done))

    # -- one after the other ------------------------------------------------------------------

    @property
    def current(self) -> Finding | None:
        """What is looked at."""
        chosen = [n for n in self.chosen if n <= len(self.findings)]
        return self.findings[chosen[0] - 1] if chosen else None

    @property
    def _done(self) -> frozenset[str]:
        return self._kept.notes.done

    def forward(self) -> None:
        """Go to the next one that is not done."""
        self._step(back=False)

    def back(self) -> None:
        """Go to the one before that is not done."""
        self._step(back=True)

    def _step(self, *, back: bool) -> None:
        after = self.current.key if self.current is not None else ""
        self._look_at(next_finding(self.findings, after=after, done=self._done, back=back))

    def _look_at(self, one: Finding | None) -> None:
        self._choose(None if one is None else self.findings.index(one) + 1)

    def done(self) -> None:
        """Note that what is chosen is done, and go to the next one."""
        after = self.current
        self._mark(True)
        if after is not None:
            self._look_at(next_finding(self.findings, after=after.key, done=self._done))

    def toggle(self) -> None:
        """Note that what is chosen is done; if all of it is, that it is not."""
        self._mark(not all(self.findings[n - 1].key in self._done for n in self.chosen))

    def _mark(self, done: bool) -> None:
        notes = self._kept.notes
        for number in self.chosen:
            one = self.findings[number - 1]
            place: dict[str, Any] = {"centroid": one.at} if one.what == "object" else {}
            notes = notes.marked(one.what, one.number, done=done, **place)
        self._kept.set(notes)

    def go(self) -> None:
        """Fly to what is looked at, and select the object."""
        one, session = self.current, self._session
        if one is None:
            return
        at, box = one.at, None
        if one.what == "object":
            session.select((one.number,))
            box = session.boxes.get(one.number)
            if box is not None:
                at = slice_of(session, one.number, at, box)
        fly_to(session.viewer, session.layer, at, box)
        self.status.setText(one.reason[:1].upper() + one.reason[1:] + ".")
        self._kept.set(self._kept.notes.looking_at(one.key))

    # -- how it looks -------------------------------------------------------------------------

    def _show(self) -> None:
        self._model.show_columns(
            finding_columns(self.findings, done=self._done, name_of=self._session.name_of)
        )
        self._tell()

    def _tell(self) -> None:
        total = len(self.findings)
        done = sum(f.key in self._done for f in self.findings)
        self.table.hint(_NOTHING if self._looked else _HINTS[self._reason])
        self._bar(done, total, f"{done} of {total} done" if total else "")
        for verb in (self.previous_button, self.next_button):
            verb.setEnabled(done < total)
        self.done_button.setEnabled(bool(self.chosen))


def is_uncertainty(layer: Layer) -> bool:
    """Whether a layer is a map of uncertainty: ours, or one that is called so."""
    name = layer.metadata.get(MAP_NAME, layer.name).casefold()
    if MAP_OF in layer.metadata:
        return "probability" not in name
    return any(word in name for word in ("uncertain", "entropy", "variance"))
