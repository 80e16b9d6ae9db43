"""Measure how long the window stands still while the Segment widget works.

``NAPARI_CONFIG= xvfb-run -a python tests/benchmarks/segment_stalls.py [CASE...]`` segments in a
real viewer, with a timer in the event loop and a mouse over the canvas, and prints a line for each
case: the longest time in which the window did not answer during the run, and when the results were
put in; and how long the mouse waited at most. Exits 1 above the limit, not counting the time in
which other programs had the core (which Linux knows).

Before the first case an image is opened and looked at: the first one of a session pays for what
napari and the graphics driver compile. Torch is not loaded before: "first" has that in it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from heart import Heart  # type: ignore[import-not-found]  # beside this script

LIMIT = 0.1  # seconds
SIDE = 256


def write_model(folder: Path) -> None:
    """Write a small 3-D network of three classes with random weights, in a process of its own.

    This one then has no torch yet, as a viewer has none before the first run.
    """
    from napari_monai.models import (
        Inferer,
        Inputs,
        ModelDescription,
        NetworkSpec,
        Operation,
        Outputs,
        save_model,
    )
    from napari_monai.networks import build_network
    from napari_monai.volume import LabelClass

    arguments = {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 3,
        "channels": [8, 16],
        "strides": [2],
        "num_res_units": 0,
    }
    told = ModelDescription(
        name="stalls",
        title="Random classes",
        version="1.0",
        description="For timing.",
        licence="CC0-1.0",
        network=NetworkSpec("unet", arguments),
        inputs=Inputs(("image",), 3, size_multiple=2),
        preprocess=(Operation("scale_percentiles", {"lower": 1.0, "upper": 99.0}),),
        inferer=Inferer((64, 64, 64), overlap=0.25),
        outputs=Outputs("classes", ("background", "one", "two"), ("softmax",)),
        labels=(LabelClass(1, "one"), LabelClass(2, "two")),
    )
    save_model(folder / "stalls", told, build_network("unet", arguments).state_dict())


def blobs(side: int) -> np.ndarray:
    """Return a volume of smooth blobs."""
    from scipy.ndimage import zoom

    coarse = np.random.default_rng(0).normal(size=(side // 16,) * 3).astype(np.float32)
    found: np.ndarray = (100 * zoom(coarse, 16, order=1)).astype(np.int16)
    return found


class Bench:
    """A viewer with the widget, and what was measured in it."""

    def __init__(self) -> None:
        import napari

        self.viewer = napari.Viewer()
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-monai", "Segment")
        self.heart = Heart(self.viewer.window._qt_viewer.canvas.native)
        self.worst = 0.0
        self._watch_the_worker()

    def _watch_the_worker(self) -> None:
        """Have the heart know the thread of each run."""
        segment_run: Any = importlib.import_module("napari_monai._napari.segment_run")
        load, main = segment_run.load_torch, threading.get_native_id()

        def told() -> None:
            self.heart.threads = [main, threading.get_native_id()]
            load()

        segment_run.load_torch = told

    def settle(self) -> None:
        """Let the viewer draw, and redraw, what is shown."""
        self.heart.until(lambda: True, seconds=1.5)

    def run(self, what: str, image: Any, model: str, **settings: Any) -> None:
        """Segment an image layer and print the figures."""
        widget = self.widget
        self.viewer.layers.selection.active = image
        at = widget.model.findText(model)
        widget.model.setCurrentIndex(at)
        widget.model.activated.emit(at)  # as a person does it
        for name, value in settings.items():
            widget.form.fields[name].value = value
        self.settle()
        widget.run()
        bar = widget.progress
        during = self.heart.until(
            lambda: not widget.busy or bar.value() == bar.maximum() > 0, seconds=0
        )
        mouse, own = self.heart.mouse, self.heart.own
        end = self.heart.until(lambda: not widget.busy, seconds=1)
        mouse = max(mouse, self.heart.mouse)
        print(
            f"{what}: {during[0]:.1f} s, longest stall {during[1] * 1e3:.0f} ms "
            f"({own * 1e3:.0f} without waits for a core); at the end {end[0]:.1f} s, "
            f"{end[1] * 1e3:.0f} ms ({self.heart.own * 1e3:.0f}); mouse {mouse * 1e3:.0f} ms; "
            f"{widget.status.text()}",
            flush=True,
        )
        self.worst = max(self.worst, own, self.heart.own)


def cases(bench: Bench, wanted: list[str]) -> None:
    """Run the cases that are wanted, in order."""
    from napari_monai import read

    samples = Path(__file__).parents[2] / "sample_data"
    viewer = bench.viewer
    everything = {"probabilities": True, "uncertainty": "entropy"}
    plain = {"probabilities": False, "uncertainty": "none"}

    def volume(side: int) -> Any:
        viewer.layers.clear()
        return viewer.add_image(blobs(side), name="volume", units="mm")

    first = volume(64)
    bench.settle()
    if "first" in wanted:
        bench.run("first run of a session", first, "stalls", **plain)
    if "volume" in wanted:
        layer = volume(SIDE)
        bench.run(f"{SIDE}^3", layer, "stalls", **plain)
        bench.run(f"{SIDE}^3 again", layer, "stalls", **plain)
    if "maps" in wanted:
        layer = volume(SIDE)
        bench.run(f"{SIDE}^3 with maps", layer, "stalls", **everything)
        bench.run(f"{SIDE}^3 with maps again", layer, "stalls", **everything)
    if "objects" in wanted:
        viewer.layers.clear()
        stack = read(samples / "nuclei_3d.ome.tif").numpy().squeeze()[:12]
        layer = viewer.add_image(stack, name="stack", scale=(1, 0.5, 0.5), units="um")
        bench.run(f"objects of {stack.shape}", layer, "nuclei-2d", **plain)
    if "picture" in wanted:
        viewer.layers.clear()
        tiles = read(samples / "nuclei_2d.tif").numpy().squeeze()
        layer = viewer.add_image(tiles, name="picture", scale=(0.5, 0.5), units="um")
        bench.run(f"objects of {tiles.shape}", layer, "nuclei-2d", **plain)


CASES = ("first", "volume", "maps", "objects", "picture")


def main() -> None:
    """Measure all cases, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE", help=str(CASES))
    wanted = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_MONAI_HOME"] = home
        child = os.fork()
        if child == 0:
            write_model(Path(home) / "models")
            os._exit(0)
        os.waitpid(child, 0)
        bench = Bench()
        cases(bench, wanted)
        bench.viewer.close()
    sys.exit(bench.worst > LIMIT)


if __name__ == "__main__":
    main()
