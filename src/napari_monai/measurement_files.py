"""Measurements of files and folders of labels, and the tables that are written of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import io
from .errors import NapariMonaiError, SettingsError, VolumeError
from .evaluation.compare import kind_of
from .events import Busy, Event, FileDone, FileFailed, ImageMeasured, Started
from .io.files import replacing
from .labels.columns import Columns, csv_text, pyarrow_modules, stacked, write_parquet
from .labels.settings_measure import MeasureSettings
from .measurement import Measurements, measure_steps
from .volume import LabelKind


@dataclass(frozen=True)
class Task:
    """A file of labels, what its rows are called, and the image that belongs to it."""

    name: str
    labels: Path
    image: Path | None = None


@dataclass(frozen=True)
class FileMeasured(Event):
    """A file of labels is measured."""

    task: Task
    measurements: Measurements


def tasks_of(paths: Sequence[Path], images: Path | None = None) -> list[Task]:
    """Return what there is to measure in files and folders of labels.

    Parameters
    ----------
    paths
        Files of labels, or folders of them.
    images
        The image that a single file belongs to, or a folder of images with the same names.

    Raises
    ------
    SettingsError
        If there are no labels, or no images.
    """
    files = [file for path in paths for file in _files(path)]
    if images is None:
        return [Task(io.stem_of(f), f) for f in files]
    if not images.exists():
        raise SettingsError(f"{images} does not exist.")
    if images.is_file() or io.is_image_folder(images):
        if len(files) != 1:
            raise SettingsError(
                f"{images} is one image for {len(files)} files of labels: give a folder."
            )
        return [Task(io.stem_of(files[0]), files[0], images)]
    by_name = {io.stem_of(path): path for path in io.images_in(images)}
    # One that is missing fails in its turn, as a file that cannot be read does.
    named = ((io.stem_of(f), f) for f in files)
    return [Task(name, f, by_name.get(name, images / name)) for name, f in named]


def _files(path: Path) -> list[Path]:
    single = not path.is_dir() or io.is_image_folder(path)
    inside = [path] if single else list(io.images_in(path))
    if not inside:
        raise SettingsError(f"{path} holds no labels.")
    return inside


def kind_of_files(files: Sequence[Path]) -> LabelKind:
    """Return what the labels of all files are, from the first ten of them."""
    read = []
    for path in files[:10]:
        # What cannot be read is said in its turn.
        with contextlib.suppress(NapariMonaiError, OSError):
            labels = io.read(path, labels=True)
            read.append((labels, labels))
    return kind_of(read)


def measure_files(
    tasks: Sequence[Task],
    *,
    kind: LabelKind | None = None,
    settings: MeasureSettings = MeasureSettings(),
) -> Iterator[Event]:
    """Measure files of labels one by one, past those that fail.

    Yields `FileMeasured` or `FileFailed`, and `FileDone`, for each. The ``kind`` is that of all
    files, see `kind_of_files`, when left out.
    """
    yield Started(len(tasks), "images")
    kind = kind or kind_of_files([task.labels for task in tasks])
    for done, task in enumerate(tasks, start=1):
        try:
            yield from _measured(task, kind, settings)
        except (NapariMonaiError, OSError) as error:
            yield FileFailed(task.labels, error)
        yield FileDone(done, len(tasks))


def _measured(task: Task, kind: LabelKind, settings: MeasureSettings) -> Iterator[Event]:
    if task.image is not None and not task.image.exists():
        raise VolumeError(f"no image named {task.image.name} in {task.image.parent}.")
    image = None if task.image is None else io.read(task.image)
    labels = io.read(task.labels, labels=True)
    for event in measure_steps(labels, image, kind=kind, settings=settings):
        # What it says of its own stages would be taken for files.
        if isinstance(event, ImageMeasured):
            yield FileMeasured(task, event.measurements)
        else:
            yield Busy()


# -- what is written ------------------------------------------------------------------------------


def in_one(done: Sequence[tuple[str, Measurements]]) -> tuple[Columns, Columns]:
    """Return the objects, and the classes, of several images in one table each."""
    objects = stacked([(name, one.objects) for name, one in done])
    return objects, stacked([(name, one.classes) for name, one in done])


def check_table(path: Path) -> None:
    """Raise before the work what would fail after it: FormatError where pyarrow is missing."""
    if path.suffix.lower() == ".parquet":
        pyarrow_modules()


def write_table(path: Path, table: Columns, *, parquet: bool | None = None) -> None:
    """Write a table as CSV, or as Parquet, with units in its header.

    An older file stays until the new one is complete.

    Parameters
    ----------
    path
        The file; its folder is made where it is not there.
    table
        The columns.
    parquet
        Whether it is Parquet; when left out, if the file is called so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        if path.suffix.lower() == ".parquet" if parquet is None else parquet:
            write_parquet(beside, table)
        else:
            beside.write_text(csv_text(table), encoding="utf-8")
