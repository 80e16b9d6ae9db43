"""Bare weights: the network is told or found, and what does not fit is said in one line."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from tests.models.known import arguments

from napari_monai.errors import ModelError
from napari_monai.models import load_model
from napari_monai.networks import build_network, presets

SMALL = {**arguments(), "channels": [3, 5], "strides": [2], "num_res_units": 1, "norm": "batch"}


def network(name="unet", told=SMALL):
    torch.manual_seed(0)
    return build_network(name, told).eval()


def same(model, made, dims=2):
    image = torch.rand(1, model.description.network.arguments["in_channels"], *(32,) * dims)
    with torch.inference_mode():
        return torch.equal(model.load_network()(image), made(image))


@pytest.mark.parametrize(
    ("wrap", "key", "prefix"),
    [
        pytest.param(lambda s: s, "", "", id="bare"),
        pytest.param(lambda s: {"state_dict": s, "epoch": 3}, "state_dict", "", id="state_dict"),
        pytest.param(lambda s: {"model": {"state_dict": s}}, "model.state_dict", "", id="nested"),
        pytest.param(
            lambda s: {f"module.{k}": v for k, v in s.items()}, "", "module.", id="parallel"
        ),
        pytest.param(
            lambda s: {"model": {f"_orig_mod.module.{k}": v for k, v in s.items()}},
            "model",
            "_orig_mod.module.",
            id="compiled-parallel",
        ),
    ],
)
def test_where_the_tensors_are(tmp_path, wrap, key, prefix):
    made = network()
    torch.save(wrap(made.state_dict()), tmp_path / "a.pth")
    model = load_model(tmp_path / "a.pth", architecture="unet", arguments=json.dumps(SMALL))
    weights = model.description.weights[0]
    assert (weights.key, weights.prefix, weights.loader) == (key, prefix, "torch")
    assert same(model, made)


def test_safetensors(tmp_path):
    made = network()
    save_file(made.state_dict(), tmp_path / "a.safetensors")
    model = load_model(tmp_path / "a.safetensors", architecture="unet", arguments=SMALL)
    assert model.description.weights[0].loader == "safetensors"
    assert same(model, made)


@pytest.mark.parametrize(
    ("name", "dims"),
    [("unet", 2), ("unet", 3), ("basic_unet", 2), ("segresnet", 3), ("dynunet", 2)],
)
def test_a_preset_is_found(tmp_path, name, dims):
    told = {"spatial_dims": dims, "in_channels": 2, "out_channels": 4}
    made = network(name, {**told, **presets(name, dims)["small"]})
    torch.save(made.state_dict(), tmp_path / "a.pt")
    model = load_model(tmp_path / "a.pt", labels=["a", "b", "c"])
    spec = model.description.network
    assert spec.name == name
    assert {k: spec.arguments[k] for k in told} == told
    assert [c.name for c in model.description.labels] == ["a", "b", "c"]
    assert same(model, made, dims)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"architecture": "unet", "arguments": {**SMALL, "channels": [3, 6]}},
            r"does not fit unet: \d+ of \d+ tensors fit, \d+ of other shape \(model",
            id="shapes",
        ),
        pytest.param({"architecture": "basic_unet"}, r"missing \(.*left over \(", id="names"),
        pytest.param({"architecture": "unett"}, "Did you mean 'unet'?", id="no-network"),
        pytest.param({"architecture": "unet", "arguments": "{"}, "not JSON", id="no-json"),
        pytest.param({"architecture": "unet", "arguments": [1]}, "an object", id="no-object"),
        pytest.param({"key": "ema"}, "no state dict at 'ema'", id="no-key"),
        pytest.param({"arch": "unet"}, "No option 'arch'", id="no-option"),
        pytest.param({}, r"fits no network of the table.*Nearest are .*unet: \d+ of", id="guess"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(tmp_path, options, message):
    torch.save(network().state_dict(), tmp_path / "a.pt")
    with pytest.raises(ModelError, match=message) as caught:
        load_model(tmp_path / "a.pt", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_in_a_pickle_does_not_run(tmp_path, zipped):
    marker = tmp_path / "marker"

    class Touch:
        def __reduce__(self):
            return (exec, (f"open({str(marker)!r}, 'w').close()",))

    held = {"state_dict": network().state_dict(), "hparams": Touch()}
    torch.save(held, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="could run code: it is not opened") as caught:
        load_model(tmp_path / "a.pth")
    assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_damaged_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x02nothing")
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path / name)
    assert "\n" not in str(caught.value)
