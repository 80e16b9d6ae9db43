"""Measure how long the window stands still while a training runs beside it.

``NAPARI_CONFIG= xvfb-run -a python tests/benchmarks/finetune_stalls.py [CASE...]`` trains from the
Fine-tune widget in a real viewer, with a timer in the event loop and a mouse over the canvas, and
prints for each case the longest time in which the window did not answer: while the pairs are
handed over and the training begins, while it runs with its curves and validation layers, and when
before and after are put side by side. Exits 1 above the limit, not counting the time in which
other programs had the core (which Linux knows). The training is a process of its own, of low
priority, so that a machine of two cores will do.

Before, an image is opened and looked at: the first one of a session pays for what napari and the
graphics driver compile.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import threading
from typing import Any

import numpy as np
from heart import Heart  # type: ignore[import-not-found]  # beside this script

LIMIT = 0.1  # seconds
TINY = {"network_arguments": '{"channels": [4, 8], "strides": [2], "num_res_units": 0}'}
ALL = {
    "batch_size": 2,
    "workers": 0,
    "precision": "float32",
    "device": "cpu",
}


def rods(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of bright discs, or a stack of rods, and its labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    rows, columns = np.indices(shape[-2:])
    for number in range(1, 1 + shape[-1] * shape[-2] // 900):
        r, c = rng.uniform(0, shape[-2]), rng.uniform(0, shape[-1])
        labels[..., np.hypot(rows - r, columns - c) <= 7] = number
    image = (labels > 0) * 150.0 + rng.normal(40, 9, shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


class Bench:
    """A viewer with the widget, and what was measured in it."""

    def __init__(self) -> None:
        import napari

        self.viewer = napari.Viewer()
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-monai", "Fine-tune")
        self.heart = Heart(self.viewer.window._qt_viewer.canvas.native)
        self.worst = 0.0
        self._watch_the_worker()

    def _watch_the_worker(self) -> None:
        """Have the heart know the thread of each run."""
        steps: Any = importlib.import_module("napari_monai._napari.finetune_steps")
        warm_up, main = steps._warm_up, threading.get_native_id()

        def told() -> None:
            self.heart.threads = [main, threading.get_native_id()]
            warm_up()

        steps._warm_up = told

    def phase(self, what: str, until: Any, seconds: float) -> None:
        """Let events in until something is true, and print the longest stall."""
        took, longest, computed = self.heart.until(until, seconds=seconds)
        print(
            f"  {what}: {took:.1f} s, longest stall {longest * 1e3:.0f} ms "
            f"({self.heart.own * 1e3:.0f} without waits for a core, {computed * 1e3:.0f} of it "
            f"computing); mouse {self.heart.mouse * 1e3:.0f} ms",
            flush=True,
        )
        self.worst = max(self.worst, self.heart.own)

    def run(self, what: str, shape: tuple[int, ...], **settings: Any) -> None:
        """Train on two pairs, of which a part is held out, and print the figures."""
        from qtpy.QtCore import QTimer

        widget, watch = self.widget, self.widget.watch
        self.viewer.layers.clear()
        for at in range(2):
            image, labels = rods(shape, at)
            self.viewer.add_image(image, name=f"image {at}")
            self.viewer.add_labels(labels, name=f"labels {at}")
        widget.data.pairs.rows.clear()
        widget.data.pairs.add_layers()
        start = settings.pop("start", None)
        widget.data.start.choose(start)
        for name, value in {**ALL, **({} if start else TINY), **settings}.items():
            widget.data.form.fields[name].value = value
        widget.data.name.setText(what.replace(" ", "-"))
        self.heart.until(lambda: True, seconds=1.5)
        print(f"{what}, {' x '.join(map(str, shape))}", flush=True)
        widget.start()
        curves = watch.curves
        self.phase("to the first step", lambda: not widget.busy or bool(curves.progress.train), 0)
        self.phase("training", lambda: not widget.busy, 1)
        print(f"  {watch.status.text()}", flush=True)
        if not watch.validation.comparable:
            self.worst = max(self.worst, 0.0 if watch.trained else float("inf"))
            return
        QTimer.singleShot(20, watch.beside_button.click)  # within what is measured
        grid = self.viewer.canvas.grid
        self.phase("before and after side by side", lambda: grid.enabled, 1)
        watch.beside_button.click()
        self.heart.until(lambda: True, seconds=0.5)


CASES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "picture": ((512, 512), {"patch": (64, 64), "steps": 60, "validate_every": 20}),
    "model": ((256, 256), {"start": "nuclei-2d", "steps": 6, "validate_every": 3}),
    "stack": ((32, 256, 256), {"patch": (16, 32, 32), "steps": 40, "validate_every": 20}),
}


def main() -> None:
    """Measure all cases, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE", help=str([*CASES]))
    wanted = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_MONAI_HOME"] = home
        bench = Bench()
        bench.viewer.add_image(np.zeros((8, 64, 64), np.uint8))
        bench.viewer.add_labels(np.ones((8, 64, 64), np.uint8))
        bench.heart.until(lambda: True, seconds=2)
        for name in wanted:
            shape, settings = CASES[name]
            bench.run(name, shape, **settings)
        bench.viewer.close()
    sys.exit(bench.worst > LIMIT)


if __name__ == "__main__":
    main()
