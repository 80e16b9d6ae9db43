"""What a network costs: its parameters, and the work it does for a window.

Networks are built without memory for their weights, and run without numbers: sizes are all that
is worked out, so that it takes a moment whatever the network and the window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from ..errors import NetworkError
from . import build_network
from .options import show

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def count_parameters(name: str, arguments: Mapping[str, Any]) -> int:
    """Return the number of trained parameters of a network, shared ones once.

    Raises
    ------
    NetworkError
        For an unknown network, or an argument that is missing, unknown or out of its range.
    """
    return sum(weight.numel() for weight in _without_memory(name, arguments).parameters())


def tensor_shapes(name: str, arguments: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a network, by its name.

    Raises
    ------
    NetworkError
        For an unknown network, or an argument that is missing, unknown or out of its range.
    """
    tensors = _without_memory(name, arguments).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


def flops(name: str, arguments: Mapping[str, Any], window: Sequence[int]) -> int:
    """Return the floating point operations for one window, a multiplication and a sum being two.

    Convolutions and matrix products are counted, which is nearly all that a network does.

    Parameters
    ----------
    name : str
        A name of the table.
    arguments : Mapping
        The network's arguments.
    window : sequence of int
        Size of the window along each axis.

    Raises
    ------
    NetworkError
        For an unknown network, an argument that is missing, unknown or out of its range, or a
        window that does not fit.
    """
    with FlopCounterMode(display=False) as counter:
        _run(name, arguments, window)
    return int(counter.get_total_flops())


def feature_values(name: str, arguments: Mapping[str, Any], window: Sequence[int]) -> int:
    """Return how many values the convolutions of a network give for one window.

    It is what a training keeps in memory, and how nnU-Net estimates that (Isensee et al. 2021).
    Parameters and errors are those of `flops`.
    """
    counts: list[int] = []

    def count(_layer: nn.Module, _given: Any, found: torch.Tensor) -> None:
        counts.append(found.numel())

    _run(name, arguments, window, count)
    return sum(counts)


def _run(
    name: str,
    arguments: Mapping[str, Any],
    window: Sequence[int],
    hook: Callable[[nn.Module, Any, torch.Tensor], None] | None = None,
) -> None:
    """Run a network on a window without numbers, with a hook on its convolutions."""
    network = _without_memory(name, arguments).eval()
    dims = arguments["spatial_dims"]
    if len(window) != dims or min(window) < 1:
        raise NetworkError(f"The window is {show(tuple(window))}: give {dims} sizes of 1 or more.")
    for layer in network.modules():
        if hook is not None and isinstance(layer, _CONVOLUTIONS):
            layer.register_forward_hook(hook)
    x = torch.zeros(1, arguments["in_channels"], *window, device="meta")
    with torch.no_grad():
        network(x)


class _NumbersStay(TorchFunctionMode):
    """Series of numbers are made in memory: MONAI's SwinUNETR reads its dropout rates off one."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.linspace:
            given.setdefault("device", "cpu")
        return func(*args, **given)


def _without_memory(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return a network whose weights have shapes but no numbers."""
    with torch.device("meta"), _NumbersStay():
        return build_network(name, arguments)
