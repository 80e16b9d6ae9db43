"""The arguments of a bundle's transforms and inferers, and which of them nobody asked for."""

from __future__ import annotations

from typing import Any

from ..errors import ModelError
from .bundle_values import Component, Symbol

# Arguments that change no voxel of what we run.
_HARMLESS = {
    "allow_missing_keys", "align_corners", "channel_dim", "data_type", "device", "drop_meta_keys",
    "dtype", "ensure_channel_first", "image_only", "keys", "labels", "lazy", "meta_key_postfix",
    "meta_keys", "overwriting", "prune_meta_pattern", "prune_meta_sep", "reader",
    "recompute_affine", "scale_extent", "simple_keys", "source_key", "start_coord_key",
    "end_coord_key", "strict_check", "track_meta", "wrap_sequence", "converter",
}  # fmt: skip


class Arguments:
    """The arguments of one transform, which remember what has been asked for."""

    def __init__(self, component: Component) -> None:
        self.component = component
        self.asked = set(_HARMLESS)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value; a list of one, for one key, is its item."""
        self.asked.add(key)
        value = self.component.get(key, default)
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a truth value; bundles write it as a text too."""
        value = self.get(key, default)
        if isinstance(value, str):
            return value.strip().lower() == "true"
        return bool(value)

    def number(self, key: str, default: float | None = None) -> float | None:
        """Return a number or ``None``."""
        value = self.get(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ModelError(f"{key} is no number but {value!r}.")
        return value

    def numbers(self, key: str, count: int) -> list[Any]:
        """Return a list of numbers; one, or the last, stands for those that are missing."""
        self.asked.add(key)
        value = self.component.get(key)
        values = list(value) if isinstance(value, list) else [value]
        if not values or any(type(v) not in (int, float) for v in values if v is not None):
            raise ModelError(f"{key} is no list of numbers but {value!r}.")
        return (values + values[-1:] * count)[:count]

    def finish(self) -> None:
        """Raise ModelError for an argument that nobody asked for."""
        left = [key for key in self.component.keys if key not in self.asked]
        if left:
            raise ModelError(f"its argument {left[0]} is not known.")
        casts = self.component.name.startswith(("CastTo", "EnsureType"))
        if not casts and type_name(self.component.get("dtype")):
            raise ModelError(f"its dtype {self.component.get('dtype')!r} is no float type.")


def flattened(value: Any) -> list[Any]:
    """Return the transforms of a ``Compose``, or of one in another, one after the other."""
    if value is None:
        return []
    if isinstance(value, Component) and value.name == "Compose" and not value.own_code:
        return flattened(value.get("transforms"))
    if isinstance(value, list):
        return [t for item in value for t in flattened(item)]
    return [value]


def label(transform: Any) -> str:
    """Return what a transform is called in a message."""
    return transform.target if isinstance(transform, Component) else type(transform).__name__


def key_list(value: Any) -> list[str]:
    """Return keys, which bundles give as one text or several."""
    keys = value if isinstance(value, list) else [value]
    if not all(isinstance(key, str) for key in keys):
        raise ModelError(f"its keys are no names but {value!r}.")
    return keys


def type_name(dtype: Any) -> str:
    """Return the name of a number type, ``""`` for one that holds what a network takes."""
    name = dtype.name if isinstance(dtype, Symbol) else str("float32" if dtype is None else dtype)
    short = name.rpartition(".")[2]
    return "" if short.startswith("float") or short in ("half", "double") else short
