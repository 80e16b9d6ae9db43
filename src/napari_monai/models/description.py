"""What a model is, as plain frozen values, and their strict reading from ``model.json``.

Every exchange format is mapped on to this one description. It needs neither the weights nor
torch, so that listing and choosing models costs nothing.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from ..errors import ModelError, did_you_mean
from ..preprocess import Operation, check_operations
from ..settings import Blend
from ..volume import LabelClass, LabelKind

FORMAT = "napari-monai model"
FORMAT_VERSION = 1

Activation = Literal["sigmoid", "softmax", "identity"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
T = TypeVar("T")


@dataclass(frozen=True)
class NetworkSpec:
    """A name in the table of networks, and its arguments as plain JSON."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights: its path inside the model's folder, and its SHA-256."""

    path: str
    sha256: str

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        outside = path.is_absolute() or ".." in path.parts or not path.parts
        if outside or "\\" in self.path or ":" in self.path:
            raise ModelError(f"weights path {self.path!r} leaves the model's folder.")
        if not _SHA256.fullmatch(self.sha256):
            raise ModelError(f"weights sha256 is not 64 hexadecimal digits: {self.sha256!r}.")


@dataclass(frozen=True)
class Inputs:
    """What the network takes.

    Parameters
    ----------
    channels
        What each channel shows, in order.
    spatial_dims
        2 or 3. A 2-D network runs over the slices of a volume.
    colour
        Whether the channels are red, green, blue.
    size_multiple
        Every side of a window must be a multiple of this.
    """

    channels: tuple[str, ...]
    spatial_dims: int
    colour: bool = False
    size_multiple: int = 1

    def __post_init__(self) -> None:
        if self.spatial_dims not in (2, 3):
            raise ModelError(f"inputs.spatial_dims is 2 or 3, not {self.spatial_dims}.")
        if not self.channels or (self.colour and len(self.channels) != 3):
            wanted = "3 channels" if self.colour else "1 channel or more"
            raise ModelError(f"inputs.channels needs {wanted}, got {len(self.channels)}.")
        if self.size_multiple < 1:
            raise ModelError(f"inputs.size_multiple is 1 or more, not {self.size_multiple}.")


@dataclass(frozen=True)
class Inferer:
    """How the network runs over an image larger than a window.

    ``window`` is in voxels of the prepared image, ``overlap`` a part of the window; with
    ``flips`` the predictions of mirrored windows are averaged. Where the image itself is nowhere
    above ``empty``, in its own intensities, a window holds nothing (air, camera background) and
    is not run.
    """

    window: tuple[int, ...]
    overlap: float = 0.5
    blend: Blend = "gaussian"
    flips: bool = False
    empty: float | None = None

    def __post_init__(self) -> None:
        if not self.window or min(self.window) < 1:
            raise ModelError(f"inferer.window needs positive sizes, got {list(self.window)}.")
        if not 0 <= self.overlap <= 0.9:
            raise ModelError(f"inferer.overlap goes from 0 to 0.9, not {self.overlap}.")


@dataclass(frozen=True)
class Outputs:
    """What the network gives.

    Parameters
    ----------
    kind
        ``"classes"``: each channel is a class. ``"instances"``: the channels ``"foreground"``
        and ``"distance"`` (to the object's border, normalised to 1 at its centre).
    channels
        Name of each channel. Classes under a softmax begin with the background.
    activation
        One a channel, ``"sigmoid"`` or ``"identity"``; or ``("softmax",)`` over all.
    """

    kind: LabelKind
    channels: tuple[str, ...]
    activation: tuple[Activation, ...]

    def __post_init__(self) -> None:
        if not self.softmax and (
            len(self.activation) != len(self.channels) or "softmax" in self.activation
        ):
            raise ModelError(
                "outputs.activation is softmax alone, or sigmoid or identity for each of "
                f"{len(self.channels)} channels, not {list(self.activation)}."
            )
        if self.kind == "classes" and "identity" in self.activation:
            raise ModelError("outputs.activation of classes is softmax or sigmoid, not identity.")
        if self.kind == "instances" and sorted(self.channels) != ["distance", "foreground"]:
            raise ModelError(
                "outputs.channels of instances are foreground and distance, "
                f"not {', '.join(self.channels) or 'none'}."
            )

    @property
    def softmax(self) -> bool:
        """Whether the channels exclude each other, the first being the background."""
        return self.activation == ("softmax",)


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """All that is known of a model but its weights.

    Parameters
    ----------
    name
        What users type: letters, digits, ``.``, ``_`` and ``-``.
    title, version, description, licence, authors, citations, intended_use, limits
        The model card, in plain text; ``licence`` as an SPDX identifier.
    network
        Which architecture, with which arguments.
    weights
        The files of weights; filled in when the model is saved.
    inputs, preprocess, inferer, outputs, postprocess
        The way of an image through the model. ``preprocess`` is done in order.
    labels
        The classes of the labels, without background, in the order of the output channels; of
        instances the one class of the objects.
    training, scores
        How the model came about, and how good it is; free-form JSON.

    Raises
    ------
    ModelError
        If the parts do not fit each other.
    """

    name: str
    title: str
    version: str
    description: str
    licence: str
    authors: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    intended_use: str = ""
    limits: str = ""
    network: NetworkSpec
    weights: tuple[WeightsFile, ...] = ()
    inputs: Inputs
    preprocess: tuple[Operation, ...] = ()
    inferer: Inferer
    outputs: Outputs
    labels: tuple[LabelClass, ...] = ()
    postprocess: tuple[Operation, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ModelError(f"name {self.name!r} may hold letters, digits, '.', '_' and '-' only.")
        if len(self.inferer.window) != self.inputs.spatial_dims:
            raise ModelError(
                f"inferer.window {list(self.inferer.window)} does not fit "
                f"{self.inputs.spatial_dims} spatial dimensions."
            )
        check_operations(self.preprocess, self.inputs.spatial_dims)
        self._check_network()
        self._check_labels()
        self._check_postprocess()

    def _check_network(self) -> None:
        told = {
            "spatial_dims": ("inputs.spatial_dims is", self.inputs.spatial_dims),
            "in_channels": ("inputs.channels are", len(self.inputs.channels)),
            "out_channels": ("outputs.channels are", len(self.outputs.channels)),
        }
        for key, (what, number) in told.items():
            value = self.network.arguments.get(key, number)
            if value != number:
                raise ModelError(f"network.arguments.{key} is {value!r}, but {what} {number}.")

    def _check_labels(self) -> None:
        numbers = [c.number for c in self.labels]
        if len(set(numbers)) != len(numbers) or min(numbers, default=1) < 1:
            raise ModelError(f"labels need numbers of their own from 1 up, got {numbers}.")
        if max(numbers, default=1) > 65535:
            raise ModelError(f"labels go up to 65535, not {max(numbers)}.")
        for label in self.labels:
            if label.colour is not None and not _COLOUR.fullmatch(label.colour):
                raise ModelError(f"labels: colour {label.colour!r} is not of the form #rrggbb.")
        channels = len(self.outputs.channels) - self.outputs.softmax
        wanted = 1 if self.outputs.kind == "instances" else channels
        if len(self.labels) != wanted:
            raise ModelError(
                f"labels: {len(self.labels)} named, but outputs.channels make {wanted}."
            )

    def _check_postprocess(self) -> None:
        known = ("instances",) if self.outputs.kind == "instances" else ()
        for operation in self.postprocess:
            if operation.name not in known:
                raise ModelError(
                    f"postprocess of {self.outputs.kind} has no operation {operation.name!r}. "
                    f"{did_you_mean(operation.name, known)}"
                )

    def to_json(self) -> dict[str, Any]:
        """Return the description as plain JSON values, format and version first."""
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **_encode(self)}

    @classmethod
    def from_json(cls, values: object, *, source: str = "model.json") -> Self:
        """Make a description from parsed JSON; ``source`` is named in errors.

        Raises ModelError, in one line with the source and the key, for an unknown key, a missing
        one, a value of a wrong type, or parts that do not fit each other.
        """
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ModelError(f"{source} is no model of napari-monai: its format is not {FORMAT!r}.")
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise ModelError(
                f"{source} has format_version {version!r}, this version reads {FORMAT_VERSION}: "
                "update napari-monai or get the model again."
            )
        rest = {k: v for k, v in values.items() if k not in ("format", "format_version")}
        try:
            return _decode_dataclass(rest, cls, "")
        except ModelError as error:
            raise ModelError(f"{source}: {error}") from None

    @classmethod
    def from_text(cls, text: str, *, source: str = "model.json") -> Self:
        """Make a description from JSON text; see `from_json`."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{source} is not JSON ({error}): get the model again.") from None
        return cls.from_json(values, source=source)


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _encode(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    # A score of nothing is NaN, which JSON has no word for.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _decode(value: object, hint: Any, key: str) -> Any:
    """Return a JSON value as the type that ``hint`` names, or raise ModelError naming ``key``."""
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _decode_dataclass(value, hint, key)
    if origin is tuple:
        items = _expect(value, list, "a list", key)
        inner = get_args(hint)[0]
        return tuple(_decode(v, inner, f"{key}[{i}]") for i, v in enumerate(items))
    if origin is Literal:
        if value not in get_args(hint):
            raise ModelError(f"{key} is {value!r}. {did_you_mean(str(value), get_args(hint))}")
        return value
    if origin in (Union, types.UnionType):
        plain = [a for a in get_args(hint) if a is not type(None)]
        return None if value is None else _decode(value, plain[0], key)
    if origin is not None and issubclass(origin, Mapping):
        return dict(_expect(value, dict, "an object", key))
    if hint is float and type(value) is int:
        return float(value)
    nouns = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return _expect(value, hint, nouns[hint], key)


def _decode_dataclass(value: object, hint: type[T], key: str) -> T:
    values = _expect(value, dict, "an object", key or "the description")
    fields = {f.name: f for f in dataclasses.fields(hint)}  # type: ignore[arg-type]
    prefix = f"{key}." if key else ""
    for name in values:
        if name not in fields:
            raise ModelError(f"unknown key {prefix}{name}. {did_you_mean(name, fields)}")
    for name, f in fields.items():
        optional = (f.default, f.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        if name not in values and not optional:
            raise ModelError(f"key {prefix}{name} is missing.")
    hints = get_type_hints(hint)
    return hint(**{k: _decode(v, hints[k], f"{prefix}{k}") for k, v in values.items()})


def _expect(value: object, kind: type[T], noun: str, key: str) -> T:
    # By type, not isinstance: true is no number.
    if type(value) is not kind:
        raise ModelError(f"{key} needs {noun}, not {json.dumps(value)[:60]}.")
    return value
