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
TIMES = 9


def organs(spacing: tuple[float, ...] = (3.0, 1.0, 1.0)) -> npt.NDArray[np.uint16]:
    """Return labels of twelve balls of 60 mm, each with a hole: as large as a kidney."""
    labels = np.zeros(SHAPE, np.uint16)
    grid = np.ogrid[tuple(slice(0, 60 // int(s) + 1) for s in spacing)]
    away = sum(((g * s - 30.0) / 30.0) ** 2 for g, s in zip(grid, spacing, strict=True))
    ball = np.asarray((away <= 1) & (away > 0.05))
    number = 0
    for z in (20, 140, 250):
        for y in (100, 300):
            for x in (100, 300):
                number += 1
                box = labels[z : z + ball.shape[0], y : y + ball.shape[1], x : x + ball.shape[2]]
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
    viewer.add_labels(organs(), scale=(3, 1, 1), units=("mm",) * 3)
    _, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Edit labels")
    viewer.dims.current_step = (30, 0, 0)
    while widget.session.known_boxes.known is None:  # looked for beside the window
        QApplication.processEvents()
    print("x".join(map(str, SHAPE)), "uint16, labels of 60 mm, the slice that is seen drawn again:")
    widget.session.select((1, 2))
    for name in ("delete", "merge", "fill-holes"):
        widget.tools.choose(name)
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
