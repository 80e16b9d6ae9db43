"""How good and how fast ``nuclei-2d`` is beside Otsu's threshold and a distance watershed.

Prints for each folder of images the scores, and the seconds of CPU that 512 x 512 pixels take, and
how many of them decoding takes: both sides from one run. Needs the real images.
"""

from __future__ import annotations

import argparse
import time
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
from napari_monai import results
from napari_monai.evaluation import average_precision, match_pairs
from napari_monai.instances import decode

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "nuclei2d" / "val"


def classical(image: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Segment a picture (channel, y, x) the way of the textbooks: Otsu, distance, watershed."""
    grey = image.mean(axis=0)
    bright = grey > threshold_otsu(grey)  # type: ignore[no-untyped-call]
    if bright.mean() > 0.5:  # dark nuclei on a bright ground
        bright = ~bright
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(bright), 1)
    mask = bright.astype(int)
    peaks = peak_local_max(distance, min_distance=5, labels=mask)  # type: ignore[no-untyped-call]
    seeds = np.zeros(bright.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    found = watershed(-distance, seeds, mask=bright)  # type: ignore[no-untyped-call]
    return np.asarray(found, np.int32)


class Timed:
    """A function that counts the seconds of CPU spent in it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.seconds = 0.0

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the function."""
        start = time.process_time()
        try:
            return self.function(*args, **options)
        finally:
            self.seconds += time.process_time() - start


def main() -> None:
    """Measure on all images, or on every n-th."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR")
    parser.add_argument("--model", default="nuclei-2d", metavar="NAME_OR_PATH")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    args = parser.parse_args()
    model = nm.load_model(args.model)
    decoding = Timed(decode)
    vars(results)["decode"] = decoding
    for kind in ("fluorescence", "tissue"):
        folder = args.data / kind
        pairs = match_pairs(folder / "images", folder / "labels").pairs[:: args.every]
        scores: dict[str, list[npt.NDArray[np.float64]]] = {"model": [], "classical": []}
        methods = {
            "model": Timed(lambda image: nm.segment(image, model).numpy()),
            "classical": Timed(lambda image: classical(image.as_channels_first()[:3])),
        }
        pixels = 0
        for number, (image_file, truth_file) in enumerate(pairs):
            image = nm.read(image_file)
            truth = nm.read(truth_file, labels=True).numpy()
            if number == 0:
                nm.segment(image, model)  # loading and warming up are no part of the speed
                decoding.seconds = 0.0
            pixels += truth.size
            for name, method in methods.items():
                scores[name].append(average_precision(method(image), truth))
        ours, theirs = (np.mean(scores[name], axis=0) for name in methods)
        each = 512**2 / pixels
        print(
            f"{kind}: {len(pairs)} images, AP50 {ours[0]:.3f} against {theirs[0]:.3f} "
            f"(x {ours[0] / theirs[0]:.2f}), AP50..90 {ours.mean():.3f} against "
            f"{theirs.mean():.3f}, {methods['model'].seconds * each:.2f} s of CPU for 512 x 512 "
            f"({decoding.seconds * each:.2f} of them decoding) against "
            f"{methods['classical'].seconds * each:.2f}"
        )


if __name__ == "__main__":
    main()
