"""What is done with the user's models, and what is left of those that come with the package."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.models.known import threshold_model

from napari_monai.errors import ModelError, WriteError
from napari_monai.models import Model, catalogue, find, load_model, user_folder
from napari_monai.models.card import bytes_word, card, card_rows
from napari_monai.models.shelf import is_own, is_shipped, preview, remove, rename, size


def own(name: str, folder: str | None = None) -> Model:
    return threshold_model(user_folder() / (folder or name), threshold=0.5, name=name)


@pytest.fixture
def shipped() -> Model:
    return find("nuclei-2d")


def names() -> list[str]:
    return [m.name for m in catalogue().models if not is_shipped(m)]


def test_whose_a_model_is(shipped: Model, tmp_path: Path) -> None:
    mine, elsewhere = own("mine"), threshold_model(tmp_path / "x", threshold=0.5)
    assert [is_shipped(m) for m in (shipped, mine, elsewhere)] == [True, False, False]
    assert [is_own(m) for m in (shipped, mine, elsewhere)] == [False, True, False]


def test_size_is_that_of_all_files() -> None:
    model = own("mine")
    (model.folder / "docs").mkdir()
    (model.folder / "docs" / "more.txt").write_bytes(b"x" * 1000)
    plain = sum(f.stat().st_size for f in model.folder.iterdir() if f.is_file())
    assert size(model) == plain + 1000


def test_size_does_not_follow_links(tmp_path: Path) -> None:
    model = own("mine")
    before = size(model)
    (tmp_path / "large").write_bytes(b"x" * 10_000)
    (model.folder / "link").symlink_to(tmp_path / "large")
    assert size(model) == before


def test_renamed_with_its_folder() -> None:
    model = own("before")
    renamed = rename(model, "after-1.0")
    assert names() == ["after-1.0"]
    assert find("after-1.0") == renamed
    assert renamed.folder == user_folder() / "after-1.0"
    assert json.loads((renamed.folder / "model.json").read_text())["name"] == "after-1.0"
    assert sorted(p.name for p in user_folder().iterdir()) == ["after-1.0"]
    renamed.load_network()


def test_renamed_where_the_folder_is_taken() -> None:
    model = own("before")
    (user_folder() / "after").mkdir()
    assert rename(model, "after").folder == model.folder
    assert find("after").folder == model.folder


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("other", "There is a model named 'other' already"),
        ("OTHER", "There is a model named 'other' already"),
        ("nuclei-2d", "There is a model named 'nuclei-2d' already"),
        ("../evil", "may hold letters"),
        ("", "may hold letters"),
        ("a b", "may hold letters"),
        (".hidden", "may hold letters"),
    ],
)
def test_names_that_cannot_be(name: str, said: str) -> None:
    own("other")
    model = own("mine")
    with pytest.raises(ModelError, match=said):
        rename(model, name)
    assert sorted(names()) == ["mine", "other"]


def test_only_letters_change() -> None:
    assert rename(own("mine"), "Mine").name == "Mine"
    assert names() == ["Mine"]


def test_to_its_own_name() -> None:
    model = own("mine", "folder")
    assert rename(model, "mine") is model


def test_deleted_with_all_its_files() -> None:
    model = own("mine")
    (model.folder / "more").mkdir()
    (model.folder / "more" / "x").touch()
    own("other")
    remove(model)
    assert names() == ["other"]
    assert [p.name for p in user_folder().iterdir()] == ["other"]


def test_of_a_link_only_the_link_is_deleted(tmp_path: Path) -> None:
    there = threshold_model(tmp_path / "there", threshold=0.5, name="linked")
    user_folder().mkdir(parents=True)
    (user_folder() / "linked").symlink_to(there.folder, target_is_directory=True)
    remove(find("linked"))
    assert names() == []
    assert load_model(there.folder).name == "linked"


@pytest.mark.parametrize("change", [remove, lambda model: rename(model, "new")])
def test_what_is_not_the_users_stays(shipped: Model, tmp_path: Path, change: object) -> None:
    elsewhere = threshold_model(tmp_path / "x", threshold=0.5)
    with pytest.raises(ModelError, match="nuclei-2d comes with napari-monai and cannot be"):
        change(shipped)  # type: ignore[operator]
    with pytest.raises(ModelError, match=r"do it yourself"):
        change(elsewhere)  # type: ignore[operator]
    assert shipped.folder.is_dir()
    assert elsewhere.folder.is_dir()


def test_a_folder_that_may_not_be_written() -> None:
    model = own("mine")
    user_folder().chmod(0o500)
    model.folder.chmod(0o500)
    try:
        if os.access(user_folder(), os.W_OK):
            pytest.skip("this user may write everywhere")
        for change in (remove, lambda m: rename(m, "new")):
            with pytest.raises(WriteError):
                change(model)
    finally:
        user_folder().chmod(0o700)
        model.folder.chmod(0o700)
    assert names() == ["mine"]


def test_preview(tmp_path: Path) -> None:
    model = own("mine")
    assert preview(model) is None
    (tmp_path / "secret.png").touch()
    (model.folder / "preview.png").symlink_to(tmp_path / "secret.png")
    assert preview(model) is None
    (model.folder / "preview.png").unlink()
    (model.folder / "cover_1.JPG").write_bytes(b"x")
    assert preview(model) == model.folder / "cover_1.JPG"
    (model.folder / "preview.png").write_bytes(b"x")
    assert preview(model) == model.folder / "preview.png"
    (model.folder / "preview.svg").write_bytes(b"x")
    assert preview(model) == model.folder / "preview.png"


def test_the_shipped_model_has_one(shipped: Model) -> None:
    file = preview(shipped)
    assert file is not None
    assert file.read_bytes().startswith(b"\x89PNG")


def test_card_says_what_is_known(shipped: Model) -> None:
    rows = card_rows(shipped)
    assert rows["name"] == "nuclei-2d 1"
    assert rows["classes"] == "1 nucleus"
    assert rows["input"] == "2D, red, green, blue"
    assert rows["licence"] == "BSD-3-Clause"
    assert rows["trust"].startswith("data only")
    assert "cannot run" not in rows
    assert all(rows.values())


def test_card_says_where_a_model_came_from(shipped: Model) -> None:
    assert card_rows(shipped)["origin"] == "napari-monai model"
    came = {"imported_from": {"format": "monai_bundle", "file": "spleen.zip"}, "steps": 3}
    rows = card_rows(replace(shipped, description=replace(shipped.description, training=came)))
    assert (rows["origin"], rows["training"]) == ("MONAI bundle, spleen.zip", "steps 3")


def test_card_as_markdown_shows_signs_as_they_are() -> None:
    model = threshold_model(
        user_folder() / "m", threshold=0.5, title="A_B", description="<b>x</b> *y*\nz", licence=""
    )
    lines = card(model).splitlines()
    assert lines[0] == "# A\\_B"
    assert lines[2] == "\\<b\\>x\\</b\\> \\*y\\* z"
    assert not any(line.startswith("- **licence**") for line in lines)


@pytest.mark.parametrize(
    ("count", "word"),
    [(0, "0 B"), (999, "999 B"), (6_346_074, "6.35 MB"), (2 * 10**12, "2 TB")],
)
def test_bytes(count: int, word: str) -> None:
    assert bytes_word(count) == word
