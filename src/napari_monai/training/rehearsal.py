"""What a training would do, before it does: in lines, and in pictures of what it would see."""

from __future__ import annotations

from ..settings import TrainingSettings
from .examples import is_partial, make_examples
from .pictures import Picture, preview
from .preparing import Prepared

# Pairs that pictures are made of: as many as there are rows in one.
_SHOWN = 4


def plan_lines(prepared: Prepared) -> list[str]:
    """Return what a training would do, a few lines."""
    told, plan = prepared.description, prepared.plan
    names = ", ".join(label.name for label in told.labels)
    patch = " x ".join(map(str, plan.patch))
    kind = plan.augment.kind
    changed = "left as they are" if kind == "none" else f"changed as in {kind}"
    lines = [
        f"Model: {told.network.name} in {told.inputs.spatial_dims}D, {told.outputs.kind}: {names}",
        f"Images: {prepared.split.how}",
        f"Steps: {plan.steps} of {plan.batch_size} patches of {patch}, learning rate "
        f"{plan.learning_rate:g}, a validation every {plan.validate_every}",
        f"Training images: {changed}",
    ]
    notes = prepared.start.notes if prepared.start is not None else ()
    return [*lines, *notes]


def changed_patches(prepared: Prepared, settings: TrainingSettings) -> Picture:
    """Return a picture (height, width, RGB) of patches as a training would see them.

    A few pairs are read for it; see `napari_monai.training.pictures.preview`.

    Parameters
    ----------
    prepared
        The training, whose images need not be ready.
    settings
        How to train.
    """
    shares = prepared.split.training
    partial = is_partial([*shares, *prepared.split.validation], settings)
    some = shares[:: max(1, len(shares) // _SHOWN)][:_SHOWN]
    examples = list(make_examples(some, prepared.description, settings=settings, partial=partial))
    return preview(examples, prepared.plan, settings)
