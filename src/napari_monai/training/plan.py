"""The description of a new model, worked out from its training pairs and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import TrainingError
from ..models import Inferer, Inputs, ModelDescription, NetworkSpec, Outputs
from ..networks import fixed_size, network_arguments, presets, size_multiple
from ..preprocess import Operation
from ..settings import TrainingSettings
from ..volume import LabelClass, Volume
from .adapting import image_channels
from .examples import Pair, load_pair
from .looks import as_labels_look
from .matching import found_classes

_WINDOW = {2: (512, 512), 3: (64, 128, 128)}
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

    Dimensions, colour, channels, spacing and classes are read off the pairs. Pictures and
    microscopy stacks keep their voxels; anatomical volumes are brought to one orientation and to
    their median spacing (Isensee et al. 2021).

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
    colour = channels == ("red", "green", "blue")
    truths = [truth for _, truth in looked]
    target = as_labels_look(truths) if settings.target == "auto" else settings.target
    labels, outputs = new_outputs(target, found_classes(truths, settings))
    arguments = {
        "spatial_dims": ndim,
        "in_channels": len(channels),
        "out_channels": len(outputs.channels),
        **_network_options(settings, ndim),
    }
    arguments = network_arguments(settings.network, arguments)
    fixed = fixed_size(settings.network, arguments)
    instances = target == "instances"
    preprocess = with_zoom(_preprocess(images, ndim, colour=colour), settings.zoom)
    description = ModelDescription(
        name=name,
        title=name,
        version="1",
        description="",
        licence="",
        network=NetworkSpec(settings.network, arguments),
        inputs=Inputs(
            channels,
            ndim,
            colour,
            size_multiple(settings.network, arguments),
            fixed_size=fixed is not None,
        ),
        preprocess=preprocess,
        inferer=Inferer(fixed or _WINDOW[ndim], overlap=0.25, flips=instances and ndim == 2),
        outputs=outputs,
        labels=labels,
        postprocess=(Operation("instances", {}),) if instances else (),
    )
    return with_card(description, card)


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
    modality = texts.pop("modality", description.inputs.modality)
    inputs = replace(description.inputs, modality=str(modality))
    names = texts.pop("classes", {})
    if not isinstance(names, Mapping):
        raise TrainingError('The classes of a card map numbers to names: {"1": "nucleus"}.')
    labels = tuple(
        replace(label, name=str(names.get(str(label.number), label.name)))
        for label in description.labels
    )
    outputs = description.outputs
    if outputs.kind == "classes":
        first = outputs.channels[: outputs.softmax]
        outputs = replace(outputs, channels=(*first, *(label.name for label in labels)))
    return replace(description, inputs=inputs, labels=labels, outputs=outputs, **texts)


def with_zoom(preprocess: Sequence[Operation], factor: float) -> tuple[Operation, ...]:
    """Return the operations with another zoom at their end; a factor of 1 leaves them alone."""
    if factor == 1:
        return tuple(preprocess)
    rest = (operation for operation in preprocess if operation.name != "zoom")
    return (*rest, Operation("zoom", {"factor": factor}))


def _network_options(settings: TrainingSettings, ndim: int) -> dict[str, Any]:
    planned = presets(settings.network, ndim)[settings.network_size]
    try:
        given = json.loads(settings.network_arguments)
    except ValueError as error:
        raise TrainingError(f"Network arguments are not JSON: {error}.") from None
    if not isinstance(given, dict):
        raise TrainingError('Network arguments are a JSON object, such as {"norm": "instance"}.')
    chosen = {**planned, **given}
    heads = coarse_heads(settings.network, chosen) if settings.deep_supervision else {}
    return {**heads, **chosen}


def coarse_heads(network: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that give a network heads at coarser levels, where it has none.

    At as many levels as nnU-Net's, which leaves the two coarsest out.
    """
    if network == "dynunet" and not chosen.get("deep_supervision"):
        heads = len(chosen.get("strides", ())) - 3
        return {"deep_supervision": True, "deep_supr_num": max(1, heads)}
    if network == "segresnet_ds" and chosen.get("dsdepth", 1) < 2:
        return {"dsdepth": max(2, len(chosen.get("blocks_down", ())) - 1)}
    return {}


def new_outputs(target: str, found: Sequence[LabelClass]) -> tuple[tuple[LabelClass, ...], Outputs]:
    """Return the classes of a new model and what it gives.

    Parameters
    ----------
    target
        ``"instances"`` or ``"classes"``.
    found
        The classes of the labels; see `found_classes`.
    """
    if target == "instances":
        names = [label.name for label in found if label.name]
        label = LabelClass(1, names[0] if len(names) == 1 else "object")
        return (label,), Outputs("instances", ("foreground", "distance"), ("sigmoid", "identity"))
    if not found:
        raise TrainingError("The labels are empty: nothing to train on.")
    labels = tuple(replace(c, name=c.name or f"class {c.number}") for c in found)
    return labels, Outputs("classes", ("background", *(c.name for c in labels)), ("softmax",))


def _preprocess(images: Sequence[Volume], ndim: int, *, colour: bool) -> tuple[Operation, ...]:
    operations = [Operation("colour", {})] if colour else []
    scale = {"lower": 1.0, "upper": 99.8}
    if ndim == 3 and all(image.grid.anatomical for image in images):
        spacings = [image.grid.oriented().spacing_in("mm") for image in images]
        median = [round(float(s), 4) for s in np.median(spacings, axis=0)]
        operations.append(Operation("orientation", {"codes": "IPL"}))
        operations.append(Operation("spacing", {"spacing": median, "unit": "mm"}))
        scale = {"lower": 0.5, "upper": 99.5}
    operations.append(Operation("scale_percentiles", {**scale, "per_channel": not colour}))
    return tuple(operations)
