"""Measure 100,000 objects: ``python tests/benchmarks/measure.py``, beside scikit-image.

On 512 x 512 x 512 voxels, of which a third are of objects; CPU seconds of the process, so that
neighbours on the machine do not count. scikit-image comes last: it takes minutes. ``--size 128``
takes so many voxels an axis. Feret diameters, which scikit-image takes milliseconds an object for,
are measured of every so many objects on its side.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage import measure as skimage_measure

from napari_monai.labels.contacts import touching
from napari_monai.labels.feret import feret_diameters
from napari_monai.labels.intensities import intensities
from napari_monai.labels.measure import measure, remeasure
from napari_monai.labels.near import neighbours_within
from napari_monai.labels.pairs import numbered_like
from napari_monai.labels.proposals import accepted, differences
from napari_monai.labels.review import disagreeing_objects, odd_objects
from napari_monai.labels.scene import Scene
from napari_monai.labels.surface_area import surface_areas
from napari_monai.labels.table import Table

# What both sides measure, by scikit-image's names.
COLUMNS = ("label", "area", "centroid", "bbox", "intensity_mean", "intensity_min", "intensity_max",
           "inertia_tensor_eigvals")  # fmt: skip
SPACING = (1.0, 1.0, 1.0)
# Of how many objects scikit-image measures one Feret diameter.
EVERY = 500


def balls(size: int, radius: float = 4.6, step: int = 11) -> npt.NDArray[np.int32]:
    """Return balls on a grid, numbered in a random order, in so many voxels an axis."""
    labels = np.zeros((size,) * 3, np.int32)
    reach = int(np.ceil(radius))
    inside = (np.mgrid[(slice(-reach, reach + 1),) * 3] ** 2).sum(axis=0) <= radius**2
    offsets = np.argwhere(inside) - reach
    starts = (np.arange(reach, n - reach, step) for n in labels.shape)
    centres = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 3)
    numbers = np.random.default_rng(0).permutation(len(centres)) + 1
    for offset in offsets:
        labels[tuple((centres + offset).T)] = numbers
    return labels


def timed(name: str, job: Callable[[], Any]) -> Any:
    """Do a job, print how long it took the CPU, and return what it returned."""
    return spent(name, job)[0]


def spent(name: str, job: Callable[[], Any]) -> tuple[Any, float]:
    """Do a job, print how long it took the CPU; return what it returned, and the seconds."""
    start = time.process_time()
    result = job()
    seconds = time.process_time() - start
    print(f"{name:<52}{seconds:8.3f} s", flush=True)
    return result, seconds


def asked_for(labels: npt.NDArray[np.int32], image: npt.NDArray[np.int16], table: Table) -> None:
    """Print the times of the columns that are measured only when asked for."""
    number = table.label
    timed("surface areas", lambda: surface_areas(labels, number, SPACING))
    timed("neighbours", lambda: touching(labels, number))
    timed("neighbours within 5 voxels", lambda: neighbours_within(labels, number, 5.0, SPACING))
    for named, percentiles in (("mean and SD", ()), ("median and quartiles", (25, 50, 75))):
        job = partial(intensities, labels, image, number, table.voxels, percentiles=percentiles)
        timed(f"intensities: {named}", job)


def beside_scikit_image(
    labels: npt.NDArray[np.int32], image: npt.NDArray[np.int16], table: Table
) -> None:
    """Print the times of both for the same columns."""
    known: Callable[..., Any] = skimage_measure.regionprops_table
    columns = partial(known, labels, image, properties=COLUMNS, spacing=SPACING)
    _, theirs = spent("scikit-image: the same columns, without the pieces", columns)
    ours = spent(
        "measure, with intensities, without the pieces",
        lambda: measure(labels, spacing=SPACING, image=image, pieces=False),
    )[1]
    print(f"  {ours / theirs:.1%} of scikit-image's time")
    properties: Callable[..., Any] = skimage_measure.regionprops
    some = properties(labels)[::EVERY]
    found, theirs = spent(
        f"scikit-image: Feret diameters of {len(some)}",
        lambda: [one.feret_diameter_max for one in some],
    )
    across, ours = spent("Feret diameters", lambda: feret_diameters(labels, table.label, SPACING))
    print(f"  {ours / (theirs * len(across) / len(some)):.1%} of scikit-image's time for all")
    print(f"  at most {np.abs(across[::EVERY] - found).max():.1e} apart")


def reviewed(labels: npt.NDArray[np.int32], image: npt.NDArray[np.int16], table: Table) -> None:
    """Print the times of what the review of labels measures."""
    box = table.box(5)
    timed(
        "measure one object again",
        lambda: remeasure(table, labels, [6], changed=[box], image=image),
    )
    timed("odd objects", lambda: odd_objects(table))
    moved = np.roll(labels, 1, axis=2)
    moved[labels % 50 != 0] = labels[labels % 50 != 0]
    timed("disagreeing objects", lambda: disagreeing_objects(labels, moved, kind="instances"))
    timed("numbers as in other labels", lambda: numbered_like(moved, labels))
    found = timed("differences", lambda: differences(labels, moved, spacing=SPACING))
    print(f"  {len(found)} regions")
    some = [one.number for one in found.regions[:100]]
    timed("accept 100 regions", lambda: accepted(found, Scene(labels, SPACING), numbers=some))


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="voxels an axis (default: 512)")
    labels = balls(parser.parse_args().size)
    image = np.random.default_rng(1).integers(-1000, 3000, labels.shape).astype(np.int16)
    print(f"{labels.max()} objects in {' x '.join(map(str, labels.shape))} voxels")
    timed("measure", lambda: measure(labels, spacing=SPACING, pieces=False))
    timed("measure, with the pieces", lambda: measure(labels, spacing=SPACING))
    table = timed(
        "measure, with pieces and intensities",
        lambda: measure(labels, spacing=SPACING, image=image),
    )
    asked_for(labels, image, table)
    reviewed(labels, image, table)
    beside_scikit_image(labels, image, table)


if __name__ == "__main__":
    main()
