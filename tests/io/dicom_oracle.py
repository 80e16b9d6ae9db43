"""What a folder of DICOM should become, from the tags alone, and whether it did.

Nothing of ours is used: pydicom decodes, nibabel reads the CSA header and what was written. Places
are those of PS3.3, equation C.7.6.2.1-1, and of C.7.6.16 for functional groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pydicom
import tifffile
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, pixel_array

with warnings.catch_warnings():  # that its reader is experimental; the CSA header's is not
    warnings.simplefilter("ignore", UserWarning)
    from nibabel.nicom import csareader

Array = npt.NDArray[Any]
TOLERANCE = 0.05  # mm


@dataclass(frozen=True, eq=False)
class Expected:
    """One plane of a file: RAS matrix of (row, column, 1), or ``None``; values."""

    what: str
    matrix: Array | None
    values: Array

    def world(self) -> Array:
        """Return the RAS position of every voxel, shape (rows, columns, 3)."""
        assert self.matrix is not None
        rows, columns = self.values.shape[:2]
        at = np.stack(
            [*np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"),
             np.ones((rows, columns))], axis=-1,
        )  # fmt: skip
        return np.asarray(at @ self.matrix.T)


@dataclass(eq=False)
class Written:
    """One file that was written; ``planes`` counts what was found in each plane of it."""

    path: Path
    values: Array  # (time, x, y, z, colour)
    affine: Array
    found: Array = field(init=False)

    def __post_init__(self) -> None:
        self.found = np.zeros(self.values.shape[:4], np.uint8)


def planes_of_folder(folder: Path) -> list[Expected]:
    """Return every plane of every image below a folder."""
    found: list[Expected] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            made = pydicom.dcmread(path, force=True)
        except Exception:
            continue
        if "PixelData" in made or "FloatPixelData" in made or "DoubleFloatPixelData" in made:
            found += planes_of(made, path.name)
    return found


def planes_of(made: Dataset, name: str) -> Iterator[Expected]:
    """Yield the planes of one file."""
    array = pixel_array(made)  # YBR as RGB
    if made.PhotometricInterpretation == "PALETTE COLOR":
        array = apply_color_lut(array, made)
        array = array >> 8 if array.dtype.itemsize == 2 else array
    frames = int(made.get("NumberOfFrames") or 1)
    stack = array.reshape(frames, *array.shape[frames > 1 :])
    if "PerFrameFunctionalGroupsSequence" in made:
        yield from _enhanced(made, stack, name)
    elif "MOSAIC" in made.get("ImageType", ()):
        yield from _mosaic(made, stack[0], name)
    else:
        matrix = _matrix(made, made, made)
        for number, frame in enumerate(stack):
            yield Expected(f"{name} {number}", matrix, _real(made, frame))


def _real(scaling: Dataset | None, stored: Array) -> Array:
    if stored.ndim > 2 or scaling is None:
        return stored.astype(float)
    slope, intercept = scaling.get("RescaleSlope"), scaling.get("RescaleIntercept")
    return stored * float(1 if slope is None else slope) + float(intercept or 0)


def _matrix(
    position: Dataset | None, orientation: Dataset | None, spacing: Dataset | None
) -> Array | None:
    """Return what turns (row, column, 1) into RAS."""
    try:
        cosines = np.array(orientation.ImageOrientationPatient, float)  # type: ignore[union-attr]
        down, right = (float(x) for x in spacing.PixelSpacing)  # type: ignore[union-attr]
        start = np.array(position.ImagePositionPatient, float)  # type: ignore[union-attr]
    except (AttributeError, TypeError):
        return None
    lps = np.stack([cosines[3:] * down, cosines[:3] * right, start], axis=1)
    return np.diag([-1.0, -1, 1]) @ lps


def _enhanced(made: Dataset, stack: Array, name: str) -> Iterator[Expected]:
    shared = made.get("SharedFunctionalGroupsSequence") or [Dataset()]
    for number, (own, frame) in enumerate(
        zip(made.PerFrameFunctionalGroupsSequence, stack, strict=True)
    ):

        def group(keyword: str, own: Dataset = own) -> Dataset | None:
            found = own.get(keyword) or shared[0].get(keyword)
            return found[0] if found else None

        matrix = _matrix(
            group("PlanePositionSequence"),
            group("PlaneOrientationSequence"),
            group("PixelMeasuresSequence"),
        )
        values = _real(group("PixelValueTransformationSequence"), frame)
        yield Expected(f"{name} frame {number}", matrix, values)


def _mosaic(made: Dataset, sheet: Array, name: str) -> Iterator[Expected]:
    """Yield the tiles, each moved as in nibabel's description of the format."""
    header = csareader.get_csa_header(made)
    count = int(csareader.get_n_mosaic(header))
    normal = np.array(csareader.get_slice_normal(header))
    side = int(np.ceil(np.sqrt(count)))
    rows, columns = sheet.shape[0] // side, sheet.shape[1] // side
    matrix = _matrix(made, made, made)
    assert matrix is not None
    ras = normal * (-1, -1, 1) * float(made.get("SpacingBetweenSlices") or made.SliceThickness)
    corner = matrix @ ((sheet.shape[0] - rows) / 2, (sheet.shape[1] - columns) / 2, 1)
    for k in range(count):
        row, column = k // side * rows, k % side * columns
        tile = sheet[row : row + rows, column : column + columns]
        of_tile = matrix.copy()
        of_tile[:, 2] = corner + k * ras
        yield Expected(f"{name} tile {k}", of_tile, _real(made, tile))


# -- what was written -----------------------------------------------------------------------------


def written_in(folder: Path) -> list[Written]:
    """Return the NIfTIs in a folder, read with nibabel."""
    found = []
    for path in sorted(folder.glob("*.nii.gz")):
        image = nib.load(path)
        array = np.asanyarray(image.dataobj)
        if array.dtype.names:  # colours
            array = np.stack([array[n] for n in array.dtype.names], axis=-1)
            array = array.reshape(*array.shape[:3], -1, array.shape[-1])
        else:
            array = array.reshape(*array.shape[:3], -1, 1)
        found.append(Written(path, np.moveaxis(array, 3, 0), image.affine))
    return found


def assert_all_there(expected: Sequence[Expected], folder: Path, *, copies: int = 0) -> None:
    """Check that every plane is in exactly one file of a folder, and nothing else is.

    Parameters
    ----------
    copies
        How many planes are there twice, and may be left out.
    """
    written = written_in(folder)
    placed = [e for e in expected if e.matrix is not None]
    missing = [e.what for e in placed if not any(_claim(e, one) for one in written)]
    assert len(missing) == copies, f"not at their places, or with other values: {missing}"
    for one in written:
        assert (one.found == 1).all(), f"{one.path.name} has voxels that no slice has"
    pictures = [tifffile.imread(p) for p in sorted(folder.glob("*.tif"))]
    _assert_pictures([e for e in expected if e.matrix is None], pictures)


def _claim(plane: Expected, one: Written) -> bool:
    """Whether a file has a plane at its place; it is counted where it is."""
    world = plane.world()
    to_index = np.linalg.inv(one.affine)
    index = np.rint(world @ to_index[:3, :3].T + to_index[:3, 3]).astype(int)
    if (index < 0).any() or (index >= one.values.shape[1:4]).any():
        return False
    away = index @ one.affine[:3, :3].T + one.affine[:3, 3] - world
    if np.linalg.norm(away, axis=-1).max() > TOLERANCE:
        return False
    x, y, z = np.moveaxis(index, -1, 0)
    values = plane.values.reshape(*plane.values.shape[:2], -1)
    # In single precision where values are no whole numbers.
    near = 0 if one.values.dtype.kind in "iu" else 2e-7
    for time, array in enumerate(one.values):
        if not one.found[time, x, y, z].any() and np.allclose(
            array[x, y, z], values, rtol=near, atol=near * np.abs(values).max(initial=0)
        ):
            one.found[time, x, y, z] += 1
            return True
    return False


def _assert_pictures(expected: Sequence[Expected], pictures: Sequence[Array]) -> None:
    """Check that planes without a place are pictures, each once."""
    frames: list[Array] = []
    for picture in pictures:
        colour = picture.ndim > 2 and picture.shape[-1] == 3
        size = picture.shape[-3:] if colour else picture.shape[-2:]
        frames += list(picture.reshape(-1, *size))
    for plane in expected:
        at = next((k for k, f in enumerate(frames) if np.array_equal(f, plane.values)), None)
        assert at is not None, f"{plane.what} is in no picture"
        del frames[at]
    assert not frames, f"{len(frames)} pictures more than there are planes"
