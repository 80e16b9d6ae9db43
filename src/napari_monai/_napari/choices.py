"""Which models fit an image, which do not and why, and what to say of a model in a few lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models import Model, ModelDescription
from ..volume import Volume
from .layers import volume_of

if TYPE_CHECKING:
    from napari.layers import Image

# Settings that steer how objects are told apart, and those among them that classes have no use for.
DECODING = ("threshold", "seed_threshold", "min_size")
ONLY_OBJECTS = DECODING[1:]

# Pixels that are looked at to tell whether a colour picture is a grey one.
_LOOKED_AT = 10_000


@dataclass(frozen=True, eq=False)
class Choice:
    """A model for an image: what it would segment, or why it cannot.

    ``volume`` is the image with the channels that the model takes; ``why_not`` is ``None`` where
    the model fits.
    """

    model: Model
    volume: Volume | None
    why_not: str | None


def choices(models: Iterable[Model], layer: Image | None) -> list[Choice]:
    """Return a choice a model, those that fit the image of a layer first.

    Of these, models for volumes come first when the image is one. Without a layer all fit, as
    far as one can know.
    """
    if layer is None:
        return [Choice(model, None, None) for model in models]
    one, whole = volume_of(layer), volume_of(layer, whole=True)
    found = []
    for model in models:
        # All channels of the file, if the layer is one of several and the model takes them all.
        inputs = model.description.inputs
        volume = whole if 1 < len(inputs.channels) == whole.channels else one
        found.append(Choice(model, volume, why_not(model.description, volume)))
    dims = one.grid.ndim
    return sorted(
        found,
        key=lambda c: (c.why_not is not None, c.model.description.inputs.spatial_dims != dims),
    )


def why_not(description: ModelDescription, volume: Volume) -> str | None:
    """Return why a model cannot take an image, in a few words; ``None`` if it can."""
    inputs = description.inputs
    if volume.grid.ndim < inputs.spatial_dims:
        return "takes volumes, and this image is 2D"
    takes, has = len(inputs.channels), min(volume.channels, 3) if volume.rgb else volume.channels
    spreads = has == 1 and any(step.name == "colour" for step in description.preprocess)
    if takes == has or spreads or (takes == 1 and volume.rgb and _is_grey(volume)):
        return None
    if takes == 1 and volume.rgb:
        return "takes one channel, and this image is in colour"
    named = "" if inputs.colour else f" ({', '.join(inputs.channels)})"
    return f"takes {takes} channel{'s' * (takes > 1)}{named}, and this image has {has}"


def card_line(description: ModelDescription) -> str:
    """Return title, dimensions and kind of a model in one line."""
    objects = description.outputs.kind == "instances"
    kind = "one label per object" if objects else _named(description)
    return f"{description.title} · {description.inputs.spatial_dims}D, {kind}"


def auto_values(description: ModelDescription) -> dict[str, Any]:
    """Return what *auto* stands for in the settings of a run, as far as the model says."""
    inferer = description.inferer
    decoding = {k: v for step in description.postprocess for k, v in step.parameters.items()}
    return {
        "window": inferer.window,
        "overlap": inferer.overlap,
        "blend": inferer.blend,
        "flips": inferer.flips,
        **{k: decoding[k] for k in DECODING if k in decoding},
    }


def card_text(description: ModelDescription) -> str:
    """Return the model card as lines of plain text, for a tooltip."""
    parts = (
        ("", f"{description.name} {description.version} · {description.licence}"),
        ("", description.description),
        ("For: ", description.intended_use),
        ("Limits: ", description.limits),
        ("Labels: ", ", ".join(label.name for label in description.labels)),
    )
    return "\n".join(head + text for head, text in parts if text)


def _named(description: ModelDescription) -> str:
    names = [label.name for label in description.labels]
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} classes"


def _is_grey(volume: Volume) -> bool:
    """Whether red, green and blue are the same in a colour picture, as far as a sample tells."""
    at = volume.leading.index("c")
    plane = volume.data[(0,) * at][(slice(None), *(n // 2 for n in volume.grid.shape[:-2]))]
    step = max(1, round((plane[0].size / _LOOKED_AT) ** 0.5))
    sample = np.asarray(plane[:3, ::step, ::step])
    return bool((sample == sample[:1]).all())
