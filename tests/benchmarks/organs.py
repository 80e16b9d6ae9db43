"""Organs of the abdomen from half a scan: trained from scratch, tried on the other half.

Cuts the CT across the body where both halves hold a part of every organ, trains on each half in
turn with a gap between, and prints Dice an organ. ``--picture`` writes slices of both halves with
what was found beside the truth. Needs the real images.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import napari_monai as nm
from napari_monai.events import Event
from napari_monai.labels.overlap import dice
from napari_monai.volume import LabelClass

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "ct"
ORGANS = ("liver", "spleen", "kidney_left", "kidney_right", "stomach", "aorta")
COLOURS = (
    (0, 0, 0), (214, 69, 65), (142, 68, 173), (244, 179, 80), (245, 215, 110), (38, 194, 129),
    (68, 138, 255),
)  # fmt: skip
# Slices that neither half holds, so that the same voxels do not stand on both sides.
_GAP = 2

Half = tuple[nm.Volume, nm.LabelVolume]


def read(data: Path) -> Half:
    """Return the part of the scan that holds the organs, and their labels, one to six."""
    image = nm.read(data / "ct.nii.gz")
    truth = nm.read(data / "organs.nii.gz", labels=True)
    names = json.loads((data / "organs.json").read_text(encoding="utf-8"))
    numbers = {name: int(number) for number, name in names.items()}
    labels = np.zeros(truth.grid.shape, np.uint8)
    for number, name in enumerate(ORGANS, start=1):
        labels[truth.numpy() == numbers[name]] = number
    classes = tuple(LabelClass(n, name) for n, name in enumerate(ORGANS, start=1))
    return image, nm.LabelVolume(labels, truth.grid, classes=classes, name="organs")


def halves(image: nm.Volume, truth: nm.LabelVolume) -> tuple[Half, Half]:
    """Cut across the body so that the rarest organ is shared as evenly as can be."""
    axis = int(np.argmax(np.abs(image.grid.direction[2])))
    sizes = np.stack([_along(truth.numpy() == n, axis) for n in range(1, len(ORGANS) + 1)])
    held = np.flatnonzero(sizes.sum(0))
    below = sizes.cumsum(1) / sizes.sum(1, keepdims=True)
    cut = int(np.argmax(np.minimum(below, 1 - below).min(0))) + 1
    margin = 4
    first, last = max(0, held[0] - margin), min(len(below[0]), held[-1] + 1 + margin)
    lower = _slab(image, truth, axis, first, cut - _GAP // 2)
    return lower, _slab(image, truth, axis, cut + _GAP // 2, last)


def _along(mask: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.int_]:
    others = tuple(a for a in range(mask.ndim) if a != axis)
    return np.asarray(mask.sum(others))


def _slab(image: nm.Volume, truth: nm.LabelVolume, axis: int, start: int, stop: int) -> Half:
    """Return a slab of both, where it lies in space."""
    box = tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))
    origin = [start if a == axis else 0 for a in range(3)]
    labels = np.ascontiguousarray(truth.numpy()[box])
    grid = image.grid.crop(origin, labels.shape)
    name = f"slices {start} to {stop - 1}"
    data = np.ascontiguousarray(image.numpy()[box])
    return (
        replace(image, data=data, grid=grid, name=name),
        replace(truth, data=labels, grid=grid, name=name),
    )


def train(half: Half, output: Path, settings: nm.TrainingSettings) -> float:
    """Train on one half; return the seconds that it took."""
    start = time.perf_counter()
    events: Sequence[Event] = list(
        nm.fine_tune(None, [half], settings=settings, output=output, name="organs")
    )
    assert events
    return time.perf_counter() - start


def picture(cases: Sequence[tuple[nm.Volume, npt.NDArray[Any], npt.NDArray[Any]]]) -> Image.Image:
    """Return a row a half: three slices with the truth, and the same with what was found."""
    rows = []
    for image, truth, found in cases:
        axis = int(np.argmax(np.abs(image.grid.direction[2])))
        voxels = np.moveaxis(image.numpy(), axis, 0)
        shown = [np.moveaxis(labels, axis, 0) for labels in (truth, found)]
        places = np.linspace(0, len(voxels) - 1, 5).round().astype(int)[1:-1]
        tiles = [_tile(voxels[k], labels[k]) for labels in shown for k in places]
        rows.append(np.concatenate(tiles, axis=1))
    return Image.fromarray(np.concatenate(rows, axis=0))


def _tile(voxels: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    grey = np.clip((voxels.astype(np.float32) + 160) / 400, 0, 1)[..., np.newaxis] * 255
    colours = np.asarray(COLOURS, np.float32)[labels]
    mixed = np.where(labels[..., np.newaxis] > 0, 0.5 * grey + 0.5 * colours, grey)
    upright = np.rot90(np.broadcast_to(mixed, (*labels.shape, 3)))[:, ::-1]  # right is on the left
    return np.kron(upright, np.ones((2, 2, 1))).astype(np.uint8)


def main() -> None:
    """Train on each half, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR")
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the runs here")
    parser.add_argument("--picture", type=Path, metavar="FILE.png")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--settings", default="{}", help="more training settings, as JSON")
    args = parser.parse_args()
    settings = nm.TrainingSettings.from_json(
        {
            "target": "classes",
            "minutes": args.minutes,
            "validation_part": 0.0,
            "flips": False,  # left is not right
            **json.loads(args.settings),
        }
    )
    lower, upper = halves(*read(args.data))
    parts, cases = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for name, half, other in (("upper", upper, lower), ("lower", lower, upper)):
            output = (args.output or Path(temporary)) / name
            seconds = train(half, output, settings)
            image, truth = other[0], other[1].numpy()
            found = nm.segment(image, nm.load_model(output / "model")).numpy()
            scores = dice(found, truth, classes=range(1, len(ORGANS) + 1))
            each = ", ".join(f"{o} {scores[n]:.3f}" for n, o in enumerate(ORGANS, start=1))
            mean = float(np.mean(list(scores.values())))
            parts.append(f"trained on the {name} half ({seconds:.0f} s): {each}, mean {mean:.3f}")
            cases.append((image, truth, found))
    if args.picture:
        picture(cases).save(args.picture)
    print("organs, Dice: " + "; ".join(parts))


if __name__ == "__main__":
    main()
