"""Networks that come as a finished graph, made to look like any other to the engine.

A graph has the axes in the order of who exported it, takes one image at a time, or ends with a
sigmoid of its own. What there is to undo stands in its `GraphArguments`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import ModelError
from .graph_arguments import GraphArguments

# Below it a probability is taken for 0: float32 has seven digits.
_LEAST = 1e-7


class Adapted(torch.nn.Module):
    """A graph as the engine takes it: (batch, channel, *spatial) to logits of that shape.

    Parameters
    ----------
    graph
        From a tensor to a tensor, with axes of its own.
    arguments
        What its tensors mean.
    spatial_dims
        2 or 3.
    activation
        That of the description: what is undone where the graph gives probabilities.
    """

    def __init__(
        self,
        graph: torch.nn.Module,
        arguments: GraphArguments,
        *,
        spatial_dims: int,
        activation: Sequence[str],
    ) -> None:
        super().__init__()
        self.graph = graph
        self.arguments = arguments
        self.activation = tuple(activation)
        self.axes = "bc" + "zyx"[-spatial_dims:]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        if self.arguments.batch_one and len(images) > 1:
            return torch.cat([self._run(image[None]) for image in images])
        return self._run(images)

    def _run(self, images: torch.Tensor) -> torch.Tensor:
        there = self.arguments.input_axes or self.axes
        back = self.arguments.output_axes or self.axes
        out = self.graph(moved(images, self.axes, there))
        if isinstance(out, (list, tuple)):
            out = out[0]
        if not isinstance(out, torch.Tensor) or out.ndim != len(back):
            found = f"{out.ndim} axes" if isinstance(out, torch.Tensor) else type(out).__name__
            raise ModelError(f"The network gives {found}, {len(back)} are described ({back}).")
        logits = moved(out.float(), back, self.axes)
        return self._logits(logits) if self.arguments.gives == "probabilities" else logits

    def _logits(self, values: torch.Tensor) -> torch.Tensor:
        """Return what the description's activation turns into the values."""
        if self.activation == ("softmax",):
            return values.clamp_min(_LEAST).log()
        undone = [
            values[:, i].logit(eps=_LEAST) if name == "sigmoid" else values[:, i]
            for i, name in enumerate(self.activation)
        ]
        return torch.stack(undone, dim=1)


def moved(tensor: torch.Tensor, axes: str, wanted: str) -> torch.Tensor:
    """Return a tensor with its axes in another order; those that come or go have length 1."""
    for axis in axes:
        if axis not in wanted:
            at = axes.index(axis)
            if tensor.shape[at] != 1:
                raise ModelError(
                    f"The network has no place for {tensor.shape[at]} along axis {axis!r}: its "
                    f"axes are {wanted}."
                )
            tensor, axes = tensor.squeeze(at), axes.replace(axis, "")
    tensor = tensor.permute([axes.index(axis) for axis in wanted if axis in axes])
    for at, axis in enumerate(wanted):
        if axis not in axes:
            tensor = tensor.unsqueeze(at)
    return tensor
