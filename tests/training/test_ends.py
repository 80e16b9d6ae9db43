"""A training that cannot or need not go on ends in one clear line, and the best model is kept."""

from __future__ import annotations

import dataclasses
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.small import HELD_OUT, PAIRS, SETTINGS, run, same, weights

from napari_monai import load_model
from napari_monai.errors import OutOfMemoryError, TrainingError, WriteError
from napari_monai.events import EpochDone, Event, Said, Started, StepDone, Trained
from napari_monai.training import fine_tune
from napari_monai.training.checkpoint import load_checkpoint
from napari_monai.training.clock import Costs, cut
from napari_monai.training.resolved import Augment, Resolved
from napari_monai.training.run_folder import STOP
from napari_monai.training.trainer import Trainer


def said(events: list[Event], words: str) -> list[str]:
    return [e.message for e in events if isinstance(e, Said) and words in e.message]


def collected(events: Iterator[Event], seen: list[Event]) -> Iterator[Event]:
    for event in events:
        seen.append(event)
        yield event


# -- asked to --------------------------------------------------------------------------------------


def test_a_file_named_stop_ends_it_and_it_can_go_on(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    cut_short, events = tmp_path / "cut", []
    for event in fine_tune(
        None, PAIRS, settings=SETTINGS, output=cut_short, validation=HELD_OUT, name="discs"
    ):
        events.append(event)
        if isinstance(event, StepDone) and event.step == 4:
            (cut_short / STOP).touch()
    assert said(events, "Stopped as asked after step 4")
    assert isinstance(events[-1], Trained)
    assert load_model(events[-1].path).description.training["best_step"] == 3
    assert not (cut_short / STOP).exists()
    run(cut_short, resume=True)
    assert same(weights(tmp_path / "whole"), weights(cut_short))


def test_stopped_before_any_validation_the_last_state_is_kept(tmp_path: Path) -> None:
    events = []
    for event in fine_tune(None, PAIRS, settings=SETTINGS, output=tmp_path):
        events.append(event)
        if isinstance(event, StepDone) and event.step == 2:
            (tmp_path / STOP).touch()
    assert [e.step for e in events if isinstance(e, EpochDone)] == [2]
    assert load_model(tmp_path / "model").description.training["steps"] == 2


def test_patience(tmp_path: Path) -> None:
    # A rate that moves no weight: no validation is better than the first.
    still = dataclasses.replace(
        SETTINGS, steps=20, validate_every=2, patience=3, learning_rate=1e-8, average=0.0
    )
    events = run(tmp_path, settings=still)
    epochs = [e for e in events if isinstance(e, EpochDone)]
    worse = 0
    for epoch in epochs:
        worse = 0 if epoch.best else worse + 1
    assert worse == 3
    assert len(epochs) < 10
    assert said(events, "Nothing better in 3 validations")
    # It is over: resumed, it does no more steps.
    again = run(tmp_path, settings=still, resume=True)
    assert not [e for e in again if isinstance(e, StepDone)]


# -- in time ---------------------------------------------------------------------------------------

PLAN = Resolved(1000, 4, 1e-3, 250, (32, 32), Augment())


@pytest.mark.parametrize(
    ("seconds", "costs", "often", "steps", "every"),
    [
        (1e6, Costs(1.0, 5.0, 0.0), None, 1000, 250),
        (100.0, Costs(0.5, 0.0, 0.0), None, 10 + 190, 50),
        (100.0, Costs(0.5, 5.0, 0.0), None, 10 + 150, 40),  # four validations, 20 s
        (100.0, Costs(0.5, 20.0, 0.0), None, 10 + 150, 160),  # but one, of 20 s
        (100.0, Costs(0.5, 5.0, 40.0), None, 10 + 84, 32),  # 57 s left, three validations
        (100.0, Costs(0.5, 5.0, 0.0), 10, 10 + 95, 250),  # half a second more a step
        (1.0, Costs(5.0, 5.0, 10.0), None, 11, 11),
    ],
    ids=["all", "half", "validations", "dear validations", "decoding", "asked for", "none"],
)
def test_steps_are_cut_to_what_fits(
    seconds: float, costs: Costs, often: int | None, steps: int, every: int
) -> None:
    fits = cut(PLAN, 10, seconds=seconds, costs=costs, often=often)
    assert (fits.steps, fits.validate_every) == (steps, every)
    assert dataclasses.replace(fits, steps=1000, validate_every=250) == PLAN


def test_minutes_are_kept_and_the_steps_decided_once(tmp_path: Path) -> None:
    hasty = dataclasses.replace(SETTINGS, steps=100_000, validate_every=None, minutes=0.1)
    begun = time.monotonic()
    events = run(tmp_path, settings=hasty)
    taken = time.monotonic() - begun
    started = [e.total for e in events if isinstance(e, Started)]
    trained = events[-1]
    assert isinstance(trained, Trained)
    # Nobody knows how busy the machine is: it may be far less, but hardly more.
    assert trained.seconds < 12
    assert taken < 40
    assert started[0] == 100_000
    assert len(started) == 2
    steps = [e for e in events if isinstance(e, StepDone)]
    assert steps[-1].steps == started[1] < 100_000
    assert load_checkpoint(tmp_path)["plan"]["steps"] == started[1]


# -- no number -------------------------------------------------------------------------------------


def poison(monkeypatch: pytest.MonkeyPatch, at: list[int]) -> list[tuple[int, float]]:
    """Spoil the images of steps, each time they come; return the list of steps and rates."""
    seen: list[tuple[int, float]] = []
    advance = Trainer.advance

    def spoiled(self: Trainer) -> Any:
        if at and self.step == at[0]:
            at.pop(0)
            with torch.no_grad():
                next(self.network.parameters()).fill_(float("nan"))
        step = advance(self)
        seen.append((step.number, step.rate))
        return step

    monkeypatch.setattr(Trainer, "advance", spoiled)
    return seen


def test_after_a_loss_that_is_no_number_it_goes_on_at_half_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = poison(monkeypatch, [4])
    events = run(tmp_path)
    assert said(events, "The loss is nan at step 5: going on from step 3 with half the learning")
    assert [number for number, _ in seen] == [1, 2, 3, 4, 5, 4, 5, 6]
    assert seen[5][1] == seen[3][1] / 2
    assert isinstance(events[-1], Trained)
    rows = (tmp_path / "steps.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2", "3", "4", "5", "6"]
    assert load_checkpoint(tmp_path)["slowed"] == 0.5


def test_a_second_time_it_ends_with_the_best_model_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, [4, 4])
    seen: list[Event] = []
    events = fine_tune(None, PAIRS, settings=SETTINGS, output=tmp_path, validation=HELD_OUT)
    with pytest.raises(TrainingError, match="loss is nan at step 5, also at half") as caught:
        list(collected(events, seen))
    assert "\n" not in str(caught.value)
    assert load_model(tmp_path / "model").description.training["best_step"] == 3
    state = load_checkpoint(tmp_path)
    assert state["step"] == 3
    assert all(v.isfinite().all() for v in state["network"].values())


# -- no room ---------------------------------------------------------------------------------------


def _train_in(folder: Path, limit: int, pipe: Any) -> None:
    """Train where files may have no more bytes than a limit, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        run(folder)
        pipe.send("done")
    except WriteError as error:
        pipe.send(str(error))


def train_in(folder: Path, limit: int) -> str:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["napari_monai.training", "tests.training.small"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_train_in, args=(folder, limit, sender))
    process.start()
    sender.close()
    word = receiver.recv()
    process.join()
    receiver.close()
    return str(word)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of files")
def test_a_full_disk_leaves_the_best_model_and_the_last_state(tmp_path: Path) -> None:
    whole, full = tmp_path / "whole", tmp_path / "full"
    run(whole)
    # Room for the model and the first state, but not for one with what the optimiser has gathered.
    line = train_in(full, (whole / "checkpoint.pt").stat().st_size - 1000)
    assert line.startswith(f"The disk of {full} is full: make room and resume; the best model")
    assert load_model(full / "model").description.training["best_step"] == 3
    assert load_checkpoint(full)["step"] == 0
    assert not [path.name for path in full.glob(".*")]
    run(full, resume=True)
    assert same(weights(whole), weights(full))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of files")
def test_a_full_disk_is_said_of_logs_too(tmp_path: Path) -> None:
    old = "step,loss,learning_rate,seconds\n" + 100_000 * "0,0.0,0.0,0.0\n"
    (tmp_path / "steps.csv").write_text(old)
    line = train_in(tmp_path, len(old) + 20)
    assert line == f"The disk of {tmp_path} is full: make room and resume; there is no model yet."
    assert load_checkpoint(tmp_path)["step"] == 0


# -- too large -------------------------------------------------------------------------------------


def crowd(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Give the device room for so many patches at a time; return the list of what it got."""
    sizes: list[int] = []
    forward = Trainer._forward

    def limited(self: Trainer, heads: Any, images: torch.Tensor) -> Any:
        if heads is self.heads:
            sizes.append(len(images))
            if len(images) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n2 GiB")
        return forward(self, heads, images)

    monkeypatch.setattr(Trainer, "_forward", limited)
    return sizes


def test_a_batch_that_does_not_fit_goes_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = crowd(monkeypatch, 2)
    settings = dataclasses.replace(SETTINGS, steps=3, batch_size=7)
    events = run(tmp_path, settings=settings)
    assert sizes == [7, 4, *[2, 2, 2, 1] * 3]
    assert said(events, "Going on from step 0 with each batch in 4 parts") or said(
        events, "going on from step 0 with each batch in 4 parts"
    )
    assert isinstance(events[-1], Trained)


def test_a_patch_that_does_not_fit_is_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd(monkeypatch, 0)
    with pytest.raises(OutOfMemoryError, match="A patch of 32 x 32 voxels does not fit") as caught:
        run(tmp_path)
    assert "\n" not in str(caught.value)
