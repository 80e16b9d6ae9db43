"""Plots of scores as PNG, for the report."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..labels.overlap import THRESHOLDS
from .measures import HEADLINE, MEASURES, Measure
from .report import Scores, threshold_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by the colour-blind as well.
FIRST, SECOND = "#0072b2", "#d55e00"
_DPI = 130
_WIDTH = 6.4
# Classes a plot names; with more only the lowest are.
_MOST = 40
# Letters of a name.
_LONG = 48


def figure(height: float) -> tuple[Figure, Axes]:
    """Return a figure with one plot, without any window or global state."""
    from matplotlib.figure import Figure as New

    made = New(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
    axes = made.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return made, axes


def png(made: Figure) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names in a script that the font lacks become boxes; the tables beside have them.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        made.savefig(buffer, format="png")
    return buffer.getvalue()


def literal(name: str) -> str:
    """Return a name as text that matplotlib does not take for a formula, cut where it is long."""
    short = name if len(name) <= _LONG else f"{name[: _LONG - 1]}…"
    return short.replace("$", r"\$")


def plots(models: Sequence[tuple[str, Scores]]) -> list[tuple[str, bytes]]:
    """Return the plots of one model or two, each a caption and a PNG file."""
    scores = models[0][1]
    if not scores.cases:
        return []
    if scores.kind == "instances":
        made = [_thresholds(models), _cases(models)]
    else:
        wanted = ("Dice", "HD95", "Surface Dice")
        made = [_classes(models, m) for m in scores.measures if m.name in wanted]
    if len(models) == 2:
        made.append(_against(models))
    return made


def _thresholds(models: Sequence[tuple[str, Scores]]) -> tuple[str, bytes]:
    """Plot average precision over the IoU threshold, with the intervals as bands."""
    made, axes = figure(3.6)
    names = [threshold_name(t) for t in THRESHOLDS]
    for (model, scores), colour in zip(models, (FIRST, SECOND), strict=False):
        axes.plot(THRESHOLDS, [scores.mean[n] for n in names], "o-", color=colour, label=model)
        limits = np.asarray([scores.intervals[n] for n in names])
        axes.fill_between(THRESHOLDS, *limits.T, color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="IoU above", ylabel="average precision", ylim=(0, 1.02))
    _legend(axes, models)
    return "Average precision at each IoU threshold: mean over the images and its interval.", png(
        made
    )


def _cases(models: Sequence[tuple[str, Scores]]) -> tuple[str, bytes]:
    """Plot how the headline is spread over the images."""
    from matplotlib.ticker import MaxNLocator

    measure = MEASURES[HEADLINE[models[0][1].kind]]
    made, axes = figure(3.0)
    bins = np.linspace(0, 1, 21)
    for (model, scores), colour in zip(models, (FIRST, SECOND), strict=False):
        values = [c.scores[measure.name] for c in scores.cases]
        axes.hist(values, bins=bins.tolist(), color=colour, alpha=0.6, label=model)
    axes.set(xlabel=f"{measure.name} of an image", ylabel="images", xlim=(0, 1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes, models)
    return f"How {measure.name} is spread over the images.", png(made)


def _classes(models: Sequence[tuple[str, Scores]], measure: Measure) -> tuple[str, bytes]:
    """Plot values of a measure by class: a point a case, a box over the middle half."""
    scores = models[0][1]
    names = _lowest(scores, measure)
    made, axes = figure(1.1 + 0.26 * len(names) * len(models))
    for index, ((_, one), colour) in enumerate(zip(models, (FIRST, SECOND), strict=False)):
        offset = (index - (len(models) - 1) / 2) * 0.36
        for row, name in enumerate(names):
            values = _finite(one, f"{measure.name} {name}")
            if values:
                _spread(axes, values, row + offset, colour, 0.6 / len(models))
    axes.set_yticks(range(len(names)), [literal(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(scores.space.titled(measure))
    if measure.best == "high":
        axes.set_xlim(-0.02, 1.02)
    _legend(axes, models)
    few = f" The {len(names)} worst of {len(scores.classes)} classes."
    more = few if len(names) < len(scores.classes) else ""
    return f"{measure.name} by class: a point a case, a box over the middle half.{more}", png(made)


def _spread(axes: Axes, values: list[float], at: float, colour: str, width: float) -> None:
    face: dict[str, Any] = {"facecolor": colour, "alpha": 0.25, "edgecolor": colour}
    line = {"color": colour}
    axes.boxplot(
        values,
        positions=[at],
        orientation="horizontal",
        widths=width,
        showfliers=False,
        patch_artist=True,
        boxprops=face,
        medianprops=line,
        whiskerprops=line,
        capprops=line,
        manage_ticks=False,
    )
    # Spread a little so that equal values are seen, the same way each time.
    steps = np.linspace(-width / 4, width / 4, len(values)) if len(values) > 1 else np.zeros(1)
    axes.plot(values, at + steps, ".", color=colour, markersize=4, alpha=0.7)


def _against(models: Sequence[tuple[str, Scores]]) -> tuple[str, bytes]:
    """Plot the headline of each case of one model over that of the other."""
    (first, a), (second, b) = models
    measure = HEADLINE[a.kind]
    other = {case.name: case.scores[measure] for case in b.cases}
    pairs = [(other[c.name], c.scores[measure]) for c in a.cases if c.name in other]
    made, axes = figure(_WIDTH * 0.7)
    low = min((v for pair in pairs for v in pair if math.isfinite(v)), default=0.0)
    start = max(0.0, low - 0.05)
    axes.plot([start, 1], [start, 1], color="0.6", linewidth=1)
    axes.plot(*np.asarray(pairs).T, "o", color=FIRST, alpha=0.7, markersize=5)
    axes.set(xlabel=f"{measure}, {literal(second)}", ylabel=f"{measure}, {literal(first)}")
    axes.set(xlim=(start, 1.01), ylim=(start, 1.01), aspect="equal")
    return f"{measure} of each case: above the line {first} is better.", png(made)


def _lowest(scores: Scores, measure: Measure) -> list[str]:
    """Return the classes in their order, only the worst where there are many."""
    names = [n for n in scores.classes if not math.isnan(scores.mean[f"{measure.name} {n}"])]
    if len(names) <= _MOST:
        return names
    sign = 1 if measure.best == "high" else -1
    return sorted(names, key=lambda n: sign * scores.mean[f"{measure.name} {n}"])[:_MOST]


def _finite(scores: Scores, name: str) -> list[float]:
    values = (case.scores.get(name, math.nan) for case in scores.cases)
    return [v for v in values if math.isfinite(v)]


def _legend(axes: Axes, models: Sequence[tuple[str, Scores]]) -> None:
    if len(models) == 1:
        return
    from matplotlib.patches import Patch

    colours = zip(models, (FIRST, SECOND), strict=True)
    patches = [Patch(color=c, alpha=0.6, label=literal(name)) for (name, _), c in colours]
    axes.legend(
        handles=patches,
        frameon=False,
        fontsize="small",
        ncols=2,
        loc="lower right",
        bbox_to_anchor=(1, 1),
    )
