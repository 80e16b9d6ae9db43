"""Evaluate 104 organs: ``python tests/benchmarks/evaluation.py``, beside MONAI's metrics.

A body of 512 x 512 x 300 voxels of 0.8 x 0.8 x 1.5 mm with 104 organs of very different sizes, and
a prediction whose borders are off by a voxel or two. MONAI takes one organ at a time: all in one
array of ones and zeros would need 8 GB for either side. The same measures on both sides: Dice,
IoU, sensitivity, precision, specificity, Hausdorff 95, average surface distance, surface Dice.

``--size 0.5`` halves the axes; ``--every 4`` gives MONAI every fourth organ and says what all of
them would take.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_monai.evaluation import evaluate
from napari_monai.grid import Grid
from napari_monai.settings import EvaluationSettings
from napari_monai.volume import LabelVolume

ORGANS = 104
SHAPE = (300, 512, 512)
SPACING = (1.5, 0.8, 0.8)
TOLERANCE = 2.0
Labels = npt.NDArray[np.uint8]


def organs(shape: tuple[int, ...], seed: int = 0) -> tuple[Labels, Labels]:
    """Return true and predicted labels: ellipsoids, the large ones below the small ones."""
    random = np.random.default_rng(seed)
    sizes = np.sort(random.lognormal(np.log(0.045), 0.55, ORGANS))[::-1].clip(0.012, 0.22)
    truth, prediction = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    scale = np.asarray(shape, np.float64)
    for number, size in enumerate(sizes, start=1):
        radii = size * scale * random.uniform(0.7, 1.3, 3)
        centre = random.uniform(0.12, 0.88, 3) * scale
        _ellipsoid(truth, centre, radii, number)
        _ellipsoid(prediction, centre + random.normal(0, 1, 3), radii + random.normal(0, 1), number)
    return truth, prediction


def _ellipsoid(
    labels: Labels, centre: npt.NDArray[np.float64], radii: npt.NDArray[np.float64], number: int
) -> None:
    radii = np.maximum(radii, 1.5)
    low = np.maximum(np.floor(centre - radii).astype(int), 0)
    high = np.minimum(np.ceil(centre + radii).astype(int) + 1, labels.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    grid = np.ogrid[box]
    away = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True))
    labels[box][away <= 1] = number


def by_monai(prediction: Labels, truth: Labels, numbers: list[int]) -> dict[int, dict[str, float]]:
    """Return the measures of these organs by MONAI."""
    import torch
    from monai import metrics

    p, t = torch.from_numpy(prediction), torch.from_numpy(truth)
    found = {}
    for number in numbers:
        pair: tuple[Any, Any] = ((p == number)[None, None], (t == number)[None, None])
        how: dict[str, Any] = {"include_background": True}
        values = {
            "Dice": metrics.compute_dice(*pair, **how),
            "IoU": metrics.compute_iou(*pair, **how),
            "HD95": metrics.compute_hausdorff_distance(
                *pair, percentile=95, spacing=SPACING, **how
            ),
            "ASSD": metrics.compute_average_surface_distance(
                *pair, symmetric=True, spacing=SPACING, **how
            ),
            "Surface Dice": metrics.compute_surface_dice(
                *pair, [TOLERANCE], spacing=SPACING, use_subvoxels=True, **how
            ),
        }
        counts = metrics.get_confusion_matrix(*(x.byte() for x in pair), include_background=True)
        for name in ("Sensitivity", "Precision", "Specificity"):
            values[name] = metrics.compute_confusion_matrix_metric(name.lower(), counts)
        found[number] = {name: float(value.squeeze()) for name, value in values.items()}
    return found


def timed(name: str, job: Any) -> tuple[Any, float]:
    """Do a job; print and return how long it took: the clock, and the CPU."""
    start, cpu = time.perf_counter(), time.process_time()
    result = job()
    seconds, spent = time.perf_counter() - start, time.process_time() - cpu
    print(f"{name:<44}{seconds:9.2f} s{spent:9.2f} s CPU", flush=True)
    return result, spent


def main() -> None:
    """Print the times, and how far the values are apart that have one definition."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="part of each axis")
    parser.add_argument("--every", type=int, default=1, help="MONAI takes every so many organs")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="monai")
    truth, prediction = organs(tuple(round(n * args.size) for n in SHAPE))
    grid = Grid.from_spacing(truth.shape, SPACING, unit="mm")
    volumes = LabelVolume(prediction, grid), LabelVolume(truth, grid)
    there = np.intersect1d(np.unique(truth), np.unique(prediction))[1:].tolist()
    print(f"{len(there)} organs in {' x '.join(map(str, truth.shape))} voxels")
    settings = EvaluationSettings(tolerance=TOLERANCE)
    scores, ours = timed("evaluate", lambda: evaluate(*volumes, kind="classes", settings=settings))
    some = there[:: args.every]
    theirs, spent = timed(f"MONAI, {len(some)} organs", lambda: by_monai(prediction, truth, some))
    whole = spent * len(there) / len(some)
    print(f"MONAI for all: {whole:.1f} s of CPU; evaluate takes {ours / whole:.1%} of it")
    mean = scores.mean
    # MONAI counts in single precision: what is false positive, all negatives less the true ones, is
    # off by a few voxels of 78 million, and so the precision of a small organ.
    for name in ("Dice", "IoU", "Sensitivity", "Precision", "Specificity", "Surface Dice"):
        apart = max(abs(values[name] - mean[f"{name} class {n}"]) for n, values in theirs.items())
        print(f"  {name}: at most {apart:.1e} apart")
    # MONAI measures these two between voxels at the edge, without weights.
    for name in ("HD95", "ASSD"):
        apart = np.mean(
            [abs(values[name] - mean[f"{name} class {n}"]) for n, values in theirs.items()]
        )
        print(f"  {name}: {apart:.2f} mm apart on average, of another definition")


if __name__ == "__main__":
    main()
