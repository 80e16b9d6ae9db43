"""``napari-monai train``: train a model on images and labels, or fine-tune one."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from ..runfile import NAME, read_run, write_run
from ..settings import TrainingSettings
from .options import add_settings, settings_from
from .output import bar, complain, follow, say
from .pairs import FOLDERS, Data, read_data

if TYPE_CHECKING:
    from ..events import EpochDone, Event


# Exit code of a training that was stopped before its end, as of Ctrl-C.
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Train a model on images and labels, matched by their names without extension, and keep "
        "the state of the weights that validates best. Ctrl-C stops it, --resume goes on."
    )
    for flag, what in (
        ("--images", "Folders of images, or images."),
        ("--labels", "Folders of their labels, or labels, in the same order."),
        (
            "--val-images",
            "Images to choose the best state on. (default: a part of the training images)",
        ),
        ("--val-labels", "Their labels, in the same order."),
        ("--unlabelled", "Images without labels, for --warm-start or --remember."),
    ):
        parser.add_argument(flag, nargs="+", type=Path, metavar="DIR", help=what, default=[])
    parser.add_argument(
        "--from",
        dest="start",
        metavar="NAME_OR_PATH",
        help="Model to fine-tune. (default: none, a new network)",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="Folder for the model.")
    parser.add_argument(
        "--name", help="Name of the new model. (default: that of --from with -tuned, or model)"
    )
    parser.add_argument(
        "--card",
        type=Path,
        metavar="FILE",
        help="JSON with texts for the model card: title, version, description, licence, authors, "
        "citations, intended_use, limits, modality, classes (numbers and names).",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help=f"Take folders, model and settings from the {NAME} of an earlier run, where they are "
        "not given here.",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help=f"Go on with the training in the output folder, as its {NAME} says.",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="Say what would be done, and what is wrong with the data; do not train.",
    )
    parser.add_argument(
        "--show-augmentation",
        type=Path,
        metavar="FILE",
        help="Write a PNG of training images as they would be changed; do not train.",
    )
    parser.add_argument(
        "--store", action="store_true", help="Put the new model into your store when it is done."
    )
    parser.add_argument(
        "--background",
        action="store_true",
        help="Leave the computer to others: low priority, and one core that is not used.",
    )
    add_settings(parser, TrainingSettings, unset="auto, worked out from the data")


def run(args: argparse.Namespace) -> int:
    """Train, showing the loss, and a line a validation."""
    from ..training import launch

    rehearses = args.check or args.show_augmentation
    if not rehearses:
        _check_output(args)
    home, earlier = _earlier(args)
    settings = settings_from(args, TrainingSettings, earlier.get("settings", {}))
    if args.background:
        launch.give_way(max(1, settings.processes))
    data = _data(args, home, earlier)
    content = {
        "command": "train",
        **data.content(args.output or home),
        "from": args.start or earlier.get("from"),
        "name": args.name or earlier.get("name"),
        "card": _card(args.card) if args.card else earlier.get("card"),
        "settings": settings.to_json(),
    }
    keywords = {
        "settings": settings,
        "validation": data.validation,
        "unlabelled": data.unlabelled,
        "card": content["card"],
    }
    if rehearses:
        return _rehearse(args, content, data, keywords)
    keywords |= {"output": args.output, "name": content["name"], "resume": args.resume}
    steps = partial(_events, content["from"], data.pairs, keywords)
    if launch.rank():
        for _ in steps():  # the first of several says, and writes, it all
            pass
        return 0
    try:
        with launch.terminable(args.output):
            done = _show(follow(_run(args, settings, content, steps)), args.output, content)
    except KeyboardInterrupt:
        _say_how_to_go_on(args.output)
        raise
    if not done:
        _say_how_to_go_on(args.output)
        return INTERRUPTED
    if args.store:
        from ..training.keeping import add_to_store

        say(f"{add_to_store(args.output).name} is in your store")
    return 0


def _run(
    args: argparse.Namespace,
    settings: TrainingSettings,
    content: Mapping[str, Any],
    steps: Callable[[], Iterator[Event]],
) -> Iterator[Event]:
    """Return the events of the training: of this process, or of several that it begins."""
    from ..training import launch, process
    from ..training.recording import recorded
    from ..training.run_folder import forget_stop

    if launch.rank() is None:
        forget_stop(args.output)  # an earlier one; who asks from here on is heard
        n = _processes(settings)
        if n > 1:
            args.output.mkdir(parents=True, exist_ok=True)
            write_run(args.output, content)
            return process.begin(
                args.output, resume=args.resume, processes=n, background=args.background
            )
    return recorded(steps, args.output, resumed=args.resume)


def _processes(settings: TrainingSettings) -> int:
    """Return how many processes share the work: as many as there are GPUs, or as is said."""
    if settings.processes:
        return settings.processes
    import torch

    return max(1, torch.cuda.device_count())


def _rehearse(
    args: argparse.Namespace, content: Mapping[str, Any], data: Data, keywords: Mapping[str, Any]
) -> int:
    """Say what would be done, or show it; return 1 where there is nothing to train on."""
    from .. import models

    model = models.load_model(content["from"]) if content["from"] else None

    from ..training.preparing import prepare_training
    from ..training.rehearsal import changed_patches, plan_lines

    prepared = prepare_training(
        model, data.pairs, name=content["name"] or "model", examples=False, **keywords
    )
    for problem in prepared.problems:
        complain(problem.text, level=problem.severity)
    if args.check:
        for line in plan_lines(prepared):
            say(line)
    if prepared.errors:
        return 1
    if args.show_augmentation:
        from ..training.pictures import write_picture

        picture = changed_patches(prepared, keywords["settings"])
        say(f"{write_picture(args.show_augmentation, picture)}: training images as changed")
    return 0


def _events(
    start: str | None, pairs: Sequence[Any], keywords: Mapping[str, Any]
) -> Iterator[Event]:
    from .. import models

    model = models.load_model(start) if start else None

    from ..training import fine_tune  # torch, which takes seconds: after all that can go wrong
    from ..training.heap import keep_freed_memory

    keep_freed_memory()  # this process has nothing else to do
    yield from fine_tune(model, pairs, **keywords)


# -- what to train on -----------------------------------------------------------------------------


def _data(args: argparse.Namespace, home: Path, earlier: Mapping[str, Any]) -> Data:
    """Return the images and labels that are named here, or else in the run file."""
    given = {name: getattr(args, name) for name in FOLDERS if getattr(args, name)}
    kept = {name: [home / path for path in earlier.get(name, ())] for name in FOLDERS}
    # What counts of the pairs of a run is of those pairs alone.
    parts = {
        name: earlier.get(name, ())
        for name, owner in (("shares", "images"), ("val_shares", "val_images"))
        if owner not in given
    }
    return read_data({**kept, **given}, parts)


def _check_output(args: argparse.Namespace) -> None:
    from ..training.run_folder import CHECKPOINT

    if args.output is None:
        raise SettingsError("--output is missing: name the folder for the model.")
    begun = (args.output / CHECKPOINT).exists()
    if begun and not args.resume:
        raise SettingsError(
            f"{args.output} holds a training already: go on with --resume, or choose another "
            "--output."
        )
    if args.resume and not begun:
        raise SettingsError(
            f"{args.output} holds no training to go on with: leave out --resume, or name its "
            "folder."
        )


def _earlier(args: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    """Return the run file to start from, and its folder: the one named, or that to resume."""
    if args.settings:
        return args.settings.parent, read_run(args.settings, command="train")
    home = args.output or Path()
    if args.resume and (home / NAME).exists():
        return home, read_run(home / NAME, command="train")
    return home, {}


def _card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read as JSON: {error}.") from None
    if not isinstance(card, dict):
        raise SettingsError(f'{path} is no JSON object, such as {{"title": "My cells"}}.')
    return card


# -- what is shown --------------------------------------------------------------------------------


def _show(events: Iterator[Event], output: Path, content: Mapping[str, Any]) -> bool:
    """Show a training; return whether it came to its end, and was not stopped before."""
    from ..events import EpochDone, Started, StepDone, Trained

    done = False
    with bar(0, "steps") as progress:
        for event in events:
            if isinstance(event, Started):
                progress.total = event.total
                write_run(output, content)
            elif isinstance(event, StepDone):
                progress.update(event.step - progress.n)
                progress.set_postfix(loss=f"{event.loss:.3f}", refresh=False)
            elif isinstance(event, EpochDone):
                say(_epoch(event))
            elif isinstance(event, Trained):
                done = True
                scores = _scores(event.scores) or "not validated"
                say(f"{event.path}: {scores}, {event.seconds:.0f} s")
    return done


def _epoch(event: EpochDone) -> str:
    """Return the line of a validation; of a mere checkpoint, where nothing is validated."""
    line = f"step {event.step}/{event.steps}  {event.seconds:.0f} s  loss {event.train_loss:.3f}"
    if not event.scores:
        return line
    best = "  best so far" if event.best else ""
    return f"{line}, validation {event.val_loss:.3f}  {_scores(event.scores)}{best}"


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())


def _say_how_to_go_on(output: Path) -> None:
    from ..training.run_folder import CHECKPOINT

    if (output / CHECKPOINT).exists():
        again = f"napari-monai train --output {shlex.quote(str(output))} --resume"
        complain(f"stopped; go on with: {again}", level="")
