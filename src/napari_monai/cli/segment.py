"""``napari-monai segment``: label images with a model, one file an image."""

from __future__ import annotations

import argparse
import shutil
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DeviceError, NapariMonaiError, SettingsError
from ..runfile import NAME, read_run, write_run
from ..settings import InferenceSettings
from .consent import add_trust, agree
from .label_frames import write_tracks
from .options import add_settings, settings_from
from .output import bar, complain, follow, say
from .plan import Task, file_name, plan, plan_joined, unused

if TYPE_CHECKING:
    from ..events import Segmented
    from ..models import Model
    from ..volume import LabelVolume, Volume

UNSET = "auto, as the model says"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Segment images with a model and write one file of labels each, on the image's own "
        f"grid, and beside them {NAME} with all that the run was made with. Of DICOM, every "
        "volume of every series is an image, called as its series."
    )
    parser.add_argument(
        "inputs", nargs="*", type=Path, metavar="INPUT", help="Image files, or folders of them."
    )
    parser.add_argument(
        "--join",
        action="store_true",
        help="The inputs are the channels of one image, in the order in which the model takes "
        "them, such as the sequences of an MR examination; they lie on the same voxels.",
    )
    parser.add_argument(
        "--model", metavar="NAME_OR_PATH", help="A name that 'models list' shows, or a folder."
    )
    parser.add_argument(
        "--output", required=True, type=Path, metavar="DIR", help="Folder for the labels."
    )
    parser.add_argument(
        "--format",
        metavar="EXTENSION",
        help="File format of the labels, such as .tif or .nii.gz. "
        "(default: .nii.gz for NIfTI and DICOM images, .tif for all others)",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help=f"Take images, model, format and settings from the {NAME} of an earlier run, where "
        "they are not given here.",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help=f"Replace files in the output folder that its {NAME} does not name, too.",
    )
    add_trust(parser)
    add_settings(parser, InferenceSettings, unset=UNSET)


@dataclass(frozen=True)
class Job:
    """What is to be done, checked before any work starts."""

    model: Model
    settings: InferenceSettings
    output: Path
    format: str | None
    tasks: tuple[Task, ...]
    overwrite: bool = False
    debug: bool = False
    join: bool = False


@dataclass
class Tally:
    """What has been done."""

    written: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    device: str | None = None
    said: set[str] = field(default_factory=set)


def run(args: argparse.Namespace) -> int:
    """Segment the images; 1 if any failed."""
    job = _job(args)
    if args.trust:
        agree(job.model)
    job.model.load_network("cpu")  # damaged weights: one line now, not one an image
    tally = Tally()
    started = datetime.now().astimezone()
    try:
        _segment_all(job, tally)
    finally:
        if tally.written:
            _write_run(job, tally, started)
    if tally.failed:
        complain(f"{len(tally.failed)} of {len(job.tasks)} images failed.", level="")
    return 1 if tally.failed else 0


def _job(args: argparse.Namespace) -> Job:
    from .. import io, models

    earlier = read_run(args.settings, command="segment") if args.settings else {}
    inputs = args.inputs or [Path(p) for p in earlier.get("inputs", ())]
    name = args.model or earlier.get("model", {}).get("path")
    if not inputs:
        raise SettingsError("No image given: name files or folders.")
    if not name:
        raise SettingsError("No model given: add --model with a name that 'models list' shows.")
    settings = settings_from(args, InferenceSettings, earlier.get("settings", {}))
    extension = label_format(args.format or earlier.get("format"))
    # What an earlier run has joined belongs to its own images.
    join = args.join or (not args.inputs and earlier.get("join") is True)
    tasks = (plan_joined if join else plan)(
        inputs,
        args.output,
        extension,
        ours=_own_outputs(args.output),
        overwrite=args.overwrite,
    )
    if not tasks:
        known = ", ".join(io.known_extensions())
        raise SettingsError(f"{inputs[0]} holds no image. Known: {known}.")
    model = models.load_model(name)
    _compare_models(model, earlier)
    if join:
        _check_channels(model, len(inputs))
    return Job(model, settings, args.output, extension, tasks, args.overwrite, args.debug, join)


def _check_channels(model: Model, given: int) -> None:
    """Raise SettingsError where so many images are not the channels that a model takes."""
    channels = model.description.inputs.channels
    if given != len(channels):
        raise SettingsError(
            f"{model.name} takes {len(channels)} channel{'s' * (len(channels) > 1)} "
            f"({', '.join(channels)}), and {given} image{'s' * (given > 1)} "
            f"{'are' if given > 1 else 'is'} given to --join: give one for each channel."
        )


def label_format(text: str | None) -> str | None:
    """Return an extension that labels can be written in, with its dot."""
    if text is None:
        return None
    from .. import io

    extension = "." + text.lower().lstrip(".")
    io.format_of(f"labels{extension}", writes=True)
    return extension


def _compare_models(model: Model, earlier: dict[str, Any]) -> None:
    before = earlier.get("model", {}).get("sha256")
    if before is not None and before != _sha256(model):
        complain(
            f"the model {model.name} is not the one of the earlier run: its weights differ.",
            level="warning",
        )


def _own_outputs(folder: Path) -> set[str]:
    """Return the names of the files that an earlier run has written into a folder."""
    if not (folder / NAME).is_file():
        return set()
    earlier = read_run(folder / NAME, command="segment")
    kinds = ("output", "probabilities", "uncertainty", "tracks")
    rows = earlier.get("written", ())
    return {Path(row[kind]).name for row in rows for kind in kinds if kind in row}


# -- the work -------------------------------------------------------------------------------------


def _segment_all(job: Job, tally: Tally) -> None:
    with bar(len(job.tasks), "images", hidden=len(job.tasks) == 1) as images:
        for task in job.tasks:
            try:
                _segment_one(job, tally, task)
            except (SettingsError, DeviceError):
                raise  # as wrong for the next image
            except (NapariMonaiError, OSError) as error:
                if job.debug:
                    traceback.print_exc()
                complain(str(error))
                tally.failed.append({"input": str(task.image), "error": str(error)})
            images.update()


def _segment_one(job: Job, tally: Tally, task: Task) -> None:
    start = time.perf_counter()
    volumes = task.read()
    for volume, target in zip(volumes, _targets(job, task, volumes), strict=True):
        extras = _extras(job, volume, target)
        scratch = _scratch(target)
        try:
            done = segment_volume(
                volume, job.model, job.settings, scratch=scratch, said=tally.said, position=1
            )
            job.output.mkdir(parents=True, exist_ok=True)
            written = _write_results(done, target, extras)
        except (NapariMonaiError, OSError):
            _remove(scratch)  # a run that was killed leaves it, to go on from there
            raise
        seconds = time.perf_counter() - start
        tally.device = done.device
        tally.written.append(
            {
                "input": str(task.image),
                "output": str(target),
                **written,
                "seconds": round(seconds, 3),
            }
        )
        say(f"{target}: {_summary(done.labels)}, {seconds:.1f} s on {done.device}")
        _remove(scratch)
        start = time.perf_counter()


def _scratch(target: Path) -> Path | None:
    """Return where the results grow of a format that is written piece by piece, beside it."""
    from .. import io

    streamed = io.format_of(target, writes=True).folder
    return target.with_name(f".{target.name}.part") if streamed else None


def _remove(scratch: Path | None) -> None:
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


def _extras(job: Job, volume: Volume, target: Path) -> dict[str, Path]:
    """Return the files for what is wanted beside the labels; raise where one is someone else's."""
    from .. import io

    wanted = {
        "probabilities": job.settings.probabilities,
        "uncertainty": job.settings.uncertainty != "none",
    }
    ending = ".nii.gz" if volume.grid.anatomical else ".ome.tif"
    stem = io.stem_of(target)
    found = {n: target.with_name(f"{stem}_{n}{ending}") for n, is_on in wanted.items() if is_on}
    objects = job.model.description.outputs.kind == "instances"
    if objects and job.settings.link_time and volume.times > 1:
        found["tracks"] = target.with_name(f"{stem}_tracks.csv")
    ours = _own_outputs(job.output)
    for path in found.values():
        if path.exists() and not job.overwrite and path.name not in ours:
            raise SettingsError(
                f"{path} exists and no earlier run has written it: choose another --output, or "
                "add --overwrite."
            )
    return found


def _write_results(done: Segmented, target: Path, extras: dict[str, Path]) -> dict[str, str]:
    """Write the labels and what else was asked for; return the names of the latter."""
    from .. import io

    io.write(target, done.labels)
    for name, path in extras.items():
        if name == "tracks":
            write_tracks(path, done.tracks)
            continue
        volume = done.probabilities if name == "probabilities" else done.uncertainty
        if volume is not None:
            io.write(path, volume)
    return {name: str(path) for name, path in extras.items()}


def _targets(job: Job, task: Task, volumes: Sequence[Volume]) -> Sequence[Path]:
    """Return the files for the volumes: those planned, unless a damaged slice split one more."""
    if len(volumes) == len(task.targets):
        return task.targets
    taken = {t.name for other in job.tasks if other is not task for t in other.targets}
    if job.output.is_dir():
        taken |= {p.name for p in job.output.iterdir()}
    return [job.output / unused(file_name(v.name), job.format or ".nii.gz", taken) for v in volumes]


def segment_volume(
    volume: Volume,
    model: Model,
    settings: InferenceSettings,
    *,
    scratch: Path | None = None,
    said: set[str] | None = None,
    **bar_options: Any,
) -> Segmented:
    """Segment an image under a progress bar, and return the last event of the job."""
    from ..events import BlockDone, Segmented, Started, WindowDone
    from ..inference import segment_steps

    with bar(None, "windows", desc=volume.name, **bar_options) as windows:
        steps = segment_steps(volume, model, settings=settings, scratch=scratch)
        for event in follow(steps, said=said):
            if isinstance(event, Started):
                windows.unit = f" {event.what}"
                windows.reset(event.total)
            elif isinstance(event, WindowDone | BlockDone):
                windows.update(event.done - windows.n)
            elif isinstance(event, Segmented):
                return event
    raise NapariMonaiError(f"{model.name} gave no labels of {volume.name}.")


def _summary(labels: LabelVolume) -> str:
    import numpy as np

    numbers: set[int] = set()
    for time_point in (labels.at_time(t).data for t in range(labels.times)):
        for index in range(time_point.shape[0]):  # one at a time: they may lie on disk
            numbers.update(np.unique(np.asarray(time_point[index])).tolist())
    found = len(numbers - {0})
    if labels.kind == "instances":
        return f"{found} object{'' if found == 1 else 's'}"
    return f"{found} of {max(len(labels.classes), found)} classes"


def _write_run(job: Job, tally: Tally, started: datetime) -> None:
    inputs = [str(path.absolute()) for task in job.tasks for path in task.inputs]
    write_run(
        job.output,
        {
            "command": "segment",
            "model": {
                "name": job.model.name,
                "version": job.model.description.version,
                "path": _reference(job.model),
                "sha256": _sha256(job.model),
            },
            "kind": job.model.description.outputs.kind,
            "settings": job.settings.to_json(),
            "format": job.format,
            "inputs": inputs if job.join else list(dict.fromkeys(inputs)),
            "join": job.join,
            "written": tally.written,
            "failed": tally.failed,
            "device": tally.device,
            "started": started.isoformat(timespec="seconds"),
        },
    )


def _reference(model: Model) -> str:
    """Return what --model takes to find the model again: its name, or its folder's path."""
    from .. import models

    try:
        stored = models.find(model.name).folder == model.folder
    except NapariMonaiError:
        stored = False
    return model.name if stored else str(model.folder.resolve())


def _sha256(model: Model) -> dict[str, str]:
    return {w.path: w.sha256 for w in model.description.weights}
