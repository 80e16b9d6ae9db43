"""``napari-monai measure``: tables of objects and classes, of files and folders of labels."""

from __future__ import annotations

import argparse
import math
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..labels.settings_measure import MeasureSettings
from .options import add_settings, check_targets, settings_from
from .output import bar, complain, say, table

if TYPE_CHECKING:
    from ..labels.columns import Columns
    from ..measurement import Measurements


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
    from ..events import FileDone, FileFailed
    from ..measurement_files import FileMeasured, kind_of_files, measure_files, tasks_of

    tasks = tasks_of(args.labels, args.images)
    kind = kind_of_files([t.labels for t in tasks]) if args.kind == "auto" else args.kind
    done: list[tuple[str, Measurements]] = []
    failed = 0
    with bar(len(tasks), "images", hidden=len(tasks) == 1) as progress:
        for event in measure_files(tasks, kind=kind, settings=settings):
            if isinstance(event, FileMeasured):
                done.append((event.task.name, event.measurements))
            elif isinstance(event, FileFailed):
                if args.debug:
                    traceback.print_exception(event.error)
                complain(event.line)
                failed += 1
            elif isinstance(event, FileDone):
                progress.update()
    if done:
        _write(args, done)
    if failed:
        complain(f"{failed} of {len(tasks)} images failed.", level="")
    return 1 if failed else 0


def _check_outputs(args: argparse.Namespace) -> None:
    """Raise before the work what would fail after it."""
    check_targets(args.csv, args.parquet, args.summary)
    if args.parquet:
        from ..labels.columns import pyarrow_modules

        pyarrow_modules()


def _write(args: argparse.Namespace, done: Sequence[tuple[str, Measurements]]) -> None:
    """Print what there is of the classes, and write what is asked for."""
    from ..measurement_files import in_one, write_table

    objects, summary = in_one(done)
    _print(summary)
    for path, rows, parquet in (
        (args.csv, objects, False),
        (args.summary, summary, False),
        (args.parquet, objects, True),
    ):
        if path is not None:
            write_table(path, rows, parquet=parquet)
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
