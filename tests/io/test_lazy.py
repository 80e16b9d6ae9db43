"""The lazy view against numpy: the same slices of the same array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from tests.space import grid

from napari_monai.errors import ReadError
from napari_monai.io.convert import displayed
from napari_monai.io.lazy import LazyArray
from napari_monai.volume import Volume


class Strict:
    """A source that takes what zarr takes: forward slices alone; it counts what it reads."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array, self.voxels = array, 0
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: Any) -> Any:
        assert len(key) == len(self.shape)
        assert all(isinstance(k, slice) and (k.step or 1) > 0 for k in key)
        found = self.array[key]
        self.voxels += found.size
        return found


SHAPE = (4, 1, 5, 6)
ARRAY = np.arange(int(np.prod(SHAPE))).reshape(SHAPE)
ORDER = (3, 0, 2)  # axis 1 is dropped
EXPECTED = ARRAY[:, 0].transpose(2, 0, 1)


def lazy(**options: Any) -> LazyArray:
    return LazyArray(Strict(ARRAY), order=ORDER, **options)


def keys(length: int) -> st.SearchStrategy[int | slice]:
    return st.integers(-length, length - 1) | st.slices(length)


@st.composite
def full_keys(draw: st.DrawFn) -> Any:
    parts: list[Any] = [draw(keys(n)) for n in EXPECTED.shape[: draw(st.integers(0, 3))]]
    if draw(st.booleans()):
        parts.append(Ellipsis)
    return tuple(parts) if len(parts) != 1 or draw(st.booleans()) else parts[0]


@given(full_keys())
def test_slices_as_numpy(key: Any) -> None:
    found = lazy()[key]
    np.testing.assert_array_equal(found, EXPECTED[key])
    assert np.shape(found) == EXPECTED[key].shape


@given(full_keys(), st.tuples(*[st.booleans()] * 3))
def test_turned_axes_as_numpy(key: Any, flips: tuple[bool, ...]) -> None:
    expected = EXPECTED[tuple(slice(None, None, -1 if f else 1) for f in flips)][key]
    found = lazy(flips=flips)[key]
    np.testing.assert_array_equal(found, expected)
    assert np.shape(found) == expected.shape


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SRA"])
def test_turning_a_volume_reads_nothing(codes: str) -> None:
    source = Strict(ARRAY)
    volume = Volume(source, grid(ARRAY.shape[1:], codes), "t")
    shown = displayed(volume)
    assert shown.grid.orientation == "IPL"
    assert source.voxels == 0
    expected = displayed(Volume(ARRAY, volume.grid, "t")).numpy()
    np.testing.assert_array_equal(shown.numpy(), expected)


@pytest.mark.parametrize(
    "key",
    [(..., 2), (1, ..., 2), (np.int64(3),), ([0, 2],), (EXPECTED > 7,), (None, 1), (0, [1, 2])],
    ids=["last", "both ends", "numpy", "list", "mask", "new axis", "mixed"],
)
def test_other_keys_as_numpy(key: Any) -> None:
    np.testing.assert_array_equal(lazy()[key], EXPECTED[key])


def test_no_more_is_read_than_asked_for() -> None:
    source = Strict(ARRAY)
    view = LazyArray(source, order=ORDER)
    assert (view.shape, view.ndim, view.size, view.nbytes) == ((6, 4, 5), 3, 120, 960)
    assert len(view) == 6
    assert source.voxels == 0
    view[2]
    assert source.voxels == 20
    view[2, 1, ::-2]
    assert source.voxels == 20 + 3
    view[3:3]
    assert source.voxels == 23


def test_conversion() -> None:
    view = lazy(convert=lambda a: a * 0.5, dtype=np.float64)
    assert view.dtype == np.float64
    np.testing.assert_array_equal(np.asarray(view), EXPECTED * 0.5)
    np.testing.assert_array_equal(np.asarray(view, dtype=np.float32), EXPECTED * 0.5)
    assert view[1, 2, 3] == EXPECTED[1, 2, 3] * 0.5


@pytest.mark.parametrize("key", [6, -7, (0, 4), (0, 0, 0, 0), (..., ...)])
def test_outside(key: Any) -> None:
    with pytest.raises(IndexError):
        lazy()[key]


def test_it_cannot_be_had_without_a_copy() -> None:
    with pytest.raises(ValueError, match="without a copy"):
        np.array(lazy(), copy=False)


def test_damage_is_a_read_error() -> None:
    class Damaged(Strict):
        def __getitem__(self, key: Any) -> Any:
            raise KeyError("chunk 7")

    with pytest.raises(ReadError, match=r"a\.tif cannot be read any further: 'chunk 7'"):
        LazyArray(Damaged(ARRAY), name="a.tif")[0]


def test_the_file_is_released_with_the_array() -> None:
    released = []
    view = lazy(release=lambda: released.append(1))
    part = view[0]
    assert not released
    del view
    assert released == [1]
    assert part.shape == (4, 5)


@pytest.mark.parametrize(("order", "chunks"), [("C", (6, 1, 5)), ("F", (1, 4, 5))], ids=["C", "F"])
def test_an_array_in_one_piece_is_read_along_its_slowest_axis(order, chunks):
    source = np.zeros((4, 5, 6), order=order)
    assert LazyArray(source, order=(2, 0, 1)).chunks == chunks


def test_chunks_follow_the_axes():
    source = zarr.zeros(shape=(4, 5, 6), chunks=(2, 5, 3), store={})
    assert LazyArray(source, order=(2, 0, 1)).chunks == (3, 2, 5)
