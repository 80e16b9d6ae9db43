"""Training with each kind of network: what is planned for it, and what it begins with."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_monai import LabelVolume, TrainingSettings, Volume, load_model, segment
from napari_monai.errors import ModelNotFoundError, TrainingError
from napari_monai.events import Event, Said, StepDone
from napari_monai.grid import Grid
from napari_monai.networks import build_network, network_arguments, presets
from napari_monai.settings import NetworkName, NetworkSize
from napari_monai.training import fine_tune
from napari_monai.training.checkpoint import load_checkpoint
from napari_monai.training.plan import plan_model
from napari_monai.training.resolved import resolve

TINY: dict[str, dict[str, Any]] = {
    "unet": {"channels": [4, 8], "strides": [2], "num_res_units": 0},
    "plain_conv_unet": {"features_per_stage": [4, 8], "strides": [1, 2]},
    "unetr": {
        "img_size": 32, "hidden_size": 12, "mlp_dim": 16, "num_heads": 3, "feature_size": 4,
    },
    "reseg": {
        "channels": [4, 8], "depths": [1, 1], "strides": [2], "hidden": 4, "up_channels": 4,
    },
}  # fmt: skip


def pair(seed: int) -> tuple[Volume, LabelVolume]:
    """Return noise with a bright half, and its labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((48, 48), np.uint8)
    labels[:, 24:] = 1
    image = (rng.normal(50, 5, labels.shape) + 100 * labels).astype(np.float32)
    grid = Grid.from_spacing(labels.shape)
    return Volume(image, grid), LabelVolume(labels, grid, kind="classes")


PAIRS = [pair(0), pair(1)]


def settings(network: NetworkName, **changes: Any) -> TrainingSettings:
    given = {
        "target": "classes",
        "network": network,
        "network_arguments": json.dumps(TINY.get(network, {})),
        "steps": 3,
        "batch_size": 2,
        "validate_every": 3,
        "precision": "float32",
        "device": "cpu",
        **changes,
    }
    return TrainingSettings.from_json(given)


def train(folder: Path, given: TrainingSettings) -> list[Event]:
    return list(fine_tune(None, PAIRS, settings=given, output=folder, name="halves"))


@pytest.mark.parametrize("network", TINY)
def test_each_kind_trains_and_segments(network: NetworkName, tmp_path: Path) -> None:
    patch = None if network == "unetr" else (32, 32)
    events = train(tmp_path, settings(network, patch=patch))
    assert [e.step for e in events if isinstance(e, StepDone)] == [1, 2, 3]
    described = next(e.message for e in events if isinstance(e, Said) and "GFLOP" in e.message)
    assert re.match(rf"Training {network} \(0\.\d M parameters, 0\.\d GFLOP a patch\)", described)
    model = load_model(tmp_path / "model")
    fixed = network == "unetr"
    assert model.description.inputs.fixed_size == fixed
    assert model.description.inferer.window == ((32, 32) if fixed else (512, 512))
    assert segment(PAIRS[0][0], model).numpy().shape == (48, 48)


def test_the_average_follows_a_tensor_of_several_names_once(tmp_path: Path) -> None:
    train(tmp_path, settings("plain_conv_unet", patch=(16, 16), steps=1, average=0.5))
    state = load_checkpoint(tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        start = build_network("plain_conv_unet", network_arguments(
            "plain_conv_unet",
            {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, **planned()},
        )).state_dict()  # fmt: skip
    # After one step the decay is that of a young average: (1 + 1) / (10 + 1).
    for name, weight in state["network"].items():
        expected = start[name].lerp(weight, 1 - 2 / 11)
        torch.testing.assert_close(state["average"][name], expected)


def planned() -> dict[str, Any]:
    return {**presets("plain_conv_unet", 2)["base"], **TINY["plain_conv_unet"]}


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_the_size_of_the_network_is_as_given(size: NetworkSize) -> None:
    given = settings("segresnet", network_size=size, network_arguments="{}")
    description = plan_model("x", PAIRS, given)
    assert description.network.arguments.items() >= presets("segresnet", 2)[size].items()


def test_a_fixed_window_is_the_patch() -> None:
    given = dataclasses.replace(settings("unetr"), network_arguments="{}")
    description = plan_model("x", PAIRS, given)
    assert description.inferer.window == resolve(given, description).patch == (256, 256)


@pytest.mark.parametrize("kind", ["model", "safetensors", "checkpoint"])
def test_a_new_network_begins_with_weights_that_fit(kind: str, tmp_path: Path) -> None:
    train(tmp_path / "first", settings("unet", patch=(16, 16)))
    source = tmp_path / "first" / "model"
    tensors = load_model(source).load_network().state_dict()
    if kind == "safetensors":
        source = tmp_path / "weights.safetensors"
        save_file(tensors, source)
    elif kind == "checkpoint":
        source = tmp_path / "weights.pt"
        torch.save(
            {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in tensors.items()}}, source
        )
    # A rate so small that three steps change nothing to speak of.
    given = settings("unet", patch=(16, 16), start_weights=str(source), learning_rate=1e-8)
    events = train(tmp_path / "second", given)
    said = [e.message for e in events if isinstance(e, Said)]
    assert f"Weights of {source}: {len(tensors)} of {len(tensors)} tensors loaded" in said
    begun = load_checkpoint(tmp_path / "second")
    for name, value in tensors.items():
        if value.is_floating_point() and "running" not in name:
            torch.testing.assert_close(begun["network"][name], value, rtol=0, atol=1e-6)
            torch.testing.assert_close(begun["average"][name], value, rtol=0, atol=1e-6)


def test_weights_that_cannot_be_had_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    given = settings("unet", start_weights=str(tmp_path / "bad.safetensors"))
    with pytest.raises(TrainingError, match="cannot be read"):
        train(tmp_path / "out", given)
    with pytest.raises(ModelNotFoundError, match="gone"):
        train(tmp_path / "other", settings("unet", start_weights=str(tmp_path / "gone")))


def test_a_training_from_before_a_setting_can_be_resumed(tmp_path: Path) -> None:
    given = settings("unet", patch=(16, 16))
    train(tmp_path, given)
    file = tmp_path / "checkpoint.pt"
    state = torch.load(file, weights_only=True)
    del state["settings"]["network_size"], state["settings"]["start_weights"]
    torch.save(state, file)
    events = list(fine_tune(None, PAIRS, settings=given, output=tmp_path, resume=True))
    assert any("Resuming after step 3" in e.message for e in events if isinstance(e, Said))
