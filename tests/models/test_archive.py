"""Zip archives of models: unpacked once, whole or not at all."""

from __future__ import annotations

import shutil
import zipfile

import pytest
from tests.models.known import threshold_model

from napari_monai.errors import ModelError
from napari_monai.models import archive, load_model


def _zipped(tmp_path, base):
    threshold_model(tmp_path / "all" / "m", threshold=0.5)
    made = shutil.make_archive(str(tmp_path / "made"), "zip", tmp_path / "all", base)
    return tmp_path / "all" / "m", tmp_path / made


@pytest.mark.parametrize("base", ["m", None], ids=["named-folder", "all"])
def test_a_folder_in_a_zip_is_the_model(tmp_path, base):
    folder, file = _zipped(tmp_path, base)
    model = load_model(file)
    assert model.description == load_model(folder).description
    assert model.folder.parent.parent == archive.cache_folder()
    assert model.folder.parent.name == archive.file_sha256(file)
    model.load_network()


def test_unpacked_once(tmp_path):
    _, file = _zipped(tmp_path, "m")
    first = archive.unpacked(file)
    written = (first / "model.json").stat().st_mtime_ns
    assert archive.unpacked(file) == first
    assert (first / "model.json").stat().st_mtime_ns == written
    assert len(list(archive.cache_folder().iterdir())) == 1


def test_a_folder_is_itself(tmp_path):
    assert archive.unpacked(tmp_path) == tmp_path


def test_files_beside_a_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("a/b.txt", "b")
        made.writestr("c.txt", "c")
    folder = archive.unpacked(tmp_path / "a.zip")
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert names == ["a/b.txt", "c.txt"]
    assert sorted(archive.member_names(tmp_path / "a.zip")) == ["a/b.txt", "c.txt"]


@pytest.mark.parametrize("cut", [3, 40, 0.5, 0.99])
def test_truncated(tmp_path, cut):
    _, file = _zipped(tmp_path, "m")
    content = file.read_bytes()
    file.write_bytes(content[: cut if cut > 1 else int(cut * len(content))])
    with pytest.raises(ModelError, match="is no zip or is damaged"):
        archive.unpacked(file)
    assert list(archive.cache_folder().iterdir()) == []


def test_damaged_inside(tmp_path):
    folder, file = _zipped(tmp_path, "m")
    whole = (folder / "model.json").read_bytes()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("model.json", whole)
    content = file.read_bytes()
    file.write_bytes(content.replace(b"napari-monai model", b"napari-monai nodel"))
    with pytest.raises(ModelError, match="Bad CRC-32"):
        archive.unpacked(file)
    assert list(archive.cache_folder().iterdir()) == []
