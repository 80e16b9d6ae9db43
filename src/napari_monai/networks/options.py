"""The options of a network: a frozen dataclass on one side, plain JSON on the other."""

from __future__ import annotations

import copy
import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ..errors import NetworkError, did_you_mean

# A layer by its name in MONAI's factories, alone or with its arguments: "instance" or
# ("group", {"num_groups": 8}); JSON has a list for the pair.
Layer = str | tuple[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What every network needs to know; the options of an architecture extend it.

    Attributes
    ----------
    spatial_dims : int
        2 for images, 3 for volumes.
    in_channels, out_channels : int
        Channels of the input and of the logits.
    """

    spatial_dims: int
    in_channels: int
    out_channels: int

    def __post_init__(self) -> None:
        """Refuse channels that no image has."""
        require(self.in_channels >= 1, "in_channels", self.in_channels, "1 or more")
        require(self.out_channels >= 1, "out_channels", self.out_channels, "1 or more")

    @property
    def size_multiple(self) -> int:
        """What spatial sizes have to be multiples of: 1, as networks pad within."""
        return 1

    @property
    def fixed_size(self) -> tuple[int, ...] | None:
        """The one size of windows that the network was made for; None where it takes any."""
        return None


OptionsT = TypeVar("OptionsT", bound=NetworkOptions)


def require(fits: bool, name: str, value: object, wanted: str) -> None:
    """Raise a :class:`NetworkError` that says what the value of an option has to be."""
    if not fits:
        raise NetworkError(f"The network option {name} is {show(value)}: give {wanted}.")


def require_dropout(value: float, name: str = "dropout") -> None:
    """Refuse a dropout probability outside 0 to 1."""
    require(0 <= value < 1, name, value, "a probability from 0 up to, not including, 1")


def require_whole(name: str, value: int | Sequence[int]) -> None:
    """Refuse a number, or any of a list, below 1."""
    if isinstance(value, int):
        require(value >= 1, name, value, "1 or more")
    else:
        require(min(value, default=1) >= 1, name, value, "whole numbers of 1 or more")


def require_list(name: str, values: Sequence[object], length: int) -> None:
    """Refuse a list of another length."""
    require(len(values) == length, name, values, f"a list of {length}")


def require_axes(
    name: str, value: int | tuple[int, ...], spatial_dims: int, *, odd: bool = False
) -> None:
    """Refuse what is not one size of 1 or more, odd where asked for, or one for each axis."""
    sizes = (value,) if isinstance(value, int) else value
    fits = isinstance(value, int) or len(value) == spatial_dims
    fits = fits and all(size >= 1 and (size % 2 == 1 or not odd) for size in sizes)
    kind = "odd number" if odd else "number of 1 or more"
    require(fits, name, value, f"one {kind}, or one for each of the {spatial_dims} axes")


def per_axis(value: int | Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    """Return one size for each axis."""
    return (value,) * spatial_dims if isinstance(value, int) else tuple(value)


def total_stride(strides: Sequence[int | Sequence[int]], spatial_dims: int) -> tuple[int, ...]:
    """Return by how much each axis shrinks in all, from the strides of the levels."""
    steps = zip(*(per_axis(stride, spatial_dims) for stride in strides), strict=True)
    return tuple(math.prod(each) for each in steps)


def as_arguments(options: NetworkOptions) -> dict[str, Any]:
    """Return options as keyword arguments, copied, as MONAI changes mappings in place."""
    return copy.deepcopy(vars(options))


def read_options(cls: type[OptionsT], arguments: Mapping[str, Any], *, name: str) -> OptionsT:
    """Make the options of a network from plain JSON.

    Parameters
    ----------
    cls : type
        The options dataclass of the architecture.
    arguments : Mapping
        Names to JSON values; lists stand for tuples.
    name : str
        The network's name, for messages.

    Raises
    ------
    NetworkError
        For an argument that is missing, unknown, of the wrong type or out of its range.
    """
    if not isinstance(arguments, Mapping):
        raise NetworkError(f"The arguments of {name!r} are {show(arguments)}: give a mapping.")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in arguments:
        if key not in fields:
            raise NetworkError(
                f"The network {name!r} has no option {key!r}. {_hint(str(key), list(fields))}"
            )
    for key, field in fields.items():
        if field.default is dataclasses.MISSING and key not in arguments:
            raise NetworkError(f"The network {name!r} needs {key}: give it.")
    hints = get_type_hints(cls)
    values = {key: _freeze(value) for key, value in arguments.items()}
    for key, value in values.items():
        require(_fits(value, hints[key]), key, arguments[key], _describe(hints[key]))
    return cls(**values)


def write_options(options: NetworkOptions) -> dict[str, Any]:
    """Return options as plain JSON, complete, lists for tuples."""
    return {
        field.name: _thaw(getattr(options, field.name)) for field in dataclasses.fields(options)
    }


def show(value: object, limit: int = 60) -> str:
    """Return a value as it stands in a one-line message: JSON style, cut when long."""
    text = repr(_thaw(value)).replace("\n", " ")
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _hint(key: str, accepted: list[str]) -> str:
    """Return the near miss, if there is one, and all accepted names."""
    near = did_you_mean(key, accepted)
    names = f"It takes {', '.join(accepted)}."
    return f"{near} {names}" if near.startswith("Did") else names


def _freeze(value: Any) -> Any:
    """Turn lists into tuples all the way down, and copy mappings."""
    if isinstance(value, list | tuple):
        return tuple(_freeze(item) for item in value)
    if isinstance(value, Mapping):
        return {key: _freeze(item) for key, item in value.items()}
    return value


def _thaw(value: Any) -> Any:
    """Turn tuples into lists all the way down, and copy mappings."""
    if isinstance(value, list | tuple):
        return [_thaw(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _thaw(item) for key, item in value.items()}
    return value


def _fits(value: Any, hint: Any) -> bool:
    """Say whether a frozen value is one that an annotation admits.

    Booleans are no numbers, whole numbers are floats too, and no float is infinite or nan, which
    JSON cannot write.
    """
    origin, inside = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, choice) for choice in inside)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in inside)
    if origin is dict:
        return isinstance(value, dict) and all(isinstance(key, str) for key in value)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if inside[-1] is Ellipsis:
            return all(_fits(item, inside[0]) for item in value)
        return len(value) == len(inside) and all(map(_fits, value, inside))
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is hint


def _describe(hint: Any) -> str:
    """Return an annotation in words, for the end of a message."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(choice) for choice in inside)
    if origin is Literal:
        return " or ".join(map(repr, inside))
    if origin is dict:
        return "a mapping"
    if origin is tuple:
        if inside[-1] is Ellipsis:
            return f"a list of ({_describe(inside[0])})"
        return f"[{', '.join(map(_describe, inside))}]"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return words.get(hint, "null" if hint is type(None) else "a value")
