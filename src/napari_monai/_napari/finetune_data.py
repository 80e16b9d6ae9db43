"""A pair to train on, from layers or files, and which of its slices count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .. import io
from ..errors import TrainingError
from ..labels.notes import Notes, read_notes
from ..models import Model
from ..volume import LabelVolume, Volume
from .choices import choices
from .kept_notes import NOTES, labels_file
from .layers import labels_of, placement_of, volume_of
from .placement import Placement

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

#: Which slices of volumes count: all, those corrected by hand, those that hold labels.
Counted = Literal["all", "corrected", "labelled"]
# Of a voxel that does not count, where the settings name no number for that.
IGNORED = -1


@dataclass(frozen=True, eq=False)
class Row:
    """A pair: two layers, or two files; for training, or for validation. Or an image alone."""

    image: Image | Path
    labels: Labels | Path | None
    validation: bool = False

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that it is of."""
        parts = (self.image, self.labels)
        return tuple(x for x in parts if x is not None and not isinstance(x, Path))

    @property
    def names(self) -> tuple[str, str]:
        """What the image and the labels are called."""
        return self.image.name, "" if self.labels is None else self.labels.name

    @property
    def use(self) -> str:
        """What it is for, in a word or two."""
        if self.labels is None:
            return "no labels"
        return "validation" if self.validation else "training"

    def same(self, other: Row) -> bool:
        """Whether it is of the same image and labels."""
        return self.image == other.image and self.labels == other.labels

    @property
    def slices(self) -> int:
        """Number of slices of labels in layers; 0 of pictures, and where a file would tell."""
        if self.labels is None or isinstance(self.labels, Path):
            return 0
        shape = placement_of(self.labels, self.layers).canvas.shape
        return shape[0] if len(shape) == 3 else 0

    def corrected(self) -> frozenset[int]:
        """Return the slices that were corrected by hand, as the notes on the labels say."""
        if self.labels is None:
            return frozenset()
        if isinstance(self.labels, Path):
            return read_notes(self.labels).corrected
        notes = self.labels.metadata.get(NOTES)
        if not isinstance(notes, Notes):
            file = labels_file(self.labels)
            notes = Notes() if file is None else read_notes(file)
        return frozenset(at for at in notes.corrected if at < self.slices)

    def labelled(self) -> frozenset[int]:
        """Return the slices of labels in layers that hold any."""
        if not self.slices or self.labels is None or isinstance(self.labels, Path):
            return frozenset()
        return _labelled(np.asarray(self.labels.data), self.slices)


@dataclass(frozen=True, eq=False)
class Taken:
    """A pair as it was when it was taken: whatever is painted later is not in it."""

    image: Volume | Path
    labels: LabelVolume | Path | None
    place: Placement | None  # how the labels lie on the canvas, of layers
    corrected: frozenset[int]
    validation: bool


def take(row: Row, model: Model | None, beside: Iterable[Image]) -> Taken:
    """Return a pair of layers as volumes, the labels copied; of files, the files.

    ``beside`` are layers that may be further channels of the image.

    Raises VolumeError or TrainingError, naming the layer, for what the model cannot take.
    """
    corrected = row.corrected()
    image: Volume | Path
    if isinstance(row.image, Path):
        image = row.image
    elif model is None:
        image = volume_of(row.image)
    else:
        (choice,) = choices([model], row.image, beside)
        if choice.volume is None or choice.why_not is not None:
            raise TrainingError(f"{row.image.name}: {model.name} {choice.why_not}.")
        image = choice.volume
    if row.labels is None or isinstance(row.labels, Path):
        return Taken(image, row.labels, None, corrected, row.validation)
    labels = labels_of(row.labels, row.layers)
    labels = replace(labels, data=np.array(labels.data), name=row.labels.name)
    place = placement_of(row.labels, row.layers)
    return Taken(image, labels, place, corrected, row.validation)


def counted(taken: Taken, which: Counted, ignored: int) -> tuple[Volume | Path, LabelVolume | Path]:
    """Return a pair in which only some slices are labelled; the others are ``ignored``.

    Slices are those that are seen: of an anatomical volume axial ones, however its file runs.
    Pairs without any noted as corrected count whole, as do pictures and pairs for validation.
    Files are read; not for the window's thread.
    """
    labels = taken.labels
    if labels is None:
        raise TypeError("an image without labels is no pair")
    whole = which == "all" or taken.validation or (which == "corrected" and not taken.corrected)
    if whole:
        return taken.image, labels
    if isinstance(labels, Path):
        read = io.read(labels, labels=True)
        assert isinstance(read, LabelVolume)
        labels = read
    if labels.grid.ndim != 3:
        return taken.image, labels
    place = taken.place or Placement.of(labels)
    size = place.canvas.shape[0]
    slices = taken.corrected
    if which == "labelled":
        slices = _labelled(np.asarray(place.displayed(labels.numpy(), nearest=True)), size)
    if not any(at < size for at in slices):
        raise TrainingError(f"{labels.name}: no slice that counts: draw some, or take it out.")
    keep = np.zeros(place.canvas.shape, np.uint8)
    keep[[at for at in slices if at < size]] = 1
    known = labels.numpy().astype(_type_for(labels.dtype, ignored))
    data = np.where(place.native_labels(keep), known, known.dtype.type(ignored))
    return taken.image, replace(labels, data=data)


def _labelled(shown: npt.NDArray[Any], size: int) -> frozenset[int]:
    """Return the indices along the third axis from the end at which there are labels."""
    return frozenset(at for at in range(size) if shown[..., at, :, :].any())


def _type_for(kind: np.dtype[Any], number: int) -> np.dtype[Any]:
    """Return a type of integers for labels of one type and a number."""
    return kind if np.can_cast(np.min_scalar_type(number), kind) else np.dtype(np.int32)
