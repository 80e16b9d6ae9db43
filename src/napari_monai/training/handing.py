"""A training put into words and files, so that another process can do it.

Images and labels that are no files are written into the folder of the run, whole or not at all,
with their grid and the names of their classes; the rest goes into its ``run.json``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import (
    ModelError,
    ModelNotFoundError,
    NapariMonaiError,
    SettingsError,
    TrainingError,
    WriteError,
)
from ..events import Busy, Event, Said
from ..io.files import LAZY_FROM, one_line, replacing
from ..io.numpy_file import write_archive
from ..models import store
from ..runfile import write_run
from ..settings import TrainingSettings
from ..volume import Volume
from .shares import Pair, Share, Source

if TYPE_CHECKING:
    from ..models import Model

DATA = "data"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training as `napari_monai.fine_tune` takes it, for a process of its own.

    Parameters
    ----------
    pairs
        Images and their labels, as files or volumes, and what of them counts.
    model
        The model to start from, its name or its folder; ``None`` to train from scratch.
    settings
        How to train.
    output
        Folder of the run; ``None``: a new one in the user's folder of runs.
    validation
        Pairs to choose the best state on.
    unlabelled
        Images without labels, or folders of them.
    name
        Name of the new model.
    card
        Texts of its card.
    """

    pairs: Sequence[Pair | Share]
    model: Model | str | Path | None = None
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    output: Path | None = None
    validation: Sequence[Pair | Share] = ()
    unlabelled: Sequence[Source] = ()
    name: str | None = None
    card: Mapping[str, Any] | None = None


def hand_over(job: Job, folder: Path) -> Iterator[Event]:
    """Write all that a process needs to do a job in a folder.

    Yields a line where there is something to write, and Busy between two files.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    shares = [Share.of(pair) for pair in (*job.pairs, *job.validation)]
    sources = [s for share in shares for s in share.pair] + [*job.unlabelled]
    volumes = [s for s in sources if isinstance(s, Volume)]
    if volumes:
        size = sum(v.nbytes for v in volumes) / 2**20
        yield Said(f"Handing {len(volumes)} layers over to the training, {size:.0f} MiB")
    paths: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, source in enumerate(sources):
            paths.append(_file_of(source, number, folder))
            yield Busy()
        files = iter(paths)
        handed = [replace(share, image=next(files), labels=next(files)) for share in shares]
        n = len(job.pairs)
        write_run(folder, run_content(folder, job, handed[:n], handed[n:], list(files)))
    except OSError as error:
        if isinstance(error, NapariMonaiError):
            raise
        raise WriteError(
            f"{folder} cannot be written ({one_line(error)}): choose another folder."
        ) from None


def run_content(
    folder: Path,
    job: Job,
    pairs: Sequence[Share],
    validation: Sequence[Share],
    unlabelled: Sequence[Path],
) -> dict[str, Any]:
    """Return what ``run.json`` says of a job whose images and labels are these files."""
    return {
        "command": "train",
        "images": [path_in(folder, share.image) for share in pairs],
        "labels": [path_in(folder, share.labels) for share in pairs],
        "val_images": [path_in(folder, share.image) for share in validation],
        "val_labels": [path_in(folder, share.labels) for share in validation],
        "shares": [_part(share) for share in pairs],
        "val_shares": [_part(share) for share in validation],
        "unlabelled": [path_in(folder, path) for path in unlabelled],
        "from": _model_words(job.model),
        "name": job.name,
        "card": dict(job.card) if job.card else None,
        "settings": job.settings.to_json(),
    }


def with_parts(pairs: Sequence[Pair], parts: Sequence[Mapping[str, Any]]) -> list[Pair | Share]:
    """Return pairs of files with what ``run.json`` says counts of them.

    Raises SettingsError where that is nothing that counts, or of other pairs.
    """
    try:
        if len(parts) not in (0, len(pairs)):
            raise ValueError(f"{len(parts)} parts of {len(pairs)} pairs")
        told = [{**part} for part in parts] or [{}] * len(pairs)
        for part in told:
            if part.get("corrected") is not None:
                part["corrected"] = frozenset(map(int, part["corrected"]))
        return [
            Share(*pair, **part) if part else pair for pair, part in zip(pairs, told, strict=True)
        ]
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"What counts of the pairs cannot be understood ({one_line(error)}): take the shares "
            "out of the run file."
        ) from None


def _part(share: Share) -> dict[str, Any]:
    """Return what of a pair counts, where that is not all."""
    told: dict[str, Any] = {}
    if share.axis is not None:
        told.update(axis=share.axis, start=share.start, stop=share.stop, outside=share.outside)
    if share.corrected is not None:
        told["corrected"] = sorted(share.corrected)
    return told


def path_in(folder: Path, path: Source) -> str:
    """Return the path of a file as ``run.json`` has it: what lies in its folder, from there."""
    assert not isinstance(path, Volume)
    whole, home = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    return whole.relative_to(home).as_posix() if whole.is_relative_to(home) else str(whole)


def _file_of(source: Source, number: int, folder: Path) -> Path:
    """Return the file of an image or labels; a volume is written into the folder of the run."""
    if not isinstance(source, Volume):
        path = Path(os.path.abspath(Path(source).expanduser()))
        if not path.exists():
            raise TrainingError(f"{path} does not exist.")
        return path
    word = re.sub(r"[^\w .-]+", "_", source.name).strip(" ._")[:80] or "image"
    path = folder / DATA / f"{number:04d}" / f"{word}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        write_archive(beside, source, level=1 if source.nbytes < LAZY_FROM else 0)
    return path


def _model_words(model: Model | str | Path | None) -> str | None:
    """Return by what words another process finds a model."""
    if model is None or isinstance(model, str):
        return model
    if isinstance(model, Path):
        return str(model.absolute())
    try:
        if store.find(model.name).folder == model.folder:
            return model.name
    except (ModelNotFoundError, ModelError):
        pass
    return str(model.folder.absolute())
