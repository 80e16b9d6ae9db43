"""``napari-monai models``: what models there are, what one is, and the way in and out of them."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from ..settings import BARE_OPTIONS, COMPRESSIONS, WRITTEN_FORMATS
from .consent import add_trust, agree
from .output import bar, complain, follow, say, table

if TYPE_CHECKING:
    from ..models import Model
    from ..models.fitting import Fit
    from ..volume import Volume

_NAME = "A name in the list, or the path of a model of any format."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_list(actions)
    show = _action(actions, "show", "Show what a model is: its card.")
    show.add_argument("model", metavar="NAME_OR_PATH", help=_NAME)
    form = show.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="Show the whole description as JSON.")
    form.add_argument("--markdown", action="store_true", help="Show the card as Markdown.")
    _add_import(actions)
    rename = _action(actions, "rename", "Give a model of your own another name.")
    rename.add_argument("model", metavar="NAME", help="A name in the list.")
    rename.add_argument("name", metavar="NEW_NAME", help="Letters, digits, '.', '_' and '-'.")
    _add_export(actions)
    _add_compress(actions)
    remove = _action(actions, "remove", "Delete models of your own, with all their files.")
    remove.add_argument("model", metavar="NAME", nargs="+", help="A name in the list.")
    remove.add_argument("--yes", action="store_true", help="Do not ask.")


def _action(actions: Any, name: str, words: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = actions.add_parser(name, help=words, description=words)
    return made


def _add_list(actions: Any) -> None:
    parser = _action(actions, "list", "List the models.")
    parser.add_argument("--json", action="store_true", help="List them as JSON.")
    parser.add_argument(
        "--for",
        dest="image",
        nargs="+",
        metavar="IMAGE",
        help="Say which models fit this image, the best first, and why others do not. Several are "
        "the channels of one image.",
    )


def _add_import(actions: Any) -> None:
    parser = _action(actions, "import", "Put a model into your store. Nothing of it runs.")
    parser.add_argument(
        "source",
        metavar="PATH_OR_URL",
        help="File, folder or zip, or its http(s) address; or monai:NAME of MONAI's model zoo.",
    )
    parser.add_argument("--name", help="What to call it. (default: its own name)")
    parser.add_argument("--sha256", help="What the SHA-256 of a download has to be.")
    parser.add_argument(
        "--max-size",
        type=float,
        default=20.0,
        metavar="GB",
        help="What a download may have at most. (default: 20)",
    )
    bare = parser.add_argument_group("files that do not say it themselves: bare weights, graphs")
    for name, words in BARE_OPTIONS.items():
        bare.add_argument(f"--{name}", metavar="TEXT", help=words)


def _add_export(actions: Any) -> None:
    parser = _action(actions, "export", "Write a model in a format that others read.")
    parser.add_argument("model", metavar="NAME_OR_PATH", help=_NAME)
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="File or folder to write.")
    parser.add_argument(
        "--format",
        required=True,
        metavar="FORMAT",
        help=f"One of {', '.join(WRITTEN_FORMATS)}.",
    )
    parser.add_argument(
        "--half", action="store_true", help="Store the weights in 16 bits (native only)."
    )
    parser.add_argument(
        "--fold", type=int, metavar="N", help="Of a model of several networks this one, from 0 on."
    )
    add_trust(parser)


def _add_compress(actions: Any) -> None:
    words = "Make a smaller copy of a model, and say what that costs on an image of yours."
    parser = _action(actions, "compress", words)
    parser.add_argument("model", metavar="NAME_OR_PATH", help=_NAME)
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="Folder to write.")
    parser.add_argument(
        "--method",
        required=True,
        choices=COMPRESSIONS,
        help="; ".join(f"{name}: {words}" for name, words in COMPRESSIONS.items()) + ".",
    )
    parser.add_argument(
        "--image",
        required=True,
        nargs="+",
        metavar="IMAGE",
        help="Such as the model is for: the copy is measured on it. Several are its channels, in "
        "the order of the model.",
    )
    add_trust(parser)


def run(args: argparse.Namespace) -> int:
    """Do what is asked for."""
    actions = {
        "list": _list,
        "show": _show,
        "import": _import,
        "rename": _rename,
        "export": _export,
        "compress": _compress,
        "remove": _remove,
    }
    return actions[args.action](args)


# -- what there is --------------------------------------------------------------------------------

_COLUMNS = ("name", "task", "modality", "dims", "classes", "size", "licence", "trust")


def _list(args: argparse.Namespace) -> int:
    from .. import models

    found = models.catalogue()
    pairs: Sequence[tuple[Model, Fit | None]] = [(model, None) for model in found.models]
    if args.image is not None:
        from ..models.fitting import choose

        pairs = choose(found.models, _image(args.image))
    if args.json:
        say(json.dumps([_values(*pair) for pair in pairs], indent=2, ensure_ascii=False))
    elif pairs:
        heads = (*_COLUMNS, "fits") if args.image is not None else _COLUMNS
        table([heads, *(_row(*pair) for pair in pairs)])
    else:
        say(f"No model: put one into {models.user_folder()}, or train one.")
    for problem in found.problems:
        complain(str(problem), level="warning")
    return 0


def _image(paths: Sequence[str]) -> Volume:
    """Return an image, or several of one channel as the channels of one."""
    from ..io import read
    from ..joining import join_channels

    volumes = [read(path) for path in paths]
    return volumes[0] if len(volumes) == 1 else join_channels(volumes)


def _row(model: Model, fit: Fit | None) -> tuple[str, ...]:
    from ..models import card, shelf

    told = model.description
    row = (
        model.name,
        card.task(told),
        told.inputs.modality or "-",
        f"{told.inputs.spatial_dims}D",
        card.classes(told),
        card.bytes_word(shelf.size(model)),
        told.licence or "-",
        card.trust_word(model),
    )
    return row if fit is None else (*row, _fits(fit))


def _fits(fit: Fit) -> str:
    if fit.why_not is not None:
        return f"no: {fit.why_not}"
    return f"yes: {'; '.join(fit.notes)}" if fit.notes else "yes"


def _values(model: Model, fit: Fit | None) -> dict[str, Any]:
    """Return what a program wants to know of a model."""
    from ..models import shelf

    told = model.description
    values = {
        "name": told.name,
        "title": told.title,
        "version": told.version,
        "task": told.outputs.kind,
        "modality": told.inputs.modality,
        "spatial_dims": told.inputs.spatial_dims,
        "channels": list(told.inputs.channels),
        "classes": {str(c.number): c.name for c in told.labels},
        "size": shelf.size(model),
        "licence": told.licence,
        "trust": told.trust,
        "blockers": list(told.blockers),
        "folder": str(model.folder),
        "shipped": shelf.is_shipped(model),
    }
    if fit is not None:
        values["fits"] = {"why_not": fit.why_not, "notes": list(fit.notes)}
    return values


def _show(args: argparse.Namespace) -> int:
    from .. import models
    from ..models.card import card, card_rows
    from ..models.costs import cost

    model = models.load_model(args.model)
    if args.json:
        say(json.dumps(model.description.to_json(), indent=2, ensure_ascii=False))
        return 0
    cost(model)  # kept, and on the card from now on
    if args.markdown:
        say(card(model).rstrip())
        return 0
    for name, value in card_rows(model).items():
        # A path or a sum is of use in one piece only.
        lines = textwrap.wrap(value, 84, break_long_words=False, break_on_hyphens=False)
        for first, line in zip((name, *[""] * len(lines)), lines, strict=False):
            say(f"{first:<16}{line}")
    return 0


# -- the way in and out ---------------------------------------------------------------------------


def _import(args: argparse.Namespace) -> int:
    from ..events import BytesDone, Imported, Started
    from ..models.card import trust_word
    from ..models.fetching import bare_options, import_steps

    steps = import_steps(
        args.source,
        name=args.name,
        sha256=args.sha256,
        most=round(args.max_size * 1e9),
        **bare_options({name: getattr(args, name) for name in BARE_OPTIONS}),
    )
    with bar(None, "B") as progress:
        for event in follow(steps):
            if isinstance(event, Started):
                progress.unit, progress.total = f" {event.what}", event.total
            elif isinstance(event, BytesDone):
                progress.update(event.done - progress.n)
            elif isinstance(event, Imported):
                model = event.model
    say(f"{model.name} ({trust_word(model)}): {model.folder}")
    for blocker in model.description.blockers:
        complain(f"{model.name} cannot run: {blocker}", level="warning")
    return 0


def _export(args: argparse.Namespace) -> int:
    from .. import models
    from ..models.importing import export_model

    model = models.load_model(args.model)
    if args.trust:
        agree(model)
    options: dict[str, Any] = {"half": True} if args.half else {}
    if args.fold is not None:
        options["fold"] = args.fold
    say(str(export_model(model, args.output, format=args.format, **options)))
    return 0


def _compress(args: argparse.Namespace) -> int:
    from .. import models
    from ..events import Compressed, Started, WindowDone
    from ..models.compression import compress_steps

    model = models.load_model(args.model)
    if args.trust:
        agree(model)
    image = _image(args.image)
    steps = compress_steps(model, args.output, method=args.method, calibration=image)
    with bar(None, "windows") as progress:
        for event in follow(steps):
            if isinstance(event, Started):
                progress.total = event.total
            elif isinstance(event, WindowDone):
                progress.update(event.done - progress.n)
            elif isinstance(event, Compressed):
                done = event
    say(str(done.model.folder))
    say(str(done.cost))
    return 0


def _rename(args: argparse.Namespace) -> int:
    from .. import models
    from ..models import shelf

    model = shelf.rename(models.find(args.model), args.name)
    say(f"{model.name}: {model.folder}")
    return 0


def _remove(args: argparse.Namespace) -> int:
    from .. import models
    from ..models import card, shelf

    found = [models.find(name) for name in args.model]
    for model in found:
        shelf.check_own(model, "deleted")  # all of them, before the first is gone
    for model in found:
        what = f"{model.name} ({card.bytes_word(shelf.size(model))}, {model.folder})"
        if not (args.yes or _agreed(f"Delete {what}?")):
            say(f"{model.name} stays.")
            continue
        shelf.remove(model)
        say(f"{model.name} is deleted.")
    return 0


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise SettingsError("Nobody is there to be asked: add --yes to delete.")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
