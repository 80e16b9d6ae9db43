"""``napari-monai evaluate``: score labels against the truth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..runfile import NAME
from .output import bar, complain, say

if TYPE_CHECKING:
    from ..evaluation import Scores
    from ..volume import LabelKind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Score labels against the truth. Files are matched by their names without extension. "
        "Objects: average precision TP / (TP + FP + FN) at IoU 0.5 to 0.9. "
        "Classes: Dice and IoU of each. The mean is over the images; pooled scores "
        "sum the counts of all images first."
    )
    parser.add_argument(
        "--prediction", required=True, type=Path, metavar="PATH", help="Label file, or a folder."
    )
    parser.add_argument(
        "--truth", required=True, type=Path, metavar="PATH", help="True labels, or a folder."
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="Also write all scores to this file."
    )
    parser.add_argument(
        "--kind",
        choices=("auto", "instances", "classes"),
        default="auto",
        help="What the numbers are. auto: as the files or the run.json beside the prediction say; "
        "else classes on a patient's grid, where numbers fall into many pieces or where there is "
        "one number only, and instances where each number is one piece. (default: auto)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the scores, and write them where that is asked for."""
    from .. import evaluation
    from ..evaluation.compare import kind_of_pairs
    from ..evaluation.pairs import named

    matched = evaluation.match_pairs(args.prediction, args.truth)
    for alone, lacks in (
        (matched.first_alone, "no truth"),
        (matched.second_alone, "no prediction"),
    ):
        if alone:
            complain(f"{len(alone)} left out, with {lacks}: {named(alone)}", level="warning")
    kind: LabelKind = (
        _said_by_run(args.prediction) or kind_of_pairs(matched.pairs)
        if args.kind == "auto"
        else args.kind
    )
    cases: list[evaluation.Case] = []
    with bar(len(matched.pairs), "images") as progress:
        for pair in matched.pairs:
            cases.extend(evaluation.score_pairs([pair], kind=kind))
            progress.update()
    alone = (*matched.first_alone, *matched.second_alone)
    scores = evaluation.Scores(kind, tuple(cases), tuple(map(str, alone)))
    say(scores.table())
    if args.kind == "auto":
        say(f"\nScored as {kind}; --kind says otherwise.")
    if args.json:
        _write(args.json, scores)
    return 0


def _said_by_run(prediction: Path) -> LabelKind | None:
    """Return the kind of labels that the run beside the prediction has written."""
    folder = prediction if prediction.is_dir() else prediction.parent
    try:
        kind = json.loads((folder / NAME).read_text(encoding="utf-8")).get("kind")
    except (OSError, ValueError, AttributeError):
        return None
    return kind if kind in ("instances", "classes") else None


def _write(path: Path, scores: Scores) -> None:
    from ..io.files import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_text(json.dumps(scores.to_json(), indent=2) + "\n", encoding="utf-8")
