"""How good the network is on whole validation images, and which decoding suits it best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..instances import decode
from ..labels.boxes import Box
from ..labels.overlap import average_precision, dice
from ..models import ModelDescription
from ..settings import Precision
from ..sliding import Part, predict_parts, tile
from .examples import Example
from .partial import IGNORED, without_ignored

Maps = npt.NDArray[np.float32]

# Values tried for the decoding, one parameter after the other, in this order.
_TRIED: dict[str, tuple[float, ...]] = {
    "seed_threshold": (0.03, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.35, 0.4),
    "threshold": (0.3, 0.4, 0.5, 0.6),
    "smoothing": (0.5, 1.0, 1.5, 2.0),
    "min_voxels": (0.0, 9.0, 18.0, 36.0, 54.0, 72.0),
    "parting": (0.0, 0.5, 1.0),
    "min_certainty": (0.0, 0.6, 0.7, 0.8),
}


class _Stored:
    """An image that is read by boxes, be it in memory or on disk."""

    def __init__(self, image: npt.NDArray[np.float16]) -> None:
        self._image = image
        self.channels = len(image)

    def read(self, box: Box, /) -> Maps:
        return np.asarray(self._image[(slice(None), *box)], np.float32)


def predict_example(
    network: nn.Module,
    example: Example,
    description: ModelDescription,
    *,
    device: torch.device,
    precision: Precision,
) -> Iterator[tuple[Box, Maps]]:
    """Yield the activated outputs of the network for a whole example, as in inference.

    They come in parts, each with the box in which it lies, so that a caller needs to keep no more
    than it wants.
    """
    inferer = description.inferer
    tiling = tile(
        example.image.shape[1:],
        inferer.window,
        overlap=inferer.overlap,
        blend=inferer.blend,
        size_multiple=description.inputs.multiples,
        steps=inferer.steps,
        padding=inferer.padding,
    )
    parts = predict_parts(
        _Stored(example.image),
        network,
        tiling,
        device=device,
        spatial_dims=len(inferer.window),
        activation=description.outputs.activation,
        flips=inferer.mirrored if inferer.flips else (),
        select=description.outputs.select,
        precision=precision,
    )
    yield from ((part.box, part.values) for part in parts if isinstance(part, Part))


def whole(parts: Iterator[tuple[Box, Maps]], example: Example) -> Maps:
    """Return the maps of an example of which `predict_example` yields the parts."""
    maps: Maps | None = None
    for box, values in parts:
        if maps is None:
            maps = np.empty((len(values), *example.image.shape[1:]), np.float32)
        maps[(slice(None), *box)] = values
    assert maps is not None, "an image has at least one window"
    return maps


def found_labels(
    maps: Maps, example: Example, description: ModelDescription, decoding: Mapping[str, Any]
) -> npt.NDArray[np.int32]:
    """Return what the maps of an example are decoded to: objects, or class indices.

    Of class indices maps of a part of it will do.
    """
    outputs = description.outputs
    if outputs.kind == "classes":
        order = maps.argmax(0) if outputs.softmax else _surest(maps)
        return order.astype(np.int32)
    named = dict(zip(outputs.channels, maps, strict=True))
    return decode(**named, spacing=example.spacing, **decoding)


def score_labels(
    found: npt.NDArray[np.int32], example: Example, description: ModelDescription
) -> dict[str, float]:
    """Return the scores of one example: APs, or the Dice of each class it holds or is given.

    What is not labelled counts in none of them.
    """
    labels = np.asarray(example.labels)
    if description.outputs.kind == "classes":
        names = class_names(description)
        known = labels != IGNORED
        values = dice(found[known], labels[known], classes=range(1, max(names) + 1))
        return {f"Dice {names[n]}": value for n, value in values.items() if value == value}
    precisions = average_precision(*without_ignored(found, labels))
    return {"AP": float(precisions.mean()), "AP50": float(precisions[0])}


def score_maps(
    maps: Maps, example: Example, description: ModelDescription, decoding: Mapping[str, Any]
) -> dict[str, float]:
    """Return the scores of what the maps of an example are decoded to; see `score_labels`."""
    found = found_labels(maps, example, description, decoding)
    return score_labels(found, example, description)


def class_names(description: ModelDescription) -> dict[int, str]:
    """Return the names of the output channels by class index, which is 0 for the background."""
    outputs = description.outputs
    return dict(enumerate(outputs.channels, start=0 if outputs.softmax else 1))


def score_names(description: ModelDescription) -> tuple[str, ...]:
    """Return the names of all scores that a model can have, the one to compare by first."""
    if description.outputs.kind == "instances":
        return ("AP", "AP50")
    names = class_names(description)
    return ("Dice", *(f"Dice {name}" for n, name in names.items() if n > 0))


def in_channels_of(maps: Maps, sources: Sequence[int | None]) -> Maps:
    """Return maps of another model in the order of our channels, 0 where it has no such class."""
    found = np.zeros((len(sources), *maps.shape[1:]), np.float32)
    for channel, source in enumerate(sources):
        if source is not None:
            found[channel] = maps[source]
    return found


def _surest(maps: Maps) -> npt.NDArray[np.intp]:
    """Return the index from 1 of the surest class of a sigmoid, 0 where none is likely."""
    order: npt.NDArray[np.intp] = np.where(maps.max(0) < 0.5, 0, maps.argmax(0) + 1)
    return order


def mean_scores(cases: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each score over the cases that have it, and of all classes' Dice."""
    names = dict.fromkeys(name for case in cases for name in case)
    means = {n: float(np.mean([case[n] for case in cases if n in case])) for n in names}
    dices = [value for name, value in means.items() if name.startswith("Dice ")]
    return {"Dice": float(np.mean(dices)), **means} if dices else means


def headline(scores: Mapping[str, float]) -> float:
    """Return the one number by which states of a network are compared: higher is better."""
    return scores.get("AP", scores.get("Dice", 0.0))


def tune_decoding(
    maps: Sequence[Maps],
    examples: Sequence[Example],
    description: ModelDescription,
    decoding: Mapping[str, float],
) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """Choose the parameters of `decode` that score best, one after the other.

    Yields (parameters, scores) after every trial, the best so far; the last is the choice. The
    score is the mean of AP over all thresholds and AP at 0.5: to find an object at all matters
    beside its outline.
    """

    def score(parameters: Mapping[str, float]) -> dict[str, float]:
        return mean_scores(
            [
                score_maps(m, example, description, parameters)
                for m, example in zip(maps, examples, strict=True)
            ]
        )

    def worth(scores: Mapping[str, float]) -> float:
        return scores["AP"] + scores["AP50"]

    best, found = dict(decoding), score(decoding)
    yield best, found
    for name, values in _TRIED.items():
        if name == "parting" and "touching" not in description.outputs.channels:
            continue
        for value in values:
            if best.get(name) == value:
                continue
            scores = score({**best, name: value})
            if worth(scores) > worth(found):
                best, found = {**best, name: value}, scores
            yield best, found
