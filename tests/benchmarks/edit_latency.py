"""How long a person waits for a local edit of a large volume: from the key to the canvas drawn.

``python tests/benchmarks/edit_latency.py``; without a screen, under ``xvfb-run``.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from qtpy.QtWidgets import QApplication

SHAPE = (300, 512, 512)
SPACING = (1.5, 0.8, 0.8)
TIMES = 9


def organs() -> npt.NDArray[np.uint16]:
    """Return twelve labels, each of two balls of 90 mm that touch, with holes.

    They are of some 0.8 million voxels: more than a spleen, less than a liver.
    """
    labels = np.zeros(SHAPE, np.uint16)
    grid = np.ogrid[tuple(slice(0, round(90 / s) + 1) for s in SPACING)]
    away = sum(((g * s - 45.0) / 45.0) ** 2 for g, s in zip(grid, SPACING, strict=True))
    ball = np.asarray(away <= 1)
    ball[28:32, 15:19, 54:58] = False
    number = 0
    for z in (20, 120, 220):
        for y in (30, 280):
            for x in (20, 260):
                number += 1
                for start in (x, x + 98):
                    size = ball.shape
                    box = labels[z : z + size[0], y : y + size[1], start : start + size[2]]
                    box[ball] = number
    return labels


def until_drawn(work: Callable[[], object]) -> float:
    """Return the milliseconds that something takes, until the window has drawn it."""
    start = time.perf_counter()
    work()
    QApplication.processEvents()
    return 1e3 * (time.perf_counter() - start)


def done(widget: Any) -> None:
    """Apply the tool that is chosen, and wait for it where it goes on beside the window."""
    widget.apply()
    while widget.session.runs.busy:
        QApplication.processEvents()


def main() -> None:
    """Print the median of each kind of edit, with the widget docked."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_MONAI_HOME"] = home  # no autosave of these labels stays
        measure()


def measure() -> None:
    """Edit, undo and redo, and print how long each takes."""
    viewer = napari.Viewer(show=True)
    layer = viewer.add_labels(organs(), scale=SPACING, units=("mm",) * 3)
    _, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Edit labels")
    viewer.dims.current_step = (50, 0, 0)
    while widget.session.known_boxes.known is None:  # looked for beside the window
        QApplication.processEvents()
    voxels = np.count_nonzero(layer.data == 1) / 1e6
    print("x".join(map(str, SHAPE)), f"uint16, labels of {voxels:.2f} million voxels, until drawn:")
    for name in ("delete", "split", "fill-holes", "merge"):
        widget.session.select((1, 2) if name == "merge" else (1,))
        widget.tools.choose(name)
        before = layer.data.copy()
        done(widget)
        assert (layer.data != before).any(), name
        widget.undo()
        spent: dict[str, list[float]] = {"edit": [], "undo": [], "redo": []}
        for _ in range(TIMES):
            QApplication.processEvents()
            spent["edit"].append(until_drawn(lambda: done(widget)))
            spent["undo"].append(until_drawn(widget.undo))
            spent["redo"].append(until_drawn(widget.redo))
            widget.undo()
        figures = (f"{k} {statistics.median(v):.0f} ({min(v):.0f})" for k, v in spent.items())
        print(f"{name}: {', '.join(figures)} ms: median (least) of {TIMES}")
    viewer.close()


if __name__ == "__main__":
    main()
