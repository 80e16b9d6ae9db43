"""Settings of an evaluation; part of the vocabulary, and offered by `settings` with the others."""

from __future__ import annotations

from dataclasses import dataclass

from .options import Settings, option


@dataclass(frozen=True)
class EvaluationSettings(Settings):
    """How to score labels; one for the widget, the command and the function."""

    surfaces: bool = option(
        True,
        "Measure the distance between surfaces too: Hausdorff distance, mean distance, surface "
        "Dice of classes.",
        advanced=False,
    )
    tolerance: float = option(
        1.0,
        "How far apart surfaces may be to count as the same in the surface Dice: in mm; in µm for "
        "microscopy, in pixels where the size of a pixel is not known.",
        minimum=0.0,
        step=0.5,
        advanced=False,
    )
    iou: float = option(
        0.5,
        "IoU above which an object counts as found: for F1, PQ and SQ, the difference and the list "
        "of wrong objects. AP has its own, 0.5 to 0.9.",
        label="IoU",
        minimum=0.5,
        maximum=0.95,
        step=0.05,
    )
    confidence: float = option(
        0.95,
        "Part of the resampled means that an interval holds.",
        minimum=0.5,
        maximum=0.999,
        step=0.01,
    )
    resamples: int = option(
        2000, "How often the cases are drawn again for an interval.", minimum=100, maximum=100_000
    )
    seed: int = option(0, "Start of the random numbers: the same gives the same.", minimum=0)
