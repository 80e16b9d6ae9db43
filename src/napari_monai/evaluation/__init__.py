"""How good a prediction is: of classes, of their surfaces, of objects; how sure that is."""

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
from ..settings import EvaluationSettings
from .compare import evaluate, evaluate_folder, guess_kind, score_pairs
from .csv_table import csv_text
from .difference import difference
from .html import extremes, html_report
from .measures import CLASS_MEASURES, OBJECT_MEASURES, Measure, Space
from .mistakes import Mistake, mistakes
from .objects import ObjectScores, object_scores
from .pairs import Matched, match_pairs
from .report import Case, Scores
from .surfaces import SurfaceDistances, surface_distances
from .versus import Versus, versus

__all__ = [
    "CLASS_MEASURES",
    "OBJECT_MEASURES",
    "THRESHOLDS",
    "Case",
    "Counts",
    "EvaluationSettings",
    "Matched",
    "Measure",
    "Mistake",
    "ObjectScores",
    "Scores",
    "Space",
    "SurfaceDistances",
    "Versus",
    "average_precision",
    "class_counts",
    "csv_text",
    "dice",
    "difference",
    "evaluate",
    "evaluate_folder",
    "extremes",
    "guess_kind",
    "html_report",
    "instance_counts",
    "intersection_over_union",
    "iou",
    "match",
    "match_pairs",
    "mistakes",
    "object_scores",
    "score_pairs",
    "surface_distances",
    "versus",
]
