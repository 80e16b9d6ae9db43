"""Nuclei of stained tissue from eight images: what is learnt, and what is forgotten.

Fine-tunes a model of fluorescent nuclei on eight images of tissue, with images of fluorescence
beside them that have no labels (`remember`), and prints AP at IoU 0.5 before and after on the
validation images of both kinds. ``--forget`` leaves those images out. Without ``--base`` the base
is trained first, on fluorescence alone, which takes half an hour or more. Needs the real images.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import napari_monai as nm
from napari_monai.evaluation import average_precision, match_pairs

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "nuclei2d"
KINDS = ("fluorescence", "tissue")
_IMAGES = 8


def train(output: Path, images: Path, options: list[str]) -> float:
    """Train with the command that users type; return the seconds of processor time."""
    command = [sys.executable, "-m", "napari_monai", "train", "--target", "instances"]
    command += ["--images", str(images / "images"), "--labels", str(images / "labels")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*command, "--output", str(output), *options], check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def few(source: Path, folder: Path) -> None:
    """Copy every n-th pair of a folder, eight in all: of every kind of stain that is in it."""
    pairs = match_pairs(source / "images", source / "labels").pairs
    step = len(pairs) // _IMAGES
    for kind, files in zip(("images", "labels"), zip(*pairs, strict=True), strict=True):
        (folder / kind).mkdir(parents=True)
        for file in files[::step][:_IMAGES]:
            shutil.copy(file, folder / kind)


def score(model: Path | str, data: Path) -> dict[str, float]:
    """Return the mean AP at IoU 0.5 over the validation images of each kind."""
    network = nm.load_model(model)
    found = {}
    for kind in KINDS:
        pairs = match_pairs(data / "val" / kind / "images", data / "val" / kind / "labels").pairs
        found[kind] = float(
            np.mean(
                [
                    average_precision(
                        nm.segment(nm.read(image), network).numpy(),
                        nm.read(truth, labels=True).numpy(),
                    )[0]
                    for image, truth in pairs
                ]
            )
        )
    return found


def main() -> None:
    """Fine-tune, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR")
    parser.add_argument("--base", metavar="NAME_OR_PATH")
    parser.add_argument("--steps", type=int, default=560)
    parser.add_argument("--base-steps", type=int, default=3500)
    parser.add_argument("--forget", action="store_true")
    parser.add_argument("options", nargs="*", help="more options of train, after --")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary)
        base = args.base
        if not base:
            steps = ["--steps", str(args.base_steps), "--validation-part", "0"]
            train(output / "base", args.data / "train" / "fluorescence", steps)
            base = str(output / "base" / "model")
        few(args.data / "train" / "tissue", output / "few")
        options = ["--from", base, "--steps", str(args.steps)]
        options += ["--validate-every", str(args.steps // 2)]
        for what in ("images", "labels"):
            options += [f"--val-{what}", *(str(args.data / "val" / kind / what) for kind in KINDS)]
        if not args.forget:
            old = args.data / "train" / "fluorescence" / "images"
            options += ["--unlabelled", str(old), "--remember", "0.5"]
        options += args.options
        seconds = train(output / "tuned", output / "few", options)
        before, after = score(base, args.data), score(output / "tuned" / "model", args.data)
    parts = [f"{kind} {before[kind]:.3f} -> {after[kind]:.3f}" for kind in KINDS]
    print(f"nuclei, AP50: {', '.join(parts)}, {seconds / 60:.1f} minutes of processor time")


if __name__ == "__main__":
    main()
