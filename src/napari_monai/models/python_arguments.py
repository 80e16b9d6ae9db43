"""Which Python code makes a network, and with which arguments; nothing of it is run here.

The code is a source file in the model's folder, known by its SHA-256, or a class or function of a
package that the user has installed.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ModelError
from .graph_arguments import GraphArguments
from .inside import check_inside

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODULE = re.compile(r"[A-Za-z]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
# Arguments that are longer are cut off where they are shown.
_MOST_SHOWN = 160


@dataclass(frozen=True)
class PythonArguments(GraphArguments):
    """What makes a network, and how its tensors are meant.

    Attributes
    ----------
    callable
        The class or function that returns the network.
    kwargs
        Its arguments, JSON values by their names.
    file, sha256
        The source file in the model's folder.
    library
        Or the module of an installed package, such as ``"torchvision.models.segmentation"``.
    """

    callable: str = ""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    sha256: str = ""
    library: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.callable.isidentifier():
            raise ModelError(f"network.arguments.callable is a name, not {self.callable!r}.")
        if bool(self.file) == bool(self.library):
            raise ModelError("network.arguments of Python code name a file or a library.")
        if self.file:
            check_inside(self.file, "network.arguments.file")
            if not self.file.isprintable():
                raise ModelError(f"network.arguments.file is not to be shown: {self.file!r}.")
            if not _SHA256.fullmatch(self.sha256):
                raise ModelError(
                    f"network.arguments.sha256 is not 64 hexadecimal digits: {self.sha256!r}."
                )
        elif not _MODULE.fullmatch(self.library):
            raise ModelError(f"network.arguments.library is a module, not {self.library!r}.")
        elif self.library.partition(".")[0] in sys.stdlib_module_names:
            raise ModelError(f"{self.title} is of Python itself, which has no networks.")
        self._check_kwargs()

    def _check_kwargs(self) -> None:
        try:
            same = json.loads(json.dumps(self.kwargs, allow_nan=False)) == self.kwargs
        except (TypeError, ValueError, RecursionError):
            same = False
        if not same:
            raise ModelError("network.arguments.kwargs are no JSON values by names.")

    @property
    def title(self) -> str:
        """The code by its name."""
        called = f"{self.library}.{self.callable}"
        return called if self.library else f"{self.callable} in {self.file}"

    @property
    def call(self) -> str:
        """The code with its arguments, in one line, such as ``Net(width=8) in net.py``."""
        shown = ", ".join(f"{k}={json.dumps(v)}" for k, v in self.kwargs.items())
        if len(shown) > _MOST_SHOWN:
            shown = shown[:_MOST_SHOWN] + "…"
        where = f" in {self.file}" if self.file else ""
        return f"{self.library}{'.' * bool(self.library)}{self.callable}({shown}){where}"

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of all that decides what runs: the file or library, and the call."""
        what = [self.library, self.sha256, self.callable, dict(self.kwargs)]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
