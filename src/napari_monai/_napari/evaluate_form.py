"""What to score: layers or files, what their numbers are, and how; filled in by a person."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from ..errors import EvaluationError
from ..settings import EvaluationSettings
from ..volume import LabelKind, LabelVolume
from .evaluate_steps import FromFiles, FromLayers, Wanted
from .forms import SettingsForm
from .layer_box import disconnector
from .layer_choice import LayerChoice
from .layers import MAP_OF, labels_of, placement_of, volume_of
from .parts import form_rows
from .path_line import PathLine
from .placement import KEY, Placement
from .results import KEY as RESULT

if TYPE_CHECKING:
    import napari

_KINDS: dict[str, LabelKind | None] = {
    "auto": None,
    "classes": "classes",
    "objects": "instances",
}
_KIND_HELP = (
    "Classes: a number is an organ or tissue, the same in all images. Objects: a number is one "
    "cell, numbered anew in each image. Auto: as the labels say, or else guessed from the truth."
)
_TIPS = {
    "Prediction": "What is to be scored",
    "Truth": "What it is scored against",
    "Compare with": "What a second model says: both side by side, with paired tests",
    "Image": "For the pictures of the report",
    "Images": "What the labels were made on: shown with a case, and in the report",
}
# Words of a name that say that its labels are the truth.
_TRUE = ("truth", "manual", "expert", "reference", "ground", "gt")


class EvaluateForm(QWidget):
    """The form of the Evaluate widget.

    Parameters
    ----------
    viewer
        The viewer whose layers are offered.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        none = "Add labels first"
        self.prediction = LayerChoice(viewer, Labels, nothing=none, parent=self)
        self.truth = LayerChoice(viewer, Labels, nothing=none, parent=self)
        self.against = LayerChoice(viewer, Labels, nothing=none, none="Nothing", parent=self)
        self.image = LayerChoice(viewer, Image, nothing="None", none="None", parent=self)
        self.prediction_path = PathLine("Labels to be scored")
        self.truth_path = PathLine("True labels")
        self.against_path = PathLine("Labels of a second model", "Nothing")
        self.images_path = PathLine("Images", "None")
        self.from_layers = QRadioButton("Layers")
        self.from_files = QRadioButton("Folders or files")
        self.kind = QComboBox()
        self.kind.addItems(list(_KINDS))
        self.kind.setToolTip(_KIND_HELP)
        self.form = SettingsForm(EvaluationSettings, plain=())
        self._lay_out()
        self.from_layers.setChecked(True)
        self._switch()
        self.from_layers.toggled.connect(self._switch)
        for box in (self.prediction, self.truth, self.against):
            box.chosen.connect(self.changed)
        for path in (self.prediction_path, self.truth_path):
            path.changed.connect(self.changed)
        self.kind.currentIndexChanged.connect(self._kind_chosen)
        self.truth.chosen.connect(self._choose_image)
        follow = ((viewer.layers.events.inserted, self._tell_apart),)
        for emitter, slot in follow:
            emitter.connect(slot)
        self.destroyed.connect(disconnector(follow))
        self._tell_apart()
        self._choose_image()

    def _lay_out(self) -> None:
        source = QHBoxLayout()
        source.addWidget(self.from_layers)
        source.addWidget(self.from_files)
        source.addStretch(1)
        self._layers, self._files = QWidget(), QWidget()
        _fill(self._layers, (self.prediction, self.truth, self.against, self.image), "Image")
        paths = (self.prediction_path, self.truth_path, self.against_path, self.images_path)
        _fill(self._files, paths, "Images")
        below = form_rows()
        _add(below, "Labels are", self.kind, _KIND_HELP)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(source)
        layout.addWidget(self._layers)
        layout.addWidget(self._files)
        layout.addLayout(below)
        layout.addWidget(self.form)

    def _switch(self) -> None:
        self._layers.setVisible(self.from_layers.isChecked())
        self._files.setVisible(self.from_files.isChecked())
        self.changed.emit()

    def show_kind(self, kind: LabelKind | None) -> None:
        """Show what *auto* was taken for the last time."""
        word = next((w for w, k in _KINDS.items() if kind is not None and k == kind), "")
        self.kind.setItemText(0, f"auto: {word}" if word else "auto")

    def _kind_chosen(self, _at: int) -> None:
        self.changed.emit()

    # -- which is which -----------------------------------------------------------------------

    def _tell_apart(self, _event: object = None) -> None:
        """Choose two layers of labels as soon as there are two, the likely truth as the truth."""
        every = self.prediction.every
        if self.prediction.layer is not self.truth.layer or len(every) < 2:
            return
        ordered = sorted(every, key=_likely_truth)  # keeps the topmost first among equals
        self.prediction.choose(ordered[0])
        self.truth.choose(ordered[-1])

    def _choose_image(self) -> None:
        """Choose the image that the truth lies on."""
        truth = self.truth.layer
        if truth is None or (self.image.layer is not None and _on(truth, self.image.layer)):
            return
        fitting = [image for image in self.image.every if _on(truth, image)]
        if fitting:
            self.image.choose(fitting[0])

    # -- what is asked for --------------------------------------------------------------------

    @property
    def missing(self) -> str:
        """What has to be filled in first; empty where all is."""
        if self.from_files.isChecked():
            if self.prediction_path.path is None or self.truth_path.path is None:
                return "Choose the folders, or files, of the prediction and of the truth."
        elif sum(map(_is_offered, self._viewer.layers)) < 2:
            return "Open two layers of labels, a prediction and the truth, or choose folders."
        elif self.prediction.layer is self.truth.layer:
            return "Prediction and truth are one layer: choose two."
        return ""

    @property
    def labels(self) -> list[Labels]:
        """The layers of labels that are chosen: predictions, then the truth."""
        boxes = (self.prediction, self.against, self.truth)
        chosen = [box.layer for box in boxes if box.layer is not None]
        return list(dict.fromkeys(chosen))

    def wanted(self) -> Wanted:
        """Return what is asked for; labels of layers are copied.

        Raises
        ------
        NapariMonaiError
            With the cure, for what does not fit.
        """
        if self.missing:
            raise EvaluationError(self.missing)
        kind = _KINDS[list(_KINDS)[self.kind.currentIndex()]]
        given = self._of_layers() if self.from_layers.isChecked() else self._of_files()
        return Wanted(given, kind, self.form.value())

    def _of_files(self) -> FromFiles:
        first, truth = self.prediction_path.path, self.truth_path.path
        assert first is not None  # nothing is missing
        assert truth is not None
        second = self.against_path.path
        predictions = (first,) if second is None else (first, second)
        return FromFiles(predictions, truth, self.images_path.path)

    def _of_layers(self) -> FromLayers:
        truth, image = self.truth.layer, self.image.layer
        rivals = [self.prediction.layer]
        if self.against.layer not in (None, truth, *rivals):
            rivals.append(self.against.layer)
        beside = [layer for layer in (truth, image, *rivals) if layer is not None]
        true = _taken(truth, beside)
        for layer in rivals:
            _same_place(layer, truth)
        predictions = tuple(_taken(layer, beside) for layer in rivals)
        shown = volume_of(image) if image is not None and _on(truth, image) else None
        return FromLayers(predictions, true, shown, placement_of(truth, beside))


def _fill(box: QWidget, fields: tuple[QWidget, ...], last: str) -> None:
    rows = form_rows(box)
    for title, field in zip(("Prediction", "Truth", "Compare with", last), fields, strict=True):
        _add(rows, title, field, _TIPS[title])


def _add(rows: QFormLayout, title: str, field: QWidget, tip: str) -> None:
    label = QLabel(title)
    label.setToolTip(tip)
    rows.addRow(label, field)


def _taken(layer: Labels, beside: list[Any]) -> LabelVolume:
    """Return the labels of a layer as they are now; what they are is open where nobody has said."""
    labels = labels_of(layer, beside)
    known = layer.metadata.get(KEY)
    said = isinstance(known, Placement) and isinstance(known.volume, LabelVolume)
    kind = labels.kind if said or labels.classes else "classes"
    return replace(labels, data=np.array(labels.data), name=layer.name, kind=kind)


def _same_place(layer: Labels, truth: Labels) -> None:
    """Raise EvaluationError where two layers without a unit of length lie apart on the canvas."""
    if layer.data.shape != truth.data.shape or layer.units != truth.units:
        return  # of which the evaluation has more to say
    ends = np.array([np.zeros(layer.ndim), np.array(layer.data.shape) - 1])
    one, other = (np.array([x.data_to_world(end) for end in ends]) for x in (layer, truth))
    untold = any(np.allclose(x.scale, 1) and np.allclose(x.translate, 0) for x in (layer, truth))
    if not untold and np.abs(one - other).max() > 0.5 * np.min(truth.scale):
        here, there = (
            " to ".join(f"{np.round(end, 2).tolist()}" for end in x) for x in (one, other)
        )
        raise EvaluationError(
            f"{layer.name} lies elsewhere than {truth.name}, from {here} and not from {there}: "
            "give both the same scale and translation."
        )


def _is_offered(layer: Any) -> bool:
    return isinstance(layer, Labels) and MAP_OF not in layer.metadata


def _likely_truth(layer: Labels) -> tuple[bool, bool]:
    name = layer.name.lower()
    return any(word in name for word in _TRUE), RESULT not in layer.metadata


def _on(labels: Labels, image: Image) -> bool:
    """Whether labels have the voxels of an image."""
    data = image.data[0] if image.multiscale else image.data
    return tuple(data.shape[: image.ndim]) == tuple(labels.data.shape)
