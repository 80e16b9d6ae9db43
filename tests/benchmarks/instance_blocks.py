"""Instances decoded block by block beside decoding in one piece: time, memory, and whether equal.

Each side runs in a process of its own on the same zarr maps, written first; prints one line a case.
The memory is read where only Linux tells it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from scipy import ndimage
from scipy.spatial import KDTree

from napari_monai.events import Said
from napari_monai.instance_blocks import decode_blocks
from napari_monai.instances import centre_distance, decode

# Shape of the maps, and how wide the objects are at most, over how far apart their centres lie on
# average: small is objects apart, large a carpet of them without any background.
CASES = {
    "2d apart": ((1000, 1000), 0.8),
    "2d carpet": ((1000, 1000), 4.0),
    "3d apart": ((80, 128, 128), 0.8),
    "3d carpet": ((80, 128, 128), 4.0),
}
APART = 12.0
MAPS = ("foreground", "distance")


def write_maps(folder: Path, shape: tuple[int, ...], width: float) -> None:
    """Write the maps of balls and of what is left of them where they meet, a little blurred."""
    rng = np.random.default_rng(0)
    centres = rng.random((int(np.prod(shape) / APART ** len(shape)), len(shape))) * shape
    grid = np.moveaxis(np.indices(shape), 0, -1)
    away, nearest = KDTree(centres).query(grid, distance_upper_bound=width * APART / 2)
    objects = np.where(np.isfinite(away), nearest + 1, 0)
    distance = ndimage.gaussian_filter(centre_distance(objects), 0.5)
    chunks = tuple(min(n, 256 if len(shape) == 2 else 64) for n in shape)
    for name, values in zip(MAPS, ((objects > 0).astype(np.float32), distance), strict=True):
        array = zarr.create_array(str(folder / name), shape=shape, chunks=chunks, dtype="float32")
        array[:] = values


def run_side(folder: Path, side: str, memory: int) -> None:
    """Decode the maps in this process; print seconds, bytes above the start, and the notes."""
    foreground, distance = (zarr.open_array(str(folder / n), mode="r") for n in MAPS)
    labels = zarr.create_array(
        str(folder / side), shape=foreground.shape, chunks=foreground.chunks, dtype=np.int32
    )
    before = held("VmRSS:")
    start = time.perf_counter(), time.process_time()
    notes = 0
    if side == "whole":
        labels[:] = decode(np.asarray(foreground[:]), np.asarray(distance[:]))
    else:
        job = decode_blocks(foreground, distance, labels, memory=memory, scratch=folder)
        notes = sum(isinstance(event, Said) for event in job)
    numbers = {
        "seconds": time.perf_counter() - start[0],
        "cpu": time.process_time() - start[1],
        "bytes": held("VmHWM:") - before,
        "notes": notes,
    }
    print(json.dumps(numbers))


def held(name: str) -> int:
    """Return what this process holds (``VmRSS:``) or has held at its height (``VmHWM:``), bytes."""
    return 1024 * int(Path("/proc/self/status").read_text().split(name)[1].split()[0])


def main() -> None:
    """Measure all cases, or those that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", type=int, default=60, metavar="MB")
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--side", nargs=2, metavar=("FOLDER", "SIDE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        run_side(Path(args.side[0]), args.side[1], args.memory * 10**6)
        return
    for case in args.case or CASES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_maps(folder, *CASES[case])
            command = [sys.executable, __file__, "--memory", str(args.memory), "--side", name]
            whole, blocks = (
                json.loads(subprocess.check_output([*command, side], text=True))
                for side in ("whole", "blocks")
            )
            arrays: list[Any] = [zarr.open_array(str(folder / s)) for s in ("whole", "blocks")]
            equal = np.array_equal(arrays[0][:], arrays[1][:])
            count = int(np.asarray(arrays[0][:]).max())
        print(
            f"{case:10}  {count} objects  whole {whole['cpu']:.1f} s {whole['bytes'] / 1e6:.0f} MB"
            f"  blocks {blocks['cpu']:.1f} s {blocks['bytes'] / 1e6:.0f} MB"
            f"  time x {blocks['cpu'] / whole['cpu']:.2f}"
            f"  memory x {blocks['bytes'] / whole['bytes']:.2f}"
            f"  {'equal' if equal else 'DIFFERENT'}{', said' if blocks['notes'] else ''}",
            flush=True,
        )


if __name__ == "__main__":
    main()
