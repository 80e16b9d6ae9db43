"""All that is worked out before a training begins: the model, its data, and the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import TrainingError
from ..models import Model, ModelDescription
from ..settings import TrainingSettings
from .checkpoint import NAME as CHECKPOINT
from .examples import Example, is_partial, make_examples
from .partial import check_partial
from .plan import plan_model, with_card
from .pretext import without_labels
from .problems import Problem, find_problems
from .rates import check_rates
from .remembering import answered, check_remembering
from .resolved import Resolved, resolve
from .shares import Pair, Share, Source
from .split import Split, split_pairs
from .starting import Start, start_from_model


@dataclass(frozen=True, eq=False)
class Prepared:
    """A training before its first step.

    Attributes
    ----------
    description
        The model to be trained.
    plan
        What settings leave open, worked out.
    split
        Which pairs, or parts of them, are trained on and validated on, and why.
    problems
        What is wrong with the data, errors first; of a training that is resumed nothing is said.
    training, validation, unlabelled, remembered
        The images, ready for patches to be cut from them; none where there is an error. Labels of
        the remembered ones are what the model to start from finds in them.
    start
        The model that is taken further, as it comes into the new one; ``None`` of a new network
        and of a training that is resumed.
    """

    description: ModelDescription
    plan: Resolved
    split: Split
    problems: Sequence[Problem] = ()
    training: Sequence[Example] = ()
    validation: Sequence[Example] = ()
    unlabelled: Sequence[Example] = ()
    remembered: Sequence[Example] = ()
    start: Start | None = None

    @property
    def errors(self) -> list[str]:
        """The problems that there is no training with."""
        return [problem.text for problem in self.problems if problem.severity == "error"]


def prepare_training(
    model: Model | None,
    pairs: Sequence[Pair | Share],
    *,
    settings: TrainingSettings,
    validation: Sequence[Pair | Share] = (),
    unlabelled: Sequence[Source] = (),
    name: str = "model",
    card: Mapping[str, Any] | None = None,
    saved: Mapping[str, Any] | None = None,
    examples: bool = True,
    scratch: Path | None = None,
) -> Prepared:
    """Work out a training, as `fine_tune` does, whose parameters these are.

    Parameters
    ----------
    model, pairs, settings, validation, unlabelled, name, card
        As for `fine_tune`.
    saved
        The state of a training to resume, whose model and plan are taken.
    examples
        Whether to make the images ready, which takes long, or to leave them out.
    scratch
        Folder on the disk for images that exceed the memory; see `make_examples`.

    Raises
    ------
    TrainingError
        If no model can be planned for the pairs, or settings do not fit each other.
    """
    check_partial(settings)
    if model is not None and settings.start_weights:
        raise TrainingError("Start from a model or from start weights, not from both.")
    if not pairs:
        raise TrainingError("Training needs at least one pair of image and labels.")
    warm = settings.warm_start != "none"
    check_remembering(settings, model, unlabelled)
    if unlabelled and not warm and not settings.remember:
        raise TrainingError(
            "Images without labels are for a warm start or for remembering: choose one."
        )
    check_rates(settings, pretrained=model is not None or bool(settings.start_weights) or warm)
    start = None
    if saved is not None:
        description = ModelDescription.from_json(saved["description"], source=CHECKPOINT)
        description = with_card(description, card)
        plan = Resolved.from_json(saved["plan"])
    else:
        if model is not None:
            start = start_from_model(model, name, _pairs(pairs), settings, card=card)
            description = start.description
        else:
            description = plan_model(name, _pairs(pairs), settings, card=card)
        old = unlabelled if settings.remember else ()
        plan = resolve(settings, description, [*(Share.of(pair).image for pair in pairs), *old])
    with_patch = replace(settings, patch=plan.patch)
    split = split_pairs(pairs, with_patch, validation=validation)
    problems = (
        find_problems(split.training, split.validation, description, settings, plan)
        if saved is None
        else []
    )
    found = Prepared(description, plan, split, problems, start=start)
    if found.errors or not examples:
        return found
    options: dict[str, Any] = {
        "settings": settings,
        "partial": is_partial([*split.training, *split.validation], settings),
        "margin": plan.patch,
        "scratch": scratch,
    }
    training = list(make_examples(split.training, description, **options))
    held_out = list(make_examples(split.validation, description, validation=True, **options))
    if not training:
        raise TrainingError("No voxel of the training pairs is labelled: nothing to train on.")
    found = replace(found, training=training, validation=held_out)
    if warm:
        unseen = without_labels(unlabelled, description, settings=settings, scratch=scratch)
        found = replace(found, unlabelled=list(unseen))
    if settings.remember and model is not None:
        # Of a training that is resumed, worked out again.
        begun = start or start_from_model(model, name, _pairs(pairs), settings, card=card)
        known = answered(model, unlabelled, description, begun.numbers, **options)
        found = replace(found, remembered=list(known))
    return found


def _pairs(pairs: Sequence[Pair | Share]) -> list[Pair]:
    return [Share.of(pair).pair for pair in pairs]
