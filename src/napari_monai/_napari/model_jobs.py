"""What the Models widget does in a thread beside the window: list, import, export, delete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import NapariMonaiError
from ..events import Compressed, Event, Said
from ..models import Model, catalogue, shelf, user_folder
from ..models.card import bytes_word, card_rows, is_allowed, trust_word
from ..models.costs import Cost, cost, known_cost
from ..models.fitting import Fit
from .choices import Asked, choices_for
from .jobs import Steps
from .smooth import load_torch


@dataclass(frozen=True)
class Entry:
    """A model as the list shows it; ``joined`` names the layers that are its channels."""

    model: Model
    fit: Fit
    size: int
    trust: str
    allowed: bool
    card: dict[str, str]
    preview: Path | None
    own: bool
    joined: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether the model can run at all."""
        return not self.model.description.blockers


@dataclass(frozen=True)
class Listing:
    """The models of the store, the best first, and what is wrong with others."""

    entries: Sequence[Entry]
    problems: Sequence[str]


@dataclass(frozen=True)
class Refused(Event):
    """One of several models cannot be imported."""

    error: NapariMonaiError


@dataclass(frozen=True)
class Changed(Event):
    """The store is another one; ``name`` is the model to be shown."""

    name: str


def listing(wanted: Asked | None) -> Listing:
    """Return the models of the store with how they fit an image."""
    found = catalogue()
    entries = [
        Entry(
            choice.model,
            choice.fit,
            shelf.size(choice.model),
            trust_word(choice.model),
            is_allowed(choice.model),
            card_rows(choice.model),
            shelf.preview(choice.model),
            shelf.is_own(choice.model),
            tuple(layer.name for layer in choice.layers),
        )
        for choice in choices_for(found.models, wanted)
    ]
    return Listing(entries, [str(problem) for problem in found.problems])


def counted(model: Model) -> tuple[Model, Cost]:
    """Return a model with what it costs. Torch is imported here where it takes that."""
    known = known_cost(model)
    if known is None and model.description.network.source in ("table", "python"):
        load_torch()
    return model, known or cost(model)


def import_all(sources: Iterable[str | Path], **options: Any) -> Steps:
    """Import models one after the other; one that fails does not stop the others."""
    from ..models.fetching import import_steps

    load_torch()
    for source in sources:
        yield Said(f"Importing {getattr(source, 'name', source)}…")
        try:
            yield from import_steps(source, **options)
        except NapariMonaiError as error:
            yield Refused(error)


def export_steps(model: Model, target: Path, **options: Any) -> Steps:
    """Write a model in a format that others read. Torch is imported here."""
    yield Said(f"Exporting {model.name}…")
    load_torch()
    from ..models.importing import export_model

    written = export_model(model, target, **options)
    yield Said(f"Wrote {written.name}.")


def compress_steps(model: Model, name: str, method: Any, wanted: Asked) -> Steps:
    """Put a smaller copy of a model into the store, measured on an image. Torch comes in here."""
    yield Said(f"Making {model.name} smaller…")
    shelf.check_free(name)
    (choice,) = choices_for([model], wanted)
    assert choice.volume is not None
    load_torch()
    from ..models import compression

    steps = compression.compress_steps(
        model, user_folder() / name, method=method, calibration=choice.volume, name=name
    )
    for event in steps:
        yield event
        if isinstance(event, Compressed):
            yield Changed(name)
            yield Said(f"{name} is in the list. {event.cost}")


def rename_steps(model: Model, name: str) -> Steps:
    """Give a model another name."""
    yield Changed(shelf.rename(model, name).name)
    yield Said(f"{model.name} is called {name} now.")


def remove_steps(model: Model) -> Steps:
    """Delete a model."""
    size = bytes_word(shelf.size(model))
    shelf.remove(model)
    yield Changed("")
    yield Said(f"{model.name} is deleted, {size} are free.")


def imported_words(model: Model) -> str:
    """Return that a model is imported, and why it cannot run if it cannot."""
    blockers = model.description.blockers
    return f"Imported {model.name}." + (f" It cannot run: {blockers[0]}" if blockers else "")
