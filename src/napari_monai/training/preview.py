"""One validation image and what the network makes of it, in files that a viewer can follow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..folders import replacing
from ..models import ModelDescription
from .examples import Example
from .partial import IGNORED

FOLDER = "preview"
# Voxels that are shown at most, of the middle of the labelled objects.
_LARGEST = 2**24


class Preview:
    """The files of one image in a folder, each whole at any time.

    ``image.npy`` has shape (channel, *spatial), ``truth.npy``, ``prediction.npy`` and, of the
    model to start from, ``before.npy`` have (*spatial) and hold numbers of labels.
    ``preview.json``, written first, says what they are.

    Parameters
    ----------
    folder
        Where to write; made when needed.
    examples
        The validation images: that with the most labelled objects is shown.
    description
        What the labels are.
    """

    def __init__(
        self, folder: Path, examples: Sequence[Example], description: ModelDescription
    ) -> None:
        self.folder = folder
        self.index = max(range(len(examples)), key=lambda n: len(examples[n].centres))
        self.example = examples[self.index]
        self._box = _middle(self.example)
        self._description = description

    def begin(self) -> None:
        """Write the image and the truth."""
        example, described = self.example, self._description
        self.folder.mkdir(exist_ok=True)
        about = {
            "name": example.name,
            "spacing": list(example.spacing),
            "start": [part.start for part in self._box],
            "rgb": described.inputs.colour,
            "kind": described.outputs.kind,
            "classes": {str(c.number): [c.name, c.colour] for c in described.labels},
            "ignored": IGNORED,
        }
        with replacing(self.folder / "preview.json") as path:
            path.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        image = np.asarray(example.image[(slice(None), *self._box)]).astype(np.float32)
        self._write("image", image)
        self._write("truth", self._numbers(np.asarray(example.labels[self._box])))

    def show(
        self, name: Literal["prediction", "before"], found: npt.NDArray[np.integer[Any]]
    ) -> None:
        """Write objects or class indices of the whole image."""
        self._write(name, self._numbers(found[self._box]))

    def _numbers(self, labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int32]:
        """Return labels as the model gives them: class numbers in place of indices."""
        if self._description.outputs.kind == "instances":
            return labels.astype(np.int32)
        numbers = np.array([0, *(c.number for c in self._description.labels)], np.int32)
        return np.where(labels == IGNORED, IGNORED, numbers[np.maximum(labels, 0)])

    def _write(self, name: str, array: npt.NDArray[Any]) -> None:
        with replacing(self.folder / f"{name}.npy") as path, path.open("wb") as file:
            np.save(file, array)


def _middle(example: Example) -> tuple[slice, ...]:
    """Return the box of an image that is shown: all, or what is around its objects."""
    shape = np.asarray(example.labels.shape)
    size = shape.copy()
    while size.prod() > _LARGEST:
        longest = size.argmax()
        size[longest] = (size[longest] + 1) // 2
    centre = np.median(example.centres, axis=0) if len(example.centres) else shape / 2
    start = np.clip(np.round(centre - size / 2), 0, shape - size).astype(int)
    return tuple(slice(int(a), int(a + n)) for a, n in zip(start, size, strict=True))
