"""What a model is, as plain frozen values, and their strict reading from ``model.json``.

Every exchange format is mapped on to this one description. It needs neither the weights nor
torch, so that listing and choosing models costs nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from ..errors import ModelError, did_you_mean
from ..postprocess import check_cleanings
from ..preprocess import Operation, check_operations
from ..volume import LabelClass
from .parts import Inferer, Inputs, NetworkSpec, Outputs, TestTensor, WeightsFile
from .strict_json import decode_dataclass, encode

FORMAT = "napari-monai model"
FORMAT_VERSION = 1

Trust = Literal["data_only", "native_code", "python_code"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


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
    trust
        What runs when the model does: nothing but its numbers, or code that came with it, which
        needs the user's consent.
    blockers
        Why the model cannot run, one line each; it loads and lists all the same.
    tests
        Inputs of the network with the outputs that it is to give.
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
    trust: Trust = "data_only"
    blockers: tuple[str, ...] = ()
    tests: tuple[TestTensor, ...] = ()
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
        for weights in self.weights:
            self.network.check_loader(weights.loader)
        if self.network.source == "torchscript" and self.trust == "data_only":
            raise ModelError("trust of a TorchScript file, which is code, cannot be data_only.")
        if self.network.source == "python" and self.trust != "python_code":
            raise ModelError(f"trust of Python code is python_code, not {self.trust}.")
        told = {
            "spatial_dims": ("inputs.spatial_dims is", self.inputs.spatial_dims),
            "in_channels": ("inputs.channels are", len(self.inputs.channels)),
            "out_channels": ("outputs.channels are", len(self.outputs.channels)),
        }
        select = self.outputs.select
        if select:
            del told["out_channels"]
            given = self.network.arguments.get("out_channels")
            if isinstance(given, int) and max(select) >= given:
                raise ModelError(
                    f"outputs.select takes channel {max(select)} of a network of {given}."
                )
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
        if self.outputs.regions:
            if set(numbers) != set(self.outputs.regions):
                raise ModelError(
                    f"labels name {numbers}, but outputs.regions write {self.outputs.regions}."
                )
            return
        channels = len(self.outputs.channels) - self.outputs.softmax
        wanted = 1 if self.outputs.kind == "instances" else channels
        if len(self.labels) != wanted:
            raise ModelError(
                f"labels: {len(self.labels)} named, but outputs.channels make {wanted}."
            )

    def _check_postprocess(self) -> None:
        if self.outputs.kind == "classes":
            check_cleanings(self.postprocess)
            return
        for operation in self.postprocess:
            if operation.name != "instances":
                raise ModelError(
                    f"postprocess of instances has no operation {operation.name!r}. "
                    f"{did_you_mean(operation.name, ('instances',))}"
                )

    def to_json(self) -> dict[str, Any]:
        """Return the description as plain JSON values, format and version first."""
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **encode(self)}

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
            return decode_dataclass(rest, cls, "")
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
