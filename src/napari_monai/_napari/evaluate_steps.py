"""What the Evaluate widget has done in another thread: scores, a case with its errors, a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import EvaluationError
from ..events import Busy, Event, FileDone, Said, Started
from ..settings import EvaluationSettings
from ..volume import LabelKind, LabelVolume, Volume
from .jobs import Steps
from .layers import smallest_type

if TYPE_CHECKING:
    from ..evaluation import Case, Matched, Mistake, Scores, Versus
    from ..evaluation.folders import Opened, Source
    from .placement import Placement


# -- what is wanted -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FromLayers:
    """Labels of layers as they were when they were taken: one or two predictions, and the truth."""

    predictions: tuple[LabelVolume, ...]
    truth: LabelVolume
    image: Volume | None
    place: Placement  # of the truth

    @property
    def names(self) -> tuple[str, ...]:
        """What to call the models."""
        return tuple(labels.name for labels in self.predictions)


@dataclass(frozen=True)
class FromFiles:
    """Files, or folders of files that are called alike."""

    predictions: tuple[Path, ...]
    truth: Path
    images: Path | None

    @property
    def names(self) -> tuple[str, ...]:
        """What to call the models."""
        from ..evaluation.folders import model_names

        return model_names(*self.predictions)[: len(self.predictions)]


@dataclass(frozen=True, eq=False)
class Wanted:
    """What to score, and how; no ``kind`` where it is to be guessed."""

    given: FromLayers | FromFiles
    kind: LabelKind | None
    settings: EvaluationSettings


# -- what comes of it -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Scored:
    """A model with its scores, and how to come by the voxels of each case."""

    name: str
    scores: Scores
    openers: tuple[Callable[[], Opened], ...]


@dataclass(frozen=True, eq=False)
class Evaluated(Event):
    """The last event of an evaluation.

    ``problems`` are a line each; ``place`` is where the truth lies if it is a layer.
    """

    models: tuple[Scored, ...]
    versus: Versus | None
    problems: tuple[str, ...]
    guessed: bool
    place: Placement | None

    @property
    def kind(self) -> LabelKind:
        """What the labels were taken for."""
        return self.models[0].scores.kind


@dataclass(frozen=True, eq=False)
class Shown(Event):
    """A case to look at: its voxels, what is right and wrong, and which objects are.

    ``counts`` are the voxels of each number of the difference, at its time point.
    """

    opened: Opened
    difference: LabelVolume
    counts: tuple[int, ...]
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True)
class Written(Event):
    """A report was written."""

    path: Path


# -- scores ---------------------------------------------------------------------------------------


def evaluate_steps(wanted: Wanted) -> Steps:
    """Score one or two models."""
    yield Said("Reading…")
    if isinstance(wanted.given, FromLayers):
        yield from _of_layers(wanted, wanted.given)
    else:
        yield from _of_files(wanted, wanted.given)


def _of_layers(wanted: Wanted, given: FromLayers) -> Steps:
    from .. import evaluation
    from ..evaluation.compare import case_steps, kind_of
    from ..evaluation.folders import Opened

    kind = wanted.kind or kind_of([(p, given.truth) for p in given.predictions])
    yield Said(f"Measuring {_noun(kind)}…")
    models = []
    for labels in given.predictions:
        cases: list[Case] = []
        for step in case_steps(labels, given.truth, kind, wanted.settings, name=given.truth.name):
            if isinstance(step, evaluation.Case):
                cases.append(step)
                yield Busy()
            else:
                if step.done == 1:
                    yield Started(step.total, "classes")
                yield step
        scores = evaluation.Scores(kind, tuple(cases), settings=wanted.settings)
        opened = [Opened(labels, given.truth, given.image, time) for time in range(len(cases))]
        openers = tuple(_held(one) for one in opened)
        models.append(Scored(labels.name, scores, openers))
    yield _evaluated(models, (), wanted.kind is None, given.place)


def _held(opened: Opened) -> Callable[[], Opened]:
    return lambda: opened


def _of_files(wanted: Wanted, given: FromFiles) -> Steps:
    from .. import evaluation
    from ..evaluation.folders import (
        PairFailed,
        PairScored,
        images_of,
        kind_of_files,
        score_steps,
    )

    matched = [evaluation.match_pairs(p, given.truth) for p in given.predictions]
    images = {} if given.images is None else images_of(given.truth, given.images)
    yield Busy()
    kind = wanted.kind or kind_of_files(given.predictions[0], matched[0].pairs)
    problems = [line for one in matched for line in _left_out(one)]
    models = []
    for name, one in zip(given.names, matched, strict=True):
        yield Said(f"Measuring {_noun(kind)} of {name}…")
        found: list[tuple[Case, Source]] = []
        failed: list[str] = []
        steps = score_steps(one.pairs, kind=kind, settings=wanted.settings, images=images)
        for step in steps:
            if isinstance(step, PairScored):
                found += step.found
            elif isinstance(step, PairFailed):
                failed.append(str(step.pair[1]))
                problems.append(step.message)
            else:
                yield step
        if not found:
            raise EvaluationError(f"No file of {name} could be scored: {problems[-1]}")
        alone = (*map(str, (*one.first_alone, *one.second_alone)), *failed)
        cases = tuple(case for case, _ in found)
        scores = evaluation.Scores(kind, cases, alone, wanted.settings)
        models.append(Scored(name, scores, tuple(source.open for _, source in found)))
    yield _evaluated(models, tuple(dict.fromkeys(problems)), wanted.kind is None, None)


def _left_out(matched: Matched) -> Iterator[str]:
    from ..evaluation.pairs import named

    sides = (matched.first_alone, "without truth"), (matched.second_alone, "without prediction")
    for files, lacks in sides:
        if files:
            yield f"{len(files)} left out, {lacks}: {named(files)}"


def _evaluated(
    models: Sequence[Scored], problems: tuple[str, ...], guessed: bool, place: Placement | None
) -> Evaluated:
    from .. import evaluation

    compared = None
    if len(models) > 1:
        names = models[0].name, models[1].name
        compared = evaluation.versus(models[0].scores, models[1].scores, names=names)
    for model in models:  # here, and not in the window's thread: resampling takes a while
        _ = model.scores.intervals
    return Evaluated(tuple(models), compared, problems, guessed, place)


def _noun(kind: LabelKind) -> str:
    return "objects" if kind == "instances" else "classes"


# -- a case ---------------------------------------------------------------------------------------


def show_steps(model: Scored, case: int, class_name: str, *, of_files: bool) -> Steps:
    """Read a case, and find what is right and wrong in it: of all classes, or of one."""
    from .. import evaluation

    name = model.scores.cases[case].name
    yield Said(f"Opening {name}…")
    opened = model.openers[case]().on_one_grid()
    yield Busy()
    scores = model.scores
    label = scores.cases[case].numbers.get(class_name, -1) if class_name else None
    found = opened.difference(scores.kind, label=label, iou=scores.settings.iou)
    yield Busy()
    counts = np.bincount(_moment(found, opened.time).ravel(), minlength=5)
    wrong: Sequence[Mistake] = ()
    if scores.kind == "instances":
        predicted, true = (_moment(x, opened.time) for x in (opened.prediction, opened.truth))
        wrong = evaluation.mistakes(predicted, true, iou=scores.settings.iou)
    named = replace(found, name=f"{name} difference ({model.name})")
    if of_files:  # to be shown as layers
        truth, prediction = (
            replace(labels, data=smallest_type(labels.numpy()))
            for labels in (opened.truth, opened.prediction)
        )
        opened = replace(opened, truth=truth, prediction=prediction)
    yield Shown(opened, named, tuple(int(n) for n in counts), tuple(wrong))


def _moment(labels: Volume, time: int) -> npt.NDArray[np.integer]:
    return np.asarray(labels.at_time(time).numpy())


# -- the report -----------------------------------------------------------------------------------


def report_steps(result: Evaluated, path: Path) -> Steps:
    """Write the report, as the command does."""
    from .. import evaluation
    from ..evaluation.folders import pictures
    from ..io.files import write_text

    yield Said("Drawing the report…")
    first, *others = result.models
    drawn = []
    total = len([place for end in evaluation.extremes(first.scores) for place in end])
    yield Started(total, "pictures")
    for picture in pictures(first.scores, first.openers):
        drawn.append(picture)
        yield FileDone(len(drawn), total)
    against = others[0] if others else None
    text = evaluation.html_report(
        first.scores,
        title=f"Evaluation of {first.name}",
        name=first.name,
        against=None if against is None else against.scores,
        against_name="" if against is None else against.name,
        pictures=drawn,
    )
    yield Busy()
    write_text(path, text)
    yield Written(path)


def write_table(result: Evaluated, path: Path) -> None:
    """Write the values of all cases, as the command does."""
    from .. import evaluation
    from ..io.files import write_text

    write_text(path, evaluation.csv_text([(m.name, m.scores) for m in result.models]))
