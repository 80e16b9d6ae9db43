"""Which images of the command line become which files, before any of them is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NapariMonaiError, SettingsError

if TYPE_CHECKING:
    from ..io import SeriesFiles
    from ..volume import Volume


@dataclass(frozen=True)
class Task:
    """An image file, or a DICOM series, and the files that its volumes become.

    ``image`` stands for it in reports; ``input`` is what brings it back on the command line,
    together with those that are joined to it.
    """

    image: Path
    input: Path
    targets: tuple[Path, ...]
    read: Callable[[], Sequence[Volume]]
    joined: tuple[Path, ...] = ()

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All that brings it back on the command line."""
        return (self.input, *self.joined)


def plan(
    inputs: Sequence[Path],
    output: Path,
    extension: str | None,
    *,
    ours: Iterable[str] = (),
    overwrite: bool = False,
) -> tuple[Task, ...]:
    """Return what is to be read and written.

    Files keep their names. The volumes of DICOM are called as their series, with a number where
    that comes again; several files of one series are one series.

    Parameters
    ----------
    extension
        Of the files to write; by default that which suits the image.
    ours
        Names of files that may be replaced, beside all with ``overwrite``.

    Raises
    ------
    SettingsError
        If a file would replace another one.
    """
    from .. import io

    planned: dict[Path, Path] = {}
    tasks, of_dicom = [], []
    for image, source in _found(inputs):
        if isinstance(image, Path):
            target = output / f"{io.stem_of(image)}{extension or ending_of(image)}"
            other = planned.setdefault(target, image)
            if other is not image:
                raise SettingsError(
                    f"{other} and {image} would both be written to {target}: segment them into "
                    "two folders."
                )
            tasks.append(Task(image, source, (target,), partial(_read, image)))
        else:
            of_dicom.append((image, source))
    # Last: files keep their names, series are numbered.
    taken = {target.name for target in planned}
    for found, source in of_dicom:
        names = (n for one in found for n in one.names)
        targets = tuple(output / unused(file_name(n), extension or ".nii.gz", taken) for n in names)
        first, where = found[0].files[0], found[0].where
        # What is in a zip is not kept in memory until its turn comes.
        read = partial(io.read_all, where) if where.is_file() else found[0].volumes
        tasks.append(Task(first, source, targets, read))
    _check(tasks, set(ours), overwrite=overwrite)
    return tuple(tasks)


def plan_joined(
    inputs: Sequence[Path],
    output: Path,
    extension: str | None,
    *,
    ours: Iterable[str] = (),
    overwrite: bool = False,
) -> tuple[Task]:
    """Return the one task whose image has the inputs as channels, in their order; see `plan`.

    It is called as the first of them. Raises SettingsError as `plan` does, and where an input is
    not one image.
    """
    first, *others = (_only(path, output, extension) for path in inputs)
    tasks = [first, *others]
    joined = replace(first, read=partial(_read_joined, tasks), joined=tuple(inputs[1:]))
    _check([joined], set(ours), overwrite=overwrite, images=[t.image for t in tasks])
    return (joined,)


def _only(path: Path, output: Path, extension: str | None) -> Task:
    tasks = plan([path], output, extension, overwrite=True)
    if len(tasks) != 1 or len(tasks[0].targets) != 1:
        found = sum(len(task.targets) for task in tasks)
        raise SettingsError(f"{path} holds {found} images: --join takes one image an input.")
    return tasks[0]


def _read_joined(tasks: Sequence[Task]) -> list[Volume]:
    from ..joining import join_channels

    return [join_channels([volume for task in tasks for volume in task.read()])]


def file_name(text: str) -> str:
    """Return a text as a file name without extension: letters, digits and ``_ . + -``."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("._") or "image"


def unused(name: str, ending: str, taken: set[str]) -> str:
    """Return a file name that is not taken yet, with a number if it must be, and take it."""
    number = 1
    found = f"{name}{ending}"
    while found in taken:
        number += 1
        found = f"{name}_{number}{ending}"
    taken.add(found)
    return found


def ending_of(image: Path) -> str:
    """Return the extension that labels of an image have by default."""
    from .. import io

    patient = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz")
    return ".nii.gz" if io.is_dicom(image) or io.extension_of(image) in patient else ".tif"


def _read(image: Path) -> list[Volume]:
    from .. import io

    return [io.read(image)]


def _found(inputs: Iterable[Path]) -> Iterator[tuple[Path | list[SeriesFiles], Path]]:
    """Yield each image once, with the input it comes from: a file, or series of DICOM.

    A series in a folder comes by itself, those of a zip come together.
    """
    from .. import io

    beside: dict[Path, list[SeriesFiles]] = {}
    seen: set[Path] = set()

    def once(path: Path) -> bool:
        new = path.resolve() not in seen
        seen.add(path.resolve())
        return new

    for path in inputs:
        series: list[SeriesFiles] = []
        if path.is_dir() and not io.is_image_folder(path):
            for image in io.images_in(path, series=False):
                if once(image):
                    yield _zipped(image) or image, image
            series = io.series_in(path, segmentations=False)
        elif path.is_file() and io.is_dicom(path) and not _is_zip(path):
            folder = path.parent
            if folder not in beside:
                beside[folder] = io.series_in(folder, deep=False)
            series = [s for s in beside[folder] if path in s.files]
            if not series and once(path):
                yield path, path  # reading it says why
        elif once(path):
            yield _zipped(path) or path, path
        for one in series:
            if any([once(file) for file in one.files]):  # noqa: C419 (all are to be noted)
                yield [one], path


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _zipped(path: Path) -> list[SeriesFiles]:
    """Return the series in a zip; none of anything else, or if reading it will say why."""
    from .. import io

    try:
        return io.series_in(path, segmentations=False) if _is_zip(path) else []
    except NapariMonaiError:
        return []


def _check(
    tasks: Sequence[Task], ours: set[str], *, overwrite: bool, images: Iterable[Path] = ()
) -> None:
    """Raise SettingsError where an image, or a file of someone else, would be replaced."""
    kept = {image.resolve() for image in (*images, *(t.image for t in tasks))}
    for target in (target for t in tasks for target in t.targets):
        if target.resolve() in kept:
            raise SettingsError(f"{target} is an image to segment: choose another --output.")
        if target.exists() and not overwrite and target.name not in ours:
            raise SettingsError(
                f"{target} exists and no earlier run has written it: choose another --output, or "
                "add --overwrite."
            )
