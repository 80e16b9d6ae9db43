"""``napari-monai models``: what models there are, and what one is."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import TYPE_CHECKING, Any

from .output import complain, say, table

if TYPE_CHECKING:
    from ..models import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="List the models by name.", description="List the models.")
    show = actions.add_parser(
        "show", help="Show what a model is: its card.", description="Show what a model is."
    )
    show.add_argument("model", metavar="NAME_OR_PATH", help="A name in the list, or a folder.")
    show.add_argument("--json", action="store_true", help="Show the whole description as JSON.")


def run(args: argparse.Namespace) -> int:
    """List the models, or show one."""
    return _list() if args.action == "list" else _show(args)


def _list() -> int:
    from .. import models

    found = models.catalogue()
    rows: list[tuple[str, ...]] = [("name", "labels", "axes", "input", "size", "title")]
    rows += [_row(model) for model in found.models]
    if found.models:
        table(rows)
    else:
        say(f"No model: put one into {models.user_folder()}, or train one.")
    for problem in found.problems:
        complain(str(problem), level="warning")
    return 0


def _row(model: Model) -> tuple[str, ...]:
    card = model.description
    kind = card.outputs.kind
    labels = kind if kind == "instances" else f"{len(card.labels)} {kind}"
    channels = len(card.inputs.channels)
    takes = "colour" if card.inputs.colour else f"{channels} channel{'s' * (channels > 1)}"
    return (model.name, labels, f"{card.inputs.spatial_dims}D", takes, _size(model), card.title)


def _size(model: Model) -> str:
    files = [model.folder / w.path for w in model.description.weights]
    return f"{sum(f.stat().st_size for f in files if f.is_file()) / 1e6:.1f} MB"


def _show(args: argparse.Namespace) -> int:
    from .. import models

    model = models.load_model(args.model)
    if args.json:
        say(json.dumps(model.description.to_json(), indent=2, ensure_ascii=False))
        return 0
    for name, value in _card(model).items():
        # A path or a sum is of use in one piece only.
        lines = textwrap.wrap(value, 84, break_long_words=False, break_on_hyphens=False)
        for first, line in zip((name, *[""] * len(lines)), lines, strict=False):
            say(f"{first:<16}{line}")
    return 0


def _card(model: Model) -> dict[str, str]:
    """Return the model card as lines: what, then text."""
    card = model.description
    inferer, inputs = card.inferer, card.inputs
    window = " x ".join(map(str, inferer.window))
    return {
        "name": f"{card.name} {card.version}",
        "title": card.title,
        "description": card.description,
        "intended use": card.intended_use,
        "limits": card.limits,
        "licence": card.licence,
        "authors": ", ".join(card.authors),
        "citations": "; ".join(card.citations),
        "input": f"{inputs.spatial_dims}D, {', '.join(inputs.channels)}",
        "preprocess": ", ".join(_called(o.name, o.parameters) for o in card.preprocess),
        "network": _called(card.network.name, card.network.arguments),
        "window": f"{window}, overlap {inferer.overlap:g}, {inferer.blend}"
        + (", mirrored copies" if inferer.flips else ""),
        "output": f"{card.outputs.kind}: {', '.join(card.outputs.channels)}",
        "postprocess": ", ".join(_called(o.name, o.parameters) for o in card.postprocess),
        "labels": ", ".join(f"{c.number} {c.name}" for c in card.labels),
        "training": _pairs(card.training),
        "scores": _pairs(card.scores),
        "weights": ", ".join(f"{w.path}, {_size(model)}, sha256 {w.sha256}" for w in card.weights),
        "folder": str(model.folder),
    }


def _called(name: str, arguments: Any) -> str:
    return f"{name}({_pairs(arguments)})"


def _pairs(values: Any) -> str:
    return ", ".join(f"{k} {_plain(v)}" for k, v in values.items())


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)
