"""Volumes on the canvas and back: nothing is lost over all orientations, oblique ones too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Labels, Layer
from tests.napari_edge.affines import LEANING, ORIENTATIONS, SHAPE, affine_of, rotation

from napari_monai import LabelVolume, Volume, read, write
from napari_monai._napari.layers import (
    image_layers,
    labels_layer,
    labels_of,
    placement_of,
    smallest_type,
    volume_of,
)
from napari_monai._napari.placement import Placement
from napari_monai.errors import VolumeError
from napari_monai.grid import Grid
from napari_monai.io.lazy import LazyArray
from napari_monai.volume import LabelClass


def layer_of(data: tuple[Any, dict[str, Any], str]) -> Any:
    return Layer.create(*data)


def add(volume: Volume) -> Any:
    (data,) = image_layers(volume)
    return layer_of(data)


@pytest.mark.parametrize("lean", LEANING)
@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_paint_and_write_back(codes: str, lean: str, tmp_path: Path) -> None:
    """What is painted at a voxel's place on the canvas is in that voxel of the written file."""
    rng = np.random.default_rng(7)
    affine = LEANING[lean](codes)
    source = nib.Nifti1Image(rng.integers(0, 99, SHAPE).astype(np.int16), affine)
    nib.save(source, tmp_path / "source.nii.gz")
    volume = read(tmp_path / "source.nii.gz")
    image = add(volume)

    # Oracle of the display: nibabel's own reorientation.
    ornt = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt("IPL")
    )
    expected = nib.orientations.apply_orientation(np.asarray(source.dataobj), ornt)
    np.testing.assert_array_equal(image.data, expected)
    assert image.axis_labels == ("z", "y", "x")
    assert [str(u) for u in image.units] == ["millimeter"] * 3
    assert sorted(image.scale) == pytest.approx(sorted(nib.affines.voxel_sizes(affine)))
    np.testing.assert_array_equal(image.affine.affine_matrix, np.eye(4))

    voxel = (1, 4, 2)
    if lean == "straight":  # the canvas then is the world, each axis against its letter
        x, y, z = nib.affines.apply_affine(affine, voxel)
        place = image.world_to_data((-z, -y, -x))
        np.testing.assert_allclose(place, np.round(place), atol=1e-4)
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[voxel] = 1
    at = np.argwhere(nib.orientations.apply_orientation(drawn, ornt))[0]
    if lean == "straight":
        assert np.round(place).astype(int).tolist() == at.tolist()

    empty = LabelVolume(np.zeros(SHAPE, np.uint8), volume.grid, meta=volume.meta)
    labels = layer_of(labels_layer(empty, on=placement_of(image)))
    labels.brush_size = 1
    labels.n_edit_dimensions = 3
    labels.paint(tuple(at), 3)
    write(tmp_path / "labels.nii.gz", labels_of(labels))
    written = nib.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), 3 * drawn)
    first = nib.load(tmp_path / "source.nii.gz")
    assert written.affine.tobytes() == first.affine.tobytes()
    for field in ("pixdim", "qform_code", "sform_code", "srow_x", "quatern_b", "qoffset_x"):
        assert written.header[field].tobytes() == first.header[field].tobytes()


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAL"])
def test_oblique_volume_keeps_its_centre(codes: str) -> None:
    grid = Grid(SHAPE, affine_of(codes, 25))
    image = add(Volume(np.zeros(SHAPE, np.float32), grid))
    middle = image.data_to_world((np.asarray(image.data.shape) - 1) / 2)
    np.testing.assert_allclose(-np.asarray(middle)[::-1], grid.centre, atol=1e-4)


def test_untouched_image_gives_its_volume_back() -> None:
    volume = Volume(np.zeros(SHAPE, np.int16), Grid(SHAPE, affine_of("PIR")))
    assert volume_of(add(volume)) is volume


def test_changed_voxels_go_to_the_same_grid() -> None:
    volume = Volume(np.arange(210.0).reshape(SHAPE), Grid(SHAPE, affine_of("PIR")))
    image = add(volume)
    image.data = image.data * 2
    changed = volume_of(image)
    assert changed.grid == volume.grid
    np.testing.assert_array_equal(changed.numpy(), volume.numpy() * 2)


def test_moved_layer_says_its_own_place() -> None:
    image = add(Volume(np.zeros(SHAPE, np.uint8), Grid(SHAPE, affine_of("IPL"))))
    image.scale = (2, 2, 2)
    assert volume_of(image).grid.spacing == (2, 2, 2)


@pytest.mark.parametrize(
    ("leading", "rgb"),
    [("", False), ("t", False), ("c", False), ("tc", False), ("c", True), ("tc", True)],
)
def test_leading_axes(leading: str, rgb: bool) -> None:
    shape = tuple({"t": 4, "c": 3}[letter] for letter in leading) + SHAPE
    data = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    volume = Volume(
        data,
        Grid(SHAPE, affine_of("LSA")),
        leading=leading,
        rgb=rgb,
        time_step=0.5 if "t" in leading else None,
    )
    layers = [layer_of(d) for d in image_layers(volume)]
    assert len(layers) == (3 if "c" in leading and not rgb else 1)
    how = Placement.of(volume).how
    for channel, layer in enumerate(layers):
        assert layer.ndim == 3 + ("t" in leading)
        back = volume_of(layer)
        one = layers if "c" not in leading or rgb else None
        expected = data if one else np.moveaxis(data, leading.index("c"), 0)[channel]
        np.testing.assert_array_equal(np.asarray(back.data), expected)
        shown = how.apply(expected)
        np.testing.assert_array_equal(
            layer.data, np.moveaxis(shown, leading.index("c"), -1) if rgb else shown
        )
        assert back.grid == volume.grid
        assert volume_of(layer, whole=True) is volume
        if "t" in leading:
            assert layer.axis_labels == ("t", "z", "y", "x")
            assert layer.scale[0] == 0.5


@pytest.mark.parametrize("slices", [3, 4])
def test_few_sagittal_slices_are_no_colours(slices: int) -> None:
    grid = Grid((slices, 40, 50), affine_of("LIP"))
    image = add(Volume(np.zeros((slices, 40, 50), np.uint8), grid))
    assert not image.rgb
    assert image.data.shape == (40, 50, slices)


def test_channels_of_a_stack_are_coloured_those_of_a_patient_are_not() -> None:
    data = np.zeros((2, *SHAPE), np.uint8)
    stack = Volume(data, Grid.from_spacing(SHAPE), leading="c", channel_names=("DAPI", "GFP"))
    one, two = (layer_of(d) for d in image_layers(stack))
    assert (one.name, two.name) == ("image: DAPI", "image: GFP")
    assert (one.colormap.name, two.colormap.name) == ("magenta", "green")
    assert one.blending == "additive"
    scan = Volume(data, Grid(SHAPE, np.eye(4)), leading="c")
    one, two = (layer_of(d) for d in image_layers(scan))
    assert (one.colormap.name, one.visible, two.visible) == ("gray", True, False)


def test_lazy_array_is_not_read() -> None:
    class Counted:
        """An array that remembers how much of it was read."""

        shape, dtype = (40, 50, 60), np.dtype(np.uint8)
        read = 0

        def __getitem__(self, key: Any) -> np.ndarray:
            part = np.broadcast_to(np.uint8(7), self.shape)[key]
            self.read += part.size
            return part

    source = Counted()
    lazy = LazyArray(source)  # as readers give it
    turned = Volume(lazy, Grid((40, 50, 60), affine_of("RAS")))
    straight = Volume(lazy, Grid.from_spacing((40, 50, 60)))
    film = Volume(lazy, Grid.from_spacing((50, 60)), leading="t")
    for volume in (turned, straight, film):
        source.read = 0
        layer = layer_of(image_layers(volume)[0])
        assert volume_of(layer, whole=True) is volume
        assert source.read <= 5 * 40 * 60


def test_one_axis_cannot_be_shown() -> None:
    line = Volume(np.zeros(3), Grid.from_spacing((3,)), name="line")
    with pytest.raises(VolumeError, match="line has one axis only"):
        image_layers(line)


# -- layers that others made ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "made", "leading", "spacing", "unit"),
    [
        pytest.param((4, 5), {}, "", (1, 1), "pixel", id="picture"),
        pytest.param((4, 5), {"scale": (2, 3), "units": "um"}, "", (2, 3), "µm", id="micrometres"),
        pytest.param(
            (2, 4, 5),
            {"units": ("um", "nm", "nm"), "scale": (1, 250, 250)},
            "",
            (1000, 250, 250),
            "nm",
            id="mixed units",
        ),
        pytest.param(
            (2, 4, 5),
            {"axis_labels": ("t", "y", "x"), "scale": (9, 2, 3)},
            "t",
            (2, 3),
            "pixel",
            id="film",
        ),
        pytest.param(
            (2, 3, 4, 5), {"scale": (9, 4, 2, 3)}, "t", (4, 2, 3), "pixel", id="4-D is time"
        ),
    ],
)
def test_foreign_layer(
    shape: tuple[int, ...],
    made: dict[str, Any],
    leading: str,
    spacing: tuple[float, ...],
    unit: str,
) -> None:
    volume = volume_of(Image(np.zeros(shape), **made))
    assert (volume.leading, volume.grid.unit, volume.grid.anatomical) == (leading, unit, False)
    assert volume.grid.spacing == pytest.approx(spacing)


def test_foreign_colour_picture() -> None:
    data = np.random.default_rng(0).integers(0, 255, (4, 5, 3)).astype(np.uint8)
    volume = volume_of(Image(data, rgb=True))
    assert (volume.leading, volume.rgb) == ("c", True)
    np.testing.assert_array_equal(volume.numpy(), data.transpose(2, 0, 1))


def test_foreign_pyramid_at_full_resolution() -> None:
    data = np.arange(64.0 * 64).reshape(64, 64)
    volume = volume_of(Image([data, data[::2, ::2]], multiscale=True))
    np.testing.assert_array_equal(np.asarray(volume.data), data)


def test_too_many_axes() -> None:
    with pytest.raises(VolumeError, match="5 axes"):
        volume_of(Image(np.zeros((2, 2, 2, 2, 2))))


numbers = st.floats(-50, 50, allow_nan=False)


# napari on a slice through a volume that is turned out of the slice.
@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 3),
    st.floats(-180, 180),
    st.lists(st.floats(0.1, 5), min_size=3, max_size=3),
    st.lists(numbers, min_size=3, max_size=3),
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
)
def test_foreign_voxels_lie_where_the_canvas_shows_them(
    n: int, degrees: float, scale: list[float], translate: list[float], index: list[int]
) -> None:
    turn = rotation(degrees)[:n, :n] if n == 3 else rotation_2d(degrees)
    layer = Image(
        np.zeros((4,) * n), scale=scale[:n], translate=translate[:n], rotate=turn, units="mm"
    )
    at = index[:n]
    shown = np.asarray(layer.data_to_world(at))
    world = volume_of(layer).grid.index_to_world(at)
    # The canvas runs (z, y, x) = inferior, posterior, left; a picture lies at z = 0.
    expected = -np.concatenate([np.zeros(3 - n), shown])[::-1]
    np.testing.assert_allclose(world, expected, atol=1e-9)


def rotation_2d(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array(((c, -s), (s, c)))


# -- labels -----------------------------------------------------------------------------------


def test_labels_drawn_by_hand_on_our_image_take_its_grid() -> None:
    grid = Grid(SHAPE, affine_of("PIR", 8))
    image = add(Volume(np.zeros(SHAPE, np.int16), grid, source=Path("ct.nii.gz")))
    drawn = Labels(
        np.zeros(image.data.shape, np.uint8), scale=image.scale, translate=image.translate
    )
    drawn.data[1, 2, 3] = 5
    labels = labels_of(drawn, [image])
    assert labels.grid == grid
    assert labels.source == Path("ct.nii.gz")
    how = Placement.of(volume_of(image)).how
    np.testing.assert_array_equal(how.apply(labels.data), drawn.data)
    elsewhere = labels_of(Labels(drawn.data, scale=(2, 2, 2)), [image])
    assert not elsewhere.grid.anatomical


def test_class_names_and_colours_come_back() -> None:
    classes = (LabelClass(1, "liver", "#aa3311"), LabelClass(7, "spleen", "#1133aa"))
    labels = LabelVolume(np.eye(4, dtype=np.uint8), Grid.from_spacing((4, 4)), classes=classes)
    layer = layer_of(labels_layer(labels))
    assert labels_of(layer).classes == classes
    assert labels_of(layer).kind == "classes"
    assert layer.get_status((0, 0))["value"] == "1; name: liver"
    np.testing.assert_allclose(layer.get_color(5), np.array((128, 128, 128, 255)) / 255)
    assert layer.get_color(0) is None or layer.get_color(0)[3] == 0


def test_classes_without_a_colour_get_one_each() -> None:
    classes = tuple(LabelClass(n, str(n)) for n in range(1, 21))
    labels = LabelVolume(np.zeros((2, 2), np.uint8), Grid.from_spacing((2, 2)), classes=classes)
    colours = [c.colour for c in labels_of(layer_of(labels_layer(labels))).classes]
    assert len(set(colours)) == 20


def test_objects_keep_napari_colours() -> None:
    labels = LabelVolume(
        np.eye(3, dtype=np.uint16),
        Grid.from_spacing((3, 3)),
        classes=(LabelClass(1, "nucleus"),),
        kind="instances",
    )
    layer = layer_of(labels_layer(labels))
    assert type(layer.colormap).__name__ == "CyclicLabelColormap"
    back = labels_of(layer)
    assert (back.kind, back.classes) == ("instances", labels.classes)


@pytest.mark.parametrize("dtype", ["bool", ">i4", "int64", "uint16"])
def test_labels_of_any_type_can_be_painted(dtype: str) -> None:
    labels = LabelVolume(np.zeros((5, 5), dtype), Grid.from_spacing((5, 5)))
    layer = layer_of(labels_layer(labels))
    layer.paint((2, 2), 1)
    assert layer.data[2, 2] == 1
    assert labels.data[2, 2] == 0 or dtype == "int64" or dtype == "uint16"


@pytest.mark.parametrize(
    ("most", "dtype"), [(0, "uint8"), (150, "uint8"), (250, "uint16"), (60_000, "int32")]
)
def test_smallest_type(most: int, dtype: str) -> None:
    labels = np.array((0, most), np.int64)
    small = smallest_type(labels)
    assert small.dtype == dtype
    np.testing.assert_array_equal(small, labels)


@pytest.mark.parametrize("codes", ["RAS", "IPL", "AIR"])
def test_live_labels_show_later_changes(codes: str) -> None:
    data = np.zeros(SHAPE, np.uint8)
    labels = LabelVolume(data, Grid(SHAPE, affine_of(codes)))
    shown, _, _ = labels_layer(labels, live=True)
    data[1, 2, 3] = 9
    assert shown.max() == 9
    assert labels_layer(labels)[0].flags.c_contiguous
