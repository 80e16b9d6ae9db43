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

# More than this no image has, nor classes: networks of that many are not built on suspicion.
_MOST_CHANNELS = 4096

Tensors = Mapping[str, torch.Tensor]
Shape = tuple[int, ...]


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
        The network; without a name those of the table are tried, with their presets. Channels
        and dimensions that are left out are told by the tensors.

    Raises
    ------
    ModelError
        In one line what does not fit; without a name, which networks come near.
    """
    near: list[tuple[int, str]] = []
    told = _told(tensors)
    for spec in [_spec(name, {**told, **arguments})] if name else _candidates(told, arguments):
        for prefix in _prefixes(tensors):
            misfit = _misfit(tensors, prefix, spec)
            found = _with_channels(spec, misfit, arguments)
            if found != spec:
                again = _misfit(tensors, prefix, found)
                spec, misfit = (found, again) if not again.number else (spec, misfit)
            if not misfit.number:
                return spec, prefix, size_multiple(spec.name, spec.arguments)
            if misfit.fits or name:
                near.append((misfit.number, f"{spec.name}: {misfit}"))
    if name and near:
        raise ModelError(f"{path.name} does not fit {min(near)[1]}.")
    names = list(dict.fromkeys(text for _, text in sorted(near)))[:2]
    raise ModelError(
        f"{path.name} fits no network of the table with its usual arguments: give architecture "
        f"and arguments. Nearest are {'; '.join(names) or 'none'}."
    )


def _with_channels(spec: NetworkSpec, misfit: Misfit, arguments: Mapping[str, Any]) -> NetworkSpec:
    """Return the network with the numbers of channels that its own first and last tensors have."""
    changed = {}
    for found, wanted in misfit.shapes.values():
        for key, axis in (("in_channels", 1), ("out_channels", 0)):
            value = spec.arguments[key]
            if key not in arguments and len(wanted) > axis and len(found) > axis:
                others = found[:axis] + found[axis + 1 :] == wanted[:axis] + wanted[axis + 1 :]
                if wanted[axis] == value != found[axis] and others:
                    changed[key] = found[axis]
    return NetworkSpec(spec.name, {**spec.arguments, **changed}) if changed else spec


@dataclass(frozen=True)
class Misfit:
    """What stands between tensors and a network; printed as the one line for the user."""

    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    shapes: Mapping[str, tuple[Shape, Shape]]
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
        shapes = [f"{k}: {found} for {wanted}" for k, (found, wanted) in self.shapes.items()]
        kinds = {"missing": self.missing, "left over": self.left_over, "of other shape": shapes}
        parts = [f"{len(v)} {what} ({v[0]})" for what, v in kinds.items() if v]
        return f"{self.fits} of {self.wanted} tensors fit, {', '.join(parts)}"


def _spec(name: str, arguments: Mapping[str, Any]) -> NetworkSpec:
    try:
        return NetworkSpec(name, network_arguments(name, arguments))
    except NetworkError as error:
        raise ModelError(str(error)) from None


def _candidates(told: Mapping[str, int], arguments: Mapping[str, Any]) -> Iterator[NetworkSpec]:
    """Yield the networks of the table that could be meant: with defaults, then as presets."""
    if max(told.values(), default=0) > _MOST_CHANNELS:
        return
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
    wanted = _shapes(spec, tensors)
    found = {k.removeprefix(prefix): t.shape for k, t in tensors.items() if k.startswith(prefix)}
    return Misfit(
        tuple(k for k in wanted if k not in found),
        tuple(k for k in found if k not in wanted),
        {
            k: (tuple(found[k]), tuple(shape))
            for k, shape in wanted.items()
            if k in found and found[k] != shape
        },
        len(wanted),
    )


def _shapes(spec: NetworkSpec, tensors: Tensors) -> dict[str, torch.Size]:
    """Return the tensors of a network, without making them where that can be helped."""
    try:
        try:
            with torch.device("meta"):
                network = build_network(spec.name, spec.arguments)
        except RuntimeError:  # transformers work out numbers from tensors while they are built
            if not any(t.ndim == 2 for t in tensors.values()):
                return {}  # and what is no matrix is no transformer
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
