"""Steps a second of a training against a bare loop: ``python tests/benchmarks/training.py``.

The bare loop does forward, loss, backward and optimiser step of the same network, in the same
number format and memory layout, over patches that lie ready. The training is `fine_tune` as it is
called by all: it reads, cuts, bends and changes its patches as it goes, clips gradients, keeps the
moving average and the log. Both take turns in one process, some steps each; a line for each
network gives the steps a second of both and their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

import napari_monai as nm
from napari_monai.devices import pick_device, pick_precision
from napari_monai.events import StepDone
from napari_monai.grid import Grid
from napari_monai.networks import build_network
from napari_monai.settings import TrainingSettings
from napari_monai.training.choose_loss import choose_loss
from napari_monai.training.class_loss import Spacings
from napari_monai.training.examples import make_examples
from napari_monai.training.losses import instance_loss
from napari_monai.training.patches import PatchSampler
from napari_monai.training.plan import plan_model
from napari_monai.training.resolved import resolve

Pairs = list[tuple[nm.Volume, nm.LabelVolume]]

# Images to train on, batches that lie ready, steps of a turn that do not count: in the first of
# them a batch lies ready for the training too, made while the bare loop had its turn.
IMAGES, READY, UNCOUNTED = 4, 4, 2
# Patches, batches and kinds of images as they usually are.
USUAL = {
    2: TrainingSettings(
        target="instances", patch=(192, 192), batch_size=12, augmentation="fluorescence"
    ),
    3: TrainingSettings(target="classes", patch=(48, 96, 96), batch_size=2, augmentation="ct"),
}
SHAPES = {2: (520, 696), 3: (120, 200, 200)}


def pairs(ndim: int) -> Pairs:
    """Return images of bright blobs, and which blob or what kind of blob is where."""
    made: Pairs = []
    for seed in range(IMAGES):
        rng = np.random.default_rng(seed)
        smooth = ndimage.gaussian_filter(rng.normal(size=SHAPES[ndim]).astype(np.float32), 6)
        inside = smooth > smooth.std()
        numbers, _ = ndimage.label(inside)
        if ndim == 3:
            numbers = np.where(inside, 1 + numbers % 3, 0)
        image = 400 * inside + rng.normal(100, 20, inside.shape)
        grid = Grid.from_spacing(inside.shape)
        truth = nm.LabelVolume(
            numbers.astype(np.int32), grid, kind="instances" if ndim == 2 else "classes"
        )
        made.append((nm.Volume(image.clip(0).astype(np.uint16), grid), truth))
    return made


def training(data: Pairs, settings: TrainingSettings, folder: Path) -> Iterator[None]:
    """Do a step at a time of a training."""
    for event in nm.fine_tune(None, data, settings=settings, output=folder):
        if isinstance(event, StepDone):
            yield


def bare(data: Pairs, settings: TrainingSettings) -> Iterator[None]:
    """Do a step at a time on patches that lie ready."""
    description = plan_model("bare", data, settings)
    plan = resolve(settings, description)
    examples = list(make_examples(data, description, settings=settings))
    classes = description.outputs.kind == "classes"
    device = pick_device(settings.device)
    precision = pick_precision(device, settings.precision)
    layout = torch.channels_last if len(plan.patch) == 2 else torch.contiguous_format
    network = build_network(description.network.name, description.network.arguments)
    network = network.to(device).to(memory_format=layout).train()  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
    class_loss = choose_loss(settings, description, examples)
    sampler = PatchSampler(examples, plan, seed=0, classes=classes)
    ready = []
    for step in range(READY):
        images, targets = sampler.batch(step)
        images = images.to(device, memory_format=layout)
        ready.append((images, targets.to(device), sampler.spacings(step)))

    def advance(images: torch.Tensor, targets: torch.Tensor, spacings: Spacings) -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits = network(images)
        if class_loss is None:
            loss = instance_loss(
                logits.float(),
                targets,
                distance_weight=settings.distance_weight,
                touching_weight=settings.touching_weight,
            )
        else:
            loss = class_loss(logits.float(), targets, spacings=spacings, progress=0.0)
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()

    for batch in cycle(ready):
        advance(*batch)
        yield


def turn(loop: Iterator[None], steps: int, device: torch.device) -> float:
    """Return the seconds of each of some steps."""
    for _ in range(UNCOUNTED):
        next(loop)
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        next(loop)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps


def main() -> None:
    """Print a line for each number of dimensions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dims", type=int, nargs="*", default=[2, 3], choices=[2, 3])
    parser.add_argument("--steps", type=int, default=10, help="steps of a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--workers", type=int, help="threads that make patches; as it is planned")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    for ndim in given.dims:
        total = given.turns * (given.steps + UNCOUNTED) + 1
        settings = replace(
            USUAL[ndim],
            steps=10 * total,  # far from the end, where patches are changed less
            validate_every=10 * total,
            validation_part=0.0,
            workers=given.workers,
            device=given.device,
        )
        data, device = pairs(ndim), pick_device(settings.device)
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = training(data, settings, Path(folder) / "new"), bare(data, settings)
            spent = [
                (turn(theirs, given.steps, device), turn(ours, given.steps, device))
                for _ in range(given.turns)
            ]
            ours.close()  # type: ignore[attr-defined]
        ratio = statistics.median(b / o for b, o in spent)
        plain, whole = (statistics.median(1 / seconds[i] for seconds in spent) for i in (0, 1))
        turns = " ".join(f"{b / o:.3f}" for b, o in spent)
        print(
            f"{ndim}D on {device}: bare {plain:.3f} steps/s, training {whole:.3f} steps/s, "
            f"ratio {ratio:.3f} (turns {turns})",
            flush=True,
        )


if __name__ == "__main__":
    main()
