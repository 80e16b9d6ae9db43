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
import numpy.typing as npt
import zarr
from scipy import ndimage

from napari_monai.events import Said
from napari_monai.instance_blocks import decode_blocks
from napari_monai.instances import decode

# Shape of the maps, and how much of them is foreground: objects apart, and a carpet of them.
CASES = {
    "2d apart": ((900, 900), 0.2),
    "2d carpet": ((900, 900), 0.7),
    "3d apart": ((64, 110, 110), 0.2),
    "3d carpet": ((64, 110, 110), 0.7),
}
MAPS = ("foreground", "distance")


def noise(shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    """Return smooth noise from 0 to 1, with bumps about 8 voxels wide."""
    values = np.random.default_rng(seed).random(shape, np.float32)
    values = ndimage.gaussian_filter(values, 2)
    return np.asarray((values - values.min()) / np.ptp(values), np.float32)


def write_maps(folder: Path, shape: tuple[int, ...], part: float) -> None:
    """Write the maps of touching objects as ``foreground`` and ``distance``."""
    foreground = noise(shape, 0)
    foreground = (foreground >= np.quantile(foreground, 1 - part)).astype(np.float32)
    chunks = tuple(min(n, 256 if len(shape) == 2 else 64) for n in shape)
    for name, values in zip(MAPS, (foreground, noise(shape, 1)), strict=True):
        array = zarr.create_array(
            str(folder / name), shape=shape, chunks=chunks, dtype=values.dtype, overwrite=True
        )
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
        print(
            f"{case:10}  whole {whole['cpu']:.1f} s {whole['bytes'] / 1e6:.0f} MB"
            f"  blocks {blocks['cpu']:.1f} s {blocks['bytes'] / 1e6:.0f} MB"
            f"  time x {blocks['cpu'] / whole['cpu']:.2f}"
            f"  memory x {blocks['bytes'] / whole['bytes']:.2f}"
            f"  {'equal' if equal else 'DIFFERENT'}{', said' if blocks['notes'] else ''}",
            flush=True,
        )


if __name__ == "__main__":
    main()
