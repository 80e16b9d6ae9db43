"""Which models fit an image, which do not and why, and what to say of a model in a few lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..models import Model, ModelDescription
from ..models.card import classes
from ..models.fitting import Fit, fits, rank, runs
from ..volume import Volume
from .layers import volume_of

if TYPE_CHECKING:
    from napari.layers import Image

# Settings that steer how objects are told apart, and those among them that classes have no use for.
DECODING = ("threshold", "seed_threshold", "min_size")
ONLY_OBJECTS = DECODING[1:]

Sources = tuple[Volume, Volume]


@dataclass(frozen=True, eq=False)
class Choice:
    """A model for an image: what it would segment, and how it fits.

    ``volume`` is the image with the channels that the model takes; without an image there is
    none, and every model fits.
    """

    model: Model
    volume: Volume | None
    fit: Fit

    @property
    def why_not(self) -> str | None:
        """Why the model cannot take the image; ``None`` where it fits."""
        return self.fit.why_not


def choices(models: Iterable[Model], layer: Image | None) -> list[Choice]:
    """Return a choice a model, those that fit the image of a layer best first.

    Without a layer all fit that can run, as far as one can know.
    """
    return choices_among(models, None if layer is None else sources_of(layer))


def sources_of(layer: Image) -> Sources:
    """Return the volume of a layer, and the one with all channels of its file.

    Raises VolumeError for a layer that no model can take.
    """
    return volume_of(layer), volume_of(layer, whole=True)


def choices_among(models: Iterable[Model], sources: Sources | None) -> list[Choice]:
    """Return the choices for the volumes of a layer; may read a sample of their voxels."""
    if sources is None:
        return [Choice(model, None, runs(model.description)) for model in models]
    one, whole = sources
    found = []
    for model in models:
        # All channels of the file, if the layer is one of several and the model takes them all.
        inputs = model.description.inputs
        volume = whole if 1 < len(inputs.channels) == whole.channels else one
        found.append(Choice(model, volume, fits(model.description, volume)))
    return sorted(found, key=lambda choice: rank(choice.model, choice.fit))


def card_line(description: ModelDescription, fit: Fit | None = None) -> str:
    """Return title, dimensions and kind of a model in a line, and what speaks against it."""
    objects = description.outputs.kind == "instances"
    kind = "one label per object" if objects else classes(description)
    line = f"{description.title} · {description.inputs.spatial_dims}D, {kind}"
    return "\n".join((line, *(f"It {note}." for note in (fit.notes if fit else ()))))


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


def card_text(description: ModelDescription, fit: Fit | None = None) -> str:
    """Return the model card as lines of plain text, for a tooltip; first how it fits."""
    fit = fit or Fit()
    parts = (
        ("Does not fit: ", fit.why_not or ""),
        *(("Note: ", note) for note in fit.notes),
        ("", f"{description.name} {description.version} · {description.licence}"),
        ("", description.description),
        ("For: ", description.intended_use),
        ("Limits: ", description.limits),
        ("Labels: ", ", ".join(label.name for label in description.labels)),
    )
    return "\n".join(head + text for head, text in parts if text)
