"""Settings of a run: one frozen dataclass a job; widget, command line and files derive from it.

Each field carries what a form or a command line needs to offer it (see `options`). ``None``
stands for "as the model says" or "work it out" and is offered as *auto*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .evaluation_settings import EvaluationSettings as EvaluationSettings
from .options import Option as Option
from .options import Settings as Settings
from .options import option as option
from .training_settings import Augmentation as Augmentation
from .training_settings import Device as Device
from .training_settings import Freeze as Freeze
from .training_settings import Goal as Goal
from .training_settings import LossName as LossName
from .training_settings import NetworkName as NetworkName
from .training_settings import NetworkSize as NetworkSize
from .training_settings import Precision as Precision
from .training_settings import Target as Target
from .training_settings import TrainingSettings as TrainingSettings
from .training_settings import WarmStart as WarmStart

Blend = Literal["gaussian", "constant"]
Slices = Literal["linked", "together", "orthogonal"]
Uncertainty = Literal["none", "entropy", "variance"]


@dataclass(frozen=True)
class InferenceSettings(Settings):
    """How to run a model over an image. ``None`` means: as the model says."""

    device: Device = option(
        "auto", "Where to run: auto takes the GPU when there is one.", advanced=False
    )
    window: tuple[int, ...] | None = option(
        None, "Size of the sliding window in voxels, one number an axis.", minimum=1
    )
    overlap: float | None = option(
        None,
        "How much neighbouring windows overlap, as a part of the window.",
        minimum=0.0,
        maximum=0.9,
        step=0.05,
    )
    blend: Blend | None = option(None, "How overlapping windows are weighted against each other.")
    zoom: float = option(
        1.0,
        "Enlarge the image by this factor for the network, beside what the model does: 2 where "
        "objects are half as large as those it was trained on, 0.5 where they are twice as large.",
        minimum=0.1,
        maximum=10.0,
        step=0.25,
    )
    flips: bool | None = option(
        None,
        "Average the predictions of mirrored images: slower, a little better.",
        label="Mirrored copies",
    )
    batch_size: int | None = option(
        None, "Windows that go through the network at once.", minimum=1, maximum=4096
    )
    precision: Precision = option(
        "auto", "Number format inside the network: auto takes what the device is fastest in."
    )
    threshold: float | None = option(
        None,
        "Probability from which a voxel is foreground.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    seed_threshold: float | None = option(
        None,
        "How far a centre must rise above its surroundings to be an object of its own: "
        "lower splits more.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
    )
    min_size: float | None = option(
        None,
        "Smallest object kept, in the image's unit squared (2D) or cubed (3D).",
        minimum=0.0,
        step=10.0,
        label="Smallest object",
    )
    slices: Slices = option(
        "linked",
        "How a 2D model makes objects of a volume. linked: those of each slice, linked by their "
        "overlap; together: cut out of all slices at once; orthogonal: seen along all three axes, "
        "for models of classes too: better where slices are close, three times the work.",
        advanced=False,
    )
    link_overlap: float | None = option(
        None,
        "How much of the smaller of two objects lies on the other one, in the slice or the time "
        "point before, if they are one: auto is 0.6 between slices, 0.3 between time points.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    link_gap: int = option(
        0,
        "How many slices, or time points, in a row an object may miss and still be one.",
        minimum=0,
        maximum=100,
    )
    link_neck: float = option(
        0.8,
        "Linked slices: an object that shrinks below this part of its size, and grows again, is "
        "cut in two; 0 cuts none.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    link_time: bool = option(
        True,
        "Objects keep their numbers from one time point to the next, by their overlap.",
        label="Link time points",
        advanced=False,
    )
    link_divisions: bool = option(
        False,
        "An object that goes on as two parts of it ends there, and both get numbers of their own.",
    )
    memory: float = option(
        0.0,
        "Most memory to use, in GiB; 0 is nine tenths of what is free. Larger images are read and "
        "worked on in parts.",
        minimum=0.0,
        step=1.0,
    )
    compile: bool = option(
        False, "Compile the network first, which takes a minute and pays in long runs."
    )
    skip_empty: float | None = option(
        None,
        "Intensity at or below which there is nothing: windows that hold no more are not run.",
        label="Nothing up to",
    )
    probabilities: bool = option(
        False, "Also return the probability of each class, as large as the image for each."
    )
    uncertainty: Uncertainty = option(
        "none",
        "Also return how unsure each voxel is: the entropy of the classes, or the variance "
        "between mirrored copies and networks.",
    )


# What can be said of a file of weights, or of a graph, that does not say it itself.
BARE_OPTIONS = {
    "architecture": "Name of the network that the weights are of; by default the tensors tell.",
    "arguments": "Arguments of that network, as JSON; by default the tensors tell.",
    "key": "The way to the tensors in a checkpoint, such as model.state_dict.",
    "normalise": "How images are normalised: zscore, percentiles, minmax or none.",
    "activation": "softmax (the first channel is the background) or sigmoid.",
    "channels": "Names of the input channels, joined by commas.",
    "labels": "Names of the classes without the background, joined by commas.",
}

# Formats of models that are written: the names in the table of `models.formats`, which help
# texts cannot wait for.
WRITTEN_FORMATS = ("native", "monai_bundle", "bioimageio", "onnx", "torchscript")

# The ways to make a model smaller, and what each brings.
COMPRESSIONS = {
    "float16": "16-bit weights, half the usual size; hardly another result",
    "int8": "8-bit integers, a quarter of the usual size; faster on most CPUs",
}
