"""The table of model formats: which one a path is of, and one line where it is of none."""

from __future__ import annotations

import pytest
from tests.models.known import threshold_model

from napari_monai import settings
from napari_monai.errors import FormatError, ModelError
from napari_monai.models import formats, load_model


def test_names_are_unique_and_modules_are_named_after_them():
    names = [f.name for f in formats.FORMATS]
    assert len(set(names)) == len(names)
    assert all(f.module == f"napari_monai.models.{f.name}" for f in formats.FORMATS)


def test_our_own_is_found_by_folder_and_file(tmp_path):
    folder = threshold_model(tmp_path / "m", threshold=0.5).folder
    assert formats.format_of(folder).name == "native"
    assert formats.format_of(folder / "model.json").name == "native"
    assert load_model(folder).origin == "native"


def test_a_near_miss_of_a_name():
    with pytest.raises(FormatError, match="Did you mean 'native'"):
        formats.format_named("nativ")


@pytest.mark.parametrize("name", ["notes.txt", "picture.png", "a.zip", "model.json.bak"])
def test_a_file_of_no_format(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(ModelError, match="is no model that can be read"):
        load_model(tmp_path / name)


def test_options_that_a_format_does_not_take(tmp_path):
    folder = threshold_model(tmp_path / "m", threshold=0.5).folder
    with pytest.raises(ModelError, match="which has no option 'architecture'"):
        load_model(folder, architecture="unet")


def test_a_missing_package_is_named_with_its_extra():
    with pytest.raises(ModelError, match=r'pip install "napari-monai\[onnx\]"'):
        formats.need("no_such_package", "onnx")


@pytest.mark.parametrize("known", formats.FORMATS, ids=lambda f: f.name)
def test_each_module_offers_what_the_table_says(known):
    module = formats.load_module(known)
    offered = (hasattr(module, "read"), hasattr(module, "export"))
    assert offered == (known.reads, known.writes)
    assert hasattr(module, "sniff")


def test_help_texts_name_the_formats_that_are_written():
    assert tuple(f.name for f in formats.FORMATS if f.writes) == settings.WRITTEN_FORMATS
