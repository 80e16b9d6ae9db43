"""The Fine-tune widget: pairs and a model, Start, curves; then the new model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication, QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from ..errors import NapariMonaiError
from ..events import Event, Said
from ..models import Model, read_model
from ..models.card import is_allowed
from . import autosave
from .finetune_data import take
from .finetune_form import TrainingForm
from .finetune_look import Pictures, card_dialog
from .finetune_runs import Runs
from .finetune_steps import (
    Begun,
    Checked,
    Leaving,
    Listener,
    Pictured,
    Stored,
    Wanted,
    check_steps,
    follow_steps,
    picture_steps,
    resume_steps,
    stop,
    train_steps,
    use_steps,
)
from .finetune_watch import Watch
from .job_widget import OneJobWidget
from .jobs import Job, Outcome, Steps, report
from .parts import beside, button, line
from .scroll import Scroll
from .trust_dialog import ask

if TYPE_CHECKING:
    import napari

    from ..training.process import Run

_NO_PAIRS = "Add a pair of image and labels first: layers, files or folders."
_ONLY_VALIDATION = "All pairs are for validation: leave at least one to train on."


class FinetuneWidget(OneJobWidget):
    """Trains a model on what is labelled in the viewer or in files, and shows how it goes.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    # Here, because Qt sends events before __init__ is through.
    _training: Job | None = None  # beside it, a job looks through data, or stores a model
    _folder: Path | None = None  # of the training that is shown

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        autosave.start(napari_viewer)
        self._name = ""
        self._listener = Listener(threading.Event(), self.goes_on)
        self._leaving = Leaving(self._listener)
        # With its window a widget is destroyed, and never told that its dock is closed.
        self.destroyed.connect(self._leaving)
        app = QApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self._leaving)
        self._stays = False
        self._stopping = False
        self.data = TrainingForm(napari_viewer)
        self.problems = line()
        self.check_button = button(
            "Check data", "Look through the data as a training would, and train nothing", self.check
        )
        self.pictures_button = button(
            "Show changes",
            "Show training images as the augmentation would change them",
            self.show_pictures,
        )
        self.start_button = button(
            "Start", "Train, in a process of its own: the window stays free", self.start
        )
        self.cancel_button = button("Cancel", "Stop looking", self.cancel)
        self.watch = Watch(napari_viewer)
        self.runs = Runs()
        self._lay_out()
        self.data.changed.connect(self._update)
        self.data.said.connect(self._say)
        self.watch.stop_wanted.connect(self.stop)
        self.watch.use_wanted.connect(self.use)
        self.watch.card_wanted.connect(self.open_card)
        self.watch.stays.toggled.connect(self._set_stays)
        self.runs.wanted.connect(self._open_run)
        self._problems_are(())
        self._say("")
        self._update()

    def _lay_out(self) -> None:
        first = QWidget()
        inside = QVBoxLayout(first)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(Scroll(self.data))
        inside.addLayout(beside(self.check_button, self.pictures_button, self.cancel_button))
        inside.addWidget(self.start_button)
        inside.addWidget(self.problems)
        inside.addStretch(1)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(first, "Data")
        self.tabs.addTab(Scroll(self.watch), "Training")
        self.tabs.addTab(self.runs, "Runs")
        layout = self._rows()
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        for text in (self.problems, self.status):  # a long path does not make the dock wide
            text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    @property
    def busy(self) -> bool:
        """Whether something is trained, looked through or put away."""
        return self._training is not None or self._job is not None

    def _update(self) -> None:
        idle = not self.busy
        for part in (self.check_button, self.pictures_button, self.start_button):
            part.setEnabled(idle)
        looking = self._job is not None
        self.cancel_button.setVisible(looking)
        self.cancel_button.setEnabled(looking and self._job is not None and not self._job.cancelled)
        self.watch.use_button.setEnabled(idle and not self.watch.is_kept)

    # -- what is asked for --------------------------------------------------------------------

    def _wanted(self, again: Callable[[], None]) -> Wanted | None:
        """Return the training that is asked for, or say what is missing.

        A model that brings code is asked about first, and ``again`` called when it may run.
        """
        self._problems_are(())
        rows = self.data.pairs.rows
        pairs = [row for row in rows if row.labels is not None]
        model = self.data.start.start
        if not pairs or all(row.validation for row in pairs):
            self._say(_ONLY_VALIDATION if pairs else _NO_PAIRS)
            return None
        if model is not None and not is_allowed(model):
            ask(model, again, self)
            return None
        try:
            settings, name = self.data.settings(), self.data.chosen_name
            images = self.data.pairs.images
            taken = tuple(take(row, model, images) for row in rows)
        except NapariMonaiError as error:
            self._say(str(error))
            return None
        self._say("")
        return Wanted(model, taken, self.data.which, settings, name)

    def check(self) -> None:
        """Look through the data, and list what is wrong."""
        wanted = self._wanted(self.check)
        if wanted is not None:
            self._look(check_steps(wanted), "Checking the data")

    def show_pictures(self) -> None:
        """Show training images as the augmentation would change them."""
        wanted = self._wanted(self.show_pictures)
        if wanted is not None:
            self._look(picture_steps(wanted), "Changing images")

    def _problems_are(self, lines: tuple[str, ...]) -> None:
        self.problems.setText("\n".join(lines))
        self.problems.setVisible(bool(lines))

    # -- training -----------------------------------------------------------------------------

    def start(self) -> None:
        """Train, in a process of its own."""
        wanted = None if self.busy else self._wanted(self.start)
        if wanted is None:
            return
        autosave.before_run(self._viewer)
        count = sum(one.labels is not None and not one.validation for one in wanted.taken)
        start = "from scratch" if wanted.model is None else f"from {wanted.model.name}"
        title = f"{wanted.name}, {start}, on {count} pair{'s' * (count != 1)}"
        self._train(train_steps(wanted, self._listener), wanted.name, title)

    def goes_on(self) -> bool:
        """Whether the training is to go on when nobody listens any more."""
        return self._stays

    def _set_stays(self, stays: bool) -> None:
        self._stays = stays

    def _open_run(self, run: Run) -> None:
        if self.busy:
            return
        if run.state in ("unfinished", "failed"):
            steps = resume_steps(run.folder, run.name, self._listener)
        else:
            steps = follow_steps(run.folder, run.name, self._listener)
            self.watch.stays.setChecked(True)  # it was not begun to end with this window
        self._train(steps, run.name, run.name)

    def _train(self, steps: Steps, name: str, title: str) -> None:
        self._folder, self._name, self._stopping = None, name, False
        self._listener.left.clear()
        self._leaving.steps, self._leaving.folder = steps, None
        self.watch.begin(title)
        self.tabs.setCurrentIndex(1)
        self._training = Job(steps, f"Training {name}", self)
        self._training.happened.connect(self._on_event)
        self._training.progressed.connect(self.watch.on_progress)
        self._training.ended.connect(self._on_trained)
        self._training.start()
        self.runs.refresh(busy=True)
        self._update()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Begun):
            self._folder = self._leaving.folder = event.folder
        self.watch.take(event)

    def _on_trained(self, outcome: Outcome) -> None:
        error = self._training.error if self._training is not None else ""
        self._training = self._leaving.steps = None
        self.watch.end(outcome, error)
        self.runs.refresh(busy=False)
        self._update()

    def stop(self) -> None:
        """End the training after the step under way; the best state becomes the model."""
        if self._training is None or self._folder is None or self._stopping:
            return
        self._stopping = True
        self.watch.stop_button.setEnabled(False)
        self.watch.say("Stopping, and keeping the best…")
        try:
            stop(self._folder)
        except OSError as error:
            report(error)

    # -- the new model ------------------------------------------------------------------------

    @property
    def trained_model(self) -> Model | None:
        """The model that the training that is shown has made."""
        trained = self.watch.trained
        if trained is None:
            return None
        with suppress(NapariMonaiError):
            return read_model(trained.path)
        return None

    def use(self) -> None:
        """Put the new model into the store, and choose it in the Segment widget."""
        if self._folder is not None and not self.busy:
            self._look(use_steps(self._folder), "Storing the model")

    def _on_stored(self, model: Model) -> None:
        self.watch.beside_button.setChecked(False)
        self.watch.validation.together()
        window = self._viewer.window
        dock, segment = window.add_plugin_dock_widget("napari-monai", "Segment", tabify=True)
        images = self.data.pairs.images
        if images and images[0] in self._viewer.layers:
            self._viewer.layers.selection.active = images[0]
        dock.raise_()
        fits = segment.use(model.name)
        self.watch.kept()
        self.watch.say(
            f"{model.name} is in the store, and chosen in Segment: press Run there."
            if fits
            else f"{model.name} is in the store. It does not fit the image that Segment shows."
        )

    def open_card(self) -> None:
        """Show all about the new model."""
        model = self.trained_model
        if model is not None:
            card_dialog(model, self).open()

    # -- jobs beside the training -------------------------------------------------------------

    def _look(self, steps: Steps, title: str) -> None:
        if self.busy:
            return
        self._work(steps, title, self._on_looked, self._on_look_ended)

    def _on_looked(self, event: Event) -> None:
        if isinstance(event, Said) and event.level == "info":
            self._say(event.message)
        elif isinstance(event, Checked):
            self._on_checked(event)
        elif isinstance(event, Pictured):
            self._say("")
            Pictures(event.picture, self).open()
        elif isinstance(event, Stored):
            self._say("")
            self._on_stored(event.model)

    def _on_checked(self, found: Checked) -> None:
        lines = [f"✖ {text}" for text in found.errors] + [f"⚠ {text}" for text in found.warnings]
        self._problems_are((*lines, *found.plan))
        count = len(found.errors)
        self._say(
            f"{count} problem{'s' * (count != 1)} to solve before training."
            if count
            else "The data can be trained on."
        )

    def _on_look_ended(self, outcome: Outcome) -> None:
        self._over(outcome)
        self._update()

    def leave(self) -> None:
        """Stop what is under way; a training goes on where it was asked to."""
        if self._job is not None:
            self._job.cancel()
        # Not cancelled: what it listens to is closed in its own thread, which takes a while.
        self._listener.left.set()
        if self._training is not None and self._folder is not None and not self._stays:
            with suppress(OSError):
                stop(self._folder, now=True)
        self.watch.validation.together()
