"""``napari-monai train``: train a model on images and labels, or fine-tune one."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError, TrainingError
from ..settings import TrainingSettings
from .options import add_settings, settings_from
from .output import bar, complain, follow, say
from .runfile import NAME, read_run, write_run

if TYPE_CHECKING:
    from ..events import EpochDone, Event

Pairs = list[tuple[Path, Path]]
_FOLDERS = ("images", "labels", "val_images", "val_labels")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Train a model on images and labels, matched by their names without extension, and keep "
        "the state of the weights that validates best. Ctrl-C stops it, --resume goes on."
    )
    for flag, what in (
        ("--images", "Folders of images."),
        ("--labels", "Folders of their labels, in the same order."),
        (
            "--val-images",
            "Folders of images to choose the best state on. (default: none, keep the last)",
        ),
        ("--val-labels", "Folders of their labels, in the same order."),
    ):
        parser.add_argument(flag, nargs="+", type=Path, metavar="DIR", help=what, default=[])
    parser.add_argument(
        "--from",
        dest="start",
        metavar="NAME_OR_PATH",
        help="Model to fine-tune. (default: none, a new network)",
    )
    parser.add_argument(
        "--output", required=True, type=Path, metavar="DIR", help="Folder for the model."
    )
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
    add_settings(parser, TrainingSettings, unset="auto, worked out from the data")


def run(args: argparse.Namespace) -> int:
    """Train, showing the loss, and a line a validation."""
    _check_output(args)
    earlier = _earlier(args)
    folders = {name: getattr(args, name) or _paths(earlier, name) for name in _FOLDERS}
    settings = settings_from(args, TrainingSettings, earlier.get("settings", {}))
    pairs = match_folders(folders["images"], folders["labels"], "--images", "--labels")
    validation: Pairs = []
    if folders["val_images"] or folders["val_labels"]:
        validation = match_folders(
            folders["val_images"], folders["val_labels"], "--val-images", "--val-labels"
        )
    start = args.start or earlier.get("from")
    name = args.name or earlier.get("name")
    card = _card(args.card) if args.card else earlier.get("card")
    content = {
        "command": "train",
        **{key: [str(p.resolve()) for p in paths] for key, paths in folders.items()},
        "from": start,
        "name": name,
        "card": card,
        "settings": settings.to_json(),
    }

    from .. import models
    from ..training import fine_tune

    events = fine_tune(
        models.load_model(start) if start else None,
        pairs,
        settings=settings,
        output=args.output,
        validation=validation,
        name=name,
        resume=args.resume,
        card=card,
    )
    try:
        _show(follow(events), args.output, content)
    except KeyboardInterrupt:
        _say_how_to_go_on(args.output)
        raise
    return 0


# -- what to train on -----------------------------------------------------------------------------


def match_folders(
    images: Sequence[Path], labels: Sequence[Path], images_flag: str, labels_flag: str
) -> Pairs:
    """Return the pairs of files of folders that are given in the same order."""
    from ..evaluation import match_pairs
    from ..evaluation.pairs import named

    if not images or len(images) != len(labels):
        raise SettingsError(
            f"{images_flag} names {len(images)} folders and {labels_flag} {len(labels)}: "
            "give the same number of each, in the same order."
        )
    pairs: Pairs = []
    for one, other in zip(images, labels, strict=True):
        matched = match_pairs(one, other, error=TrainingError)
        pairs.extend(matched.pairs)
        for folder, alone, lacks in (
            (one, matched.first_alone, "labels"),
            (other, matched.second_alone, "image"),
        ):
            if alone:
                complain(
                    f"{folder}: {len(alone)} left out, without {lacks}: {named(alone)}",
                    level="warning",
                )
    return pairs


def _check_output(args: argparse.Namespace) -> None:
    from ..training.checkpoint import NAME as CHECKPOINT

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


def _earlier(args: argparse.Namespace) -> dict[str, Any]:
    """Return the run file to start from: the one that is named, or that of the run to resume."""
    if args.settings:
        return read_run(args.settings, command="train")
    own = args.output / NAME
    return read_run(own, command="train") if args.resume and own.exists() else {}


def _paths(earlier: Mapping[str, Any], name: str) -> list[Path]:
    return [Path(p) for p in earlier.get(name, ())]


def _card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read as JSON: {error}.") from None
    if not isinstance(card, dict):
        raise SettingsError(f'{path} is no JSON object, such as {{"title": "My cells"}}.')
    return card


# -- what is shown --------------------------------------------------------------------------------


def _show(events: Iterator[Event], output: Path, content: Mapping[str, Any]) -> None:
    from ..events import EpochDone, Started, StepDone, Trained

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
                scores = _scores(event.scores) or "not validated"
                say(f"{event.path}: {scores}, {event.seconds:.0f} s")


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
    from ..training.checkpoint import NAME as CHECKPOINT

    if (output / CHECKPOINT).exists():
        again = f"napari-monai train --output {shlex.quote(str(output))} --resume"
        complain(f"stopped; go on with: {again}", level="")
