"""What a bundle's configuration holds beside plain values: names of things that are not built."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Symbol:
    """A name that stands for something that is no plain value: ``torch.float32``."""

    name: str


@dataclass(frozen=True)
class Stored:
    """A value in a file of tensors, which the expression would load: the way to it by keys."""

    path: str
    keys: tuple[str | int, ...] = ()


@dataclass(frozen=True, eq=False)
class Function:
    """A ``lambda``; its tree may be compared with known ones, it never runs."""

    node: ast.Lambda
    text: str


@dataclass(frozen=True, eq=False)
class Component:
    """Something that a bundle would build: a class by name, and its arguments, read on demand."""

    target: str
    keys: tuple[str, ...]
    read: Callable[[str], Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The last part of the class's dotted name."""
        return self.target.rpartition(".")[2]

    @property
    def own_code(self) -> bool:
        """Whether the class is none of MONAI's, but comes from elsewhere."""
        return "." in self.target and not self.target.startswith("monai.")

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of an argument.

        Raises ModelError where that would take code to find out.
        """
        return self.read(key) if key in self.keys else default
