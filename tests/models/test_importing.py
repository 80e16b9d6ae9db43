"""Models into our own format and out of it: whole or not at all, and the same network."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.known import (
    arguments,
    description,
    random_model,
    threshold_model,
    with_checkpoint,
)
from tests.models.test_onnx import conv_file

import napari_monai
from napari_monai.errors import FormatError, ModelError, ModelNotFoundError, WriteError
from napari_monai.models import (
    NetworkSpec,
    TestTensor,
    WeightsFile,
    export_model,
    formats,
    import_model,
    importing,
    load_model,
    save_model,
    user_folder,
)
from napari_monai.networks import build_network


def _same(one, other):
    for a, b in zip(one.load_networks(), other.load_networks(), strict=True):
        for name, tensor in a.state_dict().items():
            assert torch.equal(tensor, b.state_dict()[name])


def test_the_public_names_are_these():
    assert napari_monai.import_model is import_model
    assert napari_monai.export_model is export_model


def test_imported_into_the_users_folder(tmp_path):
    model = random_model(tmp_path / "m")
    (model.folder / "LICENSE.txt").write_text("do what you like")
    (model.folder / "other.txt").write_text("x")
    imported = import_model(model.folder)
    assert imported.folder == user_folder() / "bright"
    assert load_model("bright") == imported
    _same(model, imported)
    assert imported.description.training["imported_from"] == {"format": "native", "file": "m"}
    assert sorted(f.name for f in imported.folder.iterdir()) == [
        "LICENSE.txt",
        "model.json",
        "weights.safetensors",
    ]
    assert [f.name for f in user_folder().iterdir()] == ["bright"]


def test_a_checkpoint_becomes_safetensors(tmp_path, monkeypatch):
    model = random_model(tmp_path / "m")
    state = model.load_network().state_dict()
    held = {"net": {f"module.{k}": v.double() for k, v in state.items()}, "epoch": 3}
    told = with_checkpoint(model, held, key="net", prefix="module.")
    monkeypatch.setattr(formats, "read", lambda path: told)
    imported = import_model(model.folder, name="other")
    assert [w.loader for w in imported.description.weights] == ["safetensors"]
    assert imported.name == "other"
    _same(told, imported)


def _ensemble(folder):
    states = []
    for seed in range(3):
        torch.manual_seed(seed)
        states.append(build_network("unet", arguments()).state_dict())
    return save_model(folder, description(), states)


def test_an_ensemble_keeps_its_members(tmp_path):
    model = _ensemble(tmp_path / "m")
    assert [w.path for w in model.description.weights] == [
        f"fold_{i}.safetensors" for i in range(3)
    ]
    first, second, _ = (network.state_dict() for network in model.load_networks())
    name = next(iter(first))
    assert not torch.equal(first[name], second[name])
    _same(model, import_model(tmp_path / "m"))


def test_test_tensors_come_along(tmp_path):
    model = random_model(tmp_path / "m")
    np.save(model.folder / "in.npy", np.zeros((1, 1, 8, 8), np.float32))
    np.save(model.folder / "out.npy", np.ones((1, 2, 8, 8), np.float32))
    tests = (TestTensor("in.npy", "out.npy", 0.5),)
    told = replace(model.description, tests=tests)
    save_model(model.folder, told, model.load_network().state_dict())
    imported = import_model(model.folder)
    test = imported.description.tests[0]
    assert test.tolerance == 0.5
    assert np.load(imported.folder / test.output).sum() == 128


def test_files_that_are_networks_are_copied(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    content = conv_file(model.folder / "net.onnx", ["n", 1, "y", "x"]).read_bytes()
    weights = (WeightsFile("net.onnx", hashlib.sha256(content).hexdigest(), "onnx"),)
    told = replace(model.description, network=NetworkSpec("onnx", {}, "onnx"), weights=weights)
    written = importing.write_native(replace(model, description=told), tmp_path / "copy")
    assert (tmp_path / "copy" / "net.onnx").read_bytes() == content
    assert load_model(tmp_path / "copy").description == written.description == told


@pytest.mark.parametrize("target", ["out", "deep/er/out", "out.zip"])
@pytest.mark.parametrize("half", [False, True])
def test_exported_reloaded_and_compared(tmp_path, target, half):
    model = random_model(tmp_path / "m")
    path = export_model(model, tmp_path / target, half=half)
    assert path == tmp_path / target
    again = load_model(path)
    if half:
        ones, others = (m.load_network().state_dict().values() for m in (model, again))
        for a, b in zip(ones, others, strict=True):
            assert torch.allclose(a.float(), b.float(), atol=1e-3)
    else:
        _same(model, again)
    assert [f.name for f in path.parent.iterdir() if f.name.startswith(".")] == []


def test_a_zip_holds_one_folder(tmp_path):
    path = export_model(random_model(tmp_path / "m"), tmp_path / "out.zip")
    with zipfile.ZipFile(path) as made:
        assert sorted(made.namelist()) == ["bright/model.json", "bright/weights.safetensors"]


# -- what is refused leaves nothing ----------------------------------------------------------------


def _nothing_left():
    return not user_folder().exists() or list(user_folder().iterdir()) == []


def test_damaged_weights(tmp_path):
    model = random_model(tmp_path / "m")
    with (model.folder / "weights.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="sha256 differs"):
        import_model(model.folder)
    assert _nothing_left()


def test_a_model_that_cannot_run_says_why(tmp_path):
    told = description(blockers=("It asks for prompts, which this program has not.",))
    save_model(tmp_path / "m", told, build_network("unet", arguments()).state_dict())
    with pytest.raises(ModelError, match=r"^m cannot run here: It asks for prompts"):
        import_model(tmp_path / "m")
    assert _nothing_left()


def test_a_name_that_is_taken(tmp_path):
    model = random_model(tmp_path / "m")
    with pytest.raises(ModelError, match="a model named 'nuclei-2d' already: give another name"):
        import_model(model.folder, name="nuclei-2d")
    with pytest.raises(ModelError, match="letters, digits"):
        import_model(model.folder, name="../x")
    assert _nothing_left()


def test_nothing_there(tmp_path):
    with pytest.raises(ModelNotFoundError, match="No model at"):
        import_model(tmp_path / "none")


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    model = random_model(tmp_path / "m")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importing.os, "replace", full)
    with pytest.raises(WriteError, match="No space left on device"):
        import_model(model.folder)
    assert _nothing_left()


@pytest.mark.parametrize(
    ("told", "error", "message"),
    [
        ({"format": "nnunet"}, FormatError, "nnU-Net v2 folder is only read"),
        ({"format": "nativ"}, FormatError, "Did you mean 'native'"),
        ({"halb": True}, FormatError, "has no option 'halb'"),
    ],
)
def test_exports_that_cannot_be(tmp_path, told, error, message):
    model = random_model(tmp_path / "m")
    with pytest.raises(error, match=message):
        export_model(model, tmp_path / "out", **told)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["m", "taken.zip"])
def test_what_is_there_is_not_replaced(tmp_path, target):
    model = random_model(tmp_path / "m")
    (tmp_path / "taken.zip").write_bytes(b"mine")
    with pytest.raises(WriteError, match="exists already"):
        export_model(model, tmp_path / target)
    assert (tmp_path / "taken.zip").read_bytes() == b"mine"
