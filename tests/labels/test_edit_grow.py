"""Growing and snapping as operations: locks, regions, slices, arrays on disk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.scenes import edit_of, edited, picture, scenes, stored

from napari_monai.errors import EditError
from napari_monai.events import BlockDone
from napari_monai.labels import edit_grow
from napari_monai.labels.edits import Region, Scene
from napari_monai.labels.operations import run

LABELS = picture("0000000 0000200 0000000")
IMAGE = np.array([[5, 5, 5, 9, 5, 5, 5]] * 3, np.float32)


def _scene(labels=LABELS, image=IMAGE, points=((1, 0),), **more):
    spacing = (1.0,) * labels.ndim
    return Scene(labels, spacing, image=image, points=np.array(points, float), **more)


def _blob(shape=(20, 24, 24), noise=0.2):
    places = np.stack(np.indices(shape)) - np.reshape(np.divide(shape, 2), (3, 1, 1, 1))
    inside = np.linalg.norm(places, axis=0) < 7
    return inside, inside + np.random.default_rng(1).normal(0, noise, shape)


@pytest.mark.parametrize(
    ("points", "more", "settings", "expected"),
    [
        pytest.param([(1, 0)], {}, {}, "3330000 3330200 3330000", id="new-label"),
        pytest.param(
            [(1, 0)], {"selected": (1,)}, {}, "1110000 1110200 1110000", id="selected-label"
        ),
        pytest.param([(1, 0)], {}, {"label": 2}, "2220000 2220200 2220000", id="as-told"),
        pytest.param([(0, 5)], {}, {}, "0000333 0000233 0000333", id="others-are-walls"),
        pytest.param([(1, 4)], {}, {"label": 2}, "0000222 0000222 0000222", id="through-itself"),
        pytest.param([(1, 0)], {}, {"high": 9.0}, "3333333 3333233 3333333", id="wider"),
        pytest.param([(1, 0)], {}, {"distance": 1.0}, "3000000 3300200 3000000", id="near"),
        pytest.param([(1, 0), (1, 6)], {}, {}, "3330333 3330233 3330333", id="two-points"),
    ],
)
def test_grow(points, more, settings, expected):
    found = edited(_scene(points=points, **more), "grow", **{"tolerance": 0.0, **settings})
    np.testing.assert_array_equal(found, picture(expected))


@settings(max_examples=40)
@given(scenes(), st.data())
def test_growth_is_guarded_and_starts_at_its_points(scene, data):
    image = np.random.default_rng(0).integers(0, 3, scene.shape)
    point = [data.draw(st.integers(0, n - 1)) for n in scene.shape]
    label = data.draw(st.sampled_from([n for n in range(1, 12) if n not in scene.locked]))
    scene = Scene(
        scene.labels, scene.spacing, locked=scene.locked, region=scene.region, image=image,
        points=np.array([point]),
    )  # fmt: skip
    if scene.region is not None and not scene.region.inside(
        tuple(slice(p, p + 1) for p in point)
    ).any():  # fmt: skip
        return
    found = edited(scene, "grow", low=0, high=1, label=label)
    changed = found != scene.labels
    assert (found[changed] == label).all()
    assert (np.asarray(scene.labels)[changed] == 0).all()
    assert (image[changed] <= 1).all()


def test_grow_in_the_slice_that_is_seen():
    labels, image = np.zeros((3, 4, 4), np.uint8), np.ones((3, 4, 4))
    scene = _scene(labels, image, [(1, 0, 0)], plane=(0, 1))
    found = edited(scene, "grow", in_slice=True)
    assert found[1].all()
    assert not found[[0, 2]].any()
    with pytest.raises(EditError, match="No point lies where"):
        edited(_scene(labels, image, [(2, 0, 0)], plane=(0, 1)), "grow", in_slice=True)
    with pytest.raises(EditError, match="no slice is seen"):
        edited(_scene(labels, image, [(2, 0, 0)]), "grow", in_slice=True)


def test_the_range_around_the_points_is_told():
    inside, image = _blob()
    edit = edit_of(run("grow", _scene(np.zeros(inside.shape, np.uint8), image, [(10, 12, 12)])))
    assert "Intensities from 0." in edit.notes[-1]
    found = np.zeros(inside.shape, np.uint8)
    edit.apply(found)
    assert (found[~inside] == 0).mean() > 0.99
    assert found[inside].mean() > 0.95


@pytest.mark.parametrize(
    ("more", "settings", "message"),
    [
        pytest.param({"locked": {2}}, {"label": 2}, "is locked", id="locked"),
        pytest.param({"selected": (1, 2)}, {}, "select the one label", id="two"),
        pytest.param({}, {"low": 5.0, "high": 4.0}, "is above", id="range"),
        pytest.param({}, {"label": 256}, "hold numbers from 0 to 255", id="type"),
        pytest.param({"points": [(9, 9)]}, {}, "No point lies", id="outside"),
    ],
)
def test_what_cannot_grow_is_said(more, settings, message):
    with pytest.raises(EditError, match=message):
        edited(_scene(**more), "grow", **settings)


def test_a_flood_is_bounded(monkeypatch):
    monkeypatch.setattr(edit_grow, "FLOODED", 1000)
    labels = np.zeros((60, 60), np.uint8)
    scene = _scene(labels, np.ones(labels.shape), [(30, 30)])
    assert edited(scene, "grow", distance=9.0).any()
    with pytest.raises(EditError, match="choose a distance"):
        edited(scene, "grow")


def test_a_point_on_what_is_taken_grows_nothing_and_says_so():
    edit = edit_of(run("grow", _scene(points=[(1, 4)])))
    assert edit.voxels == 0
    assert "No point lies on any that is free" in edit.notes[-1]


def _scribbled(kind="numpy", **more):
    inside, image = _blob()
    labels = np.zeros(inside.shape, np.uint16)
    labels[10, 9:15, 9:15] = 500
    labels[10, 1, 1:23] = labels[2, 12, 2:22] = labels[17, 12, 2:22] = 9
    labels[0, 0, 0] = 4
    scene = Scene(stored(labels, kind), (1.0, 1.0, 1.0), selected=(500, 9), image=image, **more)
    return inside, labels, scene


@pytest.mark.parametrize("kind", ["numpy", "zarr"])
def test_scribbles_grow_to_the_edge(kind):
    inside, labels, scene = _scribbled(kind)
    found = edited(scene, "random-walker")
    assert ((found == 500) == inside).mean() > 0.97
    assert found[0, 0, 0] == 4
    assert ((found == 500) | (found == 9))[labels != 4].all()
    apart = edited(scene, "random-walker", background=9)
    np.testing.assert_array_equal(apart == 500, found == 500)
    assert not (apart == 9).any()


def test_scribbles_grow_within_reach_region_and_slice():
    _, labels, scene = _scribbled()
    found = edited(scene, "random-walker", reach=1.0)
    np.testing.assert_array_equal(np.nonzero(found[..., 23] != 0)[0], np.repeat(range(1, 19), 16))
    _, _, scene = _scribbled(plane=(0, 10))
    found = edited(scene, "random-walker", in_slice=True)
    np.testing.assert_array_equal(np.delete(found, 10, 0), np.delete(labels, 10, 0))
    assert (found[10] != 0).all()
    mask = np.zeros(labels.shape, bool)
    mask[8:13] = True
    region = Region(tuple(slice(0, n) for n in labels.shape), mask)
    _, _, scene = _scribbled(region=region, locked=frozenset({4}))
    found = edited(scene, "random-walker")
    assert (found[8:13] != 0).all()


@settings(max_examples=40)
@given(scenes())
def test_walks_are_guarded(scene):
    image = np.random.default_rng(0).normal(size=scene.shape)
    told = {"locked": scene.locked, "region": scene.region, "image": image}
    scene = Scene(scene.labels, scene.spacing, selected=(1, 2, 3, 4), **told)
    before = np.asarray(scene.labels)
    drawn = before[scene.box]
    if len(np.unique(drawn[np.isin(drawn, scene.targets())])) < 2:
        with pytest.raises(EditError, match="scribble"):
            edited(scene, "random-walker")
        return
    found = edited(scene, "random-walker", smoothing=0.0)
    changed = found != before
    assert (before[changed] == 0).all()
    assert np.isin(found[changed], scene.targets()).all()


def test_a_walk_tells_how_far_it_is_and_stops_anywhere():
    _, labels, scene = _scribbled()
    events = run("random-walker", scene)
    kinds = [next(events) for _ in range(4)]
    assert any(isinstance(event, BlockDone) and event.total == 100 for event in kinds)
    events.close()
    np.testing.assert_array_equal(scene.labels, labels)


def test_what_cannot_walk_is_said(monkeypatch):
    _, _, scene = _scribbled(locked=frozenset({9}))
    with pytest.raises(EditError, match="two scribbles or more"):
        edited(scene, "random-walker")
    _, _, scene = _scribbled(plane=(0, 2))
    with pytest.raises(EditError, match="one label alone"):
        edited(scene, "random-walker", in_slice=True)
    monkeypatch.setattr(edit_grow, "WALKED", 1000)
    _, _, scene = _scribbled()
    with pytest.raises(EditError, match="a smaller reach"):
        edited(scene, "random-walker")


def test_a_border_snaps_and_leaves_the_others():
    inside, image = _blob()
    labels = np.zeros(inside.shape, np.uint8)
    labels[np.roll(inside, 2, axis=2)] = 1
    labels[:, :3, :] = 2
    found = edited(Scene(labels, (1.0, 1.0, 1.0), image=image, selected=(1,)), "snap")
    before = 2 * (inside & (labels == 1)).sum() / (inside.sum() + (labels == 1).sum())
    after = 2 * (inside & (found == 1)).sum() / (inside.sum() + (found == 1).sum())
    assert before < 0.87
    assert after > 0.97
    np.testing.assert_array_equal(found == 2, labels == 2)


@settings(max_examples=40)
@given(scenes(), st.floats(0.5, 4))
def test_snapping_is_guarded(scene, band):
    image = np.random.default_rng(0).normal(size=scene.shape)
    scene = Scene(
        scene.labels, scene.spacing, selected=scene.selected, locked=scene.locked,
        region=scene.region, image=image,
    )  # fmt: skip
    found = edited(scene, "snap", band=band)
    # Only between labels and background, never from one label to another.
    changed = found != scene.labels
    assert ((found[changed] == 0) | (np.asarray(scene.labels)[changed] == 0)).all()
