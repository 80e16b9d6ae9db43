"""The report: one file of HTML with tables, plots and pictures that works without a network."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from .. import __version__
from .difference import CLASSES
from .html_parts import Html, bullets, folded, html, image, page, paragraph, section, table
from .measures import HEADLINE, Measure
from .pictures import Picture
from .plots import plots
from .report import Scores
from .text import images, measured, number, p_value, scored
from .versus import CAVEATS, Row, Versus, versus

# Cells of the table of all cases and classes that a page bears.
_CELLS = 20_000
_PLOT = 520
# Cases at either end that are shown as pictures.
SHOWN = 3


def html_report(
    scores: Scores,
    *,
    title: str = "Evaluation",
    name: str = "model",
    against: Scores | None = None,
    against_name: str = "other model",
    pictures: Sequence[Picture] = (),
) -> str:
    """Return the report of an evaluation as a page of HTML.

    Parameters
    ----------
    scores
        What `evaluate` or `evaluate_folder` have found.
    title, name
        Heading of the page, and what to call the model.
    against, against_name
        Scores of a second model on the same cases: side by side, with paired tests.
    pictures
        Pictures of the best and the worst cases, see `extremes`, best first.
    """
    models = [(name, scores)]
    rivals: Versus | None = None
    if against is not None:
        rivals = versus(scores, against, names=(name, against_name))
        models.append((against_name, against))
    drawn = [image(png, caption, width=_PLOT) for caption, png in plots(models)]
    return page(
        title,
        (
            f"<h1>{html(title)}</h1>",
            paragraph(_facts(scores, models), "lead"),
            section("Summary", _summary(scores)),
            _rivals(rivals, scores) if rivals else "",
            section("Classes", _classes(scores)) if scores.classes else "",
            section("Plots", *drawn),
            _pictures(scores, pictures),
            section("Cases", _cases(scores), _details(scores), _left_out(scores)),
            section("How it was measured", *_methods(scores)),
        ),
    )


def extremes(scores: Scores, shown: int = SHOWN) -> tuple[list[int], list[int]]:
    """Return the places of the best and of the worst cases, without overlap, best first."""
    headline = HEADLINE[scores.kind]
    known = [(c.scores[headline], i) for i, c in enumerate(scores.cases)]
    order = [i for value, i in sorted(known, key=lambda p: (-p[0], p[1])) if not math.isnan(value)]
    worst = order[max(len(order) - shown, (len(order) + 1) // 2) :]
    return order[: min(shown, len(order) - len(worst))], worst


def _facts(scores: Scores, models: Sequence[tuple[str, Scores]]) -> str:
    who = " and ".join(name for name, _ in models)
    count = len(scores.left_out)
    alone = f" {count} file{'s' * (count != 1)} left out." if count else ""
    return f"{who}: {images(scores)}, {scored(scores)}. napari-monai {__version__}.{alone}"


# -- tables ---------------------------------------------------------------------------------------


def _summary(scores: Scores) -> Html:
    """Return every measure over the cases: mean, interval, median, range."""
    percent = f"{100 * scores.settings.confidence:g} % interval"
    rows = []
    for measure in scores.measures:
        values = [case.scores.get(measure.name, math.nan) for case in scores.cases]
        known = sorted(v for v in values if not math.isnan(v))
        spread = (statistics.median(known), known[0], known[-1]) if known else (math.nan,) * 3
        low, high = scores.intervals[measure.name]
        shown = [measured(x, measure) for x in (scores.mean[measure.name], *spread)]
        between = f"{measured(low, measure)} to {measured(high, measure)}"
        rows.append(
            (
                scores.space.titled(measure),
                shown[0],
                "-" if math.isnan(low) else between,
                *shown[1:],
                str(len(known)),
            )
        )
    return table(("", "mean", percent, "median", "lowest", "highest", "cases"), rows)


def _classes(scores: Scores) -> Html:
    """Return the mean of each class with its interval below it."""
    rows = []
    for name in (*scores.classes, ""):
        keys = [f"{m.name} {name}".rstrip() for m in scores.measures]
        there = sum(c.counts[name].total > 0 for c in scores.cases if name in c.counts)
        cells = [_with_interval(scores, k, m) for k, m in zip(keys, scores.measures, strict=True)]
        rows.append((name or "all classes", *cells, str(there) if name else ""))
    header = ("class", *(scores.space.titled(m) for m in scores.measures), "in cases")
    return table(header, rows, last_is_all=True)


def _with_interval(scores: Scores, name: str, measure: Measure) -> Html:
    text = str(html(measured(scores.mean.get(name, math.nan), measure)))
    low, high = scores.intervals.get(name, (math.nan, math.nan))
    if not math.isnan(low):
        text += f"<br><small>[{measured(low, measure)}, {measured(high, measure)}]</small>"
    missing = scores.infinite.get(name, 0)
    if missing:
        text += f"<br><small>missing in {missing}</small>"
    return Html(text)


def _cases(scores: Scores) -> Html:
    """Return a row a case, the worst first."""
    headline = HEADLINE[scores.kind]
    ordered = sorted(scores.cases, key=lambda c: (_low(c.scores[headline]), c.name))
    header = ["case, worst first", *(scores.space.titled(m) for m in scores.measures)]
    rows = []
    for case in ordered:
        values = (measured(case.scores.get(m.name, math.nan), m) for m in scores.measures)
        rows.append((case.name, *values))
    return table(header, rows)


def _details(scores: Scores) -> Html:
    """Return Dice of every class in every case, folded away."""
    cells = len(scores.cases) * len(scores.classes)
    if len(scores.classes) < 2:
        return Html("")
    if cells > _CELLS:
        return paragraph("All classes of all cases are in the table of values (--csv).", "note")
    header = ("Dice", *scores.classes)
    rows = [
        (c.name, *(number(c.scores.get(f"Dice {n}", math.nan)) for n in scores.classes))
        for c in scores.cases
    ]
    return folded("Dice of every class in every case", table(header, rows))


def _left_out(scores: Scores) -> Html:
    """Return which files do not count, folded away; nothing where all do."""
    if not scores.left_out:
        return Html("")
    return folded("Files left out: without a partner, or not to be read", bullets(scores.left_out))


def _rivals(compared: Versus, scores: Scores) -> Html:
    """Return two models side by side."""
    header = (
        "",
        compared.first,
        compared.second,
        "difference",
        f"{100 * scores.settings.confidence:g} % interval",
        "better in",
        "p Wilcoxon",
        "p permutation",
        "p Holm",
        "cases",
    )
    overall = [_rival(row, scores) for row in compared.overall]
    classes = [_rival(row, scores) for row in compared.rows if row.class_name]
    alone = ""
    if compared.left_out:
        count = len(compared.left_out)
        text = f"{count} case{'s' * (count != 1)} of one side only left out here."
        alone = paragraph(text, "note")
    return section(
        f"{compared.first} against {compared.second}",
        table(header, overall),
        folded("Every class", table(header, classes)) if classes else "",
        alone,
        bullets(CAVEATS),
    )


def _rival(row: Row, scores: Scores) -> tuple[str, ...]:
    measure = row.measure
    title = scores.space.titled(measure) + (f" {row.class_name}" if row.class_name else "")
    between = f"{measured(row.low, measure)} to {measured(row.high, measure)}"
    return (
        title,
        measured(row.first, measure),
        measured(row.second, measure),
        measured(row.difference, measure),
        "-" if math.isnan(row.low) else between,
        f"{row.better[0]} : {row.better[1]}",
        *map(p_value, (row.wilcoxon, row.permutation, row.holm)),
        str(row.cases),
    )


# -- pictures and words ---------------------------------------------------------------------------


def _pictures(scores: Scores, pictures: Sequence[Picture]) -> Html:
    """Return the best and the worst cases, with the key of the colours."""
    if not pictures:
        return Html("")
    headline = HEADLINE[scores.kind]
    values = {case.name: case.scores[headline] for case in scores.cases}
    key = "".join(
        f'<span class="key" style="background: {c.colour}"></span>{html(c.name)}' for c in CLASSES
    )
    drawn = []
    for picture in pictures:
        where = f", {picture.caption}" if picture.caption else ""
        text = f"{picture.case}: {headline} {number(values.get(picture.case))}{where}"
        drawn.append(image(picture.png, text))
    best = len(extremes(scores)[0])
    parts = [Html("<h3>The best</h3>"), *drawn[:best]]
    if drawn[best:]:
        parts += [Html("<h3>The worst, the very worst last</h3>"), *drawn[best:]]
    lead = Html(f"<p>The slice with most errors of each.{key}</p>")
    return section("Best and worst cases", lead, *parts)


def _methods(scores: Scores) -> list[Html]:
    how, space = scores.settings, scores.space
    definitions = [
        Html(f"<b>{html(space.titled(m))}</b>: {html(m.help)}.") for m in scores.measures
    ]
    notes = []
    if scores.kind == "classes":
        if how.surfaces:
            unit = "pixels" if space.unit == "pixel" else space.unit
            notes.append(
                f"Surfaces have the definitions of Nikolov et al. (2018) and their package "
                f"surface-distance: elements at the corners of voxels, weighted with their areas; "
                f"the tolerance of the surface Dice is {how.tolerance:g} {unit}."
            )
        notes.append(
            "A class that neither prediction nor truth has does not count in a case. Where only "
            "one has it, Dice, IoU and surface Dice are 0, and distances infinite: those are left "
            "out of means and intervals, and said to be missing."
        )
        notes.append(
            "The value of a case is the mean over its classes. The mean of all is the mean over "
            "the classes, each a mean over the cases that have it; where a class is missing in "
            "some cases, this is not the mean of the values of the cases."
        )
    else:
        notes.append(
            f"An object is found by one of an IoU above {how.iou:g}, but for AP. Without any "
            "object, predicted or true, a case has AP, F1, PQ and AJI 1. Splits and merges count "
            "where two or more objects overlap one with an IoU above 0.1 (Caicedo et al. 2019); "
            "panoptic quality is that of Kirillov et al. (2019)."
        )
    notes.append(
        f"Intervals are percentiles of means over {how.resamples} draws of the cases with "
        f"replacement (bootstrap, seed {how.seed}); with few cases they are too narrow."
    )
    return [bullets(definitions), bullets(notes)]


def _low(value: float) -> float:
    return -1.0 if math.isnan(value) else value
