"""Unsaved labels in a file: they come back as they were, are found, and harm nobody."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.napari_edge.affines import affine_of

from napari_monai import LabelVolume, autosaving, read
from napari_monai.errors import ReadError
from napari_monai.grid import Grid
from napari_monai.volume import LabelClass, Provenance

CLASSES = (LabelClass(1, "liver", "#ff0080"), LabelClass(3, "left kidney", "#12ab56"))
GRID = Grid((7, 5, 6), affine_of("LPS", 16))
OTHER_PROCESS = """
import sys, time
from napari_monai import autosaving, io
labels = io.read(sys.argv[1], labels=True)
print(autosaving.keep(labels, files=[sys.argv[2]]), flush=True)
sys.stdin.read()
"""


def labels(**more: Any) -> LabelVolume:
    grid = more.pop("grid", GRID)
    shape = (2,) * ("t" in more.get("leading", "")) + grid.shape
    data = np.random.default_rng(0).choice((0, 1, 3), shape).astype(more.pop("dtype", np.uint8))
    return LabelVolume(data, grid, **{"classes": CLASSES, "name": "organs", **more})


def kept(*args: Any, **more: Any) -> Path:
    """Return an autosave that its process has left."""
    path = autosaving.keep(*args, **more)
    autosaving.forget(path)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(b"only its name counts")
    return path


@pytest.mark.parametrize(
    "made",
    [
        pytest.param({}, id="oblique"),
        pytest.param({"dtype": np.int64}, id="64 bits"),
        pytest.param({"grid": Grid.from_spacing((4, 6), (0.2, 0.3), unit="µm")}, id="picture"),
        pytest.param({"leading": "t", "time_step": 2.5}, id="in time"),
        pytest.param({"kind": "instances", "classes": ()}, id="objects"),
        pytest.param({"made_by": Provenance("semiautomatic", "unet", "2")}, id="of a model"),
        pytest.param(
            {"classes": (LabelClass(1, "liver", None, visible=False, locked=True),)}, id="locked"
        ),
        pytest.param({"name": "../a/b\\c: *? é"}, id="odd name"),
    ],
)
def test_labels_come_back(made: dict[str, Any], image: Path) -> None:
    wanted = labels(**made)
    path = kept(wanted, files=[image], view={"as": "grid"})
    assert path.parent == image.parent
    assert path.name.startswith(".ct.nii.gz.")
    (found,) = autosaving.find(image).autosaves
    assert (found.path, found.name, found.files) == (path, wanted.name, (image,))
    assert dict(found.view) == {"as": "grid"}
    assert abs(datetime.now().astimezone() - found.saved) < timedelta(minutes=1)
    back = found.labels()
    for name in ("grid", "leading", "name", "classes", "kind", "made_by", "time_step", "dtype"):
        assert getattr(back, name) == getattr(wanted, name), name
    np.testing.assert_array_equal(back.data, wanted.data)
    np.testing.assert_array_equal(read(path, labels=True).data, wanted.data)
    found.delete()
    assert not autosaving.find(image).autosaves
    assert os.listdir(image.parent) == ["ct.nii.gz"]


def test_the_next_one_takes_its_place(image: Path) -> None:
    first = autosaving.keep(labels(), files=[image])
    later = labels(dtype=np.uint16)
    assert kept(later, files=[image], path=first) == first
    (found,) = autosaving.find(image).autosaves
    assert found.labels().dtype == np.uint16


def test_what_two_keep_does_not_clash(image: Path) -> None:
    paths = {kept(labels(), files=[image]) for _ in range(4)}
    assert len(paths) == 4
    assert {a.path for a in autosaving.find(image).autosaves} == paths


def test_who_is_asked_for_what(tmp_path: Path, home: Path) -> None:
    """Of a file those on it, first or not; of a folder all; without a file the others."""
    one, two = tmp_path / "a.nii", tmp_path / "b.nii"
    both = kept(labels(), files=[one, two])
    alone = kept(labels(), files=[one])
    nowhere = kept(labels())
    assert nowhere.parent == home / "autosave"

    def asked(path: Path | None) -> set[Path]:
        return {a.path for a in autosaving.find(path).autosaves}

    assert asked(one) == {both, alone}
    assert asked(two) == {both}
    assert asked(tmp_path) == {both, alone}
    assert asked(None) == {nowhere}
    assert asked(tmp_path / "c.nii") == set()
    assert asked(tmp_path / "no" / "such.nii") == set()


def test_both_may_be_moved(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    kept(labels(), files=[old / "ct.nii"])
    old.rename(new)
    assert autosaving.find(new / "ct.nii").autosaves
    assert not autosaving.find(new / "mr.nii").autosaves


def test_inside_a_zarr_nothing_is_put(tmp_path: Path) -> None:
    image = tmp_path / "brain.ome.zarr"
    inside = image / "labels" / "cells"
    inside.mkdir(parents=True)
    path = kept(labels(), files=[inside])
    assert path.parent == tmp_path
    assert [a.path for a in autosaving.find(image).autosaves] == [path]


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be locked like that")
def test_a_place_that_cannot_be_written(tmp_path: Path, home: Path) -> None:
    """It goes to the user's folder, and is found from there; a file stands in for a folder."""
    (tmp_path / "gone").write_bytes(b"")
    image = tmp_path / "gone" / "ct.nii"
    path = kept(labels(), files=[image])
    assert path.parent == home / "autosave"
    assert [a.path for a in autosaving.find(image).autosaves] == [path]


def test_a_living_process_keeps_its_own(image: Path, tmp_path: Path) -> None:
    """Another process's file is left alone as long as it lives, and is found when it is killed."""
    source = tmp_path / "drawn.npz"
    from napari_monai import write

    write(source, labels())
    command = [sys.executable, "-W", "ignore", "-c", OTHER_PROCESS, str(source), str(image)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        path = Path(other.stdout.readline().decode().strip())
        assert path.is_file()
        assert not autosaving.find(image).autosaves
        other.kill()
        other.wait()
        assert [a.path for a in autosaving.find(image).autosaves] == [path]


def test_this_process_keeps_its_own(image: Path) -> None:
    path = autosaving.keep(labels(), files=[image])
    assert not autosaving.find(image).autosaves
    autosaving.forget(path)
    assert autosaving.find(image).autosaves


def rewritten(path: Path, **owner: Any) -> None:
    """Have another owner in a file."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    note = json.loads(entries["autosave.json"])
    note["owner"] |= owner
    note["saved"] = owner.get("saved", note["saved"])
    entries["autosave.json"] = json.dumps(note).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("owner", "found"),
    [
        ({"pid": 2**31 - 1}, True),
        ({"pid": -1}, True),
        ({"pid": 2**80}, True),
        ({"started": 12.0}, True),
        ({"host": "elsewhere"}, False),
        ({"host": "elsewhere", "saved": "2020-01-01T00:00:00+00:00"}, True),
    ],
    ids=["no such process", "nonsense", "large", "its number again", "other host", "long ago"],
)
def test_whose_process_is_gone(owner: dict[str, Any], found: bool, image: Path) -> None:
    path = autosaving.keep(labels(), files=[image])
    rewritten(path, **owner)
    assert bool(autosaving.find(image).autosaves) == found


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harmed",)


def _pickled(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        note = archive.read("autosave.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("autosave.json", note)
        archive.writestr("data.npy", pickle.dumps(Harmful()))


def _noted(path: Path, text: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("autosave.json", text)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "no archive": lambda path: path.write_bytes(b"hello" * 99),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "foreign archive": lambda path: np.savez(path, a=np.zeros(3)),
    "no JSON": lambda path: _noted(path, "{"),
    "no object": lambda path: _noted(path, "[1]"),
    "deep": lambda path: _noted(path, "[" * 100_000),
    "newer": lambda path: _noted(path, '{"format": 2}'),
    "lacking": lambda path: _noted(path, '{"format": 1, "name": "x"}'),
    "nonsense": lambda path: _noted(
        path, '{"format": 1, "name": "x", "files": 3, "saved": 1, "owner": [], "view": 2}'
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_a_line(damage: str, image: Path) -> None:
    good, bad = kept(labels(), files=[image]), kept(labels(), files=[image])
    DAMAGES[damage](bad)
    finds = autosaving.find(image)
    assert [a.path for a in finds.autosaves] == [good]
    (problem,) = finds.problems
    assert "\n" not in str(problem)
    assert str(bad) in str(problem)
    assert "elete it" in str(problem)


@pytest.mark.parametrize("damage", ["pickled", "without voxels", "flipped bits"])
def test_damaged_voxels_are_a_line(
    damage: str, image: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    path = kept(labels(grid=Grid.from_spacing((40, 40))), files=[image])
    (found,) = autosaving.find(image).autosaves
    if damage == "pickled":
        _pickled(path)
    elif damage == "without voxels":
        _noted(path, zipfile.ZipFile(path).read("autosave.json").decode())
    else:
        content = bytearray(path.read_bytes())
        middle = content.index(b"data.npy") + 60
        content[middle : middle + 40] = bytes(40)
        path.write_bytes(content)
    with pytest.raises(ReadError) as error:
        found.labels()
    assert "\n" not in str(error.value)
    assert not (tmp_path / "harmed").exists()


def test_old_ones_are_not_piled_up(tmp_path: Path, home: Path) -> None:
    old, fresh = kept(labels()), kept(labels())
    beside = kept(labels(), files=[tmp_path / "ct.nii"])
    long_ago = time.time() - 100 * 86400
    for path in (old, beside):
        os.utime(path, (long_ago, long_ago))
    half_written = tmp_path / f".0a1b2c3d-.ct.nii.organs.0a1b2c{autosaving.ENDING}"
    half_written.mkdir()
    os.utime(half_written, (long_ago, long_ago))
    assert [a.path for a in autosaving.find().autosaves] == [fresh]
    assert [a.path for a in autosaving.find(tmp_path).autosaves] == [beside], "beside an image"
    assert not old.exists()
    assert not half_written.exists()
