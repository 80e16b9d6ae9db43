"""Images on one grid as the channels of one: the voxels of ``np.stack``, read when asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.known import threshold_model

import napari_monai as nm
from napari_monai.errors import ReadError, VolumeError
from napari_monai.io.lazy import LazyArray
from napari_monai.joining import match_channels
from napari_monai.models import Inputs
from napari_monai.preprocess import prepare, prepare_lazily
from napari_monai.scratch import key_of
from napari_monai.volume import slowest_first

RNG = np.random.default_rng(5)
SHAPE = (4, 5, 6)


class Watched:
    """An array that counts the voxels that are read of it."""

    def __init__(self, array: np.ndarray) -> None:
        self._array, self.read = array, 0
        self.shape, self.dtype, self.strides = array.shape, array.dtype, array.strides

    def __getitem__(self, key: Any) -> np.ndarray:
        found = self._array[key]
        self.read += found.size
        return found


def volume(array: Any, name: str = "t1", leading: str = "", **settings: Any) -> nm.Volume:
    shape = array.shape[len(leading) :]
    grid = nm.Grid.from_spacing(shape, settings.pop("spacing", (2.0,) * len(shape)))
    return nm.Volume(array, grid, leading=leading, name=name, **settings)


def arrays(n: int = 3, shape: tuple[int, ...] = SHAPE, order: Any = "C") -> list[np.ndarray]:
    return [np.asarray(RNG.normal(size=shape).astype(np.float32), order=order) for _ in range(n)]


@pytest.mark.parametrize("kind", ["numpy", "dask", "lazy"])
@pytest.mark.parametrize("leading", ["", "t", "c", "tc"])
def test_join_is_stack(kind: str, leading: str) -> None:
    lead = {"": (), "t": (2,), "c": (1,), "tc": (2, 1)}[leading]
    parts = arrays(shape=(*lead, *SHAPE))
    make = {"numpy": np.asarray, "dask": da.from_array, "lazy": LazyArray}[kind]
    names = ("t1", "t2", "flair")
    joined = nm.join_channels(
        [volume(make(p), n, leading) for p, n in zip(parts, names, strict=True)]
    )
    axis = int("t" in leading)
    stack = np.concatenate if "c" in leading else np.stack
    expected = stack(parts, axis)
    assert joined.leading == ("tc" if "t" in leading else "c")
    assert joined.channel_names == names
    assert joined.name == "t1"
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined.numpy(), expected)
    if "t" in leading:
        np.testing.assert_array_equal(joined.at_time(1).numpy(), expected[1])


def keys(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[Any, ...]]:
    ends = [st.integers(-n - 2, n + 2) | st.none() for n in shape]
    steps = st.sampled_from([None, 1, 2, -1, -2])
    axes = (
        st.builds(slice, e, e, steps) | st.integers(-n, n - 1)
        for e, n in zip(ends, shape, strict=True)
    )
    return st.tuples(*axes)


@given(keys((3, *SHAPE)), st.sampled_from("CF"))
def test_any_index_is_that_of_the_stack(key: tuple[Any, ...], order: str) -> None:
    parts = arrays(order=order)
    joined = nm.join_channels([volume(p) for p in parts])
    np.testing.assert_array_equal(joined.data[key], np.stack(parts)[key])


def test_only_what_is_asked_for_is_read() -> None:
    parts = [Watched(p) for p in arrays()]
    joined = nm.join_channels([volume(p) for p in parts])
    assert [p.read for p in parts] == [0, 0, 0]
    assert joined.data[1:2, 2, :3].shape == (1, 3, 6)
    assert [p.read for p in parts] == [0, 18, 0]


@pytest.mark.parametrize("order", ["C", "F"])
def test_order_in_memory_is_kept(order: Any) -> None:
    joined = nm.join_channels([volume(p) for p in arrays(order=order)])
    expected = (0, 1, 2) if order == "C" else (2, 1, 0)
    assert slowest_first(joined.data, 3) == expected
    assert slowest_first(joined.numpy(), 3) == expected
    assert abs(joined.numpy().strides[0]) == 4 * 4 * 5 * 6  # one image behind the other
    assert joined.data.chunks == ((1, 1, 5, 6) if order == "C" else (1, 4, 5, 1))


def test_numbers_keep_their_values_in_a_common_type() -> None:
    a = np.full(SHAPE, -3, np.int16)
    b = np.full(SHAPE, 60_000, np.uint16)
    joined = nm.join_channels([volume(a), volume(b)])
    assert joined.dtype == np.int32
    assert joined.data[1].dtype == joined.data[:1].dtype == np.int32
    assert joined.data[1, 0, 0, 0] == 60_000


def turned(one: nm.Volume, **changes: Any) -> nm.Volume:
    affine = one.grid.affine.copy()
    for place, value in changes.pop("entries", {}).items():
        affine[place] = value
    return replace(one, grid=replace(one.grid, affine=affine, **changes))


ONE = volume(np.zeros(SHAPE))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (volume(np.zeros((4, 5, 7)), "t2"), "t1 and t2 .*4 x 5 x 6 voxels and the other 4 x 5 x 7"),
        (volume(np.zeros((5, 6)), "t2"), "4 x 5 x 6 voxels and the other 5 x 6"),
        (volume(np.zeros(SHAPE), "t2", spacing=(3, 2, 2)), "2 x 2 x 2 pixel, of the other 3 x"),
        (turned(ONE, entries={(0, 3): 5.0}), "they lie 5 pixel apart"),
        (turned(ONE, unit="mm"), "one are in pixel, of the other in mm"),
        (volume(np.zeros((2, *SHAPE)), "t2", "t"), "one has 1 time points and the other 2"),
        (volume(np.zeros((2, *SHAPE)), "t2", "c"), "t2 has 2 channels"),
    ],
    ids=["shape", "axes", "spacing", "place", "unit", "time", "channels"],
)
def test_what_does_not_fit_is_said_in_a_line(other: nm.Volume, told: str) -> None:
    with pytest.raises(VolumeError, match=told) as error:
        nm.join_channels([ONE, other])
    assert "\n" not in str(error.value)


def test_rounded_headers_are_the_same_place() -> None:
    nm.join_channels([ONE, turned(ONE, entries={(0, 3): ONE.grid.affine[0, 3] + 0.001})])


def test_no_images() -> None:
    with pytest.raises(VolumeError, match="one for each channel"):
        nm.join_channels([])


def test_a_damaged_part_is_named() -> None:
    class Broken(Watched):
        def __getitem__(self, key: Any) -> np.ndarray:
            raise OSError("gone")

    joined = nm.join_channels([ONE, volume(Broken(np.zeros(SHAPE)), "t2")])
    with pytest.raises(ReadError, match=r"t1 \+ t2 cannot be read any further"):
        joined.numpy()


MR = ("T1c", "T1", "T2", "FLAIR")


@pytest.mark.parametrize(
    ("channels", "names", "expected"),
    [
        (MR, ["t1", "t1ce", "t2", "flair"], (1, 0, 2, 3)),
        (MR, [f"BraTS-0001-{s}.nii.gz" for s in ("t2f", "t1n", "t2w", "t1c")], (3, 1, 2, 0)),
        (MR, ["T2 FLAIR", "T2", "T1 post", "T1 pre"], (2, 3, 1, 0)),
        (("FLAIR", "T1w", "t1gd", "T2w"), ["x_t1", "x_t1_gd", "x_t2", "x_flair"], (3, 0, 1, 2)),
        (("dapi", "actin"), ["cells actin", "cells dapi"], (1, 0)),
        (("c0", "c1"), ["b", "a"], (0, 1)),
        (("T1", "x"), ["other", "t1 post", "t1"], (2, 0)),
        (("T2", "FLAIR"), ["one", "flair"], (0, 1)),
    ],
    ids=["names", "brats", "words", "decathlon", "stains", "order", "left out", "rest"],
)
def test_channels_find_their_images(channels: Any, names: Any, expected: Any) -> None:
    assert match_channels(channels, names) == expected


def test_too_few_images() -> None:
    with pytest.raises(VolumeError, match="2 images are too few for 3 channels"):
        match_channels(("a", "b", "c"), ("a", "b"))


@pytest.fixture
def two(tmp_path: Path) -> nm.Model:
    """Return a model of what is above 100 in twice the first channel less the second."""
    inputs = Inputs(("t1", "t2"), 3)
    return threshold_model(
        tmp_path / "two", threshold=100.0, weights=(2.0, -1.0), dims=3, inputs=inputs
    )


def files(folder: Path) -> tuple[list[Path], np.ndarray]:
    """Write two images of one grid, and return their paths and voxels."""
    both = RNG.integers(0, 200, (2, 9, 10, 11)).astype(np.int16)
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    paths = [folder / f"{n}.nii.gz" for n in ("t1", "t2")]
    for path, array in zip(paths, both, strict=True):
        nib.save(nib.Nifti1Image(array, affine), path)
    return paths, both


def test_a_model_takes_joined_files(two: nm.Model, tmp_path: Path) -> None:
    paths, both = files(tmp_path)
    volumes = [nm.read(p) for p in paths]
    joined = nm.join_channels(volumes)
    stack = np.stack([v.numpy() for v in volumes])
    one_file = replace(volumes[0], data=stack, leading="c", channel_names=("t1", "t2"))
    expected_array = prepare(one_file, two.description).array
    np.testing.assert_array_equal(prepare(joined, two.description).array, expected_array)
    lazily = prepare_lazily(joined, two.description)
    whole = lazily.read(tuple(slice(0, n) for n in lazily.grid.shape))
    np.testing.assert_array_equal(whole, expected_array)
    expected = nm.segment(one_file, two)
    labels = nm.segment(joined, two)
    np.testing.assert_array_equal(labels.numpy(), expected.numpy())
    nm.write(tmp_path / "labels.nii.gz", labels)
    written = nib.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(
        np.asanyarray(written.dataobj), 2 * both[0].astype(int) - both[1] > 100
    )
    np.testing.assert_array_equal(written.affine, nib.load(paths[0]).affine)


def test_another_file_behind_the_first_is_another_image(tmp_path: Path) -> None:
    paths, both = files(tmp_path)
    first = key_of(nm.join_channels([nm.read(p) for p in paths]))
    assert key_of(nm.join_channels([nm.read(p) for p in paths])) == first
    assert key_of(nm.join_channels([nm.read(p) for p in paths[::-1]])) != first
    nib.save(nib.Nifti1Image(both[1] // 2, nib.load(paths[1]).affine), paths[1])
    assert key_of(nm.join_channels([nm.read(p) for p in paths])) != first


def test_voxels_in_memory_count_each() -> None:
    a, b, c = (volume(p) for p in arrays())
    assert key_of(nm.join_channels([a, b])) != key_of(nm.join_channels([a, c]))
