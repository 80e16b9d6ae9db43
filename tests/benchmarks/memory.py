"""What a segmentation takes beyond its image: ``python tests/benchmarks/memory.py [--large]``.

Each case runs in a process of its own, a line each: the peak above what the interpreter, the
imports and the image took before. ``--large`` adds a zarr volume of 8 GiB, which takes long.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

MIB = 2**20


def model_of(folder: Path, classes: int, width: int) -> Any:
    """Write a small network of random weights: two convolutions."""
    import torch

    from napari_monai import models
    from napari_monai.networks import build_network
    from napari_monai.volume import LabelClass

    arguments = {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": classes,
        "channels": [width, width],
        "strides": [2],
        "num_res_units": 0,
    }
    torch.manual_seed(0)
    network = build_network("unet", arguments)
    description = models.ModelDescription(
        name="small",
        title="Small",
        version="1",
        description="For measuring memory.",
        licence="CC0-1.0",
        network=models.NetworkSpec("unet", arguments),
        inputs=models.Inputs(("image",), 3, size_multiple=2),
        inferer=models.Inferer((96, 96, 96), overlap=0.25),
        outputs=models.Outputs(
            "classes", tuple(f"class {i}" for i in range(classes)), ("softmax",)
        ),
        labels=tuple(LabelClass(i, f"class {i}") for i in range(1, classes)),
    )
    return models.save_model(folder, description, network.state_dict())


def body(shape: tuple[int, ...]) -> np.ndarray:
    """Return a CT-like volume of whole numbers: a body in air, with something in it."""
    rng = np.random.default_rng(0)
    _, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    volume = np.full(shape, -1000, np.int16)
    for i in range(shape[0]):  # plane by plane, so that the image itself is the peak before
        inside = (y[0] / shape[1] - 0.5) ** 2 + (x[0] / shape[2] - 0.5) ** 2 < 0.16
        noise = rng.integers(-100, 100, shape[1:], np.int16)
        volume[i] = np.where(inside, noise + 40 * ((i // 30 + y[0] // 40 + x[0] // 40) % 3), -1000)
    return volume


def peak() -> int:
    """Return the most bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def many_classes(folder: Path) -> dict[str, float]:
    """512 x 512 x 600 voxels, 105 classes, windows of 96."""
    import napari_monai as nm
    from napari_monai.grid import Grid
    from napari_monai.volume import Volume

    shape, classes = (600, 512, 512), 105
    model = model_of(folder / "m", classes, 8)
    # Everything that is loaded once.
    nm.segment(Volume(body((96, 96, 96)), Grid.from_spacing((96, 96, 96))), model)
    volume = Volume(body(shape), Grid.from_spacing(shape))
    before = peak()
    start = time.perf_counter()
    labels = nm.segment(volume, model)
    found = {
        "above_mib": (peak() - before) / MIB,
        "accumulator_mib": 4 * classes * np.prod(shape) / MIB,
        "seconds": time.perf_counter() - start,
    }
    assert labels.numpy().any()
    return found


def from_zarr(folder: Path, shape: tuple[int, ...]) -> dict[str, float]:
    """Segment a zarr volume into one."""
    import zarr

    import napari_monai as nm
    from napari_monai.events import Segmented
    from napari_monai.grid import Grid
    from napari_monai.volume import Volume

    model = model_of(folder / "m", 2, 4)
    nm.segment(Volume(body((96, 96, 96)), Grid.from_spacing((96, 96, 96))), model)
    image = zarr.create_array(folder / "i.zarr", shape=shape, chunks=(64,) * 3, dtype="uint16")
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 1000, (64, *shape[1:]), np.uint16)
    for start in range(0, shape[0], 64):
        image[start : start + 64] = noise[: shape[0] - start]
    del noise
    before = resource_now()
    start_time = time.perf_counter()
    volume = Volume(image, Grid.from_spacing(shape))
    most = before
    settings = nm.InferenceSettings(memory=1.5)
    for event in nm.segment_steps(volume, model, settings=settings, scratch=folder / "s"):
        most = max(most, resource_now())
        if isinstance(event, Segmented):
            labels = event.labels
    assert labels.data.shape == shape
    return {
        "above_mib": (most - before) / MIB,
        "image_mib": 2 * np.prod(shape) / MIB,
        "seconds": time.perf_counter() - start_time,
    }


def resource_now() -> int:
    """Return the bytes that this process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def zarr_volume(folder: Path) -> dict[str, float]:
    """A zarr volume of 384^3 voxels, into zarr."""
    return from_zarr(folder, (384, 384, 384))


def zarr_volume_large(folder: Path) -> dict[str, float]:
    """A zarr volume of 8 GiB, into zarr."""
    return from_zarr(folder, (1024, 2048, 2048))


CASES = {f.__name__: f for f in (many_classes, zarr_volume, zarr_volume_large)}


def main() -> None:
    """Run the cases, or the one that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="add the volume of 8 GiB")
    parser.add_argument("--case", choices=CASES, help="run one case")
    args = parser.parse_args()
    if args.case:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(CASES[args.case](Path(folder))))
        return
    for name in CASES:
        if name.endswith("_large") and not args.large:
            continue
        done = subprocess.run(
            [sys.executable, __file__, "--case", name],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        numbers = json.loads(done.stdout.splitlines()[-1])
        print(f"{name}:", ", ".join(f"{k} {v:.0f}" for k, v in numbers.items()), flush=True)


if __name__ == "__main__":
    main()
