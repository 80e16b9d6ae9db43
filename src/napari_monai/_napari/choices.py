"""Which models fit an image, which do not and why, and what to say of a model in a few lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from ..errors import VolumeError
from ..joining import join_channels, match_channels, why_apart
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
# Settings of how objects go on from slice to slice, and from one time point to the next.
_SLICES = frozenset({"slices", "link_overlap", "link_gap", "link_neck"})
_TIME = frozenset({"link_time", "link_overlap", "link_gap", "link_divisions"})
LINKS = _SLICES | _TIME


@dataclass(frozen=True, eq=False)
class Asked:
    """What models are looked for: a layer, its volume, and what may be further channels of it.

    ``whole`` has all channels of the layer's file. ``parts`` are the layers that have one channel
    on the voxels of the layer, itself among them.
    """

    layer: Image
    volume: Volume
    whole: Volume
    parts: tuple[Image, ...]


@dataclass(frozen=True, eq=False)
class Choice:
    """A model for an image: what it would segment, and how it fits.

    ``volume`` is the image with the channels that the model takes; without an image there is
    none, and every model fits. Of a model whose channels are layers of their own, ``layers`` are
    these, and ``offered`` all that can be.
    """

    model: Model
    volume: Volume | None
    fit: Fit
    layers: tuple[Image, ...] = ()
    offered: tuple[Image, ...] = ()

    @property
    def why_not(self) -> str | None:
        """Why the model cannot take the image; ``None`` where it fits."""
        return self.fit.why_not


def choices(
    models: Iterable[Model], layer: Image | None, beside: Iterable[Image] = ()
) -> list[Choice]:
    """Return a choice a model, those that fit the image of a layer best first.

    Without a layer all fit that can run, as far as one can know. Where a model takes several
    channels and the image has one, those of ``beside`` that lie on its voxels are the others.
    """
    return choices_for(models, None if layer is None else asked(layer, beside))


def asked(layer: Image, beside: Iterable[Image] = ()) -> Asked:
    """Return what models are looked for; see `choices`.

    Raises VolumeError for a layer that no model can take.
    """
    volume = volume_of(layer)
    parts = tuple(_on_the_voxels(layer, volume, beside))
    return Asked(layer, volume, volume_of(layer, whole=True), parts)


def choices_for(models: Iterable[Model], wanted: Asked | None) -> list[Choice]:
    """Return the choices for what is asked for; may read a sample of its voxels."""
    if wanted is None:
        return [Choice(model, None, runs(model.description)) for model in models]
    found = [_joined(_alone(model, wanted), wanted.layer, wanted.parts) for model in models]
    return sorted(found, key=lambda choice: rank(choice.model, choice.fit))


def _alone(model: Model, wanted: Asked) -> Choice:
    """Return the choice for a layer by itself."""
    # All channels of the file, if the layer is one of several and the model takes them all.
    takes = len(model.description.inputs.channels)
    volume = wanted.whole if 1 < takes == wanted.whole.channels else wanted.volume
    return Choice(model, volume, fits(model.description, volume))


def joined_volume(layers: Sequence[Image], model: Model) -> Volume:
    """Return the image whose channels are layers; raises VolumeError as `join_channels` does."""
    return join_channels([volume_of(x) for x in layers], model.description.inputs.channels)


def _on_the_voxels(layer: Image, one: Volume, beside: Iterable[Image]) -> list[Image]:
    """Return the layers, itself among them, that have one channel on the voxels of a layer."""
    found = []
    for other in dict.fromkeys((*beside, layer)):
        try:
            volume = volume_of(other)
        except VolumeError:
            continue  # it has too many axes
        if volume.channels == 1 and not volume.rgb and why_apart(one, volume) is None:
            found.append(other)
    return found


def _joined(choice: Choice, layer: Image, parts: Sequence[Image]) -> Choice:
    """Return the choice with layers as channels, where the image alone has too few."""
    inputs = choice.model.description.inputs
    takes, volume = len(inputs.channels), choice.volume
    if volume is None or choice.why_not is None or layer not in parts:
        return choice
    if takes == 1 or inputs.colour or volume.channels > 1:
        return choice
    if choice.model.description.blockers or volume.grid.ndim < inputs.spatial_dims:
        return choice  # no more layers help
    if len(parts) < takes:
        cure = f"open {takes - len(parts)} more on its voxels"
        return replace(choice, fit=Fit(f"{choice.why_not}: {cure}"))
    # Two patients on one grid are not to be mixed: what is called like the image goes before.
    likely = sorted(parts, key=lambda x: -_alike(x, layer)) if len(parts) > takes else parts
    order = match_channels(inputs.channels, [x.name for x in likely])
    layers = tuple(likely[at] for at in order)
    joined = joined_volume(layers, choice.model)
    fit = fits(choice.model.description, joined)
    if fit.why_not is not None:
        return replace(choice, fit=fit)
    return replace(choice, volume=joined, fit=fit, layers=layers, offered=tuple(parts))


def _alike(other: Image, layer: Image) -> int:
    """Return how many letters the files, or the names, of two layers have in common at first."""
    one, two = (f"{volume_of(x).source or ''}{x.name}" for x in (other, layer))
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False))))


def linked(choice: Choice | None, slices: str, over_time: bool) -> frozenset[str]:
    """Return which of `LINKS` say something about a model and its image, as they are set."""
    if choice is None or choice.volume is None:
        return frozenset()
    description, volume = choice.model.description, choice.volume
    objects = description.outputs.kind == "instances"
    found: frozenset[str] = frozenset()
    if description.inputs.spatial_dims == 2 and volume.grid.ndim == 3:
        found |= _SLICES if objects and slices == "linked" else {"slices"}
    if objects and volume.times > 1:
        found |= _TIME if over_time else {"link_time"}
    return found


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
