"""What training on a volume larger than memory takes: ``python tests/benchmarks/large_pairs.py``.

Writes a zarr volume with labels, makes examples of it with next to no memory allowed, and draws
batches from them. Prints the memory above that of the imports, and the processor's seconds for
the examples and for a batch, beside one from an example in memory. Memory is what the process
cannot do without: pages of mapped files, which the system drops when others need it, are counted
apart. Only on Linux, which tells the two apart.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_monai import LabelVolume, TrainingSettings, Volume
from napari_monai.grid import Grid
from napari_monai.training.examples import Example, make_examples
from napari_monai.training.patches import PatchSampler
from napari_monai.training.plan import plan_model
from napari_monai.training.resolved import resolve
from napari_monai.training.split import split_pairs
from napari_monai.volume import LabelKind

GIB = 2**30
SIDE = 512
CHUNK = 128
# Objects stand on a raster, so that the truth is known without keeping it.
PITCH = 32


class Memory:
    """The most memory that the process took in between, above what it took at first, in MiB."""

    def __enter__(self) -> Memory:
        """Begin to watch."""
        self.first = _status("RssAnon")
        self.own = self.mapped = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.own = max(self.own, _status("RssAnon") - self.first)
            self.mapped = max(self.mapped, _status("RssFile"))


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) // 1024
    raise SystemExit("this system does not tell memory from mapped files")


def write_pair(folder: Path, planes: int, kind: LabelKind) -> tuple[Volume, LabelVolume]:
    """Write noise with bright cubes of 20 voxels, and their labels: one number each, or one all."""
    shape = (planes, SIDE, SIDE)
    options: dict[str, Any] = {"shape": shape, "chunks": (CHUNK,) * 3}
    image = zarr.create_array(folder / "image.zarr", dtype=np.uint16, **options)
    labels = zarr.create_array(folder / f"{kind}.zarr", dtype=np.int32, **options)
    rng = np.random.default_rng(0)
    for start in range(0, planes, CHUNK):
        slab = slice(start, min(planes, start + CHUNK))
        z, y, x = np.ogrid[slab, :SIDE, :SIDE]
        inside = (z % PITCH < 20) & (y % PITCH < 20) & (x % PITCH < 20)
        wide = -(-SIDE // PITCH)
        number = 1 + (z // PITCH * wide + y // PITCH) * wide + x // PITCH
        labels[slab] = inside * number if kind == "instances" else inside
        image[slab] = rng.integers(100, 200, inside.shape, np.uint16) + 300 * inside
    grid = Grid.from_spacing(shape)
    return Volume(image, grid, name="large"), LabelVolume(labels, grid, kind=kind)


def _first_planes(volume: Volume) -> Volume:
    grid = volume.grid.crop((0, 0, 0), (96, SIDE, SIDE))
    return replace(volume, data=np.asarray(volume.data[:96]), grid=grid)


def seconds_a_batch(example: Example, plan: Any, classes: bool) -> float:
    """Return the median of the times that batches take."""
    sampler = PatchSampler([example], plan, seed=0, classes=classes)
    times = []
    for step in range(8):
        begun = time.process_time()
        sampler.batch(step)
        times.append(time.process_time() - begun)
    return float(np.median(times[2:]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=1.0, help="size of the image")
    parser.add_argument("--kind", choices=("classes", "instances"), default="classes")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary one by default")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        planes = int(args.gib * GIB / 2 / SIDE**2)
        pair = write_pair(folder, planes, args.kind)
        patch = (48, 96, 96)
        small = _first_planes(pair[0]), _first_planes(pair[1])
        settings = TrainingSettings(target=args.kind, patch=patch, memory=1e-9)
        told = plan_model("large", [small], settings)
        plan = resolve(settings, told)
        classes = args.kind == "classes"
        print(f"image {pair[0].nbytes / GIB:.1f} GiB, labels {pair[1].nbytes / GIB:.1f} GiB")
        with Memory() as memory:
            begun = time.process_time()
            split = split_pairs([pair], settings)
            print(f"split: {time.process_time() - begun:.0f} s; {split.how}")
        print(f"  most memory {memory.own} MiB, and {memory.mapped} MiB of mapped files")
        with Memory() as memory:
            begun = time.process_time()
            (example,) = make_examples(
                split.training, told, settings=settings, margin=patch, scratch=folder
            )
            seconds = time.process_time() - begun
            print(f"examples: {seconds:.0f} s, {example.labels.size / seconds / 1e6:.1f} Mvoxel/s")
        print(f"  most memory {memory.own} MiB, and {memory.mapped} MiB of mapped files")
        with Memory() as memory:
            kept = seconds_a_batch(example, plan, classes)
        print(f"  batches: most memory {memory.own} MiB, {memory.mapped} MiB of mapped files")
        in_memory = replace(settings, memory=100.0)
        (held,) = make_examples([small], told, settings=in_memory, partial=True)
        here = seconds_a_batch(held, plan, classes)
        print(f"a batch of {plan.batch_size}: {kept * 1e3:.0f} ms, in memory {here * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
