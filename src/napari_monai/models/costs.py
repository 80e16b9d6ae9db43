"""What a model costs: parameters of its network, and work for a window; known after the first time.

Working it out imports torch and takes a moment. What was found is kept in the cache folder, by
all that it depends on, so that lists and cards show it at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from ..folders import cache_folder
from .onnx_graph import read_graph
from .store import Model
from .strict_json import encode

# Another way to count is another number here.
_VERSION = 1
# What a network with batch norms holds beside its parameters.
_STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes
    ----------
    parameters
        How many numbers were trained; None where the file does not tell.
    flops
        Floating point operations for one window, a multiplication and a sum being two; None
        where that cannot be told without running the network.
    window
        The sides of that window.
    networks
        How many such networks run, as an ensemble.
    """

    parameters: int | None
    flops: int | None
    window: tuple[int, ...]
    networks: int = 1

    def __str__(self) -> str:
        parts = []
        if self.parameters is not None:
            each = f"{self.networks} networks of " if self.networks > 1 else ""
            parts.append(f"{each}{_short(self.parameters).rstrip()} parameters")
        if self.flops is not None:
            sides = " x ".join(map(str, self.window))
            parts.append(f"{_short(self.networks * self.flops)}FLOP for a window of {sides}")
        return ", ".join(parts)

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what was written as JSON; other text raises what it may."""
        values = json.loads(text)
        known = {key: values[key] for key in ("parameters", "flops", "networks")}
        if not all(v is None or type(v) is int for v in known.values()):
            raise ValueError("no whole numbers")
        return cls(window=tuple(map(int, values["window"])), **known)


def known_cost(model: Model) -> Cost | None:
    """Return what a model costs if that was worked out before; imports nothing heavy."""
    try:
        return Cost.read(_file(model).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def cost(model: Model) -> Cost:
    """Return what a model costs; imports torch where it is not known yet. No code of it runs."""
    known = known_cost(model)
    if known is not None:
        return known
    made = _counted(model)
    with suppress(OSError):  # then it is worked out again
        _keep(_file(model), json.dumps(asdict(made)))
    return made


def _counted(model: Model) -> Cost:
    told = model.description
    sides = zip(told.inferer.window, told.inputs.multiples, strict=True)
    window = tuple(-(-side // multiple) * multiple for side, multiple in sides)
    parameters = work = None
    # What cannot be counted, for whatever reason, is left out: a model runs without it.
    with suppress(Exception):
        if told.network.source == "table":
            from ..networks.cost import count_parameters, flops

            parameters = count_parameters(told.network.name, told.network.arguments)
            work = flops(told.network.name, told.network.arguments, window)
        elif told.network.source == "onnx":
            parameters = read_graph(model.folder / told.weights[0].path).parameters
        elif told.network.source == "python":
            parameters = _trained(model)
    return Cost(parameters, work, window, max(1, model.folds))


def _trained(model: Model) -> int:
    """Return how many numbers of a state dict were trained, those with several names once."""
    from .weights import read_weights

    tensors = read_weights(model).items()
    kept = [t for n, t in tensors if t.is_floating_point() and not n.endswith(_STATISTICS)]
    return sum({t.data_ptr(): t.numel() for t in kept}.values())


def _file(model: Model) -> Path:
    told = model.description
    depends = [
        _VERSION,
        encode(told.network),
        [weights.sha256 for weights in told.weights],
        told.inferer.window,
        told.inputs.multiples,
    ]
    name = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "costs" / f"{name[:32]}.json"


def _keep(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(beside, file)


def _short(count: int) -> str:
    """Return such as ``"2.61 M"``, ready for a unit behind it."""
    power = min(4, max(0, len(str(count)) - 1) // 3)
    return f"{count / 1000**power:.3g} {('', 'k', 'M', 'G', 'T')[power]}"
