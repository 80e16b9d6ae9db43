"""The validation images of a training, and how good a network is on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..labels.boxes import Box
from ..models import Model, ModelDescription
from ..settings import Precision
from .distributed import Team
from .examples import Example
from .starting import Start
from .validate import (
    Maps,
    found_labels,
    in_channels_of,
    mean_scores,
    predict_example,
    score_labels,
    whole,
)


@dataclass(frozen=True, eq=False)
class Validated:
    """Scores on all images, the labels found in the image that is shown, and what it took.

    ``decoding`` are the seconds of them that a second decoding would take again.
    """

    scores: dict[str, float]
    shown: npt.NDArray[np.int32] | None
    seconds: float
    decoding: float


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The validation images, shared by the processes of a team."""

    examples: Sequence[Example]
    description: ModelDescription
    team: Team
    device: torch.device
    precision: Precision

    @property
    def own(self) -> Sequence[Example]:
        """The images of this process."""
        return self.examples[self.team.part]

    def validate(
        self, network: nn.Module, decoding: Mapping[str, Any], *, shown: int | None = None
    ) -> Validated:
        """Score a network; ``shown`` is the index of the own image whose labels are returned."""
        return self._validate(network, self.description, lambda maps: maps, decoding, shown)

    def takes(self, parent: Model) -> bool:
        """Return whether another model can be scored on these images."""
        ours, theirs = self.description, parent.description
        return (
            theirs.outputs.kind == ours.outputs.kind
            and not theirs.outputs.regions
            and len(theirs.inputs.channels) == len(ours.inputs.channels)
        )

    def validate_parent(
        self, start: Start, decoding: Mapping[str, Any], *, shown: int | None = None
    ) -> Validated:
        """Score the model to start from; classes that it has not learned it does not find."""
        parent = start.transfer.model

        def ours(maps: Maps) -> Maps:
            return in_channels_of(maps, start.channels)

        network = parent.load_network(self.device)
        return self._validate(network, parent.description, ours, decoding, shown)

    def maps(self, network: nn.Module, examples: Sequence[Example] | None = None) -> list[Maps]:
        """Return the activated outputs for each whole image."""
        chosen = self.examples if examples is None else examples
        return [whole(self._predicted(network, self.description, one), one) for one in chosen]

    def _predicted(
        self, network: nn.Module, description: ModelDescription, example: Example
    ) -> Iterator[tuple[Box, Maps]]:
        how: Any = {"device": self.device, "precision": self.precision}
        return predict_example(network, example, description, **how)

    def _validate(
        self,
        network: nn.Module,
        description: ModelDescription,
        ours: Callable[[Maps], Maps],
        decoding: Mapping[str, Any],
        shown: int | None,
    ) -> Validated:
        begun, spent = time.monotonic(), 0.0
        cases, labels = [], None
        for number, example in enumerate(self.own):
            parts = self._predicted(network, description, example)
            if self.description.outputs.kind == "instances":
                parts = iter([((), whole(parts, example))])  # objects are decoded in the whole
            found = np.zeros(example.labels.shape, np.int32)
            for box, maps in parts:
                before = time.monotonic()
                found[box] = found_labels(ours(maps), example, self.description, decoding)
                spent += time.monotonic() - before
            before = time.monotonic()
            cases.append(score_labels(found, example, self.description))
            spent += time.monotonic() - before
            if number == shown:
                labels = found
        scores = mean_scores(self.team.all_of(cases))
        return Validated(scores, labels, time.monotonic() - begun, spent)
