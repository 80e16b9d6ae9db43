"""Probabilities, uncertainty and ensembles: against the equations, on the image's own grid."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from scipy import stats
from tests.models.known import INSTANCES, random_model, threshold_model
from tests.space import grid

from napari_monai.deciding import Decider
from napari_monai.events import Segmented
from napari_monai.grid import Grid
from napari_monai.inference import segment_steps
from napari_monai.models import Inferer, Operation, Outputs, read_model
from napari_monai.settings import InferenceSettings
from napari_monai.volume import LabelClass, Volume

CPU = {"device": "cpu", "precision": "float32"}


def _segmented(volume, model, **told) -> Segmented:
    settings = InferenceSettings(**{**CPU, **told})
    *_, last = segment_steps(volume, model, settings=settings)
    assert isinstance(last, Segmented)
    return last


def _volume(shape=(6, 7, 8), codes="LPS", *, leading="", channels=()):
    data = np.random.default_rng(0).random((*channels, *shape), np.float32)
    return Volume(data, grid(shape, codes, (1.0, 2.0, 1.5)), leading=leading)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("codes", ["IPL", "RAS", "SLP"])
def test_probabilities_lie_on_the_native_grid(tmp_path, codes):
    model = threshold_model(tmp_path / "m", threshold=0.5, gain=3.0, dims=3)
    volume = _volume(codes=codes)
    found = _segmented(volume, model, probabilities=True)
    bright = _sigmoid(3.0 * (volume.data - 0.5))
    assert found.probabilities.leading == "c"
    assert found.probabilities.channel_names == ("background", "bright")
    assert found.probabilities.grid == volume.grid
    np.testing.assert_allclose(found.probabilities.numpy()[1], bright, atol=1e-6)
    np.testing.assert_allclose(found.probabilities.numpy().sum(0), 1, atol=1e-6)
    np.testing.assert_array_equal(found.labels.numpy(), bright > 0.5)


def test_nobody_asked(tmp_path):
    found = _segmented(_volume(), threshold_model(tmp_path / "m", threshold=0.5, dims=3))
    assert found.probabilities is None
    assert found.uncertainty is None


def test_entropy_of_a_resampled_time_series(tmp_path):
    """Interpolated probabilities are decided and measured, not labels."""
    model = threshold_model(
        tmp_path / "m",
        threshold=0.5,
        dims=3,
        preprocess=(Operation("spacing", {"spacing": [1.3, 1.0, 2.0]}),),
    )
    volume = _volume(leading="t", channels=(2,))
    found = _segmented(volume, model, probabilities=True, uncertainty="entropy")
    assert found.probabilities.leading == "tc"
    assert found.uncertainty.leading == "t"
    probable = found.probabilities.numpy()
    np.testing.assert_allclose(
        found.uncertainty.numpy(), stats.entropy(probable, base=2, axis=1), atol=1e-5
    )
    np.testing.assert_array_equal(found.labels.numpy(), probable.argmax(1))


@pytest.mark.parametrize(
    ("maps", "expected"),
    [([1, 0, 0], 0.0), ([1 / 3] * 3, 1.0), ([0.5, 0.5, 0], np.log(2) / np.log(3))],
    ids=["sure", "all alike", "two alike"],
)
def test_entropy_of_classes_that_exclude_each_other(maps, expected, tmp_path):
    told = threshold_model(tmp_path / "m", threshold=0.5).description
    decider = Decider(told, None)
    values = torch.tensor(maps).view(-1, 1, 1)
    assert decider.entropy(values).item() == pytest.approx(expected, abs=1e-6)


def test_entropy_of_classes_that_do_not(tmp_path):
    told = threshold_model(
        tmp_path / "m",
        threshold=0.5,
        outputs=Outputs("classes", ("a", "b"), ("sigmoid", "sigmoid")),
        labels=(LabelClass(3, "a"), LabelClass(7, "b")),
    ).description
    values = torch.tensor([[0.5, 1.0, 0.9], [1.0, 0.0, 0.3]]).view(2, 3, 1)
    found = Decider(told, None).entropy(values).ravel()
    expected = [1.0, 0.0, stats.entropy([0.3, 0.7], base=2)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(Decider(told, None).classes(values).ravel(), [7, 3, 3])
    np.testing.assert_array_equal(Decider(told, 0.95).classes(values).ravel(), [7, 3, 0])


@pytest.mark.parametrize("kind", ["classes", "instances"])
def test_variance_between_mirrored_copies(tmp_path, kind):
    changes = INSTANCES if kind == "instances" else {}
    model = random_model(tmp_path / "m", inferer=Inferer((16, 16)), **changes)
    volume = Volume(
        np.random.default_rng(0).random((16, 16), np.float32), Grid.from_spacing((16, 16))
    )
    found = _segmented(volume, model, flips=True, uncertainty="variance")
    network = model.load_network("cpu")
    members = []
    with torch.inference_mode():
        for axes in ((), (2,), (3,), (2, 3)):
            out = network(torch.from_numpy(volume.data)[None, None].flip(axes)).flip(axes)[0]
            members.append(out[:1].sigmoid() if kind == "instances" else out.softmax(0))
    expected = np.var(np.stack(members), axis=0).sum(0)
    assert expected.max() > 1e-4
    np.testing.assert_allclose(found.uncertainty.numpy(), expected, atol=1e-6)


def test_folds_are_averaged(tmp_path):
    first = threshold_model(tmp_path / "a", threshold=0.3, gain=5.0, dims=3)
    second = threshold_model(tmp_path / "b", threshold=0.7, gain=5.0, dims=3)
    shutil.copy(second.folder / "weights.safetensors", first.folder / "fold_1.safetensors")
    file = first.folder / "model.json"
    told = json.loads(file.read_text())
    sum_of_second = second.description.weights[0].sha256
    told["weights"].append({"path": "fold_1.safetensors", "sha256": sum_of_second})
    file.write_text(json.dumps(told))
    model = read_model(first.folder)
    assert model.folds == 2
    volume = _volume()
    found = _segmented(volume, model, probabilities=True, uncertainty="variance")
    each = [_sigmoid(5.0 * (volume.data - t)) for t in (0.3, 0.7)]
    np.testing.assert_allclose(found.probabilities.numpy()[1], np.mean(each, 0), atol=1e-6)
    np.testing.assert_allclose(found.uncertainty.numpy(), 2 * np.var(each, 0), atol=1e-6)


def test_what_grew_on_disk_is_the_same(tmp_path):
    model = random_model(tmp_path / "m", dims=3, inferer=Inferer((8, 8, 8)))
    volume = _volume((12, 10, 9), "RAS")
    settings = InferenceSettings(**CPU, probabilities=True, uncertainty="entropy")
    *_, disk = segment_steps(volume, model, settings=settings, scratch=tmp_path / "s")
    memory = _segmented(volume, model, probabilities=True, uncertainty="entropy")
    for one, other in (
        (disk.labels, memory.labels),
        (disk.probabilities, memory.probabilities),
        (disk.uncertainty, memory.uncertainty),
    ):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
