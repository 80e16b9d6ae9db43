"""``measure``: tables on the screen and in files, past a bad one."""

from __future__ import annotations

import csv

import pytest
from tests.cli.bright import save_png, squares

from napari_monai.cli import main

LABELS = squares(corners=((2, 2), (2, 8), (2, 22)))


@pytest.fixture
def folders(tmp_path):
    for name in ("a", "b"):
        save_png(tmp_path / "labels" / f"{name}.png", LABELS)
        save_png(tmp_path / "images" / f"{name}.png", LABELS * 40)
    return tmp_path / "labels", tmp_path / "images"


def test_a_folder_with_images(folders, tmp_path, capsys):
    labels, images = folders
    table, summary = tmp_path / "out" / "t.csv", tmp_path / "s.csv"
    arguments = ["--images", str(images), "--csv", str(table), "--summary", str(summary)]
    kind = ["--kind", "instances", "--neighbours", "--within", "15", "--percentiles", "50"]
    assert main(["measure", str(labels), *arguments, *kind]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[0].split()[:3] == ["image", "class", "objects"]
    assert f"{table}: 6 rows" in out
    lines = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [(line["image"], line["label"]) for line in lines[2:4]] == [("a", "3"), ("b", "1")]
    assert [line["area [pixels]"] for line in lines[:3]] == ["36.0"] * 3
    assert [line["neighbours"] for line in lines[:3]] == ["1", "1", "0"]
    assert [line["neighbours within 15 pixels"] for line in lines[:3]] == ["2", "2", "2"]
    assert [line["median"] for line in lines[:3]] == ["40.0", "80.0", "120.0"]
    assert "perimeter" not in lines[0]
    (first, _) = csv.DictReader(summary.read_text(encoding="utf-8").splitlines())
    assert (first["image"], first["objects"], first["area [pixels]"]) == ("a", "3", "108.0")
    assert float(first["density [1/pixels]"]) == pytest.approx(3 / LABELS.size)


def test_all_columns_and_parquet(folders, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    target = tmp_path / "t.parquet"
    assert main(["measure", str(folders[0] / "a.png"), "--all", "--parquet", str(target)]) == 0
    names = parquet.read_table(target).column_names
    assert {"perimeter [pixels]", "Feret diameter [pixels]", "neighbours"} <= set(names)


def test_goes_on_past_bad_files(folders, tmp_path, capsys):
    labels, images = folders
    (labels / "bad.png").write_bytes(b"no picture")
    save_png(labels / "late.png", LABELS)
    table = tmp_path / "t.csv"
    assert main(["measure", str(labels), "--images", str(images), "--csv", str(table)]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 3
    assert "bad.png" in err[0]
    assert "late.png: no image named late" in err[1]
    assert "2 of 4 images failed" in err[2]
    assert len(table.read_text().splitlines()) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--percentiles", "101"], "Percentiles"),
        (["--images", "nowhere"], "nowhere does not exist"),
        (["--images", "{images}/a.png"], "one image for 2 files"),
    ],
    ids=["percentile", "no-images", "one-image"],
)
def test_wrong_arguments_are_one_line(folders, capsys, arguments, message):
    told = [a.format(images=folders[1]) for a in arguments]
    assert main(["measure", str(folders[0]), *told]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
