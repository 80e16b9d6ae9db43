"""Time what users wait for: ``make benchmark``.

Each case runs in a process of its own, so that imports and memory count from zero. The results go
to ``benchmark.json`` and, as a table, to the screen.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
MODEL = "nuclei-2d"
Numbers = dict[str, float]


def import_package() -> Numbers:
    """``import napari_monai``: what every script and plugin discovery pays."""
    import napari_monai  # noqa: F401

    return {}


def command_help() -> Numbers:
    """``napari-monai --help``."""
    subprocess.run(
        [sys.executable, "-m", "napari_monai", "--help"], check=True, stdout=subprocess.DEVNULL
    )
    return {}


def import_inference() -> Numbers:
    """Torch, MONAI and the engine: what the first press of Run pays."""
    import napari_monai.inference  # noqa: F401

    return {}


def read_volume() -> Numbers:
    """Read the abdominal CT (.nii.gz, 2 MB)."""
    import napari_monai as nm

    start = time.perf_counter()
    nm.read(SAMPLES / "abdomen_ct.nii.gz").numpy()
    return {"job_s": time.perf_counter() - start}


def segment_picture() -> Numbers:
    """Segment the 2D nuclei (512 x 512); the score says that speed was not bought with it."""
    return _segment("nuclei_2d.tif", "nuclei_2d_truth.tif")


def segment_stack() -> Numbers:
    """Segment the 3D nuclei (32 x 192 x 192) slice by slice."""
    return _segment("nuclei_3d.ome.tif", "nuclei_3d_truth.ome.tif")


def segment_large_picture() -> Numbers:
    """Segment a mosaic of 16 copies of the 2D nuclei (2048 x 2048)."""
    import numpy as np
    import tifffile

    with tempfile.TemporaryDirectory() as folder:
        for name in ("nuclei_2d.tif", "nuclei_2d_truth.tif"):
            tile = tifffile.imread(SAMPLES / name).astype(np.uint16)
            rows, columns = np.divmod(np.arange(16), 4)
            mosaic = np.zeros((2048, 2048), np.uint16)
            for number, (row, column) in enumerate(zip(rows, columns, strict=True)):
                copy = np.where(tile > 0, tile + 150 * number, 0) if "truth" in name else tile
                mosaic[512 * row :, 512 * column :][:512, :512] = copy
            tifffile.imwrite(Path(folder) / name, mosaic)
        return _segment("nuclei_2d.tif", "nuclei_2d_truth.tif", Path(folder))


def _segment(image: str, truth: str, folder: Path = SAMPLES) -> Numbers:
    import napari_monai as nm

    model = nm.load_model(MODEL)
    volume = nm.read(folder / image)
    segment = nm.segment  # imports torch: timed as a case of its own
    start = time.perf_counter()
    labels = segment(volume, model)
    seconds = time.perf_counter() - start
    scores = nm.evaluate(labels, nm.read(folder / truth, labels=True), kind="instances").mean
    size = volume.numpy().size / 1e6
    return {"job_s": seconds, "megavoxels_per_s": size / seconds, "AP50": scores["AP50"]}


CASES: dict[str, Callable[[], Numbers]] = {
    case.__name__: case
    for case in (
        import_package,
        command_help,
        import_inference,
        read_volume,
        segment_picture,
        segment_stack,
        segment_large_picture,
    )
}


def measure(name: str) -> Numbers:
    """Run a case in a process of its own; return its numbers, its time and its memory (MB)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--case", name], check=True, stdout=subprocess.PIPE, text=True
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    numbers: Numbers = json.loads(done.stdout.splitlines()[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall, "cpu_s": cpu, **numbers}


def run_case(name: str) -> None:
    """Run a case in this process and print its numbers."""
    numbers = CASES[name]()
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes elsewhere
    numbers["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(json.dumps(numbers))


def machine() -> dict[str, Any]:
    """Say what the numbers were taken on."""
    from importlib.metadata import version

    import torch

    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        **{name: version(name) for name in ("napari-monai", "torch", "monai", "napari")},
    }


def main() -> None:
    """Run all cases, or the one that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("benchmark_output"), metavar="DIR")
    parser.add_argument("--case", choices=CASES, help="run one case here, print its numbers")
    args = parser.parse_args()
    if args.case:
        run_case(args.case)
        return
    results: dict[str, Numbers] = {}
    for name in CASES:
        results[name] = measure(name)
        print(f"{name:24}", "  ".join(f"{key} {value:.3g}" for key, value in results[name].items()))
    args.output.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "results": results}
    (args.output / "benchmark.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
