"""Weights to start from, by names that differ as those of published files do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from napari_monai.errors import NetworkError
from napari_monai.networks import build_network
from napari_monai.networks.starting import LoadReport, load_matching

COMMON = {"in_channels": 1, "out_channels": 2}
UNET = {**COMMON, "spatial_dims": 2, "channels": [4, 6, 8], "strides": [2, 2]}
RESNET = {**COMMON, "spatial_dims": 3, "backbone": "resnet10", "decoder_channels": [8, 8, 8, 4, 4]}
SWIN = {
    **COMMON, "spatial_dims": 3, "feature_size": 12, "depths": [1, 1, 1, 1],
    "num_heads": [1, 2, 3, 4], "window_size": 2,
}  # fmt: skip


def network(name: str, seed: int, **options: Any) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_network(name, options)


def unchanged(built: torch.nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {key for key, value in built.state_dict().items() if torch.equal(value, before[key])}


def snapshot(built: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in built.state_dict().items()}


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda tensors: tensors, id="bare"),
        pytest.param(lambda tensors: {"epoch": 3, "state_dict": tensors}, id="state-dict"),
        pytest.param(lambda tensors: {"model": {"network": tensors}}, id="deeper"),
        pytest.param(
            lambda tensors: {"state_dict": {f"module.{k}": v for k, v in tensors.items()}},
            id="data-parallel",
        ),
        pytest.param(
            lambda tensors: {f"_orig_mod.module.{k}": v for k, v in tensors.items()}, id="compiled"
        ),
    ],
)
def test_all_of_a_network_comes_back_whatever_it_was_wrapped_in(wrap: Any) -> None:
    source, target = network("unet", 0, **UNET), network("unet", 1, **UNET)
    report = load_matching(target, wrap(source.state_dict()))
    assert set(report.loaded) == set(source.state_dict())
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    x = torch.randn(1, 1, 16, 16)
    torch.testing.assert_close(target(x), source(x), rtol=0, atol=0)


def test_another_number_of_classes_leaves_the_head_as_it_was() -> None:
    source = network("unet", 0, **{**UNET, "num_res_units": 0, "out_channels": 5})
    target = network("unet", 1, **{**UNET, "num_res_units": 0})
    before = snapshot(target)
    report = load_matching(target, source.state_dict())
    assert report.mismatched == ("model.2.conv.weight", "model.2.conv.bias")
    assert (report.missing, report.unexpected) == ((), ())
    assert set(report.mismatched) <= unchanged(target, before)
    for name in report.loaded:
        assert torch.equal(target.state_dict()[name], source.state_dict()[name])


def test_medicalnet_s_names_go_into_the_encoder() -> None:
    """Its files hold a 3D ResNet under state_dict, each name after ``module.``."""
    from monai.networks.nets import resnet10

    torch.manual_seed(0)
    source = resnet10(
        spatial_dims=3, n_input_channels=1, num_classes=2, shortcut_type="B", bias_downsample=False
    )
    file = {"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}
    target = network("flexible_unet", 1, **RESNET)
    before = snapshot(target)
    report = load_matching(target, file)
    assert all(name.startswith("encoder.") for name in report.loaded)
    assert report.unexpected == ("module.fc.weight", "module.fc.bias")
    assert report.mismatched == ()
    left = {name for name in target.state_dict() if not name.startswith("encoder.")}
    assert {name for name in report.missing if "encoder." not in name} == left
    assert left <= unchanged(target, before)
    state = target.state_dict()
    assert torch.equal(state["encoder.conv1.weight"], source.state_dict()["conv1.weight"])


def test_self_supervised_swin_weights_go_into_the_transformer() -> None:
    """Their names are those of the transformer alone, with the layers of earlier releases."""
    source = network("swin_unetr", 0, **SWIN)
    file = {
        f"module.{key.removeprefix('swinViT.')}".replace("mlp.linear", "mlp.fc"): value
        for key, value in source.state_dict().items()
        if key.startswith("swinViT.")
    }
    file["module.rotation_head.weight"] = torch.zeros(4, 8)
    target = network("swin_unetr", 1, **SWIN)
    report = load_matching(target, {"state_dict": file, "optimizer": {"lr": 0.1}})
    assert len(report.loaded) == len(file) - 1
    assert report.unexpected == ("module.rotation_head.weight",)
    assert all(not name.startswith("swinViT.") for name in report.missing)


def test_nnunet_s_tensors_of_two_names_are_loaded() -> None:
    plans = {**COMMON, "spatial_dims": 2, "features_per_stage": [4, 8], "strides": [1, 2]}
    source, target = (network("plain_conv_unet", seed, **plans) for seed in (0, 1))
    report = load_matching(target, {"network_weights": source.state_dict()})
    assert report.missing == ()
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(target(x), source(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "There are no tensors in the checkpoint, which holds nothing"),
        ({"epoch": 3, "lr": 0.1}, "no tensors in the checkpoint, which holds 'epoch', 'lr'"),
        ({"fc.weight": torch.zeros(3, 3)}, "None of the 1 tensors fits .*'fc.weight' is the first"),
    ],
    ids=["empty", "no-tensors", "another-network"],
)
def test_what_cannot_start_a_network_is_refused(tensors: dict[str, Any], message: str) -> None:
    target = network("unet", 0, **UNET)
    before = snapshot(target)
    with pytest.raises(NetworkError, match=message):
        load_matching(target, tensors)
    assert unchanged(target, before) == set(before)


def test_the_report_says_it_in_one_line() -> None:
    report = LoadReport(("a", "b"), ("c",), ("d", "e"), ("f",))
    assert str(report) == (
        "2 of 4 tensors loaded, 1 not in the file (c), 1 of another shape (f), "
        "2 of the file not used (d, ...)"
    )
