"""Tensors of a checkpoint, and the networks of the table that they fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import ModelError, NetworkError
from ..networks import NETWORKS, build_network, network_arguments, presets, size_multiple
from .checkpoints import read_checkpoint
from .parts import NetworkSpec

# Where training frameworks keep the weights in a checkpoint, in the order of trial.
_KEYS = ("state_dict", "model_state_dict", "network_weights", "model", "net", "network", "weights")
# What wrappers put before the names of the tensors.
_PREFIXES = ("module.", "model.", "net.", "network.", "_orig_mod.")

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Found:
    """The state dict in a file, and the way to it."""

    tensors: Tensors
    loader: Literal["safetensors", "torch"]
    key: str = ""


def read_tensors(path: Path, key: str | None = None) -> Found:
    """Return the state dict in a file; reads data only.

    Raises ModelError where there is none, or the file holds what only code can make.
    """
    if path.suffix.lower() == ".safetensors":
        try:
            return Found(load_file(path), "safetensors")
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(f"{path} is no safetensors file ({_line(error)}).") from None
    try:
        content = read_checkpoint(path.read_bytes(), path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}).") from None
    for way in [key] if key is not None else ["", *_ways(content)]:
        tensors = _at(content, way)
        if tensors:
            return Found(tensors, "torch", way)
    where = f" at {key!r}" if key is not None else ""
    keys = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
    raise ModelError(f"{path} holds no state dict{where}: found {keys[:200]}; give key.")


def fitting(
    path: Path, tensors: Tensors, name: str, arguments: Mapping[str, Any]
) -> tuple[NetworkSpec, str, int]:
    """Return the network that the tensors fit, what to strip from their names, and its multiple.

    Parameters
    ----------
    path
        Named in errors.
    tensors
        The state dict.
    name, arguments
        The network; without a name those of the table are tried, with their presets.

    Raises
    ------
    ModelError
        In one line what does not fit; without a name, which networks come near.
    """
    if name:
        spec = _spec(name, {**_told(tensors), **arguments})
        misfits = [(_misfit(tensors, prefix, spec), prefix) for prefix in _prefixes(tensors)]
        misfit, prefix = min(misfits, key=lambda m: m[0].number)
        if misfit.number:
            raise ModelError(f"{path.name} does not fit {name}: {misfit}")
        return spec, prefix, size_multiple(spec.name, spec.arguments)
    near: list[tuple[int, str]] = []
    for spec in _candidates(_told(tensors), arguments):
        for prefix in _prefixes(tensors):
            misfit = _misfit(tensors, prefix, spec)
            if not misfit.number:
                return spec, prefix, size_multiple(spec.name, spec.arguments)
            near.append((misfit.number, f"{spec.name} ({misfit.fits} of {misfit.wanted} tensors)"))
    names = list(dict.fromkeys(text for _, text in sorted(near)))[:3]
    raise ModelError(
        f"{path.name} fits no network of the table with its usual arguments; nearest are "
        f"{', '.join(names) or 'none'}: give architecture and arguments."
    )


@dataclass(frozen=True)
class Misfit:
    """What stands between tensors and a network; printed as the one line for the user."""

    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    shapes: tuple[str, ...]
    wanted: int

    @property
    def number(self) -> int:
        """How many tensors do not fit."""
        return len(self.missing) + len(self.left_over) + len(self.shapes)

    @property
    def fits(self) -> int:
        """How many of the network's tensors are there."""
        return self.wanted - len(self.missing) - len(self.shapes)

    def __str__(self) -> str:
        kinds = {
            "missing": self.missing,
            "left over": self.left_over,
            "of other shape": self.shapes,
        }
        parts = [f"{len(v)} {what} ({v[0]})" for what, v in kinds.items() if v]
        return f"{self.fits} of {self.wanted} tensors fit, {', '.join(parts)}."


def _spec(name: str, arguments: Mapping[str, Any]) -> NetworkSpec:
    try:
        return NetworkSpec(name, network_arguments(name, arguments))
    except NetworkError as error:
        raise ModelError(str(error)) from None


def _candidates(told: Mapping[str, int], arguments: Mapping[str, Any]) -> Iterator[NetworkSpec]:
    """Yield the networks of the table that could be meant: with defaults, then as presets."""
    dims = {**told, **arguments}.get("spatial_dims", 2)
    for name, info in NETWORKS.items():
        usual = [{}, *presets(name, dims).values()] if dims in info.dims else []
        for preset in usual:
            try:
                made = network_arguments(name, {**preset, **told, **arguments})
            except NetworkError:
                continue
            yield NetworkSpec(name, made)


def _told(tensors: Tensors) -> dict[str, int]:
    """Return what the shapes of the convolutions tell: dimensions, channels in and out."""
    kernels = [t for t in tensors.values() if t.ndim in (4, 5)]
    if not kernels:
        return {}
    dims = kernels[0].ndim - 2
    biases = [t for t in tensors.values() if t.ndim == 1]
    last = kernels[-1]
    # A transposed convolution has its channels the other way round; its bias tells.
    out = len(biases[-1]) if biases and len(biases[-1]) in last.shape[:2] else len(last)
    return {"spatial_dims": dims, "in_channels": int(kernels[0].shape[1]), "out_channels": out}


def _misfit(tensors: Tensors, prefix: str, spec: NetworkSpec) -> Misfit:
    wanted = _shapes(spec)
    found = {k.removeprefix(prefix): t.shape for k, t in tensors.items() if k.startswith(prefix)}
    return Misfit(
        tuple(k for k in wanted if k not in found),
        tuple(k for k in found if k not in wanted),
        tuple(
            f"{k}: {tuple(found[k])} for {tuple(shape)}"
            for k, shape in wanted.items()
            if k in found and found[k] != shape
        ),
        len(wanted),
    )


def _shapes(spec: NetworkSpec) -> dict[str, torch.Size]:
    """Return the tensors of a network without making them."""
    try:
        with torch.device("meta"):
            network = build_network(spec.name, spec.arguments)
    except NetworkError as error:
        raise ModelError(str(error)) from None
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def _prefixes(tensors: Tensors) -> list[str]:
    """Return what may stand before all names, nothing first."""
    found = [""]
    while True:
        names = [name.removeprefix(found[-1]) for name in tensors]
        more = next((p for p in _PREFIXES if names and all(n.startswith(p) for n in names)), "")
        if not more:
            return found
        found.append(found[-1] + more)


def _ways(content: object) -> list[str]:
    """Return the usual ways that are there, one or two steps deep."""
    if not isinstance(content, dict):
        return []
    first = [k for k in _KEYS if k in content]
    inside = [
        f"{a}.{b}" for a in first for b in _KEYS if isinstance(content[a], dict) and b in content[a]
    ]
    return [*first, *inside]


def _at(content: object, way: str) -> Tensors:
    """Return the tensors at a dotted way; none unless it is a state dict."""
    for step in way.split(".") if way else []:
        if not isinstance(content, dict) or step not in content:
            return {}
        content = content[step]
    if not isinstance(content, dict) or not content:
        return {}
    tensors = {k: v for k, v in content.items() if isinstance(v, torch.Tensor)}
    return tensors if len(tensors) == len(content) else {}


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
