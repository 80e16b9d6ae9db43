"""Settings of a training; part of the vocabulary, and offered by `settings` with the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .options import Settings, option

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Target = Literal["auto", "instances", "classes"]
Goal = Literal["quick", "balanced", "thorough"]
Freeze = Literal["none", "encoder", "all_but_head"]
WarmStart = Literal["none", "masked", "rotation"]
Augmentation = Literal["auto", "none", "fluorescence", "histology", "em", "ct", "mr"]
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
NetworkSize = Literal["auto", "small", "base", "large"]
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
class TrainingSettings(Settings):
    """How to train a model. ``None`` means: worked out from the data or the model."""

    target: Target = option(
        "auto",
        "What the labels are: objects that are told apart, or classes. Auto: as the model to start "
        "from has it; of a new one, as the labels look.",
        advanced=False,
    )
    goal: Goal = option(
        "balanced",
        "How long to train: quick shows in minutes if it works, thorough gets the most out of the "
        "data. Steps and the size of a new network follow from it where they are not given.",
        advanced=False,
    )
    minutes: float = option(
        0.0,
        "Minutes to train for at most, validations included: the steps are cut to what fits; 0 is "
        "no limit.",
        minimum=0.0,
        step=5.0,
        advanced=False,
    )
    keep_classes: bool = option(
        True,
        "Keep those classes of the model to start from that are in no label; otherwise they are "
        "left out.",
    )
    network: NetworkName = option(
        "unet", "Architecture to train when there is no model to start from."
    )
    network_size: NetworkSize = option(
        "auto",
        "How large it is: small trains faster, large wants many images and a GPU. Auto: as the "
        "goal and the device allow.",
    )
    network_arguments: str = option(
        "{}", "Arguments of the architecture as a JSON object; the rest is planned from the data."
    )
    start_weights: str = option(
        "",
        "Model, checkpoint or safetensors file whose weights a new network begins with, "
        "as far as they fit.",
    )
    spacing: str = option(
        "",
        "Voxel size to which images are resampled before the network sees them, a number an axis, "
        "joined by commas: in mm for images of patients, else in µm. Empty leaves it to the images "
        "or the model to start from.",
    )
    zoom: float = option(
        1.0,
        "Enlarge images by this factor before the network sees them: for objects of few voxels.",
        minimum=0.5,
        maximum=4.0,
        step=0.25,
    )
    steps: int | None = option(
        None, "Training steps, each on one batch of patches.", minimum=1, advanced=False
    )
    patch: tuple[int, ...] | None = option(
        None, "Size of the training patches in voxels, one number an axis.", minimum=1
    )
    batch_size: int | None = option(None, "Patches a step.", minimum=1, maximum=4096)
    accumulate: int = option(
        1,
        "Batches whose gradients are summed up to one step: a larger batch in the same memory.",
        minimum=1,
        maximum=1024,
    )
    learning_rate: float | None = option(None, "Highest learning rate.", minimum=1e-8, maximum=1.0)
    layer_decay: float = option(
        1.0,
        "Factor of the learning rate from one stage of a model that is fine-tuned to the next, "
        "from its head back to its first layers; 1 is the same for all.",
        minimum=0.05,
        maximum=1.0,
        step=0.05,
    )
    freeze: Freeze = option(
        "none",
        "What of a model that is fine-tuned is left as it is at first: its encoder, or all but its "
        "head.",
    )
    unfreeze: float = option(
        0.5,
        "Part of the steps over which frozen stages are set free one by one, those next to the "
        "head first; 0 leaves them frozen.",
        minimum=0.0,
        maximum=1.0,
        step=0.1,
    )
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
    touching_output: bool = option(
        False,
        "Let the network say, too, where objects touch: a third output, which helps to tell them "
        "apart. A model that has it keeps it.",
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
    remember: float = option(
        0.0,
        "Part of each batch that is of images without labels, on which the model to start from "
        "says itself what is right, so that it keeps what it could do; 0 is none.",
        minimum=0.0,
        maximum=0.9,
        step=0.1,
    )
    adversarial_weight: float = option(
        0.0,
        "Weight of a discriminator of patches that tells predictions from labels; 0 is none.",
        minimum=0.0,
        step=0.01,
    )
    adversarial_from: float = option(
        0.25,
        "Part of the steps that are done before the discriminator counts.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    warm_start: WarmStart = option(
        "none",
        "What a network learns first, without labels: to fill in what is masked, or by which angle "
        "an image was turned, where it has an upside, as bodies have and most cells have not.",
    )
    warm_start_steps: int = option(500, "Steps of the warm start.", minimum=1)
    augmentation: Augmentation = option(
        "auto",
        "Kind of image that the changes of training images imitate. Auto: as the images look; none "
        "leaves them alone.",
        advanced=False,
    )
    flips: bool | None = option(None, "Augment by mirroring. Auto: as the kind of image has it.")
    rotations: bool | None = option(None, "Augment by rotating. Auto: as the kind of image has it.")
    scale: float | None = option(
        None,
        "Augment by resizing, up to this factor either way; 1 is none.",
        minimum=1.0,
        maximum=3.0,
    )
    intensity: float | None = option(
        None,
        "Strength of the changes of intensities that the kind of image has: of stain, light, "
        "contrast, noise and blur; 0 is none.",
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
    validation_part: float = option(
        0.2,
        "Part of the training pairs that is held out for validation where no pairs are given for "
        "it: whole images or, of a single one, a slab with a gap beside it; 0 is none.",
        minimum=0.0,
        maximum=0.9,
        step=0.05,
    )
    validate_every: int | None = option(None, "Steps between validations.", minimum=1)
    patience: int = option(
        0,
        "Stop when so many validations in a row brought nothing better; 0 goes on to the end.",
        minimum=0,
    )
    workers: int | None = option(
        None, "Threads that prepare patches beside the training; 0 prepares them in it.", minimum=0
    )
    memory: float = option(
        0.0,
        "Most memory for training images, in GiB; 0 is half of what is free. Beyond it patches are "
        "read from the disk.",
        minimum=0.0,
        step=1.0,
    )
    processes: int = option(
        1,
        "Processes that share each batch, one a GPU where there are GPUs; 0 takes all GPUs.",
        minimum=0,
        maximum=64,
    )
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
