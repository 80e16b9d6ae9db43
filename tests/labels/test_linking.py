"""Objects of slices and frames linked by their overlap."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_monai.errors import SettingsError, VolumeError
from napari_monai.labels.linked_slices import SliceLinker, cuts, link_slices
from napari_monai.labels.linking import Linker, Pieces, Track, assigned, link_frames, shared

FRAMES = arrays(np.uint8, st.tuples(st.integers(1, 5), st.just(4), st.just(5)),
                elements=st.integers(0, 4))  # fmt: skip


def line(text: str) -> np.ndarray:
    """Return a slice of one row: ``"11.2"`` is 1, 1, 0, 2."""
    return np.array([[0 if c == "." else int(c) for c in text]])


def linked(*slices: str, **linking) -> list[str]:
    """Link slices of one row, and write them as text again."""
    found = link_frames([line(s) for s in slices], **linking)
    return ["".join("." if n == 0 else str(n) for n in one[0]) for one in found]


@pytest.mark.parametrize(
    ("slices", "linking", "expected"),
    [
        (("111.22", "222.11"), {}, ["111.22", "111.22"]),
        (("11....", "....11"), {}, ["11....", "....22"]),
        (("1111..", "...111"), {"least": 0.34}, ["1111..", "...222"]),
        (("1111..", "...111"), {"least": 0.33}, ["1111..", "...111"]),
        (("11....", "......", "11...."), {}, ["11....", "......", "22...."]),
        (("11....", "......", "11...."), {"gap": 1}, ["11....", "......", "11...."]),
        (("11....", *["......"] * 2, "11...."), {"gap": 1}, ["11....", *["......"] * 2, "22...."]),
        # What is there in between goes before what is not.
        (("111...", "11..2.", "333.4."), {"gap": 1}, ["111...", "11..2.", "111.2."]),
        # The larger part goes on, the other one is new.
        (("11111.", "111.2."), {}, ["11111.", "111.2."]),
        # The larger of two that merge goes on.
        (("111.22", "111111"), {}, ["111.22", "111111"]),
        (("......", "11...."), {}, ["......", "11...."]),
    ],
    ids=["renumbered", "no overlap", "too little", "enough", "gone", "bridged", "gone too long",
         "nearest first", "split", "merge", "empty"],
)  # fmt: skip
def test_literal_slices(slices, linking, expected):
    assert linked(*slices, **linking) == expected


def test_the_best_of_all_ways_is_taken_and_not_the_best_pair():
    # Greedily the pair of the highest IoU, B with y, would be taken; A would be left alone.
    one, other = np.array([0, 1, 1]), np.array([0, 0, 1])
    assert assigned(one, other, np.array([0.5, 0.6, 0.4])).tolist() == [0, 2]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 64)), max_size=9,
                unique_by=lambda p: p[:2]))  # fmt: skip
def test_assignment_is_that_of_trying_all(pairs):
    one, other, score = (np.array([p[i] for p in pairs], np.int64) for i in range(3))
    taken = assigned(one, other, score / 64)
    assert len(set(one[taken])) == len(taken) == len(set(other[taken]))
    best = 0
    for chosen in itertools.product((False, True), repeat=len(pairs)):
        some = [p for p, c in zip(pairs, chosen, strict=True) if c]
        if len({p[0] for p in some}) == len(some) == len({p[1] for p in some}):
            best = max(best, sum(p[2] for p in some))
    assert score[taken].sum() == best


@given(FRAMES, st.integers(0, 2), st.sampled_from([0.1, 0.5, 1.0]), st.booleans(), st.data())
def test_numbers_of_a_frame_mean_nothing(frames, gap, least, divisions, data):
    told = {"gap": gap, "least": least, "divisions": divisions}
    found = np.stack(list(link_frames(frames, **told)))
    shuffled = []
    for frame in frames:
        numbers = data.draw(st.permutations(range(1, 5)))
        shuffled.append(np.array([0, *numbers])[frame])
    np.testing.assert_array_equal(np.stack(list(link_frames(shuffled, **told))), found)


@given(FRAMES, st.integers(0, 2))
def test_objects_of_a_frame_stay_what_they_are(frames, gap):
    for before, after in zip(frames, link_frames(frames, gap=gap), strict=True):
        pairs = np.unique(np.stack([before, after]).reshape(2, -1), axis=1)
        assert pairs.shape[1] == len(np.unique(before)) == len(np.unique(after))
        assert ((pairs[0] == 0) == (pairs[1] == 0)).all()


@given(arrays(np.uint8, (4, 5), elements=st.integers(0, 4)), st.integers(1, 5))
def test_numbers_are_stable_where_nothing_moves(frame, times):
    found = list(link_frames([frame] * times))
    for one in found:
        np.testing.assert_array_equal(one, found[0])


@given(FRAMES)
def test_shared_voxels_are_those_counted_one_by_one(frames):
    one, other = frames[0], frames[-1]
    pieces = Pieces.of(one), Pieces.of(other)
    found = {
        (int(pieces[0].values[i]), int(pieces[1].values[j])): int(n)
        for i, j, n in zip(*shared(*pieces), strict=True)
    }
    pairs = list(zip(one.ravel().tolist(), other.ravel().tolist(), strict=True))
    assert found == {p: pairs.count(p) for p in set(pairs) if min(p) > 0}


def test_reach_is_in_the_unit_of_the_spacing_and_grows_over_a_gap():
    slices = [line("111111..."), line("..111111.")]  # two voxels further
    for reach, same in ((1.9, True), (0.9, False)):
        _, after = link_frames(slices, reach=reach, spacing=(3, 0.5), least=0.1)
        assert (after.max() == 1) == (reach >= 1.0) == same
    slices = [slices[0], np.zeros_like(slices[0]), slices[1]]
    *_, after = link_frames(slices, reach=0.5, spacing=(3, 0.5), gap=1)
    assert after.max() == 1


DIVIDING = ("111111..", "111.222.", "111..222")


def test_division_ends_the_mother_and_names_her():
    linker = Linker(divisions=True)
    found = [linker.add(line(s)).max() for s in DIVIDING]
    assert found == [1, 3, 3]
    assert list(linker.tracks.values()) == [
        Track(1, 0, 0), Track(2, 1, 2, parent=1), Track(3, 1, 2, parent=1),
    ]  # fmt: skip


def test_without_divisions_one_part_goes_on():
    linker = Linker()
    for s in DIVIDING:
        linker.add(line(s))
    assert list(linker.tracks.values()) == [Track(1, 0, 2), Track(2, 1, 2)]


def test_a_crumb_that_falls_off_is_no_division():
    assert linked("1111111.", "11111.2.", divisions=True) == ["1111111.", "11111.2."]


def test_a_series_is_read_frame_by_frame_and_a_few_are_kept():
    read = []

    def frames():
        for time in range(50):
            read.append(time)
            yield np.full((2, 2), time + 1)

    for time, frame in enumerate(link_frames(frames(), gap=2)):
        assert read[-1] == time  # no frame ahead
        assert (frame == 1).all()


def test_what_was_linked_before_is_gone_on_from():
    frames = [line("11.22"), line("33..1"), line("11.22")]
    whole = list(link_frames(frames))
    again = Linker()
    for frame in whole[:2]:
        again.seen(frame)
    np.testing.assert_array_equal(again.add(frames[2]), whole[2])


def test_frames_of_two_shapes_are_refused():
    with pytest.raises(VolumeError, match="cannot be linked"):
        list(link_frames([np.ones((2, 2), int), np.ones((2, 3), int)]))


@pytest.mark.parametrize("told", [{"least": 1.1}, {"least": -0.1}, {"gap": -1}], ids=str)
def test_parameters_out_of_range(told):
    with pytest.raises(SettingsError):
        Linker(**told)


# -- slices of a volume ---------------------------------------------------------------------------


def balls(*places: tuple[float, float, float, float], step: float = 1.0) -> np.ndarray:
    """Return balls (z, y, x, radius) in slices ``step`` apart, of 24 voxels each way."""
    z, y, x = np.indices((int(24 / step), 24, 24))
    result = np.zeros(z.shape, np.int32)
    for number, (a, b, c, r) in enumerate(places, start=1):
        result[((z + 0.5) * step - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 <= r * r] = number
    return result


def shuffled(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Give the objects of each slice numbers at random."""
    rng = np.random.default_rng(seed)
    return np.stack([np.array([0, *(rng.permutation(9) + 1)])[plane] for plane in labels])


def same_objects(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = np.unique(np.stack([one, other]).reshape(2, -1), axis=1).T
    return len(pairs) == len(np.unique(one)) == len(np.unique(other)) and pairs[0].sum() == 0


@pytest.mark.parametrize("step", [1, 3, 6])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_balls_are_found_again_from_their_discs(step, axis):
    # The third lies above the other two, aside.
    truth = balls((9, 5, 5, 5), (6, 16, 16, 5), (17, 17, 9, 5), step=step)
    given_ = np.moveaxis(shuffled(truth), 0, axis)
    found = np.moveaxis(link_slices(given_, axis=axis), axis, 0)
    assert same_objects(found, truth)
    assert np.unique(found).tolist() == [0, 1, 2, 3]


def test_without_necks_what_lies_above_each_other_is_one():
    truth = balls((6, 12, 12, 6), (17.5, 12, 12, 5.9))
    assert link_slices(shuffled(truth), neck=0).max() == 1
    found = link_slices(shuffled(truth))
    # The slice of the neck may be either's.
    assert same_objects(np.delete(found, 11, 0), np.delete(truth, 11, 0))


def test_a_missed_slice_is_bridged_and_filled_with_what_is_common():
    truth = balls((12, 12, 12, 6))
    seen = truth.copy()
    seen[10] = 0
    assert link_slices(seen, gap=0).max() == 2
    found = link_slices(seen, gap=1)
    assert found.max() == 1
    np.testing.assert_array_equal(found[10], truth[9] & truth[11])
    np.testing.assert_array_equal(np.delete(found, 10, 0), np.delete(truth, 10, 0))


def test_a_bridge_between_numbers_beyond_32_bits():
    volume = np.zeros((3, 6, 6), np.uint64)
    volume[0, 1:5, 1:5] = volume[2, 1:5, 1:5] = 2**63 + 5
    linked = link_slices(volume, gap=1)
    assert linked.dtype == np.int32
    np.testing.assert_array_equal(linked[1], linked[0])
    np.testing.assert_array_equal(linked[0], volume[0] > 0)


def test_a_bridge_takes_nothing_from_others():
    seen = np.stack([line("1111.."), line("...777"), line("2222..")])
    found = link_slices(seen, gap=1)
    assert found[:, 0].tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 0, 0]]


def test_small_and_short_objects_are_dropped():
    seen = np.zeros((4, 2, 4), int)
    seen[:, :, :2] = 1
    seen[2, 0, 3] = 5
    assert link_slices(seen).max() == 2
    for told in ({"min_slices": 2}, {"smallest": 2}):
        np.testing.assert_array_equal(link_slices(seen, **told), seen == 1)


@pytest.mark.parametrize(
    ("sizes", "neck", "expected"),
    [
        ([1, 4, 9, 4, 1], 0.8, []),
        ([4, 9, 4, 9, 4], 0.8, [3]),
        ([4, 9, 5, 4, 9], 0.8, [4]),
        ([4, 9, 4, 5, 9], 0.8, [2]),
        ([9, 8, 9], 0.8, []),
        ([9, 8, 9], 1.0, [2]),
        ([9, 2, 9, 3, 9], 0.5, [2, 4]),
        ([9, 1, 9], 0.0, []),
        ([9, 9], 1.0, []),
        ([], 1.0, []),
    ],
    ids=str,
)
def test_cuts_at_necks(sizes, neck, expected):
    assert cuts(sizes, neck) == expected


@given(FRAMES, st.integers(0, 2), st.sampled_from([0.0, 0.8, 1.0]))
def test_no_two_objects_of_a_slice_get_one_number(volume, gap, neck):
    found = link_slices(volume, gap=gap, neck=neck)
    for before, after in zip(volume, found, strict=True):
        pairs = np.unique(np.stack([before, after]).reshape(2, -1)[:, before.ravel() > 0], axis=1)
        assert len(set(pairs[1])) == pairs.shape[1] == len(set(pairs[0]))
        assert (after[before > 0] > 0).all()
    numbers = np.unique(found)
    assert numbers[numbers > 0].tolist() == list(range(1, int(found.max()) + 1))


def test_a_volume_can_be_written_over_slice_by_slice():
    volume = shuffled(balls((9, 5, 5, 5), (6, 16, 16, 5), (17, 17, 15, 5)))
    volume[7] = 0
    linker = SliceLinker(gap=1)
    for plane in volume:
        linker.add(plane)
    expected = link_slices(volume, gap=1)
    for index in range(len(volume)):
        volume[index] = linker.renumbered(index, volume.__getitem__)
    np.testing.assert_array_equal(volume, expected)
    assert linker.count == 3


@pytest.mark.parametrize(("shape", "axis"), [((4, 4), 0), ((2, 3, 4), 3), ((2, 3, 4), -1)], ids=str)
def test_no_such_slices(shape, axis):
    with pytest.raises(VolumeError, match="axis"):
        link_slices(np.ones(shape, int), axis=axis)
