"""Time and memory of reading and writing volumes, each beside what one would use otherwise.

``python tests/benchmarks/io.py [CASE ...]`` prints a line a case: seconds of ours and of the other
(the best of several runs, taken in turn, each in a process of its own, without its imports), their
ratio in time and in CPU time, and what ours adds to the memory at most, as a multiple of the array
where there is one. ``--large`` streams 8 GiB of labels instead of 1.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import io_files  # type: ignore[import-not-found]  # beside this script

Job = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """What is measured: files, and two ways to do the same with them.

    ``ours`` and ``other`` import what they need and return what is timed.
    """

    make: Callable[[Path], object]
    ours: Callable[[Path], Job]
    other: Callable[[Path], Job]
    against: str
    runs: int = 5


# -- reading --------------------------------------------------------------------------------------


def our_reading(path: Path) -> Job:
    """Read all voxels into memory."""
    import importlib

    import numpy as np

    from napari_monai import io

    importlib.import_module(io.format_of(path if path.suffix else "x.dcm").module)

    def job() -> object:
        (volume,) = io.read_all(path)
        array = volume.numpy()
        return np.array(array) if path.suffix == ".nii" else array  # which is mapped

    return job


def pydicom_reading(folder: Path) -> Job:
    """Read the bytes of each file and decode them, without keeping them."""
    import pydicom
    import pydicom.pixels

    def job() -> object:
        for path in sorted(folder.iterdir()):
            _ = pydicom.dcmread(path).pixel_array
        return None

    return job


def nibabel_reading(path: Path) -> Job:
    """Read as nibabel's users should: in the type of the file."""
    import nibabel as nib
    import numpy as np

    load: Any = nib.load
    return lambda: np.array(np.asanyarray(load(path).dataobj))


def pynrrd_reading(path: Path) -> Job:
    """Read with pynrrd."""
    import nrrd  # type: ignore[import-untyped]

    return lambda: nrrd.read(str(path))[0]


def itk_reading(path: Path) -> Job:
    """Read with SimpleITK."""
    import SimpleITK as sitk  # noqa: N813

    return lambda: sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def our_plane(path: Path) -> Job:
    """Open lazily and take the plane in the middle."""
    from napari_monai import io
    from napari_monai.io import ome_zarr, tiff  # noqa: F401

    def job() -> object:
        volume = io.read(path)
        return volume.data[volume.data.shape[0] // 2]

    return job


def zarr_plane(path: Path) -> Job:
    """Open the array with zarr alone and take the plane in the middle."""
    import zarr

    def job() -> object:
        array: Any = zarr.open_group(str(path), mode="r")["0"]
        return array[array.shape[0] // 2]

    return job


def tiff_plane(path: Path) -> Job:
    """Read the plane in the middle with tifffile alone."""
    import tifffile

    return lambda: tifffile.imread(path, key=io_files.LARGE[0] // 2)


# -- writing --------------------------------------------------------------------------------------


def our_streaming(folder: Path) -> Job:
    """Stream labels to OME-Zarr with all levels."""
    from napari_monai import io
    from napari_monai.grid import Grid
    from napari_monai.volume import LabelVolume

    blocks = io_files.Blocks(io_files.streamed(folder))
    grid = Grid.from_spacing(blocks.shape, (1.0, 1.0, 1.0), unit="µm")
    from napari_monai.io import ome_zarr_write  # noqa: F401

    return lambda: io.write(folder / "ours.ome.zarr", LabelVolume(blocks, grid))


def zarr_streaming(folder: Path) -> Job:
    """Write the finest level alone, with zarr alone, a row of chunks at a time."""
    import zarr

    blocks = io_files.Blocks(io_files.streamed(folder))

    def job() -> None:
        array = zarr.create_array(
            str(folder / "other.zarr"), shape=blocks.shape, chunks=(32, 256, 256), dtype="u2",
            overwrite=True,
        )  # fmt: skip
        for start in range(0, blocks.shape[0], 32):
            array[start : start + 32] = blocks[start : start + 32]

    return job


# -- the way back ---------------------------------------------------------------------------------

PREPARED, NATIVE, CLASSES, PART = (75, 75, 75), (256, 256, 150), 12, 40


def _maps() -> tuple[Any, Any]:
    """Return probabilities on a prepared grid, and the way back to the native one."""
    import numpy as np

    from napari_monai.grid import Grid
    from napari_monai.resample import WayBack

    native = Grid.from_spacing(NATIVE, (0.8, 0.8, 1.0), unit="mm")
    how = native.reorientation_to("RAS")
    maps = np.random.default_rng(0).random((CLASSES, *PREPARED), dtype=np.float32)
    return maps, WayBack(native, how, native.reoriented(how).with_shape(PREPARED))


def our_way_back(_folder: Path) -> Job:
    """Probabilities to labels on the native grid as inference does it, part by part."""
    import numpy as np
    import torch

    from napari_monai.returning import Returning
    from napari_monai.sliding import tile

    maps, back = _maps()
    parts = tile(PREPARED, (PART,) * 3, overlap=0.0)

    def run() -> object:
        returning = Returning(back)
        labels = np.zeros(NATIVE, np.uint8)
        for index in range(parts.total):
            box = parts.unpadded(parts.cell(index))
            values = torch.from_numpy(maps[(slice(None), *box)])
            (found,) = returning.bring(box, values, lambda v: [v.argmax(0).to(torch.uint8)])
            region = returning.native(returning.region(box))
            labels[region] = back.how.inverse().apply(found.numpy())
        return labels

    return run


def monai_way_back(_folder: Path) -> Job:
    """Resample all probabilities with MONAI, then decide."""
    from monai.data import MetaTensor
    from monai.transforms import SpatialResample

    maps, back = _maps()
    image = MetaTensor(maps, affine=back.prepared.affine.copy())
    resample = SpatialResample(mode="bilinear", padding_mode="border", align_corners=True)
    target = back.native.affine.copy()
    return lambda: resample(image, dst_affine=target, spatial_size=NATIVE).argmax(0).byte().numpy()


# -- the table ------------------------------------------------------------------------------------


def _at(name: str, job: Callable[[Path], Job]) -> Callable[[Path], Job]:
    """Return a job on a file or folder of this name."""
    return lambda folder: job(folder / name)


def _reading(name: str, other: Callable[[Path], Job], against: str) -> Case:
    return Case(
        lambda folder: io_files.volume_file(folder / name),
        _at(name, our_reading), _at(name, other), against,
    )  # fmt: skip


CASES = {
    "dicom": Case(
        lambda folder: io_files.dicom_series(folder / "ct", planes=560),
        _at("ct", our_reading), _at("ct", pydicom_reading), "pydicom",
    ),
    "dicom_implicit": Case(
        lambda folder: io_files.dicom_series(folder / "ct", planes=280, syntax="implicit"),
        _at("ct", our_reading), _at("ct", pydicom_reading), "pydicom",
    ),
    "dicom_compressed": Case(
        lambda folder: io_files.dicom_series(folder / "ct", planes=60, syntax="compressed"),
        _at("ct", our_reading), _at("ct", pydicom_reading), "pydicom",
    ),
    "nifti": _reading("a.nii", nibabel_reading, "nibabel"),
    "nifti_gz": _reading("a.nii.gz", nibabel_reading, "nibabel"),
    "nrrd": _reading("a.nrrd", pynrrd_reading, "pynrrd"),
    "metaimage": _reading("a.mha", itk_reading, "SimpleITK"),
    "zarr_plane": Case(
        lambda folder: io_files.large_zarr(folder / "a.ome.zarr"),
        _at("a.ome.zarr", our_plane), _at("a.ome.zarr", zarr_plane), "zarr",
    ),
    "tiff_plane": Case(
        lambda folder: io_files.large_tiff(folder / "a.tif"),
        _at("a.tif", our_plane), _at("a.tif", tiff_plane), "tifffile",
    ),
    "labels_to_zarr": Case(
        lambda folder: io_files.plan_streamed(folder, gibibytes=1),
        our_streaming, zarr_streaming, "one level by zarr", runs=1,
    ),
    "way_back": Case(
        lambda _folder: None, our_way_back, monai_way_back, "SpatialResample", runs=1
    ),
}  # fmt: skip


# -- measuring ------------------------------------------------------------------------------------


def memory_mb() -> tuple[float, float]:
    """Return what this process takes now, and what it has taken at most."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # no Linux: the most is all that can be had
        unit = 1e6 if sys.platform == "darwin" else 1e3
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        return most, most
    said = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(said["VmRSS"]) / 1e3, int(said["VmHWM"]) / 1e3


def run_side(case: Case, side: str, folder: Path) -> dict[str, float]:
    """Do one side of a case in this process."""
    job = (case.ours if side == "ours" else case.other)(folder)
    before, _ = memory_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    result = job()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    _, peak = memory_mb()
    size = getattr(result, "nbytes", 0) / 1e6
    return {"wall": wall, "cpu": cpu, "added_mb": peak - before, "result_mb": size}


def measure(name: str, folder: Path, runs: int | None) -> str:
    """Return the line of a case."""
    case = CASES[name]
    case.make(folder)
    found: dict[str, list[dict[str, float]]] = {"ours": [], "other": []}
    for _ in range(1 + (runs or case.runs)):
        for side, numbers in found.items():
            command = [sys.executable, __file__, "--side", side, "--in", str(folder), name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            numbers.append(json.loads(done.stdout.splitlines()[-1]))
    best = {  # but for the first, which fills the caches of the system
        side: {key: min(n[key] for n in numbers[1:]) for key in numbers[0]}
        for side, numbers in found.items()
    }
    ours, other = best["ours"], best["other"]
    added = max(n["added_mb"] for n in found["ours"])
    times = f" ({added / ours['result_mb']:.2f} x the array)" if ours["result_mb"] > 1 else ""
    return (
        f"{name:18} ours {ours['wall']:7.3f} s  {case.against} {other['wall']:7.3f} s  "
        f"ratio {ours['wall'] / other['wall']:.2f} (CPU {ours['cpu'] / other['cpu']:.2f})  "
        f"adds {added:.0f} MB{times}"
    )


def main() -> None:
    """Measure the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--large", action="store_true", help="stream 8 GiB: minutes, 1 GB of disk")
    parser.add_argument("--runs", type=int, metavar="N", help="runs of each side, for all cases")
    parser.add_argument("--side", choices=("ours", "other"), help=argparse.SUPPRESS)
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    unknown = set(args.cases) - CASES.keys()
    if unknown:
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    if args.side:
        print(json.dumps(run_side(CASES[args.cases[0]], args.side, args.folder)))
        return
    for name in args.cases or CASES:
        with tempfile.TemporaryDirectory() as folder:
            if args.large and name == "labels_to_zarr":
                io_files.plan_streamed(Path(folder), gibibytes=8)
            print(measure(name, Path(folder), args.runs), flush=True)


if __name__ == "__main__":
    main()
