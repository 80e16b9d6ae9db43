"""Command line options made from a settings dataclass, and settings made from them again."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..errors import SettingsError
from ..settings import Option, Settings

S = TypeVar("S", bound=Settings)

_PREFIX = "setting "  # keeps the settings apart from a command's own arguments
AUTO = "auto"


def add_settings(parser: argparse.ArgumentParser, kind: type[Settings], *, unset: str) -> None:
    """Add an option a field, with the words of the form's tooltips.

    ``unset`` says what an optional setting is when it is left out: "auto, as the model says".
    """
    group = parser.add_argument_group("settings")
    for item in kind.options():
        _add(group, item, unset)


def settings_from(args: argparse.Namespace, kind: type[S], base: Mapping[str, Any]) -> S:
    """Return the settings: ``base`` (from a run file), replaced by the flags that were given."""
    given = {
        name.removeprefix(_PREFIX): value
        for name, value in vars(args).items()
        if name.startswith(_PREFIX)
    }
    return kind.from_json({**base, **given})


def _add(group: argparse._ArgumentGroup, item: Option, unset: str) -> None:
    default = unset if item.default is None else _shown(item.default)
    if item.type is bool:
        default = default.removeprefix(f"{AUTO}, ")  # a switch takes no word
    common: dict[str, Any] = {
        "dest": _PREFIX + item.name,
        "default": argparse.SUPPRESS,
        "help": f"{item.help} ({_limits(item)}default: {default})".replace("%", "%%"),
    }
    if item.type is bool:
        group.add_argument(item.flag, action=argparse.BooleanOptionalAction, **common)
    elif item.choices:
        choices = dict.fromkeys((*item.choices, *((AUTO,) if item.optional else ())))
        kind = _or_auto(str) if item.optional and AUTO not in item.choices else str
        metavar = "{" + ",".join(choices) + "}"
        group.add_argument(
            item.flag,
            type=kind,
            choices=[*item.choices, None] if item.optional else item.choices,
            metavar=metavar,
            **common,
        )
    else:
        kind = _numbers if item.type is tuple else item.type
        group.add_argument(
            item.flag,
            type=_or_auto(kind) if item.optional else kind,
            metavar="N,N" if item.type is tuple else {int: "N", float: "X"}.get(item.type, "NAME"),
            **common,
        )


def _or_auto(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a reader of values for which "auto" unsets the setting."""

    def read(text: str) -> Any:
        return None if text == AUTO else kind(text)

    read.__name__ = {int: "whole number", float: "number"}.get(kind, "value")  # type: ignore[call-overload]
    return read


def _numbers(text: str) -> tuple[int, ...]:
    """Read ``"256,256"`` or ``"256x256"``."""
    try:
        return tuple(int(part) for part in re.split(r"[,x]", text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not one whole number an axis, such as 256,256"
        ) from None


def _limits(item: Option) -> str:
    low, high = item.minimum, item.maximum
    if low is not None and high is not None:
        return f"{low:g} to {high:g}; "
    if low is not None:
        return f"{low:g} or more; "
    return f"up to {high:g}; " if high is not None else ""


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def check_targets(*paths: Path | None) -> None:
    """Raise SettingsError, before the work, where a file that is to be written is a folder."""
    for path in paths:
        if path is not None and path.is_dir():
            raise SettingsError(f"{path} is a folder: give the name of a file.")
