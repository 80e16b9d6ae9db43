"""`fine_tune`: from pairs of images and labels to a model, in steps that can be resumed."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..errors import OutOfMemoryError, TrainingError
from ..events import EpochDone, Event, Said, Started, StepDone, Trained
from ..models import Model, ModelDescription, read_model, save_model, user_folder
from ..networks.cost import flops
from ..preprocess import Operation
from ..settings import TrainingSettings
from .checkpoint import NAME as CHECKPOINT
from .checkpoint import check_settings, load_checkpoint, save_checkpoint
from .examples import Example, Pair, make_examples
from .partial import check_partial
from .plan import plan_model, with_card, with_zoom
from .resolved import resolve
from .starting import read_start
from .trainer import Trainer
from .validate import headline, mean_scores, predict_examples, score_maps, tune_decoding

# Where the decoding starts from before validation images choose it.
_DECODING = {"threshold": 0.5, "seed_threshold": 0.08, "smoothing": 1.0, "min_voxels": 0.0}


def fine_tune(
    model: Model | None,
    pairs: Sequence[Pair],
    *,
    settings: TrainingSettings | None = None,
    output: Path | str | None = None,
    validation: Sequence[Pair] = (),
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
        Images and their labels, as files or volumes.
    settings
        How to train.
    output
        Folder for the result: ``model`` (the best one, ready to use), ``checkpoint.pt`` (the
        last state, to resume from) and ``log.csv``. Default: a folder of the new model's name
        in the user's store.
    validation
        Pairs on which the best state and the decoding of instances are chosen. Without them the
        last state is kept.
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
        If the pairs do not fit the model or each other, or there is nothing to resume.
    OutOfMemoryError
        If a batch does not fit the device.
    """
    settings = settings or TrainingSettings()
    check_partial(settings)
    name = name or (f"{model.name}-tuned" if model else "model")
    folder = Path(output) if output else user_folder() / name
    saved = _saved_state(folder, settings, resume=resume)
    if model is not None and settings.start_weights:
        raise TrainingError("Start from a model or from start weights, not from both.")
    if not pairs:
        raise TrainingError("Training needs at least one pair of image and labels.")
    description = _description(model, name, pairs, settings, card, saved)
    yield Said(f"Reading {len(pairs)} training and {len(validation)} validation pairs")
    examples = list(make_examples(pairs, description, settings=settings))
    if not examples:
        raise TrainingError("No voxel of the training pairs is labelled: nothing to train on.")
    held_out = list(make_examples(validation, description, settings=settings, validation=True))
    job = _Job(description, examples, held_out, settings, folder, parent=model)
    try:
        yield from job.run(saved)
    except torch.OutOfMemoryError:
        raise OutOfMemoryError(
            f"A batch of {job.plan.batch_size} patches does not fit the device: "
            "take a smaller batch size or patch."
        ) from None


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


def _description(
    model: Model | None,
    name: str,
    pairs: Sequence[Pair],
    settings: TrainingSettings,
    card: Mapping[str, Any] | None,
    saved: Mapping[str, Any] | None,
) -> ModelDescription:
    if saved is not None:
        described = ModelDescription.from_json(saved["description"], source=CHECKPOINT)
        return with_card(described, card)
    if model is None:
        return plan_model(name, pairs, settings, card=card)
    if settings.target not in ("auto", model.description.outputs.kind):
        raise TrainingError(
            f"{model.name} finds {model.description.outputs.kind}, not {settings.target}: "
            "change the target or start from another model."
        )
    described = replace(
        model.description,
        name=name,
        title=name,
        scores={},
        preprocess=with_zoom(model.description.preprocess, settings.zoom),
    )
    return with_card(described, card)


class _Job:
    """One training: its data, its trainer, and what is written where."""

    def __init__(
        self,
        description: ModelDescription,
        examples: Sequence[Example],
        held_out: Sequence[Example],
        settings: TrainingSettings,
        folder: Path,
        *,
        parent: Model | None,
    ) -> None:
        self.description = description
        self.held_out = held_out
        self.settings = settings
        self.folder = folder
        self.parent = parent
        ndim = description.inputs.spatial_dims
        self.plan = resolve(settings, description)
        if len(self.plan.patch) != ndim:
            n = len(self.plan.patch)
            raise TrainingError(f"A patch of {n} axes does not fit a {ndim}-D model.")
        self.trainer = Trainer(description, examples, self.plan, settings, parent=parent)
        self.n_examples = len(examples)
        # A model that is tuned further keeps its own decoding until a better one is chosen.
        self.decoding: dict[str, Any] = {}
        if description.outputs.kind == "instances":
            own = (operation.parameters for operation in description.postprocess)
            self.decoding = dict(next(own, {})) or dict(_DECODING)
        self.best = -np.inf
        self.best_step = 0
        self.scores: dict[str, float] = {}
        self.losses: list[float] = []
        self.seconds = 0.0

    def run(self, saved: Mapping[str, Any] | None) -> Iterator[Event]:
        """Yield the events of the training."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if saved is not None:
            self._restore(saved)
            yield Said(f"Resuming after step {self.trainer.step}")
        elif self.settings.start_weights:
            report = self.trainer.start_from(read_start(self.settings.start_weights))
            yield Said(f"Weights of {self.settings.start_weights}: {report}")
        yield Said(f"Training {self._described()}")
        yield Started(self.plan.steps, "steps")
        begun = time.monotonic() - self.seconds
        every = self.plan.validate_every
        while self.trainer.step < self.plan.steps:
            loss, rate = self.trainer.advance()
            self.losses.append(loss)
            step = self.trainer.step
            yield StepDone(step, self.plan.steps, loss, rate)
            if step % every == 0 or step == self.plan.steps:
                done = self._validate(begun)
                self.seconds = time.monotonic() - begun
                save_checkpoint(self.folder, self._state())
                yield done
        if self.held_out and self.description.outputs.kind == "instances":
            yield Said("Choosing how to decode instances on the validation images")
            yield from self._tune()
        yield Trained(self.folder / "model", self.scores, time.monotonic() - begun)

    def _described(self) -> str:
        trainer, network = self.trainer, self.description.network
        work = flops(network.name, network.arguments, self.plan.patch) / 1e9
        return (
            f"{network.name} ({trainer.parameters / 1e6:.1f} M parameters, {work:.1f} GFLOP a "
            f"patch) on {self.n_examples} images, on {trainer.device} in "
            f"{trainer.precision_name}"
        )

    def _validate(self, begun: float) -> EpochDone:
        step = self.trainer.step
        train_loss = float(np.mean(self.losses)) if self.losses else float("nan")
        self.losses = []
        scores: dict[str, float] = {}
        val_loss = float("nan")
        if self.held_out:
            val_loss = self.trainer.loss_on(self.held_out)
            maps = self._maps(self.trainer.averaged())
            cases = [
                score_maps(m, example, self.description, self.decoding)
                for m, example in zip(maps, self.held_out, strict=True)
            ]
            scores = mean_scores(cases)
        best = not self.held_out or headline(scores) > self.best
        if best:
            self.best, self.best_step, self.scores = headline(scores), step, scores
            self._save(self.decoding)
        done = EpochDone(
            step, self.plan.steps, train_loss, val_loss, scores, best, time.monotonic() - begun
        )
        self._log(done)
        return done

    def _maps(self, network: torch.nn.Module) -> Iterator[Any]:
        return predict_examples(
            network,
            self.held_out,
            self.description,
            device=self.trainer.device,
            precision=self.trainer.precision_name,
        )

    def _tune(self) -> Iterator[Event]:
        """Choose the decoding of the best state and write the model once more with it."""
        best = read_model(self.folder / "model")  # as written, with the sum of its weights
        network = best.load_network(self.trainer.device)
        maps = list(self._maps(network))
        trials = tune_decoding(maps, self.held_out, self.description, self.decoding)
        for decoding, scores in trials:
            yield Said(f"AP50 {scores['AP50']:.3f}, AP {scores['AP']:.3f} with {decoding}")
        self.scores = scores
        state = {k: v.cpu() for k, v in network.state_dict().items()}
        self._save(decoding, state)

    def _save(
        self, decoding: Mapping[str, float], state: Mapping[str, torch.Tensor] | None = None
    ) -> None:
        """Write the model folder: the averaged weights, unless others are given."""
        post = self.description.postprocess
        if self.description.outputs.kind == "instances":
            post = (Operation("instances", dict(decoding)),)
        described = replace(
            self.description,
            postprocess=post,
            training={
                "settings": self.settings.to_json(),
                "images": self.n_examples,
                "validation_images": len(self.held_out),
                "best_step": self.best_step,
                "parent": self.parent.name if self.parent else None,
                "napari_monai": __version__,
                "torch": str(torch.__version__),
            },
            scores={"validation": {k: round(v, 4) for k, v in self.scores.items()}},
        )
        weights = state or self.trainer.averaged().state_dict()
        save_model(self.folder / "model", described, weights, half=True)

    def _log(self, done: EpochDone) -> None:
        path = self.folder / "log.csv"
        fresh = not path.exists()
        row = {
            "step": done.step,
            "train_loss": done.train_loss,
            "val_loss": done.val_loss,
            **done.scores,
            "best": done.best,
            "seconds": round(done.seconds, 1),
        }
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)

    def _state(self) -> dict[str, Any]:
        return {
            **self.trainer.state(),
            "settings": self.settings.to_json(),
            "description": self.description.to_json(),
            "best": float(self.best),
            "best_step": self.best_step,
            "scores": dict(self.scores),
            "seconds": self.seconds,
        }

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.trainer.restore(saved)
        self.best = saved["best"]
        self.best_step = saved["best_step"]
        self.scores = dict(saved["scores"])
        self.seconds = saved["seconds"]
