"""Instances decoded block by block beside decoding in one piece: time, memory, and whether equal.

Each side runs in a process of its own on the same zarr maps, written first; prints one line a case.
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
    "2d apart": ((1500, 1500), 0.2),
    "2d carpet": ((1500, 1500), 0.7),
    "3d apart": ((100, 160, 160), 0.2),
    "3d carpet": ((100, 160, 160), 0.7),
}


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
    for name, values in (("foreground", foreground), ("distance", noise(shape, 1))):
        array = zarr.create_array(
            str(folder / name), shape=shape, chunks=chunks, dtype=values.dtype, overwrite=True
        )
        array[:] = values


def run_side(folder: Path, side: str, memory: int) -> None:
    """Decode the maps in this process; print seconds, bytes above the start, and the notes."""
    maps: list[Any] = [zarr.open_array(str(folder / n), mode="r") for n in CASES_MAPS]
    labels: Any = zarr.create_array(
        str(folder / side), shape=maps[0].shape, chunks=maps[0].chunks, dtype=np.int32
    )
    before = peak()
    start = time.perf_counter(), time.process_time()
    notes = 0
    if side == "whole":
        labels[:] = decode(maps[0][:], maps[1][:])
    else:
        for event in decode_blocks(*maps, labels, memory=memory, scratch=folder):
            notes += isinstance(event, Said)
    numbers = {
        "seconds": time.perf_counter() - start[0],
        "cpu": time.process_time() - start[1],
        "bytes": peak() - before,
        "notes": notes,
    }
    print(json.dumps(numbers))


CASES_MAPS = ("foreground", "distance")


def peak() -> int:
    """Return the most memory that this process has held, in bytes."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


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
