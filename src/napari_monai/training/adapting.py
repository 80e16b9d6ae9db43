"""How a model takes images of other channels than its own: what is prepared how, and read where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import TrainingError
from ..models import Inputs, ModelDescription
from ..preprocess import Operation
from ..preprocess.sources import Native
from ..volume import COLOURS, Volume

# Parameters of operations that have a number for each channel.
_A_CHANNEL = ("mean", "std", "minimum", "maximum", "gain", "offset")


@dataclass(frozen=True)
class Adapted:
    """What a model takes; ``sources`` are its own channels for each, empty where they are its own.

    ``channels`` is the number that the network takes.
    """

    inputs: Inputs
    preprocess: tuple[Operation, ...]
    sources: tuple[int | None, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Number of channels of the network."""
        return len(self.inputs.channels)


def adapt_inputs(model: ModelDescription, images: Sequence[Volume]) -> Adapted:
    """Return what a model takes that is trained further on images.

    Grey pictures go into a model of colour as three equal channels. Otherwise channels are
    matched by name, where their number is not that of the model.

    Raises TrainingError where images are of different channels.
    """
    inputs, count = model.inputs, len(model.inputs.channels)
    names = image_channels(images)
    colour = names == COLOURS[:3]
    if colour and count == 1 and all(_is_grey(image) for image in images):
        return Adapted(inputs, model.preprocess)
    if len(names) == count or (len(names) == 1 and inputs.colour):
        mixed = count == 3 and any(image.channels == 1 for image in images)
        told = any(operation.name == "colour" for operation in model.preprocess)
        first = (Operation("colour", {}),) if mixed and not told else ()
        note = f"Grey images go into {model.name} as three equal channels"
        return Adapted(inputs, (*first, *model.preprocess), notes=(note,) * bool(first))
    sources = _same_channels(inputs.channels, names)
    known = [name for name, source in zip(names, sources, strict=True) if source is not None]
    kept = f"those of {', '.join(known)} are kept" if known else "weights are shared out"
    return Adapted(
        replace(inputs, channels=names, colour=colour),
        _with_colour([_adapted(o, sources) for o in model.preprocess], images, colour=colour),
        sources,
        (f"{model.name} takes {count} channels, the images have {len(names)}: {kept}",),
    )


def image_channels(images: Sequence[Volume]) -> tuple[str, ...]:
    """Return the channels that images have, colour where any is in colour.

    Raises TrainingError where they differ.
    """
    if any(image.rgb for image in images):
        # A grey picture goes into a colour model as one whose channels are equal.
        strange = [i for i in images if not i.rgb and i.channels != 1]
        if strange:
            raise TrainingError(
                f"{strange[0].name} has {strange[0].channels} channels, others are in colour."
            )
        return COLOURS[:3]
    counts = sorted({image.channels for image in images})
    if len(counts) != 1:
        raise TrainingError(f"Images of {counts} channels cannot be trained on together.")
    return ("intensity",) if counts[0] == 1 else images[0].channel_names


def _same_channels(model: Sequence[str], images: Sequence[str]) -> tuple[int | None, ...]:
    """Return the channel of the model that each of the images is by its name, if any."""
    known = {name.casefold(): index for index, name in reversed(list(enumerate(model)))}
    return tuple(known.get(name.casefold()) for name in images)


def _adapted(operation: Operation, sources: Sequence[int | None]) -> Operation:
    """Return an operation with its numbers for the new channels; those without get the mean."""
    changed: dict[str, Any] = {}
    for name in _A_CHANNEL:
        given = operation.parameters.get(name)
        if isinstance(given, (list, tuple)):
            mean = sum(given) / len(given)
            changed[name] = [mean if s is None else given[s] for s in sources]
    some = operation.parameters.get("channels")
    if some is not None:
        changed["channels"] = [i for i, s in enumerate(sources) if s is None or s in some]
    return Operation(operation.name, {**operation.parameters, **changed})


def _with_colour(
    operations: Sequence[Operation], images: Sequence[Volume], *, colour: bool
) -> tuple[Operation, ...]:
    told = any(operation.name == "colour" for operation in operations)
    mixed = colour and not told and any(not image.rgb for image in images)
    return (*((Operation("colour", {}),) if mixed else ()), *operations)


def _is_grey(image: Volume) -> bool:
    return Native(image.at_time(0), slice(3), in_memory=False).is_grey()


__all__ = ["Adapted", "adapt_inputs", "image_channels"]
