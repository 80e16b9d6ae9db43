"""``models``: which fit an image, and the way in and out of the store."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.cli.bright import bright_model
from tests.models.web import Site, serving

import napari_monai as nm
from napari_monai.cli import main
from napari_monai.models import Model, find, list_models, user_folder
from napari_monai.models.fetching import bare_options


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def elsewhere(tmp_path: Path) -> Model:
    """Return a model outside the store, by the name "bright"."""
    return bright_model(tmp_path / "there" / "bright")


def own() -> list[str]:
    return [m.name for m in list_models() if m.name != "nuclei-2d"]


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
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("nuclei-2d")
    assert first.endswith("yes")
    assert second.startswith("bright")
    assert second.endswith("no: takes one channel, and this image is in colour")
    assert main(["models", "list", "--for", str(tmp_path / "colour.tif"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [m["fits"]["why_not"] is None for m in found] == [True, False]


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
