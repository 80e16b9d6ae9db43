"""What is held out for validation: nothing on both sides, each class on both where it can be."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from tests.models.known import description

from napari_monai import LabelVolume, TrainingSettings, Volume, write
from napari_monai.errors import TrainingError
from napari_monai.grid import Grid
from napari_monai.labels.notes import Notes, write_notes
from napari_monai.training.examples import make_examples
from napari_monai.training.partial import IGNORED
from napari_monai.training.shares import Known, Share
from napari_monai.training.split import Split, held_out, split_pairs
from napari_monai.volume import LabelKind


def pair(labels: Any, *, kind: LabelKind = "classes", name: str = "a") -> tuple[Volume, Any]:
    labels = np.asarray(labels)
    grid = Grid.from_spacing(labels.shape)
    truth = LabelVolume(labels, grid, kind=kind, name=name)
    return Volume(np.zeros(labels.shape, np.uint8), grid, name=name), truth


def known(share: Share, given: TrainingSettings) -> Any:
    assert isinstance(share.labels, LabelVolume)
    return Known(share.labels, share, given).whole()


def sides(split: Split, given: TrainingSettings) -> tuple[Any, Any]:
    """Return what of a single volume each side knows."""
    (training,), (validation,) = split.training, split.validation
    return known(training, given), known(validation, given)


# -- by image -------------------------------------------------------------------------------------


def best_possible(table: Any, count: int) -> int:
    """Return on how many classes both sides can be, by trying all sets."""
    rows = range(len(table))
    return max(
        sum(
            any(table[i][c] for i in chosen) and any(table[i][c] for i in rows if i not in chosen)
            for c in range(len(table[0]))
        )
        for chosen in itertools.combinations(rows, count)
    )


@hypothesis.given(st.data())
def test_as_many_classes_as_can_be_are_on_both_sides(data: st.DataObject) -> None:
    images, classes = data.draw(st.integers(2, 8)), data.draw(st.integers(1, 5))
    row = st.lists(st.booleans(), min_size=classes, max_size=classes)
    table = data.draw(st.lists(row, min_size=images, max_size=images))
    count = data.draw(st.integers(1, images - 1))
    chosen = held_out(np.array(table), count)
    assert len(set(chosen)) == count
    both = sum(
        any(table[i][c] for i in chosen)
        and any(table[i][c] for i in range(images) if i not in chosen)
        for c in range(classes)
    )
    assert both == best_possible(table, count)


@pytest.mark.parametrize("rare", [0, 1, 2])
def test_a_class_of_one_image_is_trained_on(rare: int) -> None:
    table = np.ones((3, 2), bool)
    table[:, 1] = np.arange(3) == rare
    assert rare not in held_out(table, 1)


@pytest.mark.parametrize("seed", range(3))
def test_rare_classes_among_many_images_are_on_both_sides(seed: int) -> None:
    """Too many sets to try: ten classes of two images each among 300, and a common one."""
    table = np.zeros((300, 11), bool)
    table[:, 10] = True
    rng = np.random.default_rng(seed)
    for column in range(10):
        table[rng.choice(300, 2, replace=False), column] = True
    chosen = held_out(table, 60)
    assert len(set(chosen)) == 60
    assert (table[list(chosen)].sum(axis=0)[:10] == 1).all()


def test_whole_images_are_held_out() -> None:
    pairs = [pair([[0, n % 2 + 1]], name=f"image {n}") for n in range(10)]
    split = split_pairs(pairs, TrainingSettings())
    assert len(split.training) == 8
    assert len(split.validation) == 2
    found = [share.labels.name for share in (*split.training, *split.validation)]
    assert sorted(found) == [f"image {n}" for n in range(10)]
    assert {share.labels.numpy().max() for share in split.validation} == {1, 2}
    assert all(share.axis is None for share in (*split.training, *split.validation))
    assert "by image: 2 of 10" in split.how
    assert split.validation[0].name in split.how


def test_the_seed_alone_decides() -> None:
    pairs = [pair([[0, 1]], name=str(n)) for n in range(12)]

    def held(seed: int) -> list[str]:
        return [s.name for s in split_pairs(pairs, TrainingSettings(seed=seed)).validation]

    assert held(3) == held(3)
    assert len({tuple(held(seed)) for seed in range(8)}) > 1


def test_an_image_without_a_label_is_not_held_out() -> None:
    given = TrainingSettings(ignore_label=9, validation_part=0.5)
    pairs = [pair([[9, 9]], name=str(n)) for n in range(6)]
    pairs[2], pairs[4] = pair([[9, 1]], name="c"), pair([[1, 9]], name="e")
    split = split_pairs(pairs, given)
    assert {split.validation[0].name} < {"c", "e"}
    assert len(split.validation) == 1
    alone = split_pairs(pairs[:4], given)
    assert alone.validation == ()
    assert "no validation" in alone.how


# -- by slab --------------------------------------------------------------------------------------


@st.composite
def volumes(draw: st.DrawFn) -> tuple[Any, TrainingSettings]:
    shape = draw(st.tuples(*[st.integers(1, 12)] * draw(st.integers(2, 3))))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    labels = rng.choice(
        [0, 1, 2, 9],
        shape,
        p=draw(st.sampled_from([(0.4, 0.3, 0.2, 0.1), (0.05, 0.02, 0.03, 0.9)])),
    )
    if draw(st.booleans()):
        labels[rng.random(shape[0]) < 0.6] = 9
    part = draw(st.sampled_from([0.1, 0.2, 0.5]))
    return labels, TrainingSettings(ignore_label=9, validation_part=part, seed=seed % 7)


@hypothesis.settings(max_examples=150)
@hypothesis.given(volumes())
def test_no_voxel_is_on_both_sides_and_a_gap_lies_between(
    drawn: tuple[Any, TrainingSettings],
) -> None:
    labels, given = drawn
    truth = np.where(labels == 9, IGNORED, labels)
    split = split_pairs([pair(labels)], given)
    if not split.validation:
        assert split.training == (Share.of(split.training[0].pair),)
        return
    training, validation = sides(split, given)
    assert not ((training != IGNORED) & (validation != IGNORED)).any()
    for side in (training, validation):
        assert (side != IGNORED).any()
        np.testing.assert_array_equal(side[side != IGNORED], truth[side != IGNORED])
    if (truth > 0).any():
        assert (training > 0).any()
        assert (validation > 0).any()
    axis = split.validation[0].axis
    assert axis is not None
    said = re.search(r"(\d+) beside", split.how)
    others = tuple(a for a in range(labels.ndim) if a != axis)
    here, there = (np.flatnonzero((s != IGNORED).any(axis=others)) for s in (training, validation))
    assert np.abs(here[:, None] - there).min() > (int(said[1]) if said else 0)
    slab = split.validation[0]
    again = split_pairs([pair(labels)], given)
    assert (again.how, again.validation[0].start) == (split.how, slab.start)


def test_a_slab_holds_the_part_that_is_wanted_and_objects_do_not_span_the_gap() -> None:
    """Cubes of 6 voxels on a raster of 8: none has voxels on both sides."""
    z, y, x = np.indices((64, 32, 32))
    inside = (z % 8 < 6) & (y % 8 < 6) & (x % 8 < 6)
    labels = np.where(inside, 1 + z // 8 * 16 + y // 8 * 4 + x // 8, 0)
    for seed in range(4):
        given = TrainingSettings(validation_part=0.25, seed=seed)
        split = split_pairs([pair(labels, kind="instances")], given)
        training, validation = sides(split, given)
        assert split.validation[0].axis == 0
        assert 0.2 < (validation != IGNORED).mean() < 0.3
        assert not set(training[training > 0]) & set(validation[validation > 0])
        assert "6 beside them for neither" in split.how


def test_every_class_is_on_both_sides_along_the_axis_that_allows_it() -> None:
    """Class 2 is one slice thick along the first axis, and long along the last."""
    labels = np.ones((16, 4, 40), int)
    labels[3, 2, :] = 2
    given = TrainingSettings()
    for seed in range(4):
        given = TrainingSettings(seed=seed)
        training, validation = sides(split_pairs([pair(labels)], given), given)
        assert set(np.unique(training)) == set(np.unique(validation)) == {IGNORED, 1, 2}


def test_corrected_slices_are_on_both_sides(tmp_path: Path) -> None:
    image, truth = pair(np.ones((60, 8, 8), np.uint8))
    paths = tmp_path / "image.tif", tmp_path / "labels.tif"
    write(paths[0], image)
    write(paths[1], truth)
    write_notes(paths[1], Notes(corrected=frozenset({10, 11, 30, 50, 51})))
    given = TrainingSettings(only_corrected=True)
    split = split_pairs([paths], given)
    told = description(3, 1)
    found = []
    for side, validation in ((split.training, False), (split.validation, True)):
        (example,) = make_examples(side, told, settings=given, validation=validation)
        found.append(set(np.flatnonzero((example.labels != IGNORED).all(axis=(1, 2))).tolist()))
    assert found[0]
    assert found[1]
    assert not found[0] & found[1]
    assert found[0] | found[1] <= {10, 11, 30, 50, 51}
    assert min(abs(a - b) for a in found[0] for b in found[1]) > 1


def test_one_corrected_slice_is_cut_in_its_plane() -> None:
    image, truth = pair(np.ones((9, 20, 30), np.uint8))
    split = split_pairs([Share(image, truth, corrected=frozenset({4}))], TrainingSettings())
    training, validation = sides(split, TrainingSettings())
    assert split.validation[0].axis in (1, 2)
    for side in (training, validation):
        assert set(np.flatnonzero((side != IGNORED).any(axis=(1, 2)))) == {4}


def test_a_picture_is_cut_into_strips() -> None:
    given = TrainingSettings(patch=(8, 8))
    split = split_pairs([pair(np.tile([0, 1], (50, 20)))], given)
    training, validation = sides(split, given)
    assert (validation != IGNORED).sum() == pytest.approx(0.2 * validation.size, rel=0.1)
    assert "4 beside them" in split.how
    assert (training != IGNORED).sum() > 0.6 * training.size


def test_gaps_count_for_neither_side() -> None:
    split = split_pairs([pair(np.tile([0, 1], (64, 8, 4)))], TrainingSettings())
    rest, slab = split.training[0], split.validation[0]
    gaps = slab.start - rest.start, (rest.stop or 0) - (slab.stop or 0)
    assert max(gaps) == 8  # an eighth of the axis
    assert gaps[0] in (8, slab.start)
    assert gaps[1] == 8


# -- what was asked for ---------------------------------------------------------------------------


def test_given_pairs_are_the_validation() -> None:
    split = split_pairs([pair([[0, 1]])], TrainingSettings(), validation=[pair([[1, 0]])])
    assert [len(split.training), len(split.validation)] == [1, 1]
    assert split.training[0].axis is None
    assert split.validation[0].axis is None
    assert "1 validation pairs given" in split.how


def test_no_part_is_no_validation() -> None:
    split = split_pairs([pair(np.ones((9, 9), int))], TrainingSettings(validation_part=0))
    assert split.validation == ()
    assert split.training[0].axis is None


def test_a_slab_is_not_cut_again() -> None:
    share = Share(*pair(np.ones((9, 9), int)), axis=0, stop=4)
    with pytest.raises(TrainingError, match="a part of an image"):
        split_pairs([share], TrainingSettings())
    with pytest.raises(TrainingError, match="no axis 5"):
        known(Share(*pair(np.ones((9, 9), int)), axis=5), TrainingSettings())


def test_examples_of_shares_know_their_part_alone() -> None:
    image, truth = pair(np.tile([0, 1], (20, 4, 6)))
    rest = Share(image, truth, axis=0, start=5, stop=15, outside=True)
    slab = Share(image, truth, axis=0, start=8, stop=12)
    told = description(3, 1)
    (training,), (validation,) = (list(make_examples([s], told)) for s in (rest, slab))
    for example, planes in ((training, [*range(5), *range(15, 20)]), (validation, range(8, 12))):
        counted = (example.labels != IGNORED).all(axis=(1, 2))
        np.testing.assert_array_equal(np.flatnonzero(counted), list(planes))
        assert example.labelled is not None
        assert set(example.labelled[:, 0].tolist()) <= set(planes)
        assert example.image.shape == (1, 20, 4, 12)
