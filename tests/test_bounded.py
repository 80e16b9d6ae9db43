"""Images larger than memory, windows that hold nothing, and what is said before a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr
from monai.networks.nets import DynUNet
from scipy import ndimage
from tests.models.known import INSTANCES, threshold_model, touching_instances
from torch import nn

from napari_monai import inference
from napari_monai.errors import OutOfMemoryError
from napari_monai.events import Said, Segmented
from napari_monai.grid import Grid
from napari_monai.inference import segment_steps
from napari_monai.models import Inferer, Operation
from napari_monai.preflight import GIB, Estimate, activations
from napari_monai.settings import InferenceSettings
from napari_monai.volume import Volume

EXACT = InferenceSettings(device="cpu", precision="float32")
SHAPE = (40, 44, 36)


def _blobs(seed=0):
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    smooth = ndimage.gaussian_filter(noise, 1.8)
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


def _on_disk(tmp_path, array):
    data = zarr.create_array(tmp_path / "i", shape=array.shape, chunks=(16,) * 3, dtype="f4")
    data[...] = array
    return Volume(data, Grid.from_spacing(SHAPE, (2.0, 1.0, 1.5), unit="µm"))


def _run(volume, model, settings=EXACT, scratch=None):
    events = list(segment_steps(volume, model, settings=settings, scratch=scratch))
    assert isinstance(events[-1], Segmented)
    return events


def _lines(events):
    return [e.message for e in events if isinstance(e, Said)]


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        pytest.param("classes", {}, id="classes"),
        pytest.param("instances", INSTANCES, id="instances"),
        pytest.param("instances", touching_instances(3), id="touching"),
    ],
)
def test_the_same_labels_with_little_memory(tmp_path, monkeypatch, kind, outputs):
    model = threshold_model(
        tmp_path / "m",
        threshold=0.95,
        gain=20.0,
        dims=3,
        inferer=Inferer((16, 16, 16), overlap=0.25),
        preprocess=(
            Operation("scale_percentiles", {"lower": 2.0, "upper": 98.0}),
            Operation("spacing", {"spacing": [1.6, 1.2, 1.5], "unit": "µm"}),
        ),
        **outputs,
    )
    volume = _on_disk(tmp_path, _blobs())
    whole = _run(volume, model)[-1].labels.numpy()
    assert len(np.unique(whole)) > (10 if kind == "instances" else 1)
    monkeypatch.setattr(inference, "free_memory", lambda _device: 6_000_000)
    events = _run(volume, model, scratch=tmp_path / "s")
    np.testing.assert_array_equal(events[-1].labels.numpy(), whole)
    assert not isinstance(events[-1].labels.data, np.ndarray)
    assert ("Telling objects apart, block by block." in _lines(events)) == (kind == "instances")
    assert not [e for e in events if isinstance(e, Said) and e.level == "warning"]


def test_results_that_do_not_fit_are_refused_before_the_run(tmp_path, monkeypatch):
    model = threshold_model(tmp_path / "m", threshold=0.5, dims=3, **INSTANCES)
    monkeypatch.setattr(inference, "free_memory", lambda _device: 1_000_000)
    with pytest.raises(OutOfMemoryError, match=r"image needs .* GiB .*ome\.zarr"):
        _run(_on_disk(tmp_path, _blobs()), model)


def test_the_memory_setting_is_a_limit(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5, dims=3, **INSTANCES)
    shape = (200, 200, 200)
    data = np.broadcast_to(np.zeros((), np.uint8), shape)
    volume = Volume(data, Grid.from_spacing(shape))
    with pytest.raises(OutOfMemoryError, match=r"0\.1 are free"):
        _run(volume, model, InferenceSettings(device="cpu", memory=0.1))


class Counting(nn.Module):
    """Passes a network on and counts the windows that it, and copies of it, were given."""

    windows = 0

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, batch):
        Counting.windows += 0 if batch.is_meta else len(batch)
        return self.network(batch)


@pytest.mark.parametrize("told", ["settings", "model"])
def test_windows_that_hold_nothing_are_not_run(tmp_path, monkeypatch, told):
    """All is foreground to the network, so what is background was not run."""
    inferer = Inferer((8, 8, 8), overlap=0.0, empty=3.0 if told == "model" else None)
    model = threshold_model(
        tmp_path / "m",
        threshold=-1000.0,
        dims=3,
        inferer=inferer,
        preprocess=(Operation("zscore", {}),),
    )
    data = np.full((16, 16, 16), 3, np.int16)
    data[:8, 8:, :8] = 50
    data[9, 2, 3] = 4
    volume = Volume(data, Grid.from_spacing(data.shape))
    load = type(model).load_networks

    def counted(self, device):
        return tuple(Counting(network) for network in load(self, device))

    monkeypatch.setattr(Counting, "windows", 0)
    monkeypatch.setattr(type(model), "load_networks", counted)
    inference._recent.clear()
    settings = replace(EXACT, skip_empty=3.0 if told == "settings" else None)
    found = _run(volume, model, settings)[-1].labels.numpy()
    inference._recent.clear()
    expected = np.zeros(data.shape, bool)
    expected[:8, 8:, :8] = True
    expected[8:, :8, :8] = True
    np.testing.assert_array_equal(found, expected)
    assert Counting.windows == 2


def test_activations_of_a_convolution():
    """Two results of 4 channels live at once, and a quarter of all that there were."""
    layers = [nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 2, 1)]
    network = nn.Sequential(*layers)
    found = activations(network, (1, 1, 8, 8, 8), torch.float32)
    assert found == 4 * (8 * 8**3 + 10 * 8**3 // 4)
    assert activations(network, (1, 1, 8, 8, 8), torch.bfloat16) * 2 == found


def test_what_a_run_takes_in_words():
    estimate = Estimate(image=GIB, windows=2 * GIB, carried=GIB // 2, results=0)
    assert estimate.host == 3.5 * GIB
    assert estimate.line() == "About 3.5 GiB of memory: image 1.0, windows 2.0, overlaps 0.5."
    gpu = replace(estimate, on_gpu=True)
    assert (gpu.host, gpu.device) == (GIB, 2.5 * GIB)
    assert gpu.line().startswith("About 2.5 on the GPU and 1.0 GiB of memory")
    line = r"^it needs 3.5 GiB of memory and 3.0 are free: crop\.$"
    with pytest.raises(OutOfMemoryError, match=line):
        estimate.check(3 * GIB, "it", "crop")
    estimate.check(4 * GIB, "it", "crop")


def test_activations_leave_the_network_as_it_is():
    """DynUNet holds its layers under two names."""
    network = DynUNet(2, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 8, 8]).eval()
    batch = torch.randn(1, 1, 16, 16)
    with torch.inference_mode():
        expected = network(batch)
        assert activations(network, (1, 1, 16, 16), torch.float32) > 4 * 4 * 16 * 16
        torch.testing.assert_close(network(batch), expected, rtol=0, atol=0)
    assert not any(p.is_meta for p in network.parameters())
