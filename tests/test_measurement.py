"""`nm.measure`: objects and classes of volumes on their grids, with units."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from scipy import ndimage

import napari_monai as nm
from napari_monai.errors import VolumeError
from napari_monai.labels.columns import Column, Columns, csv_text, stacked, write_parquet
from napari_monai.volume import LabelClass

ALL = nm.MeasureSettings.everything()


def _labels(array, spacing=None, unit="µm", **told):
    array = np.asarray(array)
    leading = told.get("leading", "")
    grid = nm.Grid.from_spacing(array.shape[len(leading) :], spacing, unit=unit, origin=None)
    return nm.LabelVolume(array, grid, **{"kind": "instances", "name": "cells", **told})


def _cells():
    array = np.zeros((6, 12, 12), np.uint16)
    array[1:3, 2:6, 2:6], array[1:3, 6:8, 2:6], array[5, 0, 0] = 1, 5, 9
    return array


def test_objects_of_a_stack():
    labels = _labels(_cells(), (2.0, 0.5, 0.5))
    found = nm.measure(labels, settings=ALL)
    assert found["label"].tolist() == [1, 5, 9]
    assert found["volume"].tolist() == [16.0, 8.0, 0.5]
    assert found["neighbours"].tolist() == [1, 1, 0]
    assert found["border"].tolist() == [False, False, True]
    assert found["world z"].tolist() == [3.0, 3.0, 10.0]
    assert found["equivalent diameter"][0] == pytest.approx((6 * 16 / math.pi) ** (1 / 3))
    titles = found.objects.titled()
    assert {"volume [µm³]", "surface area [µm²]", "Feret diameter [µm]", "sphericity"} <= set(
        titles
    )
    assert found.classes["objects"].tolist() == [3]
    assert found.classes["density"][0] == pytest.approx(3 / (6 * 12 * 12 * 0.5))
    assert found.classes["part of the image"][0] == pytest.approx(100 * 49 / 864)


def test_only_what_is_asked_for():
    names = set(nm.measure(_labels(_cells())).objects)
    assert not {"surface area", "sphericity", "Feret diameter", "neighbours", "mean"} & names
    assert {"volume", "axis 3", "pieces", "stop x"} <= names


def test_a_ball_is_a_sphere_and_a_disk_a_circle():
    for n, name in ((2, "circularity"), (3, "sphericity")):
        radii = np.sqrt((np.mgrid[(slice(-14, 15),) * n] ** 2).sum(axis=0))
        found = nm.measure(_labels((radii <= 12.3).astype(np.uint8)), settings=ALL)
        assert found[name][0] == pytest.approx(1, abs=0.02)


def test_neighbours_within_a_distance():
    array = np.zeros((9, 12), np.uint8)
    array[1, 1], array[1, 4], array[7, 4] = 1, 2, 3
    labels = _labels(array, (0.5, 2.0))
    titled = nm.measure(labels, settings=nm.MeasureSettings(within=3)).objects.titled()
    assert titled["neighbours within 3 µm"].tolist() == [0, 1, 1]
    settings = nm.MeasureSettings(neighbours=True, within=6.5)
    found = nm.measure(labels, settings=settings)
    assert found["neighbours within 6.5 µm"].tolist() == [1, 2, 1]
    assert found["neighbours"].tolist() == [0, 0, 0]


def test_classes_have_names_and_pieces_rows_of_their_own():
    array = np.array([[1, 0, 1, 0, 2], [1, 0, 0, 0, 2]], np.uint8)
    named = (LabelClass(1, "tumour"), LabelClass(2, "stroma"), LabelClass(7, "fat"))
    labels = _labels(array, kind="classes", classes=named)
    found = nm.measure(labels)
    assert found["class"].tolist() == ["tumour", "stroma"]
    assert found.classes["class"].tolist() == ["tumour", "stroma", "fat"]
    assert found.classes["objects"].tolist() == [2, 1, 0]
    assert found.classes["mean area"][:2].tolist() == [1.5, 2.0]
    assert np.isnan(found.classes["mean area"][2])
    pieces = nm.measure(labels, settings=nm.MeasureSettings(each="piece"))
    assert pieces["class"].tolist() == ["tumour", "tumour", "stroma"]
    assert pieces["area"].tolist() == [2.0, 1.0, 2.0]
    assert pieces.classes["objects"].tolist() == [2, 1, 0]


def test_a_summary_of_each_image_and_class():
    random = np.random.default_rng(2)
    array = random.integers(0, 4, (7, 9, 11)).astype(np.uint8)
    labels = _labels(array, (2.0, 0.5, 0.4), kind="classes", classes=(LabelClass(9, "none"),))
    found = nm.measure(labels).classes.titled()
    corner = np.ones((3, 3, 3))
    for row, number in enumerate((1, 2, 3)):
        pieces, voxels = ndimage.label(array == number, corner)[1], (array == number).sum()
        assert found["objects"][row] == pieces
        assert found["density [1/µm³]"][row] == pytest.approx(pieces / (array.size * 0.4))
        assert found["volume [µm³]"][row] == pytest.approx(voxels * 0.4)
        assert found["part of the image [%]"][row] == pytest.approx(100 * voxels / array.size)
    assert [found[t][3] for t in ("class", "objects", "volume [µm³]")] == ["none", 0, 0]
    cells = nm.measure(_labels(array, (2.0, 0.5, 0.4))).classes.titled()
    assert cells["objects"].tolist() == [3]
    assert cells["volume [µm³]"] == pytest.approx([(array > 0).sum() * 0.4])


def test_channels_have_columns_of_their_own():
    array = _cells()
    image = np.stack([np.arange(array.size).reshape(array.shape), array * 10.0])
    labels = _labels(array)
    volume = nm.Volume(image, labels.grid, leading="c", channel_names=("DAPI", "GFP"))
    found = nm.measure(labels, volume, settings=nm.MeasureSettings(percentiles=(50, 90)))
    assert found["mean GFP"].tolist() == [10, 50, 90]
    assert found["SD GFP"].tolist() == [0, 0, 0]
    assert found["median DAPI"][0] == np.median(image[0][array == 1])
    assert found["percentile 90 DAPI"][1] == pytest.approx(np.percentile(image[0][array == 5], 90))


def test_an_image_whose_axes_are_reversed_and_hounsfield_units():
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    array = np.zeros((4, 5, 6), np.uint8)
    array[1, 2, 3] = 1
    labels = nm.LabelVolume(array, nm.Grid(array.shape, affine), classes=(LabelClass(1, "spot"),))
    turned = affine @ np.diag([-1.0, 1, 1, 1]) + np.array([[0, 0, 0, -3.0]] + [[0] * 4] * 3)
    image = nm.Volume((array * 7.0)[::-1], nm.Grid(array.shape, turned))
    found = nm.measure(labels, image, intensity_unit="HU")
    assert found.objects.titled()["mean [HU]"].tolist() == [7]
    assert [found[f"world {a}"][0] for a in "xyz"] == [-1, -2, 9]
    assert found["centroid k"].tolist() == [3]
    with pytest.raises(VolumeError, match="another grid"):
        nm.measure(labels, nm.Volume(array, nm.Grid(array.shape, np.diag([2.0, 1, 1, 1]))))


def test_ct_is_in_hounsfield_units():
    rng = np.random.default_rng(0)
    ct = np.where(np.arange(16) < 8, -1000, 40) + rng.integers(-9, 9, (8, 16, 16))
    image = nm.Volume(ct.astype(np.int16), nm.Grid(ct.shape, np.eye(4)))
    labels = nm.LabelVolume((ct > 0).astype(np.uint8), image.grid)
    assert "mean [HU]" in nm.measure(labels, image).objects.titled()


def test_each_time_point_has_its_rows():
    array = np.stack([_cells(), _cells() * (_cells() == 1)])
    image = nm.Volume(array * 2.0, _labels(_cells()).grid, leading="t")
    found = nm.measure(_labels(array, leading="t"), image)
    assert found["time"].tolist() == [0, 0, 0, 1]
    assert found["mean"].tolist() == [2, 10, 18, 2]
    assert found.classes["objects"].tolist() == [3, 1]


def test_nothing_in_the_labels():
    found = nm.measure(_labels(np.zeros((3, 4, 5), np.uint8)), settings=ALL)
    assert len(found) == 0
    assert found.classes["objects"].tolist() == [0]
    assert csv_text(found.objects).count("\n") == 1


def test_tables_of_several_images_in_csv_and_parquet(tmp_path):
    import pyarrow.parquet

    one = nm.measure(_labels(_cells()), settings=ALL).objects
    flat = nm.measure(_labels(_cells()[1]), kind="classes").objects
    both = stacked([("a", one), ("b", flat)])
    lines = list(csv.DictReader(csv_text(both).splitlines()))
    assert [line["image"] for line in lines] == ["a"] * 3 + ["b"] * 2
    assert [line["volume [µm³]"] for line in lines] == ["32.0", "16.0", "1.0", "", ""]
    assert [line["class"] for line in lines] == ["", "", "", "class 1", "class 5"]
    assert [line["border"] for line in lines] == ["0", "0", "1", "0", "0"]
    write_parquet(tmp_path / "t.parquet", both)
    kept = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pydict()
    assert list(kept) == list(both.titled())
    assert kept["label"] == [1, 5, 9, 1, 5]


def test_an_unknown_column_is_said():
    with pytest.raises(KeyError, match="Did you mean 'volume'"):
        nm.measure(_labels(_cells()))["volumes"]


def test_channels_of_one_name_stay_apart():
    labels = _labels(_cells())
    image = np.stack([labels.numpy() * 1.0, labels.numpy() * 2.0])
    volume = nm.Volume(image, labels.grid, leading="c", channel_names=("DAPI", "DAPI"))
    found = nm.measure(labels, volume).objects.titled()
    assert (found["mean DAPI (2)"] == 2 * found["mean DAPI (1)"]).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": np.ones((2, 2), int)}, "ndarray has no grid"),
        ({"image": np.ones((2, 2))}, "ndarray has no grid"),
        ({"kind": "organs"}, "'organs'"),
    ],
    ids=["labels", "image", "kind"],
)
def test_what_cannot_be_measured_is_said(change, words):
    with pytest.raises(VolumeError, match=words):
        nm.measure(**{"labels": _labels(_cells()), **change})


def test_labels_beyond_64_bits_with_a_sign_are_refused():
    labels = _labels(_cells().astype(np.uint64) + np.uint64(2**63))
    with pytest.raises(VolumeError, match=r"up to 2\^63"):
        nm.measure(labels, settings=nm.MeasureSettings(neighbours=True))


def test_an_image_without_objects_adds_no_column():
    labels = _labels(_cells())
    some, none = (nm.measure(_labels(_cells() * n), kind="instances").objects for n in (1, 0))
    other = stacked([("none", Columns((Column("mean", none["label"], "HU"),))), ("some", some)])
    assert list(other) == ["image", *some]
    assert list(stacked([("none", none)])) == ["image", *some]
    assert other.rows == len(np.unique(labels.numpy())) - 1
