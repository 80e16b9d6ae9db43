"""Runs that grow on disk: killed at any window and started again, they give the same labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.models.known import INSTANCES, random_model, threshold_model

from napari_monai.events import Said, Segmented, WindowDone
from napari_monai.grid import Grid
from napari_monai.inference import segment, segment_steps
from napari_monai.models import Inferer, Operation
from napari_monai.scratch import STATE, Scratch, key_of
from napari_monai.settings import InferenceSettings
from napari_monai.volume import Volume

EXACT = InferenceSettings(device="cpu", precision="float32")


def _volume(shape=(18, 20, 14), *, leading="", seed=0):
    rng = np.random.default_rng(seed)
    spatial = shape[len(leading) :]
    return Volume(
        rng.random(shape, np.float32), Grid.from_spacing(spatial, unit="µm"), leading=leading
    )


def _run(volume, model, folder, *, settings=EXACT, stop=None):
    """Return the events of a run, which is killed after ``stop`` windows."""
    events = []
    steps = segment_steps(volume, model, settings=settings, scratch=folder)
    for event in steps:
        events.append(event)
        if isinstance(event, WindowDone) and stop is not None and len(_windows(events)) == stop:
            break  # and the generator is never closed: that is what a kill does
    return events


def _windows(events):
    return [e for e in events if isinstance(e, WindowDone)]


@pytest.mark.parametrize("stop", [1, 5, 13, 26, 27, 40])
def test_a_killed_run_goes_on_to_the_same_labels(tmp_path, stop):
    model = random_model(tmp_path / "m", dims=3, inferer=Inferer((8, 8, 8), overlap=0.4))
    volume = _volume()
    whole = segment(volume, model, settings=EXACT).numpy()
    first = _run(volume, model, tmp_path / "s", stop=stop)
    again = _run(volume, model, tmp_path / "s")
    assert isinstance(again[-1], Segmented)
    np.testing.assert_array_equal(again[-1].labels.numpy(), whole)
    total = first[-1].total
    if stop > total // 2:
        assert len(_windows(again)) < total
        assert any(isinstance(e, Said) and "earlier run" in e.message for e in again)


def test_killed_while_resampled_between_time_points(tmp_path):
    model = random_model(
        tmp_path / "m",
        dims=3,
        inferer=Inferer((6, 6, 6), overlap=0.5),
        preprocess=(Operation("spacing", {"spacing": [1.4, 0.8, 1.0], "unit": "um"}),),
    )
    volume = _volume((3, 9, 8, 7), leading="t")
    whole = segment(volume, model, settings=EXACT).numpy()
    total = _windows(_run(volume, model, None))[-1].total
    for stop in (2, total // 3 + 1, total // 2, total - 1):
        _run(volume, model, tmp_path / "s", stop=stop)
        found = _run(volume, model, tmp_path / "s")[-1].labels
        np.testing.assert_array_equal(found.numpy(), whole)
        Scratch(tmp_path / "s").clear()


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.7])
def test_killed_in_any_row_while_resampled(tmp_path, overlap):
    """The voxels between two rows are made of both, also where a run begins with the second."""
    model = random_model(
        tmp_path / "m",
        dims=3,
        inferer=Inferer((8, 8, 8), overlap=overlap),
        preprocess=(Operation("spacing", {"spacing": [0.6, 1.3, 1.0], "unit": "um"}),),
    )
    volume = _volume()
    whole = segment(volume, model, settings=EXACT).numpy()
    events = _windows(_run(volume, model, None))
    rows = {e.region[0].start: e.done for e in events}
    assert len(rows) >= 4
    for last in list(rows.values())[1:5]:
        _run(volume, model, tmp_path / "s", stop=last)
        found = _run(volume, model, tmp_path / "s")[-1].labels
        np.testing.assert_array_equal(found.numpy(), whole, err_msg=f"after {last}")
        Scratch(tmp_path / "s").clear()


def test_slices_go_on_too(tmp_path):
    model = random_model(tmp_path / "m", dims=2, inferer=Inferer((8, 8), overlap=0.4))
    volume = _volume((11, 14, 12))
    whole = segment(volume, model, settings=EXACT).numpy()
    total = _windows(_run(volume, model, None))[-1].total
    for stop in range(1, total, 7):
        _run(volume, model, tmp_path / "s", stop=stop)
        found = _run(volume, model, tmp_path / "s")[-1].labels
        np.testing.assert_array_equal(found.numpy(), whole, err_msg=f"after {stop}")
        Scratch(tmp_path / "s").clear()


def test_objects_go_on_too(tmp_path):
    model = random_model(tmp_path / "m", dims=3, inferer=Inferer((8, 8, 8)), **INSTANCES)
    volume = _volume()
    whole = segment(volume, model, settings=EXACT).numpy()
    _run(volume, model, tmp_path / "s", stop=20)
    found = _run(volume, model, tmp_path / "s")[-1].labels
    np.testing.assert_array_equal(found.numpy(), whole)


def test_killed_while_maps_are_removed(tmp_path, monkeypatch):
    """What the maps were needed for is on disk by then, and is not made of empty ones again."""
    model = random_model(tmp_path / "m", dims=3, inferer=Inferer((8, 8, 8)), **INSTANCES)
    volume = _volume()
    whole = segment(volume, model, settings=EXACT).numpy()
    assert whole.any()
    drop = Scratch.drop

    def killed(self, name):
        drop(self, name)
        if name == "maps":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Scratch, "drop", killed)
        with pytest.raises(KeyboardInterrupt):
            _run(volume, model, tmp_path / "s")
    found = _run(volume, model, tmp_path / "s")[-1].labels
    np.testing.assert_array_equal(found.numpy(), whole)


@pytest.mark.parametrize("other", ["image", "settings", "model"])
def test_another_run_begins_anew(tmp_path, other):
    model = threshold_model(tmp_path / "m", threshold=0.5, dims=3, inferer=Inferer((8, 8, 8)))
    volume = _volume()
    _run(volume, model, tmp_path / "s", stop=15)
    settings = EXACT
    if other == "image":
        volume = _volume(seed=1)
    elif other == "settings":
        settings = InferenceSettings(device="cpu", precision="float32", threshold=0.7)
    else:
        model = threshold_model(tmp_path / "n", threshold=0.3, dims=3, inferer=Inferer((8, 8, 8)))
    events = _run(volume, model, tmp_path / "s", settings=settings)
    assert len(_windows(events)) == events[-2].total
    expected = segment(volume, model, settings=settings).numpy()
    np.testing.assert_array_equal(events[-1].labels.numpy(), expected)


def test_labels_are_read_from_disk(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5, dims=3, inferer=Inferer((8, 8, 8)))
    labels = _run(_volume(), model, tmp_path / "s")[-1].labels
    assert not isinstance(labels.data, np.ndarray)
    assert labels.data.chunks  # a zarr array


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"key": 3}'], ids=["empty", "cut", "list", "key"]
)
def test_a_damaged_state_begins_anew(tmp_path, content):
    scratch = Scratch(tmp_path / "s")
    assert scratch.begin("k") == {}
    scratch.save({"row": 4})
    assert Scratch(tmp_path / "s").begin("k")["row"] == 4
    (tmp_path / "s" / STATE).write_text(content)
    assert Scratch(tmp_path / "s").begin("k") == {}
    assert json.loads((tmp_path / "s" / STATE).read_text()) == {"key": "k"}


def test_the_key_knows_a_file_by_its_time_and_an_array_by_its_voxels(tmp_path):
    volume = _volume()
    assert key_of(volume, 1) == key_of(_volume(), 1)
    assert key_of(volume, 1) != key_of(volume, 2)
    assert key_of(volume) != key_of(_volume(seed=1))
