"""Saving labels: which formats are offered, and that names and colours come back from each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest
from napari.layers import Layer
from tests.napari_edge.affines import affine_of

from napari_monai import LabelVolume, Volume, io, read
from napari_monai._napari.layers import image_layers, labels_layer, labels_of, placement_of
from napari_monai._napari.saving import label_endings, label_filters, suggested_path
from napari_monai.errors import FormatError
from napari_monai.grid import Grid
from napari_monai.volume import LabelClass

PLUGIN = "napari-monai"
SHAPE = (7, 5, 6)
CLASSES = (LabelClass(1, "liver", "#ff0080"), LabelClass(3, "left kidney", "#12ab56"))
# Formats that have a place for the names and colours of classes.
NAMED = (".seg.nrrd", ".nrrd", ".mha", ".mhd", ".ome.zarr", ".npz")


@pytest.fixture(autouse=True)
def _registered(npe2pm: Any) -> Iterator[None]:
    with npe2pm.tmp_plugin(package=PLUGIN):
        yield


def labels(grid: Grid | None = None, **more: Any) -> LabelVolume:
    grid = grid or Grid(SHAPE, affine_of("LPS"))
    lead = (2,) * ("t" in more.get("leading", ""))
    data = np.random.default_rng(0).choice((0, 1, 3), (*lead, *grid.shape)).astype(np.uint8)
    return LabelVolume(data, grid, **{"classes": CLASSES, **more})


OBLIQUE = Grid(SHAPE, affine_of("LPS", 16))
STACK = Grid.from_spacing(SHAPE, (3, 1, 1), unit="µm")
NARROW = Grid.from_spacing((7, 5, 3))
PICTURE = Grid.from_spacing((5, 6))


def layer_on_an_image(found: LabelVolume) -> Any:
    """Return labels as a layer on an image of their grid, as a run leaves them."""
    image = Volume(np.zeros(found.data.shape, np.float32), found.grid, found.leading)
    place = placement_of(Layer.create(*image_layers(image)[0]))
    return Layer.create(*labels_layer(found, on=place))


@pytest.mark.parametrize(
    ("made", "first", "lacking"),
    [
        pytest.param({}, ".nii.gz", {".png"}, id="patient"),
        pytest.param({"grid": OBLIQUE}, ".nii.gz", {".png", ".ome.zarr"}, id="oblique"),
        pytest.param({"grid": STACK}, ".ome.tif", {".png"}, id="stack"),
        pytest.param({"grid": PICTURE}, ".ome.tif", set(), id="picture"),
        pytest.param({"grid": NARROW}, ".ome.tif", {".npy", ".png"}, id="narrow as colours are"),
        pytest.param({"leading": "t"}, ".nii.gz", {".png", ".seg.nrrd"}, id="in time"),
        pytest.param({"source": Path("/x/ct.nrrd")}, ".seg.nrrd", {".png"}, id="from NRRD"),
        pytest.param({"source": Path("/x/ct.mhd")}, ".mhd", {".png"}, id="from MetaImage"),
        pytest.param({"source": Path("/x/ct.dcm")}, ".nii.gz", {".png"}, id="from DICOM"),
    ],
)
def test_what_is_offered_can_be_written(
    made: dict[str, Any], first: str, lacking: set[str], tmp_path: Path
) -> None:
    """Every format on offer takes the labels; those that are not, cannot hold them."""
    found = labels(**made)
    offered = label_endings(found)
    assert offered[0] == first
    assert not lacking & set(offered)
    for ending in set(offered) | lacking:
        path = tmp_path / f"labels{ending}"
        if ending in lacking:
            with pytest.raises(FormatError):
                io.write(path, found)
        else:
            io.write(path, found)
            assert path.exists(), ending
    for ending in offered:
        assert f"(*{ending})" in label_filters(found)


@pytest.mark.parametrize("ending", NAMED)
@pytest.mark.parametrize("kind", ["classes", "instances"])
def test_names_and_colours_come_back(ending: str, kind: Any, tmp_path: Path) -> None:
    found = labels(kind=kind)
    layer = layer_on_an_image(found)
    path = tmp_path / f"organs{ending}"
    io.write(path, labels_of(layer))
    back = read(path, labels=True)
    again = labels_of(Layer.create(*labels_layer(back)))
    assert again.classes == found.classes
    assert (again.kind, again.grid.anatomical) == (kind, True)
    how, back_how = found.grid.reorientation_to(), again.grid.reorientation_to()
    np.testing.assert_array_equal(back_how.apply(again.data), how.apply(found.data))
    ends = [tuple(np.array(SHAPE)[list(how.axes)] - 1), (0, 0, 0)]
    np.testing.assert_allclose(
        again.grid.oriented().index_to_world(ends), found.grid.oriented().index_to_world(ends)
    )


def test_a_name_and_a_colour_that_were_changed_in_the_viewer_are_saved(tmp_path: Path) -> None:
    layer = layer_on_an_image(labels())
    layer.features = {"index": [1, 3], "name": ["liver", "right kidney"]}
    io.write(tmp_path / "organs.seg.nrrd", labels_of(layer))
    names = [c.name for c in read(tmp_path / "organs.seg.nrrd", labels=True).classes]
    assert names == ["liver", "right kidney"]


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", *NAMED, ".ome.tif", ".tif", ".npy"])
def test_the_viewer_saves_labels_in_every_format(ending: str, tmp_path: Path) -> None:
    found = labels()
    path = tmp_path / f"drawn{ending}"
    assert npe2.write(str(path), [layer_on_an_image(found)], plugin_name=PLUGIN) == [str(path)]
    back = read(path, labels=True)
    np.testing.assert_array_equal(
        back.grid.reorientation_to().apply(back.numpy()),
        found.grid.reorientation_to().apply(found.data),
    )


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_the_viewer_saves_images(ending: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(-9, 9, SHAPE).astype(np.int16)
    volume = Volume(data, OBLIQUE)
    (made,) = image_layers(volume)
    path = tmp_path / f"image{ending}"
    npe2.write(str(path), [Layer.create(*made)], plugin_name=PLUGIN)
    back = read(path)
    np.testing.assert_array_equal(back.numpy(), data)
    np.testing.assert_allclose(back.grid.affine, OBLIQUE.affine, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"source": Path("/x/ct.nii.gz")}, "/x/ct_labels.nii.gz"),
        ({"source": Path("/x/ct.nrrd")}, "/x/ct_labels.seg.nrrd"),
        ({"source": Path("/x/a.ome.zarr/0")}, "/x/a_labels.nii.gz"),
        ({"source": Path("/x/IM001.dcm"), "meta": {"dicom": 1}}, "/x/4_Head_bright.nii.gz"),
    ],
)
def test_suggested_path(more: dict[str, Any], path: str) -> None:
    assert suggested_path(labels(name="4 Head (bright)", **more)) == Path(path)
