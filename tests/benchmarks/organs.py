"""Organs of the abdomen from half a scan: trained from scratch, tried on the other half.

Half of the scan is every other slab across the body, with a gap on both sides, or with
``--blocks`` the upper or the lower half of what holds organs: then much of what is to be found was
never seen. Prints Dice an organ, trained on each half in turn. ``--picture`` writes slices of both
with what was found beside the truth. Needs the real images.
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
# Label of what does not count.
IGNORED = 255
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


def slabs(image: nm.Volume, truth: nm.LabelVolume, thickness: int) -> tuple[Half, Half]:
    """Return the scan twice, with the labels of every other slab; the others are ignored."""
    axis = int(np.argmax(np.abs(image.grid.direction[2])))
    held = np.flatnonzero(_along(truth.numpy() > 0, axis))
    places = np.arange(truth.grid.shape[axis]) - held[0]
    inside = (places >= 0) & (places <= held[-1] - held[0])
    # The first and the last slice of a slab are the gap.
    inside &= (places % thickness > 0) & (places % thickness < thickness - 1)
    found = []
    for which in (0, 1):
        counts = inside & (places // thickness % 2 == which)
        shape = [-1 if a == axis else 1 for a in range(3)]
        labels = np.where(counts.reshape(shape), truth.numpy(), IGNORED).astype(np.uint8)
        found.append((image, replace(truth, data=labels)))
    return found[0], found[1]


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
        held = np.flatnonzero(shown[0].any((1, 2)))
        places = held[np.linspace(0, len(held) - 1, 5).round().astype(int)[1:-1]]
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
    parser.add_argument("--thickness", type=int, default=8, metavar="SLICES", help="of a slab")
    parser.add_argument("--blocks", action="store_true", help="two halves, not slabs")
    parser.add_argument("--first", action="store_true", help="train on the first half only")
    parser.add_argument("--settings", default="{}", help="more training settings, as JSON")
    args = parser.parse_args()
    settings = nm.TrainingSettings.from_json(
        {
            "target": "classes",
            "minutes": args.minutes,
            "validation_part": 0.0,
            "flips": False,  # left is not right
            "ignore_label": IGNORED,
            **json.loads(args.settings),
        }
    )
    scan = read(args.data)
    one, two = halves(*scan) if args.blocks else slabs(*scan, args.thickness)
    names = ("lower", "upper") if args.blocks else ("first", "second")
    turns = [(names[0], one, two), (names[1], two, one)][: 1 if args.first else 2]
    parts, cases = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for name, half, other in turns:
            output = (args.output or Path(temporary)) / name
            seconds = train(half, output, settings)
            image, truth = other[0], other[1].numpy()
            found = nm.segment(image, nm.load_model(output / "model")).numpy()
            counts = truth != IGNORED
            scores = dice(found[counts], truth[counts], classes=range(1, len(ORGANS) + 1))
            each = ", ".join(f"{o} {scores[n]:.3f}" for n, o in enumerate(ORGANS, start=1))
            mean = float(np.mean(list(scores.values())))
            parts.append(f"trained on the {name} half ({seconds:.0f} s): {each}, mean {mean:.3f}")
            cases.append((image, np.where(counts, truth, 0), np.where(counts, found, 0)))
    if args.picture:
        picture(cases).save(args.picture)
    print("organs, Dice: " + "; ".join(parts))


if __name__ == "__main__":
    main()
