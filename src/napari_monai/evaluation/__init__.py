"""How good a prediction is: Dice and IoU of classes, average precision of instances."""

from __future__ import annotations

from ..labels.overlap import (
    THRESHOLDS,
    Counts,
    average_precision,
    class_counts,
    dice,
    instance_counts,
    intersection_over_union,
    iou,
    match,
)
from .compare import evaluate, evaluate_folder, guess_kind, score_pairs
from .pairs import Matched, match_pairs
from .report import Case, Scores

__all__ = [
    "THRESHOLDS",
    "Case",
    "Counts",
    "Matched",
    "Scores",
    "average_precision",
    "class_counts",
    "dice",
    "evaluate",
    "evaluate_folder",
    "guess_kind",
    "instance_counts",
    "intersection_over_union",
    "iou",
    "match",
    "match_pairs",
    "score_pairs",
]
