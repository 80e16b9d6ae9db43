"""Images larger than memory: the examples are those that are made in memory, to the last bit."""

from __future__ import annotations

import errno
import mmap
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import zarr
from hypothesis import strategies as st
from tests.models.known import description

from napari_monai import LabelVolume, TrainingSettings, Volume
from napari_monai.errors import TrainingError
from napari_monai.grid import Grid
from napari_monai.instances import centre_distance
from napari_monai.models import ModelDescription, Outputs
from napari_monai.preprocess import Operation, sources
from napari_monai.training import depths, lazy, spill
from napari_monai.training.centres import Centres, Sample
from napari_monai.training.depths import write_depth
from napari_monai.training.examples import Example, make_examples
from napari_monai.training.shares import Share
from napari_monai.training.spill import Spill
from napari_monai.volume import LabelClass

# So little that everything is kept on disk.
NO_ROOM = {"memory": 1e-9}
SCALE = Operation("scale_percentiles", {"lower": 1.0, "upper": 99.0})
SPACING = Operation("spacing", {"spacing": [1.5, 0.8, 1.0], "unit": "mm"})
TURN = Operation("orientation", {"codes": "RAS"})


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "_BLOCK", 900)


def model(kind: str, dims: int, *preprocess: Operation) -> ModelDescription:
    told = description(dims, 1, preprocess=preprocess)
    channels = ("foreground", "distance") if kind == "instances" else ("background", "a", "b")
    activation = ("sigmoid", "identity") if kind == "instances" else ("softmax",)
    network = {**told.network.arguments, "out_channels": len(channels)}
    return replace(
        told,
        network=replace(told.network, arguments=network),
        outputs=Outputs(kind, channels, activation),
        labels=(LabelClass(4, "a"), LabelClass(7, "b"))[: len(channels) - 1],
    )


def blobs(shape: tuple[int, ...], count: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for number in range(1, count + 1):
        centre = [rng.uniform(0, n) for n in shape]
        radii = [rng.uniform(1.5, 5) for _ in shape]
        away = sum(
            ((at - c) / r) ** 2 for at, c, r in zip(np.indices(shape), centre, radii, strict=True)
        )
        labels[away < 1] = number
    return labels


def pair(kind: str, labels: Any, **grids: Any) -> tuple[Volume, LabelVolume]:
    rng = np.random.default_rng(1)
    image = (rng.normal(100, 20, labels.shape) + 50 * (labels > 0)).astype(np.float32)
    grid = Grid.from_spacing(labels.shape, **grids)
    chunks = tuple(min(n, 8) for n in labels.shape)
    stored = zarr.create_array({}, shape=image.shape, chunks=chunks, dtype=image.dtype)
    stored[...] = image
    if kind == "classes":
        labels = np.array([0, 4, 7])[labels % 3]
    return Volume(stored, grid), LabelVolume(labels.astype(np.int32), grid, kind=kind)


def equal(one: Example, other: Example) -> None:
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.targets, other.targets)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert (one.name, one.spacing) == (other.name, other.spacing)
    assert (one.targets.dtype, one.image.dtype) == (other.targets.dtype, other.image.dtype)
    assert len(one.centres) == len(other.centres)
    for example in (one, other):
        assert (example.labels[tuple(example.centres.T)] > 0).all()
    assert (one.labelled is None) == (other.labelled is None)
    if one.labelled is not None and other.labelled is not None:
        assert len(one.labelled) == len(other.labelled)
        assert (one.labels[tuple(other.labelled.T)] >= 0).all()


def both(share: Any, told: ModelDescription, **given: Any) -> tuple[list[Example], list[Example]]:
    options = {key: given.pop(key) for key in ("margin", "partial") if key in given}
    held = list(make_examples([share], told, settings=TrainingSettings(**given), **options))
    given = {**given, **NO_ROOM}
    kept = list(make_examples([share], told, settings=TrainingSettings(**given), **options))
    assert len(held) == len(kept)
    for one, other in zip(held, kept, strict=True):
        assert not isinstance(_owner(one.targets), mmap.mmap)
        assert _on_disk(other.targets)
        assert _on_disk(other.image)
        equal(one, other)
    return held, kept


def _owner(array: Any) -> Any:
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def _on_disk(array: Any) -> bool:
    return isinstance(getattr(_owner(array), "obj", _owner(array)), mmap.mmap)


CASES: dict[str, tuple[str, int, tuple[Operation, ...], dict[str, Any]]] = {
    "classes": ("classes", 3, (), {}),
    "classes scaled": ("classes", 3, (SCALE,), {}),
    "classes turned and resampled": ("classes", 3, (TURN, SPACING, SCALE), {}),
    "instances": ("instances", 3, (), {}),
    "instances turned and resampled": ("instances", 3, (TURN, SPACING), {}),
    "slices of classes": ("classes", 2, (SCALE,), {}),
    "slices of instances": ("instances", 2, (), {}),
    "ignored": ("instances", 3, (), {"ignore_label": 3}),
    "ignored classes": ("classes", 3, (SPACING,), {"ignore_label": 7}),
}


@pytest.mark.parametrize(("kind", "dims", "steps", "given"), CASES.values(), ids=CASES)
def test_examples_on_disk_are_those_in_memory(kind: Any, dims: int, steps: Any, given: Any) -> None:
    volume, truth = pair(kind, blobs((13, 17, 24), 20), spacing=(2.0, 1.0, 1.0), unit="mm")
    both((volume, truth), model(kind, dims, *steps), **given)


@pytest.mark.parametrize("kind", ["classes", "instances"])
@pytest.mark.parametrize("dims", [2, 3])
def test_only_the_surroundings_of_what_is_labelled_are_kept(kind: Any, dims: int) -> None:
    volume, truth = pair(kind, blobs((8, 16, 40), 30))
    share = Share(volume, truth, axis=2, start=25, stop=30)
    told = model(kind, dims)
    held, _ = both(share, told, margin=(3, 4, 6)[-dims:])
    whole, _ = both(share, told)
    box = (slice(None), slice(None), slice(19, 36))[-dims:]
    assert len(held) == len(whole) == (1 if dims == 3 else 8)
    for cut, all_of_it in zip(held, whole, strict=True):
        np.testing.assert_array_equal(cut.image, all_of_it.image[(slice(None), *box)])
        np.testing.assert_array_equal(cut.targets, all_of_it.targets[(slice(None), *box)])
        np.testing.assert_array_equal(cut.labels, all_of_it.labels[box])


def test_slices_keep_their_numbers_where_a_volume_is_cut() -> None:
    volume, truth = pair("classes", blobs((9, 20, 20), 9))
    share = Share(volume, truth, corrected=frozenset({4, 6}))
    held, _ = both(share, model("classes", 2), margin=(4, 4))
    assert [example.name for example in held] == ["image, slice 4", "image, slice 6"]


def test_objects_in_corrected_slices_have_distances_there() -> None:
    volume, truth = pair("instances", blobs((9, 20, 20), 9))
    share = Share(volume, truth, corrected=frozenset({4, 6}))
    (held,), _ = both(share, model("instances", 3))
    np.testing.assert_array_equal(held.targets[4] > 0, held.labels >= 0)
    assert held.targets[1][4].max() == 1


@pytest.mark.parametrize("margin", [None, (4, 4, 4)])
def test_nothing_labelled_is_no_example(margin: Any) -> None:
    volume, truth = pair("instances", np.full((8, 8, 8), 5))
    assert both((volume, truth), model("instances", 3), ignore_label=5, margin=margin) == ([], [])


def test_a_strange_class_is_said_of_both() -> None:
    volume, truth = pair("instances", np.full((8, 8, 8), 5))
    for given in ({}, NO_ROOM):
        with pytest.raises(TrainingError, match="label 5 is none of"):
            list(
                make_examples(
                    [(volume, truth)], model("classes", 3), settings=TrainingSettings(**given)
                )
            )


# -- distances ------------------------------------------------------------------------------------


@hypothesis.given(
    st.tuples(*[st.integers(1, 20)] * 3), st.integers(1, 3), st.integers(0, 2**16), st.booleans()
)
@hypothesis.settings(max_examples=60)
def test_objects_in_large_boxes_have_the_same_distances(
    shape: tuple[int, ...], count: int, seed: int, anisotropic: bool
) -> None:
    """In parts of 5 voxels, looked at from 2 voxels around."""
    labels = blobs(shape, count, seed)
    spacing = (3.0, 1.0, 0.5) if anisotropic else (1.0, 1.0, 1.0)
    expected = centre_distance(labels, spacing=spacing)
    found = np.zeros(shape, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_AT_ONCE", 1), ("_PART", 5), ("_AROUND", 2)):
            patch.setattr(depths, name, value)
        for number in range(1, labels.max() + 1):
            where = np.argwhere(labels == number)
            if len(where):
                box = tuple(map(slice, where.min(0).tolist(), (where.max(0) + 1).tolist()))
                write_depth(labels, number, box, spacing, found)
    np.testing.assert_array_equal(found, expected)


def test_what_is_deeper_than_is_looked_counts_as_so_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_AT_ONCE", 1), ("_PART", 7), ("_AROUND", 2), ("_FARTHEST", 4)):
        monkeypatch.setattr(depths, name, value)
    labels = np.zeros(61, np.int32)
    labels[10:51] = 1
    found = np.zeros(61)
    write_depth(labels, 1, (slice(10, 51),), (1.0,), found)
    expected = np.minimum(np.minimum(np.arange(61) - 9, 51 - np.arange(61)).clip(0), 4) / 4
    np.testing.assert_allclose(found, expected, atol=1e-7)


# -- centres --------------------------------------------------------------------------------------


@hypothesis.given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(1, 40))
def test_as_many_voxels_are_kept_as_there_is_room_for(parts: list[int], most: int) -> None:
    sample, start = Sample(most), 0
    for n in parts:
        sample.add(np.ones((1, n), bool), (0, start))
        start += n
    kept = sample.indices()
    assert len(np.unique(kept[:, 1])) == len(kept) == min(most, sum(parts))
    assert (kept[:, 0] == 0).all()
    assert not len(kept) or kept[:, 1].max() < sum(parts)


def test_voxels_of_every_part_are_as_likely() -> None:
    sample = Sample(2000)
    for part in range(10):
        sample.add(np.ones(10000, bool), (10000 * part,))
    counts = np.bincount(sample.indices()[:, 0] // 10000, minlength=10)
    assert counts.sum() == 2000
    # Ten parts of 200 each, give or take 4.5 standard deviations.
    assert np.abs(counts - 200).max() < 60


def test_each_class_has_its_voxels() -> None:
    centres = Centres(each=True, partial=True)
    labels = np.array([[3, 3, 0, -1], [0, 2, 0, -1]])
    centres.add(labels)
    assert sorted(map(tuple, centres.foreground.tolist())) == [(0, 0), (0, 1), (1, 1)]
    assert centres.labelled is not None
    assert len(centres.labelled) == 6


# -- the disk -------------------------------------------------------------------------------------


def test_arrays_are_zeros_of_their_own_and_nothing_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    spilled = Spill(folder)
    one, other = spilled.array((3, 5), np.float16), spilled.array((7,), np.int32)
    assert not one.any()
    one[...] = 3
    assert not other.any()
    other[...] = 9
    spilled.release()
    assert (one == 3).all()
    assert (other == 9).all()
    assert list(folder.iterdir()) == []


def test_memory_let_go_of_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "_SEGMENT", 2**16)
    spilled = Spill()
    arrays = [spilled.array((2**14,), np.int32) for _ in range(3)]
    for number, array in enumerate(arrays):
        array[...] = number
    spilled.release()
    assert [array.tolist()[::5000] for array in arrays] == [[n] * 4 for n in range(3)]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spill, "_fill", full)
    with pytest.raises(TrainingError, match=r"0\.2 GiB not into .*No space left"):
        Spill(tmp_path).array((5,), np.int8)
    no_folder = tmp_path / "file"
    no_folder.write_text("")
    with pytest.raises(TrainingError, match="not into"):
        Spill(no_folder).array((5,), np.int8)


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored volume of 40 MiB with its labels: less than half of that at any time."""
    for module, name in ((lazy, "_BLOCK"), (sources, "_FROM_FILE")):
        monkeypatch.setattr(module, name, 2**17)
    shape = (32, 512, 512)
    grid = Grid.from_spacing(shape)
    stored = []
    for name, dtype in (("image", np.float32), ("labels", np.uint8)):
        array = zarr.create_array(
            tmp_path / name, shape=shape, chunks=(16, 128, 128), dtype=dtype, compressors=None
        )
        array[:, 100:300, 50:99] = 4
        stored.append(array)
    share = Share(Volume(stored[0], grid), LabelVolume(stored[1], grid, kind="classes"))
    told, given = model("classes", 3), TrainingSettings(**NO_ROOM)
    tracemalloc.start()
    try:
        (example,) = make_examples([share], told, settings=given)
        example.image[0, 20:40, 100:200, 50:150].max()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (example.targets[0] == 1).sum() == 32 * 200 * 49
    assert peak < 16 * 2**20
