"""The description of a new model, worked out from its training pairs and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import TrainingError
from ..models import Inferer, Inputs, ModelDescription, NetworkSpec, Outputs
from ..networks import size_multiple
from ..preprocess import Operation, prepared_space
from ..settings import TrainingSettings
from ..volume import COLOURS, LabelClass, Volume
from .adapting import image_channels
from .budget import budget_of, network_size
from .examples import Pair, load_pair
from .fingerprint import plan_preprocess
from .looks import as_labels_look
from .matching import check_classes, found_classes
from .shaping import Images, shape_network
from .shares import read_labels

# Side of the windows of pictures, which are larger than patches: fewer meet at borders.
_WINDOW = 512
# Card fields that a caller may give.
_CARD = (
    "title", "version", "description", "licence", "authors", "citations", "intended_use", "limits",
)  # fmt: skip
# How many pairs are looked at.
_LOOKED_AT = 64


def plan_model(
    name: str,
    pairs: Sequence[Pair],
    settings: TrainingSettings,
    *,
    card: Mapping[str, Any] | None = None,
) -> ModelDescription:
    """Return the description of a model to train from scratch on ``pairs``.

    Dimensions, colour, channels, spacing and classes are read off the pairs. How images are
    prepared, and the levels, patch and batch of the network, follow nnU-Net's rules (Isensee et
    al. 2021) for the memory of the GPU or, without one, for what a CPU does in a second or so.

    Raises TrainingError when the pairs do not agree.
    """
    step = max(1, len(pairs) // _LOOKED_AT)
    looked = [load_pair(pair) for pair in pairs[::step]]
    images = [image for image, _ in looked]
    dims = sorted({image.grid.ndim for image in images})
    if len(dims) != 1 or dims[0] not in (2, 3):
        raise TrainingError(f"Images of {dims} dimensions cannot be trained on together.")
    ndim = dims[0]
    channels = image_channels(images)
    colour = channels == COLOURS[:3]
    truths = [truth for _, truth in looked]
    target = as_labels_look(truths) if settings.target == "auto" else settings.target
    if target == "classes":  # a rare one may be in any image
        truths = [read_labels(labels) for _, labels in pairs]
    found = found_classes(truths, settings)
    labels, outputs = new_outputs(target, found, touching=settings.touching_output)
    instances = target == "instances"
    preprocess, modality = plan_preprocess(
        looked, settings, colour=colour, modality=str((card or {}).get("modality", ""))
    )
    anatomical = all(image.grid.anatomical for image in images)
    description = ModelDescription(
        name=name,
        title=name,
        version="1",
        description="",
        licence="",
        network=NetworkSpec(settings.network, {}),
        inputs=Inputs(channels, ndim, colour, modality=modality),
        preprocess=as_resampled(preprocess, settings, ndim, anatomical=anatomical),
        inferer=Inferer((_WINDOW,) * ndim, overlap=0.25, flips=instances and ndim == 2),
        outputs=outputs,
        labels=labels,
        postprocess=(Operation("instances", {}),) if instances else (),
    )
    return with_card(_shaped(description, images, len(pairs), settings), card)


def _shaped(
    description: ModelDescription, images: Sequence[Volume], count: int, settings: TrainingSettings
) -> ModelDescription:
    """Return the description with a network, windows and patches that suit the images."""
    inputs, outputs = description.inputs, description.outputs
    ndim, name = inputs.spatial_dims, settings.network
    shaped = shape_network(
        name,
        network_size(settings, ndim),
        {"in_channels": len(inputs.channels), "out_channels": len(outputs.channels)},
        _given(settings),
        prepared_images(images, description, count),
        budget_of(settings, ndim),
        patch=settings.patch,
        deep=settings.deep_supervision,
    )
    multiple = size_multiple(name, shaped.arguments)
    # What is normalised patch by patch sees in a volume just what it was trained on.
    window = shaped.patch if shaped.fixed or ndim == 3 else (_WINDOW,) * ndim
    planned = {"patch": list(shaped.patch), "batch_size": shaped.batch_size, "pretrained": False}
    return replace(
        description,
        network=NetworkSpec(name, shaped.arguments),
        inputs=replace(inputs, size_multiple=multiple, fixed_size=shaped.fixed),
        inferer=replace(description.inferer, window=window),
        training={"planned": planned},
    )


def prepared_images(images: Sequence[Volume], description: ModelDescription, count: int) -> Images:
    """Return what is known of images as a model takes them, ``count`` being that of all."""
    ndim = description.inputs.spatial_dims
    grids = [prepared_space(image.at_time(0), description)[0] for image in images]
    shapes = np.array([grid.shape for grid in grids], np.float64)
    spacing = np.median([grid.spacing[-ndim:] for grid in grids], axis=0)
    return Images(
        tuple(float(s) for s in spacing),
        tuple(float(n) for n in np.median(shapes[:, -ndim:], axis=0)),
        float(shapes.prod(axis=1).mean()) * count,
    )


def with_card(description: ModelDescription, card: Mapping[str, Any] | None) -> ModelDescription:
    """Return the description with the card's texts in place of its own.

    ``"classes"`` of a card maps numbers to names, as JSON does: ``{"1": "nucleus"}``;
    ``"modality"`` is the kind of image.
    """
    texts: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in (card or {}).items()
    }
    known_texts = (*_CARD, "classes", "modality")
    strange = sorted(set(texts) - set(known_texts))
    if strange:
        known = ", ".join(known_texts)
        raise TrainingError(f"A model card has no {strange[0]!r}. It has: {known}.")
    _check_texts(texts)
    modality = texts.pop("modality", description.inputs.modality)
    inputs = replace(description.inputs, modality=str(modality))
    names = texts.pop("classes", {})
    if not isinstance(names, Mapping):
        raise TrainingError('The classes of a card map numbers to names: {"1": "nucleus"}.')
    numbers = [str(label.number) for label in description.labels]
    unknown = [str(number) for number in names if str(number) not in ("0", *numbers)]
    if unknown:
        raise TrainingError(
            f"The card names class {unknown[0]}, but the classes are {', '.join(numbers)}."
        )
    labels = tuple(
        replace(label, name=str(names.get(str(label.number), label.name)))
        for label in description.labels
    )
    outputs = description.outputs
    if outputs.kind == "classes":
        first = outputs.channels[: outputs.softmax]
        outputs = replace(outputs, channels=(*first, *(label.name for label in labels)))
    return replace(description, inputs=inputs, labels=labels, outputs=outputs, **texts)


def _check_texts(texts: Mapping[str, Any]) -> None:
    """Raise TrainingError where something in a card is no text, or no list of texts."""
    for name in (*_CARD, "modality"):
        value = texts.get(name)
        several = name in ("authors", "citations")
        good = isinstance(value, tuple) and all(isinstance(text, str) for text in value)
        if name in texts and not (good if several else isinstance(value, str)):
            wanted = 'a list of texts: ["A. Person"]' if several else "a text"
            raise TrainingError(f"The {name} of a model card is {value!r}, and needs {wanted}.")


def as_resampled(
    preprocess: Sequence[Operation], settings: TrainingSettings, ndim: int, *, anatomical: bool
) -> tuple[Operation, ...]:
    """Return the operations with the spacing and the zoom that the settings ask for."""
    resampled = with_spacing(preprocess, settings.spacing, ndim, "mm" if anatomical else "µm")
    return with_zoom(resampled, settings.zoom)


def with_spacing(
    preprocess: Sequence[Operation], spacing: str, ndim: int, unit: str
) -> tuple[Operation, ...]:
    """Return the operations with another spacing, in the place of theirs or before the zoom.

    Parameters
    ----------
    preprocess
        The operations.
    spacing
        One number for each of ``ndim`` axes, joined by commas; nothing leaves them alone.
    ndim
        Axes of the network.
    unit
        Of the numbers.

    Raises TrainingError where they are no such numbers.
    """
    if not spacing.strip():
        return tuple(preprocess)
    try:
        numbers = [float(word) for word in spacing.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != ndim or not all(0 < number < float("inf") for number in numbers):
        example = ",".join(("0.8", "0.4", "0.4")[-ndim:])
        raise TrainingError(
            f"Spacing is {spacing!r}, and needs {ndim} positive numbers: {example!r}."
        )
    wanted = Operation("spacing", {"spacing": numbers, "unit": unit})
    names = [operation.name for operation in preprocess]
    for name, after in (("spacing", 1), ("zoom", 0)):
        if name in names:
            at = names.index(name)
            return (*preprocess[:at], wanted, *preprocess[at + after :])
    return (*preprocess, wanted)


def with_zoom(preprocess: Sequence[Operation], factor: float) -> tuple[Operation, ...]:
    """Return the operations with another zoom at their end; a factor of 1 leaves them alone."""
    if factor == 1:
        return tuple(preprocess)
    rest = (operation for operation in preprocess if operation.name != "zoom")
    return (*rest, Operation("zoom", {"factor": factor}))


def _given(settings: TrainingSettings) -> dict[str, Any]:
    """Return the arguments of the network that the settings give."""
    try:
        given = json.loads(settings.network_arguments)
    except ValueError as error:
        raise TrainingError(f"Network arguments are not JSON: {error}.") from None
    if not isinstance(given, dict):
        raise TrainingError('Network arguments are a JSON object, such as {"norm": "instance"}.')
    return given


def new_outputs(
    target: str, found: Sequence[LabelClass], *, touching: bool = False
) -> tuple[tuple[LabelClass, ...], Outputs]:
    """Return the classes of a new model and what it gives.

    Parameters
    ----------
    target
        ``"instances"`` or ``"classes"``.
    found
        The classes of the labels; see `found_classes`.
    touching
        Whether a model of instances says where objects touch.
    """
    if target == "instances":
        names = [label.name for label in found if label.name]
        label = LabelClass(1, names[0] if len(names) == 1 else "object")
        outputs = Outputs("instances", ("foreground", "distance"), ("sigmoid", "identity"))
        return (label,), with_touching(outputs) if touching else outputs
    if not found:
        raise TrainingError("The labels are empty: nothing to train on.")
    check_classes(found)
    labels = tuple(replace(c, name=c.name or f"class {c.number}") for c in found)
    return labels, Outputs("classes", ("background", *(c.name for c in labels)), ("softmax",))


def with_touching(outputs: Outputs) -> Outputs:
    """Return what a model of instances gives with the map of where objects touch."""
    if "touching" in outputs.channels:
        return outputs
    channels, activation = (*outputs.channels, "touching"), (*outputs.activation, "sigmoid")
    return replace(outputs, channels=channels, activation=activation)
