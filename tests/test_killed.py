"""Real processes that are killed in the middle, again and again, leave nothing that shows."""

from __future__ import annotations

import multiprocessing
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from tests.models.known import INSTANCES, random_model

from napari_monai import inference
from napari_monai.events import Segmented
from napari_monai.grid import Grid
from napari_monai.inference import segment_steps
from napari_monai.models import Inferer, Operation, load_model
from napari_monai.settings import InferenceSettings
from napari_monai.volume import Volume

KILLS = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork server"),
]


def _segment(folder: Path, scratch: Path, events: Any) -> None:
    """Segment in a process of its own, in so little memory that all is read and decoded by parts.

    A word is sent for every event.
    """
    inference.free_memory = lambda _device: 3_000_000
    data = np.load(folder / "image.npy", mmap_mode="r")
    volume = Volume(data, Grid.from_spacing(data.shape, (2.0, 1.0, 1.5), unit="µm"))
    settings = InferenceSettings(device="cpu", precision="float32")
    model = load_model(folder / "m")
    for event in segment_steps(volume, model, settings=settings, scratch=scratch):
        events.send(isinstance(event, Segmented))


class Runs:
    """Starts runs on one image, and kills them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.context: Any = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["napari_monai.inference", "zarr"])
        self.random = random.Random(seed)

    def run(self, scratch: Path, stop: int | None = None) -> tuple[int, bool]:
        """Run, and kill a little after ``stop`` events; return their number, and if all was done.

        The little is at random, so that a process dies while it computes, reads or writes.
        """
        receiver, sender = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_segment, args=(self.folder, scratch, sender))
        process.start()
        sender.close()
        count, done = 0, False
        try:
            while count != stop:
                done = receiver.recv()
                count += 1
            time.sleep(self.random.random() * 0.02)
        except EOFError:
            pass
        process.kill()
        process.join()
        assert stop is not None or process.exitcode == 0
        return count, done

    def labels(self, scratch: Path) -> np.ndarray:
        return np.asarray(zarr.open_array(scratch / "labels", mode="r")[...])


@pytest.fixture
def runs(request, tmp_path):
    image = np.random.default_rng(0).random((30, 40, 28), np.float32)
    np.save(tmp_path / "image.npy", image)
    random_model(
        tmp_path / "m",
        dims=3,
        inferer=Inferer((8, 8, 8), overlap=0.4),
        preprocess=(Operation("spacing", {"spacing": [1.6, 1.2, 1.5], "unit": "µm"}),),
        **(INSTANCES if request.param == "instances" else {}),
    )
    return Runs(tmp_path, seed=0)


@pytest.mark.parametrize("runs", ["instances"], indirect=True)
def test_ten_times_in_one_chain(runs, tmp_path):
    total, _ = runs.run(tmp_path / "whole")
    expected = runs.labels(tmp_path / "whole")
    assert len(np.unique(expected)) > 1
    counts = []
    for _ in range(KILLS):
        count, done = runs.run(tmp_path / "s", stop=runs.random.randint(1, total // 4))
        assert not done, "it was over before it could be killed"
        counts.append(count)
    rest, done = runs.run(tmp_path / "s")
    assert done
    assert rest < total  # it did not begin anew
    np.testing.assert_array_equal(runs.labels(tmp_path / "s"), expected)


@pytest.mark.parametrize("runs", ["classes"], indirect=True)
def test_ten_times_each_by_itself(runs, tmp_path):
    total, _ = runs.run(tmp_path / "whole")
    expected = runs.labels(tmp_path / "whole")
    for i in range(KILLS):
        scratch = tmp_path / f"s{i}"
        stop = runs.random.randint(1, total - 1)
        runs.run(scratch, stop=stop)
        _, done = runs.run(scratch)
        assert done
        np.testing.assert_array_equal(runs.labels(scratch), expected, err_msg=f"after {stop}")
