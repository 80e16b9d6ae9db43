"""What comes of a training: the best model so far, its card, and the curves that led to it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..models import ModelDescription, save_model
from ..preprocess import Operation
from ..settings import TrainingSettings
from ..volume import Volume
from .shares import Share, Source
from .split import Split
from .validate import headline

FOLDER = "model"
# Points of a curve, and names of images, that a card holds at most.
_POINTS = 200
_NAMES = 100


@dataclass
class Best:
    """The best state so far.

    Attributes
    ----------
    value
        Its score, by which states are compared.
    step
        Steps that it had done; 0 is the model to start from.
    scores
        All its scores.
    worse
        Validations since, none of which was better.
    """

    value: float = -math.inf
    step: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    worse: int = 0

    def beats(self, scores: Mapping[str, float]) -> bool:
        """Return whether the best state so far is at least as good as these scores."""
        return not headline(scores) > self.value

    def take(self, step: int, scores: Mapping[str, float]) -> None:
        """Make this state the best one."""
        self.value, self.step, self.scores = headline(scores), step, dict(scores)
        self.worse = 0


def save_outcome(
    folder: Path,
    description: ModelDescription,
    weights: Mapping[str, torch.Tensor],
    *,
    decoding: Mapping[str, Any],
    scores: Mapping[str, float],
    before: Mapping[str, float],
    training: Mapping[str, Any],
) -> None:
    """Write the model folder of a training.

    Parameters
    ----------
    folder
        The training's folder.
    description
        The model, without what the training has found out.
    weights
        Of the network.
    decoding
        How objects are decoded; of no account for classes.
    scores, before
        On the validation images: of these weights, and of the model to start from.
    training
        How the model came about, for its card.
    """
    post = description.postprocess
    if description.outputs.kind == "instances":
        post = (Operation("instances", dict(decoding)),)
    told = {"validation": rounded(scores)}
    if before:
        told["before"] = rounded(before)
    described = replace(description, postprocess=post, training=training, scores=told)
    save_model(folder / FOLDER, described, weights, half=True)


def told_of(
    settings: TrainingSettings, split: Split, *, parent: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what a card says of a training before it begins: settings, data, parent."""
    return {
        "settings": settings.to_json(),
        "split": split.how,
        "data": {"training": _listed(split.training), "validation": _listed(split.validation)},
        "parent": dict(parent) if parent else None,
        "napari_monai": __version__,
        "torch": str(torch.__version__),
    }


def curves(history: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Return the columns of the log, thinned out where they are long; what is no number is None."""
    every = -(-len(history) // _POINTS) if history else 1
    rows = [row for n, row in enumerate(history, start=1) if n % every == 0 or n == len(history)]
    names = dict.fromkeys(name for row in rows for name in row if name != "best")
    return {name: [_number(row.get(name)) for row in rows] for name in names}


def scores_line(scores: Mapping[str, float]) -> str:
    """Return scores as a line."""
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())


def rounded(scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores to four digits."""
    return {name: round(value, 4) for name, value in scores.items()}


def _number(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.5g}")


def _listed(shares: Sequence[Share]) -> dict[str, Any]:
    """Return the names of images and labels, and the hash of the whole list of them."""
    names = [f"{_name(share.image)} {_name(share.labels)}{_slab(share)}" for share in shares]
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    return {"names": names[:_NAMES], "count": len(names), "sha256": digest}


def _name(source: Source) -> str:
    return source.name if isinstance(source, Volume) else Path(source).name


def _slab(share: Share) -> str:
    if share.axis is None:
        return ""
    stop = "" if share.stop is None else share.stop
    return f", {'not ' if share.outside else ''}{share.start}:{stop} of axis {share.axis}"
