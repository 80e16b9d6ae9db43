"""Volumes and labels: what fits together, and what a copy keeps."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest

from napari_monai.errors import VolumeError
from napari_monai.grid import Grid
from napari_monai.io.lazy import LazyArray
from napari_monai.volume import LabelClass, LabelVolume, Volume, slowest_first

STACK = Grid.from_spacing((4, 5, 6), (3, 1, 1), unit="µm")
PLANE = Grid.from_spacing((5, 6))


class Counted:
    """An array that counts how often it is read."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array, self.reads = array, 0
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: Any) -> Any:
        self.reads += 1
        return self.array[key]


@pytest.mark.parametrize(
    ("shape", "grid", "leading", "channels", "times"),
    [
        ((5, 6), PLANE, "", 1, 1),
        ((3, 5, 6), PLANE, "c", 3, 1),
        ((3, 5, 6), PLANE, "t", 1, 3),
        ((2, 3, 5, 6), PLANE, "tc", 3, 2),
        ((4, 5, 6), STACK, "", 1, 1),
        ((2, 7, 4, 5, 6), STACK, "tc", 7, 2),
    ],
)
def test_axes(shape: Any, grid: Grid, leading: str, channels: int, times: int) -> None:
    volume = Volume(np.zeros(shape, np.int16), grid, leading)
    assert (volume.channels, volume.times) == (channels, times)
    assert volume.channel_names == tuple(f"channel {c}" for c in range(channels))
    assert volume.nbytes == np.prod(shape) * 2
    assert volume.dtype == np.int16


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4, 5, 6), {"leading": "c"}, "does not fit leading axes"),
        ((4, 5), {}, "does not fit leading axes"),
        ((4, 6, 5), {}, "does not fit leading axes"),
        ((2, 3, 4, 5, 6), {"leading": "ct"}, "Leading axes are"),
        ((0, 4, 5, 6), {"leading": "c"}, "no channel"),
        ((2, 4, 5, 6), {"leading": "c", "channel_names": ("one",)}, "2 channels"),
        ((2, 4, 5, 6), {"leading": "c", "rgb": True}, "3 or 4 channels"),
        ((4, 5, 6), {"rgb": True}, "3 or 4 channels"),
    ],
)
def test_what_does_not_fit(shape: Any, options: Any, message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        Volume(np.zeros(shape), STACK, **options)


def test_nothing_is_read_before_it_is_asked_for() -> None:
    data = Counted(np.arange(2 * 120).reshape(2, 4, 5, 6))
    volume = Volume(data, STACK, "t")
    assert (volume.nbytes, volume.times, data.reads) == (2 * 120 * 8, 2, 0)
    np.testing.assert_array_equal(volume.at_time(1).numpy(), data.array[1])
    assert data.reads == 1


def test_a_time_point_of_a_file_is_read_where_it_is_asked_for() -> None:
    data = Counted(np.arange(2 * 120).reshape(2, 4, 5, 6))
    frame = Volume(data, STACK, "t").at_time(-1)
    assert data.reads == 0
    np.testing.assert_array_equal(frame.data[1:3, 2], data.array[1, 1:3, 2])
    np.testing.assert_array_equal(frame.data[..., 3], data.array[1, ..., 3])
    with pytest.raises(IndexError):
        Volume(data, STACK, "t").at_time(2)


_C = np.zeros((2, 3, 4, 5))


@pytest.mark.parametrize(
    ("data", "order"),
    [
        pytest.param(_C, (0, 1, 2), id="as-numpy-has-them"),
        pytest.param(np.asfortranarray(_C), (2, 1, 0), id="as-nifti-has-them"),
        pytest.param(_C.transpose(0, 3, 1, 2), (1, 2, 0), id="turned"),
        pytest.param(_C[:, :, ::-1, ::-1], (0, 1, 2), id="flipped"),
        pytest.param(np.broadcast_to(np.zeros(()), (3, 4, 5)), (0, 1, 2), id="not-known"),
        pytest.param(LazyArray(_C.T), (2, 1, 0), id="lazy"),
        pytest.param(LazyArray(_C, order=(3, 1, 2)), (1, 2, 0), id="lazy-turned"),
    ],
)
def test_the_axis_that_is_slowest_in_the_file_comes_first(data: Any, order: Any) -> None:
    assert slowest_first(data, 3) == order


def test_one_time_point() -> None:
    array = np.arange(2 * 3 * 30).reshape(2, 3, 5, 6)
    volume = Volume(array, PLANE, "tc", ("a", "b", "c"), name="film", time_step=2.0)
    frame = volume.at_time(1)
    assert (frame.leading, frame.name, frame.channel_names) == ("c", "film", ("a", "b", "c"))
    np.testing.assert_array_equal(frame.as_channels_first(), array[1])
    assert frame.at_time(0) is frame
    with pytest.raises(VolumeError, match="one time point, not 2"):
        frame.at_time(1)
    with pytest.raises(VolumeError, match="at_time"):
        volume.as_channels_first()


def test_a_channel_axis_for_networks() -> None:
    assert Volume(np.zeros((5, 6)), PLANE).as_channels_first().shape == (1, 5, 6)


def labels(**options: Any) -> LabelVolume:
    given: dict[str, Any] = {"data": np.zeros((5, 6), np.uint8), "grid": PLANE, **options}
    return LabelVolume(**given)


def test_labels_of_one_time_point_stay_labels() -> None:
    film = labels(
        data=np.ones((2, 5, 6), bool), leading="t", classes=[LabelClass(1, "a")], kind="instances"
    )
    frame = film.at_time(0)
    assert isinstance(frame, LabelVolume)
    assert (frame.classes, frame.kind) == ((LabelClass(1, "a"),), "instances")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": np.zeros((5, 6), np.float32)}, "whole numbers"),
        ({"data": np.zeros((1, 5, 6), np.uint8), "leading": "c"}, "no channels"),
        ({"classes": [LabelClass(1, "a"), LabelClass(1, "b")]}, "same number"),
    ],
)
def test_no_labels(options: dict[str, Any], message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        labels(**options)


@pytest.mark.parametrize(
    "again", [lambda v: pickle.loads(pickle.dumps(v)), copy.deepcopy, copy.copy,
              lambda v: dataclasses.replace(v)],
    ids=["pickle", "deepcopy", "copy", "replace"],
)  # fmt: skip
def test_copies_keep_all(again: Any) -> None:
    volume = labels(
        classes=[LabelClass(3, "liver", "#ff0000")], meta={"header": [1, 2]}, name="organs"
    )
    other = again(volume)
    assert type(other) is LabelVolume
    assert (other.classes, other.name, other.grid) == (volume.classes, "organs", PLANE)
    assert dict(other.meta) == {"header": [1, 2]}
    with pytest.raises(TypeError):
        other.meta["more"] = 1
    np.testing.assert_array_equal(other.numpy(), volume.numpy())


def test_meta_is_a_copy() -> None:
    meta = {"a": 1}
    volume = Volume(np.zeros((5, 6)), PLANE, meta=meta)
    meta["a"] = 2
    assert volume.meta["a"] == 1
