"""``napari-monai convert``: write an image or labels in another format, voxel for voxel."""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FormatError, NapariMonaiError, SettingsError
from .output import complain, say
from .plan import file_name, unused

if TYPE_CHECKING:
    from ..volume import Volume


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Write an image or labels in another format. Voxels keep their values and places. From a "
        "folder, or a file of several images, one file an image is written into OUTPUT."
    )
    parser.add_argument("input", type=Path, metavar="INPUT", help="Image file, or a folder.")
    parser.add_argument(
        "output",
        type=Path,
        metavar="OUTPUT",
        help="File to write, whose extension says the format; or a folder.",
    )
    parser.add_argument(
        "--format",
        metavar="EXTENSION",
        help="File format in a folder. (default: .nii.gz for a patient's images, .tif for others)",
    )
    parser.add_argument(
        "--labels",
        action="store_true",
        help="The input is labels: keep the numbers as stored, whatever palette they have.",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="IMAGE",
        help="The image that the labels belong to, a file or a folder of DICOM: they are written "
        "on its grid, voxel for voxel, and as .dcm refer to its series.",
    )
    parser.add_argument(
        "--labelmap",
        action="store_true",
        help="Write .dcm as LABELMAP: small, and known to few viewers yet. (default: BINARY)",
    )
    parser.add_argument(
        "--made-by",
        choices=("automatic", "semiautomatic", "manual"),
        help="How the labels came about, as .dcm says it. (default: as the input says, or "
        "automatic)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace files that are there already."
    )


def run(args: argparse.Namespace) -> int:
    """Convert; 1 if anything failed."""
    from .. import io
    from .segment import label_format

    extension = label_format(args.format)
    args.labels = args.labels or args.reference is not None
    if _is_one_image(args.output):
        io.format_of(args.output, writes=True)
        volumes = io.read_all(args.input, labels=args.labels)
        if len(volumes) > 1:
            raise SettingsError(
                f"{args.input} holds {len(volumes)} images: give a folder instead of {args.output}."
            )
        _write(args, args.output, volumes[0])
        return 0
    if args.output.suffix and not args.output.is_dir():
        io.format_of(args.output, writes=True)  # raises: an extension that is not known
    return _into_folder(args, extension)


def _is_one_image(output: Path) -> bool:
    """Whether the output is to be a file, or the folder of an OME-Zarr."""
    from .. import io

    try:
        return io.format_of(output).folder or not output.is_dir()
    except FormatError:
        return False


def _into_folder(args: argparse.Namespace, extension: str | None) -> int:
    from .. import io

    folder = args.input.is_dir() and not io.is_image_folder(args.input)
    files = list(io.images_in(args.input, series=False)) if folder else [args.input]
    series = io.series_in(args.input) if folder else []
    if not files and not series:
        known = ", ".join(io.known_extensions())
        raise SettingsError(f"{args.input} holds no image. Known: {known}.")
    reads: list[Callable[[], list[Volume]]] = [
        *(lambda file=file: io.read_all(file, labels=args.labels) for file in files),
        *(lambda one=one: one.volumes(labels=args.labels) for one in series),
    ]
    failed = 0
    taken: set[str] = set()
    for read in reads:
        try:
            _write_all(args, read(), taken, extension)
        except (NapariMonaiError, OSError) as error:
            if not folder:
                raise
            if args.debug:
                traceback.print_exc()
            complain(str(error))
            failed += 1
    if failed:
        complain(f"{failed} of {len(reads)} images failed.", level="")
    return 1 if failed else 0


def _write_all(
    args: argparse.Namespace, volumes: list[Volume], taken: set[str], extension: str | None
) -> None:
    for volume in volumes:
        ending = extension or (".nii.gz" if volume.grid.anatomical else ".tif")
        _write(args, args.output / unused(file_name(volume.name), ending, taken), volume)


def _write(args: argparse.Namespace, target: Path, volume: Volume) -> None:
    from .. import io
    from ..volume import LabelVolume, Provenance

    if volume.source is not None and target.exists() and target.samefile(volume.source):
        raise SettingsError(f"{target} is the input: choose another OUTPUT.")
    if target.exists() and not args.overwrite:
        raise SettingsError(f"{target} exists: choose another OUTPUT, or add --overwrite.")
    target.parent.mkdir(parents=True, exist_ok=True)
    if args.made_by:
        if io.format_of(target, writes=True).name != "DICOM":
            raise SettingsError(
                f"{target} does not say how labels were made: --made-by is for .dcm."
            )
        if isinstance(volume, LabelVolume):
            volume = replace(volume, made_by=Provenance(args.made_by))
    io.write(target, volume, reference=args.reference, labelmap=args.labelmap)
    shape = " x ".join(map(str, volume.data.shape))
    say(f"{target}: {shape} {volume.dtype}")
