"""Reading, writing and samples through npe2, as the viewer does it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import npe2
import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels, Layer

from napari_monai import read
from napari_monai.errors import ReadError

PLUGIN = "napari-monai"


@pytest.fixture(autouse=True)
def _registered(request: pytest.FixtureRequest) -> Iterator[None]:
    """Register the plugin where no viewer does it."""
    if "make_napari_viewer" in request.fixturenames:
        yield
        return
    with request.getfixturevalue("npe2pm").tmp_plugin(package=PLUGIN):
        yield


def open_layers(path: Path) -> list[Any]:
    return [Layer.create(*d) for d in npe2.read([str(path)], plugin_name=PLUGIN, stack=False)]


def save(path: Path, *layers: Any) -> list[str]:
    return list(npe2.write(str(path), list(layers), plugin_name=PLUGIN))


def nifti(path: Path, data: np.ndarray, codes: str = "LIP") -> Path:
    ornt = nib.orientations.axcodes2ornt(codes)
    affine = nib.orientations.inv_ornt_aff(ornt, data.shape) @ np.diag((2.0, 1.5, 0.5, 1.0))
    affine[:3, 3] += (4, 5, 6)
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def test_nifti_opens_on_its_physical_space(tmp_path: Path) -> None:
    data = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    (layer,) = open_layers(nifti(tmp_path / "ct.nii.gz", data))
    assert isinstance(layer, Image)
    assert layer.name == "ct"
    assert layer.data.shape == (4, 5, 3)
    assert tuple(layer.scale) == (1.5, 0.5, 2.0)
    assert str(layer.units[0]) == "millimeter"


@pytest.mark.parametrize("name", ["ct_labels.nii.gz", "ct-seg.nii", "Truth 2.nii.gz", "mask.nii"])
def test_file_that_says_labels_opens_as_labels(tmp_path: Path, name: str) -> None:
    (layer,) = open_layers(nifti(tmp_path / name, np.eye(4, dtype=np.uint8)[None].repeat(3, 0)))
    assert isinstance(layer, Labels)


@pytest.mark.parametrize("name", ["masking.nii", "segments.nii", "ct.nii"])
def test_other_files_open_as_images(tmp_path: Path, name: str) -> None:
    (layer,) = open_layers(nifti(tmp_path / name, np.eye(4, dtype=np.uint8)[None].repeat(3, 0)))
    assert isinstance(layer, Image)


def test_probabilities_called_a_mask_open_as_image(tmp_path: Path) -> None:
    data = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    (layer,) = open_layers(nifti(tmp_path / "mask.nii.gz", data))
    assert isinstance(layer, Image)


def test_ome_tiff_keeps_pixel_size_and_channels(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.tif"
    meta = {
        "axes": "CZYX",
        "PhysicalSizeX": 0.2,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.2,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": 1.0,
        "PhysicalSizeZUnit": "µm",
        "Channel": {"Name": ["DAPI", "GFP"]},
    }
    tifffile.imwrite(path, np.zeros((2, 4, 8, 9), np.uint8), metadata=meta)
    layers = open_layers(path)
    assert [layer.name for layer in layers] == ["cells: DAPI", "cells: GFP"]
    for layer in layers:
        assert tuple(layer.scale) == (1.0, 0.2, 0.2)
        assert str(layer.units[0]) == "micrometer"


@pytest.mark.parametrize("name", ["picture.png", "table.csv", "archive.npz", "notes.txt"])
def test_what_napari_reads_well_is_left_to_it(name: str) -> None:
    readers = {r.plugin_name for r in npe2.plugin_manager.iter_compatible_readers([name])}
    assert PLUGIN not in readers


def test_stack_of_files_is_not_ours(tmp_path: Path) -> None:
    paths = [str(nifti(tmp_path / f"{n}.nii", np.zeros((3, 4, 5), np.uint8))) for n in "ab"]
    with pytest.raises(ValueError, match="refused"):
        npe2.read(paths, plugin_name=PLUGIN, stack=True)


def test_truncated_file_is_said_in_one_line(tmp_path: Path) -> None:
    path = nifti(tmp_path / "ct.nii", np.zeros((30, 40, 50), np.int16))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ReadError) as caught:
        open_layers(path)
    assert "\n" not in str(caught.value)
    assert "ct.nii" in str(caught.value)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_image_is_written_as_it_was_read(tmp_path: Path, ending: str) -> None:
    data = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    source = nifti(tmp_path / "ct.nii.gz", data, "PIR")
    (layer,) = open_layers(source)
    assert save(tmp_path / f"copy{ending}", layer) == [str(tmp_path / f"copy{ending}")]
    copy, first = nib.load(tmp_path / f"copy{ending}"), nib.load(source)
    np.testing.assert_array_equal(np.asarray(copy.dataobj), data)
    np.testing.assert_array_equal(copy.affine, first.affine)
    assert copy.header["sform_code"] == first.header["sform_code"]


def test_labels_drawn_in_the_viewer_take_the_grid_of_the_image(
    tmp_path: Path, make_napari_viewer: Any
) -> None:
    data = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    viewer = make_napari_viewer()
    viewer.open(nifti(tmp_path / "ct.nii.gz", data, "PIR"), plugin=PLUGIN)
    viewer.window._qt_viewer.layerButtons.newLabelsButton.click()
    labels = viewer.layers[-1]
    at = np.argwhere(viewer.layers[0].data == data[2, 1, 3])[0]
    labels.brush_size = 1
    labels.paint(at, 9)
    viewer.layers.selection.active = labels
    viewer.layers.save(str(tmp_path / "drawn.nii.gz"), selected=True, plugin=PLUGIN)
    written = nib.load(tmp_path / "drawn.nii.gz")
    expected = np.zeros(data.shape)
    expected[2, 1, 3] = 9
    np.testing.assert_array_equal(np.asarray(written.dataobj), expected)
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "ct.nii.gz").affine)


def test_slider_reaches_beyond_the_window_of_a_ct(
    sample_data: Path, make_napari_viewer: Any
) -> None:
    viewer = make_napari_viewer()
    for _ in range(2):
        (layer,) = viewer.open(sample_data / "abdomen_ct.nii.gz", plugin=PLUGIN)
        assert tuple(layer.contrast_limits) == (-160, 240)
        low, high = layer.contrast_limits_range
        assert low <= -1000
        assert high >= 400


def test_foreign_labels_to_ome_tiff(tmp_path: Path) -> None:
    data = np.arange(20, dtype=np.uint16).reshape(4, 5)
    layer = Labels(data, scale=(0.5, 0.25), units="um", name="cells")
    save(tmp_path / "cells.ome.tif", layer)
    back = read(tmp_path / "cells.ome.tif", labels=True)
    np.testing.assert_array_equal(back.numpy(), data)
    assert (back.grid.spacing, back.grid.unit) == ((0.5, 0.25), "µm")


@pytest.mark.parametrize(
    ("command", "kind", "ending"),
    [
        ("write_nifti", Image, ".nii.gz"),
        ("write_nifti_labels", Labels, ".nii.gz"),
        ("write_ome_tiff", Image, ".ome.tif"),
        ("write_ome_tiff_labels", Labels, ".ome.tif"),
    ],
)
def test_a_name_without_extension_gets_the_one_of_the_filter(
    tmp_path: Path, command: str, kind: Any, ending: str
) -> None:
    """A save dialog returns what was typed, and the chosen writer is called with it."""
    data, meta, _ = kind(np.ones((4, 5, 6), np.uint8)).as_layer_data_tuple()
    written = npe2.plugin_manager.get_command(f"{PLUGIN}.{command}").exec(
        args=(str(tmp_path / "typed"), data, meta)
    )
    assert written == [str(tmp_path / f"typed{ending}")]
    assert read(written[0]).grid.oriented().shape == (4, 5, 6)


@pytest.mark.parametrize(
    ("key", "ndim", "kind"),
    [("nuclei_2d", 2, "instances"), ("nuclei_3d", 3, "instances"), ("abdomen_ct", 3, "classes")],
)
def test_samples(make_napari_viewer: Any, qtbot: Any, key: str, ndim: int, kind: str) -> None:
    viewer = make_napari_viewer()
    image, truth = viewer.open_sample(PLUGIN, key)
    assert (image.ndim, truth.ndim) == (ndim, ndim)
    assert (image.visible, truth.visible) == (True, False)
    assert truth.data.max() > 5
    assert truth.data.shape == image.data.shape
    assert image.extent.world == pytest.approx(truth.extent.world)
    qtbot.waitUntil(lambda: viewer.layers.selection.active is image)
    assert set(viewer.layers.selection) == {image}
    names = set(truth.features.get("name", ()))
    assert ("liver" in names) == (kind == "classes")
    # Whatever is selected later stays so.
    viewer.layers.selection.active = truth
    qtbot.wait(20)
    assert viewer.layers.selection.active is truth


def test_sample_opened_twice_selects_the_new_image(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer()
    viewer.open_sample(PLUGIN, "nuclei_2d")
    image, _ = viewer.open_sample(PLUGIN, "nuclei_2d")
    qtbot.waitUntil(lambda: viewer.layers.selection.active is image)
