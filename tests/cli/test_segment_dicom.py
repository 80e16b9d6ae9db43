"""``segment`` and ``convert`` of DICOM: every volume of every series, none of the patient."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from tests.cli.bright import bright_model, save_png, squares
from tests.io.dicom_files import ID, NAME, mr_slice, save, slice_of

from napari_monai import io
from napari_monai.cli import main

SIZE = (24, 32)
BIRTHDAY = "19610523"
SECRETS = (*NAME.split("^"), ID, BIRTHDAY)


def bright_slice(height: float, number: int, **elements: object) -> Dataset:
    """Return a dark slice with a bright square whose place depends on its height."""
    pixels = np.full(SIZE, 30, "u1")
    corner = 2 + int(height) % 12
    pixels[corner : corner + 6, 3:11] = 200
    private = {"PatientBirthDate": BIRTHDAY, "OtherPatientIDs": ID, "ReferringPhysicianName": NAME}
    return slice_of((-4, 6, height), pixels=pixels, number=number, RescaleIntercept=0,
                    **{**private, **elements})  # fmt: skip


def series(heights: Sequence[float], uid: str, number: int, **elements: object) -> list[Dataset]:
    return [
        bright_slice(z, k, SeriesInstanceUID=uid, SeriesNumber=number, **elements)
        for k, z in enumerate(heights, 1)
    ]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a folder with three series, of two, two and one volumes, and a picture."""
    folder = tmp_path / "study"
    save(folder / "a", series([0, 2, 4, 10, 12], "1.1", 1, SeriesDescription="Doe LUNG"), "{}")
    echoes = [
        mr_slice((0, 0, z), number=k, pixels=bright_slice(z, k).pixel_array, EchoTime=echo,
                 SeriesInstanceUID="1.2", SeriesNumber=2, SeriesDescription="GRE")
        for k, (echo, z) in enumerate(((e, z) for e in (5, 9) for z in (0, 3)), 1)
    ]  # fmt: skip
    save(folder / "b" / "c", echoes, "{}.dcm")
    save(folder, series([0, 1, 2, 3], "1.3", 3, SeriesDescription="LUNG"), "i{}")
    save_png(folder / "picture.png", np.where(squares() > 0, 200, 30))
    return folder


EXPECTED = {
    "1_LUNG_part_1_of_2": 3, "1_LUNG_part_2_of_2": 2, "2_GRE_TE_5_ms": 2, "2_GRE_TE_9_ms": 2,
    "3_LUNG": 4,
}  # fmt: skip


@pytest.fixture
def model(home: Path) -> str:
    bright_model(home / "models" / "bright", dims=2)
    return "bright"


def segment(*arguments: object) -> int:
    return main(["segment", *map(str, arguments), "--model", "bright"])


def assert_segmented(out: Path, converted: Path, names: dict[str, int]) -> None:
    """Check labels against the images that were converted, with nibabel."""
    for name, slices in names.items():
        image = nib.load(converted / f"{name}.nii.gz")
        labels = nib.load(out / f"{name}.nii.gz")
        assert labels.shape == (slices, *SIZE)
        np.testing.assert_array_equal(labels.affine, image.affine)
        np.testing.assert_array_equal(
            np.asanyarray(labels.dataobj), np.asanyarray(image.dataobj) > 127
        )


def assert_private(folder: Path, printed: str, secrets: Sequence[str] = SECRETS) -> None:
    """Check that nothing in a folder, nor in what was printed, names the patient."""
    for path in folder.rglob("*"):
        assert not any(s in path.name for s in secrets), path
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = nib.load(path).header.binaryblock
            assert not any(s.encode() in content for s in secrets), path
    assert not any(s in printed for s in secrets), printed


def test_every_volume_of_every_series(
    study: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, converted = tmp_path / "out", tmp_path / "converted"
    assert segment(study, "--output", out) == 0
    assert main(["convert", str(study), str(converted)]) == 0
    printed = capsys.readouterr()
    files = {p.name for p in out.iterdir()}
    assert files == {"picture.tif", "run.json", *(f"{n}.nii.gz" for n in EXPECTED)}
    assert_segmented(out, converted, EXPECTED)
    assert_private(out, printed.out + printed.err)
    assert_private(converted, "")
    run = json.loads((out / "run.json").read_text())
    assert len(run["written"]) == 6
    assert "split into 2 volumes" in printed.err


def test_the_run_is_repeated(study: Path, model: str, tmp_path: Path) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    assert segment(study, "--output", out) == 0
    assert main(["segment", "--settings", str(out / "run.json"), "--output", str(again)]) == 0
    assert segment(study, "--output", out) == 0  # its own files may be replaced
    runs = [json.loads((p / "run.json").read_text()) for p in (out, again)]
    assert runs[0]["inputs"] == runs[1]["inputs"]
    for path in out.glob("*.nii.gz"):
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_slices_of_one_series_count_once(study: Path, model: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    slices = sorted((study / "b" / "c").iterdir())
    assert segment(*slices, study / "i0", study / "i7", "--output", out) == 0
    files = {p.stem.removesuffix(".nii") for p in out.glob("*.nii.gz")}
    assert files == {"2_GRE_TE_5_ms", "2_GRE_TE_9_ms", "3_LUNG"}
    # Again with the folder that they are in, which has others too.
    more = tmp_path / "more"
    assert segment(slices[0], study, "--output", more) == 0
    assert len(list(more.glob("*.nii.gz"))) == 5


def test_series_of_one_name_are_numbered(model: str, tmp_path: Path) -> None:
    for number, patient in enumerate("ab"):
        heights = range(2 + number)
        save(tmp_path / "in" / patient, series(heights, f"1.{number}", 1))
    out = tmp_path / "out"
    assert segment(tmp_path / "in", "--output", out) == 0
    assert [nib.load(out / f"1_THORAX{n}.nii.gz").shape[0] for n in ("", "_2")] == [2, 3]


def test_a_zip(study: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "picture.png").unlink()
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", study)
    out, converted = tmp_path / "out", tmp_path / "converted"
    assert segment(archive, "--output", out) == 0
    assert main(["convert", str(study), str(converted)]) == 0
    assert_segmented(out, converted, EXPECTED)
    (tmp_path / "bad.zip").write_bytes(Path(archive).read_bytes()[:-100])
    assert segment(tmp_path / "bad.zip", "--output", tmp_path / "other") == 1
    assert "bad.zip is no zip, or a damaged one" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["header", "voxels"])
def test_a_damaged_slice_splits_its_series_and_leaves_the_others(
    study: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    damaged = study / "i7"  # the second of four
    made = pydicom.dcmread(damaged)
    if how == "voxels":
        made.compress(pydicom.uid.RLELossless)
        made.PixelData = made.PixelData[:16] + bytes(len(made.PixelData) - 16)
        made.save_as(damaged)
    else:
        damaged.write_bytes(damaged.read_bytes()[:-100])
    out = tmp_path / "out"
    assert segment(study, "--output", out) == 0
    assert "passed over i7" in capsys.readouterr().err
    shapes = {p.name: nib.load(p).shape[0] for p in out.glob("3_LUNG*")}
    assert shapes == {"3_LUNG_part_1_of_2.nii.gz": 1, "3_LUNG_part_2_of_2.nii.gz": 2}
    assert len(list(out.glob("[12]_*.nii.gz"))) == 4


def test_a_file_that_is_no_dicom_after_all(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.dcm").write_text("hello " * 100)
    assert segment(tmp_path / "a.dcm", "--output", tmp_path / "out") == 1
    assert "a.dcm holds no DICOM image" in capsys.readouterr().err


def test_a_folder_without_images(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    assert segment(tmp_path / "in", "--output", tmp_path / "out") == 2
    assert "holds no image. Known: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "ending", [".nii.gz", ".nii", ".nrrd", ".mha", ".tif", ".ome.tif", ".npz", ".ome.zarr"]
)
def test_no_format_tells_of_the_patient(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    out = tmp_path / "out"
    flags = ["--labels"] if ending == ".ome.zarr" else []  # which holds nothing else
    assert main(["convert", str(study), str(out), "--format", ending, *flags]) == 0
    printed = capsys.readouterr()
    assert len([p for p in out.iterdir() if p.name.endswith(ending)]) == 6
    assert_private(out, printed.out + printed.err)


@pytest.mark.parametrize(
    ("patient", "about", "name"),
    [
        ("Doe^Jane", "DOE JANE CHEST", "1_CHEST"),
        ("Li^Wu", "Wu head", "1_head"),
        ("Yamada^Tarou=\u5c71\u7530^\u592a\u90ce", "\u5c71\u7530 CT", "1_CT"),
        ("Doe^Jane", f"CHEST {BIRTHDAY}", "1_CHEST"),
        ("Doe^Jane", f"CHEST {ID}", "1_CHEST"),
        ("Doe^Jane", "CHEST_Doe", "CT_1"),
    ],
)
def test_a_description_that_names_the_patient(
    tmp_path: Path, patient: str, about: str, name: str
) -> None:
    made = series([0, 1], "1.1", 1, SeriesDescription=about, SpecificCharacterSet="ISO_IR 192",
                  PatientName=patient)  # fmt: skip
    (volume,) = io.read_all(save(tmp_path, made))
    assert volume.name.replace(" ", "_") == name
