"""A network that begins with the weights of another one that has other inputs or outputs.

Which tensors depend on the number of channels is found out by building the network, without
memory, for one more of them: it holds for all networks of the table, whatever their layers are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from ..errors import TrainingError
from ..models import Model, NetworkSpec
from ..networks.cost import tensor_shapes

# A new class begins this much less likely than the background, whose weights it takes over.
_LESS = math.log(10)
# A new class beside others that it does not exclude begins with this probability (Lin et al.,
# "Focal loss for dense object detection", ICCV 2017).
_RARE = 0.01


@dataclass(frozen=True, eq=False)
class Transfer:
    """How the weights of a model come into a network of the same architecture.

    Attributes
    ----------
    model
        The model.
    network
        The network that they come into.
    outputs
        For each output channel of it that of the model's network; ``None`` of a new one.
    inputs
        The same of the input channels; empty where they are the same.
    exclusive
        Whether outputs exclude each other, the first being the background.
    """

    model: Model
    network: NetworkSpec
    outputs: tuple[int | None, ...]
    inputs: tuple[int | None, ...] = ()
    exclusive: bool = True

    def load(self, network: nn.Module) -> None:
        """Load the weights; what has no counterpart is left as it is, drawn at random.

        A new class that others exclude begins as the background does, a little less likely
        (Cermelli et al., "Modeling the background for incremental learning in semantic
        segmentation", CVPR 2020), so that the first labels are those of the model.

        Raises
        ------
        ModelError, TrustError
            If the model's weights are damaged, or it cannot run.
        """
        given = self.model.load_network("cpu").state_dict()
        wanted = network.state_dict()
        heads = varying(self.network, "out_channels")
        stems = varying(self.network, "in_channels") if self.inputs else {}
        ends = _ends(heads, wanted)
        with torch.no_grad():
            for name, tensor in wanted.items():
                if name not in given:  # a head for deep supervision, which the model has not
                    continue
                value = given[name].to(tensor.dtype)
                if name in stems:
                    value = _widened(value, self.inputs)
                if name in heads:
                    value = self._head(value, tensor, heads[name], end=name in ends)
                tensor.copy_(value)

    def _head(
        self, old: torch.Tensor, fresh: torch.Tensor, axes: Sequence[int], *, end: bool
    ) -> torch.Tensor:
        """Return a tensor of the head with a row for each output channel.

        ``axes`` are those that outputs run along: the first is the way out, a second one the way
        in, of a layer behind the first of the head.
        """
        result = fresh.clone()
        known = [(new, source) for new, source in enumerate(self.outputs) if source is not None]
        if not known:
            return result
        for new, source in enumerate(self.outputs):
            if source is None and not self.exclusive:
                if end:
                    self._rare(result, new, axes)
                continue
            row = old.select(axes[0], (self.outputs[0] or 0) if source is None else source)
            into = result.select(axes[0], new)
            if len(axes) > 1:  # what was not there has no part in what was
                behind = axes[1] - 1
                into.zero_()
                for place, channel in known:
                    into.select(behind, place).copy_(row.select(behind, channel))
            else:
                into.copy_(row)
            if source is None and end and result.ndim == 1:
                into -= _LESS
        return result

    @staticmethod
    def _rare(result: torch.Tensor, new: int, axes: Sequence[int]) -> None:
        if result.ndim == 1:
            result[new] = math.log(_RARE / (1 - _RARE))
        else:
            result.select(axes[0], new).zero_()


def varying(
    network: NetworkSpec, argument: Literal["in_channels", "out_channels"]
) -> dict[str, tuple[int, ...]]:
    """Return the axes along which the tensors of a network depend on its channels, by name."""
    count = network.arguments[argument]
    some = tensor_shapes(network.name, network.arguments)
    more = tensor_shapes(network.name, {**network.arguments, argument: count + 1})
    found = {}
    for name, shape in some.items():
        pairs = enumerate(zip(shape, more[name], strict=True))
        axes = tuple(axis for axis, (n, m) in pairs if n != m)
        if any(shape[axis] != count for axis in axes):
            raise TrainingError(
                f"{network.name}: its channels cannot be changed with these arguments: train from "
                "scratch, or on images with the channels of the model."
            )
        if axes:
            found[name] = axes
    return found


def _ends(heads: Mapping[str, Sequence[int]], wanted: Mapping[str, Any]) -> set[str]:
    """Return the tensors of the layers that give the logits, with their biases."""
    layers = {name: axes for name, axes in heads.items() if wanted[name].ndim > 1}
    behind = {name for name, axes in layers.items() if len(axes) > 1}
    last = {name.removesuffix("weight") for name in behind or layers}
    return {name for name in heads if name.removesuffix("weight").removesuffix("bias") in last}


def _widened(old: torch.Tensor, inputs: Sequence[int | None]) -> torch.Tensor:
    """Return the weights of a first layer for other input channels, which are its axis 1.

    A channel that the model knows keeps its weights and others begin at 0; where it knows none,
    all have the mean, so that equal channels give what they gave.
    """
    shape = (old.shape[0], len(inputs), *old.shape[2:])
    if all(source is None for source in inputs):
        mean = old.sum(1, keepdim=True) / len(inputs)
        return mean.expand(shape).clone()
    result = old.new_zeros(shape)
    for channel, source in enumerate(inputs):
        if source is not None:
            result[:, channel] = old[:, source]
    return result


__all__ = ["Transfer", "varying"]
