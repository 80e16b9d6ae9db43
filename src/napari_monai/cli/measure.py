"""``napari-monai measure``: tables of objects and classes, of files and folders of labels."""

from __future__ import annotations

import argparse
import contextlib
import math
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NapariMonaiError, SettingsError, VolumeError
from ..labels.settings_measure import MeasureSettings
from .options import add_settings, settings_from
from .output import bar, complain, say, table

if TYPE_CHECKING:
    from ..labels.columns import Columns
    from ..measurement import Measurements
    from ..volume import LabelKind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Measure objects and classes: size, place, shape, and the intensities of an image in "
        "them. What there is of each class is printed; --csv and --parquet have a line for each "
        "object. Lengths are in mm, in µm for microscopy, in pixels where the size is not known."
    )
    parser.add_argument(
        "labels", type=Path, nargs="+", metavar="LABELS", help="Label files, or folders of them."
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="PATH",
        help="The image that the labels belong to, or a folder of images with the same names.",
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="Write a line for each object to this file."
    )
    parser.add_argument(
        "--parquet", type=Path, metavar="FILE", help="Write the same as Parquet, with pyarrow."
    )
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help="Write a line for each class as CSV."
    )
    parser.add_argument(
        "--kind",
        choices=("auto", "instances", "classes"),
        default="auto",
        help="What the numbers are. auto: as the files say, or else by what they look like. "
        "(default: auto)",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="All columns but --within: surface, Feret diameter, neighbours, and percentiles.",
    )
    add_settings(parser, MeasureSettings, unset="none")


def run(args: argparse.Namespace) -> int:
    """Measure the labels; 1 if any failed."""
    base = MeasureSettings.everything() if args.all else MeasureSettings()
    settings = settings_from(args, MeasureSettings, base.to_json())
    _check_outputs(args)
    tasks = _tasks(args.labels, args.images)
    kind = _kind([labels for _, labels, _ in tasks]) if args.kind == "auto" else args.kind
    done: list[tuple[str, Measurements]] = []
    failed = 0
    with bar(len(tasks), "images", hidden=len(tasks) == 1) as progress:
        for name, labels, image in tasks:
            try:
                done.append((name, _measured(labels, image, kind, settings)))
            except (NapariMonaiError, OSError) as error:
                if args.debug:
                    traceback.print_exc()
                complain(_named(labels, error))
                failed += 1
            progress.update()
    if done:
        _write(args, done)
    if failed:
        complain(f"{failed} of {len(tasks)} images failed.", level="")
    return 1 if failed else 0


def _check_outputs(args: argparse.Namespace) -> None:
    """Raise before the work what would fail after it."""
    if args.parquet:
        from ..labels.columns import pyarrow_modules

        pyarrow_modules()


def _tasks(paths: Sequence[Path], images: Path | None) -> list[tuple[str, Path, Path | None]]:
    """Return the name of each file of labels, the file, and the image that belongs to it."""
    from .. import io

    files = _files(paths)
    if images is None:
        return [(io.stem_of(f), f, None) for f in files]
    if not images.exists():
        raise SettingsError(f"{images} does not exist.")
    if images.is_file() or io.is_image_folder(images):
        if len(files) != 1:
            raise SettingsError(
                f"{images} is one image for {len(files)} files of labels: give a folder."
            )
        return [(io.stem_of(files[0]), files[0], images)]
    by_name = {io.stem_of(path): path for path in io.images_in(images)}
    # One that is missing fails in its turn, as a file that cannot be read does.
    return [(io.stem_of(f), f, by_name.get(io.stem_of(f), images / io.stem_of(f))) for f in files]


def _files(paths: Sequence[Path]) -> list[Path]:
    from .. import io

    found: list[Path] = []
    for path in paths:
        single = not path.is_dir() or io.is_image_folder(path)
        inside = [path] if single else io.images_in(path)
        if not inside:
            raise SettingsError(f"{path} holds no labels.")
        found += inside
    return found


def _kind(files: Sequence[Path]) -> LabelKind:
    """Return what the labels of all files are, from the first ten of them."""
    from .. import io
    from ..evaluation.compare import kind_of

    read = []
    for path in files[:10]:
        # What cannot be read is said in its turn.
        with contextlib.suppress(NapariMonaiError, OSError):
            labels = io.read(path, labels=True)
            read.append((labels, labels))
    return kind_of(read)


def _measured(
    labels: Path, image: Path | None, kind: LabelKind, settings: MeasureSettings
) -> Measurements:
    from .. import io
    from ..measurement import measure

    if image is not None and not image.exists():
        raise VolumeError(f"no image named {image.name} in {image.parent}.")
    beside = None if image is None else io.read(image)
    return measure(io.read(labels, labels=True), beside, kind=kind, settings=settings)


def _named(path: Path, error: BaseException) -> str:
    """Return what is wrong, with the file that it is wrong with."""
    return str(error) if path.name in str(error) else f"{path}: {error}"


def _write(args: argparse.Namespace, done: Sequence[tuple[str, Measurements]]) -> None:
    """Print what there is of the classes, and write what is asked for."""
    from ..io.files import replacing
    from ..labels.columns import csv_text, stacked, write_parquet

    summary = stacked([(name, one.classes) for name, one in done])
    _print(summary)
    objects = stacked([(name, one.objects) for name, one in done])
    for path, rows in ((args.csv, objects), (args.summary, summary)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as beside:
                beside.write_text(csv_text(rows), encoding="utf-8")
    if args.parquet is not None:
        args.parquet.parent.mkdir(parents=True, exist_ok=True)
        with replacing(args.parquet) as beside:
            write_parquet(beside, objects)
    for path in (args.csv, args.parquet):
        if path is not None:
            say(f"{path}: {objects.rows} rows")


def _print(summary: Columns) -> None:
    titled = summary.titled()
    table([list(titled), *(list(map(_cell, row)) for row in zip(*titled.values(), strict=True))])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return str(value)
