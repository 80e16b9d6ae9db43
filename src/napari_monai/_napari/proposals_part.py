"""Half of the review: where a model's labels differ, to be accepted or rejected one by one."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

from napari.layers import Labels
from napari.utils.notifications import show_info
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox

from ..errors import NapariMonaiError
from ..events import Event
from ..labels.proposals import Proposal, Proposals, accepted
from .edit_arrays import image_at
from .fly import fly_to
from .jobs import report
from .layer_choice import LayerChoice
from .object_columns import unit_of
from .outline import Outline
from .parts import button
from .quick_edits import check_free
from .review_columns import SIZE, proposal_columns
from .review_jobs import Proposed, proposal_steps
from .review_part import ReviewPart

if TYPE_CHECKING:
    from napari.layers import Layer

    from .edit_session import EditSession

_HINT = "Choose the labels of a model, and Compare: regions where they differ are listed here."
_SAME = "Nothing differs, or nothing that is as large."
_FEW = 5  # voxels: a region that is smaller is left out, unless the user says otherwise


class ProposalsPart(ReviewPart):
    """The regions in which other labels differ; what is accepted becomes part of these.

    Each press of a button is one step to undo.

    Parameters
    ----------
    session
        The labels.
    """

    def __init__(self, session: EditSession) -> None:
        unit = unit_of(session.unit, session.ndim)
        columns = proposal_columns((), unit=unit, name_of=str)
        super().__init__(
            session, columns, verb="Compare", hint="List the regions in which the labels differ"
        )
        self._unit = unit
        self.proposals: Proposals | None = None
        self._total = 0
        self._outline = Outline(session)
        self.other = LayerChoice(
            session.viewer, Labels, nothing="No other labels", fits=self._is_beside
        )
        self.least = QDoubleSpinBox()
        self.least.setToolTip(f"Regions that are smaller are left out ({unit})")
        self.least.setRange(0, 1e9)
        self.least.setPrefix("≥ ")
        self.least.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        smallest = _FEW * math.prod(session.spacing)
        self.least.setDecimals(0 if smallest >= 10 else 2)
        self.least.setValue(smallest)
        self.accept_button = button("Accept", "It becomes what is proposed (O)", self.accept)
        self.reject_button = button("Reject", "It stays as it is (Shift+O)", self.reject)
        self.class_button = button(
            "Accept class", "Accept all regions that become the same", self.accept_class
        )
        self._lay_out(
            (self.other, self.least), (self.accept_button, self.reject_button, self.class_button)
        )
        self.table.sortByColumn(SIZE, Qt.SortOrder.DescendingOrder)
        self.table.add_action("Accept", self.accept, Qt.Key.Key_Return)
        self.table.add_action("Reject", self.reject, Qt.Key.Key_Delete)
        self._show()

    def _is_beside(self, layer: Layer) -> bool:
        session = self._session
        here = image_at(layer, session.shape, session.time) is not None
        return here and layer is not session.layer

    def search(self) -> None:
        """Compare the labels with the other ones."""
        session, other = self._session, self.other.layer
        if other is None:
            self.status.setText(_HINT)
            return
        steps = proposal_steps(
            session.scene(),
            image_at(other, session.shape, session.time),
            kind="classes" if session.classes else "instances",
            min_volume=self.least.value(),
        )
        self._start(steps, "Comparing")

    def _found(self, event: Event) -> None:
        if isinstance(event, Proposed):
            self.proposals = event.proposals
            self._total = len(event.proposals)
            self._show()
            self.table.fit_columns()
            self._choose(self._first())

    # -- one after the other ------------------------------------------------------------------

    @property
    def regions(self) -> tuple[Proposal, ...]:
        """The regions that are not decided on yet, the largest first."""
        return () if self.proposals is None else self.proposals.ordered("size")

    def _first(self) -> int | None:
        return self.regions[0].number if self.regions else None

    def forward(self) -> None:
        """Go to the next region."""
        self._step(1)

    def back(self) -> None:
        """Go to the region before."""
        self._step(-1)

    def _step(self, step: int) -> None:
        keys = self._model.keys.tolist()
        if keys:
            at = keys.index(self.chosen[0]) + step if self.chosen else 0
            self._choose(int(keys[at % len(keys)]))

    @property
    def current(self) -> Proposal | None:
        """The largest of the regions that are chosen."""
        chosen = self.chosen
        return next((r for r in self.regions if r.number in chosen), None)

    def go(self) -> None:
        """Show the region that is chosen, with its outline."""
        self.show_outline()
        if self.current is not None:
            one = self.current
            fly_to(self._session.viewer, self._session.layer, one.at, one.box)

    def show_outline(self) -> None:
        """Draw the outline of the region that is chosen."""
        if self.current is None or self.proposals is None:
            self._outline.hide()
        else:
            self._outline.show(self.current.box, self.proposals.mask(self.current.number))

    # -- what is decided ----------------------------------------------------------------------

    def accept(self) -> None:
        """Have the regions that are chosen become what is proposed."""
        self._accept(self.chosen)

    def accept_class(self) -> None:
        """Accept all regions that become the same as one that is chosen."""
        new = {r.new for r in self.regions if r.number in self.chosen}
        self._accept([r.number for r in self.regions if r.new in new])

    def reject(self) -> None:
        """Leave the regions that are chosen as they are."""
        self._decided(self.chosen)

    def _accept(self, numbers: Collection[int]) -> None:
        if self.proposals is None or not numbers:
            return
        try:
            check_free(self._session)
            edit = accepted(self.proposals, self._session.scene(selected=()), numbers=numbers)
            self._session.apply(edit)
        except NapariMonaiError as error:
            report(error)
            return
        for note in edit.notes:
            show_info(note)
        self._decided(numbers)

    def _decided(self, numbers: Collection[int]) -> None:
        """Take regions off the list, and go to the one that follows them."""
        if self.proposals is None or not numbers:
            return
        keys = self._model.keys.tolist()
        last = max(keys.index(n) for n in numbers if n in keys) if keys else 0
        after = [k for k in (*keys[last:], *keys[:last]) if k not in numbers]
        self.proposals = self.proposals.without(numbers)
        self._show()
        self._choose(int(after[0]) if after else None)
        if not after:
            self._outline.hide()

    # -- how it looks -------------------------------------------------------------------------

    def hide_outline(self) -> None:
        """Take the outline away while something else is reviewed."""
        self._outline.hide()

    def _show(self) -> None:
        self._model.show_columns(
            proposal_columns(self.regions, unit=self._unit, name_of=self._session.name_of)
        )
        self._tell()

    def _tell(self) -> None:
        chosen = bool(self.chosen)
        for verb in (self.accept_button, self.reject_button, self.class_button):
            verb.setEnabled(chosen)
        done = self._total - len(self.regions)
        self.table.hint(_HINT if self.proposals is None else _SAME if not self._total else "Done.")
        self._bar(done, self._total, f"{done} of {self._total} decided" if self._total else "")
