"""Time how long the Segment and the Models widget take to open in a viewer that is up.

``NAPARI_CONFIG= xvfb-run -a python tests/benchmarks/segment_widget_opening.py`` prints the median
and the worst of five openings from cold, each in a process of its own: the first opening pays for
the imports of the widget, and an empty viewer has loaded none of them. Exits 1 above the limit.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMIT = 0.3  # seconds
RUNS = 5
WIDGETS = ("Segment", "Models")


def open_once(name: str) -> tuple[float, float]:
    """Return wall and CPU seconds from the click in the menu to the painted widget."""
    import napari
    from napari.qt import get_qapp

    viewer = napari.Viewer()
    application = get_qapp()
    for _ in range(20):  # until the window has settled
        application.processEvents()
        time.sleep(0.02)
    start, cpu = time.perf_counter(), time.process_time()
    _, widget = viewer.window.add_plugin_dock_widget("napari-monai", name)
    application.processEvents()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert widget.isVisible()
    viewer.close()
    return seconds, cpu


def time_widget(name: str) -> float:
    """Open a widget several times from cold, print the figures, and return the median."""
    times = []
    for _ in range(RUNS):
        command = [sys.executable, "-W", "ignore", __file__, "--once", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        times.append([float(word) for word in done.stdout.splitlines()[-1].split()])
    walls, cpus = zip(*times, strict=True)
    median: float = statistics.median(walls)
    print(
        f"{name} widget opens in {median:.2f} s (worst of {RUNS}: {max(walls):.2f} s; "
        f"CPU {statistics.median(cpus):.2f} s)"
    )
    return median


def main() -> None:
    """Open both and print the figures."""
    if "--once" in sys.argv:
        print(*open_once(sys.argv[-1]))
        return
    sys.exit(max([time_widget(name) for name in WIDGETS]) > LIMIT)


if __name__ == "__main__":
    main()
