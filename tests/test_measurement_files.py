"""Files and folders of labels: measured past bad ones, with what happens on the way."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

import napari_monai as nm
from napari_monai.errors import SettingsError
from napari_monai.events import BlockDone, FileDone, FileFailed, ImageMeasured, Started
from napari_monai.labels.columns import csv_text
from napari_monai.measurement import measure_steps
from napari_monai.measurement_files import (
    FileMeasured,
    in_one,
    measure_files,
    tasks_of,
    write_table,
)


@pytest.fixture
def folder(tmp_path):
    labels = np.zeros((12, 14), np.uint16)
    labels[1:4, 1:5], labels[6:9, 2:4] = 1, 2
    (tmp_path / "labels").mkdir()
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / "labels" / f"{name}.tif", labels)
    return tmp_path / "labels"


def test_a_bad_file_is_told_and_the_others_go_on(folder):
    (folder / "c.tif").write_bytes(b"no picture")
    tasks = tasks_of([folder])
    assert [t.name for t in tasks] == ["a", "b", "c"]
    events = list(measure_files(tasks, kind="instances"))
    assert events[0] == Started(3, "images")
    assert [e.done for e in events if isinstance(e, FileDone)] == [1, 2, 3]
    (failed,) = (e for e in events if isinstance(e, FileFailed))
    assert failed.path == folder / "c.tif"
    assert "c.tif" in failed.line
    done = [(e.task.name, e.measurements) for e in events if isinstance(e, FileMeasured)]
    objects, classes = in_one(done)
    assert objects["image"].tolist() == ["a", "a", "b", "b"]
    assert objects["area"].tolist() == [12, 6, 12, 6]
    assert classes["objects"].tolist() == [2, 2]


def test_an_older_table_stays_until_the_new_one_is_complete(tmp_path, folder):
    path = tmp_path / "out" / "t.csv"
    table = nm.measure(nm.read(folder / "a.tif", labels=True)).objects
    write_table(path, table)
    before = path.read_text(encoding="utf-8")
    assert before == csv_text(table)
    with pytest.raises(AttributeError):
        write_table(path, "no table")
    assert path.read_text(encoding="utf-8") == before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_without_labels_is_said(tmp_path):
    with pytest.raises(SettingsError, match="holds no labels"):
        tasks_of([tmp_path])


def test_progress_goes_through_all_stages_of_all_time_points():
    array = np.zeros((3, 6, 6), np.uint8)
    array[:, 2:4, 2:4] = 1
    labels = nm.LabelVolume(array, nm.Grid.from_spacing((6, 6)), leading="t", kind="instances")
    image = nm.Volume(array * 2.0, labels.grid, leading="t")
    settings = nm.MeasureSettings(surface=True, neighbours=True)
    *events, last = measure_steps(labels, image, settings=settings)
    assert isinstance(last, ImageMeasured)
    assert events[0] == Started(12, "stages")
    assert [e for e in events if isinstance(e, BlockDone)] == [
        BlockDone(n, 12) for n in range(1, 13)
    ]
    assert last.measurements["mean"].tolist() == [2, 2, 2]
