"""Compare a prediction with the truth: two arrays, two label volumes, two folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from .. import io
from ..errors import EvaluationError, NapariMonaiError
from ..events import ClassDone
from ..grid import Grid, millimetres
from ..labels.overlap import THRESHOLDS, Counts, class_counts, match, overlaps
from ..settings import EvaluationSettings
from ..volume import LabelClass, LabelKind, LabelVolume, Volume
from .classes import class_measure_steps
from .measures import Space
from .objects import scores_of_overlaps
from .pairs import match_pairs
from .report import Case, Scores, instance_case

Comparable = Volume | npt.NDArray[Any]


def evaluate(
    prediction: Comparable,
    truth: Comparable,
    *,
    kind: LabelKind | None = None,
    settings: EvaluationSettings = EvaluationSettings(),
) -> Scores:
    """Score the prediction of one image against the truth.

    Parameters
    ----------
    prediction, truth
        Label volumes on one grid, or label arrays of one shape. Volumes whose axes are only
        permuted or reversed against each other are brought together; with a time axis, each
        time point is a case.
    kind
        ``"instances"``: average precision, F1, panoptic quality, AJI, splits and merges of the
        objects. ``"classes"``: Dice, IoU, sensitivity, precision, specificity, difference in
        volume, and distances between surfaces of each class (`measures.CLASS_MEASURES`). When
        left out, what the volumes say, or else what `guess_kind` sees in the truth.
    settings
        What else to measure. Lengths are in mm, in µm for microscopy, and in pixels where no
        size is known: of arrays always.

    Raises
    ------
    EvaluationError
        If the two are not on the same grid or hold no labels.
    """
    if kind not in (None, *get_args(LabelKind)):
        raise EvaluationError(f"No kind {kind!r} of labels: give 'instances' or 'classes'.")
    kind = kind or kind_of([(prediction, truth)])
    return Scores(kind, cases_of(prediction, truth, kind, settings), settings=settings)


def evaluate_folder(
    prediction: str | PathLike[str],
    truth: str | PathLike[str],
    *,
    kind: LabelKind | None = None,
    settings: EvaluationSettings = EvaluationSettings(),
) -> Scores:
    """Score the files of a folder against those of the same name in another.

    Names are compared without their extensions. Files without a partner are left out and named
    in the scores. Two single files may be given as well.

    Raises
    ------
    EvaluationError
        If no file has a partner, or two do not fit each other.
    """
    matched = match_pairs(prediction, truth)
    kind = kind or kind_of_pairs(matched.pairs)
    cases = tuple(score_pairs(matched.pairs, kind=kind, settings=settings))
    alone = (*matched.first_alone, *matched.second_alone)
    return Scores(kind, cases, tuple(str(path) for path in alone), settings)


def score_pairs(
    pairs: Iterable[tuple[Path, Path]],
    *,
    kind: LabelKind,
    settings: EvaluationSettings = EvaluationSettings(),
) -> Iterator[Case]:
    """Yield the case or cases of each pair of files (prediction, truth) as they are read."""
    for prediction, truth in pairs:
        steps = pair_steps(prediction, truth, kind=kind, settings=settings)
        yield from (step for step in steps if isinstance(step, Case))


def pair_steps(
    prediction: Path, truth: Path, *, kind: LabelKind, settings: EvaluationSettings
) -> Iterator[Case | ClassDone]:
    """Read two files and do as `case_steps` does."""
    volumes = io.read(prediction, labels=True), io.read(truth, labels=True)
    try:
        yield from case_steps(*volumes, kind, settings, name=io.stem_of(truth))
    except EvaluationError as error:
        raise EvaluationError(f"{prediction} against {truth}: {error}") from None


# -- what the numbers are -------------------------------------------------------------------------


def kind_of_pairs(pairs: Sequence[tuple[Path, Path]], *, limit: int = 10) -> LabelKind:
    """Return what the labels of these files are, from at most ``limit`` that can be read."""
    return kind_of(_readable(pairs[:limit]))


def _readable(pairs: Iterable[tuple[Path, Path]]) -> Iterator[tuple[Volume, Volume]]:
    """Yield the label volumes of the pairs that can be read."""
    for prediction, truth in pairs:
        with suppress(NapariMonaiError, OSError):
            yield io.read(prediction, labels=True), io.read(truth, labels=True)


def guess_kind(truths: Iterable[Comparable]) -> LabelKind:
    """Guess whether the numbers of label images are classes or instances.

    They are classes on a patient's grid (an organ is one piece too), where they fall into many
    pieces (more than 1.5 a number and image), and where there is only one number overall. Else
    they are instances: each number is one piece, which another image numbers anew.

    Raises
    ------
    EvaluationError
        If an array is none of labels, with one to three axes.
    """
    from skimage.measure import label

    numbers: set[int] = set()
    ids = pieces = 0
    for truth in truths:
        if isinstance(truth, Volume) and truth.grid.anatomical:
            return "classes"
        for array in time_points(truth):
            if array.dtype.kind not in "iub" or not 1 <= array.ndim <= 3:
                raise EvaluationError(
                    f"{array.dtype} of shape {array.shape} is no label image: give whole numbers "
                    "on one to three axes."
                )
            found = np.unique(array[array > 0])
            numbers.update(found.tolist())
            ids += len(found)
            pieces += int(label(array, background=0).max(initial=0))  # type: ignore[no-untyped-call]
    return "classes" if len(numbers) <= 1 or pieces > 1.5 * ids else "instances"


def kind_of(pairs: Iterable[tuple[Comparable, Comparable]]) -> LabelKind:
    """Return what the volumes say that their numbers are, or else what is guessed."""
    truths: list[Comparable] = []
    for pair in pairs:
        for labels in pair:
            said = _said(labels)
            if said is not None:
                return said
        truths.append(pair[1])
    return guess_kind(truths)


def _said(labels: Comparable) -> LabelKind | None:
    """Return the kind where a volume is explicit; plain "classes" is what nobody has set."""
    if isinstance(labels, LabelVolume) and (labels.kind == "instances" or labels.classes):
        return labels.kind
    return None


# -- one image ------------------------------------------------------------------------------------


def cases_of(
    prediction: Comparable,
    truth: Comparable,
    kind: LabelKind,
    settings: EvaluationSettings = EvaluationSettings(),
    *,
    name: str | None = None,
) -> tuple[Case, ...]:
    """Return the case of an image, or one a time point."""
    steps = case_steps(prediction, truth, kind, settings, name=name)
    return tuple(step for step in steps if isinstance(step, Case))


def case_steps(
    prediction: Comparable,
    truth: Comparable,
    kind: LabelKind,
    settings: EvaluationSettings = EvaluationSettings(),
    *,
    name: str | None = None,
) -> Iterator[Case | ClassDone]:
    """Yield the case of an image, or one a time point, and before it each class that is measured.

    Raises EvaluationError as `evaluate` does.
    """
    if isinstance(prediction, Volume) and isinstance(truth, Volume):
        prediction, truth = on_one_grid(prediction, truth)
    space = _space(prediction, truth)
    name = name or (truth.name if isinstance(truth, Volume) else "image")
    classes = classes_of(truth) or classes_of(prediction)
    pairs = paired_times(prediction, truth)
    for index, (p, t) in enumerate(pairs):
        title = name if len(pairs) == 1 else f"{name} t={index}"
        yield from _case(title, p, t, kind, classes, space, settings)


def _case(
    name: str,
    prediction: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    kind: LabelKind,
    classes: Sequence[LabelClass],
    space: Space,
    settings: EvaluationSettings,
) -> Iterator[Case | ClassDone]:
    if kind == "instances":
        shared = overlaps(prediction, truth)
        iou = shared.iou
        counts_at = [match(iou, t) for t in THRESHOLDS]
        yield instance_case(name, counts_at, scores_of_overlaps(shared, found_at=settings.iou))
        return
    names = {c.number: c.name for c in classes}
    counts = class_counts(prediction, truth)
    for number in names:
        counts.setdefault(number, Counts(0, 0, 0))
    beside: dict[int, dict[str, float]] = {}
    steps = class_measure_steps(prediction, truth, counts, space=space, settings=settings)
    for number, values in steps:
        beside[number] = values
        yield ClassDone(len(beside), len(counts))
    called = titles(names, sorted(counts))
    yield Case(
        name,
        kind,
        {title: counts[n] for n, title in called.items()},
        {title: beside[n] for n, title in called.items()},
        space,
        {title: n for n, title in called.items()},
    )


def titles(names: Mapping[int, str], numbers: Sequence[int]) -> dict[int, str]:
    """Return what to call the classes of these numbers, no two alike and none empty."""
    found = {n: names.get(n, "").strip() or f"class {n}" for n in numbers}
    often = Counter(found.values())
    return {n: f"{name} ({n})" if often[name] > 1 else name for n, name in found.items()}


def _space(prediction: Comparable, truth: Comparable) -> Space:
    """Return the space of the truth, or that of the prediction where only that is known."""
    known = [x.grid for x in (truth, prediction) if isinstance(x, Volume)]
    sized = [grid for grid in known if grid.unit != "pixel"]
    for grid in sized or known:
        return Space.of(grid)
    return Space.of_array(np.asarray(truth).shape)


def classes_of(labels: Comparable) -> Sequence[LabelClass]:
    """Return the classes that labels name."""
    return labels.classes if isinstance(labels, LabelVolume) else ()


def time_points(labels: Comparable) -> Iterator[npt.NDArray[Any]]:
    """Yield the label array of each time point."""
    if not isinstance(labels, Volume):
        yield np.asarray(labels)
        return
    if "c" in labels.leading:
        raise EvaluationError(f"{labels.name} has {labels.channels} channels; labels have none.")
    for index in range(labels.times):
        yield labels.at_time(index).numpy()


def paired_times(
    prediction: Comparable, truth: Comparable
) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Return both label arrays of each time point, or raise EvaluationError where one has more."""
    predicted, true = list(time_points(prediction)), list(time_points(truth))
    if len(predicted) != len(true):
        raise EvaluationError(
            f"The prediction has {len(predicted)} time points and the truth {len(true)}: "
            "compare labels of the same image."
        )
    return list(zip(predicted, true, strict=True))


def on_one_grid(prediction: Volume, truth: Volume) -> tuple[Volume, Volume]:
    """Return both in one order of axes, or raise EvaluationError where the voxels differ."""
    a, b = prediction.grid, truth.grid
    if a.shape == b.shape and (a.is_close(b) or "pixel" in (a.unit, b.unit)):
        return prediction, truth
    prediction, truth = _oriented(prediction), _oriented(truth)
    if not _fits(prediction.grid, truth.grid):
        raise EvaluationError(
            f"The prediction is on another grid ({_described(a)}) than the truth "
            f"({_described(b)}): segment the image that the truth belongs to."
        )
    return prediction, truth


def _fits(a: Grid, b: Grid) -> bool:
    if "pixel" in (a.unit, b.unit):
        return a.shape == b.shape
    # A thousandth of a voxel is lost in single-precision headers.
    return _in_mm(a).is_close(_in_mm(b), tolerance=0.01)


def _in_mm(grid: Grid) -> Grid:
    affine = grid.affine.copy()
    affine[:3] *= millimetres(grid.unit)
    return Grid(grid.shape, affine, "mm", grid.anatomical)


def _oriented(volume: Volume) -> Volume:
    """Return the volume with its axes in the display order; no voxel is resampled."""
    how = volume.grid.reorientation_to()
    data = how.apply(volume.numpy())
    return replace(volume, data=data, grid=volume.grid.reoriented(how))


def _described(grid: Grid) -> str:
    shape = " x ".join(map(str, grid.shape))
    spacing = " x ".join(f"{s:.4g}" for s in grid.spacing)
    return f"{shape} voxels of {spacing} {grid.unit} at {(np.round(grid.origin, 2) + 0.0).tolist()}"
