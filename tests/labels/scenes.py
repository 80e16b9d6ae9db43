"""Labels to edit: strategies, the kinds of arrays that they come in, and how an edit is taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_monai.events import Edited, Event
from napari_monai.labels.edits import Edit, Region, Scene
from napari_monai.labels.operations import operation, run

SHAPES = st.one_of(
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=9),
    arrays.array_shapes(min_dims=3, max_dims=3, max_side=6),
)


def picture(text: str, dtype: Any = np.uint8) -> np.ndarray:
    """Return labels from digits: words are rows, ``/`` parts planes."""
    planes = [[[int(c) for c in row] for row in plane.split()] for plane in text.split("/")]
    return np.array(planes if len(planes) > 1 else planes[0], dtype)


@st.composite
def label_arrays(draw, *, highest: int = 4) -> np.ndarray:
    """Draw small arrays of labels, of several types; half of their voxels are background."""
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.int32, np.int64]))
    elements = st.integers(0, highest).flatmap(lambda n: st.sampled_from([0, n]))
    return draw(arrays.arrays(dtype, SHAPES, elements=elements))


@st.composite
def scenes(draw, *, highest: int = 4, regions: bool = True) -> Scene:
    """Draw scenes with labels selected and locked, in a region or everywhere."""
    labels = draw(label_arrays(highest=highest))
    some = st.sets(st.integers(1, highest), max_size=highest)
    box = tuple(
        slice(low, draw(st.integers(low + 1, n)))
        for n in labels.shape
        for low in [draw(st.integers(0, n - 1))]
    )
    mask = draw(arrays.arrays(np.bool_, tuple(s.stop - s.start for s in box)))
    return Scene(
        labels,
        (1.0,) * labels.ndim,
        selected=tuple(draw(some)),
        locked=frozenset(draw(some)),
        region=Region(box, mask) if regions and draw(st.booleans()) else None,
    )


def stored(labels: np.ndarray, kind: str, folder: Path | None = None) -> Any:
    """Return labels as numpy, memmap or zarr array; the folder is for the memmap."""
    if kind == "numpy":
        return labels.copy()
    if kind == "memmap" and folder:
        array: Any = np.memmap(folder / "labels.raw", labels.dtype, "w+", shape=labels.shape)
    else:
        chunks = tuple(max(1, n // 2) for n in labels.shape)
        array = zarr.create_array(
            zarr.storage.MemoryStore(), shape=labels.shape, chunks=chunks, dtype=labels.dtype
        )
    array[:] = labels
    return array


def edit_of(events: Iterator[Event]) -> Edit:
    """Return the edit at the end of an operation; nothing may follow it."""
    *_, last = events
    assert isinstance(last, Edited)
    return last.edit


def edited(scene: Scene, name: str, **settings: Any) -> np.ndarray:
    """Return the labels as an operation makes them, having checked what holds for all of them."""
    before = np.array(scene.labels[...])
    settings_ = operation(name).settings_type().from_json(settings)
    edit = edit_of(run(name, scene, settings_))
    np.testing.assert_array_equal(scene.labels[...], before)
    result = before.copy()
    edit.apply(result)
    check_guarded(scene, before, result)
    assert edit.voxels == np.count_nonzero(result != before)
    assert result.dtype == before.dtype
    again = result.copy()
    edit.revert(again)
    np.testing.assert_array_equal(again, before)
    return result


def check_guarded(scene: Scene, before: np.ndarray, after: np.ndarray) -> None:
    """Check that nothing locked has changed, and nothing outside the region."""
    for value in scene.locked:
        np.testing.assert_array_equal(before == value, after == value)
    if scene.region is not None:
        outside = np.ones(before.shape, bool)
        outside[scene.region.box] = ~scene.region.mask
        np.testing.assert_array_equal(before[outside], after[outside])
