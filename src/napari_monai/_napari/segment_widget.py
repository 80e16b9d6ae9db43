"""The Segment widget: an image, a model, a few settings, Run; then labels on the image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QVBoxLayout, QWidget

from .. import io
from ..errors import ModelError, NapariMonaiError
from ..events import Event, Said
from ..models import Model
from ..models.card import is_allowed
from ..settings import InferenceSettings
from ..volume import LabelVolume
from . import autosave
from .channel_rows import ChannelRows
from .choices import (
    LINKS,
    ONLY_OBJECTS,
    Choice,
    auto_values,
    card_line,
    choices,
    joined_volume,
    linked,
)
from .forms import SettingsForm
from .job_widget import JobWidget
from .jobs import Job, Outcome, Steps, report
from .layer_box import LayerBox
from .layers import labels_of
from .model_box import ModelBox
from .parts import button, line
from .queue import Queue
from .queue_list import QueueList
from .results import find
from .saving import label_endings, label_filters, suggested_path
from .scroll import Scroll
from .segment_run import Run, key_of
from .trust_dialog import ask

if TYPE_CHECKING:
    import napari

_NO_IMAGE = "Open an image, or try one: File ▸ Open Sample ▸ napari MONAI."
_RUN = ("Run", "Segment the image with the model")
_ADD = ("Add to queue", "Segment the image with the model when its turn comes")


class SegmentWidget(JobWidget):
    """Runs a model over image layers, one after the other, and shows the labels on them.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        autosave.start(napari_viewer)
        self._saving: Job | None = None
        self.image = LayerBox(
            napari_viewer, Image, nothing="Open an image first", noun="images", parent=self
        )
        self.model = ModelBox(parent=self)
        self.channels = ChannelRows(self)
        self.about = line()
        self.form = SettingsForm(InferenceSettings)
        self.run_button = button(*_RUN, self.run)
        self.cancel_button = button("Cancel", "Stop after the window under way", self.cancel)
        self.cancel_all_button = button(
            "Cancel all", "Stop after the window under way, and empty the queue", self.cancel_all
        )
        self.queue = Queue(self)
        self.queue_list = QueueList(self.queue, self)
        self.save_button = button(
            "Save labels…", "Save the result on the grid of the image's own file", self.save
        )
        self._lay_out()

        self.image.chosen.connect(self._image_chosen)
        self.image.listed.connect(self._refit)
        self.model.chosen.connect(self._model_chosen)
        self.channels.changed.connect(self._update_buttons)
        self.form.changed.connect(self._offer_links)
        self.form.changed.connect(self._update_buttons)
        self.queue.changed.connect(self._on_queue)
        self.queue.progressed.connect(self._on_progress)
        self.queue.emptied.connect(self._on_emptied)
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
        inputs.addWidget(self.channels)
        inputs.addWidget(self.about)
        inputs.addWidget(self.form)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        buttons.addWidget(self.cancel_all_button, 1)
        layout = self._rows()
        layout.addWidget(Scroll(self.inputs))
        layout.addLayout(buttons)
        layout.addWidget(self.queue_list)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addWidget(self.save_button)
        layout.addStretch(1)

    # -- choosing -----------------------------------------------------------------------------

    def _image_chosen(self) -> None:
        if not self.busy:
            self._say("" if self.image.layer is not None else _NO_IMAGE)
        self._refit()

    def use(self, model: str) -> bool:
        """Choose a model of the store by its name, and say so; say whether it fits the image."""
        fits = self.model.choose(model)
        if fits and not self.busy:
            self._say(f"{model} is chosen: press Run.")
        return fits

    def _refit(self) -> None:
        try:
            self.model.fit(self.image.layer, self.image.every)
        except NapariMonaiError as error:
            self.model.fit(None)
            self._say(str(error))
        self._model_chosen()

    def _model_chosen(self) -> None:
        choice = self.model.choice
        self.channels.show_choice(choice, self.image.layer)
        if choice is None:
            self.about.setText(self.model.why_none())
            self.about.setToolTip("")
        else:
            description = choice.model.description
            self.about.setText(card_line(description, choice.fit))
            self.about.setToolTip(self.model.toolTip())
            self.form.show_autos(auto_values(description))
            self.form.offer(ONLY_OBJECTS, description.outputs.kind == "instances")
        self._offer_links()
        self._update_buttons()

    def _offer_links(self) -> None:
        """Show what can be said of slices and time points, where there are any."""
        fields = self.form.fields
        shown = linked(self.model.choice, fields["slices"].value, fields["link_time"].value)
        self.form.offer(shown, True)
        self.form.offer(LINKS - shown, False)

    @property
    def busy(self) -> bool:
        """Whether something runs, waits or is saved."""
        return self._saving is not None or not self.queue.at_rest

    def _update_buttons(self, _event: object = None) -> None:
        choice, running = self.model.choice, self.queue.running
        text, hint = _RUN if self.queue.at_rest else _ADD
        self.run_button.setText(text)
        ready = choice is not None and self._ready(choice)
        if ready and all(self._is_queued(images) for images in self._images):
            ready, hint = False, "It is in the queue already"
        self.run_button.setToolTip(hint)
        self.run_button.setEnabled(ready)
        stoppable = running is not None and running.state == "running"
        self.cancel_button.setEnabled(stoppable)
        self.cancel_all_button.setVisible(bool(self.queue.waiting))
        self.save_button.setEnabled(self._saving is None and self.result is not None)

    @property
    def _images(self) -> list[tuple[Image, ...]]:
        """The layers of each image to segment: one, or one a channel."""
        if self.channels.layers:
            return [self.channels.layers]
        return [(layer,) for layer in self.image.layers]

    def _is_queued(self, images: Sequence[Image]) -> bool:
        choice = self.model.choice
        if self.queue.at_rest or choice is None:
            return False
        try:
            settings = self.form.value()
        except NapariMonaiError:
            return False  # which is said when Run is pressed
        return self.queue.holds(key_of(images, choice.model, settings))

    def _ready(self, choice: Choice) -> bool:
        return choice.volume is not None and choice.why_not is None

    @property
    def result(self) -> Labels | None:
        """The labels layer of the last run over the chosen image with the chosen model."""
        images, choice = self._images, self.model.choice
        if not images or choice is None:
            return None
        return find(self._viewer, images[0][0].unique_id, choice.model.name)

    # -- running ------------------------------------------------------------------------------

    def run(self) -> None:
        """Segment the chosen images with the chosen model and settings, when their turn comes."""
        self._image_chosen()  # its voxels or its scale may have changed since it was chosen
        choice = self.model.choice
        if choice is None or not self._ready(choice):
            return
        if not is_allowed(choice.model):
            ask(choice.model, self.run, self)
            return
        try:
            settings = self.form.value()
        except NapariMonaiError as error:
            self._fail(error)
            return
        if not self.busy:
            self._show_progress()
        autosave.before_run(self._viewer)
        for images in self._images:
            if not self._is_queued(images):
                try:
                    self._add(images, choice.model, settings)
                except NapariMonaiError as error:
                    self._fail(error)
        self._update_buttons()

    def _add(self, images: Sequence[Image], model: Model, settings: InferenceSettings) -> None:
        """Put a run into the queue; raises what stands against it."""
        if len(images) > 1:
            volume = joined_volume(images, model)
        else:
            (choice,) = choices([model], images[0])
            if choice.volume is None or choice.why_not is not None:
                raise ModelError(f"{images[0].name} is left out: {model.name} {choice.why_not}.")
            volume = choice.volume
        self.queue.add(Run(self, self._viewer, images, volume, model, settings))

    def _fail(self, error: NapariMonaiError) -> None:
        report(error)
        self._say(str(error))

    def cancel(self) -> None:
        """Stop the run that is under way, leave its layers as they were; the next goes on."""
        if self.queue.running is not None:
            self.queue.cancel(self.queue.running)

    def cancel_all(self) -> None:
        """Stop the run that is under way, and empty the queue."""
        self.queue.cancel_all()

    def _on_queue(self) -> None:
        running = self.queue.running
        if running is not None and running.line != self.status.text():
            self._say(running.line)
        if running is not None and not running.total:
            self.progress.setFormat(running.words)
        self._update_buttons()

    def _on_emptied(self) -> None:
        self.progress.hide()
        runs = self.queue.runs
        if len(runs) == 1:
            self._say(runs[0].line)
        elif runs:
            done = sum(r.state == "done" for r in runs)
            failed = [f"{r.name}: {r.line}" for r in runs if r.state == "failed"]
            self._say("\n".join([f"{done} of {len(runs)} images done.", *failed]))
        self._update_buttons()

    def leave(self) -> None:
        """Stop all that runs and waits; take previews away."""
        self.queue.leave()
        if self._saving is not None:
            self._saving.cancel()

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
        if layer is None or self._saving is not None:
            return
        labels = labels_of(layer)
        if io.extension_of(path) is None:
            path = path.with_name(path.name + label_endings(labels)[0])
        changes = autosave.changes_of(layer)
        self._saving = Job(_save(path, labels), f"Saving {path.name}", self)
        self._saving.happened.connect(self._on_saving)
        self._saving.ended.connect(partial(_saved, layer, changes))
        self._saving.ended.connect(self._on_saved)
        self._say("Saving…")
        self._saving.start()
        self._update_buttons()

    def _on_saving(self, event: Event) -> None:
        if isinstance(event, Said):
            self._say(event.message)

    def _on_saved(self, outcome: Outcome) -> None:
        if outcome == "failed" and self._saving is not None:
            self._say(self._saving.error)
        self._saving = None
        self._update_buttons()


def _saved(layer: Labels, changes: int, outcome: Outcome) -> None:
    if outcome == "done":
        autosave.saved(layer, changes)


def _save(path: Path, labels: LabelVolume) -> Steps:
    io.write(path, labels)
    yield Said(f"Saved {path.name}.")
