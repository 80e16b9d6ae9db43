"""The card of a model in plain words: what it is, for whom, how good, from whom, what it needs."""

from __future__ import annotations

import json
from typing import Any

from ..errors import TrustError
from . import shelf, trust
from .costs import known_cost
from .description import ModelDescription
from .formats import FORMATS
from .parts import Inferer, NetworkSpec
from .store import Model

_TRUST = {
    "data_only": "data only",
    "native_code": "runs code",
    "python_code": "runs Python code",
}
_FEW = 3


def task(description: ModelDescription) -> str:
    """Return what a model tells apart, in a word: instances or classes."""
    return description.outputs.kind


def classes(description: ModelDescription) -> str:
    """Return the names of the classes, or their number where they are many."""
    names = [label.name for label in description.labels]
    return ", ".join(names) if len(names) <= _FEW else f"{len(names)} classes"


def trust_word(model: Model) -> str:
    """Return what runs when a model does, in two words or three."""
    word = _TRUST[model.description.trust]
    if model.description.trust == "data_only":
        return word
    return f"{word}, allowed" if is_allowed(model) else f"{word}, not allowed"


def is_allowed(model: Model) -> bool:
    """Whether a model may run as far as trust goes: it is data alone, or the user has agreed."""
    try:
        trust.require(model)
    except TrustError:
        return False
    return True


def origin(model: Model) -> str:
    """Return the format that a model came in, and the name of its file where that is known."""
    came = model.description.training.get("imported_from")
    came = came if isinstance(came, dict) else {}
    name = came.get("format", model.origin)
    title = next((f.title for f in FORMATS if f.name == name), str(name))
    return ", ".join(str(part) for part in (title, came.get("file")) if part)


def bytes_word(count: int) -> str:
    """Return such as ``"6.3 MB"``."""
    power = min(4, max(0, len(str(count)) - 1) // 3)
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def card_rows(model: Model) -> dict[str, str]:
    """Return the card as headings and their texts, in order; what is not known is left out."""
    told = model.description
    inputs, inferer = told.inputs, told.inferer
    asked = trust.needs_consent(model)
    costs = known_cost(model)
    rows = {
        "name": f"{told.name} {told.version}",
        "title": told.title,
        "description": told.description,
        "cannot run": " ".join(told.blockers),
        "intended use": told.intended_use,
        "limits": told.limits,
        "task": task(told),
        "classes": ", ".join(f"{c.number} {c.name}" for c in told.labels),
        "modality": inputs.modality,
        "input": f"{inputs.spatial_dims}D, {', '.join(inputs.channels)}",
        "scores": _pairs(told.scores),
        "licence": told.licence,
        "authors": ", ".join(told.authors),
        "citations": "; ".join(told.citations),
        "trust": asked or "data only: nothing of it runs but numbers",
        "network": _network(told.network),
        "cost": "" if costs is None else str(costs),
        "preprocess": ", ".join(_called(o.name, o.parameters) for o in told.preprocess),
        "window": _window(inferer),
        "output": f"{told.outputs.kind}: {', '.join(told.outputs.channels)}",
        "postprocess": ", ".join(_called(o.name, o.parameters) for o in told.postprocess),
        "training": _pairs({k: v for k, v in told.training.items() if k != "imported_from"}),
        "size": bytes_word(shelf.size(model)),
        "weights": ", ".join(f"{w.path}, sha256 {w.sha256}" for w in told.weights),
        "origin": origin(model),
        "folder": str(model.folder),
    }
    return {name: text for name, text in rows.items() if text}


def card(model: Model) -> str:
    """Return the card as Markdown, which reads as plain text too."""
    rows = card_rows(model)
    lines = [f"# {_escaped(rows.pop('title', model.name))}", ""]
    about = rows.pop("description", "")
    lines += [_escaped(about), ""] if about else []
    lines += [f"- **{name}**: {_escaped(text)}" for name, text in rows.items()]
    return "\n".join(lines) + "\n"


def _window(inferer: Inferer) -> str:
    if inferer.kind == "simple":
        return "the whole image at once"
    size = " x ".join(map(str, inferer.window))
    copies = ", mirrored copies" if inferer.flips else ""
    return f"{size}, overlap {inferer.overlap:g}, {inferer.blend}{copies}"


def _escaped(text: str) -> str:
    """Return text in one line that Markdown shows as it is."""
    plain = " ".join(text.split())
    for sign in "\\`*_<>[]":
        plain = plain.replace(sign, f"\\{sign}")
    return plain


def _network(network: NetworkSpec) -> str:
    if network.source == "python":
        return f"Python code: {network.code.call}"
    return _called(network.name, network.arguments)


def _called(name: str, arguments: Any) -> str:
    return f"{name}({_pairs(arguments)})" if arguments else name


def _pairs(values: Any) -> str:
    return ", ".join(f"{k} {_plain(v)}" for k, v in values.items())


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return f"({_pairs(value)})"
    return value if isinstance(value, str) else json.dumps(value, default=str)
