"""Whole folders: the cases with the files that they come from, pictures and differences of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from .. import io
from ..errors import EvaluationError, NapariMonaiError
from ..events import ClassDone, Event, FileDone, Started
from ..runfile import NAME
from ..settings import EvaluationSettings
from ..volume import LabelKind, LabelVolume, Volume
from .compare import kind_of_pairs, on_one_grid, pair_steps
from .difference import difference
from .html import SHOWN, extremes
from .objects import FOUND
from .pairs import match_pairs
from .pictures import Picture, case_picture
from .report import Case, Scores

Pair = tuple[Path, Path]


@dataclass(frozen=True, eq=False)
class Opened:
    """A case with its voxels: labels of both sides, the image if there is one, a time point.

    ``unread`` says why there is no image where one was given.
    """

    prediction: Volume
    truth: Volume
    image: Volume | None = None
    time: int = 0
    unread: str = ""

    def difference(
        self, kind: LabelKind, *, label: int | None = None, iou: float = FOUND
    ) -> LabelVolume:
        """Return what is right and wrong, of all time points; see `evaluation.difference`."""
        return difference(self.prediction, self.truth, kind=kind, label=label, iou=iou)

    def on_one_grid(self) -> Opened:
        """Return the case with the prediction in the order of axes of the truth."""
        prediction, truth = on_one_grid(self.prediction, self.truth)
        return replace(self, prediction=prediction, truth=truth)


@dataclass(frozen=True)
class Source:
    """The files that a case comes from, and which time point of them it is."""

    pair: Pair
    time: int = 0
    image: Path | None = None

    def open(self) -> Opened:
        """Read the files. An image that cannot be read is only missing beside its labels."""
        prediction, truth = (io.read(path, labels=True) for path in self.pair)
        image, unread = None, ""
        if self.image is not None:
            try:
                image = io.read(self.image)
            except (NapariMonaiError, OSError) as error:
                unread = " ".join(str(error).split())
        return Opened(prediction, truth, image, self.time, unread)


@dataclass(frozen=True)
class PairScored(Event):
    """A pair of files is scored: its cases, and where each comes from."""

    found: tuple[tuple[Case, Source], ...]


@dataclass(frozen=True)
class PairFailed(Event):
    """A pair of files could not be read, or the two do not fit: why, in a line."""

    pair: Pair
    message: str


def score_steps(
    pairs: Sequence[Pair],
    *,
    kind: LabelKind,
    settings: EvaluationSettings,
    images: Mapping[Path, Path] | None = None,
) -> Iterator[Event]:
    """Score pairs of files (prediction, truth) one after the other.

    Yields `PairScored` or `PairFailed` of each, and between them how far it is. ``images`` are
    those of the files of truth.
    """
    yield Started(len(pairs), "images")
    for done, pair in enumerate(pairs):
        cases: list[Case] = []
        try:
            for step in pair_steps(*pair, kind=kind, settings=settings):
                if isinstance(step, ClassDone):
                    yield FileDone(done, len(pairs))
                else:
                    cases.append(step)
        except (NapariMonaiError, OSError) as error:
            yield PairFailed(pair, " ".join(str(error).split()))
        else:
            image = (images or {}).get(pair[1])
            found = ((case, Source(pair, at, image)) for at, case in enumerate(cases))
            yield PairScored(tuple(found))
        yield FileDone(done + 1, len(pairs))


def write_difference(pair: Pair, folder: Path, kind: LabelKind, *, iou: float = FOUND) -> Path:
    """Write the difference of two files as ``<name>_difference`` and return its path."""
    found = Source(pair).open().difference(kind, iou=iou)
    ending = ".nii.gz" if found.grid.anatomical else ".tif"
    path = folder / f"{io.stem_of(pair[1])}_difference{ending}"
    folder.mkdir(parents=True, exist_ok=True)
    io.write(path, found)
    return path


def images_of(truth: Path, images: Path) -> dict[Path, Path]:
    """Return the image of each file of truth, matched by their names.

    A file of truth may have its image in a folder of many.

    Raises
    ------
    EvaluationError
        If no name fits.
    """
    if truth.is_file() and images.is_dir() and not io.is_image_folder(images):
        named = [path for path in io.images_in(images) if io.stem_of(path) == io.stem_of(truth)]
        if not named:
            raise EvaluationError(f"{images} holds no image named {io.stem_of(truth)}.")
        images = named[0]
    return {t: i for i, t in match_pairs(images, truth).pairs}


def kind_of_files(prediction: Path, pairs: Sequence[Pair]) -> LabelKind:
    """Return what labels are: as the run beside the prediction has written, or the files say."""
    folder = prediction if prediction.is_dir() else prediction.parent
    try:
        kind = json.loads((folder / NAME).read_text(encoding="utf-8")).get("kind")
    except (OSError, ValueError, AttributeError):
        kind = None
    return kind if kind in ("instances", "classes") else kind_of_pairs(pairs)


def model_names(first: Path, second: Path | None = None) -> tuple[str, str]:
    """Return what to call two models: their folders, with the one above where they are alike."""
    one, other = first.resolve(), (second or first).resolve()
    if second is None or one.name != other.name:
        return one.name, other.name
    return f"{one.parent.name}/{one.name}", f"{other.parent.name}/{other.name}"


def pictures(
    scores: Scores, openers: Sequence[Callable[[], Opened]], *, shown: int = SHOWN
) -> Iterator[Picture]:
    """Yield the pictures of the best and of the worst cases, best first.

    ``openers`` give the voxels of each case. An image that does not fit its labels is left out,
    and the caption says so.
    """
    for place in (index for end in extremes(scores, shown) for index in end):
        opened = openers[place]()
        found = opened.difference(scores.kind, iou=scores.settings.iou)
        draw = partial(case_picture, found, case=scores.cases[place].name, time=opened.time)
        why = opened.unread
        try:
            picture = draw(image=opened.image)
        except EvaluationError as error:
            picture, why = draw(), str(error)
        caption = "; ".join(part for part in (picture.caption, why) if part)
        yield replace(picture, caption=caption)
