"""A GPU that runs out of memory in the middle: what is done by then stays, and the rest follows.

torch's lazy device takes the part of the GPU: tensors on it are as far from the host as those on
one, and it is there on every machine.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tests.models.known import random_model
from torch import nn

from napari_monai import inference
from napari_monai.blending import Blender
from napari_monai.events import Said
from napari_monai.grid import Grid
from napari_monai.models import Inferer
from napari_monai.resample import WayBack
from napari_monai.returning import Returning
from napari_monai.runner import Runner
from napari_monai.settings import InferenceSettings
from napari_monai.sliding import predict_parts, tile
from napari_monai.streaming import Part
from napari_monai.volume import Volume

FULL = "lazy is out of memory: windows are added up on the host."


@pytest.fixture(scope="module")
def lazy():
    backend = pytest.importorskip("torch._lazy.ts_backend")
    try:
        backend.init()
        torch.ones(1, device="lazy").cpu()
    except RuntimeError as error:
        pytest.skip(f"this torch has no lazy device: {error}")
    return torch.device("lazy")


@pytest.fixture
def gpu(lazy, monkeypatch):
    for owner, name in ((Runner, "run"), (Blender, "add"), (Returning, "bring")):
        # That device has no views of tensors that were made for inference.
        plain = torch.no_grad()(getattr(owner, name).__wrapped__)
        monkeypatch.setattr(owner, name, plain)
    return lazy


class Filling(nn.Module):
    """Adds up neighbours; ``fits`` says of a batch, and of how many were run, if there is room."""

    def __init__(self, fits):
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(2, 1, 3, 3) / 9)
        self.fits = fits
        self.calls = 0

    def forward(self, batch):
        self.calls += 1
        if batch.device.type != "cpu" and not self.fits(len(batch), self.calls):
            raise torch.OutOfMemoryError("out of memory")
        return nn.functional.conv2d(batch, self.kernel, padding=1)


def _run(network, device, *, batch_size=1, finish=None, shape=(30, 26)):
    array = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    told = {"device": device, "spatial_dims": 2, "batch_size": batch_size, "finish": finish}
    tiling = tile(shape, (8, 8), overlap=0.4)
    events = list(predict_parts(array, network.to(device), tiling, **told))
    return [e for e in events if isinstance(e, Part)], [
        e.message for e in events if isinstance(e, Said)
    ]


def _maps(parts, shape=(30, 26)):
    maps = np.full((2, *shape), np.nan, np.float32)
    for part in parts:
        maps[(slice(None), *part.box)] = part.values
    return maps


def _expected():
    return _maps(_run(Filling(lambda *_: True), torch.device("cpu"))[0])


def test_every_step_in_its_order(gpu):
    def fits(size, calls):
        return calls <= 3 or (size == 1 and 6 < calls <= 9)

    parts, lines = _run(Filling(fits), gpu, batch_size=2)
    assert lines == [
        "Out of memory: going on with 1 windows at once.",
        FULL,
        "lazy is out of memory: going on on the CPU, more slowly.",
    ]
    np.testing.assert_allclose(_maps(parts), _expected(), atol=1e-6)


def test_the_network_stays_where_moving_the_sums_was_enough(gpu):
    on_gpu = []

    def fits(_size, calls):
        on_gpu.append(calls)
        return calls != 8

    parts, lines = _run(Filling(fits), gpu)
    assert lines == [FULL]
    assert len(on_gpu) == len(parts) + 1
    np.testing.assert_allclose(_maps(parts), _expected(), atol=1e-6)


@pytest.mark.parametrize("window", [0, 7, 20])
def test_no_room_to_add_a_window(gpu, monkeypatch, window):
    """Nothing is added twice, whichever axis there was no room for."""
    before = Blender._before
    calls = []

    def full(self, axis, place, cell, values):
        calls.append(axis)
        if len(calls) == 2 * window + 2:
            raise torch.OutOfMemoryError("out of memory")
        return before(self, axis, place, cell, values)

    monkeypatch.setattr(Blender, "_before", full)
    parts, lines = _run(Filling(lambda *_: True), gpu)
    assert lines == [FULL]
    monkeypatch.undo()
    np.testing.assert_allclose(_maps(parts), _expected(), atol=1e-6)


@pytest.mark.parametrize("stop", [1, 5, 13])
def test_no_room_to_bring_maps_home(gpu, stop):
    native = Grid.from_spacing((30, 26), (1.0, 1.0))
    how = native.reorientation_to("IPL")
    prepared = native.with_spacing((1.3, 0.7))
    back = WayBack(native, how, prepared)

    def bring(device, last):
        returning, calls = Returning(back), []

        def finish(box, maps):
            calls.append(box)
            if maps.device.type != "cpu" and len(calls) > last:
                raise torch.OutOfMemoryError("out of memory")
            return returning.bring(box, maps, lambda values: (values,))

        parts, lines = _run(Filling(lambda *_: True), device, finish=finish, shape=prepared.shape)
        found = np.full((2, *native.shape), np.nan, np.float32)
        for part in parts:
            found[(slice(None), *returning.region(part.box))] = part.values
        return found, lines

    found, lines = bring(gpu, stop)
    expected, none = bring(torch.device("cpu"), stop)
    assert (lines, none) == ([FULL], [])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("free", "batch", "lines"),
    [
        pytest.param(10**9, 4, [], id="enough"),
        pytest.param(
            0,
            1,
            [
                "lazy has 0.0 GiB free: 1 windows at once in place of 4.",
                "lazy has 0.0 GiB free: windows are added up on the host.",
                "lazy has 0.0 GiB free and one window needs 0.0: a smaller window would fit.",
            ],
            id="none",
        ),
    ],
)
def test_what_a_gpu_has_free_is_heeded_before_the_run(
    gpu, monkeypatch, tmp_path, free, batch, lines
):
    model = random_model(tmp_path / "m", inferer=Inferer((8, 8)))
    data = np.random.default_rng(0).random((30, 26), np.float32)
    volume = Volume(data, Grid.from_spacing(data.shape))
    settings = InferenceSettings(precision="float32", batch_size=4)
    expected = inference.segment(
        volume, model, settings=dataclasses.replace(settings, device="cpu")
    ).numpy()
    sizes = []
    run = Runner.run

    def counted(self, windows):
        sizes.append(len(windows))
        return run(self, windows)

    def free_memory(device):
        return free if device == gpu else 2**40

    monkeypatch.setattr(Runner, "run", counted)
    monkeypatch.setattr(inference, "pick_device", lambda _name: gpu)
    monkeypatch.setattr(inference, "free_memory", free_memory)
    events = list(inference.segment_steps(volume, model, settings=settings))
    assert [e.message for e in events if isinstance(e, Said) and e.level == "warning"] == lines
    assert max(sizes) == batch
    np.testing.assert_array_equal(events[-1].labels.numpy(), expected)
