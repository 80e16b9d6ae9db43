"""Frozen dataclasses from the plain JSON parameters of an operation, each checked by its type."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import ModelError, did_you_mean

T = TypeVar("T")


def with_parameters(kind: type[T], parameters: Mapping[str, Any], what: str) -> T:
    """Return a dataclass with its parameters; lists become tuples.

    Parameters
    ----------
    kind
        The dataclass. A ValueError of its own says what is wrong with a value.
    parameters
        Its fields by name; what stands inside a list is not looked at.
    what
        The operation, as errors call it.

    Raises
    ------
    ModelError
        For a parameter that is unknown, missing, of a wrong type or out of its range.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    values = {}
    for key, value in parameters.items():
        if key not in fields:
            cure = did_you_mean(key, fields) if fields else "It has none."
            raise ModelError(f"{what} has no parameter {key!r}. {cure}")
        if not _fits(value, hints[key]):
            raise ModelError(f"{what}: {key} is no {fields[key].type}: {value!r}.")
        values[key] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{what}: {error}.") from None


def _fits(value: object, hint: Any) -> bool:
    """Whether a JSON value fits a parameter's type; what stands in a list is not looked at."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if origin is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if origin is tuple:
        return isinstance(value, (list, tuple))
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint
