"""``info PATH``: a table of what is inside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tests.io.dicom_files import ID, NAME, axial, save

from napari_monai.cli import main


def rows(out: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines()
    ]


def test_a_folder_is_a_table(tmp_path: Path, capsys) -> None:
    save(tmp_path / "ct", axial([0, 2, 4, 10]))
    np.save(tmp_path / "mask.npy", np.ones((4, 5), np.uint8))
    assert main(["info", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert rows(out) == [
        ["name", "size", "spacing", "modality", "kind", "type", "files"],
        ["mask", "5 × 4", "-", "NumPy", "labels", "uint8", "1"],
        ["3 THORAX part 1 of 2", "5 × 6 × 3", "0.7 × 0.8 × 2 mm", "CT", "image", "int32", "3"],
        ["3 THORAX part 2 of 2", "5 × 6 × 1", "0.7 × 0.8 × 2.5 mm", "CT", "image", "int32", "1"],
    ]
    assert "note: 3 THORAX part 1 of 2: its 4 slices are not evenly spaced" in err
    assert not any(word in out + err for word in (*NAME.split("^"), ID))


def test_patients_when_asked(tmp_path: Path, capsys) -> None:
    save(tmp_path, axial([0, 2, 4]))
    assert main(["info", str(tmp_path), "--patients"]) == 0
    assert rows(capsys.readouterr().out)[1][-1] == f"Doe Jane, {ID}"
    assert main(["info", "--patients"]) == 2
    assert "needs a PATH" in capsys.readouterr().err


def test_nothing_inside(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.json").write_text(json.dumps({}))
    assert main(["info", str(tmp_path)]) == 1
    assert "Looked for DICOM files" in capsys.readouterr().err


def test_the_others_are_listed_past_a_path_that_is_gone(tmp_path: Path, capsys) -> None:
    np.save(tmp_path / "a.npy", np.ones((4, 5), np.uint8))
    assert main(["info", str(tmp_path / "gone"), str(tmp_path / "a.npy")]) == 1
    out, err = capsys.readouterr()
    assert "There is no file" in err
    assert rows(out)[1][:2] == ["a", "5 × 4"]
