"""Bundles that want to run code, look outside or swell: nothing runs, each says one line."""

from __future__ import annotations

import json
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.models.bundles import ARGMAX, SOFTMAX, UNET, WINDOWS, Step, image, ours, write_bundle

from napari_monai.errors import ModelError, NapariMonaiError
from napari_monai.models import load_model
from napari_monai.models.monai_bundle import read, sniff


class Evil:
    """A pickle that leaves a marker when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self.marker), "w")


def change(folder: Path, **values: Any) -> Path:
    """Put values into the bundle's configuration; ``__`` leads into it."""
    file = folder / "configs" / "inference.json"
    config = json.loads(file.read_text())
    for name, value in values.items():
        *way, last = name.split("__")
        place = config
        for key in way:
            place = place[key]
        place[last] = value
    file.write_text(json.dumps(config))
    return folder


CODE = "$__import__('pathlib').Path('MARKER').touch()"
CALL: Step = {"_target_": "subprocess.call", "args": ["touch", "MARKER"]}
# What is put where, and what the line says.
ATTACKS: dict[str, tuple[dict[str, Any], str]] = {
    "network by expression": ({"network_def": CODE}, "needs code to run"),
    "network by call": ({"network_def": CALL}, "subprocess.call is code"),
    "network of scripts": (
        {"network_def": {"_target_": "scripts.evil.Net"}},
        "scripts.evil.Net is code of the bundle's own",
    ),
    "argument by expression": ({"network_def__out_channels": CODE}, "needs code to run"),
    "argument by call": ({"network_def__act": CALL}, "network_def"),
    "weights from the web": (
        {"network_def": {"_target_": "torch.hub.load", "repo": "x/y"}},
        "torch.hub.load is code",
    ),
    "TorchScript as network": (
        {"network_def": "$torch.jit.load('models/model.pt')"},
        "needs code to run",
    ),
    "preprocessing by expression": ({"preprocessing": CODE}, "preprocessing: .*code"),
    "preprocessing by call": (
        {"preprocessing": {"_target_": "Compose", "transforms": [CALL | {"keys": "image"}]}},
        "subprocess.call: it is code",
    ),
    "preprocessing by function": (
        {
            "preprocessing": {
                "_target_": "Compose",
                "transforms": [{"_target_": "Lambdad", "keys": "image", "func": CODE}],
            }
        },
        "preprocessing Lambdad: it is not known",
    ),
    "postprocessing by function": (
        {
            "postprocessing": {
                "_target_": "Compose",
                "transforms": [
                    SOFTMAX,
                    ARGMAX,
                    {"_target_": "Lambdad", "keys": "pred", "func": f"$lambda x: {CODE[1:]}"},
                ],
            }
        },
        "its func is code",
    ),
    "converter of the loader": (
        {
            "preprocessing": {
                "_target_": "Compose",
                "transforms": [
                    {
                        "_target_": "LoadImaged",
                        "keys": "image",
                        "converter": f"$lambda x: {CODE[1:]}",
                    }
                ],
            }
        },
        "its converter is code",
    ),
    "inferer by call": ({"inferer": CALL}, "inferer subprocess.call: it is code"),
    "inferer by expression": ({"inferer__overlap": CODE}, "inferer SlidingWindowInferer: .*code"),
    "evaluator of scripts": (
        {"evaluator": {"_target_": "scripts.evil.Evaluator"}},
        "evaluator scripts.evil.Evaluator: it is code",
    ),
    "batch by function": (
        {"evaluator__prepare_batch": "$lambda *x: open('MARKER', 'w')"},
        "evaluator: its argument prepare_batch is not known",
    ),
    "debugger": ({"network_def___mode_": "debug"}, "_mode_"),
    "before the network": ({"network_def___requires_": [CODE]}, "_requires_"),
    "whether at all": ({"network_def___disabled_": CODE}, "needs code to run"),
    "of its own class": ({"network_def___target_": "$().__class__.__mro__[1]"}, "code to run"),
    "in a circle": ({"inferer": "@inferer"}, "refers to itself"),
    "deep": ({"inferer": json.loads("[" * 200 + "]" * 200)}, "nested too deeply"),
    "huge": ({"inferer__roi_size": "$[9**9**9] * 3"}, "grows too large"),
    "files outside": ({"preprocessing": "%../../outside.json#key"}, "outside of the bundle"),
}


@pytest.mark.parametrize(("values", "line"), [pytest.param(*v, id=k) for k, v in ATTACKS.items()])
def test_no_configuration_runs_code(
    values: dict[str, Any], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = change(write_bundle(tmp_path / "bundle"), **values)
    (folder / "scripts").mkdir()
    (folder / "scripts" / "__init__.py").write_text("open('MARKER', 'w')")
    (folder / "scripts" / "evil.py").write_text("open('MARKER', 'w')\nclass Net: pass")
    (tmp_path / "outside.json").write_text('{"key": []}')
    monkeypatch.chdir(tmp_path)

    model = read(folder)

    assert any(re.search(line, b) for b in model.description.blockers)
    assert not any("\n" in b for b in model.description.blockers)
    with pytest.raises(ModelError):
        model.load_network()
    assert sorted(os.listdir(tmp_path)) == ["bundle", "outside.json"]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"imports": ["$import scripts.evil", CODE]}, id="imports"),
        pytest.param({"initialize": [CODE], "run": [CODE]}, id="initialize and run"),
        pytest.param({"dataset__data": CODE, "files": CODE}, id="data"),
        pytest.param({"device": CODE}, id="device"),
        pytest.param({"handlers": [CALL]}, id="handlers"),
        pytest.param({"network": "$@network_def.to(@device) or " + CODE[1:]}, id="network moved"),
    ],
)
def test_what_a_run_does_not_need_is_not_run(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = write_bundle(tmp_path / "plain")
    folder = change(write_bundle(tmp_path / "bundle"), **values)
    file = image(tmp_path)
    monkeypatch.chdir(tmp_path)

    assert (ours(folder, file) == ours(plain, file)).all()
    assert not (tmp_path / "MARKER").exists()


def test_a_pickle_as_weights_is_not_opened(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    marker = tmp_path / "marker"
    for content in (
        {"model": {"weight": torch.zeros(1), "evil": Evil(marker)}},
        Evil(marker),
    ):
        torch.save(content, folder / "models" / "model.pt")
        assert "could run code" in read(folder).description.blockers[0]
    (folder / "models" / "model.pt").write_bytes(pickle.dumps(Evil(marker)))
    assert len(read(folder).description.blockers) == 1
    assert not marker.exists()


def test_a_torchscript_file_asks_first(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "models" / "model.pt").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch would rather have other formats
        module = torch.jit.trace(torch.nn.Conv3d(1, 3, 1), torch.zeros(1, 1, 4, 4, 4))
        torch.jit.save(module, folder / "models" / "model.ts")

    model = read(folder)

    assert model.description.trust == "native_code"
    assert model.description.network.source == "torchscript"
    with pytest.raises(NapariMonaiError, match="code of a TorchScript file"):
        model.load_network()


def test_zips_are_read_and_their_members_stay_inside(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    good, bad = tmp_path / "good.zip", tmp_path / "bad.zip"
    with zipfile.ZipFile(good, "w") as archive, zipfile.ZipFile(bad, "w") as evil:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, f"bundle/{file.relative_to(folder)}")
            evil.write(file, f"bundle/{file.relative_to(folder)}")
        evil.writestr("bundle/../../escaped", "x")

    assert sniff(good)
    assert load_model(good).origin == "monai_bundle"
    assert load_model(good).name == "good"
    assert (ours(good, image(tmp_path)) == ours(folder, image(tmp_path))).all()
    with pytest.raises(ModelError, match="leaves its folder"):
        load_model(bad)
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        pytest.param("configs/metadata.json", "[1]", "holds no mapping", id="metadata a list"),
        pytest.param("configs/inference.json", '{"a": ', "is no plain json", id="config cut off"),
        pytest.param("configs/metadata.json", "[" * 99999, "is no plain json", id="deep metadata"),
    ],
)
def test_damaged_files_are_one_line(path: str, text: str, line: str, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / path).write_text(text)

    with pytest.raises(ModelError, match=line) as caught:
        read(folder)

    assert "\n" not in str(caught.value)


def test_weights_that_are_missing_or_elsewhere(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    outside = tmp_path / "outside.pt"
    (folder / "models" / "model.pt").rename(outside)
    assert "not in the bundle" in read(folder).description.blockers[-1]
    (folder / "models" / "model.pt").symlink_to(outside)
    assert "not in the bundle" in read(folder).description.blockers[-1]
    change(folder, checkpointloader__load_path="$@bundle_root + '/../outside.pt'")
    assert "not in the bundle" in read(folder).description.blockers[-1]
    (folder / "models" / "model.pt").unlink()
    (folder / "models" / "model.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    change(folder, checkpointloader__load_path="models/model.pt")
    assert "pointer" in read(folder).description.blockers[-1]


def test_known_code_that_was_changed_is_unknown(tmp_path: Path) -> None:
    merge = {"_target_": "scripts.mine.Merge", "keys_merge": ["a", "b"], "keys_out": "image"}
    folder = write_bundle(tmp_path / "bundle", before=[merge], inferer=WINDOWS, network=UNET)
    (folder / "scripts").mkdir()
    (folder / "scripts" / "mine.py").write_text("class Merge:\n    pass\n")

    assert "code of the bundle's own" in read(folder).description.blockers[0]
