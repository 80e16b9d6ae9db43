"""A training put into words and files, so that another process can do it.

Images and labels that are no files are written into the folder of the run, whole or not at all,
with their grid and the names of their classes; the rest goes into its ``run.json``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, ModelNotFoundError, TrainingError, WriteError
from ..events import Busy, Event, Said
from ..io.files import one_line, replacing
from ..io.numpy_file import write_archive
from ..models import store
from ..runfile import write_run
from ..settings import TrainingSettings
from ..volume import Volume

if TYPE_CHECKING:
    from ..models import Model

Source = Path | str | Volume
Pair = tuple[Source, Source]

DATA = "data"
# From so many bytes on voxels are not packed, so that they can be read where they are needed.
_UNPACKED = 2**26


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training as `napari_monai.fine_tune` takes it, for a process of its own.

    Parameters
    ----------
    pairs
        Images and their labels, as files or volumes.
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

    pairs: Sequence[Pair]
    model: Model | str | Path | None = None
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    output: Path | None = None
    validation: Sequence[Pair] = ()
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
    sources = [s for pair in (*job.pairs, *job.validation) for s in pair] + [*job.unlabelled]
    volumes = [s for s in sources if isinstance(s, Volume)]
    if volumes:
        size = sum(v.nbytes for v in volumes) / 2**20
        yield Said(f"Handing {len(volumes)} layers over to the training, {size:.0f} MiB")
    paths: list[Path] = []
    for number, source in enumerate(sources):
        try:
            paths.append(_file_of(source, number, folder))
        except OSError as error:
            if isinstance(error, WriteError):
                raise
            raise WriteError(f"{folder} cannot be written ({one_line(error)}).") from None
        yield Busy()
    write_run(folder, run_content(folder, job, *_sorted_out(paths, job)))


def run_content(
    folder: Path,
    job: Job,
    pairs: Sequence[tuple[Path, Path]],
    validation: Sequence[tuple[Path, Path]],
    unlabelled: Sequence[Path],
) -> dict[str, Any]:
    """Return what ``run.json`` says of a training, its files in the order of the pairs.

    What lies in the folder of the run is named from there, so that it can be moved.
    """

    def named(files: Sequence[Path]) -> list[str]:
        return [path_in(folder, path) for path in files]

    return {
        "command": "train",
        "images": named([image for image, _ in pairs]),
        "labels": named([labels for _, labels in pairs]),
        "val_images": named([image for image, _ in validation]),
        "val_labels": named([labels for _, labels in validation]),
        "unlabelled": named(unlabelled),
        "from": _model_words(job.model),
        "name": job.name,
        "card": dict(job.card) if job.card else None,
        "settings": job.settings.to_json(),
    }


def path_in(folder: Path, path: Path) -> str:
    """Return the path of a file as ``run.json`` of a folder has it."""
    whole, home = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    return whole.relative_to(home).as_posix() if whole.is_relative_to(home) else str(whole)


def _sorted_out(
    paths: Sequence[Path], job: Job
) -> tuple[list[tuple[Path, Path]], list[tuple[Path, Path]], list[Path]]:
    """Return the files of the pairs, of those for validation, and those without labels."""
    n, m = len(job.pairs), len(job.pairs) + len(job.validation)
    both = list(zip(paths[0 : 2 * m : 2], paths[1 : 2 * m : 2], strict=True))
    return both[:n], both[n:], list(paths[2 * m :])


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
        write_archive(beside, source, level=1 if source.nbytes < _UNPACKED else 0)
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
