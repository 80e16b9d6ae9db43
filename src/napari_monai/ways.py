"""The ways in which a device can run a network: number formats, memory layouts, quicker layers.

All of them give the same outputs but for rounding. Which one is the fastest depends on the
network and the machine, so it is measured, once, and remembered.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import platform
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.nn import functional
from torch.nn.modules.instancenorm import _InstanceNorm

from .devices import device_name
from .folders import cache_folder
from .folding import activate_in_place, fold, foldable

_FILE = "ways.json"
# Entries that are kept, the latest ones.
_MOST = 500
_TEXT = re.compile(r"(?P<dtype>\w+)(?P<last>, channels last)?(, (?P<count>[1-9]\d*) at once)?")


@dataclass(frozen=True)
class Way:
    """How a network runs.

    Parameters
    ----------
    dtype
        The number format.
    channels_last
        Whether the channels come last in memory.
    at_once
        How many batches run side by side, sharing the threads of a CPU.
    """

    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    at_once: int = 1

    def __str__(self) -> str:
        parts = [self.precision]
        if self.channels_last:
            parts.append("channels last")
        if self.at_once > 1:
            parts.append(f"{self.at_once} at once")
        return ", ".join(parts)

    @property
    def precision(self) -> str:
        """The name of the number format."""
        return str(self.dtype).removeprefix("torch.")

    @classmethod
    def of(cls, text: str) -> Way:
        """Return the way that `str` wrote; raises ValueError for another text."""
        found = _TEXT.fullmatch(text)
        dtype = getattr(torch, found["dtype"], None) if found else None
        if not found or not isinstance(dtype, torch.dtype):
            raise ValueError(f"no way to run a network: {text!r}")
        return cls(dtype, found["last"] is not None, int(found["count"] or 1))

    def layout(self, spatial_dims: int) -> torch.memory_format:
        """Return the layout of the tensors that go in."""
        if not self.channels_last:
            return torch.contiguous_format
        return torch.channels_last if spatial_dims == 2 else torch.channels_last_3d


def usual(network: torch.nn.Module, dtype: torch.dtype) -> Way:
    """Return the way that is fastest as a rule, where measuring does not pay.

    Channels last saves a third of the time of networks with group or batch norm. Instance norm
    works through each channel by itself and loses what is won.
    """
    by_channel = any(isinstance(m, _InstanceNorm) for m in network.modules())
    return Way(dtype, channels_last=not by_channel and can_change(network))


def candidates(network: torch.nn.Module, dtype: torch.dtype) -> list[Way]:
    """Return the ways that are worth trying for a number format, the usual one first."""
    first = usual(network, dtype)
    if not can_change(network):
        return [first]
    return [first, replace(first, channels_last=not first.channels_last)]


def can_change(network: torch.nn.Module) -> bool:
    """Whether a network is one of torch's own layers that a copy can be made of."""
    scripted = isinstance(network, torch.jit.ScriptModule)
    return not scripted and any(True for _ in network.parameters())


# What was made of a network, with the state of its weights at that time.
_forms: WeakKeyDictionary[torch.nn.Module, tuple[Any, dict[Way, torch.nn.Module]]] = (
    WeakKeyDictionary()
)


def formed(network: torch.nn.Module, way: Way, spatial_dims: int) -> torch.nn.Module:
    """Return a network in the form that suits a way; the network itself stays as it is.

    The form shares the weights as far as their layout allows, and is made once.
    """
    way = replace(way, at_once=1)
    if not can_change(network) or not _gains(network, way):
        return network
    state = _state(network)
    known, forms = _forms.get(network, (None, {}))
    if known != state:
        forms = {}
        _forms[network] = state, forms
    if way not in forms:
        forms.clear()  # one at a time: each may hold the weights once more
        forms[way] = _form(network, way, spatial_dims)
    return forms[way]


def replica(network: torch.nn.Module) -> torch.nn.Module:
    """Return a network of layers of its own that shares its weights with another one."""
    if not can_change(network):
        return network
    shared: dict[int, Any] = {id(t): t for t in (*network.parameters(), *network.buffers())}
    return copy.deepcopy(network, shared)


def _gains(network: torch.nn.Module, way: Way) -> bool:
    quicker = any(isinstance(m, torch.nn.PReLU) for m in network.modules())
    return way.channels_last or quicker or foldable(network)


def _state(network: torch.nn.Module) -> tuple[Any, ...]:
    """Return what changes when the weights are changed or replaced."""
    tensors = (*network.parameters(), *network.buffers())
    return tuple((t.data_ptr(), 0 if t.is_inference() else t._version, t.device) for t in tensors)


def _form(network: torch.nn.Module, way: Way, spatial_dims: int) -> torch.nn.Module:
    with torch.inference_mode(False):
        form = copy.deepcopy(network) if way.channels_last else replica(network)
        _quicken(form, way)
        fold(form)
        activate_in_place(form)
        if way.channels_last:
            form.to(memory_format=way.layout(spatial_dims))  # type: ignore[call-overload]
    return form


def _quicken(module: torch.nn.Module, way: Way) -> None:
    """Put quicker layers in place of some."""
    for name, child in module.named_children():
        if type(child) is torch.nn.PReLU and child.weight.numel() == 1:
            setattr(module, name, _Leaky(child))
        elif way.channels_last and isinstance(child, _InstanceNorm):
            setattr(module, name, _NormOfOne(child))
        elif not isinstance(child, _NormOfOne):  # one module may stand in two places
            _quicken(child, way)


class _Leaky(torch.nn.Module):
    """A PReLU of one slope, as the leaky ReLU that it is once it is trained."""

    def __init__(self, layer: torch.nn.PReLU) -> None:
        super().__init__()
        self.weight = layer.weight
        self.slope = float(layer.weight.detach())
        self.inplace = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.leaky_relu(x, self.slope, self.inplace)


class _NormOfOne(torch.nn.Module):
    """Instance norm that keeps channels last: of one image it is batch norm over that image."""

    def __init__(self, layer: _InstanceNorm) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        norm = self.layer
        if len(x) != 1 or norm.track_running_stats:
            out: torch.Tensor = norm(x)
            return out
        return functional.batch_norm(
            x, None, None, norm.weight, norm.bias, training=True, momentum=0.0, eps=norm.eps
        )


_sums: WeakKeyDictionary[torch.nn.Module, tuple[Any, str]] = WeakKeyDictionary()


def fingerprint(network: torch.nn.Module) -> str:
    """Return the SHA-256 of a network's structure and weights, computed once while they stay."""
    state = _state(network)
    known, digest = _sums.get(network, (None, ""))
    if known != state:
        told = hashlib.sha256(repr(network).encode())
        for name, tensor in network.state_dict().items():
            if isinstance(tensor, torch.Tensor):
                told.update(name.encode())
                flat = tensor.detach().cpu().contiguous().flatten()
                told.update(flat.view(torch.uint8).numpy().data)
        digest = told.hexdigest()
        _sums[network] = state, digest
    return digest


def key_of(
    networks: Sequence[torch.nn.Module], device: torch.device, batch: Sequence[int], dtype: Any
) -> str:
    """Return what a measurement holds for: weights, machine, torch, shape of a batch."""
    threads = torch.get_num_threads() if device.type == "cpu" else 0
    machine = (device_name(device), platform.machine(), platform.processor(), threads)
    weights = [fingerprint(network) for network in networks]
    told = (weights, machine, torch.__version__, tuple(batch), str(dtype))
    return hashlib.sha256(repr(told).encode()).hexdigest()


@dataclass(frozen=True)
class Finding:
    """A way that is safe, and whether it was found to be the fastest or is but the usual one."""

    way: Way
    fastest: bool


def remembered(key: str) -> Finding | None:
    """Return what was found for a key; none where it is not known or not readable."""
    entry: Any = _entries().get(key)
    try:
        return Finding(Way.of(entry["way"]), bool(entry["fastest"]))
    except (KeyError, TypeError, ValueError):
        return None


def remember(key: str, finding: Finding) -> None:
    """Write a finding down for later runs; where that fails it will be measured again."""
    entries = {k: v for k, v in _entries().items() if k != key}
    entries[key] = {"way": str(finding.way), "fastest": finding.fastest}
    kept = dict(list(entries.items())[-_MOST:])
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{_FILE}-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=1)
        os.replace(name, folder / _FILE)
    except OSError:
        return


def _entries() -> Mapping[str, Any]:
    try:
        values = json.loads((cache_folder() / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
