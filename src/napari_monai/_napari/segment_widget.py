"""The Segment widget: an image, a model, a few settings, Run; then labels on the image."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from napari.layers import Image, Labels
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from .. import io
from ..errors import NapariMonaiError
from ..events import Event, Said, Segmented, WindowDone
from ..models import Model
from ..settings import InferenceSettings
from ..volume import LabelVolume, Volume
from .choices import ONLY_OBJECTS, Choice, auto_values, card_line
from .forms import SettingsForm
from .jobs import Job, Outcome, Steps, report
from .layer_box import LayerBox
from .layers import labels_of, placement_of
from .model_box import ModelBox
from .parts import button, line
from .placement import Placement
from .preview import Preview
from .results import Result, find, put, result_of, warm_up
from .saving import label_endings, label_filters, suggested_path
from .scroll import Scroll

if TYPE_CHECKING:
    import napari

_NO_IMAGE = "Open an image, or try one: File ▸ Open Sample ▸ napari MONAI."


class SegmentWidget(QWidget):
    """Runs a model over an image layer and shows the labels on it.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    # Here, because Qt sends events before __init__ is through.
    _run: _Run | None = None
    _job: Job | None = None

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer

        self.image = LayerBox(napari_viewer, Image, nothing="Open an image first", parent=self)
        self.model = ModelBox(parent=self)
        self.about = line()
        self.form = SettingsForm(InferenceSettings)
        self.run_button = button("Run", "Segment the image with the model", self.run)
        self.cancel_button = button("Cancel", "Stop after the window under way", self.cancel)
        self.progress = QProgressBar()
        self.status = line()
        self.save_button = button(
            "Save labels…", "Save the result on the grid of the image's own file", self.save
        )
        self._lay_out()

        self.image.chosen.connect(self._image_chosen)
        self.model.chosen.connect(self._model_chosen)
        napari_viewer.layers.events.removed.connect(self._update_buttons)
        self._image_chosen()

    def _lay_out(self) -> None:
        self.inputs = QWidget()
        rows = QFormLayout()
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setVerticalSpacing(4)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("Image", self.image)
        rows.addRow("Model", self.model)
        inputs = QVBoxLayout(self.inputs)
        inputs.setContentsMargins(0, 0, 0, 0)
        inputs.setSpacing(6)
        inputs.addLayout(rows)
        inputs.addWidget(self.about)
        inputs.addWidget(self.form)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.setSpacing(6)
        layout.addWidget(Scroll(self.inputs))
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addWidget(self.save_button)
        layout.addStretch(1)
        self.progress.hide()

    # -- choosing -----------------------------------------------------------------------------

    def _image_chosen(self) -> None:
        if self._job is None:
            self._say("" if self.image.layer is not None else _NO_IMAGE)
        try:
            self.model.fit(self.image.layer)
        except NapariMonaiError as error:
            self.model.fit(None)
            self._say(str(error))
        self._model_chosen()

    def _model_chosen(self) -> None:
        choice = self.model.choice
        if choice is None:
            self.about.setText(self.model.why_none())
            self.about.setToolTip("")
        else:
            description = choice.model.description
            self.about.setText(card_line(description))
            self.about.setToolTip(self.model.toolTip())
            self.form.show_autos(auto_values(description))
            self.form.offer(ONLY_OBJECTS, description.outputs.kind == "instances")
        self._update_buttons()

    def _update_buttons(self, _event: object = None) -> None:
        running = self._job is not None
        choice = self.model.choice
        self.inputs.setEnabled(not running)
        self.run_button.setEnabled(not running and choice is not None and self._ready(choice))
        self.cancel_button.setEnabled(self._job is not None and not self._job.cancelled)
        self.save_button.setEnabled(not running and self.result is not None)

    def _ready(self, choice: Choice) -> bool:
        return choice.volume is not None and choice.why_not is None

    @property
    def result(self) -> Labels | None:
        """The labels layer of the last run over the chosen image with the chosen model."""
        image, choice = self.image.layer, self.model.choice
        if image is None or choice is None:
            return None
        return find(self._viewer, image.unique_id, choice.model.name)

    # -- running ------------------------------------------------------------------------------

    def run(self) -> None:
        """Segment the chosen image with the chosen model and settings."""
        if self._job is not None:
            return
        self._image_chosen()  # its voxels or its scale may have changed since it was chosen
        choice, image = self.model.choice, self.image.layer
        if choice is None or image is None or choice.volume is None:
            return
        try:
            settings = self.form.value()
            place = placement_of(image)
        except NapariMonaiError as error:
            report(error)
            self._say(str(error))
            return
        steps = _segment(choice.volume, choice.model, settings, place, image)
        self._run = _Run(self, self._viewer, place, choice.model, self.result)
        self._job = Job(steps, f"Segmenting {image.name}", self)
        self._job.happened.connect(self._on_event)
        self._job.progressed.connect(self._on_progress)
        self._job.ended.connect(self._on_end)
        self.progress.setRange(0, 0)
        self.progress.setFormat("")
        self.progress.show()
        self._say("Loading the model…" if "torch" in sys.modules else "Starting PyTorch…")
        self._job.start()
        self._update_buttons()

    def cancel(self) -> None:
        """Stop the run that is under way and leave the layers as they were."""
        if self._job is not None:
            self._job.cancel()
            self._say("Cancelling…")
            self._update_buttons()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Said):
            self._say(event.message)
        elif isinstance(event, WindowDone) and self._run is not None:
            self._run.show_part(event)
            if event.done == event.total:
                self._say("Finishing…")
        elif isinstance(event, Result) and self._run is not None:
            self._run.tidy()
            put(self._viewer, event)
            self._say(event.summary)

    def _on_progress(self, done: int, total: int, words: str) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.setFormat(words)

    def _on_end(self, outcome: Outcome) -> None:
        if self._run is not None:
            self._run.tidy()
        if outcome == "cancelled":
            self._say("Cancelled.")
        elif outcome == "failed" and self._job is not None:
            self._say(self._job.error)
        self._run = self._job = None
        self.progress.hide()
        self._update_buttons()

    def _say(self, text: str) -> None:
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def event(self, event: QEvent | None) -> bool:
        """Cancel the run when the dock that holds the widget is closed."""
        moved = event is not None and event.type() == QEvent.Type.ParentChange
        if moved and self.parent() is None:
            self.cancel()
            if self._run is not None:
                self._run.tidy()
        return bool(super().event(event))

    # -- saving -------------------------------------------------------------------------------

    def save(self) -> None:
        """Ask where to save the result, and save it there."""
        layer = self.result
        if layer is None:
            return
        labels = labels_of(layer)
        path = suggested_path(labels)
        dialog = QFileDialog(self, "Save labels", str(path.parent), label_filters(labels))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(label_endings(labels)[0].lstrip("."))
        dialog.selectFile(path.name)
        if dialog.exec():
            self.save_to(Path(dialog.selectedFiles()[0]))

    def save_to(self, path: Path) -> None:
        """Save the result; without a known extension, in the first format that suits it."""
        layer = self.result
        if layer is None or self._job is not None:
            return
        labels = labels_of(layer)
        if io.extension_of(path) is None:
            path = path.with_name(path.name + label_endings(labels)[0])
        self._job = Job(_save(path, labels), f"Saving {path.name}", self)
        self._job.happened.connect(self._on_event)
        self._job.ended.connect(self._on_end)
        self._say("Saving…")
        self._job.start()
        self._update_buttons()


class _Run:
    """What a run shows while it lasts: a preview in place of the last result."""

    def __init__(
        self, parent: QWidget, viewer: Any, place: Placement, model: Model, last: Labels | None
    ) -> None:
        self._preview: Preview | None = Preview(viewer, place, model.description, parent)
        self._last = last if last is not None and last.visible else None
        if self._last is not None:
            self._last.visible = False

    def show_part(self, event: WindowDone) -> None:
        """Show a part of the labels that is finished."""
        if self._preview is not None:
            self._preview.show_part(event)

    def tidy(self) -> None:
        """Take the preview away and show the last result again; once."""
        preview, last = self._preview, self._last
        self._preview = self._last = None
        if preview is not None:
            preview.close()
        if last is not None:
            last.visible = True


def _segment(
    volume: Volume, model: Model, settings: InferenceSettings, place: Placement, image: Image
) -> Steps:
    """Segment, and end with the layer instead of the labels. Torch is imported here."""
    from ..inference import segment_steps

    warm_up(model.description)
    with closing(cast("Steps", segment_steps(volume, model, settings=settings))) as steps:
        for event in steps:
            if isinstance(event, Segmented):
                yield result_of(event, place, image, model.description)
            else:
                yield event


def _save(path: Path, labels: LabelVolume) -> Steps:
    io.write(path, labels)
    yield Said(f"Saved {path.name}.")
