"""Weights: written, read back, and refused in one line when they are not the model's own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save
from tests.models.known import arguments, description, random_model, threshold_model

from napari_monai.errors import ModelError, WriteError
from napari_monai.models import NetworkSpec, load_model, save_model
from napari_monai.models.weights import read_weights
from napari_monai.networks import build_network


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network("unet", arguments())


def _rewrite(model, tensors):
    """Put other weights into a model, with a description that agrees to them."""
    content = save(tensors)
    (model.folder / "weights.safetensors").write_bytes(content)
    file = model.folder / "model.json"
    values = json.loads(file.read_text())
    values["weights"][0]["sha256"] = hashlib.sha256(content).hexdigest()
    file.write_text(json.dumps(values))
    return load_model(model.folder)


def test_round_trip(tmp_path, network):
    saved = save_model(tmp_path / "m", description(), network.state_dict())
    loaded = load_model(tmp_path / "m")
    assert loaded == saved
    again = loaded.load_network()
    assert not again.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("killed", "members"),
    [("before", 2), ("after", 1)],
    ids=["before the description", "after it"],
)
def test_killed_while_it_is_replaced_a_model_is_the_old_or_the_new_one(tmp_path, killed, members):
    code = (
        "import os, sys; from tests.models.test_weights import save_filled\n"
        "folder, killed, members = sys.argv[1:]\n"
        "save_filled(folder, 1.0, int(members))\n"
        "replace = os.replace\n"
        "def until_description(source, target):\n"
        "    if not str(target).endswith('model.json'): return replace(source, target)\n"
        "    if killed == 'after': replace(source, target)\n"
        "    os._exit(9)\n"
        "os.replace = until_description\n"
        "save_filled(folder, 2.0, int(members))\n"
    )
    folder = tmp_path / "m"
    command = [sys.executable, "-c", code, str(folder), killed, str(members)]
    done = subprocess.run(command, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 9
    kept = load_model(folder)
    for fold in range(members):
        tensors = read_weights(kept, fold).values()
        assert {float(t.flatten()[0]) for t in tensors} == {1.0 if killed == "before" else 2.0}
    shutil.rmtree(next(path for path in tmp_path.iterdir() if path.name.startswith(".m-")))
    again = save_filled(folder, 3.0, members)
    there = {weights.path for weights in again.description.weights}
    assert {path.name for path in folder.iterdir()} == {"model.json", *there}
    assert load_model(folder).load_network() is not None


def save_filled(folder, value, members):
    """Save a model all of whose weights are a number."""
    network = build_network("unet", arguments())
    state = {k: torch.full_like(t, value) for k, t in network.state_dict().items()}
    return save_model(folder, description(), [state] * members if members > 1 else state)


def test_the_same_weights_keep_their_file_and_other_files_stay(tmp_path):
    first = save_filled(tmp_path / "m", 1.0, 1)
    (tmp_path / "m" / "card.json").write_text("{}")
    assert save_filled(tmp_path / "m", 1.0, 1) == first
    other = save_filled(tmp_path / "m", 2.0, 1).description.weights[0]
    assert other.path == f"weights_{other.sha256[:8]}.safetensors"
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [
        "card.json",
        "model.json",
        other.path,
    ]
    assert save_filled(tmp_path / "m", 2.0, 1).description.weights[0].path == "weights.safetensors"


def test_channels_last_and_shared_tensors_are_saved(tmp_path, network):
    network.to(memory_format=torch.channels_last)
    state = network.state_dict()
    names = [n for n in state if n.endswith("bias") and state[n].shape == (1,)]
    state[names[1]] = state[names[0]]
    save_model(tmp_path / "m", description(), state)
    again = load_model(tmp_path / "m").load_network().state_dict()
    assert all(torch.equal(again[n], t) for n, t in state.items())


def test_half_is_stored_in_float16_and_run_in_float32(tmp_path, network):
    state = network.state_dict()
    first = next(iter(state))
    state[first] = torch.full_like(state[first], 1e6)  # beyond float16
    saved = save_model(tmp_path / "m", description(), state, half=True)
    stored = load_file(tmp_path / "m" / "weights.safetensors")
    assert stored[first].dtype == torch.float32
    assert {t.dtype for n, t in stored.items() if n != first} == {torch.float16}
    again = saved.load_network().state_dict()
    assert all(t.dtype == torch.float32 for t in again.values())
    assert all(torch.allclose(again[n], t, rtol=1e-3) for n, t in state.items())


def test_counters_stay_whole_numbers(tmp_path):
    model = random_model(tmp_path / "m")
    stored = load_file(tmp_path / "m" / "weights.safetensors")
    counters = [n for n in stored if n.endswith("num_batches_tracked")]
    assert counters
    assert all(stored[n].dtype == torch.int64 for n in counters)
    model.load_network()


def test_saving_again_replaces_the_model_and_keeps_the_card(tmp_path, network):
    save_model(tmp_path / "m", description(), network.state_dict())
    (tmp_path / "m" / "README.md").write_text("card")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    save_model(tmp_path / "m", description(version="2.0"), network.state_dict())
    saved = load_model(tmp_path / "m")
    assert saved.description.version == "2.0"
    first = next(iter(network.state_dict()))
    assert torch.equal(saved.load_network().state_dict()[first], network.state_dict()[first])
    (weights,) = saved.description.weights
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [
        "README.md",
        "model.json",
        weights.path,
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_saving_where_a_file_is(tmp_path, network):
    (tmp_path / "m").write_text("a file")
    with pytest.raises(WriteError, match="choose another folder"):
        save_model(tmp_path / "m", description(), network.state_dict())
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_saving_tensors_of_another_network_writes_nothing(tmp_path, network):
    state = network.state_dict()
    state.popitem()
    with pytest.raises(ModelError, match="lacks tensor"):
        save_model(tmp_path / "m", description(), state)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda state, name: state.pop(name),
            "lacks tensor {}: get the model again.",
            id="missing",
        ),
        pytest.param(
            lambda state, name: state.update({name: torch.zeros(2, 2)}),
            "has tensor {} of shape (2, 2), the network needs (1, 1, 3, 3): get the model again.",
            id="shape",
        ),
        pytest.param(
            lambda state, name: state.update({"extra.weight": torch.zeros(1)}),
            "has tensor extra.weight, which the network lacks: get the model again.",
            id="extra",
        ),
    ],
)
def test_tensors_that_do_not_fit(tmp_path, network, change, message):
    model = save_model(tmp_path / "m", description(), network.state_dict())
    state = dict(network.state_dict())
    name = next(iter(state))
    change(state, name)
    with pytest.raises(ModelError) as caught:
        _rewrite(model, state).load_network()
    file = tmp_path / "m" / "weights.safetensors"
    assert str(caught.value) == f"{file} {message.format(name)}"


def test_damaged_weights(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    file = tmp_path / "m" / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"weights\.safetensors is damaged .* get the model again"):
        model.load_network()


def test_weights_that_are_no_safetensors(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    file = tmp_path / "m" / "weights.safetensors"
    file.write_bytes(b"\x80\x04no pickle is ever opened")
    weights = replace(
        model.description.weights[0], sha256=hashlib.sha256(file.read_bytes()).hexdigest()
    )
    changed = replace(model, description=replace(model.description, weights=(weights,)))
    with pytest.raises(ModelError, match="is no safetensors file"):
        changed.load_network()


def test_missing_weights(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    (tmp_path / "m" / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match=r"cannot be read \(No such file"):
        model.load_network()


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_weights_that_link_out_of_the_folder(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    file = tmp_path / "m" / "weights.safetensors"
    file.rename(tmp_path / "outside")
    file.symlink_to(tmp_path / "outside")
    with pytest.raises(ModelError, match="a link out of the model's folder"):
        model.load_network()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"network": NetworkSpec("unett", {})}, r"Did you mean 'unet'\?", id="network"),
        pytest.param(
            {"network": NetworkSpec("unet", {**arguments(), "chanels": [1]})},
            "chanels",
            id="argument",
        ),
    ],
)
def test_networks_that_cannot_be_built_name_the_file(tmp_path, changes, message):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    changed = replace(model, description=replace(model.description, **changes))
    with pytest.raises(ModelError, match=message) as caught:
        changed.load_network()
    assert str(caught.value).startswith(str(tmp_path / "m" / "model.json"))


def test_tensors_of_several_names_are_stored_once(tmp_path):
    """DynUNet's layers stand in it twice."""
    told = {
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 2,
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "filters": [4, 8, 8],
    }
    network = build_network("dynunet", told)
    made = description(network=NetworkSpec("dynunet", told))
    model = save_model(tmp_path / "m", made, network.state_dict())
    file = tmp_path / "m" / "weights.safetensors"
    stored = load_file(file)
    assert sum(t.numel() for t in stored.values()) == sum(p.numel() for p in network.parameters())
    assert len(stored) < len(network.state_dict())
    torch.testing.assert_close(model.load_network().state_dict(), network.state_dict())
    # Names may also be given tensors of their own: nothing is lost then.
    own = {k: torch.randn_like(t) for k, t in network.state_dict().items()}
    save_model(tmp_path / "own", made, own)
    assert len(load_file(tmp_path / "own" / "weights.safetensors")) == len(own)
