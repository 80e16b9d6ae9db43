"""Lists of classes as other programs write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_monai.errors import ReadError
from napari_monai.labels.class_lists import merged, read_class_list
from napari_monai.volume import LabelClass

SNAP = """\
################################################
# ITK-SnAP Label Description File
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0    0        1  1  1    "left lung"
    7     0  128  255      0.5  0  1    "tumour #2"
"""
SLICER = """\
# Color table file example.ctbl
# 3 values
0 Background 0 0 0 0
1 liver 221 130 101 255
2 right_kidney 185 102 83 255
"""
FREESURFER = """\
#No. Label Name:                R   G   B   A
0   Unknown                     0   0   0   0
17  Left-Hippocampus            220 216 20  0
"""
CASES = {
    "ITK-SNAP": (
        "labels.txt",
        SNAP,
        (LabelClass(1, "left lung", "#ff0000"), LabelClass(7, "tumour #2", "#0080ff", False)),
    ),
    "3D Slicer": (
        "organs.ctbl",
        SLICER,
        (LabelClass(1, "liver", "#dd8265"), LabelClass(2, "right_kidney", "#b96653")),
    ),
    "FreeSurfer": ("lut.txt", FREESURFER, (LabelClass(17, "Left-Hippocampus", "#dcd814"),)),
    "nnU-Net": (
        "dataset.json",
        json.dumps({"labels": {"background": 0, "tumour": 2, "liver": 1, "whole": [1, 2]}}),
        (LabelClass(1, "liver"), LabelClass(2, "tumour")),
    ),
    "decathlon": (
        "dataset.json",
        json.dumps({"labels": {"0": "background", "1": "cancer"}}),
        (LabelClass(1, "cancer"),),
    ),
}


@pytest.mark.parametrize(("name", "text", "classes"), CASES.values(), ids=CASES)
def test_list(tmp_path: Path, name: str, text: str, classes: tuple[LabelClass, ...]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_class_list(tmp_path / name) == classes


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.txt", "no list"), ("a.json", "{"), ("a.json", "[1]"), ("a.json", '{"labels": 3}'),
     ("a.ctbl", "1 liver 999 0 0 255"), ("a.txt", "99999999999999 far 1 2 3 4")],
    ids=["words", "damaged", "a list", "a number", "no colour", "too high"],
)  # fmt: skip
def test_what_is_no_list(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match=f"{name} lists no classes: choose"):
        read_class_list(tmp_path / name)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be read"):
        read_class_list(tmp_path / "missing.txt")


def test_merged_keeps_what_is_shown_and_locked() -> None:
    known = (LabelClass(3, "old", "#111111", False, True), LabelClass(1, "liver"))
    new = (LabelClass(3, "spleen"), LabelClass(2, "kidney", "#222222"))
    assert merged(known, new) == (
        LabelClass(1, "liver"),
        LabelClass(2, "kidney", "#222222"),
        LabelClass(3, "spleen", "#111111", False, True),
    )
