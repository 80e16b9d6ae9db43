"""What is taken for granted of a file that holds a network and says nothing of its meaning.

An ONNX graph or a bare state dict tells neither how images are normalised nor what its channels
are. `bare_description` fills that in from what the caller says, and from what is usual.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

from ..errors import ModelError, did_you_mean
from ..preprocess import Operation
from ..volume import LabelClass
from .description import ModelDescription
from .parts import Activation, Inferer, Inputs, NetworkSpec, Outputs, WeightsFile

Normalise = Literal["zscore", "percentiles", "minmax", "none"]

# Steps of preprocessing by name; all of them in the whole image, channel by channel.
NORMALISATIONS: Mapping[str, tuple[Operation, ...]] = {
    "zscore": (Operation("zscore", {}),),
    "percentiles": (Operation("scale_percentiles", {"lower": 1.0, "upper": 99.8}),),
    "minmax": (Operation("scale_percentiles", {"lower": 0.0, "upper": 100.0}),),
    "none": (),
}
WINDOW = {2: 512, 3: 96}


@dataclass(frozen=True)
class Meaning:
    """What the user says of a file that says little itself; empty: as usual.

    Attributes
    ----------
    name
        Name of the model; by default that of the file.
    normalise
        ``zscore``, ``percentiles`` (1 to 99.8 becomes 0 to 1), ``minmax`` or ``none``.
    activation
        ``softmax`` (the first channel is the background) or ``sigmoid`` (a class a channel); by
        default softmax for two channels or more.
    channels, labels
        Names of the input channels, and of the classes without the background.
    window
        Sides of a window.
    """

    name: str = ""
    normalise: Normalise = "zscore"
    activation: Literal["", "softmax", "sigmoid"] = ""
    channels: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    window: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.normalise not in NORMALISATIONS:
            raise ModelError(
                f"No normalisation {self.normalise!r}. "
                f"{did_you_mean(self.normalise, NORMALISATIONS)}"
            )
        if self.activation not in ("", "softmax", "sigmoid"):
            raise ModelError(f"activation is softmax or sigmoid, not {self.activation!r}.")

    @classmethod
    def of(cls, options: Mapping[str, Any], *others: str) -> Self:
        """Return the options that are meant for it; raises ModelError for one nobody knows."""
        known = [f.name for f in fields(cls)]
        for key in options:
            if key not in (*known, *others):
                raise ModelError(f"No option {key!r}. {did_you_mean(key, [*known, *others])}")
        chosen: dict[str, Any] = {k: options[k] for k in known if k in options}
        for key, value in chosen.items():
            chosen[key] = tuple(value) if isinstance(value, list) else value
        return cls(**chosen)


def bare_description(
    file: Path,
    meaning: Meaning,
    *,
    network: NetworkSpec,
    weights: Sequence[WeightsFile],
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    size: Sequence[int | None] = (),
    size_multiple: int = 1,
    last: str = "",
    trust: Literal["data_only", "native_code", "python_code"] = "data_only",
) -> ModelDescription:
    """Return the description of a network in a file.

    Parameters
    ----------
    file
        Names the model.
    meaning
        What the user says.
    network, weights, size_multiple, trust
        As in a description.
    spatial_dims, in_channels, out_channels
        What the network takes and gives.
    size
        Sides of its input that are fixed, ``None`` for a free one.
    last
        Its last operation, where that is known: ``"Sigmoid"`` or ``"Softmax"`` tell the activation.

    Raises
    ------
    ModelError
        Where what the user says does not fit the network.
    """
    softmax = out_channels > 1 if not meaning.activation else meaning.activation == "softmax"
    if not meaning.activation and last in ("Sigmoid", "Softmax"):
        softmax = last == "Softmax"
    each: Activation = "sigmoid"
    activation: tuple[Activation, ...] = ("softmax",) if softmax else (each,) * out_channels
    classes = _named(meaning.labels, out_channels - softmax, "labels", "class")
    channels = _named(meaning.channels, in_channels, "channels", "channel")
    fixed = len(size) > 0 and all(n is not None for n in size)
    plain = [WINDOW[spatial_dims]] * spatial_dims
    window = [f or w for f, w in zip(size or plain, meaning.window or plain, strict=True)]
    return ModelDescription(
        name=meaning.name or model_name(file.stem),
        title=file.stem,
        version="1",
        description=f"The network of {file.name}.",
        licence="",
        limits="The file does not say how its images were normalised, nor what it was trained on: "
        f"{meaning.normalise} is assumed.",
        network=network,
        weights=tuple(weights),
        inputs=Inputs(channels, spatial_dims, size_multiple=size_multiple, fixed_size=fixed),
        preprocess=NORMALISATIONS[meaning.normalise],
        inferer=Inferer(tuple(window)),
        outputs=Outputs("classes", ("background", *classes) if softmax else classes, activation),
        labels=tuple(LabelClass(i, c) for i, c in enumerate(classes, start=1)),
        trust=trust,
    )


def model_name(text: str) -> str:
    """Return a name that a model may have, after a text."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return plain or "model"


def _named(given: tuple[str, ...], wanted: int, what: str, noun: str) -> tuple[str, ...]:
    if given and len(given) != wanted:
        raise ModelError(f"{what}: {len(given)} given, but the network has {wanted}.")
    return given or tuple(f"{noun} {i}" for i in range(1, wanted + 1))
