"""How the tensors of a graph are meant that was exported elsewhere; see `adapt`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, Self

from ..errors import ModelError, did_you_mean


@dataclass(frozen=True)
class GraphArguments:
    """How a graph's tensors are meant.

    Attributes
    ----------
    input_axes, output_axes
        One letter an axis, such as ``"byxc"``: b batch, c channel, z, y, x; others have length 1.
        Empty: batch, channel, then the spatial axes.
    gives
        ``"probabilities"`` where the graph ends with its own sigmoid or softmax.
    batch_one
        Whether it takes one image at a time only.
    """

    input_axes: str = ""
    output_axes: str = ""
    gives: Literal["logits", "probabilities"] = "logits"
    batch_one: bool = False

    def __post_init__(self) -> None:
        for axes in (self.input_axes, self.output_axes):
            if len(set(axes)) != len(axes):
                raise ModelError(f"network.arguments: axes {axes!r} name an axis twice.")
        if self.gives not in ("logits", "probabilities"):
            raise ModelError(
                f"network.arguments.gives is logits or probabilities, not {self.gives!r}."
            )

    @classmethod
    def read(cls, arguments: Mapping[str, Any]) -> Self:
        """Return what a description holds; raises ModelError naming a key that is wrong."""
        usual = cls.usual()
        for key, value in arguments.items():
            if key not in usual:
                raise ModelError(
                    f"network.arguments has an unknown key {key!r}. {did_you_mean(key, usual)}"
                )
            if type(value) is not type(usual[key]):
                raise ModelError(f"network.arguments.{key} cannot be {value!r}.")
        return cls(**arguments)

    def write(self) -> dict[str, Any]:
        """Return what differs from a plain network, as JSON."""
        return {k: v for k, usual in self.usual().items() if (v := getattr(self, k)) != usual}

    @classmethod
    def usual(cls) -> dict[str, Any]:
        """Return what holds where nothing is said."""
        return {
            f.name: f.default if f.default_factory is MISSING else f.default_factory()
            for f in fields(cls)
        }
