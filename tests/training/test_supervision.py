"""Deep supervision: which heads there are, what they are compared with, and a training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import DynUNet, SegResNetDS

from napari_monai import LabelVolume, TrainingSettings, Volume, load_model
from napari_monai.errors import TrainingError
from napari_monai.events import Event, StepDone
from napari_monai.grid import Grid
from napari_monai.networks import build_network
from napari_monai.settings import NetworkName
from napari_monai.training import fine_tune
from napari_monai.training.checkpoint import load_checkpoint
from napari_monai.training.supervision import on_level, supervised, supervision

COMMON = {"spatial_dims": 2, "in_channels": 1, "out_channels": 3}
STEPS = {"strides": [1, 2, 2, 2], "kernel_size": [3] * 4, "filters": [4, 6, 8, 10]}
PLAIN = {"features_per_stage": [4, 6, 8, 10], "strides": [1, 2, 2, 2]}
NETWORKS: dict[NetworkName, dict[str, Any]] = {
    "dynunet": STEPS,
    "segresnet_ds": {"init_filters": 4, "blocks_down": [1, 1, 1], "norm": "instance"},
    "plain_conv_unet": PLAIN,
    "residual_encoder_unet": {**PLAIN, "n_blocks_per_stage": [1, 1, 1, 1]},
}
HEADS = {
    "dynunet": {"deep_supervision": True, "deep_supr_num": 2},
    "segresnet_ds": {"dsdepth": 2},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_heads_are_of_all_levels_and_the_first_is_the_result(name: NetworkName) -> None:
    network = build_network(name, {**COMMON, **NETWORKS[name], **HEADS.get(name, {})}).train()
    image = torch.randn(2, 1, 29, 24)  # padded to 32
    heads = supervised(network, name).all_heads(image)
    sizes = [(32, 24), (16, 12), (8, 6)][: len(heads)]
    assert len(heads) == {"dynunet": 3}.get(name, 2)
    assert [tuple(head.shape) for head in heads] == [(2, 3, *size) for size in sizes]
    torch.testing.assert_close(network(image), heads[0][:, :, :29])
    sum(head.square().sum() for head in heads).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None]
    # nnU-Net's leaves the coarsest head out.
    assert silent == ([] if name in HEADS else [n for n in silent if "seg_layers.0" in n])


def test_heads_are_monais() -> None:
    image = torch.randn(1, 1, 32, 32)
    ours = build_network("dynunet", {**COMMON, **STEPS, **HEADS["dynunet"]}).train()
    judge = DynUNet(
        2, 1, 3, [3] * 4, [1, 2, 2, 2], [2, 2, 2], [4, 6, 8, 10],
        norm_name=("INSTANCE", {"affine": True}), deep_supervision=True, deep_supr_num=2,
    )  # fmt: skip
    judge.load_state_dict(ours.state_dict())
    for level, head in enumerate(ours.all_heads(image)):
        enlarged = torch.nn.functional.interpolate(head, (32, 32))
        torch.testing.assert_close(enlarged, judge.train()(image)[:, level])

    arguments = {**NETWORKS["segresnet_ds"], **HEADS["segresnet_ds"]}
    ours = build_network("segresnet_ds", {**COMMON, **arguments}).train()
    judge = SegResNetDS(**COMMON, **arguments)
    judge.load_state_dict(ours.state_dict())
    for found, expected in zip(ours.all_heads(image), judge.train()(image), strict=True):
        torch.testing.assert_close(found, expected)


def test_targets_of_a_level_are_at_the_centres_of_its_voxels() -> None:
    """Seven columns, padded to eight: of four voxels two wide, the last has one in the image."""
    targets = torch.arange(7).reshape(1, 1, 1, 7)
    head = torch.zeros(1, 2, 1, 4)
    logits, wanted = on_level(head, targets, padded=(1, 8))
    assert logits.shape == (1, 2, 1, 4)
    assert wanted.flatten().tolist() == [1, 3, 5, 6]
    logits, wanted = on_level(torch.zeros(1, 2, 1, 4), targets[..., :3], padded=(1, 8))
    assert logits.shape == (1, 2, 1, 2)
    assert wanted.flatten().tolist() == [1, 2]


def test_levels_count_half_as_much_from_one_to_the_next() -> None:
    heads = [torch.full((1, 1, size), float(size)) for size in (8, 4, 2)]

    def mean(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        assert logits.shape == targets.shape
        return logits.mean()

    loss = supervision(heads, torch.zeros(1, 1, 7), mean, lambda *both: 10 * mean(*both))
    assert float(loss) == pytest.approx((8 + 40 / 2 + 20 / 4) / 1.75)


def pair() -> tuple[Volume, LabelVolume]:
    labels = np.zeros((9, 20, 20), np.uint8)
    labels[2:7, 5:15, 5:15] = 1
    labels[:, 18:] = 255
    image = np.random.default_rng(0).normal(100 * (labels == 1), 5).astype(np.float32)
    grid = Grid.from_spacing(labels.shape, spacing=(3.0, 1.0, 1.0))
    return Volume(image, grid), LabelVolume(labels, grid, kind="classes")


def train(folder: Path, network: NetworkName, *, resume: bool = False) -> Iterator[Event]:
    given = TrainingSettings(
        target="classes", network=network, network_arguments=json.dumps(NETWORKS.get(network, {})),
        steps=4, patch=(6, 16, 16), batch_size=1, validate_every=2, precision="float32",
        device="cpu", deep_supervision=True, loss="boundary", class_weights="balanced",
        ignore_label=255,
    )  # fmt: skip
    pairs = [pair()]
    return fine_tune(None, pairs, validation=pairs, settings=given, output=folder, resume=resume)


@pytest.mark.parametrize("network", ["dynunet", "segresnet_ds", "plain_conv_unet"])
def test_each_trains_and_gives_a_model(network: NetworkName, tmp_path: Path) -> None:
    events = list(train(tmp_path, network))
    losses = [e.loss for e in events if isinstance(e, StepDone)]
    assert len(losses) == 4
    assert np.isfinite(losses).all()
    assert load_model(tmp_path / "model").description.training["settings"]["deep_supervision"]


def test_a_resumed_training_is_the_same(tmp_path: Path) -> None:
    """The boundary loss rises, and classes weigh, as in one that was not interrupted."""
    list(train(tmp_path / "whole", "plain_conv_unet"))
    for event in (begun := train(tmp_path / "parts", "plain_conv_unet")):
        if isinstance(event, StepDone) and event.step == 3:
            break
    begun.close()
    list(train(tmp_path / "parts", "plain_conv_unet", resume=True))
    whole, parts = (load_checkpoint(tmp_path / n)["network"] for n in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_a_network_without_heads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"unet: this network has no heads at coarser levels"):
        list(train(tmp_path, "unet"))
