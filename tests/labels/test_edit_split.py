"""Splitting as operations: numbers, locks, regions, slices, arrays on disk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.scenes import edit_of, edited, picture, scenes, stored

from napari_monai.errors import EditError
from napari_monai.labels.edits import Scene
from napari_monai.labels.operations import run

BARBELL = picture("1110000 1111111 1110111 0000111")
SPACING = (1.0, 1.0)


def _discs(value=1, dtype=np.uint8):
    y, x = np.indices((30, 60))
    small = np.hypot(y - 15, x - 14) < 11
    large = np.hypot(y - 15, x - 36) < 13
    return (small | large).astype(dtype) * value, x < 24


@pytest.mark.parametrize("kind", ["numpy", "memmap", "zarr"])
def test_the_largest_part_keeps_its_number(kind, tmp_path):
    labels, left = _discs(300, np.uint16)
    labels[0, 0] = 7
    found = edited(Scene(stored(labels, kind, tmp_path), SPACING), "split")
    assert set(np.unique(found).tolist()) == {0, 7, 300, 301}
    assert ((found == 301) == (left & (labels == 300))).mean() > 0.99
    edit = edit_of(run("split", Scene(labels, SPACING, selected=(300,), names={300: "cells"})))
    assert edit.title == "Split cells"
    assert edit.notes == ("1 new label, from 301.",)


def test_small_parts_keep_the_number_and_nothing_to_split_is_said():
    labels, _ = _discs()
    for scene, told in (
        (Scene(labels, SPACING), {"min_size": 500.0}),
        (Scene(labels, SPACING), {"depth": 12.0}),
    ):
        np.testing.assert_array_equal(edited(scene, "split", **told), labels)
    y, x = np.indices((20, 20))
    edit = edit_of(run("split", Scene((np.hypot(y - 10, x - 10) < 6).astype(int), SPACING)))
    assert "narrow" in edit.notes[0]


@settings(max_examples=40)
@given(scenes(), st.sampled_from([0.5, 1.0, 2.0]))
def test_splitting_is_guarded_and_only_gives_new_numbers(scene, depth):
    found = edited(scene, "split", depth=depth)
    before = np.asarray(scene.labels)
    changed = found != before
    assert (before[changed] != 0).all()
    assert (found[changed] > before.max()).all()
    for value in np.unique(found[changed]):
        assert len(np.unique(before[found == value])) == 1


def test_a_type_without_a_free_number_is_said():
    labels, _ = _discs(255)
    with pytest.raises(EditError, match="up to 255, and all numbers are taken"):
        edited(Scene(labels, SPACING, locked=frozenset(range(1, 255))), "split")


def test_parts_take_free_numbers_below_the_highest_of_the_type():
    labels, _ = _discs(255)
    found = edited(Scene(labels, SPACING), "split")
    assert set(np.unique(found)) == {0, 1, 255}
    np.testing.assert_array_equal(found > 0, labels > 0)


def test_points_part_what_they_lie_in():
    labels, left = _discs()
    labels[:, 55:] = 2
    points = np.array([(15, 36), (14, 10), (3, 58)], float)
    found = edited(Scene(labels, SPACING, points=points), "split-at-points")
    assert ((found == 3) == (left & (labels == 1))).mean() > 0.99
    np.testing.assert_array_equal(found == 2, labels == 2)
    first = edited(Scene(labels, SPACING, points=points[[1, 0, 2]]), "split-at-points")
    assert first[14, 10] == 1
    assert first[15, 36] == 3


def test_of_one_selected_label_points_beside_it_count():
    scene = Scene(BARBELL, SPACING, selected=(1,), points=np.array([(3, 0), (0, 6)], float))
    found = edited(scene, "split-at-points")
    assert found[2, 0] == 1
    assert found[1, 6] == 2


def test_points_that_part_nothing_are_told():
    points = np.array([(1, 1), (1, 1.2)])
    with pytest.raises(EditError, match="two points"):
        edited(Scene(BARBELL, SPACING, points=points), "split-at-points")
    with pytest.raises(EditError, match="two points"):
        edited(
            Scene(BARBELL, SPACING, locked=frozenset({1}), points=np.array([(1, 1), (1, 5)])),
            "split-at-points",
        )


def test_a_line_parts_what_lies_under_it():
    labels = picture("1111033 1111033 1111033 1111033")
    line = np.array([(-2, 1), (6, 1)], float)
    found = edited(Scene(labels, SPACING, lines=(line,)), "split-by-line")
    np.testing.assert_array_equal(found[:, 4:], labels[:, 4:])
    assert sorted(np.unique(found[:, :4]).tolist()) == [1, 4]
    both = np.array([(-2, 1), (6, 1), (6, 5.4), (-2, 5.4)])
    found = edited(Scene(labels, SPACING, lines=(both,), selected=(3,)), "split-by-line")
    np.testing.assert_array_equal(found[:, :4], labels[:, :4])


def _block():
    labels = np.zeros((6, 8, 12), np.uint8)
    labels[1:5, 1:7, 1:11] = 1
    return labels


@pytest.mark.parametrize("plane", [(0, 2), None], ids=["seen", "from-the-line"])
def test_a_line_cuts_straight_through_or_its_slice_alone(plane):
    labels = _block()
    line = np.array([(2, 0, 4), (2, 7, 4)], float)
    scene = Scene(labels, (3.0, 1.0, 1.0), lines=(line,), plane=plane)
    through = edited(scene, "split-by-line")
    assert set(np.unique(through[1:5, 1:7, 1:4])) == {2}
    assert set(np.unique(through[1:5, 1:7, 5:11])) == {1}
    once = edited(scene, "split-by-line", in_slice=True)
    np.testing.assert_array_equal(once[2], through[2])
    np.testing.assert_array_equal(np.delete(once, 2, 0), np.delete(labels, 2, 0))


def test_a_line_that_misses_or_does_not_part_is_told():
    short = Scene(_block(), (1, 1, 1), lines=(np.array([(2, 0, 4), (2, 3, 4)]),), plane=(0, 2))
    missed = Scene(_block(), (1, 1, 1), lines=(np.array([(2, 0, 0), (2, 7, 0)]),), plane=(0, 2))
    for scene in (short, missed):
        edit = edit_of(run("split-by-line", scene))
        assert edit.voxels == 0
        assert "right through" in edit.notes[-1]
    oblique = Scene(_block(), (1, 1, 1), lines=(np.array([(1, 0, 4), (2, 7, 6)]),))
    with pytest.raises(EditError, match="in no one slice"):
        edited(oblique, "split-by-line")
