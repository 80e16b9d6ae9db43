"""Settings of a run: one frozen dataclass a job; widget, command line and files derive from it.

Each field carries what a form or a command line needs to offer it (see `options`). ``None``
stands for "as the model says" or "work it out" and is offered as *auto*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .options import Option as Option
from .options import Settings as Settings
from .options import option as option

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Blend = Literal["gaussian", "constant"]
Uncertainty = Literal["none", "entropy", "variance"]
# The table of networks, which is beyond the vocabulary; a test says that they agree.
NetworkName = Literal[
    "unet",
    "residual_unet",
    "basic_unet",
    "basic_unetplusplus",
    "attention_unet",
    "dynunet",
    "plain_conv_unet",
    "residual_encoder_unet",
    "segresnet",
    "segresnet_ds",
    "vnet",
    "flexible_unet",
    "dints",
    "unetr",
    "swin_unetr",
    "deeplabv3plus",
    "deeplabv3",
    "fcn",
    "reseg",
]
NetworkSize = Literal["small", "base", "large"]
LossName = Literal[
    "auto",
    "cross_entropy",
    "dice",
    "dice_ce",
    "generalised_dice",
    "tversky",
    "focal",
    "boundary",
]


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


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """How to train a model. ``None`` means: worked out from the data or the model."""

    target: Literal["instances", "classes"] = option(
        "instances",
        "What the labels are: objects that are told apart, or classes.",
        advanced=False,
    )
    network: NetworkName = option(
        "unet", "Architecture to train when there is no model to start from."
    )
    network_size: NetworkSize = option(
        "base", "How large it is: small trains faster, large wants many images and a GPU."
    )
    network_arguments: str = option(
        "{}", "Arguments of the architecture as a JSON object; the rest is planned from the data."
    )
    start_weights: str = option(
        "",
        "Model, checkpoint or safetensors file whose weights a new network begins with, "
        "as far as they fit.",
    )
    zoom: float = option(
        1.0,
        "Enlarge images by this factor before the network sees them: for objects of few voxels.",
        minimum=0.5,
        maximum=4.0,
        step=0.25,
    )
    steps: int = option(
        2000, "Training steps, each on one batch of patches.", minimum=1, advanced=False
    )
    patch: tuple[int, ...] | None = option(
        None, "Size of the training patches in voxels, one number an axis.", minimum=4
    )
    batch_size: int = option(12, "Patches a step.", minimum=1, maximum=4096)
    learning_rate: float = option(2e-3, "Highest learning rate.", minimum=1e-8, maximum=1.0)
    weight_decay: float = option(1e-2, "Weight decay of AdamW.", minimum=0.0, maximum=1.0)
    warm_up: float = option(
        0.05, "Part of the steps over which the learning rate rises.", minimum=0.0, maximum=0.5
    )
    ignore_label: int | None = option(
        None,
        "Label of voxels that nobody has labelled, such as 255, -1 or, of scribbles, 0: they count "
        "in no loss and no score. Auto is none.",
    )
    background_label: int | None = option(
        None,
        "Label of the background, where 0 is not: with scribbles, that of the background's. Auto "
        "is 0, or none where 0 is ignored.",
    )
    only_corrected: bool = option(
        False,
        "Train on those slices alone that were corrected by hand, as the notes beside the labels "
        "of the training pairs say.",
    )
    loss: LossName = option(
        "auto",
        "What a model of classes minimises. Auto is dice_ce, Dice and cross-entropy; boundary adds "
        "to it the distance to the true border.",
    )
    class_weights: str = option(
        "none",
        "How much each class counts in the loss: none, balanced (the rarer, the more), or numbers "
        "joined by commas, background first.",
    )
    tversky_alpha: float = option(
        0.3, "Cost of a voxel too many in the Tversky loss.", minimum=0.0, maximum=10.0
    )
    tversky_beta: float = option(
        0.7, "Cost of a voxel missed in the Tversky loss.", minimum=0.0, maximum=10.0
    )
    focal_gamma: float = option(
        2.0,
        "How little voxels that are right count in the focal loss; 0 is cross-entropy.",
        minimum=0.0,
        maximum=10.0,
    )
    boundary_weight: float = option(
        1.0, "Weight that the boundary loss has risen to at the last step.", minimum=0.0
    )
    deep_supervision: bool = option(
        False,
        "Train the heads at coarser levels too: of dynunet, segresnet_ds, plain_conv_unet and "
        "residual_encoder_unet.",
    )
    distance_weight: float = option(
        2.0, "Weight of the centre-distance loss beside Dice and cross-entropy.", minimum=0.0
    )
    touching_weight: float = option(
        0.0,
        "How much more the voxels between objects that touch count in the loss.",
        minimum=0.0,
        maximum=100.0,
    )
    average: float = option(
        0.999,
        "Decay of the moving average of the weights that is validated and kept; 0 turns it off.",
        minimum=0.0,
        maximum=0.99999,
    )
    gradient_clip: float = option(
        1.0, "Largest norm of the gradient; 0 turns clipping off.", minimum=0.0
    )
    flips: bool = option(True, "Augment by mirroring.")
    rotations: bool = option(True, "Augment by rotating in the plane.")
    scale: float = option(
        1.4,
        "Augment by resizing, up to this factor either way; 1 is none.",
        minimum=1.0,
        maximum=3.0,
    )
    intensity: float = option(
        1.0,
        "Strength of the changes of gain, offset, gamma, noise and blur; 0 is none.",
        minimum=0.0,
        maximum=2.0,
    )
    calm: float = option(
        0.5,
        "Last part of the steps, in which intensities are left alone and sizes changed little: "
        "the network settles on images as they are.",
        minimum=0.0,
        maximum=1.0,
        step=0.1,
    )
    validate_every: int = option(500, "Steps between validations.", minimum=1)
    seed: int = option(0, "Seed of all that is random.", minimum=0)
    device: Device = option(
        "auto", "Where to train: auto takes the GPU when there is one.", advanced=False
    )
    precision: Precision = option(
        "auto", "Number format inside the network: auto takes what the device is fastest in."
    )

    @property
    def partial(self) -> bool:
        """Whether there are voxels that nobody has labelled."""
        return self.ignore_label is not None or self.only_corrected


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
