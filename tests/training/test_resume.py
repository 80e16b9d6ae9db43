"""A training that is killed at any moment goes on to the very weights of one that was not."""

from __future__ import annotations

import csv
import dataclasses
import multiprocessing
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.training.small import HELD_OUT, PAIRS, SETTINGS, run, same, stored, weights

from napari_monai.errors import TrainingError
from napari_monai.events import EpochDone, StepDone, Trained
from napari_monai.training import fine_tune, record
from napari_monai.training.checkpoint import NAME, load_checkpoint

KILLS = 5
# A bit of everything that has a state: parts of batches, a moving average, dropout, patience.
DROPOUT = '{"channels": [8, 16], "strides": [2], "num_res_units": 1, "dropout": 0.2}'
RICH = dataclasses.replace(
    SETTINGS, steps=12, validate_every=4, accumulate=2, patience=20, network_arguments=DROPOUT
)


def values(path: Path, column: str) -> list[float]:
    with path.open() as file:
        return [float(row[column]) for row in csv.DictReader(file)]


def test_cancelled_between_two_steps_it_goes_on_from_there(tmp_path: Path) -> None:
    run(tmp_path / "whole", settings=RICH)
    cut = tmp_path / "cut"
    steps = fine_tune(None, PAIRS, settings=RICH, output=cut, validation=HELD_OUT, name="discs")
    for event in steps:
        if isinstance(event, StepDone) and event.step == 7:
            steps.close()  # type: ignore[attr-defined]
            break
    assert load_checkpoint(cut)["step"] == 7
    events = run(cut, resume=True, settings=RICH)
    assert [e.step for e in events if isinstance(e, StepDone)] == [8, 9, 10, 11, 12]
    assert same(weights(tmp_path / "whole"), weights(cut))
    files = [stored(tmp_path / d / "model") for d in ("whole", "cut")]
    assert same(*files)
    for name, column in (("log.csv", "train_loss"), ("log.csv", "AP"), ("steps.csv", "loss")):
        assert values(tmp_path / "whole" / name, column) == values(cut / name, column)


def _train(folder: Path, resume: bool, saved_every: float, events: Any) -> None:
    """Train in a process of its own, and send a word for every step and validation."""
    record._SAVED_EVERY = saved_every
    for event in fine_tune(
        None,
        PAIRS,
        settings=RICH,
        output=folder,
        validation=HELD_OUT,
        name="discs",
        resume=resume,
    ):
        if isinstance(event, StepDone | EpochDone | Trained):
            events.send(isinstance(event, Trained))


def killed(context: Any, folder: Path, rng: random.Random) -> bool:
    """Train on, and kill it a little after some event; return whether it was done before."""
    receiver, sender = context.Pipe(duplex=False)
    resume = (folder / NAME).exists()
    every = rng.choice((0.0, 0.02, 100.0))
    process = context.Process(target=_train, args=(folder, resume, every, sender))
    process.start()
    sender.close()
    done = False
    try:
        for _ in range(rng.randint(1, 6)):
            done = receiver.recv()
        # So that it dies while it computes, writes the state, the model or the logs.
        time.sleep(rng.random() * 0.05)
    except EOFError:
        pass
    process.kill()
    process.join()
    receiver.close()
    return done


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork server")
def test_killed_again_and_again_it_comes_to_the_same_weights(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["napari_monai.training", "tests.training.small"])
    rng = random.Random(2)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(whole, settings=RICH)
    kills = 0
    while kills < KILLS and not killed(context, cut, rng):
        kills += 1
    assert kills >= 2
    run(cut, settings=RICH, resume=(cut / NAME).exists())
    assert same(weights(whole), weights(cut))
    files = [stored(d / "model") for d in (whole, cut)]
    assert same(*files)
    assert values(whole / "steps.csv", "loss") == values(cut / "steps.csv", "loss")
    assert values(whole / "log.csv", "train_loss") == values(cut / "log.csv", "train_loss")
    assert not [path.name for path in cut.glob(".*")]


def test_tensorboard_shows_each_step_once(tmp_path: Path) -> None:
    steps = fine_tune(None, PAIRS, settings=RICH, output=tmp_path, validation=HELD_OUT)
    for event in steps:
        if isinstance(event, StepDone) and event.step == 6:
            # As a kill leaves it: logs of six steps, the state of four.
            (tmp_path / "old.pt").write_bytes((tmp_path / NAME).read_bytes())
            steps.close()  # type: ignore[attr-defined]
            break
    (tmp_path / "old.pt").replace(tmp_path / NAME)
    run(tmp_path, settings=RICH, resume=True, name="model")
    board = EventAccumulator(str(tmp_path)).Reload()
    assert [e.step for e in board.Scalars("loss/step")] == list(range(1, 13))
    assert [e.value for e in board.Scalars("loss/step")] == pytest.approx(
        values(tmp_path / "steps.csv", "loss")
    )
    assert [e.step for e in board.Scalars("scores/AP50")] == [4, 8, 12]
    assert [e.value for e in board.Scalars("loss/validation")] == pytest.approx(
        values(tmp_path / "log.csv", "val_loss")
    )


def test_a_row_that_a_kill_has_cut_off_is_written_anew(tmp_path: Path) -> None:
    run(tmp_path, settings=dataclasses.replace(RICH, steps=4))
    rows = (tmp_path / "steps.csv").read_text().splitlines(keepends=True)
    (tmp_path / "steps.csv").write_text("".join(rows) + "5,0.3")
    run(tmp_path, settings=dataclasses.replace(RICH, steps=4), resume=True)
    assert (tmp_path / "steps.csv").read_text().splitlines(keepends=True) == rows


def test_another_versions_state_is_refused(tmp_path: Path) -> None:
    torch.save({"step": 3}, tmp_path / NAME)
    with pytest.raises(TrainingError, match="another version"):
        run(tmp_path, resume=True)
