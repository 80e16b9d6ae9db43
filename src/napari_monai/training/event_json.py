"""Events as JSON: what a training says travels from its process to others, and is kept.

A float that is no number, which JSON does not know, is written as a text; a path inside the
folder of the run is written relative to it, so that the folder can be moved.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from .. import events
from ..events import Event

_NAME = "event"


def to_json(event: Event, folder: Path) -> dict[str, Any]:
    """Return an event of the run in a folder as plain JSON values.

    Raises TypeError for one that holds more than numbers, texts, paths, and lists of them.
    """
    values = {f.name: _encoded(getattr(event, f.name), folder) for f in fields(event)}
    return {_NAME: type(event).__name__, **values}


def from_json(values: Mapping[str, Any], folder: Path) -> Event | None:
    """Return the event that `to_json` gave; ``None`` of one that this version does not know."""
    kind = getattr(events, str(values.get(_NAME)), None)
    if not (isinstance(kind, type) and issubclass(kind, Event)):
        return None
    try:
        hints = get_type_hints(kind)
        told = {
            name: _decoded(hint, values[name], folder)
            for name, hint in hints.items()
            if name in values
        }
        return kind(**told)
    except (KeyError, TypeError, ValueError, NameError):
        return None  # of another version, or not as we wrote it


def _encoded(value: Any, folder: Path) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        inside = value.is_relative_to(folder)
        return value.relative_to(folder).as_posix() if inside else str(value)
    if isinstance(value, Mapping):
        return {str(key): _encoded(one, folder) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_encoded(one, folder) for one in value]
    raise TypeError(f"{type(value).__name__} cannot be told to another process.")


def _decoded(hint: Any, value: Any, folder: Path) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        plain = [one for one in inner if one is not type(None)]
        return None if value is None else _decoded(plain[0], value, folder)
    if hint is Path:
        return folder / value  # an absolute one stays as it is
    if hint is float:
        return float(value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {str(key): _decoded(inner[1], one, folder) for key, one in value.items()}
    if origin is tuple:
        of = [inner[0]] * len(value) if inner[-1] is ... else inner
        return tuple(_decoded(h, one, folder) for h, one in zip(of, value, strict=True))
    return value
