"""What long jobs say while they run.

A job is a generator of these. The command line turns them into a progress bar, the viewer into a
progress bar and a live preview, a script may do as it likes. Closing the generator cancels the
job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from .io.contents import Entry
    from .labels.changes import Edit
    from .labels.linking import Track
    from .labels.table import Table
    from .measurement import Measurements
    from .models import Model
    from .models.compression import Compression
    from .volume import LabelVolume, Volume


class Stopped(BaseException):
    """Work was told to stop from within; no Exception, so that no guard takes it for a failure."""


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class Started(Event):
    """The job knows how much there is to do.

    ``total`` steps of ``what`` (``"windows"``, ``"steps"``); said again when it changes.
    """

    total: int
    what: str


@dataclass(frozen=True)
class Said(Event):
    """A line for the user: a device chosen, a fallback taken, something left out."""

    message: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Busy(Event):
    """Nothing to tell, but a place at which the job can be cancelled."""


@dataclass(frozen=True)
class FileDone(Event):
    """Another file is looked into: ``done`` of ``total``."""

    done: int
    total: int


@dataclass(frozen=True)
class FileFailed(Event):
    """What was to be done with a file failed, and the others go on."""

    path: Path
    error: Exception

    @property
    def line(self) -> str:
        """What is wrong, with the file that it is wrong with."""
        text = str(self.error)
        return text if self.path.name in text else f"{self.path}: {text}"


@dataclass(frozen=True)
class ClassDone(Event):
    """Another class of an image is measured: ``done`` of ``total``."""

    done: int
    total: int


@dataclass(frozen=True)
class BytesDone(Event):
    """More of a file has arrived: ``done`` of ``total``, in the unit that `Started` named."""

    done: int
    total: int


@dataclass(frozen=True)
class Imported(Event):
    """The last event of an import: the model in the user's store."""

    model: Model


@dataclass(frozen=True)
class Compressed(Event):
    """The last event of a compression: the smaller model, and what it costs."""

    model: Model
    cost: Compression


@dataclass(frozen=True)
class Found(Event):
    """An image or labels were found that can be opened."""

    entry: Entry


@dataclass(frozen=True)
class WindowDone(Event):
    """Another batch of windows is through the network.

    ``done`` of ``total`` windows. Where a part of the image is finished, ``region`` says which
    (one slice a spatial axis of the input, in its native order, after the time index if there is
    one) and ``labels`` holds the preview of it, in native order too: classes, or the foreground
    of instances that are decoded at the end.
    """

    done: int
    total: int
    region: tuple[int | slice, ...] | None = None
    labels: npt.NDArray[np.integer[Any]] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class BlockDone(Event):
    """Another block of the instances is decoded or written: ``done`` of ``total``."""

    done: int
    total: int


@dataclass(frozen=True)
class Measured(Event):
    """The last event of a measurement of labels: its table."""

    table: Table


@dataclass(frozen=True)
class ImageMeasured(Event):
    """The labels of an image are measured, and its intensities in them."""

    measurements: Measurements


@dataclass(frozen=True)
class Segmented(Event):
    """The last event of a segmentation: the labels, on the input's own grid.

    Where they were asked for, ``probabilities`` has a channel for each output of the network
    that is a probability, and ``uncertainty`` one value a voxel. Where objects were linked over
    time, ``tracks`` says when each was there and which one divided into it.
    """

    labels: LabelVolume
    seconds: float
    device: str
    probabilities: Volume | None = None
    uncertainty: Volume | None = None
    tracks: tuple[Track, ...] = ()


@dataclass(frozen=True)
class Edited(Event):
    """The last event of an operation on labels: what it wants to change, not applied yet."""

    edit: Edit


@dataclass(frozen=True)
class StepDone(Event):
    """Another training step is done: ``step`` of ``steps``, its loss and learning rate."""

    step: int
    steps: int
    loss: float
    learning_rate: float


@dataclass(frozen=True)
class EpochDone(Event):
    """A validation is done after ``step`` steps.

    ``scores`` maps names (``"AP50"``, ``"Dice liver"``) to values; ``best`` says whether this
    state of the weights is the best so far and was kept. ``preview`` is a folder with arrays of one
    validation image: ``image``, ``truth``, ``prediction`` and, of a model that is fine-tuned,
    ``before``, each ``.npy``, and what they are in ``preview.json``.
    """

    step: int
    steps: int
    train_loss: float
    val_loss: float
    scores: Mapping[str, float]
    best: bool
    seconds: float
    preview: Path | None = None


@dataclass(frozen=True)
class Trained(Event):
    """The last event of a training: where the best model was written, and its scores.

    ``before`` holds those of the model that it began with, on the same images.
    """

    path: Path
    scores: Mapping[str, float]
    seconds: float
    before: Mapping[str, float] = field(default_factory=dict)
