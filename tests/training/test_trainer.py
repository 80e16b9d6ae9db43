"""Steps of a network: their gradient, alone, in parts and in several processes."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.small import HELD_OUT, PAIRS, SETTINGS, discs, run, same, weights

from napari_monai import TrainingSettings, load_model
from napari_monai.errors import TrainingError
from napari_monai.events import EpochDone, Said, StepDone, Trained
from napari_monai.training import fine_tune
from napari_monai.training.checkpoint import load_checkpoint
from napari_monai.training.preparing import prepare_training
from napari_monai.training.trainer import Trainer

# No batch normalisation, so that images of a batch meet in the loss alone.
APART = '{"channels": [8, 16], "strides": [2], "num_res_units": 1, "norm": "instance"}'
NO_NORM_ACROSS = dataclasses.replace(
    SETTINGS, network_arguments=APART, batch_size=4, gradient_clip=0.0, workers=0
)


def trainer(settings: TrainingSettings) -> Trainer:
    found = prepare_training(None, PAIRS, settings=settings)
    return Trainer(found.description, found.training, found.plan, settings)


def gradient(settings: TrainingSettings, parts: int | None = None) -> torch.Tensor:
    """Return the whole gradient of the first step."""
    one = trainer(settings)
    one.parts = parts or one.parts
    one.advance()
    return torch.cat([p.grad.flatten() for p in one.network.parameters() if p.grad is not None])


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_parts_add_up_to_the_gradient_of_the_batch(parts: int) -> None:
    # Without the distance, whose error is a mean over all objects of a batch.
    settings = dataclasses.replace(NO_NORM_ACROSS, distance_weight=0.0)
    torch.testing.assert_close(gradient(settings, parts), gradient(settings), rtol=1e-4, atol=1e-6)


def test_accumulated_batches_are_those_of_a_larger_one() -> None:
    settings = dataclasses.replace(NO_NORM_ACROSS, distance_weight=0.0)
    accumulated = dataclasses.replace(settings, batch_size=2, accumulate=2)
    torch.testing.assert_close(gradient(accumulated), gradient(settings), rtol=1e-4, atol=1e-6)


def test_the_gradient_is_clipped() -> None:
    free = gradient(NO_NORM_ACROSS)
    clipped = gradient(dataclasses.replace(NO_NORM_ACROSS, gradient_clip=0.01))
    assert float(free.norm()) > 0.02
    torch.testing.assert_close(clipped, free * 0.01 / free.norm(), rtol=1e-3, atol=1e-8)


def test_the_average_follows_the_weights() -> None:
    settings = dataclasses.replace(SETTINGS, average=0.3)
    one = trainer(settings)
    names = [name for name, _ in one.network.named_parameters()]
    expected = {name: value.clone() for name, value in one.average.named_parameters()}
    for step in range(1, 6):
        one.advance()
        decay = min(0.3, (1 + step) / (10 + step))
        now = dict(one.network.named_parameters())
        expected = {n: decay * expected[n] + (1 - decay) * now[n].detach() for n in names}
    for name, value in one.average.named_parameters():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)


def test_frozen_layers_stay_as_they_are_until_they_are_set_free(tmp_path: Path) -> None:
    first = run(tmp_path / "first")[-1]
    assert isinstance(first, Trained)
    parent = load_model(first.path)
    frozen = dataclasses.replace(SETTINGS, freeze="all_but_head", unfreeze=0.0, average=0.0)
    run(tmp_path / "frozen", model=parent, settings=frozen)
    state = load_checkpoint(tmp_path / "frozen")["network"]
    before = parent.load_network().state_dict()
    changed = {k for k, v in state.items() if not torch.equal(v, before[k])}
    assert changed
    assert len(changed) < len(state) / 2
    free = dataclasses.replace(frozen, unfreeze=0.5)
    run(tmp_path / "free", model=parent, settings=free)
    state = load_checkpoint(tmp_path / "free")["network"]
    moved = {k for k, v in state.items() if v.is_floating_point() and torch.equal(v, before[k])}
    assert not moved


# -- in several processes --------------------------------------------------------------------------


def _train(folder: Path, settings: TrainingSettings, rank: int, port: int, pipe: Any) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    try:
        events = fine_tune(
            None, PAIRS, settings=settings, output=folder, validation=HELD_OUT, name="discs"
        )
        found = [e for e in events if isinstance(e, Said | StepDone | EpochDone | Trained)]
        pipe.send(found)
    except Exception as error:
        pipe.send(repr(error))


def in_two(folder: Path, settings: TrainingSettings) -> list[Any]:
    """Train in two processes, as torchrun starts them; return the events of the first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["napari_monai.training.loop", "tests.training.small"])
    ends = [context.Pipe(duplex=False) for _ in range(2)]
    processes = [
        context.Process(target=_train, args=(folder, settings, rank, port, ends[rank][1]))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    for _, sender in ends:
        sender.close()
    found = [receiver.recv() for receiver, _ in ends]
    for process in processes:
        process.join()
    assert isinstance(found[0], list), found
    assert isinstance(found[1], list), found
    return found[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork server")
def test_two_processes_learn_what_one_does_from_the_same_batches(tmp_path: Path) -> None:
    # Accumulated, clipped, with the distance, whose error is a mean over the whole batch.
    settings = dataclasses.replace(
        NO_NORM_ACROSS, batch_size=2, accumulate=2, gradient_clip=1.0, steps=4, validate_every=2
    )
    alone = run(tmp_path / "one", settings=settings)
    events = in_two(tmp_path / "two", settings)
    losses = [[e.loss for e in each if isinstance(e, StepDone)] for each in (alone, events)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    scores = [[e.scores for e in each if isinstance(e, EpochDone)] for each in (alone, events)]
    assert scores[1][0] == pytest.approx(scores[0][0], abs=0.02)
    states = [load_checkpoint(tmp_path / name) for name in ("one", "two")]
    # Of Adam's moments, which are the gradients so far; weights follow those even where they are 0.
    for key, value in states[0]["optimiser"]["state"].items():
        other = states[1]["optimiser"]["state"][key]["exp_avg"]
        torch.testing.assert_close(other, value["exp_avg"], rtol=1e-3, atol=1e-5)
    # It goes on alone, as if it had been so all the time.
    longer = run(tmp_path / "two", settings=settings, resume=True)
    assert isinstance(longer[-1], Trained)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork server")
def test_batch_normalisation_of_two_processes_is_said_to_be_apart(tmp_path: Path) -> None:
    batch_norm = APART.replace("instance", "batch")
    settings = dataclasses.replace(NO_NORM_ACROSS, network_arguments=batch_norm, steps=2)
    events = in_two(tmp_path / "two", settings)
    assert [e for e in events if isinstance(e, Said) and "part of each process" in e.message]
    assert isinstance(events[-1], Trained)


def test_several_processes_are_started_by_others(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="3 processes are for the command line"):
        run(tmp_path, settings=dataclasses.replace(SETTINGS, processes=3))


def test_workers_change_nothing(tmp_path: Path) -> None:
    for workers in (0, 2):
        settings = dataclasses.replace(SETTINGS, workers=workers)
        run(tmp_path / str(workers), settings=settings, validation=())
    assert same(weights(tmp_path / "0"), weights(tmp_path / "2"))


@pytest.mark.parametrize(
    "changes",
    [
        {"adversarial_weight": 0.1, "adversarial_from": 0.3},
        {"warm_start": "masked", "warm_start_steps": 4},
        {"target": "classes", "loss": "dice_ce"},
    ],
    ids=["adversary", "warm start", "classes"],
)
def test_all_that_has_a_state_is_resumed(tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = dataclasses.replace(SETTINGS, **changes)
    run(tmp_path / "whole", settings=settings)
    cut = tmp_path / "cut"
    for stop in (2, 6):  # among the steps of a warm start, where there is one, and later
        events = fine_tune(
            None,
            PAIRS,
            settings=settings,
            output=cut,
            validation=HELD_OUT,
            unlabelled=[discs(9)[0]] if "warm_start" in changes else [],
            name="discs",
            resume=cut.exists(),
        )
        for number, event in enumerate(e for e in events if isinstance(e, StepDone)):
            if number == stop - 1:
                events.close()  # type: ignore[attr-defined]
                break
            del event
    run(cut, settings=settings, resume=True)
    if "warm_start" not in changes:
        assert same(weights(tmp_path / "whole"), weights(cut))
