"""``napari-monai labels link-frames``: labels of a time series that keep their numbers."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from dataclasses import astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..labels.settings_link import LinkFrames
from .options import add_settings, settings_from
from .output import bar, say

if TYPE_CHECKING:
    from ..labels.linking import Track

WORDS = "Give the objects of a time series the same numbers at all time points, by their overlap."
# What `Track` has, called as in the res_track.txt of the Cell Tracking Challenge.
HEADER = ("label", "begin", "end", "parent")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the operation."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="Labels with a time axis.")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="File to write.")
    parser.add_argument(
        "--tracks",
        type=Path,
        metavar="FILE",
        help="Write a line for each object as CSV: its first and last time point, counted from 0, "
        "and the object that divided into it, or 0.",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace files that are there already."
    )
    add_settings(parser, LinkFrames, unset="auto")


def run(args: argparse.Namespace) -> int:
    """Link the labels, time point by time point, and write them."""
    import shutil

    from .. import io
    from ..labels.linking import Linker
    from ..scratch import Scratch

    settings = settings_from(args, LinkFrames, {})
    check_output(args)
    if args.tracks is not None and args.tracks.exists() and not args.overwrite:
        raise SettingsError(f"{args.tracks} exists: choose another file, or add --overwrite.")
    labels = io.read(args.input, labels=True)
    if labels.times < 2:
        raise SettingsError(
            f"{args.input} has one time point: link-slices links the slices of a volume."
        )
    linker = Linker(
        least=settings.overlap,
        gap=settings.gap,
        reach=settings.reach,
        divisions=settings.divisions,
        spacing=labels.grid.spacing,
    )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    streamed = io.format_of(args.output, writes=True).folder
    folder = args.output.with_name(f".{args.output.name}.part") if streamed else None
    scratch = Scratch(folder)
    try:
        scratch.begin("")
        linked = scratch.array("labels", labels.data.shape, "int32")
        with bar(labels.times, "time points") as progress:
            for time in range(labels.times):
                linked[time] = linker.add(labels.at_time(time).numpy())
                progress.update()
        io.write(args.output, replace(labels, data=linked, kind="instances"))
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    tracks = linker.lineage
    if args.tracks is not None:
        args.tracks.parent.mkdir(parents=True, exist_ok=True)
        write_tracks(args.tracks, tracks)
    divided = sum(t.parent > 0 for t in tracks)
    told = f", {divided} of them from divisions" if settings.divisions else ""
    say(f"{args.output}: {len(tracks)} objects in {labels.times} time points{told}")
    return 0


def check_output(args: argparse.Namespace) -> None:
    """Raise SettingsError where the labels cannot be written."""
    from .. import io

    if args.output.exists() and args.input.exists() and args.output.samefile(args.input):
        raise SettingsError(f"{args.output} is the input: choose another OUTPUT.")
    if args.output.exists() and not args.overwrite:
        raise SettingsError(f"{args.output} exists: choose another OUTPUT, or add --overwrite.")
    io.format_of(args.output, writes=True)


def write_tracks(path: Path, tracks: Iterable[Track]) -> None:
    """Write a line for each object: label, begin, end, parent."""
    from ..io.files import replacing

    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(astuple(track) for track in tracks)
