"""``models``: which fit an image, and the way in and out of the store."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.cli.bright import bright_model
from tests.models.known import threshold_model
from tests.models.web import Site, serving

import napari_monai as nm
from napari_monai.cli import main
from napari_monai.models import Model, bundle_zoo, find, list_models, user_folder
from napari_monai.models.fetching import bare_options
from napari_monai.models.shelf import is_shipped


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def elsewhere(tmp_path: Path) -> Model:
    """Return a model outside the store, by the name "bright"."""
    return bright_model(tmp_path / "there" / "bright")


def own() -> list[str]:
    return [m.name for m in list_models() if not is_shipped(m)]


def test_list_as_json(bright: Model, capsys):
    assert main(["models", "list", "--json"]) == 0
    found = {m["name"]: m for m in json.loads(capsys.readouterr().out)}
    assert found["bright"]["classes"] == {"1": "bright"}
    assert found["bright"]["folder"] == str(bright.folder)
    assert found["bright"]["size"] == sum(f.stat().st_size for f in bright.folder.iterdir())
    assert (found["bright"]["shipped"], found["nuclei-2d"]["shipped"]) == (False, True)
    assert "fits" not in found["bright"]


def test_list_for_an_image_says_what_fits_and_why_not(bright: Model, tmp_path, capsys):
    image = np.zeros((8, 9, 3), np.uint8)
    image[..., 0] = 100
    nm.write(tmp_path / "colour.tif", nm.Volume(
        np.moveaxis(image, -1, 0), nm.Grid.from_spacing((8, 9)), leading="c", rgb=True
    ))  # fmt: skip
    assert main(["models", "list", "--for", str(tmp_path / "colour.tif")]) == 0
    _, first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("nuclei-2d")
    assert first.endswith("yes")
    assert second.startswith("bright")
    assert second.endswith("no: takes one channel, and this image is in colour")
    assert third.startswith("nuclei-3d")
    assert "  no: " in third
    assert main(["models", "list", "--for", str(tmp_path / "colour.tif"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [m["fits"]["why_not"] is None for m in found] == [True, False, False]


@pytest.fixture
def two(home: Path, tmp_path: Path) -> list[str]:
    """Return the files of two channels, of which a model in the store takes the sum."""
    threshold_model(home / "models" / "both", threshold=1.0, weights=(1, 1), name="both")
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        values = random.random((40, 40), np.float32)
        nm.write(tmp_path / f"{name}.tif", nm.Volume(values, nm.Grid.from_spacing((40, 40))))
    return [str(tmp_path / f"{name}.tif") for name in ("a", "b")]


def test_several_images_are_the_channels_of_one(two, tmp_path, capsys):
    fitting = {}
    for images in (two, two[:1]):
        assert main(["models", "list", "--json", "--for", *images]) == 0
        found = {m["name"]: m["fits"] for m in json.loads(capsys.readouterr().out)}
        fitting[len(images)] = found["both"]["why_not"]
    assert fitting[2] is None
    assert "2 channels" in fitting[1]
    command = ["models", "compress", "both", str(tmp_path / "small"), "--method", "float16"]
    assert main([*command, "--image", *two]) == 0
    assert "of the voxels labelled as before" in capsys.readouterr().out


def test_list_for_an_image_that_is_not_there(capsys):
    assert main(["models", "list", "--for", "missing.tif"]) == 1
    assert "missing.tif" in capsys.readouterr().err


def test_show_as_markdown(bright: Model, capsys):
    assert main(["models", "show", "bright", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# Finds what is bright\n")
    assert "- **licence**: CC0-1.0" in out


def test_renamed(bright: Model, capsys):
    assert main(["models", "rename", "bright", "brighter"]) == 0
    assert own() == ["brighter"]
    assert capsys.readouterr().out.startswith("brighter: ")
    assert main(["models", "rename", "nuclei-2d", "mine"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("nuclei-2d comes with napari-monai and cannot be renamed.")


def test_removed_without_a_question_only_where_told_to(bright: Model, blobs: Model, capsys):
    assert main(["models", "remove", "bright"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert own() == ["blobs", "bright"]
    assert main(["models", "remove", "bright", "blobs", "--yes"]) == 0
    assert own() == []


@pytest.mark.parametrize(("answer", "stays"), [("y", False), ("n", True), ("", True)])
def test_removed_after_a_question(bright: Model, monkeypatch, capsys, answer, stays):
    questions: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda q: questions.append(q) or answer)
    assert main(["models", "remove", "bright"]) == 0
    assert ("bright" in own()) is stays
    assert str(bright.folder) in questions[0]


def test_of_several_none_is_removed_if_one_cannot_be(bright: Model, capsys):
    assert main(["models", "remove", "bright", "nuclei-2d", "--yes"]) == 1
    assert own() == ["bright"]


def test_imported_from_a_folder(elsewhere: Model, capsys):
    assert main(["models", "import", str(elsewhere.folder), "--name", "mine"]) == 0
    assert own() == ["mine"]
    assert find("mine").folder == user_folder() / "mine"
    assert capsys.readouterr().out.startswith("mine (data only): ")


def test_imported_from_the_web_with_its_sha256_shown(elsewhere: Model, site, tmp_path, capsys):
    file = Path(shutil.make_archive(str(tmp_path / "bright"), "zip", elsewhere.folder))
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    site.offer("/bright.zip", file.read_bytes(), breaks=1)
    url = site.url("/bright.zip")
    assert main(["models", "import", url, "--sha256", "0" * 64]) == 1
    assert f"has the sha256 {sha256}, not 0000" in capsys.readouterr().err
    assert own() == []
    assert main(["models", "import", url, "--sha256", sha256]) == 0
    assert own() == ["bright"]
    assert f"sha256 {sha256}" in capsys.readouterr().err
    downloads = user_folder().parent / "cache" / "downloads"
    assert list(downloads.rglob("*.zip")) == []


def test_a_download_that_is_too_large(site, capsys):
    site.offer("/large.zip", bytes(2_000_000))
    url = site.url("/large.zip")
    assert main(["models", "import", url, "--max-size", "0.001"]) == 1
    assert "is larger than 0.001 GB" in capsys.readouterr().err


def test_what_is_no_model_leaves_nothing(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no model")
    assert main(["models", "import", str(tmp_path / "notes.txt")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "is no model" in line
    assert own() == []


def test_what_is_said_of_bare_weights_does_not_go_with_a_model_that_says_it(
    elsewhere: Model, capsys
):
    command = ["models", "import", str(elsewhere.folder), "--labels", "cell, nucleus"]
    assert main(command) == 1
    assert "'labels'" in capsys.readouterr().err
    assert own() == []


def test_bare_options_are_lists_where_several_are_meant():
    typed = {"labels": " cell, nucleus ", "normalise": "none", "key": " ", "channels": None}
    assert bare_options(typed) == {"labels": ["cell", "nucleus"], "normalise": "none"}


def test_exported_and_imported_again(bright: Model, tmp_path, capsys):
    target = tmp_path / "out"
    assert main(["models", "export", "bright", str(target), "--format", "native"]) == 0
    (written,) = capsys.readouterr().out.splitlines()
    assert main(["models", "import", written, "--name", "again"]) == 0
    assert find("again").load_network() is not None
    assert main(["models", "export", "bright", str(target), "--format", "nativ"]) == 1
    assert "Did you mean 'native'?" in capsys.readouterr().err


def test_a_format_that_is_only_read_is_not_written(bright: Model, tmp_path, capsys):
    for name in ("nnunet", "state_dict"):
        assert main(["models", "export", "bright", str(tmp_path / "out"), "--format", name]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "is only read. Write one of: native, monai_bundle, bioimageio" in line


def test_one_network_of_several_is_exported(bright: Model, tmp_path, capsys):
    file = bright.folder / "model.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "weights": told["weights"] * 2}))
    command = ["models", "export", "bright", str(tmp_path / "n.onnx"), "--format", "onnx"]
    assert main(command) == 1
    assert "has 2 networks: choose one by its fold" in capsys.readouterr().err
    assert main([*command, "--fold", "2"]) == 1
    assert "has no fold 2: choose one of 0 to 1." in capsys.readouterr().err
    assert main([*command, "--fold", "1"]) == 0
    assert nm.load_model(tmp_path / "n.onnx").folds == 1


def test_a_bundle_cannot_hold_how_nuclei_are_prepared(tmp_path, capsys):
    command = ["models", "export", "nuclei-2d", str(tmp_path / "out"), "--format", "monai_bundle"]
    assert main(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "The operation zoom has no counterpart in MONAI" in line
    assert list(tmp_path.iterdir()) == []


# -- smaller models -------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "picture.tif"
    values = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    nm.write(file, nm.Volume(values, nm.Grid.from_spacing((40, 40))))
    return file


@pytest.mark.parametrize("method", ["float16", "int8"])
def test_made_smaller_and_its_cost_is_said(bright: Model, picture, tmp_path, capsys, method):
    target = tmp_path / "small"
    command = ["models", "compress", "bright", str(target), "--method", method]
    assert main([*command, "--image", str(picture)]) == 0
    out, err = capsys.readouterr()
    folder, cost = out.splitlines()
    assert folder == str(target)
    assert cost.startswith(f"{method}: ")
    assert "of the voxels labelled as before, Dice" in cost
    assert cost.endswith("windows of your image.")
    assert err == ""
    assert main(["segment", str(picture), "--model", folder, "--output", str(tmp_path / "o")]) == 0
    found = nm.read(tmp_path / "o" / "picture.tif", labels=True).numpy()
    assert (found == (nm.read(picture).numpy() > 127)).mean() > 0.95
    capsys.readouterr()
    assert main([*command, "--image", str(picture)]) == 1
    assert "exists already: choose another name." in capsys.readouterr().err


def test_without_onnx_runtime_8_bits_say_what_is_missing(
    bright: Model, picture, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    command = ["models", "compress", "bright", str(tmp_path / "small"), "--method", "int8"]
    assert main([*command, "--image", str(picture)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith('needs the package onnxruntime: pip install "napari-monai[onnx]".')
    assert not (tmp_path / "small").exists()


def test_an_image_that_does_not_fit_measures_nothing(blobs: Model, tmp_path, capsys):
    image = nm.Volume(np.zeros((2, 8, 9), np.uint8), nm.Grid.from_spacing((8, 9)), leading="c")
    nm.write(tmp_path / "two.ome.tif", image)
    command = ["models", "compress", "blobs", str(tmp_path / "small"), "--method", "float16"]
    assert main([*command, "--image", str(tmp_path / "two.ome.tif")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "channel" in line
    assert not (tmp_path / "small").exists()


# -- the model zoo --------------------------------------------------------------------------------


def test_imported_from_the_model_zoo_by_name(
    bright: Model, picture, site, tmp_path, monkeypatch, capsys
):
    export = ["models", "export", "bright", str(tmp_path / "tiny"), "--format", "monai_bundle"]
    assert main(export) == 0
    file = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "tiny"))
    entry = {
        "checksum": hashlib.sha1(file.read_bytes()).hexdigest(),
        "source": site.url("/tiny_v0.1.zip"),
    }
    site.offer("/tiny_v0.1.zip", file.read_bytes())
    site.offer("/index.json", json.dumps({"tiny_v0.1": entry}).encode())
    monkeypatch.setattr(bundle_zoo, "INDEX", site.url("/index.json"))
    assert main(["models", "import", "monai:tinny"]) == 1
    assert "Did you mean 'tiny'?" in capsys.readouterr().err
    assert main(["models", "import", "monai:tiny", "--name", "mine"]) == 0
    assert own() == ["bright", "mine"]
    assert find("mine").description.training["imported_from"]["format"] == "monai_bundle"
    downloads = user_folder().parent / "cache" / "downloads"
    assert list(downloads.iterdir()) == []
    assert main(["segment", str(picture), "--model", "mine", "--output", str(tmp_path / "o")]) == 0
    found = nm.read(tmp_path / "o" / "picture.tif", labels=True).numpy()
    assert (found == (nm.read(picture).numpy() > 127)).mean() > 0.99
