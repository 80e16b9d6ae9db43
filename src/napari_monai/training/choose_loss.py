"""The loss that the settings ask for, with the weights of classes that the data say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import TrainingError
from ..labels.boxes import slabs
from ..models import ModelDescription
from ..settings import TrainingSettings
from .class_loss import ClassLoss
from .examples import Example


def choose_loss(
    settings: TrainingSettings, description: ModelDescription, examples: Sequence[Example]
) -> ClassLoss | None:
    """Return the loss of a model of classes; ``None`` of instances, which have their own.

    Raises TrainingError when the settings do not fit what the model gives.
    """
    outputs = description.outputs
    if outputs.kind == "instances":
        if settings.loss != "auto" or settings.class_weights != "none":
            raise TrainingError(
                "A model of instances has a loss of its own: leave loss at auto and class weights "
                "at none, or train classes."
            )
        return None
    if outputs.regions:
        raise TrainingError(
            f"{description.name} finds regions that overlap, of which labels hold one a voxel: "
            "start from another model."
        )
    return ClassLoss(
        settings.loss,
        sigmoid=not outputs.softmax,
        weights=class_weights(
            settings.class_weights, examples, len(outputs.channels), background=outputs.softmax
        ),
        partial=any(example.labelled is not None for example in examples),
        alpha=settings.tversky_alpha,
        beta=settings.tversky_beta,
        gamma=settings.focal_gamma,
        boundary=settings.boundary_weight,
    )


def class_weights(
    wanted: str, examples: Sequence[Example], channels: int, *, background: bool
) -> tuple[float, ...] | None:
    """Return the weight of each output channel, or ``None`` where all count alike.

    ``balanced`` is n / (classes * n of the class) over labelled voxels, with which all classes
    count alike in a cross-entropy however rare they are; one that is absent counts 1.
    """
    if wanted == "none":
        return None
    if wanted == "balanced":
        first = 0 if background else 1
        counts = np.zeros(first + channels, np.int64)
        for example in examples:
            for slab in slabs(example.labels):  # they may lie on disk
                labels = example.labels[slab]
                counts += np.bincount(labels[labels >= 0], minlength=len(counts))
        shares = counts[first:] * channels / max(1, counts[first:].sum())
        return tuple(1 / share if share else 1.0 for share in shares.tolist())
    try:
        weights = tuple(float(part) for part in wanted.split(","))
    except ValueError:
        weights = ()
    fine = len(weights) == channels and all(math.isfinite(w) and w >= 0 for w in weights)
    if not fine or not any(weights[1:] if background else weights):
        first_one = ", background first" if background else ""
        raise TrainingError(
            f"Class weights are {wanted!r}; they are none, balanced, or {channels} numbers from 0 "
            f"up joined by commas{first_one}, not all 0."
        )
    return weights
