"""How good and how fast ``nuclei-3d`` is beside slices by ``nuclei-2d`` and a watershed in space.

Draws stacks that no model has seen, of each arrangement of nuclei under each microscope, and prints
a line for each arrangement, each microscope and all: every side from one run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

import napari_monai as nm
from napari_monai.evaluation import average_precision
from napari_monai.grid import Grid

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "sample_data"))

import stacks

# Far from those that were trained on and chosen by.
FIRST_SEED = 200_000
SIZE = (26.0, 44.0, 44.0)
# Of the watershed, in µm: least distance of seeds, and blur; the best of 1 to 4 and of 0.3 to 0.8
# on half of these stacks.
APART = 2.0
SMOOTHED = 0.3


def classical(stack: npt.NDArray[Any], spacing: tuple[float, ...]) -> npt.NDArray[np.int32]:
    """Segment a stack the way of the textbooks: blur, Otsu, distance in space, watershed."""
    sigma = [SMOOTHED / step for step in spacing]
    smooth = ndimage.gaussian_filter(stack.astype(np.float32), sigma)
    bright = smooth > threshold_otsu(smooth)  # type: ignore[no-untyped-call]
    distance = ndimage.distance_transform_edt(bright, sampling=spacing)
    distance = ndimage.gaussian_filter(distance, sigma)
    reach = [2 * max(1, round(APART / step)) + 1 for step in spacing]
    peaks = peak_local_max(  # type: ignore[no-untyped-call]
        distance, footprint=np.ones(reach, bool), labels=bright.astype(int), exclude_border=False
    )
    seeds = np.zeros(bright.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    found = watershed(-distance, seeds, mask=bright)  # type: ignore[no-untyped-call]
    return np.asarray(found, np.int32)


def sides(model: str) -> dict[str, Callable[[nm.Volume], npt.NDArray[Any]]]:
    """Return what is compared: a name, and what makes labels of a stack."""
    models = {name: nm.load_model(name) for name in (model, "nuclei-2d")}

    def by(name: str) -> Callable[[nm.Volume], npt.NDArray[Any]]:
        return lambda volume: nm.segment(volume, models[name]).numpy()

    return {
        model: by(model),
        "slices by nuclei-2d": by("nuclei-2d"),
        "watershed": lambda volume: classical(volume.numpy(), volume.grid.spacing),
    }


def main() -> None:
    """Measure on some stacks of each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2, metavar="N", help="stacks of each kind")
    parser.add_argument("--model", default="nuclei-3d", metavar="NAME_OR_PATH")
    args = parser.parse_args()
    compared = sides(args.model)
    scores: dict[str, dict[str, list[npt.NDArray[np.float64]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    seconds = dict.fromkeys(compared, 0.0)
    megavoxels, seed = 0.0, FIRST_SEED
    for arrangement in stacks.ARRANGEMENTS:
        for microscope in stacks.MICROSCOPES:
            for _ in range(args.count):
                scene = stacks.random_scene(
                    seed, arrangement=arrangement, microscope=microscope, size=SIZE
                )
                seed += 1
                stack, truth = stacks.generate(scene)
                volume = nm.Volume(stack, Grid.from_spacing(stack.shape, scene.spacing, unit="um"))
                megavoxels += stack.size / 1e6
                for name, segment in compared.items():
                    start = time.perf_counter()
                    found = segment(volume)
                    seconds[name] += time.perf_counter() - start
                    for kind in (arrangement, microscope, "all"):
                        scores[kind][name].append(average_precision(found, truth))
    for kind in (*stacks.ARRANGEMENTS, *stacks.MICROSCOPES, "all"):
        told = []
        for name, found_scores in scores[kind].items():
            mean = np.mean(found_scores, axis=0)
            told.append(f"{name} {mean[0]:.3f} and {mean.mean():.3f}")
        count = len(scores[kind][args.model])
        print(f"{kind}: {count} stacks, AP50 and AP50..90: {', '.join(told)}", flush=True)
    speed = ", ".join(f"{name} {spent / megavoxels:.2f}" for name, spent in seconds.items())
    print(f"seconds a megavoxel: {speed}")


if __name__ == "__main__":
    main()
