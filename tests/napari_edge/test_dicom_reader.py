"""DICOM through `viewer.open`: which folders, zips and files are ours, and what is shown."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest
from napari.layers import Layer
from tests.io.dicom_files import axial, mr_slice, save

from napari_monai.errors import ReadError

PLUGIN = "napari-monai"


@pytest.fixture(autouse=True)
def _registered(npe2pm: Any) -> Any:
    with npe2pm.tmp_plugin(package=PLUGIN):
        yield


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a folder of a scout, whose number comes first, and in a folder inside it a CT."""
    scout = [mr_slice((0, 0, z), number=z + 1, SeriesInstanceUID="1.2.9", SeriesNumber=1,
                      SeriesDescription="SCOUT") for z in range(2)]  # fmt: skip
    save(tmp_path / "study" / "ct", axial([0, 2, 4, 6]), "{:03}.dcm")
    return save(tmp_path / "study", scout, "scout{:03}")


def open_layers(path: Path) -> list[Any]:
    return [Layer.create(*d) for d in npe2.read([str(path)], plugin_name=PLUGIN, stack=False)]


def zipped(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder))


@pytest.mark.parametrize("place", [Path, zipped], ids=["folder", "zip"])
def test_all_series_are_layers_and_the_largest_is_shown(
    study: Path, place: Callable[[Path], Path]
) -> None:
    layers = open_layers(place(study))
    assert [(x.name, x.visible) for x in layers] == [("3 THORAX", True), ("1 SCOUT", False)]
    assert layers[0].data.shape == (4, 6, 5)
    assert tuple(layers[0].scale) == (2, 0.8, 0.7)


def test_one_file_is_its_series(study: Path) -> None:
    (layer,) = open_layers(study / "ct" / "007.dcm")
    assert (layer.name, layer.data.shape) == ("3 THORAX", (4, 6, 5))


def test_in_the_viewer_by_its_plugin(make_napari_viewer: Any, study: Path) -> None:
    viewer = make_napari_viewer()
    viewer.open(study, plugin=PLUGIN)
    assert [layer.name for layer in viewer.layers] == ["3 THORAX", "1 SCOUT"]
    assert viewer.dims.point[0] == pytest.approx(-3, abs=1.1)  # in the midst of what is shown


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("texts", {"a.txt": b"no image"}),
        ("cells.zarr", {"zarr.json": b"{}"}),
        ("cells", {".zattrs": b"{}", "0/.zarray": b"{}", "DICM": b"\0" * 128 + b"DICM"}),
        ("empty", {}),
    ],
    ids=["no DICOM", "OME-Zarr", "OME-Zarr without extension", "empty"],
)
@pytest.mark.parametrize("pack", [False, True], ids=["folder", "zip"])
def test_other_folders_and_zips_are_left_to_others(
    tmp_path: Path, name: str, files: dict[str, bytes], pack: bool
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for file, content in files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(content)
    if pack and "DICM" in files:
        pytest.skip("a zip of a folder is no OME-Zarr")
    with pytest.raises(ValueError, match=r"refused|No readers|no compatible|returned no data"):
        npe2.read([str(zipped(folder) if pack else folder)], plugin_name=PLUGIN, stack=False)


def test_folder_of_broken_files_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 200)
    with (
        pytest.warns(UserWarning, match="no DICOM image can be read"),
        pytest.raises(ReadError, match="Open widget"),
    ):
        open_layers(tmp_path)


def test_labels_lie_over_the_image_that_is_shown(tmp_path: Path) -> None:
    from napari_monai._napari.opening import arranged
    from napari_monai.grid import Grid
    from napari_monai.volume import LabelVolume, Volume

    grid = Grid.from_spacing((3, 4, 5))
    labels = LabelVolume(np.ones((3, 4, 5), np.uint8), grid, name="labels")
    small = Volume(np.ones((4, 5), np.float32), Grid.from_spacing((4, 5)), name="small")
    image = Volume(np.ones((3, 4, 5), np.float32), grid, name="image")
    shown = [(look["name"], look.get("visible", True)) for _, look, _ in
             arranged([labels, small, image])]  # fmt: skip
    assert shown == [("image", True), ("labels", True), ("small", False)]
