"""What a run will need of memory, worked out from shapes before it begins."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch

from .errors import OutOfMemoryError

GIB = 2**30

# Bytes a voxel that decoding instances takes at its peak, beside the maps: depth, its
# reconstruction, seeds, pieces, the watershed's labels and queue.
DECODING = 44

# What `activations` has worked out, by shape, of each network.
_known: WeakKeyDictionary[torch.nn.Module, dict[tuple[int, ...], int]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Estimate:
    """Bytes of each part of a run, on the device and on the host.

    Parameters
    ----------
    image
        The prepared image, as far as it is held at once.
    windows
        The activations and outputs of a batch of windows, on the device.
    carried
        Sums of windows that later ones still touch.
    results
        Labels, maps and what else is kept until the end.
    on_gpu
        Whether windows and carried sums lie on a GPU.
    batch
        Windows at once.
    sums_on_host
        Whether windows of a GPU are added up on the host.
    """

    image: int
    windows: int
    carried: int
    results: int
    on_gpu: bool = False
    batch: int = 1
    sums_on_host: bool = False

    @property
    def host(self) -> int:
        """Bytes in the computer's own memory."""
        windows = 0 if self.on_gpu else self.windows
        carried = 0 if self.on_gpu and not self.sums_on_host else self.carried
        return self.image + windows + carried + self.results

    @property
    def device(self) -> int:
        """Bytes in the GPU's memory."""
        if not self.on_gpu:
            return 0
        return self.windows + (0 if self.sums_on_host else self.carried)

    def on_device(self, free: int, name: str) -> tuple[Estimate, list[str]]:
        """Return what a run on a GPU with so many free bytes takes, and what had to give way.

        That is first the number of windows at once, then where they are added up. What one window
        takes is only said: it is the least certain part, and the run itself goes on on the CPU.
        """
        if self.device <= free:
            return self, []
        each, notes = self.windows // self.batch, []
        batch = max(1, min(self.batch, (free - self.carried) // max(1, each)))
        fitted = replace(self, batch=batch, windows=batch * each)
        room = f"{name} has {_gib(free)} GiB free"
        if batch < self.batch:
            notes.append(f"{room}: {batch} windows at once in place of {self.batch}.")
        if fitted.device > free and self.carried:
            fitted = replace(fitted, sums_on_host=True)
            notes.append(f"{room}: windows are added up on the host.")
        if each > free:
            notes.append(f"{room} and one window needs {_gib(each)}: a smaller window would fit.")
        return fitted, notes

    def line(self) -> str:
        """Return what is needed, in words."""
        parts = {
            "image": self.image,
            "windows": self.windows,
            "overlaps": self.carried,
            "result": self.results,
        }
        named = (f"{name} {_gib(size)}" for name, size in parts.items() if size >= GIB // 20)
        where = " on the GPU and" if self.on_gpu else ""
        total = f"{_gib(self.device)}{where} {_gib(self.host)}" if self.on_gpu else _gib(self.host)
        return f"About {total} GiB of memory: {', '.join(named) or 'little'}."

    def check(self, available: int, what: str, cure: str) -> None:
        """Raise OutOfMemoryError, with the cure, where the host has less than is needed."""
        if self.host > available:
            raise OutOfMemoryError(
                f"{what} needs {_gib(self.host)} GiB of memory and {_gib(available)} are free: "
                f"{cure}."
            )


def activations(network: torch.nn.Module, batch: Sequence[int], dtype: torch.dtype) -> int:
    """Return about how many bytes a network takes for a batch of a shape; 0 if it cannot be told.

    The network runs on torch's device without memory, where only shapes are worked out. What
    lives at the same time is taken to be the two largest results of a layer and a quarter of
    all: those that skip connections hold. What a network takes for a shape is worked out once.
    """
    known, shape = _known.setdefault(network, {}), tuple(batch)
    if shape not in known:
        known[shape] = _numbers(network, shape)
    return known[shape] * torch.empty((), dtype=dtype).element_size()


def _numbers(network: torch.nn.Module, batch: tuple[int, ...]) -> int:
    """Return how many numbers are held at the same time for a batch."""
    sizes: list[int] = []

    def note(_module: torch.nn.Module, _args: Any, out: Any) -> None:
        if isinstance(out, torch.Tensor):
            sizes.append(out.numel())

    tensors = (*network.parameters(), *network.buffers())
    # A copy: layers that stand in two places of a network are not put back by functional_call.
    memo: dict[int, Any] = {id(t): torch.empty_like(t, device="meta") for t in tensors}
    for parameter in network.parameters():
        memo[id(parameter)] = torch.nn.Parameter(memo[id(parameter)], requires_grad=False)
    try:
        shapes = copy.deepcopy(network, memo)
        for module in shapes.modules():
            if not any(True for _ in module.children()):
                module.register_forward_hook(note)
        with torch.inference_mode():
            shapes(torch.empty(batch, device="meta"))
    except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError, AttributeError):
        return 0
    largest = sorted(sizes)[-2:]
    return sum(largest) + sum(sizes) // 4


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}"
