"""Frozen stages, rates by stage, an adversary and a warm start in a training from end to end."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.small import HELD_OUT, PAIRS, SETTINGS, discs, run, same, weights

from napari_monai import TrainingSettings, load_model
from napari_monai.errors import TrainingError
from napari_monai.events import Event, StepDone
from napari_monai.networks import build_network
from napari_monai.training import fine_tune
from napari_monai.training.checkpoint import load_checkpoint
from napari_monai.training.stages import stages

NORMED = '{"channels": [8, 16], "strides": [2], "num_res_units": 1, "norm": "batch"}'
PLAIN = dataclasses.replace(SETTINGS, network_arguments=NORMED)
ALL = dataclasses.replace(
    PLAIN,
    steps=8,
    validate_every=4,
    warm_start="masked",
    warm_start_steps=5,
    freeze="encoder",
    unfreeze=0.5,
    layer_decay=0.5,
    adversarial_weight=0.1,
    adversarial_from=0.5,
)
UNLABELLED = [discs(seed)[0] for seed in (7, 8)]


def until(folder: Path, step: int, of: int, *, resume: bool = False) -> list[Event]:
    """Train up to a step of so many, and leave it there."""
    seen: list[Event] = []
    events = fine_tune(
        None,
        PAIRS,
        settings=ALL,
        output=folder,
        validation=HELD_OUT,
        unlabelled=UNLABELLED,
        name="discs",
        resume=resume,
    )
    for event in events:
        seen.append(event)
        if isinstance(event, StepDone) and (event.step, event.steps) == (step, of):
            events.close()  # type: ignore[attr-defined]
            break
    return seen


def test_cut_short_twice_it_comes_to_the_same_weights(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    events = run(whole, settings=ALL, unlabelled=UNLABELLED)
    done = [(e.step, e.steps) for e in events if isinstance(e, StepDone)]
    assert done == [(n, 5) for n in range(1, 6)] + [(n, 8) for n in range(1, 9)]

    until(cut, 3, 5)
    until(cut, 6, 8, resume=True)
    rest = run(cut, settings=ALL, unlabelled=UNLABELLED, resume=True)

    assert [e.step for e in rest if isinstance(e, StepDone)] == [7, 8]
    assert same(weights(whole), weights(cut))
    first, second = (load_checkpoint(folder)["adversary"]["network"] for folder in (whole, cut))
    assert same(first, second)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Return the weights of a training with all choices."""
    folder = tmp_path_factory.mktemp("everything")
    run(folder, settings=ALL, validation=())
    return weights(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"warm_start": "rotation"},
        {"warm_start_steps": 2},
        {"freeze": "none"},
        {"layer_decay": 0.9},
        {"adversarial_weight": 0.0},
        {"adversarial_from": 0.9},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_each_choice_makes_a_difference(
    tmp_path: Path, everything: dict[str, torch.Tensor], changes: dict[str, Any]
) -> None:
    run(tmp_path, settings=dataclasses.replace(ALL, **changes), validation=())

    assert not same(everything, weights(tmp_path))


def test_an_encoder_that_stays_frozen_is_that_of_the_parent(tmp_path: Path) -> None:
    run(tmp_path / "parent", settings=PLAIN, validation=())
    parent = load_model(tmp_path / "parent" / "model")
    settings = dataclasses.replace(PLAIN, freeze="encoder", unfreeze=0.0, network_arguments="{}")

    run(tmp_path / "child", model=parent, settings=settings, validation=(), name="child")

    network = parent.description.network
    ours = load_checkpoint(tmp_path / "child")["network"]
    theirs = parent.load_network(torch.device("cpu")).state_dict()
    frozen = {
        tensor.rpartition(".")[0]
        for stage in stages(build_network(network.name, network.arguments), network.name)
        if stage.part == "encoder"
        for tensor in stage.parameters
    }
    kept = {name for name in ours if torch.equal(ours[name], theirs[name])}
    held = {name for name in ours if name.rpartition(".")[0] in frozen}
    assert any(name.endswith("running_var") for name in held)
    assert held <= kept
    assert not {name for name in ours if name.startswith("model.2.")} & kept


def test_random_weights_are_not_frozen(tmp_path: Path) -> None:
    settings = dataclasses.replace(TrainingSettings(), freeze="all_but_head")

    with pytest.raises(TrainingError, match="Freezing all_but_head leaves random weights"):
        run(tmp_path, settings=settings)
