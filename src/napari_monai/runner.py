"""A network, or several as an ensemble, on a device: one batch of windows in, one mean out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from .devices import device_name, is_out_of_memory
from .errors import ModelError, NapariMonaiError, OutOfMemoryError
from .ways import Way, formed, replica, usual

FloatArray = npt.NDArray[np.float32]


# Values of a batch from which a copy of them is worth avoiding.
_MANY = 2**25


@dataclass(frozen=True)
class Outputs:
    """What is made of the networks' outputs.

    Parameters
    ----------
    activation
        ``("softmax",)``, or ``"sigmoid"`` or ``"identity"`` for each channel; none leaves the
        outputs as they are.
    spread
        Whether a last channel is added: how far the members (mirrored copies, networks) are
        apart, the variance of each probability, summed over the channels.
    raw
        Whether members and windows are averaged as they are, and activated later.
    select
        Which of the networks' channels are taken, in this order; none stands for all.
    """

    activation: tuple[str, ...] = ()
    spread: bool = False
    raw: bool = False
    select: tuple[int, ...] = ()

    @property
    def probabilities(self) -> bool:
        """Whether all values lie between 0 and 1."""
        return not self.raw and bool(self.activation) and "identity" not in self.activation

    @property
    def likely(self) -> slice | list[int]:
        """Which channels are probabilities."""
        if self.activation == ("softmax",):
            return slice(None)
        return [i for i, name in enumerate(self.activation) if name == "sigmoid"]


class Runner:
    """Networks on a device, which give way when memory or precision do not suffice.

    Parameters
    ----------
    networks
        Each from (batch, channel, *window) to (batch, output channel, *window); their outputs are
        averaged. They are left as they are, whatever happens.
    device, way
        Where and how they run; a number format alone is run in its usual way.
    outputs
        What is made of what they give.
    flips
        Whether to average over all mirrored copies of each window; or the spatial axes, counted
        from 0, that they are mirrored along.
    spatial_dims
        Spatial axes of the networks; 2-D ones take windows one voxel high.
    compiled
        Whether to compile the networks when they first run; where that fails they run as they
        are.
    """

    def __init__(
        self,
        networks: Sequence[torch.nn.Module],
        device: torch.device,
        way: Way | torch.dtype,
        outputs: Outputs,
        *,
        flips: bool | Sequence[int],
        spatial_dims: int,
        compiled: bool = False,
    ) -> None:
        self.networks = tuple(networks)
        self.device = device
        self.outputs = outputs
        self.compiled = compiled
        self.plain = False  # whether the networks run in no other form than their own
        along = range(spatial_dims * flips) if isinstance(flips, bool) else flips
        axes = [a - spatial_dims for a in along]
        sets = range(2 ** len(axes))
        self.mirrors = [tuple(a for i, a in enumerate(axes) if s >> i & 1) for s in sets]
        self.spatial_dims = spatial_dims
        self.way = Way()
        self.forms: tuple[torch.nn.Module, ...] = ()
        self.take(way if isinstance(way, Way) else usual(self.networks[0], way))

    def take(self, way: Way) -> None:
        """Run in another way from now on."""
        self.way = way
        self.forms = self.networks
        if not self.plain:
            self.forms = tuple(formed(n, way, self.spatial_dims) for n in self.networks)
        if self.compiled:
            self.forms = tuple(_compiled(n) for n in self.forms)

    @torch.inference_mode()
    def run(self, windows: FloatArray) -> torch.Tensor:
        """Return the means over members, float32 on the device, for (batch, channel, *window)."""
        spatial = windows.shape[2:]
        flat = torch.from_numpy(windows).reshape(
            *windows.shape[:2], *spatial[len(spatial) - self.spatial_dims :]
        )
        if self.device.type == "cuda":
            flat = flat.pin_memory()  # copied while the host goes on
        layout = self.way.layout(self.spatial_dims)
        batch = flat.to(self.device, non_blocking=True).contiguous(memory_format=layout)
        mean: torch.Tensor | None = None
        apart = _Apart(self.outputs)
        for network in self.forms:
            with evaluating(network):
                for axes in self.mirrors:
                    values = self._mirrored(network, batch, axes)
                    if self.outputs.spread:
                        apart.add(values)
                    mean = values if mean is None else mean.add_(values)
        assert mean is not None
        members = len(self.networks) * len(self.mirrors)
        if members > 1:
            mean /= members
        if self.outputs.spread:
            mean = torch.cat([mean, apart.variance(mean, members)], dim=1)
        return mean.reshape(*mean.shape[:2], *spatial)

    def _mirrored(
        self, network: torch.nn.Module, batch: torch.Tensor, axes: tuple[int, ...]
    ) -> torch.Tensor:
        flipped = batch.flip(axes) if axes else batch
        if self.way.dtype == torch.float32:
            out = network(flipped)
        else:
            with torch.autocast(self.device.type, self.way.dtype):
                out = network(flipped)
        if isinstance(out, (list, tuple)):  # deep supervision: the full resolution comes first
            out = out[0]
        if out.shape[0] != batch.shape[0] or out.shape[2:] != batch.shape[2:]:
            raise ModelError(
                f"The network turns a batch of shape {tuple(batch.shape)} into "
                f"{tuple(out.shape)}: one value a voxel is needed."
            )
        if self.outputs.select:
            out = out[:, self.outputs.select]
        values = activated(out, () if self.outputs.raw else self.outputs.activation)
        return values.flip(axes) if axes else values

    def attempt(self, windows: FloatArray) -> tuple[torch.Tensor | None, str]:
        """Return the outputs; or none, and what did not do, for `relieve`."""
        values, trouble = self.launch(windows)
        if values is not None and not self.is_finite(values):
            return None, "precision"
        return values, trouble

    def launch(self, windows: FloatArray) -> tuple[torch.Tensor | None, str]:
        """Return the outputs, which a GPU may still be working on; or none, and what did not do.

        The reason is a word and not the exception, which would keep the batch's memory alive.
        """
        try:
            return self.run(windows), ""
        except NapariMonaiError:
            raise
        except (RuntimeError, MemoryError, ValueError, IndexError) as error:
            if is_out_of_memory(error):
                return None, "memory"
            if self.compiled:
                return None, "compile"
            if self.forms != self.networks:
                return None, "form"
            raise ModelError(
                f"The network fails on windows of shape {windows.shape[1:]}: "
                f"{str(error).splitlines()[0]}"
            ) from error

    @staticmethod
    def is_finite(values: torch.Tensor) -> bool:
        """Whether all values are numbers; waits until they are there."""
        return bool(values.sum().isfinite())  # a sum is a number only if every value is one

    def relieve(self, trouble: str, size: int) -> tuple[int, str]:
        """Make the next attempt easier; return its batch size and a line for the user."""
        if trouble == "compile":
            self.compiled = False
            self.take(self.way)
            return size, "The network cannot be compiled here: going on without."
        if trouble == "form":
            self.plain = True
            self.take(Way(self.way.dtype))
            return size, "The network does not run in a quicker form: going on as it is."
        if trouble == "precision":
            if self.way.dtype == torch.float32:
                raise ModelError(
                    "The network gives values that are no numbers: the model is damaged, or the "
                    "image is far from what it was trained on."
                )
            line = f"Values overflow in {self.way.precision}: going on in float32."
            self.take(usual(self.networks[0], torch.float32))
            return size, line
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if size > 1:
            return size // 2, f"Out of memory: going on with {size // 2} windows at once."
        if self.device.type == "cpu":
            raise OutOfMemoryError("One window does not fit into memory: choose a smaller window.")
        line = f"{device_name(self.device)} is out of memory: going on on the CPU, more slowly."
        # Copies: the caller's networks stay where they are.
        self.networks = tuple(copy.deepcopy(n).to("cpu") for n in self.networks)
        self.device = torch.device("cpu")
        self.take(usual(self.networks[0], torch.float32))
        return 1, line

    def twin(self) -> Runner:
        """Return one that may run at the same time: of layers of its own, with the same weights."""
        twin = copy.copy(self)
        twin.forms = tuple(replica(form) for form in self.forms)
        return twin


class _Apart:
    """How far the probabilities of members are apart: their variance, summed over the channels."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        self.squares: torch.Tensor | None = None
        self.total: torch.Tensor | None = None  # where the mean is not one of probabilities

    def add(self, values: torch.Tensor) -> None:
        """Add a member's values, (batch, channel, *window)."""
        if self.outputs.raw:
            values = activated(values, self.outputs.activation)
        values = values[:, self.outputs.likely]
        square = values.square().sum(1, keepdim=True)
        self.squares = square if self.squares is None else self.squares.add_(square)
        if self.outputs.raw:
            self.total = values if self.total is None else self.total.add_(values)

    def variance(self, mean: torch.Tensor, members: int) -> torch.Tensor:
        """Return it, (batch, 1, *window), from the mean over so many members."""
        assert self.squares is not None, "there is at least one member"
        centre = mean[:, self.outputs.likely] if self.total is None else self.total / members
        return (self.squares / members - centre.square().sum(1, keepdim=True)).clamp_min_(0)


class evaluating:  # noqa: N801 (a context, named like contextlib's)
    """Have a network in evaluation mode, and afterwards in the mode that it was in."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def __enter__(self) -> None:
        self.was_training = self.network.training
        if self.was_training:
            self.network.eval()

    def __exit__(self, *_: object) -> None:
        if self.was_training:
            self.network.train()


def activated(out: torch.Tensor, activation: Sequence[str]) -> torch.Tensor:
    """Return a network's outputs, (batch, channel, *window), activated, in float32 and no view."""
    if tuple(activation) == ("softmax",):
        if out.dtype == torch.float32 or out.numel() < _MANY or out.device.type != "cpu":
            return torch.softmax(out, dim=1, dtype=torch.float32)
        # torch would make a float32 copy of all of it first.
        values = torch.empty(out.shape, dtype=torch.float32)
        for part, made in zip(out.chunk(8, dim=2), values.chunk(8, dim=2), strict=True):
            made.copy_(torch.softmax(part, dim=1, dtype=torch.float32))
        return values
    values = out.to(torch.float32, copy=True)
    if not activation:
        return values
    if len(activation) != values.shape[1]:
        raise ModelError(
            f"The network gives {values.shape[1]} channels, but {len(activation)} are described."
        )
    for i, name in enumerate(activation):
        if name == "sigmoid":
            values[:, i].sigmoid_()
    return values


def _compiled(network: torch.nn.Module) -> torch.nn.Module:
    made: torch.nn.Module = torch.compile(network)  # type: ignore[assignment]
    return made
