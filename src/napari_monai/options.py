"""What settings are made of: checked fields that a form and a command line can offer."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from .errors import SettingsError, did_you_mean


def option(
    default: Any,
    help: str,
    *,
    label: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    step: float | None = None,
    advanced: bool = True,
    flag: str | None = None,
) -> Any:
    """Return a dataclass field with what a form and a command line need to know of it.

    Parameters
    ----------
    default
        Default value; immutable.
    help
        One sentence: the tooltip and the ``--help`` text.
    label
        Name on the form; the field's name with spaces when left out.
    minimum, maximum
        Limits, inclusive; checked when the settings are made.
    step
        Step of the spin box.
    advanced
        Whether the form folds it away.
    flag
        Command line flag; ``--field-name`` when left out.
    """
    meta = {
        "help": help,
        "label": label,
        "minimum": minimum,
        "maximum": maximum,
        "step": step,
        "advanced": advanced,
        "flag": flag,
    }
    return dataclasses.field(default=default, metadata=meta)


@dataclass(frozen=True)
class Option:
    """A settings field as forms and command lines see it."""

    name: str
    type: type
    choices: tuple[str, ...]
    optional: bool
    default: Any
    help: str
    label: str
    flag: str
    minimum: float | None
    maximum: float | None
    step: float | None
    advanced: bool


@dataclass(frozen=True)
class Settings:
    """Base of all settings: checked when made, to and from plain JSON."""

    def __post_init__(self) -> None:
        for item in self.options():
            value = _checked(item, getattr(self, item.name))
            object.__setattr__(self, item.name, value)

    @classmethod
    def options(cls) -> tuple[Option, ...]:
        """Return the fields in order, with types and limits resolved."""
        hints = get_type_hints(cls)
        return tuple(_option(f, hints[f.name]) for f in dataclasses.fields(cls))

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Make settings from plain JSON values; missing ones take their default.

        Raises SettingsError for an unknown name or a wrong value.
        """
        known = [f.name for f in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise SettingsError(f"No setting named {name!r}. {did_you_mean(name, known)}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _option(f: dataclasses.Field[Any], hint: Any) -> Option:
    args = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    plain = [a for a in args if a is not type(None)]
    kind, choices = plain[0], ()
    if get_origin(kind) is Literal:
        choices, kind = get_args(kind), str
    elif get_origin(kind) is tuple:
        kind = tuple
    return Option(
        name=f.name,
        type=kind,
        choices=choices,
        optional=len(plain) < len(args),
        default=f.default,
        help=f.metadata["help"],
        label=f.metadata["label"] or f.name.replace("_", " ").capitalize(),
        flag=f.metadata["flag"] or "--" + f.name.replace("_", "-"),
        minimum=f.metadata["minimum"],
        maximum=f.metadata["maximum"],
        step=f.metadata["step"],
        advanced=f.metadata["advanced"],
    )


def _checked(item: Option, value: Any) -> Any:
    """Return the value in the option's type, or raise SettingsError."""
    if value is None:
        if item.optional:
            return None
        raise SettingsError(f"{item.label} needs a value.")
    if item.choices:
        if value not in item.choices:
            raise SettingsError(
                f"{item.label} is {value!r}; {did_you_mean(str(value), item.choices)}"
            )
        return value
    if item.type is tuple:
        numbers = tuple(value) if isinstance(value, (tuple, list)) else None
        if not numbers or not all(type(n) is int for n in numbers):
            raise SettingsError(f"{item.label} needs whole numbers, one an axis, not {value!r}.")
        value = numbers
    elif item.type is float and type(value) is int:
        value = float(value)
    elif type(value) is not item.type:
        raise SettingsError(f"{item.label} needs {_noun(item.type)}, not {value!r}.")
    for number in value if item.type is tuple else (value,):
        low, high = item.minimum, item.maximum
        if (low is not None and not number >= low) or (high is not None and not number <= high):
            raise SettingsError(f"{item.label} is {value}; it goes {_span(low, high)}.")
    return value


def _noun(kind: type) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]


def _span(low: float | None, high: float | None) -> str:
    if low is None:
        return f"up to {high}"
    return f"from {low} up" if high is None else f"from {low} to {high}"
