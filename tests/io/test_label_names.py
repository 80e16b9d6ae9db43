"""Names and colours of classes through NIfTI and TIFF, and as other programs see them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_monai.grid import Grid
from napari_monai.io import read, write
from napari_monai.io.label_names import CARET, from_caret, to_caret
from napari_monai.volume import LabelClass, LabelVolume

CLASSES = (
    LabelClass(1, "left kidney & more <x>", "#ff8000"),
    LabelClass(7, "Leber – größer", None),
    LabelClass(300, "spleen", "#010203"),
)


def _labels(kind="classes") -> LabelVolume:
    data = np.zeros((4, 5, 6), np.uint16)
    data[1], data[2], data[3, 1] = 1, 7, 300
    grid = Grid.from_spacing((4, 5, 6), (2.0, 0.5, 0.5), unit="µm")
    return LabelVolume(data, grid, classes=CLASSES, kind=kind)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".ome.tif", ".tif"])
def test_round_trip(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"labels{ending}"
    write(path, _labels())
    found = read(path, labels=True)
    assert found.classes == CLASSES
    assert found.kind == "classes"
    np.testing.assert_array_equal(np.sort(np.unique(found.numpy())), [0, 1, 7, 300])
    assert not isinstance(read(path), LabelVolume)  # nobody said that they are labels
    write(tmp_path / f"again{ending}", found)
    assert read(tmp_path / f"again{ending}", labels=True).classes == CLASSES


def test_instances_through_tiff(tmp_path: Path) -> None:
    write(tmp_path / "a.ome.tif", _labels("instances"))
    found = read(tmp_path / "a.ome.tif", labels=True)
    assert (found.kind, found.classes) == ("instances", CLASSES)


@pytest.mark.parametrize(
    "change", [{"classes": ()}, {"kind": "instances"}], ids=["none", "objects"]
)
def test_nifti_without_a_table_has_no_extension(tmp_path: Path, change) -> None:
    write(tmp_path / "a.nii", replace(_labels(), **change))
    image = nib.load(tmp_path / "a.nii")
    assert len(image.header.extensions) == 0
    assert image.dataobj.offset == 352


def test_nibabel_reads_labels_and_table(tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz", _labels())
    image = nib.load(tmp_path / "a.nii.gz")
    (extension,) = image.header.extensions
    assert extension.get_code() == CARET
    labels = ElementTree.fromstring(extension.content.rstrip(b"\0")).iter("Label")
    told = {int(x.get("Key")): (x.text, x.get("Red"), x.get("Blue")) for x in labels}
    assert told[1] == ("left kidney & more <x>", "1.000000", "0.000000")
    assert told[7] == ("Leber – größer", None, None)
    np.testing.assert_array_equal(
        np.asanyarray(image.dataobj), _labels().numpy().transpose(2, 1, 0)
    )


def test_a_table_that_another_program_wrote() -> None:
    content = b"""<?xml version="1.0" encoding="UTF-8"?>
        <CaretExtension><Date><![CDATA[2013-07-14]]></Date><VolumeInformation Index="0"><LabelTable>
        <Label Key="0" Red="1" Green="1" Blue="1" Alpha="0"><![CDATA[???]]></Label>
        <Label Key="2" Red="0.2" Green="0.4" Blue="1" Alpha="1"><![CDATA[gall bladder]]></Label>
        </LabelTable></VolumeInformation></CaretExtension>\0\0\0"""
    assert from_caret(content) == ((LabelClass(2, "gall bladder", "#3366ff"),), "classes")


@given(
    st.binary(max_size=200) | st.text(max_size=80).map(lambda t: to_caret(_labels()) + t.encode())
)
def test_damaged_tables_are_none_or_classes(content: bytes) -> None:
    found = from_caret(content)
    assert found is None or found[0]


def test_bombs_are_left_alone() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><CaretExtension>&b;'
    assert from_caret(bomb) is None


def test_ome_reads_the_map(tmp_path: Path) -> None:
    write(tmp_path / "a.ome.tif", _labels())
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        root = ElementTree.fromstring(tif.ome_metadata)
    keys = [m.get("K") for m in root.findall(".//{*}MapAnnotation/{*}Value/{*}M")]
    assert keys == ["kind", "1", "7", "300"]
