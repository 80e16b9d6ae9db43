"""``napari-monai evaluate``: score labels against the truth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runfile import NAME
from ..settings import EvaluationSettings
from .options import add_settings, settings_from
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
    """Print the scores, and write them where that is asked for."""
    from .. import evaluation
    from ..evaluation.compare import kind_of_pairs
    from ..evaluation.folders import images_of, write_difference

    settings = settings_from(args, EvaluationSettings, {})
    matched = _matched(args.prediction, args.truth)
    images = images_of(args.truth, args.images) if args.images else {}
    kind: LabelKind = (
        _said_by_run(args.prediction) or kind_of_pairs(matched.pairs)
        if args.kind == "auto"
        else args.kind
    )
    scores, sources = _scores(matched, kind, settings)
    say(scores.table())
    if args.kind == "auto":
        say(f"\nScored as {kind}; --kind says otherwise.")
    other, compared = None, None
    names = _names(args.prediction, args.against)
    if args.against:
        other, _ = _scores(_matched(args.against, args.truth), kind, settings)
        compared = evaluation.versus(scores, other, names=names)
        say("\n" + compared.table())
    if args.difference:
        for pair in matched.pairs:
            say(f"{write_difference(pair, args.difference, kind)}")
    models = [(n, s) for n, s in zip(names, (scores, other), strict=True) if s is not None]
    if args.json:
        _write(args.json, _json(scores, other, compared))
    if args.csv:
        _write(args.csv, evaluation.csv_text(models))
    if args.report:
        _write(args.report, _report(args, models, sources, images))
    return 0


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


def _scores(
    matched: Matched, kind: LabelKind, settings: EvaluationSettings
) -> tuple[Scores, list[Source]]:
    """Return the scores of all pairs, and where each case comes from."""
    from .. import evaluation
    from ..evaluation.folders import scored

    found: list[tuple[evaluation.Case, Source]] = []
    with bar(len(matched.pairs), "images") as progress:
        for some in scored(matched.pairs, kind=kind, settings=settings):
            found += some
            progress.update()
    alone = tuple(map(str, (*matched.first_alone, *matched.second_alone)))
    scores = evaluation.Scores(kind, tuple(case for case, _ in found), alone, settings)
    return scores, [source for _, source in found]


def _report(
    args: argparse.Namespace,
    models: list[tuple[str, Scores]],
    sources: list[Source],
    images: dict[Path, Path],
) -> str:
    from .. import evaluation
    from ..evaluation.folders import pictures

    (name, scores), *others = models
    against = others[0] if others else ("", None)
    return evaluation.html_report(
        scores,
        title=f"Evaluation of {name}",
        name=name,
        against=against[1],
        against_name=against[0],
        pictures=tuple(pictures(scores, sources, images=images)),
    )


def _json(scores: Scores, other: Scores | None, compared: Versus | None) -> str:
    content: dict[str, Any] = scores.to_json()
    if other is not None and compared is not None:
        content |= {"against": other.to_json(), "versus": compared.to_json()}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _names(first: Path, second: Path | None) -> tuple[str, str]:
    """Return what to call two models: their folders, with the one above where they are alike."""
    one, other = first.resolve(), (second or first).resolve()
    if second is None or one.name != other.name:
        return one.name, other.name
    return f"{one.parent.name}/{one.name}", f"{other.parent.name}/{other.name}"


def _said_by_run(prediction: Path) -> LabelKind | None:
    """Return the kind of labels that the run beside the prediction has written."""
    folder = prediction if prediction.is_dir() else prediction.parent
    try:
        kind = json.loads((folder / NAME).read_text(encoding="utf-8")).get("kind")
    except (OSError, ValueError, AttributeError):
        return None
    return kind if kind in ("instances", "classes") else None


def _write(path: Path, text: str) -> None:
    from ..io.files import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
