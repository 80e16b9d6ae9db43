"""Frozen dataclasses to plain JSON values and strictly back: every key known, every type right."""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from ..errors import ModelError, did_you_mean

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Return a value of dataclasses, mappings, sequences and numbers as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
        return {f.name: encode(part) for f, part in parts if not _is_unsaid(f, part)}
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    # A score of nothing is NaN, which JSON has no word for.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_unsaid(f: dataclasses.Field[Any], value: object) -> bool:
    """Whether a field is left out: as it is by default, and said only where it is not."""
    return f.metadata.get("say") == "unless default" and bool(value == f.default)


def _decode(value: object, hint: Any, key: str) -> Any:
    """Return a JSON value as the type that ``hint`` names, or raise ModelError naming ``key``."""
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return decode_dataclass(value, hint, key)
    if origin is tuple:
        items = _expect(value, list, "a list", key)
        inner = get_args(hint)[0]
        return tuple(_decode(v, inner, f"{key}[{i}]") for i, v in enumerate(items))
    if origin is Literal:
        if value not in get_args(hint):
            raise ModelError(f"{key} is {value!r}. {did_you_mean(str(value), get_args(hint))}")
        return value
    if origin in (Union, types.UnionType):
        return _decode_union(value, get_args(hint), key)
    if origin is not None and issubclass(origin, Mapping):
        return dict(_expect(value, dict, "an object", key))
    if hint is float and type(value) is int:
        return float(value)
    nouns = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return _expect(value, hint, nouns[hint], key)


def _decode_union(value: object, hints: tuple[Any, ...], key: str) -> Any:
    """Return a JSON value as the one of several types that it can be: null, a list, a value."""
    if value is None and type(None) in hints:
        return None
    plain = [h for h in hints if h is not type(None)]
    lists = [h for h in plain if get_origin(h) is tuple]
    others = [h for h in plain if h not in lists]
    fitting = lists if isinstance(value, list) else others
    return _decode(value, (fitting or plain)[0], key)


def decode_dataclass(value: object, hint: type[T], key: str) -> T:
    """Return a JSON object as a dataclass, or raise ModelError naming the key; "" is the top."""
    values = _expect(value, dict, "an object", key or "the description")
    fields = {f.name: f for f in dataclasses.fields(hint)}  # type: ignore[arg-type]
    prefix = f"{key}." if key else ""
    for name in values:
        if name not in fields:
            raise ModelError(f"unknown key {prefix}{name}. {did_you_mean(name, fields)}")
    for name, f in fields.items():
        optional = (f.default, f.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        if name not in values and not optional:
            raise ModelError(f"key {prefix}{name} is missing.")
    hints = get_type_hints(hint)
    return hint(**{k: _decode(v, hints[k], f"{prefix}{k}") for k, v in values.items()})


def _expect(value: object, kind: type[T], noun: str, key: str) -> T:
    # By type, not isinstance: true is no number.
    if type(value) is not kind:
        raise ModelError(f"{key} needs {noun}, not {json.dumps(value)[:60]}.")
    return value
