"""Interpolation as an operation: locks, regions, axes, arrays on disk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.scenes import edit_of, edited, scenes, stored

from napari_monai.errors import EditError
from napari_monai.labels.edits import Region, Scene
from napari_monai.labels.interpolate import interpolate
from napari_monai.labels.operations import run

SPACING = (2.0, 1.0, 1.0)


def _two_cones():
    labels = np.zeros((13, 24, 40), np.uint16)
    for z, radius in ((0, 8), (6, 5), (12, 2)):
        y, x = np.indices((24, 40))
        labels[z][np.hypot(y - 12, x - 10) <= radius] = 300
        labels[z][np.hypot(y - 12, x - 28) <= 11 - radius] = 7
    return labels


@settings(max_examples=40)
@given(st.sets(st.sampled_from([300, 7])), st.sets(st.sampled_from([300, 7])), st.booleans(),
       st.sampled_from(["auto", "0", "1"]), st.booleans())  # fmt: skip
def test_as_the_function_fills_guarded(selected, locked, within, axis, ends):
    labels = _two_cones()
    box = (slice(2, 9), slice(0, 24), slice(0, 30))
    region = Region(box, np.indices((7, 24, 30)).sum(0) % 3 > 0) if within else None
    scene = Scene(
        labels, SPACING, selected=tuple(selected), locked=frozenset(locked), region=region
    )
    result = edited(scene, "interpolate", axis=axis, ends=ends)
    if not locked and not within:
        whole = interpolate(
            labels,
            spacing=SPACING,
            axis=0 if axis == "auto" else int(axis),
            values=selected or None,
            ends=ends,
        )
        np.testing.assert_array_equal(result, whole)


@pytest.mark.parametrize("kind", ["memmap", "zarr"])
def test_arrays_on_disk(kind, tmp_path):
    labels = _two_cones()
    scene = Scene(stored(labels, kind, tmp_path), SPACING, selected=(300,))
    expected = interpolate(labels, spacing=SPACING, values=[300])
    np.testing.assert_array_equal(edited(scene, "interpolate"), expected)


def test_the_slice_that_is_seen_says_the_axis():
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[::4, ::4, 2:7] = 1  # rods: slices are missing along two axes
    auto = edited(Scene(labels, (1, 1, 1)), "interpolate")
    seen = edited(Scene(labels, (1, 1, 1), plane=(1, 3)), "interpolate")
    across = edited(Scene(labels, (1, 1, 1), plane=(2, 3)), "interpolate")
    assert auto[2, 4, 4] == 1
    assert auto[4, 2, 4] == 0
    assert seen[4, 2, 4] == 1
    np.testing.assert_array_equal(across, auto)


def test_what_is_filled_is_all_that_changes():
    edit = edit_of(run("interpolate", Scene(_two_cones(), SPACING, selected=(7,))))
    assert edit.title == "Interpolate label 7"
    assert all(box[2].start >= 16 for box in edit.boxes)


def test_nothing_to_fill_is_said():
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1:3, 2:4, 2:4] = 1
    edit = edit_of(run("interpolate", Scene(labels, SPACING)))
    assert edit.voxels == 0
    assert "No slices are missing" in edit.notes[0]


def test_a_flat_image_is_refused():
    with pytest.raises(EditError, match="flat"):
        edit_of(run("interpolate", Scene(np.zeros((4, 5), np.uint8), (1, 1))))


@settings(max_examples=40)
@given(scenes().filter(lambda scene: scene.ndim == 3), st.booleans(), st.booleans())
def test_interpolation_is_guarded_and_takes_the_background_alone(scene, ends, over):
    found = edited(scene, "interpolate", ends=ends, over=over)
    before = np.asarray(scene.labels)
    changed = found != before
    assert np.isin(found[changed], scene.targets()).all()
    if not over:
        assert (before[changed] == 0).all()
