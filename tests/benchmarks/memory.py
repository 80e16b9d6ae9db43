"""What a segmentation takes beyond its image: ``python tests/benchmarks/memory.py [--large]``.

Each side of a case runs in a process of its own: its peak above what the interpreter, the imports
and the image take, beside what was said before the run, and beside MONAI's
``sliding_window_inference``. That runs too where its sums fit; elsewhere it is their size, float32
for every class. ``--large`` adds 105 classes on a volume of 512 x 512 x 600 voxels and a zarr
volume of 8 GiB, which take long. Only on Linux, which tells what a process has held at most.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MIB = 2**20


def model_of(folder: Path, classes: int) -> Any:
    """Write a small network of random weights.

    It is a DynUNet of three levels, whose last layer, of kernel size 1, copes with many classes;
    for two classes a U-Net of two levels, so that a large volume does not take all day.
    """
    import torch

    from napari_monai import models
    from napari_monai.networks import build_network
    from napari_monai.volume import LabelClass

    arguments: dict[str, Any]
    name, arguments = "dynunet", {"kernel_size": [3, 3, 3], "strides": [1, 2, 2]}
    arguments["filters"] = [4, 4, 8]
    if classes == 2:
        name, arguments = "unet", {"channels": [4, 4], "strides": [2]}
    arguments |= {"spatial_dims": 3, "in_channels": 1, "out_channels": classes}
    torch.manual_seed(0)
    network = build_network(name, arguments)
    description = models.ModelDescription(
        name="small",
        title="Small",
        version="1",
        description="For measuring memory.",
        licence="CC0-1.0",
        network=models.NetworkSpec(name, arguments),
        inputs=models.Inputs(("image",), 3, size_multiple=4),
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


@dataclass(frozen=True)
class Case:
    """An image, in memory or a zarr array on disk, and a number of classes for it."""

    shape: tuple[int, ...]
    classes: int
    on_disk: bool = False
    #: Largest peak, in MiB, and the ``memory`` that the run is told of, in GiB (0: all).
    bound: float = float("inf")
    memory: float = 0.0
    #: Whether MONAI has the memory for it on a small machine.
    monai: bool = False
    large: bool = False


CASES = {
    "20 classes": Case((256, 256, 256), 20, monai=True),
    "zarr volume": Case((384, 384, 384), 2, on_disk=True, memory=1.5),
    "105 classes": Case((600, 512, 512), 105, bound=4e9 / MIB, large=True),
    "zarr volume of 8 GiB": Case(
        (1024, 2048, 2048), 2, on_disk=True, bound=2e9 / MIB, memory=1.5, large=True
    ),
}


def held(name: str) -> int:
    """Return what this process holds (``VmRSS``) or has held at its height (``VmHWM``), bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


@contextmanager
def measured(found: dict[str, float]) -> Iterator[None]:
    """Put the seconds, and the MiB at the height above those before, into a dictionary."""
    before, start = held("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the height begins anew
    yield
    found["mib"] = (held("VmHWM") - before) / MIB
    found["seconds"] = time.perf_counter() - start


def ours(case: Case, folder: Path) -> dict[str, float]:
    """Segment the image of a case."""
    import napari_monai as nm
    from napari_monai import inference
    from napari_monai.events import Said, Segmented
    from napari_monai.grid import Grid
    from napari_monai.volume import Volume

    model = model_of(folder / "m", case.classes)
    small = (96, 96, 96)
    nm.segment(Volume(body(small), Grid.from_spacing(small)), model)  # all that is loaded once
    image: Any = on_disk(folder / "i.zarr", case.shape) if case.on_disk else body(case.shape)
    volume = Volume(image, Grid.from_spacing(case.shape))
    settings = nm.InferenceSettings(memory=case.memory)
    scratch = folder / "s" if case.on_disk else None
    inference._WORTH_SAYING = 0
    found: dict[str, float] = {}
    labels = None
    with measured(found):
        for event in nm.segment_steps(volume, model, settings=settings, scratch=scratch):
            if isinstance(event, Said) and event.message.startswith("About "):
                found["said"] = 1024 * float(event.message.split()[1])
            elif isinstance(event, Segmented):
                labels = event.labels
    assert labels is not None
    assert labels.data.shape == case.shape
    assert np.asarray(labels.data[case.shape[0] // 2]).any()
    return found


def monai(case: Case, folder: Path) -> dict[str, float]:
    """Give the image of a case to MONAI, and take the most probable class."""
    import torch
    from monai.inferers import sliding_window_inference

    network = model_of(folder / "m", case.classes).load_networks("cpu")[0]

    def classes(image: torch.Tensor) -> torch.Tensor:
        told: dict[str, Any] = {"overlap": 0.25, "mode": "gaussian"}
        with torch.inference_mode():
            maps = sliding_window_inference(image, (96, 96, 96), 1, network, **told)
            found: torch.Tensor = maps.argmax(dim=1)
            return found

    classes(torch.zeros(1, 1, 96, 96, 96))
    volume = body(case.shape)
    found: dict[str, float] = {}
    with measured(found):
        classes(torch.from_numpy(volume).float()[None, None])
    return found


def on_disk(path: Path, shape: tuple[int, ...]) -> Any:
    """Write a zarr array of uint16 noise, part by part."""
    import zarr

    image = zarr.create_array(path, shape=shape, chunks=(64,) * 3, dtype="uint16")
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 1000, (64, *shape[1:]), np.uint16)
    for start in range(0, shape[0], 64):
        image[start : start + 64] = noise[: shape[0] - start]
    return image


SIDES: dict[str, Callable[[Case, Path], dict[str, float]]] = {"ours": ours, "monai": monai}


def run(name: str, side: str) -> dict[str, float]:
    """Return what a side of a case takes, in a process of its own."""
    command = [sys.executable, __file__, "--case", name, "--side", side]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    numbers: dict[str, float] = json.loads(out.splitlines()[-1])
    return numbers


def main() -> None:
    """Measure the cases, or the one that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="add the two that take long")
    parser.add_argument("--case", choices=CASES, action="append", help="measure this one")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(SIDES[args.side](CASES[args.case[0]], Path(folder))))
        return
    for name in args.case or [n for n, case in CASES.items() if args.large or not case.large]:
        case = CASES[name]
        found = run(name, "ours")
        image = np.prod(case.shape) * 2 / MIB
        line = f"{name}, image {image:.0f} MiB: {found['mib']:.0f} MiB"
        if case.bound < float("inf"):
            line += f" ({'within' if found['mib'] <= case.bound else 'OVER'} {case.bound:.0f})"
        line += f" in {found['seconds']:.0f} s, {found['said']:.0f} were said before;"
        if case.monai:
            other = run(name, "monai")
            line += f" MONAI {other['mib']:.0f} MiB in {other['seconds']:.0f} s"
        else:
            line += f" MONAI's sums alone {4 * case.classes * np.prod(case.shape) / MIB:.0f} MiB"
        print(line, flush=True)


if __name__ == "__main__":
    main()
