"""Further volumes lie where they belong to the first one, and what is drawn finds its way back."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Labels, Layer
from tests.napari_edge.affines import ORIENTATIONS, SHAPE, affine_of, rotation, sheared

from napari_monai import LabelVolume, Volume, read, write
from napari_monai._napari.layers import (
    image_layers,
    labels_layer,
    labels_of,
    layers_of,
    placement_of,
    volume_of,
)
from napari_monai._napari.placement import frames_of
from napari_monai.errors import VolumeWarning
from napari_monai.grid import Grid
from napari_monai.volume import LabelClass


def shown(*volumes: Volume) -> list[Any]:
    """Return the layers of volumes that are opened one after the other."""
    layers: list[Any] = []
    for volume in volumes:
        layers += [Layer.create(*d) for d in layers_of([volume], frames=frames_of(layers))]
    return layers


def canvas_to_world(layer: Any, grid: Grid) -> np.ndarray:
    """Return the affine map of canvas to world that a layer of these voxels implies, 3 x 4."""
    how = grid.reorientation_to("IPL")
    index = np.random.default_rng(0).uniform(-4, 9, (12, 3))
    where = np.array([layer.data_to_world(i) for i in index])
    world = grid.reoriented(how).index_to_world(index)
    return np.linalg.lstsq(np.c_[where, np.ones(12)], world, rcond=None)[0].T


AFFINES = {
    "straight": affine_of("LPS"),
    "coronal": affine_of("LSP"),
    "oblique": affine_of("RAS", 16),
    "sheared": sheared("LPS"),
    "oblique and sheared": sheared("RSA", 16),
}


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("codes", ["PIR", "LAS"])
def test_another_volume_along_the_same_axes_lies_exactly_where_it_is(name: str, codes: str) -> None:
    """Same directions in another order, another spacing, extent and place: no voxel is changed."""
    affine = AFFINES[name]
    first = Volume(np.zeros(SHAPE), Grid(SHAPE, affine))
    how = first.grid.reorientation_to(codes)
    other = first.grid.reoriented(how).affine.copy()
    other[:3, :3] *= (1.7, 0.4, 0.9)
    other[:3, 3] += (30.0, -12.0, 5.5)
    data = np.random.default_rng(0).normal(size=(4, 9, 3))
    second = Volume(data, Grid((4, 9, 3), other))
    one, two = shown(first, second)
    np.testing.assert_array_equal(np.sort(two.data, axis=None), np.sort(data, axis=None))
    # Voxels of both map from the canvas to the world in the same way.
    np.testing.assert_allclose(
        canvas_to_world(two, second.grid), canvas_to_world(one, first.grid), atol=1e-6
    )
    assert volume_of(two) is second
    np.testing.assert_array_equal(two.affine.affine_matrix, np.eye(4))


@pytest.mark.parametrize("unit", ["mm", "µm"])
def test_units_of_the_second_volume_are_its_own(unit: str) -> None:
    first = Volume(np.zeros(SHAPE), Grid(SHAPE, affine_of("RAS", 16)))
    factor = {"mm": 1, "µm": 1000}[unit]
    scaled = np.diag((factor, factor, factor, 1)) @ first.grid.affine
    one, two = shown(first, Volume(np.zeros(SHAPE), Grid(SHAPE, scaled, unit)))
    np.testing.assert_allclose(np.array(two.scale) / factor, one.scale)
    np.testing.assert_allclose(np.array(two.translate) / factor, one.translate, atol=1e-9)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("straight", "oblique", id="oblique on straight"),
        pytest.param("oblique", "straight", id="straight on oblique"),
        pytest.param("coronal", "sheared", id="sheared on straight"),
        pytest.param("sheared", "oblique", id="oblique on sheared"),
    ],
)
def test_a_volume_along_other_axes_is_resampled_and_said_so(first: str, second: str) -> None:
    shape = (12, 14, 10)
    grid = Grid(shape, AFFINES[second])
    world = grid.index_to_world(np.moveaxis(np.indices(shape), 0, -1))
    data = world @ (1.0, -2.0, 0.5)  # what linear interpolation keeps
    under = Volume(np.zeros(SHAPE), Grid(SHAPE, AFFINES[first]))
    volume = Volume(data, grid, name="second")
    (one,) = shown(under)
    with pytest.warns(VolumeWarning, match="second lies oblique .* resampled"):
        (made,) = image_layers(volume, frames=frames_of([one]))
    two = Layer.create(*made)
    to_world = canvas_to_world(one, under.grid)
    index = np.moveaxis(np.indices(two.data.shape), 0, -1)
    canvas = index * two.scale + two.translate
    expected = canvas @ to_world[:, :3].T + to_world[:, 3]
    at = grid.world_to_index(expected)
    inside = ((at > 0) & (at < np.array(shape) - 1)).all(axis=-1)
    assert inside.sum() > 300
    np.testing.assert_allclose(
        np.asarray(two.data)[inside], expected[inside] @ (1.0, -2.0, 0.5), atol=1e-6
    )
    if first != "sheared":  # in which a millimetre is none
        assert sorted(two.scale) == pytest.approx(sorted(grid.spacing))
    # The file's own voxels are the truth.
    assert volume_of(two) is volume
    # A third one along the axes of the second is resampled too; the frame is the first one's.
    assert placement_of(two).frame is placement_of(one).frame


def test_channels_and_times_are_resampled_one_by_one() -> None:
    under = Volume(np.zeros(SHAPE), Grid(SHAPE, affine_of("LPS")))
    data = np.random.default_rng(0).integers(0, 999, (3, 2, *SHAPE)).astype(np.int16)
    data[:, :, ::4, ::5, ::6] = 0  # the corners, of which the surroundings are made
    volume = Volume(data, Grid(SHAPE, affine_of("RAS", 16)), "tc", time_step=2.0)
    with pytest.warns(VolumeWarning):
        _, one, two = shown(under, volume)
    with pytest.warns(VolumeWarning):
        alone = shown(under, Volume(data[1, 1], volume.grid))[1]
    assert two.axis_labels == ("t", "z", "y", "x")
    np.testing.assert_array_equal(np.asarray(two.data[1]), np.asarray(alone.data[...]))
    assert volume_of(one, whole=True) is volume
    np.testing.assert_array_equal(volume_of(two).numpy(), data[:, 1])
    assert two.data.dtype == np.int16


def test_colours_are_resampled() -> None:
    under = Volume(np.zeros(SHAPE), Grid(SHAPE, affine_of("LPS")))
    data = np.full((3, *SHAPE), 200, np.uint8)
    volume = Volume(data, Grid(SHAPE, affine_of("RAS", 16)), "c", rgb=True)
    with pytest.warns(VolumeWarning):
        two = shown(under, volume)[1]
    assert two.rgb
    middle = tuple(n // 2 for n in two.data.shape[:3])
    assert np.asarray(two.data[middle]).tolist() == [200] * 3
    assert volume_of(two) is volume


def test_what_surrounds_a_resampled_volume_is_its_background() -> None:
    under = Volume(np.zeros(SHAPE), Grid(SHAPE, affine_of("LPS")))
    data = np.full(SHAPE, -1000, np.int16)
    data[2:4, 2:4, 2:4] = 500
    with pytest.warns(VolumeWarning):
        two = shown(under, Volume(data, Grid(SHAPE, affine_of("RAS", 16))))[1]
    assert np.asarray(two.data).min() == -1000


def test_pictures_and_patients_do_not_share_a_frame() -> None:
    patient = Volume(np.zeros(SHAPE), Grid(SHAPE, affine_of("RAS", 16)))
    stack = Volume(np.zeros(SHAPE), Grid.from_spacing(SHAPE, (3, 1, 1), unit="µm"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, two = shown(patient, stack)
    assert tuple(two.scale) == (3, 1, 1)
    assert tuple(two.translate) == (0, 0, 0)


def test_volumes_of_one_file_share_a_frame() -> None:
    one = Volume(np.zeros(SHAPE), Grid(SHAPE, affine_of("RAS", 16)), name="one")
    two = Volume(np.zeros(SHAPE), Grid(SHAPE, affine_of("RAS")), name="two")
    with pytest.warns(VolumeWarning, match="two lies oblique"):
        layers_of([one, two])


def test_a_first_volume_that_was_moved_by_hand_makes_no_frame() -> None:
    (one,) = shown(Volume(np.zeros(SHAPE), Grid(SHAPE, affine_of("RAS", 16))))
    one.translate = (0, 0, 0)
    assert list(frames_of([one])) == []


# -- labels on what is resampled ---------------------------------------------------------------


@pytest.fixture
def resampled() -> tuple[Volume, Any]:
    """Return an oblique volume, and its layer beside a straight one."""
    under = Volume(np.zeros(SHAPE), Grid(SHAPE, affine_of("LPS")))
    shape = (12, 14, 10)
    data = np.random.default_rng(0).integers(0, 99, shape).astype(np.int16)
    volume = Volume(data, Grid(shape, affine_of("RAS", 16)), name="second")
    with pytest.warns(VolumeWarning):
        return volume, shown(under, volume)[1]


def test_labels_drawn_on_a_resampled_image_go_to_the_nearest_voxels(
    resampled: tuple[Volume, Any],
) -> None:
    volume, image = resampled
    drawn = Labels(
        np.zeros(image.data.shape, np.uint8), scale=image.scale, translate=image.translate
    )
    drawn.data[:, 8:, :9] = 3
    labels = labels_of(drawn, [image])
    assert labels.grid is volume.grid
    # Oracle: the place of each of the file's voxels on the canvas, in voxels of the layer.
    index = np.moveaxis(np.indices(volume.grid.shape), 0, -1)
    world = volume.grid.index_to_world(index)
    at = (-world[..., ::-1] - drawn.translate) / drawn.scale
    clear = (np.abs(at - np.floor(at) - 0.5) > 1e-6).all(axis=-1)
    expected = drawn.data[tuple(np.moveaxis(np.rint(at).astype(int), -1, 0))]
    np.testing.assert_array_equal(labels.numpy()[clear], expected[clear])
    assert (expected == 3).any()


def test_labels_that_nobody_touched_are_saved_as_they_were(resampled: tuple[Volume, Any]) -> None:
    volume, image = resampled
    data = np.random.default_rng(1).integers(0, 5, volume.grid.shape).astype(np.uint8)
    labels = LabelVolume(data, volume.grid, classes=(LabelClass(3, "liver"),))
    layer = Layer.create(*labels_layer(labels, on=placement_of(image)))
    assert layer.data.shape == image.data.shape
    np.testing.assert_array_equal(layer.translate, image.translate)
    np.testing.assert_array_equal(labels_of(layer).numpy(), data)
    # One stroke changes the voxels under it, and no other.
    middle = tuple(n // 2 for n in layer.data.shape)
    layer.data[tuple(slice(m - 1, m + 2) for m in middle)] = 9
    changed = labels_of(layer).numpy()
    assert 0 < (changed == 9).sum() <= 100
    np.testing.assert_array_equal(changed[changed != 9], data[changed != 9])


def test_labels_file_of_a_resampled_image_lies_over_it(resampled: tuple[Volume, Any]) -> None:
    volume, image = resampled
    labels = LabelVolume(np.ones(volume.grid.shape, np.uint8), volume.grid)
    with pytest.warns(VolumeWarning):
        (made,) = layers_of([labels], frames=frames_of([image]))
    layer = Layer.create(*made)
    assert layer.data.shape == image.data.shape
    np.testing.assert_array_equal(layer.scale, image.scale)
    np.testing.assert_array_equal(layer.translate, image.translate)
    layer.paint(tuple(n // 2 for n in layer.data.shape), 4)
    assert (layer.data == 4).any()


def test_live_labels_on_a_resampled_image_show_later_changes(
    resampled: tuple[Volume, Any],
) -> None:
    volume, image = resampled
    data = np.zeros(volume.grid.shape, np.uint8)
    labels = LabelVolume(data, volume.grid)
    layer = Layer.create(*labels_layer(labels, on=placement_of(image), live=True))
    data[:] = 7
    assert np.asarray(layer.data).max() == 7


# -- labels that others made -------------------------------------------------------------------


@pytest.mark.parametrize("codes", [*ORIENTATIONS[::7], "oblique", "sheared"])
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(("scale", "translate"), id="no units"),
        pytest.param(("scale",), id="scale alone"),
        pytest.param((), id="array alone"),
    ],
)
def test_labels_that_a_script_made_are_written_back_exactly(
    codes: str, how: tuple[str, ...], tmp_path: Path
) -> None:
    affine = AFFINES.get(codes)
    affine = affine_of(codes) if affine is None else affine
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.int16), affine), tmp_path / "ct.nii.gz")
    volume = read(tmp_path / "ct.nii.gz")
    (image,) = shown(volume)
    numbers = np.random.default_rng(0).integers(0, 9, SHAPE).astype(np.uint8)
    on_canvas = volume.grid.reorientation_to("IPL").apply(numbers)
    made = Labels(on_canvas.copy(), **{name: getattr(image, name) for name in how})
    write(tmp_path / "labels.nii.gz", labels_of(made, [made, image]))
    back = nib.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(back.dataobj), numbers)
    np.testing.assert_array_equal(back.affine, nib.load(tmp_path / "ct.nii.gz").affine)


def test_labels_that_may_belong_to_either_of_two_images_belong_to_none() -> None:
    one = Volume(np.zeros(SHAPE), Grid(SHAPE, affine_of("RAS")))
    moved = one.grid.affine.copy()
    moved[:3, 3] += 10
    layers = shown(one, Volume(np.zeros(SHAPE), Grid(SHAPE, moved)))
    array = Labels(np.zeros(layers[0].data.shape, np.uint8))
    assert not labels_of(array, layers).grid.anatomical
    # The place decides where it is given.
    placed = Labels(array.data, scale=layers[1].scale, translate=layers[1].translate)
    assert labels_of(placed, layers).grid == Grid(SHAPE, moved)


@pytest.mark.parametrize("degrees", [0, 16])
def test_labels_on_voxels_of_their_own_are_saved_where_they_are_seen(degrees: float) -> None:
    """As the viewer makes them over several images at once: in no image's own voxels."""
    volume = Volume(np.zeros(SHAPE), Grid(SHAPE, affine_of("LPS", degrees)))
    (image,) = shown(volume)
    drawn = Labels(
        np.zeros((4, 5, 6), np.uint8), scale=(1, 2, 0.5), translate=image.translate, units="mm"
    )
    labels = labels_of(drawn, [image])
    assert labels.grid.anatomical
    to_world = canvas_to_world(image, volume.grid)
    for index in ((0, 0, 0), (3, 1, 4)):
        where = np.asarray(drawn.data_to_world(index))
        np.testing.assert_allclose(
            labels.grid.index_to_world(index), to_world[:, :3] @ where + to_world[:, 3], atol=1e-6
        )


def test_rotation_in_the_tests_is_one() -> None:
    """The oblique affines above are turned, not mirrored."""
    assert np.linalg.det(rotation(16)) == pytest.approx(1)
