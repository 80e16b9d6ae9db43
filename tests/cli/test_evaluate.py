"""``evaluate``: scores on the screen and in a file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.cli.bright import save_png, squares

from napari_monai.cli import main

TRUE = squares(corners=((2, 2), (2, 12), (2, 22)))
FOUND = squares(corners=((2, 2), (2, 12)))


@pytest.fixture
def folders(tmp_path):
    for name, labels in (("a", TRUE), ("b", FOUND)):
        save_png(tmp_path / "truth" / f"{name}.png", TRUE)
        save_png(tmp_path / "found" / f"{name}.png", labels)
    return ["--prediction", str(tmp_path / "found"), "--truth", str(tmp_path / "truth")]


def test_scores_of_objects(folders, tmp_path, capsys):
    report = tmp_path / "new" / "scores.json"
    assert main(["evaluate", *folders, "--json", str(report)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["b"][1:4] == ["3", "2", "0.667"]
    assert rows["AP50"][1:] == ["0.833", "0.833", "1.000", "0.833", "0.909"]
    assert "Scored as instances" in out
    written = json.loads(report.read_text())
    assert written["mean"]["AP50"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)
    assert [case["name"] for case in written["cases"]] == ["a", "b"]


def test_scores_of_classes_where_asked(folders, capsys):
    assert main(["evaluate", *folders, "--kind", "classes"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert ["class", "3", "0.500", "0.500", "0.667", "0.500", "2"] in rows
    assert "Scored as" not in out


def test_the_run_beside_the_prediction_says_what_the_labels_are(folders, tmp_path, capsys):
    (tmp_path / "found" / "run.json").write_text('{"kind": "classes"}')
    assert main(["evaluate", *folders]) == 0
    assert "Scored as classes" in capsys.readouterr().out


def test_a_file_without_partner_is_said(folders, tmp_path, capsys):
    save_png(tmp_path / "truth" / "late.png", TRUE)
    assert main(["evaluate", *folders]) == 0
    err = capsys.readouterr().err
    assert err == "napari-monai: warning: 1 left out, with no prediction: late.png\n"


def test_nothing_in_common_is_one_line(tmp_path, capsys):
    one, other = save_png(tmp_path / "a" / "x.png", TRUE), save_png(tmp_path / "b" / "y.png", TRUE)
    arguments = ["--prediction", str(one.parent), "--truth", str(other.parent)]
    assert main(["evaluate", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no names in common" in line


def test_different_sizes_are_one_line(tmp_path, capsys):
    one, other = save_png(tmp_path / "x.png", TRUE), save_png(tmp_path / "y.png", TRUE[:10])
    assert main(["evaluate", "--prediction", str(one), "--truth", str(other)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "x.png against" in line
    assert "another grid" in line


def test_report_table_and_difference_of_two_models(folders, tmp_path, capsys):
    from napari_monai import io

    for name in ("a", "b"):
        save_png(tmp_path / "rival" / f"{name}.png", TRUE if name == "b" else FOUND)
        save_png(tmp_path / "images" / f"{name}.png", TRUE * 60)
    report, table, scores = (tmp_path / "out" / n for n in ("r.html", "t.csv", "s.json"))
    arguments = ["--against", str(tmp_path / "rival"), "--images", str(tmp_path / "images")]
    arguments += ["--report", str(report), "--csv", str(table), "--json", str(scores)]
    arguments += ["--difference", str(tmp_path / "wrong"), "--resamples", "200"]
    assert main(["evaluate", *folders, *arguments]) == 0
    assert "p Wilcoxon" in capsys.readouterr().out
    text = report.read_text(encoding="utf-8")
    assert "found against rival" in text
    assert text.count("data:image/png") >= 4  # plots and two cases
    assert len(table.read_text().splitlines()) == 5  # two models of two images
    written = json.loads(scores.read_text())
    assert written["versus"]["rows"][0]["better"] == [1, 1]
    assert written["settings"]["resamples"] == 200
    wrong = io.read(tmp_path / "wrong" / "b_difference.tif", labels=True)
    assert (wrong.numpy() == 3).sum() == (TRUE == 3).sum()
    assert [c.name for c in wrong.classes][:2] == ["true positive", "false positive"]


def test_tolerance_is_that_of_the_surface_dice(folders, tmp_path, capsys):
    for tolerance, expected in (("0", 2), ("100", 2)):
        report = tmp_path / f"{tolerance}.json"
        arguments = ["--kind", "classes", "--tolerance", tolerance, "--json", str(report)]
        assert main(["evaluate", *folders, *arguments]) == 0
        written = json.loads(report.read_text())
        assert written["settings"]["tolerance"] == float(tolerance)
        assert len(written["cases"]) == expected
    assert main(["evaluate", *folders, "--tolerance", "-1"]) == 2
    assert "Tolerance" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_stops_nothing_else(folders, tmp_path, capsys):
    save_png(tmp_path / "truth" / "broken.png", TRUE)
    (tmp_path / "found" / "broken.png").write_bytes(b"no picture")
    table = tmp_path / "t.csv"
    assert main(["evaluate", *folders, "--csv", str(table)]) == 1
    out, err = capsys.readouterr()
    assert "AP50" in out
    (line,) = err.splitlines()
    assert "broken.png" in line
    assert len(table.read_text().splitlines()) == 3


def test_an_image_that_does_not_fit_is_only_missing_in_the_report(folders, tmp_path, capsys):
    save_png(tmp_path / "images" / "a.png", TRUE[:-1] * 60)
    save_png(tmp_path / "images" / "b.png", TRUE * 60)
    report = tmp_path / "report.html"
    arguments = ["--images", str(tmp_path / "images"), "--report", str(report)]
    assert main(["evaluate", *folders, *arguments]) == 0
    text = report.read_text(encoding="utf-8")
    said = f"The image a has shape ({TRUE.shape[0] - 1}, {TRUE.shape[1]})"
    assert said in text
    (tmp_path / "images" / "a.png").write_bytes(b"no picture")
    assert main(["evaluate", *folders, *arguments]) == 0
    again = report.read_text(encoding="utf-8")
    assert "images/a.png" in again
    assert said not in again
    assert again.count("data:image/png") == text.count("data:image/png")
    assert not capsys.readouterr().err


def test_the_iou_of_f1(folders, tmp_path):
    # One column of each object of six is not found: an IoU of 5/6.
    save_png(tmp_path / "found" / "a.png", np.where(np.arange(TRUE.shape[1]) % 10 == 2, 0, TRUE))
    for iou, expected in (("0.8", 1.0), ("0.85", 0.0)):
        scores = tmp_path / f"{iou}.json"
        assert main(["evaluate", *folders, "--iou", iou, "--json", str(scores)]) == 0
        case = json.loads(scores.read_text())["cases"][0]["scores"]
        assert case["F1"] == expected


def test_a_folder_in_place_of_a_file_is_said_before_the_work(folders, tmp_path, capsys):
    assert main(["evaluate", *folders, "--csv", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert f"{tmp_path} is a folder" in err


def test_a_single_file_finds_its_image_in_a_folder(tmp_path, capsys):
    save_png(tmp_path / "images" / "x.png", TRUE * 60)
    save_png(tmp_path / "images" / "y.png", TRUE * 60)
    found, truth = (save_png(tmp_path / name / "x.png", TRUE) for name in ("found", "truth"))
    files = ["--prediction", str(found), "--truth", str(truth)]
    report = tmp_path / "report.html"
    shown = ["--images", str(tmp_path / "images"), "--report", str(report)]
    assert main(["evaluate", *files, *shown]) == 0
    assert "The best" in report.read_text(encoding="utf-8")
    (tmp_path / "images" / "x.png").unlink()
    assert main(["evaluate", *files, *shown]) == 1
    assert "no image named x" in capsys.readouterr().err
