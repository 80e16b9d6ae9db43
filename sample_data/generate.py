"""Make the sample images again: ``python sample_data/generate.py [--check]``.

Everything is drawn with seeded random numbers, so that each run gives the same pixels. ``--check``
draws them into a temporary folder and exits with 1 if a committed file differs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import tifffile

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # also when it is run as a file of another folder

import abdomen  # noqa: E402
import nuclei  # noqa: E402
import patient  # noqa: E402

FILES = (
    "nuclei_2d.tif",
    "nuclei_2d_truth.tif",
    "nuclei_3d.ome.tif",
    "nuclei_3d_truth.ome.tif",
    "abdomen_ct.nii.gz",
    "abdomen_ct_truth.nii.gz",
    "abdomen_ct_truth.json",
)


def write_tiff(path: Path, array: npt.NDArray[Any], spacing: tuple[float, ...]) -> None:
    """Write a picture with its pixel size (µm) in the resolution tags, as pixels a centimetre."""
    tifffile.imwrite(
        path,
        array,
        photometric="minisblack",
        compression="zlib",
        compressionargs={"level": 9},
        resolution=(1e4 / spacing[1], 1e4 / spacing[0]),
        resolutionunit="CENTIMETER",
        metadata=None,
        software="napari-monai sample data",
    )


def write_ome(path: Path, array: npt.NDArray[Any], spacing: tuple[float, ...]) -> None:
    """Write a stack (z, y, x) as OME-TIFF with its voxel size in µm."""
    identity = uuid.uuid5(uuid.NAMESPACE_URL, path.name)  # the same each time
    sizes: dict[str, Any] = {"axes": "ZYX", "UUID": f"urn:uuid:{identity}"}
    for axis, step in zip("ZYX", spacing, strict=True):
        sizes |= {f"PhysicalSize{axis}": step, f"PhysicalSize{axis}Unit": "µm"}
    tifffile.imwrite(
        path,
        array,
        ome=True,
        photometric="minisblack",
        compression="zlib",
        compressionargs={"level": 9},
        metadata=sizes,
    )


def write_nifti(path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> None:
    """Write a volume with its affine (RAS, mm) as both sform and qform, without a time stamp."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    path.write_bytes(gzip.compress(image.to_bytes(), 9, mtime=0))


def write_all(folder: Path) -> None:
    """Draw every sample and write it into a folder."""
    picture, truth = nuclei.generate(nuclei.NUCLEI_2D)
    write_tiff(folder / "nuclei_2d.tif", picture, nuclei.NUCLEI_2D.spacing)
    write_tiff(folder / "nuclei_2d_truth.tif", truth, nuclei.NUCLEI_2D.spacing)
    picture, truth = nuclei.generate(nuclei.NUCLEI_3D)
    write_ome(folder / "nuclei_3d.ome.tif", picture, nuclei.NUCLEI_3D.spacing)
    write_ome(folder / "nuclei_3d_truth.ome.tif", truth, nuclei.NUCLEI_3D.spacing)
    ct, organs = abdomen.generate()
    write_nifti(folder / "abdomen_ct.nii.gz", ct, abdomen.affine())
    write_nifti(folder / "abdomen_ct_truth.nii.gz", organs, abdomen.affine())
    names = {str(number): name for number, name in enumerate(patient.ORGANS, 1)}
    (folder / "abdomen_ct_truth.json").write_text(json.dumps(names, indent=1) + "\n")


def content(path: Path) -> tuple[Any, ...]:
    """Return what a file says, apart from how it is packed: type, voxels, space."""
    if path.suffix == ".json":
        return (json.loads(path.read_text()),)
    if path.suffix == ".gz":
        image = nib.load(path)
        assert isinstance(image, nib.Nifti1Image)
        array = np.asanyarray(image.dataobj)
        return array.dtype.str, array.shape, array.tobytes(), image.affine.tolist()
    with tifffile.TiffFile(path) as tiff:
        array = tiff.asarray()
        tags = tiff.pages.first.tags
        size = [tags[name].value for name in ("XResolution", "YResolution", "ResolutionUnit")]
        sizes: Any = None
        if tiff.ome_metadata:
            pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
            sizes = [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"]
        return array.dtype.str, array.shape, array.tobytes(), size, sizes


def differing(folder: Path) -> list[str]:
    """Return the names of the committed files that are missing or not those in a folder."""
    return [
        name
        for name in FILES
        if not (HERE / name).is_file() or content(HERE / name) != content(folder / name)
    ]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Make the sample images again.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if not parser.parse_args().check:
        write_all(HERE)
        total = sum((HERE / name).stat().st_size for name in FILES)
        print(f"{len(FILES)} files, {total / 1e6:.2f} MB, in {HERE}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write_all(Path(folder))
        wrong = differing(Path(folder))
    for name in wrong:
        print(f"{name} is not what this script makes: run it without --check and commit the file.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
