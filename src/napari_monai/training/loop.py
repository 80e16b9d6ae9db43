"""`fine_tune`: from pairs of images and labels to a model, in steps that can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ..devices import pick_device
from ..errors import TrainingError
from ..events import Event, Said
from ..models import Model, ModelDescription, user_folder
from ..networks.starting import load_matching
from ..settings import TrainingSettings
from .checkpoint import NAME as CHECKPOINT
from .checkpoint import check_settings, load_checkpoint
from .distributed import join
from .job import Job
from .outcome import told_of
from .preparing import Prepared, prepare_training
from .record import Record
from .shares import Pair, Share, Source
from .starting import read_start
from .trainer import Trainer

# Where the decoding starts from before validation images choose it.
_DECODING = {"threshold": 0.5, "seed_threshold": 0.08, "smoothing": 1.0, "min_voxels": 0.0}


def fine_tune(
    model: Model | None,
    pairs: Sequence[Pair | Share],
    *,
    settings: TrainingSettings | None = None,
    output: Path | str | None = None,
    validation: Sequence[Pair | Share] = (),
    unlabelled: Sequence[Source] = (),
    name: str | None = None,
    resume: bool = False,
    card: Mapping[str, Any] | None = None,
) -> Iterator[Event]:
    """Train a model on pairs of images and labels.

    Parameters
    ----------
    model
        The model to start from; ``None`` to train from scratch.
    pairs
        Images and their labels, as files or volumes, or parts of them.
    settings
        How to train.
    output
        Folder for the result: ``model`` (the best one, ready to use), ``checkpoint.pt`` (the
        last state, to resume from), ``log.csv`` (a row a validation), ``steps.csv`` (a row a
        step), the same for TensorBoard, and ``preview`` (a validation image with its present
        prediction). A file ``stop`` there ends the training as if its steps were done, and is
        removed; be it put there before the first step.
        Default: a folder of the new model's name in the user's store.
    validation
        Pairs on which the best state and the decoding of instances are chosen. Without them a part
        of the others is held out, as settings say; where that is none, the last state is kept.
    unlabelled
        Images without labels for a warm start, beside those of the pairs, or to remember what
        the model could do, as settings say.
    name
        Name of the new model; default: the old one's with ``-tuned``.
    resume
        Go on from ``checkpoint.pt``: on the CPU to the very weights that an uninterrupted
        training would have reached.
    card
        Texts of the model card: title, description, licence, authors, and so on.

    Yields
    ------
    Said, Started, StepDone for each step, EpochDone for each validation, and Trained at last.

    Raises
    ------
    TrainingError
        If the pairs do not fit the model or each other, there is nothing to resume, or the loss is
        no number any more, at half the learning rate either.
    OutOfMemoryError
        If a patch does not fit the device.
    WriteError
        If the disk is full; the best model and the last state are kept.

    Notes
    -----
    A loss that is no number sends the training back to its last state, once, to go on at half the
    learning rate. A batch that does not fit the device goes through the network in parts.
    """
    settings = settings or TrainingSettings()
    name = name or (f"{model.name}-tuned" if model else "model")
    folder = Path(output) if output else user_folder() / name
    saved = _saved_state(folder, settings, resume=resume)
    team = join(settings, pick_device(settings.device))
    try:
        yield Said(f"Looking through {len(pairs)} training and {len(validation)} validation pairs")
        prepared = prepare_training(
            model,
            pairs,
            settings=settings,
            validation=validation,
            unlabelled=unlabelled,
            name=name,
            card=card,
            saved=saved,
            scratch=folder / "scratch",
        )
        yield from _said_of(prepared)
        told = _told(prepared, settings, saved)
        begin, said = _start(prepared, settings, resume=resume)
        team.check_batch(prepared.plan.batch_size)
        trainer = Trainer(
            prepared.description,
            prepared.training,
            prepared.plan,
            settings,
            begin=begin,
            team=team,
            unlabelled=prepared.unlabelled,
            remembered=prepared.remembered,
        )
        yield from (Said(line) for line in said)
        decoding = _decoding(prepared.description)
        record = Record(
            folder, prepared.description, settings, trainer, decoding=decoding, told=told
        )
        yield from Job(record, settings, prepared.validation, start=prepared.start).run(saved)
    finally:
        team.leave()


def _saved_state(
    folder: Path, settings: TrainingSettings, *, resume: bool
) -> dict[str, Any] | None:
    if resume:
        saved = load_checkpoint(folder)
        # A setting that is younger than the training had what is its default now.
        begun = {**TrainingSettings().to_json(), **saved["settings"]}
        check_settings(begun, settings.to_json(), folder)
        return saved
    if (folder / CHECKPOINT).exists():
        raise TrainingError(f"{folder} holds a training already: resume it or take another folder.")
    return None


def _said_of(prepared: Prepared) -> Iterator[Event]:
    """Say what is to be known of the data; raise TrainingError where they cannot be trained on."""
    if prepared.errors:
        raise TrainingError(" ".join(prepared.errors))
    for problem in prepared.problems:
        yield Said(problem.text, "warning")
    for note in prepared.start.notes if prepared.start else ():
        yield Said(note)
    yield Said(f"Data: {prepared.split.how}")


def _told(
    prepared: Prepared, settings: TrainingSettings, saved: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what the card says of the training, as it was begun."""
    parent = prepared.start.parent if prepared.start else None
    told = told_of(settings, prepared.split, parent=parent)
    if saved is None:
        return told
    if saved["told"]["data"] != told["data"]:
        raise TrainingError(
            "This training was begun with other pairs: resume with the same ones, or train into a "
            "new folder."
        )
    return {**saved["told"], "settings": told["settings"]}


def _start(
    prepared: Prepared, settings: TrainingSettings, *, resume: bool
) -> tuple[Callable[[nn.Module], object] | None, list[str]]:
    """Return what gives a new network its first weights, and a list for what that says of them."""
    said: list[str] = []
    if resume:
        return None, said
    if prepared.start is not None:
        return prepared.start.transfer.load, said
    if not settings.start_weights:
        return None, said
    tensors = read_start(settings.start_weights)

    def from_weights(network: nn.Module) -> None:
        said.append(f"Weights of {settings.start_weights}: {load_matching(network, tensors)}")

    return from_weights, said


def _decoding(description: ModelDescription) -> dict[str, Any]:
    """Return how objects are decoded until validation images choose something better."""
    if description.outputs.kind == "classes":
        return {}
    # A model that is tuned further keeps its own.
    own = (operation.parameters for operation in description.postprocess)
    return dict(next(own, {})) or dict(_DECODING)
