"""Whole folders: the cases with the files that they come from, pictures and differences of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import io
from ..settings import EvaluationSettings
from ..volume import LabelKind, LabelVolume, Volume
from .compare import score_pairs
from .difference import difference
from .html import SHOWN, extremes
from .pairs import match_pairs
from .pictures import Picture, case_picture
from .report import Case, Scores

Pair = tuple[Path, Path]


@dataclass(frozen=True)
class Source:
    """The files that a case comes from, and which time point of them it is."""

    pair: Pair
    time: int = 0


def scored(
    pairs: Iterable[Pair], *, kind: LabelKind, settings: EvaluationSettings
) -> Iterator[list[tuple[Case, Source]]]:
    """Yield the cases of each pair (prediction, truth) with where they come from."""
    for pair in pairs:
        cases = score_pairs([pair], kind=kind, settings=settings)
        yield [(case, Source(pair, time)) for time, case in enumerate(cases)]


def difference_of(pair: Pair, kind: LabelKind) -> LabelVolume:
    """Return the difference of two files; see `difference`."""
    prediction, truth = pair
    return difference(io.read(prediction, labels=True), io.read(truth, labels=True), kind=kind)


def write_difference(pair: Pair, folder: Path, kind: LabelKind) -> Path:
    """Write the difference of two files as ``<name>_difference`` and return its path."""
    found = difference_of(pair, kind)
    ending = ".nii.gz" if found.grid.anatomical else ".tif"
    path = folder / f"{io.stem_of(pair[1])}_difference{ending}"
    folder.mkdir(parents=True, exist_ok=True)
    io.write(path, found)
    return path


def images_of(truth: Path, images: Path) -> dict[Path, Path]:
    """Return the image of each file of truth, matched by their names.

    Raises
    ------
    EvaluationError
        If no name fits.
    """
    return {t: i for i, t in match_pairs(images, truth).pairs}


def pictures(
    scores: Scores,
    sources: Sequence[Source],
    *,
    images: dict[Path, Path] | None = None,
    shown: int = SHOWN,
) -> Iterator[Picture]:
    """Yield the pictures of the best and of the worst cases, best first."""
    for place in (index for end in extremes(scores, shown) for index in end):
        source = sources[place]
        image = (images or {}).get(source.pair[1])
        found = difference_of(source.pair, scores.kind)
        beside = None if image is None else _on_grid_of(found, io.read(image))
        name = scores.cases[place].name
        yield case_picture(found, case=name, time=source.time, image=beside)


def _on_grid_of(labels: LabelVolume, image: Volume) -> Volume:
    """Return the image in the order of axes of the labels; no voxel is resampled."""
    if image.grid.shape == labels.grid.shape and not labels.grid.anatomical:
        return image
    how, back = image.grid.reorientation_to(), labels.grid.reorientation_to().inverse()
    grid = image.grid.reoriented(how)
    data = back.apply(how.apply(image.numpy()))
    return replace(image, data=data, grid=grid.reoriented(back))
