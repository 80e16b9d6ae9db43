"""Slices of a 2-D model made into objects, and time points linked, in whole runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from tests.models.known import INSTANCES, threshold_model
from tests.space import grid

from napari_monai.directions import Resliced
from napari_monai.errors import OutOfMemoryError
from napari_monai.events import Said, Segmented, Started, WindowDone
from napari_monai.grid import Grid
from napari_monai.inference import segment, segment_steps
from napari_monai.instance_slices import decode_slices
from napari_monai.instances import decode
from napari_monai.labels.linked_slices import link_slices
from napari_monai.labels.linking import Track
from napari_monai.models import Inferer, Operation
from napari_monai.preprocess import prepare
from napari_monai.settings import InferenceSettings
from napari_monai.volume import Volume

LINKED = InferenceSettings(device="cpu", precision="float32")
TOGETHER = replace(LINKED, slices="together")
ORTHOGONAL = replace(LINKED, slices="orthogonal")


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("m") / "m"
    return threshold_model(folder, threshold=0.5, gain=20, inferer=Inferer((8, 8)), **INSTANCES)


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    folder = tmp_path_factory.mktemp("m") / "m"
    return threshold_model(folder, threshold=49.5, inferer=Inferer((8, 8)))


def cones(*places, shape=(12, 16, 16)) -> np.ndarray:
    """Return cones of brightness 1 in the middle, 0.5 where they end: (z, y, x, radius)."""
    index = np.stack(np.indices(shape), -1)
    peaks = [1 - np.linalg.norm(index - p[:3], axis=-1) / (2 * p[3]) for p in places]
    return np.clip(np.max(peaks, axis=0), 0, None).astype(np.float32)


TWO = cones((3, 7, 7, 3.4), (8, 8, 8, 3.4))  # one above the other


def test_slices_are_decoded_one_by_one_and_linked(blobs):
    volume = Volume(TWO, Grid.from_spacing(TWO.shape))
    found = segment(volume, blobs, settings=LINKED).numpy()
    spacing = (1.0, 1.0, 1.0)
    maps = 1 / (1 + np.exp(-20 * (TWO - 0.5))), TWO
    slices = [decode(*(m[z] for m in maps), smoothing=0.0) for z in range(len(TWO))]
    expected = link_slices(np.stack(slices), spacing=spacing)
    np.testing.assert_array_equal(found, expected)
    assert found.max() == 2


def test_decoded_by_slabs_or_at_once_it_is_the_same(tmp_path):
    import zarr

    rng = np.random.default_rng(0)
    distance = ndimage.gaussian_filter(rng.random((13, 20, 20)), 1.5)
    distance = (distance - distance.min()) / np.ptp(distance)
    whole, stored = np.zeros(distance.shape, np.int32), tmp_path / "labels"
    chunked = zarr.create_array(stored, shape=distance.shape, chunks=(4, 8, 8), dtype="i4")
    counts = []
    for target in (whole, chunked):
        maps = {"foreground": distance, "distance": distance}
        steps = decode_slices(maps, target, linking={"gap": 1}, threshold=0.55)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                counts.append(done.value)
                break
    np.testing.assert_array_equal(chunked[...], whole)
    assert counts[0] == counts[1] == whole.max() > 3


@pytest.mark.parametrize("settings", [LINKED, ORTHOGONAL, TOGETHER], ids=lambda s: s.slices)
def test_smallest_objects_are_volumes(blobs, settings):
    # 19 voxels of 2 mm³ each, in slices of 5 voxels or less.
    shape = (7, 9, 9)
    distance = np.linalg.norm(np.stack(np.indices(shape), -1) - (3, 4, 4), axis=-1)
    volume = Volume((distance < 1.5).astype(np.float32), Grid.from_spacing(shape, (2, 1, 1)))
    for size, count in ((30.0, 1), (60.0, 0)):
        found = segment(volume, blobs, settings=replace(settings, min_size=size)).numpy()
        assert found.max() == count, size


# -- from three sides ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 6, 7), (2, 9, 4), (1, 5, 6)], ids=str)
@pytest.mark.parametrize("codes", ["IPL", "RAS", "LPS"])
def test_classes_from_three_sides_of_cubic_voxels(bright, codes, shape):
    data = np.random.default_rng(0).integers(0, 100, shape).astype(np.uint8)
    volume = Volume(data, grid(shape, codes, (1.0, 1.0, 1.0)))
    events = list(segment_steps(volume, bright, settings=ORTHOGONAL))
    np.testing.assert_array_equal(events[-1].labels.numpy(), data > 49.5)


def test_the_windows_of_three_sides_are_counted(bright):
    volume = Volume(np.zeros((3, 8, 16), np.uint8), Grid.from_spacing((3, 8, 16)))
    events = list(segment_steps(volume, bright, settings=ORTHOGONAL))
    started = next(e for e in events if isinstance(e, Started))
    windows = [e for e in events if isinstance(e, WindowDone)]
    # With even windows of 8, half overlapping: 3 x 3 slices, 8 of 3 x 16, 16 of 3 x 8.
    assert started.total == windows[-1].done == windows[0].total == 3 * 3 + 8 * 3 + 16
    assert [w.done for w in windows] == sorted(w.done for w in windows)
    told = np.zeros(volume.grid.shape, int)
    for event in windows:
        if event.region is not None:
            told[event.region] += 1
    assert (told == 1).all()


def test_thick_slices_are_made_square(bright):
    volume = Volume(np.zeros((4, 9, 12)), Grid.from_spacing((4, 9, 12), (3.0, 1.0, 1.5)))
    prepared = prepare(volume, bright.description)
    assert Resliced(prepared, 1).grid.shape == (9, 8, 12)  # 4 slices of 3 by voxels of 1.5
    assert Resliced(prepared, 2).grid.shape == (12, 12, 9)
    np.testing.assert_allclose(Resliced(prepared, 1).grid.spacing, (1.0, 1.5, 1.5))


@pytest.mark.parametrize("axis", [1, 2])
def test_slices_across_are_the_volume_resampled(bright, axis):
    ramp = np.arange(4.0)[:, None, None] * 10 + np.arange(6.0)[:, None] + np.zeros(6)
    volume = Volume(ramp, Grid.from_spacing(ramp.shape, (2.0, 1.0, 1.0)))
    sliced = Resliced(prepare(volume, bright.description), axis)
    assert sliced.grid.shape == (6, 8, 6)
    across = sliced.read((slice(0, 6), slice(1, 7), slice(2, 5)))[0]
    # Between the first and the last slice it is linear: 10 a slice of 2, from its middle on.
    heights = 10 * ((np.arange(1, 7) + 0.5) / 2 - 0.5)
    rows = np.arange(6.0)[:, None, None] if axis == 1 else np.arange(2.0, 5.0)
    np.testing.assert_allclose(across, heights[:, None] + rows + np.zeros((6, 6, 3)), atol=1e-5)
    part = sliced.read((slice(2, 4), slice(1, 7), slice(2, 5)))[0]
    np.testing.assert_array_equal(part, across[2:4])


def test_depth_is_the_least_of_three_sides(blobs):
    # The model's distance is brightness: from every side the same, so as decoded at once.
    volume = Volume(TWO, Grid.from_spacing(TWO.shape))
    found = segment(volume, blobs, settings=ORTHOGONAL).numpy()
    np.testing.assert_array_equal(found, segment(volume, blobs, settings=TOGETHER).numpy())
    assert found.max() == 2


def test_three_sides_of_a_picture_are_one(bright):
    data = np.random.default_rng(0).integers(0, 100, (9, 7)).astype(np.uint8)
    found = segment(Volume(data, Grid.from_spacing((9, 7))), bright, settings=ORTHOGONAL)
    np.testing.assert_array_equal(found.numpy(), data > 49.5)


def test_three_sides_that_do_not_fit_are_refused_with_the_cure(bright, tmp_path):
    shape = (64, 128, 128)
    volume = Volume(np.zeros(shape, np.uint8), Grid.from_spacing(shape))
    settings = replace(ORTHOGONAL, memory=0.005)
    with pytest.raises(OutOfMemoryError, match="choose linked slices"):
        segment_to_end(volume, bright, settings, tmp_path)


def segment_to_end(volume, model, settings, scratch=None):
    *_, last = segment_steps(volume, model, settings=settings, scratch=scratch)
    assert isinstance(last, Segmented)
    return last


def test_a_3d_model_says_that_it_has_no_slices(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=49.5, dims=3, inferer=Inferer((4, 4, 4)))
    volume = Volume(np.zeros((4, 4, 4), np.uint8), Grid.from_spacing((4, 4, 4)))
    events = list(segment_steps(volume, model, settings=ORTHOGONAL))
    assert any(isinstance(e, Said) and "looks at volumes" in e.message for e in events)


# -- time ------------------------------------------------------------------------------------------


def film() -> Volume:
    """Return two squares that change places in the order of their first voxels."""
    frames = np.zeros((4, 12, 16), np.float32)
    for time, frame in enumerate(frames):
        frame[6 - 2 * time : 11 - 2 * time, 1:6] = 1
        frame[3:8, 9:14] = 1
    frames[2, :, 1:6] = 0  # missed once
    return Volume(frames, Grid.from_spacing((12, 16)), leading="t", time_step=1.0)


@pytest.mark.parametrize(
    ("told", "numbers"),
    [
        ({"link_time": False}, [[1, 2], [1, 2], [1], [1, 2]]),
        ({}, [[1, 2], [1, 2], [1], [1, 3]]),
        ({"link_gap": 1, "link_overlap": 0.2}, [[1, 2], [1, 2], [1], [1, 2]]),
    ],
    ids=["apart", "linked", "bridged"],
)
def test_objects_keep_their_numbers(blobs, told, numbers):
    done = segment_to_end(film(), blobs, replace(LINKED, **told))
    frames = done.labels.numpy()
    assert [np.unique(f)[1:].tolist() for f in frames] == numbers
    still = [int(f[5, 11]) for f in frames]
    assert (len(set(still)) == 1) == (told.get("link_time", True))
    if told.get("link_time", True):
        assert done.tracks[0] == Track(1, 0, 3)
        assert len(done.tracks) == max(map(max, numbers))
    else:
        assert done.tracks == ()


def test_a_run_that_is_gone_on_with_links_as_one_that_was_not(blobs, tmp_path):
    settings = replace(LINKED, link_gap=1, link_overlap=0.2)
    whole = segment_to_end(film(), blobs, settings, tmp_path / "whole")
    windows = sum(isinstance(e, WindowDone) for e in segment_steps(film(), blobs, settings=LINKED))
    for stop in range(2, windows + 6, 5):
        scratch = tmp_path / f"stopped {stop}"
        steps = segment_steps(film(), blobs, settings=settings, scratch=scratch)
        for number, _ in enumerate(steps):
            if number == stop:
                steps.close()  # type: ignore[attr-defined]
        again = segment_to_end(film(), blobs, settings, scratch)
        np.testing.assert_array_equal(again.labels.numpy(), whole.labels.numpy())
        assert again.tracks == whole.tracks


def test_volumes_over_time_are_linked_in_both(blobs):
    moved = np.stack([TWO, np.roll(TWO, 1, axis=1)])
    volume = Volume(moved, Grid.from_spacing(TWO.shape), leading="t")
    found = segment(volume, blobs, settings=LINKED).numpy()
    alone = segment(volume.at_time(1), blobs, settings=LINKED).numpy()
    np.testing.assert_array_equal(found[1], alone)  # the same two, called as before
    assert [f.max() for f in found] == [2, 2]


def test_frames_that_are_too_large_are_said_and_left(blobs, monkeypatch):
    monkeypatch.setattr("napari_monai.tracking._EACH", 2**60)
    events = list(segment_steps(film(), blobs, settings=LINKED))
    lines = [e.message for e in events if isinstance(e, Said)]
    assert sum("too large to be linked" in line for line in lines) == 1
    assert events[-1].labels.numpy()[3].max() == 2


def test_spacing_within_slices_is_what_a_model_decodes_by(tmp_path):
    # Resampled to squares before it is decoded, and brought back.
    told = {**INSTANCES, "preprocess": (Operation("spacing", {"spacing": [1.0, 1.0]}),)}
    model = threshold_model(tmp_path / "m", threshold=0.5, gain=20, **told)
    image = (TWO > 0.5).astype(np.float32).repeat(2, axis=2)
    volume = Volume(image, Grid.from_spacing(image.shape, (1.0, 1.0, 0.5)))
    found = segment(volume, model, settings=LINKED).numpy()
    assert found.shape == image.shape
    assert found.max() >= 1
