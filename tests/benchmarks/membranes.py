"""Membranes of electron microscopy: a network that is fine-tuned, one from scratch, a forest.

Trains ``nuclei-2d`` and a new network on the same slices for as many minutes each, then a random
forest on standard pixel features (as scikit-image's trainable segmentation), and prints the Dice
of all on the validation slices. ``--scribbles`` trains on scribbles of so large a part of the
pixels instead, beside the same network on all of them. Needs the real images and scikit-learn.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import multiscale_basic_features
from skimage.morphology import skeletonize

import napari_monai as nm
from napari_monai.evaluation import match_pairs

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "em"
# Labels of scribbles: what is 0 nobody has looked at.
MEMBRANE, INSIDE = 1, 2
# Pixels of each slice that the forest learns from.
_PIXELS = 20_000

Mask = npt.NDArray[np.bool_]


def train(
    output: Path, labels: Path, val: Path, *, data: Path, minutes: float, options: list[str]
) -> list[dict[str, str]]:
    """Train with the command that users type; return the rows of its log."""
    command = [sys.executable, "-m", "napari_monai", "train", "--target", "classes"]
    command += ["--images", str(data / "train" / "images"), "--labels", str(labels)]
    command += ["--val-images", str(data / "val" / "images")]
    command += ["--val-labels", str(val)]
    command += ["--output", str(output), "--minutes", str(minutes), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with (output / "log.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def score(model: Path, data: Path) -> float:
    """Return the mean Dice of the membranes that a model finds on the validation slices."""
    network = nm.load_model(model)
    values = []
    for image, truth in match_pairs(data / "val" / "images", data / "val" / "labels").pairs:
        found = nm.segment(nm.read(image), network).numpy() > 0
        values.append(dice(found, nm.read(truth, labels=True).numpy() > 0))
    return float(np.mean(values))


def dice(found: Mask, truth: Mask) -> float:
    """Return Dice of two masks."""
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def forest(data: Path) -> float:
    """Return the Dice of a random forest on pixel features, with the threshold that suits it best.

    The threshold is chosen on the validation slices, to its advantage.
    """
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(0)
    features, classes = [], []
    for pixels, truth in _slices(data / "train"):
        chosen = rng.choice(truth.size, _PIXELS, replace=False)
        features.append(_features(pixels)[chosen])
        classes.append(truth.ravel()[chosen])
    trees = RandomForestClassifier(
        n_estimators=100, min_samples_leaf=5, max_samples=0.5, n_jobs=-1, random_state=0
    )
    trees.fit(np.concatenate(features), np.concatenate(classes))
    maps = [
        (trees.predict_proba(_features(pixels))[:, 1].reshape(truth.shape), truth)
        for pixels, truth in _slices(data / "val")
    ]
    thresholds = np.arange(0.2, 0.61, 0.05)
    return max(float(np.mean([dice(p > t, truth) for p, truth in maps])) for t in thresholds)


def _features(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    found = multiscale_basic_features(pixels, sigma_min=1, sigma_max=16)  # type: ignore[no-untyped-call]
    return np.asarray(found, np.float32).reshape(pixels.size, -1)


def _slices(folder: Path) -> list[tuple[npt.NDArray[Any], Mask]]:
    pairs = match_pairs(folder / "images", folder / "labels").pairs
    return [(nm.read(i).numpy(), nm.read(t, labels=True).numpy() > 0) for i, t in pairs]


def scribble(truth: Mask, part: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return strokes as a person draws them: along membranes, and through what they enclose.

    Parameters
    ----------
    truth
        Where membranes are.
    part
        Part of the pixels that is labelled, of membranes as of what they enclose.
    rng
        What decides where strokes lie.
    """
    drawn = np.zeros(truth.shape, np.uint8)
    for number, where in ((MEMBRANE, truth), (INSIDE, ~truth)):
        # Along the middle of what is drawn on, two or three pixels wide.
        middle = np.argwhere(skeletonize(where))  # type: ignore[no-untyped-call]
        wanted = part * where.sum()
        while (drawn == number).sum() < wanted:
            start = middle[rng.integers(len(middle))]
            near = middle[np.hypot(*(middle - start).T) < rng.uniform(8, 25)]
            stroke = np.zeros_like(truth)
            stroke[tuple(near.T)] = True
            pieces, _ = ndimage.label(stroke, np.ones((3, 3)))
            stroke = ndimage.binary_dilation(pieces == pieces[tuple(start)], np.ones((2, 2)))
            room = int(wanted - (drawn == number).sum()) + 1
            fresh = np.flatnonzero(stroke & where & (drawn == 0))[:room]
            drawn.ravel()[fresh] = number
    return drawn


def write_scribbles(folder: Path, data: Path, part: float) -> float:
    """Write scribbles of all training slices; return the part of the pixels that they label.

    Beside them go the labels of the validation slices, whole, in the same numbers.
    """
    rng = np.random.default_rng(0)
    parts = []
    for kind in ("train", "val"):
        (folder / kind).mkdir(parents=True)
        for _, file in match_pairs(data / kind / "images", data / kind / "labels").pairs:
            labels = nm.read(file, labels=True)
            truth = labels.numpy() > 0
            drawn = np.where(truth, MEMBRANE, INSIDE).astype(np.uint8)
            if kind == "train":
                drawn = scribble(truth, part, rng)
                parts.append(float((drawn > 0).mean()))
            nm.write(folder / kind / file.name, nm.LabelVolume(drawn, labels.grid))
    return float(np.mean(parts))


def main() -> None:
    """Train, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR")
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the runs here")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--scribbles", type=float, metavar="PART", help="such as 0.05")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        output = args.output or Path(temporary)
        dense = [args.data / kind / "labels" for kind in ("train", "val")]
        if args.scribbles:
            drawn = output / "scribbles"
            part = write_scribbles(drawn, args.data, args.scribbles)
            partial = ["--ignore-label", "0", "--background-label", str(INSIDE)]
            cases = {
                f"scribbles of {100 * part:.1f} %": ([drawn / "train", drawn / "val"], partial),
                "all pixels": (dense, []),
            }
        else:
            cases = {
                "from nuclei-2d": (dense, ["--from", "nuclei-2d"]),
                "from scratch": (dense, []),
            }
        parts, scores = [], []
        for name, (labels, options) in cases.items():
            start = time.perf_counter()
            run = output / name.replace(" ", "-")
            curve = train(run, *labels, data=args.data, minutes=args.minutes, options=options)
            seconds = time.perf_counter() - start
            scores.append(score(run / "model", args.data))
            points = " ".join(f"{row['step']}:{float(row['Dice']):.3f}" for row in curve)
            parts.append(f"{name} {scores[-1]:.3f} in {seconds:.0f} s ({points})")
        if args.scribbles:
            parts.append(f"x {scores[0] / scores[1]:.3f}")
        else:
            theirs = forest(args.data)
            parts.append(f"forest {theirs:.3f} (x {min(scores) / theirs:.2f})")
        print("membranes, Dice: " + ", ".join(parts))


if __name__ == "__main__":
    main()
