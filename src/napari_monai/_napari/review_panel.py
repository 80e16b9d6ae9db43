"""The review of labels: what is worth looking at, and what a model proposes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QStackedWidget, QVBoxLayout, QWidget

from .findings_part import FindingsPart
from .proposals_part import ProposalsPart

if TYPE_CHECKING:
    from .edit_session import EditSession

_PROPOSAL = "proposal"
_WHAT = {
    "odd": "Odd sizes, shapes and gaps",
    "uncertain": "What the model was unsure of",
    "different": "What differs from other labels",
    _PROPOSAL: "A model's proposal, region by region",
}
#: Keys of the viewer while the review is seen; none of them is one of its own.
KEYS = {
    ".": "Next in the review",
    ",": "The one before",
    "O": "Done, or accept, and go on",
    "Shift-O": "Reject, and go on",
}


class ReviewPanel(QWidget):
    """Goes through labels: chooses what to look for, and shows one after the other.

    Parameters
    ----------
    session
        The labels.
    """

    def __init__(self, session: EditSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.what = QComboBox()
        self.what.setToolTip("What to go through")
        for what, title in _WHAT.items():
            self.what.addItem(title, what)
        self.findings, self.proposals = FindingsPart(session), ProposalsPart(session)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.findings)
        self._stack.addWidget(self.proposals)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 6, 0, 0)
        rows.addWidget(self.what)
        rows.addWidget(self._stack)
        self.what.currentIndexChanged.connect(self._on_what)
        self._bound: list[str] = []
        session.closed.connect(self._unbind)

    @property
    def part(self) -> FindingsPart | ProposalsPart:
        """What is gone through at the moment."""
        return self.proposals if self.what.currentData() == _PROPOSAL else self.findings

    def _on_what(self) -> None:
        what = self.what.currentData()
        self._stack.setCurrentWidget(self.part)
        if what != _PROPOSAL:
            self.proposals.hide_outline()
            self.findings.look_for(what)
        else:
            self.proposals.show_outline()

    # -- keys ---------------------------------------------------------------------------------

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Take keys of the viewer, those that somebody has use for excepted."""
        super().showEvent(event)
        for key, slot in self._slots().items():
            if key not in self._bound:
                with suppress(ValueError):
                    self._session.viewer.bind_key(key, slot)
                    self._bound.append(key)
        if self.part is self.proposals:
            self.proposals.show_outline()

    def hideEvent(self, event: Any) -> None:  # noqa: N802
        """Give the keys back, and take the outline away."""
        super().hideEvent(event)
        self.proposals.hide_outline()
        self._unbind()

    def _unbind(self) -> None:
        while self._bound:
            self._session.viewer.bind_key(self._bound.pop(), None)

    def _slots(self) -> dict[str, Any]:
        def settle(_viewer: Any) -> None:
            part = self.part
            part.accept() if isinstance(part, ProposalsPart) else part.done()

        def reject(_viewer: Any) -> None:
            if isinstance(self.part, ProposalsPart):
                self.part.reject()

        slots = (lambda _: self.part.forward(), lambda _: self.part.back(), settle, reject)
        return dict(zip(KEYS, slots, strict=True))
