"""What is listed against what is then read, for every format; without reading voxels."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.io.dicom_files import ID, NAME, axial, mr_slice, save, slice_of

import napari_monai as nm
from napari_monai import io
from napari_monai.errors import OutOfMemoryError, ReadError, VolumeWarning
from napari_monai.events import FileDone, Found, Said, Started, Stopped
from napari_monai.grid import Grid
from napari_monai.io.contents import Entry, contents, contents_steps, looked_for
from napari_monai.volume import LabelClass, LabelVolume, Volume

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
GRID = Grid.from_spacing((3, 4, 5), (2.0, 0.5, 0.25), unit="µm")
LABELS = LabelVolume(
    (VOXELS % 3).astype(np.uint8), GRID, classes=[LabelClass(1, "a"), LabelClass(2, "b")]
)


def nifti(path: Path, array: np.ndarray = VOXELS, slope: float | None = None) -> None:
    image = nib.Nifti1Image(array, np.diag((2.0, 1.5, 0.5, 1.0)))
    if slope is not None:
        image.header.set_slope_inter(slope, 1)
    nib.save(image, path)


def picture(path: Path, mode: str, size: tuple[int, int] = (7, 5)) -> None:
    image = Image.new(mode, size)
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(path)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (7, 5)).save(path, exif=exif)


def two_series(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        tif.write(np.ones((4, 5), np.uint8))
        tif.write(np.ones((6, 7), np.uint16))


MAKE: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "nifti": ("a.nii", nifti),
    "compressed nifti": ("a.nii.gz", nifti),
    "scaled nifti": ("a.nii", lambda p: nifti(p, slope=0.5)),
    "colour nifti": (
        "a.nii",
        lambda p: nifti(p, np.zeros((3, 4, 5), [(c, "u1") for c in "RGB"])),
    ),
    "film nifti": ("a.nii.gz", lambda p: nifti(p, np.zeros((3, 4, 5, 6), np.float32))),
    "nrrd": ("a.nrrd", lambda p: io.write(p, Volume(VOXELS, GRID))),
    "segmentation": ("a.seg.nrrd", lambda p: io.write(p, LABELS)),
    "metaimage": ("a.mha", lambda p: io.write(p, Volume(VOXELS, GRID))),
    "metaimage labels": ("a.mhd", lambda p: io.write(p, LABELS)),
    "npy": ("a.npy", lambda p: np.save(p, VOXELS)),
    "npz": ("a.npz", lambda p: io.write(p, LABELS)),
    "foreign npz": ("a.npz", lambda p: np.savez(p, x=VOXELS, y=VOXELS[0], z=np.zeros(3))),
    "tiff": ("a.tif", lambda p: tifffile.imwrite(p, VOXELS, photometric="minisblack")),
    "ome-tiff": (
        "a.ome.tif",
        lambda p: tifffile.imwrite(p, np.zeros((2, 4, 8, 9), "u1"), metadata={"axes": "CZYX"}),
    ),
    "tiff of two series": ("a.tif", two_series),
    "palette tiff": ("a.tif", lambda p: picture(p, "P")),
    "white is zero": (
        "a.tif",
        lambda p: tifffile.imwrite(p, VOXELS[0].astype("u2"), photometric="miniswhite"),
    ),
    **{f"png {mode}": ("a.png", lambda p, m=mode: picture(p, m))
       for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
    "turned jpeg": ("a.jpg", turned),
    "labels in zarr": ("a.ome.zarr", lambda p: io.write(p, LABELS)),
}  # fmt: skip


@pytest.mark.parametrize(("name", "make"), MAKE.values(), ids=MAKE)
def test_what_is_listed_is_what_is_read(
    tmp_path: Path, name: str, make: Callable[[Path], Any]
) -> None:
    make(tmp_path / name)
    entries = list(contents(tmp_path / name))
    volumes = io.read_all(tmp_path / name)
    assert [e.name for e in entries] == [v.name for v in volumes]
    for entry, volume in zip(entries, volumes, strict=True):
        assert entry.grid.shape == volume.grid.shape
        assert entry.grid.is_close(volume.grid)
        assert entry.dtype == volume.dtype
        assert (entry.channels, entry.times) == (volume.channels, volume.times)
        assert entry.kind == ("labels" if isinstance(volume, LabelVolume) else "image")
        (again,) = entry.read()
        np.testing.assert_array_equal(again.numpy(), volume.numpy())
        assert again.grid == volume.grid
        assert again.name == volume.name
        assert getattr(again, "classes", ()) == getattr(volume, "classes", ())


def test_listing_allocates_no_voxels(tmp_path: Path) -> None:
    """A gzip of one value stands for far more voxels than its file has bytes."""
    import tracemalloc

    nib.save(nib.Nifti1Image(np.zeros((256, 256, 256), np.int16), np.eye(4)), tmp_path / "a.nii.gz")
    next(contents(tmp_path / "a.nii.gz"))
    tracemalloc.start()
    (entry,) = contents(tmp_path / "a.nii.gz")
    assert tracemalloc.get_traced_memory()[1] < entry.nbytes / 10
    tracemalloc.stop()


def test_image_and_labels_of_a_zarr_are_two_entries(tmp_path: Path) -> None:
    import zarr

    path = tmp_path / "cells.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", data=VOXELS)
    space = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    scale = [{"type": "scale", "scale": [2.0, 0.5, 0.25]}]
    group.attrs["multiscales"] = [
        {"version": "0.4", "axes": space,
         "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    ]  # fmt: skip
    io.write(path / "labels" / "organs", LABELS)
    image, organs = contents(path)
    assert (image.kind, organs.kind) == ("image", "labels")
    assert organs.name == "cells organs"
    assert image.voxel == organs.voxel == "0.25 × 0.5 × 2 µm"
    np.testing.assert_array_equal(image.read()[0].numpy(), VOXELS)
    (labels,) = organs.read()
    assert isinstance(labels, LabelVolume)
    np.testing.assert_array_equal(labels.numpy(), LABELS.numpy())
    assert [c.name for c in labels.classes] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "dtype", "kind", "able"),
    [
        ("ct_labels.npy", np.uint8, "labels", True),
        ("ct.npy", np.uint8, "image", True),
        ("mask.npy", np.float32, "image", False),
    ],
)
def test_names_that_say_labels(
    tmp_path: Path, name: str, dtype: Any, kind: str, able: bool
) -> None:
    np.save(tmp_path / name, np.ones((4, 5), dtype))
    (entry,) = contents(tmp_path / name)
    assert (entry.kind, entry.may_be_labels) == (kind, able)
    assert isinstance(entry.read()[0], LabelVolume) == (kind == "labels")
    assert isinstance(entry.read(labels=True)[0], LabelVolume)


# -- DICOM ----------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a folder of two series: a CT with a gap, in a folder inside it, and an MR."""
    save(tmp_path / "study" / "deep" / "er", axial([0, 2, 4, 10]), "{:03}")
    mr = [mr_slice((0, 0, z), number=z + 1, SeriesInstanceUID="1.2.9", SeriesNumber=1,
                   SeriesDescription="T1 Doe") for z in range(3)]  # fmt: skip
    return save(tmp_path / "study", mr, "mr{:03}.dcm")


def test_series_are_listed_with_all_that_is_odd(study: Path) -> None:
    mr, first, second = contents(study)
    assert (mr.name, mr.modality, mr.size, mr.files) == ("1 T1", "MR", "5 × 6 × 3", 3)
    assert mr.voxel == "0.7 × 0.8 × 1 mm"
    assert mr.notes == ()
    assert (first.name, second.name) == ("3 THORAX part 1 of 2", "3 THORAX part 2 of 2")
    assert (first.size, second.size) == ("5 × 6 × 3", "5 × 6 × 1")
    assert "not evenly spaced" in first.notes[0]


def test_entries_are_what_the_reader_gives(study: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VolumeWarning)
        volumes = nm.read_all(study)
    entries = list(nm.contents(study))
    assert [e.name for e in entries] == [v.name for v in volumes]
    for entry, volume in zip(entries, volumes, strict=True):
        (again,) = entry.read()
        assert again.grid == entry.grid == volume.grid
        np.testing.assert_array_equal(again.numpy(), volume.numpy())


def test_patients_are_named_only_when_asked(study: Path) -> None:
    entry = next(contents(study))
    family, given = NAME.split("^")
    for word in (family, given, ID):
        assert word not in repr(entry)
        assert word not in entry.name
    assert entry.patient() == f"{family} {given}, {ID}"


@pytest.mark.parametrize("name", ["deep/er/000", "mr000.dcm"])
def test_a_file_is_the_series_that_it_belongs_to(study: Path, name: str) -> None:
    files = {e.files for e in contents(study / name)}
    assert files == ({3, 1} if "deep" in name else {3})


def test_a_zip_is_listed_and_read_as_its_folder(study: Path, tmp_path: Path) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "study"), "zip", study))
    folder = {e.name: e.read()[0] for e in contents(study) if e.format == "DICOM"}
    entries = list(contents(path))
    assert folder.keys() == {e.name for e in entries}
    for entry in entries:
        (volume,) = entry.read()
        np.testing.assert_array_equal(volume.numpy(), folder[entry.name].numpy())
        assert entry.patient().endswith(ID)


def test_a_file_named_dicom_is_read_without_a_sign_of_it(tmp_path: Path) -> None:
    """Without preamble and meta group, and with a private element first."""
    made = axial([0])[0]
    made.add_new((0x0001, 0x0010), "LO", "odd")
    del made.file_meta
    made.save_as(tmp_path / "a.dcm", implicit_vr=False, little_endian=True)
    assert not io.is_dicom(shutil.copy(tmp_path / "a.dcm", tmp_path / "a"))
    (entry,) = contents(tmp_path / "a.dcm")
    np.testing.assert_array_equal(entry.read()[0].numpy(), io.read(tmp_path / "a.dcm").numpy())


def test_a_series_read_as_labels(study: Path) -> None:
    (labels,) = next(contents(study)).read(labels=True)
    assert isinstance(labels, LabelVolume)


def test_a_file_that_is_no_dicom_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("no image")
    (event,) = contents_steps(tmp_path / "a.dcm")
    assert isinstance(event, Said)
    assert "holds no DICOM image" in event.message


def test_a_zip_that_was_removed_is_said(study: Path, tmp_path: Path) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "study"), "zip", study))
    entry = next(contents(path))
    path.unlink()
    with pytest.raises(ReadError, match="changed or removed"):
        entry.read()
    assert entry.patient() == ""


def test_files_that_are_gone_leave_what_is_left(study: Path) -> None:
    entry = next(contents(study))
    (study / "mr014.dcm").unlink()  # the last slice
    with pytest.warns(VolumeWarning, match="mr014.dcm"):
        (volume,) = entry.read()
    assert volume.grid.shape[0] == 2
    for path in study.glob("mr*"):
        path.unlink()
    with pytest.raises(ReadError, match=r"cannot be decoded \(mr"):
        entry.read()


def test_a_tilt_is_a_note(tmp_path: Path) -> None:
    tilted = [slice_of((0, z * np.tan(np.radians(20)), z), number=z + 1) for z in range(3)]
    (entry,) = contents(save(tmp_path, tilted))
    assert "sheared by 20°" in entry.notes[0]


def test_reading_says_how_far_it_is_and_stops(study: Path) -> None:
    entry = next(contents(study))
    said: list[tuple[int, int]] = []
    entry.read(told=lambda *so_far: said.append(so_far) or True)  # type: ignore[func-returns-value]
    assert said == [(1, 3), (2, 3), (3, 3)]
    said.clear()
    with pytest.raises(Stopped):
        entry.read(told=lambda *so_far: said.append(so_far) or len(said) < 2)  # type: ignore[func-returns-value]
    assert said == [(1, 3), (2, 3)]


def test_too_large_for_the_memory_is_our_error(study: Path) -> None:
    def none_left(_done: int, _total: int) -> bool:
        raise MemoryError

    with pytest.raises(OutOfMemoryError, match="Not enough memory to read 1 T1"):
        next(contents(study)).read(told=none_left)


# -- folders --------------------------------------------------------------------------------------


def test_a_folder_yields_as_it_looks(study: Path) -> None:
    np.save(study / "a.npy", VOXELS)
    events = list(contents_steps(study))
    assert events[0] == Started(1 + 3 + 1 + 4, "files")  # a.npy counts among all files, too
    kinds = [type(e) for e in events]
    assert kinds[1:3] == [Found, FileDone]
    assert events[-4] == FileDone(9, 9)
    assert kinds[-3:] == [Found] * 3


def test_listing_stops_between_two_files(study: Path) -> None:
    steps = contents_steps(study)
    while not isinstance(next(steps), FileDone):
        pass
    steps.close()
    assert list(steps) == []


def test_what_is_broken_is_said_and_the_rest_is_listed(study: Path) -> None:
    (study / "a.nii").write_bytes(b"no header")
    (study / "mr007.dcm").write_bytes((study / "mr007.dcm").read_bytes()[:300])
    (study / "notes.txt").write_text("no image")
    said = [e.message for e in contents_steps(study) if isinstance(e, Said)]
    assert len(said) == 2
    assert "a.nii is not a NIfTI file" in said[0]
    for words in ("mr007.dcm (", "notes.txt (no DICOM)"):
        assert words in said[1]
    assert NAME.split("^")[0] not in said[1]
    with pytest.warns(VolumeWarning):
        assert len(list(contents(study))) >= 3


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("folder", Path.mkdir),
        ("a.zip", lambda p: p.write_bytes(b"PK")),
        ("a.nii", Path.touch),
        ("a", Path.touch),
    ],
    ids=["empty folder", "broken zip", "empty file", "empty file without extension"],
)
def test_nothing_found(tmp_path: Path, name: str, make: Callable[[Path], Any]) -> None:
    make(tmp_path / name)
    events = list(contents_steps(tmp_path / name))
    assert not any(isinstance(e, Found) for e in events)
    assert any(isinstance(e, Said) for e in events) == (name != "folder")
    assert name in looked_for(tmp_path / name)


def test_a_text_folder_says_nothing_of_its_texts(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    assert [e for e in contents_steps(tmp_path) if isinstance(e, Said)] == []
    assert "DICOM" in looked_for(tmp_path)
    assert ".nii.gz" in looked_for(tmp_path)


def test_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="There is no file"):
        list(contents(tmp_path / "missing"))


def test_a_zip_in_a_folder_is_listed(study: Path, tmp_path: Path) -> None:
    inner = tmp_path / "outer"
    inner.mkdir()
    shutil.make_archive(str(inner / "study"), "zip", study)
    with zipfile.ZipFile(inner / "texts.zip", "w") as archive:
        archive.writestr("a.txt", "no image")
    assert len(list(contents(inner))) == 3


@pytest.mark.parametrize("name", ["dicom", "nifti", "ct"])
def test_real_files(shared_data: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VolumeWarning)
        entries = list(contents(shared_data / name))
        volumes = nm.read_all(shared_data / name)
    assert [(e.name, e.grid, e.times, e.channels) for e in entries] == [
        (v.name, v.grid, v.times, v.channels) for v in volumes
    ]
    assert all(isinstance(e, Entry) for e in entries)
