"""The model of a training becomes one of the user's store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..models import Model, read_model, user_folder
from ..models.importing import write_native
from ..models.shelf import check_free
from ..models.store import catalogue
from .run_folder import MODEL


def add_to_store(folder: Path, name: str | None = None) -> Model:
    """Put the best model of a training into the user's store.

    Parameters
    ----------
    folder
        The folder of the training.
    name
        What to call it; ``None``: as it is called, with a number where there is one of that name.

    Raises
    ------
    ModelError
        If the training has made no model yet, it is damaged, or the name is taken.
    WriteError
        If the store cannot be written.
    """
    made = read_model(folder / MODEL)
    if name is None:
        name = _free(made.name)
    check_free(name)
    told = replace(made.description, name=name)
    return write_native(replace(made, description=told), user_folder() / name)


def _free(name: str) -> str:
    """Return a name, or the first one after it with a number, that no model has."""
    taken = {model.name.casefold() for model in catalogue().models}
    number, free = 1, name
    while free.casefold() in taken or (user_folder() / free).exists():
        number += 1
        free = f"{name}-{number}"
    return free
