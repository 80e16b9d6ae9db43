"""``napari-monai labels``: correct labels in files by the operations that the viewer offers."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GridError, SettingsError
from ..labels.operations import OPERATIONS, run_on
from . import label_frames
from .options import add_settings, settings_from
from .output import bar, complain, follow, say, table

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..labels.rows import Operation
    from ..labels.scene import Region, Scene
    from ..settings import Settings
    from ..volume import LabelVolume, Volume

LIST, FRAMES = "list", "link-frames"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Correct labels in a file by an operation and write them to another one. Lengths and "
        "volumes are in the unit of the file."
    )
    actions = parser.add_subparsers(dest="action", metavar="OPERATION", required=True)
    words = "List the operations."
    actions.add_parser(LIST, help=words, description=words)
    frames = actions.add_parser(FRAMES, help=label_frames.WORDS, description=label_frames.WORDS)
    label_frames.add_arguments(frames)
    for row in OPERATIONS.values():
        sub = actions.add_parser(row.name, help=row.help, description=row.help)
        _add_files(sub, row)
        _add_drawn(sub, row)
        if row.settings_type().options():
            add_settings(sub, row.settings_type(), unset="auto")


def _add_files(parser: argparse.ArgumentParser, row: Operation) -> None:
    parser.add_argument("input", type=Path, metavar="INPUT", help="Labels.")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="File to write.")
    parser.add_argument(
        "--labels",
        type=_whole_numbers,
        default=(),
        required="selected" in row.needs,
        metavar="N,N",
        help="The labels to work on."
        + ("" if "selected" in row.needs else " (default: all of them)"),
    )
    parser.add_argument(
        "--locked",
        type=_whole_numbers,
        default=(),
        metavar="N,N",
        help="Labels that neither lose nor gain a voxel.",
    )
    for name, words in (
        ("region", "Labels that say where something may change: wherever they are not 0."),
        ("image", "The image that the labels belong to, on the same grid."),
        ("other", "A second file of labels, on the same grid."),
    ):
        if name in ("region", *row.uses):
            needed = name in row.needs
            parser.add_argument(f"--{name}", type=Path, required=needed, metavar="FILE", help=words)
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace OUTPUT where it is there already."
    )


def _add_drawn(parser: argparse.ArgumentParser, row: Operation) -> None:
    """Add what is drawn in the viewer, as places in voxels."""
    if "points" in row.uses:
        parser.add_argument(
            "--points",
            type=_place,
            nargs="+",
            default=(),
            required="points" in row.needs,
            metavar="N,N,N",
            help="Points, in voxels along the axes of the file.",
        )
    if "lines" in row.uses:
        parser.add_argument(
            "--line",
            dest="lines",
            type=_place,
            nargs="+",
            action="append",
            default=[],
            required="lines" in row.needs,
            metavar="N,N,N",
            help="A line or a polygon by its corners, in voxels along the axes of the file; may "
            "come again.",
        )
    if "plane" in row.uses:
        parser.add_argument(
            "--plane",
            type=_plane,
            required="plane" in row.needs,
            metavar="AXIS,INDEX",
            help="A slice: 0,12 is the thirteenth along the first axis.",
        )


def run(args: argparse.Namespace) -> int:
    """Run the operation, and write what it makes of the labels."""
    if args.action == LIST:
        rows = [("operation", "group", "what it does")]
        rows += [(row.name, row.group, row.help) for row in OPERATIONS.values()]
        rows += [(FRAMES, "Time", label_frames.WORDS)]
        table(rows)
        return 0
    if args.action == FRAMES:
        return label_frames.run(args)
    from .. import io

    row = OPERATIONS[args.action]
    settings = settings_from(args, row.settings_type(), {})
    label_frames.check_output(args)
    labels = io.read(args.input, labels=True)
    result = _corrected(args, row, labels, settings)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    io.write(args.output, replace(labels, data=result))
    return 0


def _corrected(
    args: argparse.Namespace, row: Operation, labels: LabelVolume, settings: Settings
) -> npt.NDArray[Any]:
    import numpy as np

    result = np.array(labels.numpy())
    frames = result if "t" in labels.leading else result[np.newaxis]
    for time, frame in enumerate(frames):
        scene = _scene(args, labels, frame, time)
        with bar(None, "steps") as progress:
            edit = run_on(row.name, scene, settings, watch=lambda steps: _shown(steps, progress))
        for note in edit.notes:
            complain(note, level="note")
        edit.apply(frame)
        where = f" at time {time}" if len(frames) > 1 else ""
        say(f"{edit.title}{where}: {edit.voxels} voxel{'s' * (edit.voxels != 1)} changed")
    return result


def _shown(steps: Any, progress: Any) -> Any:
    """Yield the events of an operation, shown as a bar."""
    from ..events import BlockDone, Started

    for event in follow(steps):
        if isinstance(event, Started):
            progress.reset(event.total)
            progress.unit = f" {event.what}"
        elif isinstance(event, BlockDone):
            progress.update(event.done - progress.n)
        yield event


def _scene(args: argparse.Namespace, labels: LabelVolume, frame: Any, time: int) -> Scene:
    import numpy as np

    from ..labels.scene import Scene

    drawn = {name: getattr(args, name, None) for name in ("points", "lines", "plane")}
    return Scene(
        frame,
        labels.grid.spacing,
        labels.grid.unit,
        selected=args.labels,
        locked=frozenset(args.locked),
        region=_region(args.region, labels, time),
        image=_beside(getattr(args, "image", None), labels, time),
        other=_beside(getattr(args, "other", None), labels, time, numbers=True),
        points=np.array(drawn["points"] or np.empty((0, 0)), np.float64),
        lines=tuple(np.array(line, np.float64) for line in drawn["lines"] or ()),
        plane=drawn["plane"],
        names={c.number: c.name for c in labels.classes},
    )


def _beside(path: Path | None, labels: Volume, time: int, *, numbers: bool = False) -> Any:
    """Return an image or labels of the same grid, of one channel and one time."""
    if path is None:
        return None
    from .. import io

    found = io.read(path, labels=numbers)
    if not found.grid.is_close(labels.grid):
        raise GridError(f"{path} does not lie on the voxels of the labels: give one of their grid.")
    if found.channels > 1:
        raise SettingsError(f"{path} has {found.channels} channels: give an image of one.")
    array = found.at_time(time if found.times > 1 else 0).numpy()
    return array[0] if "c" in found.leading else array


def _region(path: Path | None, labels: LabelVolume, time: int) -> Region | None:
    from ..labels.boxes import tight
    from ..labels.scene import Region

    array = _beside(path, labels, time, numbers=True)
    if array is None:
        return None
    mask = array != 0
    box = tight(mask) or (slice(0, 0),) * mask.ndim
    return Region(box, mask[box])


def _whole_numbers(text: str) -> tuple[int, ...]:
    """Read ``"1,3"``."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 1,3") from None


def _place(text: str) -> tuple[float, ...]:
    """Read ``"10,20.5,30"``."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no place such as 10,20,30") from None


def _plane(text: str) -> tuple[int, int]:
    """Read ``"0,12"``."""
    numbers = _whole_numbers(text)
    if len(numbers) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is no axis and index such as 0,12")
    return numbers[0], numbers[1]
