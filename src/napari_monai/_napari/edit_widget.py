"""The Edit labels widget: labels, a selection, a tool, Apply; every edit one undo step."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QSizePolicy,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from ..errors import NapariMonaiError
from ..labels.boxes import Box
from . import autosave
from .classes_panel import ClassesPanel
from .edit_arrays import image_at
from .edit_inputs import SELECTED, EditInputs
from .edit_keys import APPLY, BEFORE, BEFORE_ALL, PICK, PICK_MORE, EditKeys, key_table, tool_keys
from .edit_preview import PREVIEWED, Preview
from .edit_session import EditSession, why_not
from .edit_tools import EditTools
from .forms import Folded
from .ghost import BeforeAfter
from .job_widget import JobWidget
from .jobs import Outcome
from .kept_notes import kept_notes
from .layer_choice import LayerChoice
from .objects_panel import ObjectsPanel
from .paint_guard import PaintGuard
from .painting_box import PaintingBox
from .parts import beside, button, form_rows, line
from .pointing import Lasso, Picker
from .review_panel import ReviewPanel
from .scroll import Scroll

if TYPE_CHECKING:
    import napari

_UNGUARDED = "The brush of this version of napari cannot be kept off what is locked: update us."
# The tabs beside the tools: each is made of a session.
_PANELS = {"Classes": ClassesPanel, "Objects": ObjectsPanel, "Review": ReviewPanel}
_NO_LABELS = "Open labels, add a labels layer, or segment an image first."


class EditWidget(JobWidget):
    """Corrects a labels layer with the tools of the table of operations.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    session: EditSession | None = None

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        autosave.start(napari_viewer)
        self._keys: EditKeys | None = None
        self._applying = False
        self._lines: tuple[Any, ...] = ()  # drawn on the canvas, for the tool that is chosen
        self.layer = LayerChoice(napari_viewer, Labels, nothing="Open labels first", parent=self)
        self.image = LayerChoice(
            napari_viewer, Image, nothing="No image", none="None", fits=self._has_the_voxels
        )
        self.picked = line()
        self.tools = EditTools(tool_keys())
        self.inputs = EditInputs(napari_viewer, lambda: self.session)
        self.preview_box = QCheckBox("Preview on this slice")
        self.preview_box.setToolTip("Show what the tool would do, as its settings change")
        self.hint = line()
        self.apply_button = button("Apply", "Do it: one undo step (A)", self.apply)
        self.cancel_button = button("Cancel", "Stop; nothing of it stays", self.cancel)
        self.undo_button = button("Undo", "Take the last step back (Ctrl-Z)", self.undo)
        self.redo_button = button("Redo", "Do it again (Ctrl-Shift-Z)", self.redo)
        self.before_button = button(
            "Before", "Show the labels before the last edit (C)", self._flip
        )
        self.before_button.setCheckable(True)
        self.painting = PaintingBox()
        self._lay_out()

        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._update)
        self.tabs.currentChanged.connect(self._tab_shown)
        self.layer.chosen.connect(self._open)
        self.image.chosen.connect(self._image_chosen)
        self.tools.chosen.connect(self._tool_chosen)
        self.tools.changed.connect(self._update)
        self.inputs.changed.connect(self._soon.start)
        self.inputs.lasso_wanted.connect(self._start_lasso)
        self.preview_box.toggled.connect(self._update)
        active = napari_viewer.layers.selection.active
        self.layer.choose(active)
        self._tool_chosen()
        self._open()

    def _lay_out(self) -> None:
        top = form_rows()
        top.addRow("Labels", self.layer)
        top.addRow("Image", self.image)
        content = QWidget()
        inside = QVBoxLayout(content)
        inside.setContentsMargins(0, 6, 0, 0)
        inside.setSpacing(6)
        inside.addWidget(self.tools)
        inside.addWidget(self.inputs)
        inside.addWidget(self.preview_box)
        keys = line()
        keys.setText(key_table())
        keys.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        parts: tuple[tuple[str, QWidget], ...] = (("Painting", self.painting), ("Keys", keys))
        for title, part in parts:
            folded = Folded(title)
            folded.addWidget(part)
            inside.addWidget(folded)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(Scroll(content), "Tools")
        self.verbs = QWidget()
        verbs = QVBoxLayout(self.verbs)
        verbs.setContentsMargins(0, 0, 0, 0)
        verbs.addWidget(self.hint)
        verbs.addLayout(beside(self.apply_button, self.cancel_button))
        steps = beside(self.undo_button, self.redo_button, self.before_button)
        layout = self._rows()
        layout.addLayout(top)
        layout.addWidget(self.picked)
        layout.addWidget(self.tabs)
        layout.addWidget(self.verbs)
        layout.addLayout(steps)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addStretch(1)

    def _tab_shown(self, at: int) -> None:
        self.verbs.setVisible(at == 0)
        layout = self.layout()
        if isinstance(layout, QVBoxLayout):  # tables take what height there is
            layout.setStretchFactor(self.tabs, 0 if at == 0 else 1000)

    # -- which labels -------------------------------------------------------------------------

    def _has_the_voxels(self, layer: Any) -> bool:
        session = self.session
        return session is not None and image_at(layer, session.shape, session.time) is not None

    def _open(self) -> None:
        """Take the labels that are chosen under correction."""
        self.leave()
        layer = self.layer.layer
        if layer is None:
            self._say(_NO_LABELS)
        else:
            reason = why_not(layer)
            try:
                if reason is None:
                    self._begin(EditSession(self._viewer, layer))
                    reason = "" if self.guard.works else _UNGUARDED
                self._say(reason)
            except NapariMonaiError as error:
                self._say(str(error))
        self.image.refill()
        if self.session is not None and self.image.layer is None and self.image.every:
            self.image.choose(self.image.every[0])
        self._image_chosen()  # which is not said where the image stays the one it was
        self.inputs.refill()

    def _begin(self, session: EditSession) -> None:
        self.session = session
        self.picker = Picker(session)
        self.guard = PaintGuard(session, self._say)
        self.before = BeforeAfter(session)
        self.preview = Preview(session)
        self.lasso = Lasso(session)
        self.lasso.drawn.connect(self._on_lasso)
        self._keys = EditKeys(session.layer, self._slots())
        runs = session.runs
        runs.said.connect(self._say)
        runs.begun.connect(self._on_begun)
        runs.progressed.connect(self._on_progress)
        runs.ended.connect(self._on_run_ended)
        session.changed.connect(self._on_changed)
        session.edited.connect(self._on_edited)
        session.stepped.connect(self._say)
        session.selected_changed.connect(self._update)
        session.classes_changed.connect(self._update)
        session.outgrown.connect(self._open)
        session.closed.connect(self._on_closed)
        for title, panel in _PANELS.items():
            self.tabs.addTab(panel(session), title)
        runs.locate()

    def _on_closed(self) -> None:
        if self._keys is not None:
            self._keys.close()
        self._keys, self.session = None, None
        for at in range(self.tabs.count() - 1, 0, -1):
            panel = self.tabs.widget(at)
            self.tabs.removeTab(at)
            if panel is not None:
                panel.deleteLater()
        self.painting.follow(None, None)
        self.progress.hide()

    def leave(self) -> None:
        """Let go of the labels; what is under way is stopped."""
        if self.session is not None:
            self.session.close()

    def _image_chosen(self) -> None:
        if self.session is not None:
            self.session.image = self.image.layer
            self.painting.follow(self.session, self.guard)
        self._tool_chosen()

    # -- keys ---------------------------------------------------------------------------------

    def _slots(self) -> dict[str, Any]:
        tools = {key: self._tool_slot(name) for name, key in tool_keys().items()}
        return {
            **tools,
            APPLY: lambda _layer: self.apply(),
            PICK: lambda _layer: self.picker.pick(),
            PICK_MORE: lambda _layer: self.picker.pick(more=True),
            BEFORE: self._slot_of_before(all_edits=False),
            BEFORE_ALL: self._slot_of_before(all_edits=True),
        }

    def _tool_slot(self, name: str) -> Any:
        def slot(_layer: Any) -> None:
            self.tools.choose(name)
            self.apply()

        return slot

    def _slot_of_before(self, *, all_edits: bool) -> Any:
        def held(_layer: Any) -> Generator[None, None, None]:
            self._show_before(all_edits=all_edits)
            yield
            self._show_after()

        return held

    # -- the tool -----------------------------------------------------------------------------

    def _tool_chosen(self) -> None:
        row = self.tools.operation
        self._lines = ()
        if self.session is not None:
            self.lasso.stop()  # its outline was for another tool, and so is what was said
            self._say("")
        mode = "add_path" if row.group == "Split" else "add_polygon_lasso"
        self.inputs.show_needs(row.needs, mode=mode)
        self.preview_box.setVisible(row.name in PREVIEWED)
        if row.name in PREVIEWED and self.session is not None:
            self.tools.form.show_autos({"lower": self.preview.limit()})
        self._update()

    def _changes(self, session: EditSession, *, trial: bool = False) -> dict[str, Any]:
        """Return what the scene of the session is to hold for the tool that is chosen."""
        found = self.inputs.changes(session, trial=trial)
        return {**found, "lines": self._lines} if self._lines else found

    def _missing(self, session: EditSession) -> str:
        """Return what has to be done first; empty where the tool can be applied."""
        if self.inputs.work_on.currentText() == SELECTED and not session.selected:
            return "Select labels: click on them in pan/zoom mode, or press Q over them."
        missing = self.inputs.missing(session)
        if missing:
            return missing
        try:
            lacking = self.tools.operation.missing(
                session.scene(**self._changes(session, trial=True))
            )
        except NapariMonaiError as error:
            return str(error)
        return " ".join(lacking)

    def _update(self, _value: object = None) -> None:
        """Say what is selected and missing; offer what can be done."""
        session = self.session
        busy = session is not None and session.runs.busy
        missing = "" if session is None else self._missing(session)
        self.picked.setText("" if session is None else f"Selected: {session.described}")
        self.picked.setVisible(session is not None)
        self.hint.setText(missing)
        self.hint.setVisible(bool(missing) and not busy)
        self.apply_button.setEnabled(session is not None and not missing and not busy)
        self.cancel_button.setVisible(busy)
        self.undo_button.setEnabled(session is not None and session.can_undo and not busy)
        self.redo_button.setEnabled(session is not None and session.can_redo and not busy)
        self.before_button.setEnabled(session is not None and session.can_undo)
        self._update_preview(session, ready=not missing and not busy)

    def _update_preview(self, session: EditSession | None, *, ready: bool) -> None:
        if session is None:
            return
        row = self.tools.operation
        wanted = row.name in PREVIEWED and self.preview_box.isChecked()
        if not wanted or not ready:
            self.preview.hide()
            return
        try:
            settings, changes = self.tools.form.value(), self._changes(session)
        except NapariMonaiError:
            return  # said when it is applied
        self.preview.show(row.name, settings, changes)

    def apply(self) -> None:
        """Apply the tool that is chosen, or say what is missing."""
        session = self.session
        if session is None or session.runs.busy:
            return
        self._show_after()
        self.preview.hide()
        missing = self._missing(session)
        if missing:
            self._say(f"{self.tools.operation.title}: {missing}")
            return
        try:
            settings = self.tools.form.value()
            changes = self._changes(session)
        except NapariMonaiError as error:
            self._say(str(error))
            return
        self._applying = True
        session.run(self.tools.operation.name, settings, **changes)
        self._update()

    def cancel(self) -> None:
        """Stop the tool that runs; nothing of it stays."""
        if self.session is not None:
            self.session.runs.cancel()

    def _on_begun(self, title: str) -> None:
        self._say(f"{title}…")
        self._show_progress()
        self._update()

    def _on_run_ended(self, outcome: Outcome) -> None:
        self.progress.hide()
        if outcome == "done" and self._applying:  # and not a tab of tables
            self._lines = ()
            self.inputs.clear_drawn()
        self._applying = False
        self._update()

    def _on_changed(self, _boxes: object) -> None:
        self._soon.start()

    def _on_edited(self, boxes: Sequence[Box]) -> None:
        """Note which slices of a volume were corrected."""
        session = self.session
        if session is not None and session.ndim == 3:
            notes = kept_notes(session)
            slices = {at for box in boxes for at in range(box[0].start, box[0].stop)}
            notes.set(notes.notes.with_corrected(slices))

    # -- drawn on the canvas ------------------------------------------------------------------

    def _start_lasso(self) -> None:
        if self.session is not None:
            self.lasso.start()
            self._say("Draw an outline on the canvas with the mouse held down.")

    def _on_lasso(self, corners: Any) -> None:
        self._lines = (corners,)
        self.apply()

    # -- back and forth -----------------------------------------------------------------------

    def undo(self) -> None:
        """Take the last step back."""
        if self.session is not None:
            self._show_after()
            self.session.undo()
            self._update()

    def redo(self) -> None:
        """Do again what was undone last."""
        if self.session is not None:
            self._show_after()
            self.session.redo()
            self._update()

    def _flip(self, on: bool = False) -> None:
        if on:
            self._show_before(all_edits=False)
        else:
            self._show_after()

    def _show_before(self, *, all_edits: bool) -> None:
        if self.session is not None:
            shown = self.before.show(all_edits=all_edits)
            self.before_button.setChecked(shown)

    def _show_after(self) -> None:
        if self.session is not None:
            self.before.hide()
        self.before_button.setChecked(False)
