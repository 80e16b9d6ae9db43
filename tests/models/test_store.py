"""Where models are found, by name and by path, and what a damaged one does to the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.models.known import threshold_model

from napari_monai.errors import ModelError, ModelNotFoundError
from napari_monai.models import catalogue, find, list_models, load_model, user_folder


def _model(name: str, folder: Path | None = None):
    return threshold_model(folder or user_folder() / name, threshold=0.5, name=name)


def test_user_folder_lies_in_the_home(home):
    assert user_folder() == home / "models"


def test_user_folder_without_a_home_is_the_platforms(monkeypatch):
    monkeypatch.delenv("NAPARI_MONAI_HOME")
    assert "napari-monai" in user_folder().parts


def test_an_empty_store_has_no_user_models():
    assert not user_folder().exists()
    assert catalogue().problems == ()


def test_models_are_listed_by_name():
    _model("b-model"), _model("a-model")
    names = [model.name for model in list_models()]
    assert [n for n in names if n in ("a-model", "b-model")] == ["a-model", "b-model"]


def test_found_by_name_whatever_the_folder_is_called():
    written = _model("cells", user_folder() / "some-folder")
    assert find("cells") == load_model("cells") == written


def test_a_near_miss_is_hinted_at():
    _model("nuclei-test")
    with pytest.raises(ModelNotFoundError) as caught:
        load_model("nucleii-test")
    assert str(caught.value) == "No model named 'nucleii-test'. Did you mean 'nuclei-test'?"


def test_loaded_by_path(tmp_path, monkeypatch):
    written = _model("elsewhere", tmp_path / "folder")
    for path in (tmp_path / "folder", tmp_path / "folder" / "model.json"):
        assert load_model(path).description == written.description
        assert load_model(str(path)).description == written.description
    monkeypatch.chdir(tmp_path)
    assert load_model("folder").name == "elsewhere"
    assert load_model("./folder").name == "elsewhere"


def test_a_name_in_the_store_goes_before_a_folder_here(tmp_path, monkeypatch):
    stored = _model("same")
    threshold_model(tmp_path / "same", threshold=0.5, name="other")
    monkeypatch.chdir(tmp_path)
    assert load_model("same") == stored
    assert load_model("./same").name == "other"


def test_a_path_to_nothing():
    with pytest.raises(ModelNotFoundError, match="No model at"):
        load_model(Path("not") / "there")


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ModelError, match=r"is no model: it has no model\.json"):
        load_model(tmp_path)


def test_a_damaged_model_is_a_problem_of_its_own():
    _model("good")
    bad = user_folder() / "bad"
    bad.mkdir()
    (bad / "model.json").write_text("{")
    found = catalogue()
    assert "good" in [model.name for model in found.models]
    assert [str(p).startswith(str(bad / "model.json")) for p in found.problems] == [True]
    with pytest.raises(ModelError, match="is not JSON"):
        find("bad")


def test_a_model_file_that_is_no_text():
    bad = user_folder() / "bad"
    bad.mkdir(parents=True)
    (bad / "model.json").write_bytes(b"\xff\xfe\x00\x80")
    assert len(catalogue().problems) == 1


def test_a_name_twice_keeps_the_first_and_says_so():
    first = _model("twice", user_folder() / "1")
    _model("twice", user_folder() / "2")
    found = catalogue()
    assert find("twice") == first
    assert len(found.problems) == 1
    assert "change the name" in str(found.problems[0])


def test_what_an_interrupted_run_left_is_no_model():
    _model("good")
    (user_folder() / "good").rename(user_folder() / ".good-x1")
    assert "good" not in [model.name for model in list_models()]


def test_import_and_listing_leave_torch_alone(home):
    _model("good")
    code = (
        "import sys, napari_monai.models as m; names = [x.name for x in m.list_models()]; "
        "assert 'good' in names; print(sorted({'torch', 'monai', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
