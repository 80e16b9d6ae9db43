"""What is done to classes after a run: on the image's own grid, in memory and in a folder."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.known import INSTANCES, description, threshold_model

from napari_monai import segment
from napari_monai.errors import ModelError
from napari_monai.events import Said, Segmented
from napari_monai.grid import Grid
from napari_monai.inference import segment_steps
from napari_monai.models import Operation
from napari_monai.postprocess import check_cleanings
from napari_monai.settings import InferenceSettings
from napari_monai.volume import Volume

CPU = InferenceSettings(device="cpu", precision="float32")


def _image(shape=(24, 30), spacing=(0.5, 0.5), unit="mm"):
    """Return three bright squares of 36, 16 and 4 pixels, the first with a hole."""
    data = np.zeros(shape, np.float32)
    data[..., 2:8, 2:8] = 1
    data[..., 4, 4] = 0
    data[..., 12:16, 4:8] = 1
    data[..., 18:20, 20:22] = 1
    return Volume(data, Grid.from_spacing(shape, spacing, unit=unit))


def _labels(tmp_path, *operations, volume=None, settings=CPU, **told):
    model = threshold_model(tmp_path / "m", threshold=0.5, postprocess=operations)
    return segment(volume or _image(), model, settings=settings, **told).numpy()


def _sizes(labels):
    return [
        int((labels[..., part, :] > 0).sum()) for part in (np.s_[2:8], np.s_[12:16], np.s_[18:])
    ]


@pytest.mark.parametrize(
    ("operations", "sizes"),
    [
        pytest.param([], [35, 16, 4], id="nothing"),
        pytest.param([Operation("keep_largest")], [35, 0, 0], id="largest"),
        pytest.param([Operation("remove_small", {"min_size": 2.0})], [35, 16, 0], id="small-mm2"),
        pytest.param(
            [Operation("remove_small", {"min_size": 2e6, "unit": "µm"})],
            [35, 16, 0],
            id="small-µm2",
        ),
        pytest.param(
            [Operation("remove_small", {"min_size": 17, "unit": "voxels"})], [35, 0, 0], id="voxels"
        ),
        pytest.param([Operation("fill_holes")], [36, 16, 4], id="holes"),
        pytest.param([Operation("fill_holes", {"labels": [7]})], [35, 16, 4], id="another-class"),
        pytest.param([Operation("keep_largest"), Operation("fill_holes")], [36, 0, 0], id="both"),
    ],
)
def test_cleaned(tmp_path, operations, sizes):
    assert _sizes(_labels(tmp_path, *operations)) == sizes


def test_without_a_pixel_size_voxels_count(tmp_path):
    volume = _image(unit="pixel")
    labels = _labels(tmp_path, Operation("remove_small", {"min_size": 5.0}), volume=volume)
    assert _sizes(labels) == [35, 16, 0]


def test_every_time_point_by_itself(tmp_path):
    image = _image((1, 24, 30), (1, 0.5, 0.5)).numpy()[0]
    data = np.stack([image, np.roll(image, 8, axis=1)])
    data[1, 2:8] = 0
    volume = Volume(data, _image().grid, "t")
    labels = _labels(tmp_path, Operation("keep_largest"), volume=volume)
    assert _sizes(labels[0]) == [35, 0, 0]
    assert _sizes(labels[1]) == [0, 16, 0]


def test_in_a_scratch_folder(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5, postprocess=(Operation("keep_largest"),))
    *_, last = segment_steps(_image(), model, settings=CPU, scratch=tmp_path / "scratch")
    assert isinstance(last, Segmented)
    assert _sizes(np.asarray(last.labels.data[...])) == [35, 0, 0]


@pytest.mark.parametrize("stored", [False, True], ids=["memory", "disk"])
def test_labels_too_large_for_memory_are_cleaned_slab_by_slab(tmp_path, monkeypatch, stored):
    operations = (Operation("keep_largest"), Operation("fill_holes"))
    model = threshold_model(tmp_path / "m", threshold=0.5, postprocess=operations)
    volume = Volume(np.stack([_image().numpy()] * 2), _image().grid, "t")
    monkeypatch.setattr("napari_monai.results.CLEANING", 2**40)
    folder = tmp_path / "scratch" if stored else None
    events = list(segment_steps(volume, model, settings=CPU, scratch=folder))
    assert Said("Cleaning the labels, slab by slab.") in events
    labels = np.asarray(events[-1].labels.data[...])
    assert [_sizes(part) for part in labels] == [[36, 0, 0]] * 2


def test_the_threshold_is_the_models_unless_the_user_says_another(tmp_path):
    data = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    volume = Volume(data, Grid.from_spacing((8, 8)))

    def count(threshold, settings=CPU):
        operation = Operation("threshold", {"value": threshold})
        return int((_labels(tmp_path, operation, volume=volume, settings=settings) > 0).sum())

    # A voxel of value v has the probability 1 / (1 + exp(-4 (v - 0.5))).
    def expected(p):
        return int((data >= 0.5 + np.log(p / (1 - p)) / 4).sum())

    assert count(0.5) == expected(0.5)
    assert count(0.8) == expected(0.8) != expected(0.5)
    own = InferenceSettings(device="cpu", precision="float32", threshold=0.3)
    assert count(0.8, own) == expected(0.3)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("keep_biggest", {}, "Did you mean 'keep_largest'?"),
        ("keep_largest", {"label": [1]}, "Did you mean 'labels'?"),
        ("keep_largest", {"labels": [0]}, "labels are numbers from 1"),
        ("keep_largest", {"labels": ["a"]}, "labels are numbers from 1"),
        ("keep_largest", {"labels": 1}, "labels is no tuple"),
        ("keep_largest", {"connectivity": 4}, "connectivity goes from 1 to 3"),
        ("keep_largest", {"together": 1}, "together is no bool"),
        ("remove_small", {}, "min_size"),
        ("remove_small", {"min_size": -1}, "min_size is 0 or more"),
        ("remove_small", {"min_size": 1, "unit": "px"}, "unit is no"),
        ("threshold", {"value": 2}, "value goes from 0 to 1"),
    ],
)
def test_operations_that_cannot_be_are_refused_in_one_line(name, parameters, message):
    operation = Operation(name, parameters)
    with pytest.raises(ModelError) as caught:
        check_cleanings([operation])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError):
        description(postprocess=(operation,))


def test_objects_have_postprocessing_of_their_own():
    with pytest.raises(ModelError, match="of instances has no operation 'keep_largest'"):
        description(**{**INSTANCES, "postprocess": (Operation("keep_largest"),)})
