"""All that is worked out before a training begins: the model, its data, and the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import TrainingError
from ..models import Model, ModelDescription
from ..settings import TrainingSettings
from .checkpoint import NAME as CHECKPOINT
from .examples import Example, Pair, make_examples
from .partial import check_partial
from .plan import plan_model, with_card, with_zoom
from .resolved import Resolved, resolve


@dataclass(frozen=True, eq=False)
class Prepared:
    """A training before its first step.

    Attributes
    ----------
    description
        The model to be trained.
    plan
        What settings leave open, worked out.
    training, validation
        The images, ready for patches to be cut from them.
    """

    description: ModelDescription
    plan: Resolved
    training: Sequence[Example]
    validation: Sequence[Example]


def prepare_training(
    model: Model | None,
    pairs: Sequence[Pair],
    *,
    settings: TrainingSettings,
    validation: Sequence[Pair] = (),
    name: str = "model",
    card: Mapping[str, Any] | None = None,
    saved: Mapping[str, Any] | None = None,
) -> Prepared:
    """Work out a training, as `fine_tune` does, whose parameters these are.

    ``saved`` is the state of a training to resume, whose model and plan are taken.

    Raises TrainingError when the pairs do not fit the model or each other.
    """
    check_partial(settings)
    if model is not None and settings.start_weights:
        raise TrainingError("Start from a model or from start weights, not from both.")
    if not pairs:
        raise TrainingError("Training needs at least one pair of image and labels.")
    description = _description(model, name, pairs, settings, card, saved)
    plan = Resolved.from_json(saved["plan"]) if saved else resolve(settings, description)
    ndim = description.inputs.spatial_dims
    if len(plan.patch) != ndim:
        raise TrainingError(f"A patch of {len(plan.patch)} axes does not fit a {ndim}-D model.")
    examples = list(make_examples(pairs, description, settings=settings))
    if not examples:
        raise TrainingError("No voxel of the training pairs is labelled: nothing to train on.")
    held_out = list(make_examples(validation, description, settings=settings, validation=True))
    return Prepared(description, plan, examples, held_out)


def _description(
    model: Model | None,
    name: str,
    pairs: Sequence[Pair],
    settings: TrainingSettings,
    card: Mapping[str, Any] | None,
    saved: Mapping[str, Any] | None,
) -> ModelDescription:
    if saved is not None:
        described = ModelDescription.from_json(saved["description"], source=CHECKPOINT)
        return with_card(described, card)
    if model is None:
        return plan_model(name, pairs, settings, card=card)
    if settings.target not in ("auto", model.description.outputs.kind):
        raise TrainingError(
            f"{model.name} finds {model.description.outputs.kind}, not {settings.target}: "
            "change the target or start from another model."
        )
    described = replace(
        model.description,
        name=name,
        title=name,
        scores={},
        preprocess=with_zoom(model.description.preprocess, settings.zoom),
    )
    return with_card(described, card)
