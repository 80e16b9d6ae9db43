"""Images without labels on which a model that is fine-tuned says itself what is right.

A network that learns only new images forgets the old ones. Where images of the old kind are at
hand, the model's own answer to them, from before the training, takes the place of labels
(Li & Hoiem, Learning without forgetting, 2018).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TrainingError
from ..inference import segment
from ..io import read
from ..models import Model, ModelDescription
from ..settings import InferenceSettings, TrainingSettings
from ..volume import LabelVolume, Volume
from .examples import Example, make_examples
from .shares import Source

# Images that are asked about at most, evenly spread over what is given: it takes time.
_MOST = 64


def check_remembering(
    settings: TrainingSettings, model: Model | None, unlabelled: Sequence[Source]
) -> None:
    """Raise TrainingError where there is nothing to remember, or nobody to remember it."""
    if settings.remember == 0:
        return
    if model is None:
        raise TrainingError("A new network has nothing to remember: start from a model.")
    if not unlabelled:
        raise TrainingError(
            "Remembering needs images without labels, of the kind that the model knows: give some."
        )


def answered(
    model: Model,
    unlabelled: Sequence[Source],
    description: ModelDescription,
    numbers: Mapping[int, int],
    *,
    settings: TrainingSettings,
    **options: Any,
) -> Iterator[Example]:
    """Yield the examples of images whose labels are what a model finds in them.

    Parameters
    ----------
    model
        The model before it is trained further.
    unlabelled
        Images; of many, some.
    description
        The model that is trained, of the same classes.
    numbers
        Their numbers by those that they have in the model before; what has none is background.
    settings, **options
        As of `make_examples`.

    Raises
    ------
    TrainingError
        If the model that is trained finds something else, or more.
    """
    before = model.description
    new = [c.name for c in description.labels if c.number not in numbers.values()]
    if before.outputs.kind != description.outputs.kind or new:
        what = f"has learnt nothing of {new[0]}" if new else f"finds {before.outputs.kind}"
        raise TrainingError(f"{model.name} {what}: it cannot say what is right. Remember nothing.")
    whole = replace(settings, ignore_label=None, background_label=None, only_corrected=False)
    asked = InferenceSettings(device=settings.device, precision=settings.precision)
    step = -(-len(unlabelled) // _MOST)
    for image in unlabelled[::step]:
        volume = image if isinstance(image, Volume) else read(Path(image))
        labels = segment(volume, model, settings=asked)
        assert isinstance(labels, LabelVolume)
        truth = labels if before.outputs.kind == "instances" else _renumbered(labels, numbers)
        yield from make_examples([(volume, truth)], description, settings=whole, **options)


def _renumbered(labels: LabelVolume, numbers: Mapping[int, int]) -> LabelVolume:
    """Return labels of classes with the numbers that these have by now, and no others."""
    found = labels.numpy()
    table = np.zeros(max(int(found.max(initial=0)), *numbers) + 1, np.int32)
    table[list(numbers)] = list(numbers.values())
    return replace(labels, data=table[found], classes=())
