"""``evaluate``: scores on the screen and in a file."""

from __future__ import annotations

import json

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
