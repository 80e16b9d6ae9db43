"""Files made to harm: none leaves its marker or gets out of its folder, each gives one line."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import stat
import zipfile
from pathlib import Path

import pytest
import torch
from tests.models.known import random_model, threshold_model, with_checkpoint

from napari_monai.errors import ModelError, NapariMonaiError, TrustError
from napari_monai.models import (
    archive,
    catalogue,
    import_model,
    load_model,
    trust,
    user_folder,
)


class _Touch:
    """Unpickled, makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (exec, (f"open({str(self.marker)!r}, 'w').close()",))


class _Call:
    """Unpickled, calls a function of a module."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


def _model_zip(tmp_path: Path, change) -> Path:
    """Write a model as a zip that ``change(zip)`` has put more into."""
    model = threshold_model(tmp_path / "inside", threshold=0.5)
    file = tmp_path / "model.zip"
    with zipfile.ZipFile(file, "w") as made:
        for path in model.folder.iterdir():
            made.write(path, path.name)
        change(made)
    return file


def _one_line(error: BaseException) -> str:
    line = str(error)
    assert "\n" not in line
    assert len(line) < 600
    return line


@pytest.mark.parametrize(
    ("wrap", "key"),
    [
        pytest.param(lambda state, bad: bad, "", id="instead"),
        pytest.param(lambda state, bad: {**state, "x": bad}, "", id="beside"),
        pytest.param(lambda state, bad: {"net": state, "optimizer": bad}, "net", id="elsewhere"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_in_a_checkpoint(tmp_path, marker, wrap, key, zipped):
    model = random_model(tmp_path / "m")
    held = wrap(model.load_network().state_dict(), _Touch(marker))
    content = io.BytesIO()
    torch.save(held, content, _use_new_zipfile_serialization=zipped)
    bad = with_checkpoint(model, content.getvalue(), key=key)
    with pytest.raises(ModelError, match="could run code: it is not opened") as caught:
        bad.load_network()
    assert "exec" in _one_line(caught.value)
    assert not marker.exists()


def test_nothing_runs_where_a_model_is_imported(tmp_path, marker):
    model = random_model(tmp_path / "m")
    state = {**model.load_network().state_dict(), "x": _Touch(marker)}
    bad = with_checkpoint(model, state)
    (bad.folder / "model.json").write_text(json.dumps(bad.description.to_json()))
    with pytest.raises(ModelError, match="could run code: it is not opened"):
        import_model(bad.folder)
    assert not marker.exists()
    assert not user_folder().exists() or list(user_folder().iterdir()) == []


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(os.system, id="system"),
        pytest.param(getattr, id="getattr"),
        pytest.param(torch.hub.load, id="hub"),
        pytest.param(torch.load, id="load-again"),
    ],
)
def test_calls_in_a_checkpoint(tmp_path, marker, function):
    model = random_model(tmp_path / "m")
    bad = with_checkpoint(model, {"x": _Call(function, f"touch {marker}", "b")})
    with pytest.raises(ModelError, match="could run code") as caught:
        bad.load_network()
    _one_line(caught.value)
    assert not marker.exists()


def test_a_plain_pickle_as_weights(tmp_path, marker):
    model = random_model(tmp_path / "m")
    content = pickle.dumps(_Touch(marker))
    for loader in ("torch", "safetensors"):
        with pytest.raises(ModelError) as caught:
            with_checkpoint(model, content, loader=loader).load_network()
        _one_line(caught.value)
    assert not marker.exists()


def test_a_checkpoint_that_swells(tmp_path):
    model = random_model(tmp_path / "m")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for i in range(5):
            made.writestr(f"archive/data/{i}", bytes(2**26))
    with pytest.raises(ModelError, match=r"swells to 0\.3 GB"):
        with_checkpoint(model, file.getvalue()).load_network()


@pytest.mark.parametrize(
    "name",
    ["../marker", "a/../../marker", "/marker", "C:/marker", "..\\marker", "C:marker", "a\\..\\b"],
)
def test_members_that_leave_the_folder(tmp_path, home, name):
    def change(made):
        made.writestr(zipfile.ZipInfo(name), b"x")

    before, others = set(home.rglob("*")), set(tmp_path.parent.rglob("marker"))
    with pytest.raises(ModelError, match="a member that leaves its folder") as caught:
        load_model(_model_zip(tmp_path, change))
    _one_line(caught.value)
    assert set(tmp_path.parent.rglob("marker")) == others
    assert [p for p in set(home.rglob("*")) - before if p.is_file()] == []


@pytest.mark.parametrize(
    ("mode", "target"),
    [
        pytest.param(stat.S_IFLNK | 0o777, "/etc", id="link-to-absolute"),
        pytest.param(stat.S_IFLNK | 0o777, "../..", id="link-up"),
        pytest.param(stat.S_IFIFO | 0o600, "", id="pipe"),
        pytest.param(stat.S_IFCHR | 0o600, "", id="device"),
    ],
)
def test_links_and_devices_in_a_zip(tmp_path, mode, target):
    def change(made):
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, mode << 16
        made.writestr(info, target)

    with pytest.raises(ModelError, match="a link or no plain file: 'link'"):
        load_model(_model_zip(tmp_path, change))
    assert list(archive.cache_folder().iterdir()) == []


def test_names_that_are_one_file_elsewhere(tmp_path):
    with pytest.raises(ModelError, match="twice"):
        load_model(_model_zip(tmp_path, lambda made: made.writestr("MODEL.json", "{}")))


def test_a_bomb(tmp_path):
    def change(made):
        info = zipfile.ZipInfo("bomb")
        info.compress_type = zipfile.ZIP_DEFLATED
        made.writestr(info, bytes(2**28))

    with pytest.raises(ModelError, match="more than a model of its size can have"):
        load_model(_model_zip(tmp_path, change))
    assert list(archive.cache_folder().iterdir()) == []


def test_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_MEMBERS", 10)

    def change(made):
        for i in range(10):
            made.writestr(f"{i}", b"")

    with pytest.raises(ModelError, match="12 members, a model 10 at most"):
        load_model(_model_zip(tmp_path, change))


def test_a_member_larger_than_its_header_says(tmp_path):
    file = _model_zip(tmp_path, lambda made: made.writestr("more", bytes(1000)))
    content = file.read_bytes()
    size = (1000).to_bytes(4, "little")
    file.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(ModelError, match="damaged"):
        load_model(file)
    assert list(archive.cache_folder().iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_weights_path_through_a_linked_folder(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    (tmp_path / "out").mkdir()
    (model.folder / "weights.safetensors").rename(tmp_path / "out" / "weights.safetensors")
    (model.folder / "sub").symlink_to(tmp_path / "out")
    values = json.loads((model.folder / "model.json").read_text())
    values["weights"][0]["path"] = "sub/weights.safetensors"
    (model.folder / "model.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match="a link out of the model's folder"):
        load_model(model.folder).load_network()


@pytest.mark.parametrize("field", ["weights", "tests"])
@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "C:x", "a\\b", "x\0y"])
def test_paths_out_of_the_folder_in_model_json(tmp_path, path, field):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    values = json.loads((model.folder / "model.json").read_text())
    entry = {"path": path, "sha256": "0" * 64} if field == "weights" else {
        "input": path, "output": "y.npy"
    }  # fmt: skip
    values[field] = [entry]
    (model.folder / "model.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match="leaves the model's folder") as caught:
        load_model(model.folder)
    _one_line(caught.value)


def test_a_model_that_says_torchscript_is_data(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    values = json.loads((model.folder / "model.json").read_text())
    content = b"not run"
    (model.folder / "code.pt").write_bytes(content)
    values["network"] = {"name": "torchscript", "arguments": {}, "source": "torchscript"}
    sha256 = hashlib.sha256(content).hexdigest()
    values["weights"] = [{"path": "code.pt", "sha256": sha256, "loader": "torchscript"}]
    (model.folder / "model.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match="cannot be data_only"):
        load_model(model.folder)
    values["trust"] = "native_code"
    (model.folder / "model.json").write_text(json.dumps(values))
    with pytest.raises(TrustError, match="runs the code of a TorchScript file"):
        load_model(model.folder).load_network()


def test_harmful_models_in_the_store_are_problems_of_their_own(marker):
    folder = user_folder() / "bad"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text('{"__reduce__": "os.system"}')
    (folder / "weights.pth").write_bytes(pickle.dumps(_Touch(marker)))
    assert [str(folder) in str(p) for p in catalogue().problems] == [True]
    assert not marker.exists()


def test_a_damaged_list_of_consents_allows_nothing(home, tmp_path):
    trust.trust_file().write_text('{"consents": ["all"], "refuse_all": false}')
    with pytest.raises(NapariMonaiError, match=r"trust\.json is damaged"):
        trust.has_consent("0" * 64)
