"""How well slices of a 2-D model make 3-D objects, and how well objects keep their numbers.

Generated nuclei, so that the truth is known: stacks whose slices are 1, 3 and 6 times as far apart
as voxels, by the three ways of ``slices``; and films of nuclei that wander and vanish, of which the
part of right links is counted. Prints one line a stack and one a film.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import napari_monai as nm
from napari_monai.evaluation import average_precision
from napari_monai.settings import Slices

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "sample_data"))
from nuclei import NUCLEI_2D, NUCLEI_3D, generate

Labels = npt.NDArray[Any]
WAYS: tuple[Slices, ...] = ("together", "linked", "orthogonal")
# Without mirrored copies, which cost four times as much and change little here.
QUICK = nm.InferenceSettings(flips=False)

# µm: voxels of 0.5, a block of 32 in depth.
VOXEL, DEPTH = 0.5, 32.0


def stacks(model: nm.Model, seed: int, side: int) -> None:
    """Print AP50 and AP50..90 of each way, for slices further and further apart."""
    for apart in (1, 3, 6):
        step = VOXEL * apart
        shape = (round(DEPTH / step), side, side)
        count = round(46 * (side / 112) ** 2)
        scene = replace(
            NUCLEI_3D, shape=shape, spacing=(step, VOXEL, VOXEL), count=count, seed=seed
        )
        image, truth = generate(scene)
        volume = nm.Volume(image, nm.Grid.from_spacing(shape, scene.spacing, unit="µm"))
        told = []
        for way in WAYS:
            start = time.perf_counter()
            found = nm.segment(volume, model, settings=replace(QUICK, slices=way)).numpy()
            seconds = time.perf_counter() - start
            scores = average_precision(found, truth)
            told.append(f"{way} {scores[0]:.3f} / {scores.mean():.3f} ({seconds:.0f} s)")
        print(f"slices {apart} voxels apart, AP50 / AP50..90: {', '.join(told)}", flush=True)


def film(seed: int, frames: int, wander: float) -> tuple[Labels, Labels]:
    """Return frames of wandering nuclei, and which nucleus is where.

    The nuclei of a generated picture step at random, ``wander`` pixels along each axis.
    """
    scene = replace(NUCLEI_2D, shape=(256, 256), count=40, seed=seed)
    picture, truth = generate(scene)
    rng = np.random.default_rng(seed)
    ground = float(np.median(picture[truth == 0]))
    places = np.zeros((int(truth.max()) + 1, 2))
    images = np.empty((frames, *picture.shape), picture.dtype)
    labels = np.zeros((frames, *picture.shape), np.uint16)
    for number in range(frames):
        seen = np.full(picture.shape, ground)
        for nucleus in range(1, len(places)):
            at = np.stack(np.nonzero(truth == nucleus))
            to = at + np.round(places[nucleus]).astype(int)[:, None]
            inside = ((to >= 0) & (to < 256)).all(axis=0)
            seen[tuple(to[:, inside])] = picture[tuple(at[:, inside])]
            labels[number][tuple(to[:, inside])] = nucleus
        noise = rng.normal(0, 3, seen.shape)
        images[number] = np.clip(seen + noise, 0, np.iinfo(picture.dtype).max).astype(picture.dtype)
        places += rng.normal(0, wander, places.shape)
    return images, labels


def right_links(found: Labels, truth: Labels) -> tuple[int, int]:
    """Return how many objects that are found in two frames have one number there, of how many."""
    names = []
    for labels, true in zip(found, truth, strict=True):
        pairs, counts = np.unique(
            np.stack([true, labels]).reshape(2, -1).astype(np.int64), axis=1, return_counts=True
        )
        sizes = [np.bincount(array.ravel().astype(np.int64)) for array in (true, labels)]
        iou = counts / (sizes[0][pairs[0]] + sizes[1][pairs[1]] - counts)
        good = (pairs > 0).all(axis=0) & (iou > 0.5)
        names.append(dict(pairs[:, good].T.tolist()))
    right = total = 0
    for before, after in pairwise(names):
        both = before.keys() & after.keys()
        total += len(both)
        right += sum(before[n] == after[n] for n in both)
    return right, total


def films(model: nm.Model, seed: int, frames: int) -> None:
    """Print the part of right links as nuclei of 24 pixels wander further and further."""
    told = []
    for wander in (2.0, 4.0, 8.0):
        images, truth = film(seed, frames, wander)
        volume = nm.Volume(images, nm.Grid.from_spacing((256, 256)), leading="t")
        found = nm.segment(volume, model, settings=QUICK).numpy()
        right, total = right_links(found, truth)
        told.append(f"{right / total:.3f} of {total} at {wander:g}")
    print(f"right links from frame to frame, by pixels of a step: {', '.join(told)}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nuclei-2d", metavar="NAME_OR_PATH")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--side", type=int, default=112, help="pixels of a slice")
    parser.add_argument("--frames", type=int, default=10)
    args = parser.parse_args()
    model = nm.load_model(args.model)
    films(model, args.seed, args.frames)
    stacks(model, args.seed, args.side)


if __name__ == "__main__":
    main()
