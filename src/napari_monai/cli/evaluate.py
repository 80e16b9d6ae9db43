"""``napari-monai evaluate``: score labels against the truth."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..settings import EvaluationSettings
from .options import add_settings, check_targets, settings_from
from .output import bar, complain, say

if TYPE_CHECKING:
    from ..evaluation import Matched, Scores, Versus
    from ..evaluation.folders import Source
    from ..volume import LabelKind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Score labels against the truth. Files are matched by their names without extension. "
        "Objects: average precision TP / (TP + FP + FN) at IoU 0.5 to 0.9, F1, panoptic quality, "
        "AJI, splits and merges. Classes: Dice, IoU, sensitivity, precision, specificity, "
        "difference in volume, Hausdorff distance (95th percentile), mean surface distance and "
        "surface Dice of each. The mean is over the images; pooled scores sum the counts of all "
        "images first."
    )
    parser.add_argument(
        "--prediction", required=True, type=Path, metavar="PATH", help="Label file, or a folder."
    )
    parser.add_argument(
        "--truth", required=True, type=Path, metavar="PATH", help="True labels, or a folder."
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="PATH",
        help="Labels of a second model: both side by side, with paired tests.",
    )
    parser.add_argument(
        "--kind",
        choices=("auto", "instances", "classes"),
        default="auto",
        help="What the numbers are. auto: as the files or the run.json beside the prediction say; "
        "else classes on a patient's grid, where numbers fall into many pieces or where there is "
        "one number only, and instances where each number is one piece. (default: auto)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="Also write all scores to this file."
    )
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="Also write a table with a line for each image, or each class of an image.",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.html",
        help="Also write a report: tables with intervals, plots, pictures of the best and worst "
        "images, in one file.",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="PATH",
        help="The images that the labels belong to, for the pictures of the report.",
    )
    parser.add_argument(
        "--difference",
        type=Path,
        metavar="DIR",
        help="Also write labels of what is true positive (1), false positive (2), false negative "
        "(3), and mistaken for another class or object (4).",
    )
    add_settings(parser, EvaluationSettings, unset="auto")


def run(args: argparse.Namespace) -> int:
    """Print the scores, and write them where that is asked for; 1 if a file failed."""
    from .. import evaluation
    from ..evaluation.folders import images_of, kind_of_files, model_names, write_difference
    from ..io.files import write_text

    settings = settings_from(args, EvaluationSettings, {})
    check_targets(args.json, args.csv, args.report)
    matched = _matched(args.prediction, args.truth)
    images = images_of(args.truth, args.images) if args.images else {}
    kind: LabelKind = (
        kind_of_files(args.prediction, matched.pairs) if args.kind == "auto" else args.kind
    )
    first = _scored(matched, kind, settings, images)
    if first.scores.cases:
        say(first.scores.table())
    if args.kind == "auto":
        say(f"\nScored as {kind}; --kind says otherwise.")
    second, compared = None, None
    names = model_names(args.prediction, args.against)
    if args.against:
        second = _scored(_matched(args.against, args.truth), kind, settings, images)
    models = [(n, s) for n, s in zip(names, (first, second), strict=True) if s is not None]
    failed = any(one.failed for _, one in models)
    if not all(one.scores.cases for _, one in models):
        return 1
    if second is not None:
        compared = evaluation.versus(first.scores, second.scores, names=names)
        say("\n" + compared.table())
    if args.difference:
        for pair in dict.fromkeys(source.pair for source in first.sources):
            say(f"{write_difference(pair, args.difference, kind, iou=settings.iou)}")
    if args.json:
        other = None if second is None else second.scores
        write_text(args.json, _json(first.scores, other, compared))
    if args.csv:
        write_text(args.csv, evaluation.csv_text([(n, one.scores) for n, one in models]))
    if args.report:
        write_text(args.report, _report(models))
    return int(failed)


def _matched(prediction: Path, truth: Path) -> Matched:
    """Return the pairs of files, having said which are left out."""
    from .. import evaluation
    from ..evaluation.pairs import named

    matched = evaluation.match_pairs(prediction, truth)
    for alone, lacks in (
        (matched.first_alone, "no truth"),
        (matched.second_alone, "no prediction"),
    ):
        if alone:
            complain(f"{len(alone)} left out, with {lacks}: {named(alone)}", level="warning")
    return matched


@dataclass
class _Scored:
    """The scores of a model, where each case comes from, and whether a pair of files failed."""

    scores: Scores
    sources: list[Source]
    failed: bool


def _scored(
    matched: Matched, kind: LabelKind, settings: EvaluationSettings, images: dict[Path, Path]
) -> _Scored:
    """Score all pairs, having said which could not be."""
    from .. import evaluation
    from ..evaluation.folders import PairFailed, PairScored, score_steps
    from ..events import FileDone

    found: list[tuple[evaluation.Case, Source]] = []
    failed: list[Path] = []
    with bar(len(matched.pairs), "images") as progress:
        for step in score_steps(matched.pairs, kind=kind, settings=settings, images=images):
            if isinstance(step, PairScored):
                found += step.found
            elif isinstance(step, PairFailed):
                failed.append(step.pair[1])
                complain(step.message)
            elif isinstance(step, FileDone):
                progress.update(step.done - progress.n)
    alone = tuple(map(str, (*matched.first_alone, *matched.second_alone, *failed)))
    scores = evaluation.Scores(kind, tuple(case for case, _ in found), alone, settings)
    return _Scored(scores, [source for _, source in found], bool(failed))


def _report(models: list[tuple[str, _Scored]]) -> str:
    from .. import evaluation
    from ..evaluation.folders import pictures

    (name, one), *others = models
    against = (others[0][0], others[0][1].scores) if others else ("", None)
    return evaluation.html_report(
        one.scores,
        title=f"Evaluation of {name}",
        name=name,
        against=against[1],
        against_name=against[0],
        pictures=tuple(pictures(one.scores, [source.open for source in one.sources])),
    )


def _json(scores: Scores, other: Scores | None, compared: Versus | None) -> str:
    content: dict[str, Any] = scores.to_json()
    if other is not None and compared is not None:
        content |= {"against": other.to_json(), "versus": compared.to_json()}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
