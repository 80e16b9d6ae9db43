"""Edits of labels of 300 x 512 x 512 voxels beside the libraries: prints a line an operation.

Whole volumes: our function, the fastest library call for it, and the ratio. The libraries are
SciPy, scikit-image and, where it is installed, cc3d (the package connected-components-3d).
Local edits: milliseconds from the operation to its edit, and to put it into the labels, where the
boxes of the labels are known.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage import measure

from napari_monai.errors import EditError
from napari_monai.labels import components
from napari_monai.labels.edits import Boxes, Scene
from napari_monai.labels.operations import OPERATIONS, run_on

Labels = npt.NDArray[Any]

SHAPE = (300, 512, 512)
SPACING = (2.0, 0.8, 0.8)
SMALL = 100


def organs() -> Labels:
    """Return a dozen large bumpy bodies with specks and holes."""
    rng = np.random.default_rng(0)
    labels = np.zeros(SHAPE, np.uint16)
    for value in range(1, 13):
        centre = rng.uniform(0.2, 0.8, 3) * SHAPE
        radii = rng.uniform(0.1, 0.22, 3) * SHAPE
        box = tuple(
            slice(max(0, int(c - 1.3 * r)), min(n, int(c + 1.3 * r)))
            for c, r, n in zip(centre, radii, SHAPE, strict=True)
        )
        axes = np.ogrid[box]
        away = sum(((x - c) / r) ** 2 for x, c, r in zip(axes, centre, radii, strict=True))
        coarse = rng.standard_normal([n // 8 + 2 for n in away.shape])
        bumps = ndimage.zoom(coarse, 8, order=1)[tuple(slice(n) for n in away.shape)]
        labels[box][away + 0.15 * bumps < 1] = value
    _poke(labels, rng, 2000, lambda: int(rng.integers(1, 13)))
    _poke(labels, rng, 2000, lambda: 0)
    return labels


def cells(count: int = 50_000, radius: int = 6) -> Labels:
    """Return balls at random, each with a number of its own, some over others."""
    rng = np.random.default_rng(0)
    labels = np.zeros(SHAPE, np.uint16)
    grid = np.indices((2 * radius + 1,) * 3) - radius
    ball = (grid**2).sum(0) <= radius**2
    for value in range(1, count + 1):
        corner = [int(rng.integers(0, n - 2 * radius)) for n in SHAPE]
        labels[tuple(slice(c, c + 2 * radius + 1) for c in corner)][ball] = value
    return labels


def _poke(labels: Labels, rng: np.random.Generator, count: int, value: Callable[[], int]) -> None:
    for _ in range(count):
        side = int(rng.integers(1, 4))
        corner = [int(rng.integers(0, n - side)) for n in labels.shape]
        labels[tuple(slice(c, c + side) for c in corner)] = value()


def best(function: Callable[[], Any], times: int) -> tuple[float, Any]:
    """Return the shortest of some times in seconds, and the result."""
    seconds, result = [], None
    for _ in range(times):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def _without_small(parts: Labels, labels: Labels) -> Labels:
    small = np.bincount(parts.reshape(-1)) < SMALL
    small[0] = False
    return np.where(small[parts], 0, labels)


def _largest_only(parts: Labels, labels: Labels) -> Labels:
    """Return labels with the largest of the parts of each."""
    sizes = np.bincount(parts.reshape(-1))
    number = np.zeros(len(sizes), labels.dtype)
    number[parts.reshape(-1)] = labels.reshape(-1)
    order = np.lexsort((sizes, number))
    keep = np.zeros(len(sizes), np.bool_)
    keep[order[np.append(np.diff(number[order]) > 0, True)]] = True
    return np.where(keep[parts], labels, 0)


def _skimage(labels: Labels) -> Labels:
    return np.asarray(measure.label(labels))  # type: ignore[no-untyped-call]


def _scipy(labels: Labels) -> Labels:
    """Label the foreground as a whole, which is less than is asked for."""
    return np.asarray(ndimage.label(labels, np.ones((3, 3, 3)))[0])


def libraries() -> dict[str, dict[str, Callable[[Labels], Labels]]]:
    """Return the library calls by operation; SciPy's and ``largest_k`` do less than is asked."""
    calls: dict[str, dict[str, Callable[[Labels], Labels]]] = {
        "remove_small": {
            "SciPy": lambda v: _without_small(_scipy(v), v),
            "scikit-image": lambda v: _without_small(_skimage(v), v),
        },
        "keep_largest": {
            "SciPy": lambda v: _largest_only(_scipy(v), v),
            "scikit-image": lambda v: _largest_only(_skimage(v), v),
        },
    }
    try:
        cc3d = importlib.import_module("cc3d")
    except ImportError:
        print("cc3d is not installed: pip install connected-components-3d to compare with it")
        return calls
    calls["remove_small"]["cc3d"] = lambda v: cc3d.dust(v, threshold=SMALL, connectivity=26)
    calls["keep_largest"] |= {
        "cc3d": lambda v: _largest_only(cc3d.connected_components(v, connectivity=26), v),
        # The largest of all, and not of each label.
        "cc3d largest_k": lambda v: cc3d.largest_k(v, k=1, connectivity=26),
    }
    return calls


def whole_volumes(name: str, labels: Labels, times: int) -> None:
    """Print how long operations on the whole volume take."""
    ours: dict[str, Callable[[Labels], Labels]] = {
        "remove_small": lambda v: components.remove_small(v, SMALL),
        "keep_largest": components.keep_largest,
    }
    for operation, calls in libraries().items():
        mine, result = best(lambda f=ours[operation]: f(labels), times)  # type: ignore[misc]
        taken = {}
        equal = ""
        for library, call in calls.items():
            taken[library], theirs = best(lambda f=call: f(labels), times)  # type: ignore[misc]
            if operation == "remove_small" and library != "SciPy":
                equal += (
                    f"  {library}: {'equal' if np.array_equal(result, theirs) else 'DIFFERENT'}"
                )
        fastest = min(taken, key=lambda k: taken[k])
        others = "  ".join(f"{k} {v:.2f} s" for k, v in taken.items())
        print(
            f"{name:7} {operation:14} ours {mine:.2f} s  {others}"
            f"  x {mine / taken[fastest]:.2f} of {fastest}{equal}",
            flush=True,
        )


def edits(name: str, labels: Labels, times: int) -> None:
    """Print how long operations take as edits: of one label, and of all."""
    seconds, boxes = best(lambda: Boxes.of(labels), 1)
    print(f"{name:7} boxes of {len(boxes)} labels  {seconds * 1e3:.0f} ms")
    sizes = {v: np.prod([s.stop - s.start for s in boxes.get(v) or ()]) for v in boxes.values()}
    # The specks of an organ lie everywhere: those of the local edit go first.
    value = max(sizes, key=lambda v: int(np.count_nonzero(labels[boxes.get(v) or ()] == v)))
    local = labels.copy()
    local[components.keep_largest(labels, values=[value]) != labels] = 0
    boxes_of_one = Boxes.of(local)
    for row in OPERATIONS.values():
        # Without a distance to stop at, expanding is no local edit.
        if set(row.needs) <= {"selected"} and row.name != "expand":
            scene = Scene(local, SPACING, selected=(value,), boxes=boxes_of_one)
            _print_edit(f"{name:7} one label", row.name, scene, times)
    for operation in ("remove-small", "keep-largest", "fill-holes", "renumber"):
        _print_edit(f"{name:7} all      ", operation, Scene(labels, SPACING, boxes=boxes), 1)


def _print_edit(where: str, name: str, scene: Scene, times: int) -> None:
    try:
        made, edit = best(lambda: run_on(name, scene), times)
    except EditError:
        return  # not for one label, or not without settings
    result = np.array(scene.labels[...])
    applied, _ = best(lambda: edit.apply(result), 1)
    held = sum(c.packed_before.nbytes + c.packed_after.nbytes for c in edit.changes)
    print(
        f"{where} {name:14} edit {made * 1e3:6.0f} ms  applied in {applied * 1e3:4.0f} ms"
        f"  {edit.voxels} voxels, {len(edit.changes)} boxes, {held / 1e6:.1f} MB kept",
        flush=True,
    )


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=("organs", "cells"), action="append")
    parser.add_argument("--times", type=int, default=3, metavar="N", help="take the best of N")
    parser.add_argument("--only", choices=("whole", "edits"))
    args = parser.parse_args()
    for name in args.case or ("organs", "cells"):
        labels = organs() if name == "organs" else cells()
        if args.only != "edits":
            whole_volumes(name, labels, args.times)
        if args.only != "whole":
            edits(name, labels, args.times)


if __name__ == "__main__":
    main()
