"""Decoding of instances block by block, against decoding in one piece."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_monai.errors import SettingsError, VolumeError
from napari_monai.events import BlockDone, Event, Said, Started
from napari_monai.instance_blocks import decode_blocks
from napari_monai.instance_parts import BYTES_PER_VOXEL, Decoding, decode_part
from napari_monai.instances import decode

Map = npt.NDArray[np.float32]


def noise(shape: tuple[int, ...], sigma: float, seed: int) -> Map:
    """Return smooth noise from 0 to 1."""
    values = np.random.default_rng(seed).random(shape, np.float32)
    values = ndimage.gaussian_filter(values, sigma)
    return np.asarray((values - values.min()) / np.ptp(values), np.float32)


def carpet(
    shape: tuple[int, ...], *, sigma: float = 2, part: float = 0.7, seed: int = 0
) -> tuple[Map, Map]:
    """Return maps of touching objects about ``4 * sigma`` wide; ``part`` of all is foreground."""
    foreground = noise(shape, sigma, seed)
    foreground = (foreground >= np.quantile(foreground, 1 - part)).astype(np.float32)
    return foreground, noise(shape, sigma, seed + 1)


def in_blocks(
    foreground: Any, distance: Any, voxels: int, **options: Any
) -> tuple[npt.NDArray[np.int32], int, list[Event]]:
    """Decode in blocks that hold so many voxels; return labels, their count and the events."""
    labels = np.full(foreground.shape, -1, np.int32)
    job = decode_blocks(foreground, distance, labels, memory=voxels * BYTES_PER_VOXEL, **options)
    events: list[Event] = []
    while True:
        try:
            events.append(next(job))
        except StopIteration as stop:
            return labels, stop.value, events


def notes(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Said)]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(
    ("shape", "voxels", "sigma", "options"),
    [
        ((140, 90), 5000, 1.5, {}),
        ((60, 150), 5000, 1.5, {"spacing": (2.0, 1.0), "min_size": 40.0}),
        ((16, 400), 3000, 1.5, {"min_voxels": 25.0}),
        ((6, 60, 60), 14000, 1, {"spacing": (3.0, 1.0, 1.0)}),
        ((60, 24, 24), 20000, 1, {"smoothing": 0.0, "seed_threshold": 0.05}),
        ((140, 90), 5000, 1.5, {"min_certainty": 0.75, "threshold": 0.4}),
        ((6, 60, 60), 14000, 1, {"parting": 0.7, "touching": True, "min_certainty": 0.7}),
    ],
    ids=["2d", "2d anisotropic", "strip", "flat 3d", "long 3d", "certain", "touching"],
)
def test_same_as_in_one_piece(
    dtype: type[np.floating[Any]],
    shape: tuple[int, ...],
    voxels: int,
    sigma: float,
    options: dict[str, Any],
) -> None:
    foreground, distance = (m.astype(dtype) for m in carpet(shape, sigma=sigma))
    if "min_certainty" in options:  # some objects are less sure than others
        foreground = (foreground * (0.5 + 0.5 * noise(shape, 3 * sigma, 5))).astype(dtype)
    if "touching" in options:
        options = {**options, "touching": noise(shape, sigma, 6).astype(dtype)}
    found, count, events = in_blocks(foreground, distance, voxels, **options)
    assert not notes(events)
    expected = decode(foreground, distance, **options)
    without = decode(foreground, distance, **{**options, "min_certainty": 0.0})
    assert (without.max() > expected.max()) == ("min_certainty" in options)
    np.testing.assert_array_equal(found, expected)
    assert count == expected.max() > 20
    assert isinstance(events[0], Started)
    done = [event for event in events if isinstance(event, BlockDone)]
    assert [event.done for event in done] == list(range(1, events[0].total + 1))
    assert events[0].total > 4


@settings(deadline=None, max_examples=15)
@given(
    st.tuples(st.integers(10, 40), st.integers(10, 60)),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.7, 1.5]),
    st.sampled_from([0.2, 0.6, 1.0]),
    st.sampled_from([0, 4, 20]),
    st.sampled_from([0.0, 1.0]),
    st.sampled_from([1.0, 0.5, 2.0]),
)
def test_same_as_in_one_piece_or_said(
    shape: tuple[int, int],
    seed: int,
    sigma: float,
    part: float,
    grey_values: int,
    smoothing: float,
    step: float,
) -> None:
    foreground, distance = carpet(shape, sigma=sigma, part=part, seed=seed)
    if grey_values:  # plateaus everywhere: what comes first must not hang on the block
        distance = np.round(distance * grey_values) / np.float32(grey_values) - np.float32(0.2)
    options: dict[str, Any] = {"spacing": (1.0, step), "smoothing": smoothing}
    found, count, events = in_blocks(foreground, distance, 600, **options)
    assert ((found > 0) == (foreground >= 0.5)).all()
    assert np.array_equal(np.unique(found[found > 0]), np.arange(1, count + 1))
    if not notes(events):
        np.testing.assert_array_equal(found, decode(foreground, distance, **options))


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 10000),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([0, 3, 10]),
    st.tuples(*[st.integers(0, 20)] * 4),
)
def test_what_is_known_of_a_part_holds_for_the_whole(
    seed: int, sigma: float, grey_values: int, corner: tuple[int, ...]
) -> None:
    foreground, distance = carpet((44, 44), sigma=sigma, part=0.8, seed=seed)
    if grey_values:
        distance = np.round(distance * grey_values) / np.float32(grey_values)
    box = tuple(slice(low, 44 - high) for low, high in zip(corner[:2], corner[2:], strict=True))
    part = decode_part(
        foreground, distance, box, box, Decoding.of(2, None, smoothing=0.0, seed_threshold=0.1)
    )
    seen = part.labels_in(box)
    known = (seen > 0) & ((seen != part.unknown) | (part.unknown == 0))
    whole = decode(foreground, distance, smoothing=0.0, seed_threshold=0.1)[box]
    pairs = np.unique(np.stack([seen[known], whole[known]]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def snake(rows: int, columns: int) -> Map:
    """Return a line that winds through the whole image, two voxels wide."""
    line = np.zeros((rows, columns), np.float32)
    for number, row in enumerate(range(1, rows - 4, 6)):
        line[row : row + 2, 1:-1] = 1
        end = slice(columns - 3, columns - 1) if number % 2 == 0 else slice(1, 3)
        line[row : row + 8, end] = 1
    return line


@pytest.mark.parametrize("depth", [0.01, 0.9], ids=["without a seed", "one plateau"])
def test_one_object_that_winds_through_all_blocks(depth: float) -> None:
    line = snake(60, 50)
    found, count, events = in_blocks(line, depth * line, 700, smoothing=0.0)
    assert count == 1
    assert ((found == 1) == (line == 1)).all()
    assert len(notes(events)) == 1


def test_objects_along_a_line_through_all_blocks() -> None:
    line = snake(60, 50)
    distance = line * np.float32(0.6) + 0.4 * noise(line.shape, 1, 3)
    found, count, _ = in_blocks(line, distance, 900, seed_threshold=0.05)
    expected = decode(line, distance, seed_threshold=0.05)
    assert count > 10
    np.testing.assert_array_equal(found, expected)


def test_flat_pieces_and_the_borders_of_the_image() -> None:
    foreground = np.zeros((40, 40), np.float32)
    for row in range(0, 40, 5):
        foreground[row : row + 4, ::2] = 1  # columns of their own, some cut by the border
        foreground[row, 18:22] = 1
    found, count, events = in_blocks(foreground, 0.02 * foreground, 400, min_voxels=3)
    expected = decode(foreground, 0.02 * foreground, min_voxels=3)
    np.testing.assert_array_equal(found, expected)
    assert count == expected.max() > 100
    assert not notes(events)


def test_size_counts_over_all_blocks() -> None:
    foreground = np.zeros((60, 10), np.float32)
    foreground[1:59, 4] = 1  # 58 voxels through all blocks
    foreground[5:9, 8] = 1
    for smallest, kept in ((4, 2), (58, 1), (59, 0)):
        found, count, _ = in_blocks(foreground, foreground, 250, smoothing=0.0, min_voxels=smallest)
        assert count == kept == found.max(), smallest


def test_nothing() -> None:
    found, count, _ = in_blocks(np.zeros((40, 50)), np.ones((40, 50)), 300)
    assert count == 0
    assert not found.any()


def test_zarr_to_zarr(tmp_path: Path) -> None:
    arrays = []
    for name, values in zip("ab", carpet((70, 60), sigma=1.5), strict=True):
        array = zarr.create_array(
            str(tmp_path / name), shape=values.shape, chunks=(16, 32), dtype=values.dtype
        )
        array[:] = values
        arrays.append(array)
    labels = zarr.create_array(
        str(tmp_path / "labels"), shape=(70, 60), chunks=(8, 24), dtype=np.int32
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for _ in decode_blocks(*arrays, labels, memory=2500 * BYTES_PER_VOXEL, scratch=scratch):
        pass
    np.testing.assert_array_equal(labels[:], decode(arrays[0][:], arrays[1][:]))
    assert not list(scratch.iterdir())


class Full:
    """An array on a disk that is full."""

    def __setitem__(self, box: Any, values: Any) -> None:
        raise OSError("No space left on device")


def test_no_files_are_left_by_a_job_that_is_closed_or_fails(tmp_path: Path) -> None:
    maps = carpet((60, 60), sigma=1)
    memory = 1500 * BYTES_PER_VOXEL
    job = decode_blocks(*maps, np.zeros((60, 60), np.int32), memory=memory, scratch=tmp_path)
    next(job), next(job), next(job)
    assert list(tmp_path.iterdir())
    job.close()
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="No space"):
        list(decode_blocks(*maps, Full(), memory=memory, scratch=tmp_path))
    assert not list(tmp_path.iterdir())


def test_errors() -> None:
    map_ = np.zeros((40, 50), np.float32)
    with pytest.raises(VolumeError, match=r"\(40, 50\) and distance of shape \(40, 49\)"):
        next(decode_blocks(map_, map_[:, 1:], map_))
    with pytest.raises(VolumeError, match=r"\(40, 50\) and touching of shape \(39, 50\)"):
        next(decode_blocks(map_, map_, map_, touching=map_[1:]))
    with pytest.raises(SettingsError, match="memory is 1000 bytes"):
        next(decode_blocks(map_, map_, map_, memory=1000))


# What a process holds at its height above the start, in bytes: of its own memory, not (as rusage
# tells it) of that of the process that started it.
_MEASURED = """
import sys, numpy as np, zarr
from pathlib import Path
from napari_monai.instance_blocks import decode_blocks

def kilobytes(name):
    return int(Path("/proc/self/status").read_text().split(name)[1].split()[0])

folder, memory = Path(sys.argv[1]), int(sys.argv[2])
maps = [zarr.open_array(str(folder / name), mode="r") for name in "ab"]
labels = zarr.create_array(
    str(folder / "labels"), shape=maps[0].shape, chunks=(500, 500), dtype=np.int32
)
small = np.zeros((40, 40), np.float32)
list(decode_blocks(small, small, small.astype(np.int32), memory=100_000, scratch=folder))
before = kilobytes('VmRSS:')
list(decode_blocks(*maps, labels, memory=memory, scratch=folder))
print(1024 * (kilobytes('VmHWM:') - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak this way")
def test_memory_is_bounded(tmp_path: Path) -> None:
    shape, disc = (2500, 2500), np.hypot(*np.mgrid[-12:13, -12:13]) <= 12
    depth = ndimage.distance_transform_edt(np.pad(disc, 1))[1:-1, 1:-1] / 13
    maps = np.zeros((2, *shape), np.float32)
    for row in range(40, 2500, 250):
        for column in range(40, 2500, 250):
            maps[:, row : row + 25, column : column + 25] = disc, depth
    for name, values in zip("ab", maps, strict=True):
        array = zarr.create_array(
            str(tmp_path / name), shape=shape, chunks=(500, 500), dtype=np.float32
        )
        array[:] = values
    memory = 30_000_000
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(tmp_path), str(memory)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert int(done.stdout) < memory + 20_000_000  # the chunks that zarr decodes come on top
    labels = zarr.open_array(str(tmp_path / "labels"), mode="r")[:]
    assert np.asarray(labels).max() == 10 * 10
