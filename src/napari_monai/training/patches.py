"""Batches of augmented patches, the same for the same seed and step.

The geometry of a patch (flips, rotations, scale, bending) is one map, applied by one
interpolation while the patch is cut out, so that a patch never shows the corners of a rotated
image and small images are mirrored at their edges. All is done by torch, on the device that is
trained on: a batch costs a small part of a step.

Every random number of patch ``i`` of step ``k`` comes from a generator seeded by (seed, k, i). So
a resumed training sees the very same batches, whoever makes them, in whatever order and parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from .augment import change_intensity
from .examples import Example
from .geometry import FloatArray, on_voxels, random_bend, random_matrix, reach, sampling_grid
from .presets import Augment
from .resolved import Resolved

# Part of the patches that are centred on a foreground voxel.
_ON_FOREGROUND = 0.5
# Percentiles of an image that count as dark and as bright, of blocks of so many voxels a side.
_DARK, _BRIGHT = 0.5, 99.8
_BLOCKS, _BLOCK = 4, {2: 96, 3: 20}
# Parts that a patch is interpolated in, as far as its first axis can be divided by it.
_PARTS = 8


@dataclass(frozen=True, eq=False)
class _Known:
    """What is worked out once for each example."""

    limits: npt.NDArray[np.float32]
    # Foreground voxels of each class, or all in one group where objects are told apart.
    centres: tuple[npt.NDArray[np.int32], ...]


class PatchSampler:
    """Draws batches from examples.

    Parameters
    ----------
    examples
        What to draw from; each example is as likely as any other, and so is each class of it.
    plan
        Size of patches and batches, and how they are changed.
    seed
        Seed of all that is random.
    classes
        Whether the targets are class indices, to be interpolated by nearest neighbour.
    calm
        Last part of the steps, in which patches are changed less.
    device
        Where patches are interpolated and changed, and where batches end up.
    remembered
        Examples that a part of each batch is drawn from, rather than from the others.
    remember
        How large that part is.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        plan: Resolved,
        *,
        seed: int,
        classes: bool,
        calm: float = 0.0,
        device: torch.device | None = None,
        remembered: Sequence[Example] = (),
        remember: float = 0.0,
    ) -> None:
        self.examples = [*examples, *remembered]
        self._new = range(len(examples))
        self._old = range(len(examples), len(self.examples))
        self._recalled = round(remember * plan.batch_size) if remembered else 0
        self.patch = np.asarray(plan.patch)
        self.batch_size = plan.batch_size
        self.seed = seed
        self.classes = classes
        self.device = device or torch.device("cpu")
        self.augment = plan.augment
        # Outlines are drawn wider on some kinds of images than on others. What tells the kinds
        # apart is just what augmentation blurs, so towards the end there is less of it.
        self.calm = replace(
            plan.augment,
            scale=1 + (plan.augment.scale - 1) / 4,
            elastic=plan.augment.elastic / 4,
            intensity=0.0,
        )
        self.calm_from = plan.steps * (1 - calm)
        self._known: dict[int, _Known] = {}

    def batch(self, step: int, part: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the images and targets of a step, or of a part of its patches.

        Returns
        -------
        images : float32 tensor (batch, channel, *patch)
        targets : float32 (batch, maps, *patch) or, of classes, int64 (batch, 1, *patch)
        """
        pairs = [self._patch(step, i) for i in range(self.batch_size)[part]]
        images = torch.stack([image for image, _ in pairs])
        targets = torch.stack([target for _, target in pairs])
        return images, targets.long() if self.classes else targets

    def spacings(self, step: int, part: slice = slice(None)) -> list[tuple[float, ...]]:
        """Return the spacing of the image of each patch of a step."""
        indices = range(self.batch_size)[part]
        return [self.examples[self._chosen(step, i)[1]].spacing for i in indices]

    def _chosen(self, step: int, index: int) -> tuple[np.random.Generator, int]:
        """Return the generator of a patch and the example that it draws first."""
        rng = np.random.default_rng((self.seed, step, index))
        among = self._old if index < self._recalled else self._new
        return rng, among[int(rng.integers(len(among)))]

    def _patch(self, step: int, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng, chosen = self._chosen(step, index)
        augment = self.calm if step >= self.calm_from else self.augment
        return self.cut(chosen, self.centre(chosen, rng), rng, augment)

    def cut(
        self, index: int, centre: FloatArray, rng: np.random.Generator, augment: Augment
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the patch (channel, *patch) around a voxel of an example, and its target."""
        example = self.examples[index]
        matrix = random_matrix(len(self.patch), rng, augment, spacing=example.spacing)
        bend = random_bend(self.patch, rng, augment, spacing=example.spacing)
        if bend is None:
            centre = on_voxels(self.patch, matrix, centre)
        # Only the box that the patch can reach is converted and interpolated.
        shape = np.asarray(example.labels.shape)
        far = reach(self.patch, matrix, bend) + 2
        low = np.clip(np.floor(centre - far), 0, shape - 1).astype(int)
        high = np.clip(np.ceil(centre + far) + 1, low + 1, shape).astype(int)
        box = (slice(None), *(slice(a, b) for a, b in zip(low, high, strict=True)))
        grid = sampling_grid(self.patch, matrix, centre - low, high - low, bend, device=self.device)
        # Mirroring costs as much as all the rest of an interpolation.
        inside = bool((centre - far >= 0).all() and (centre + far <= shape - 1).all())
        image = _sample(example.image[box], grid, "bilinear", inside=inside)
        # What is not labelled must not be mixed into what is.
        nearest = self.classes or example.labelled is not None
        mode = "nearest" if nearest else "bilinear"
        target = _sample(example.targets[box], grid, mode, inside=inside)
        limits = self._about(index).limits
        changed = change_intensity(image, augment, rng, spacing=example.spacing, limits=limits)
        return changed, target

    def centre(self, index: int, rng: np.random.Generator) -> FloatArray:
        """Return a random voxel of an example to cut a patch around."""
        example, known = self.examples[index], self._about(index)
        shape = np.asarray(example.labels.shape)
        if known.centres and rng.random() < _ON_FOREGROUND:
            # Off by up to a quarter of a patch, so that objects stand anywhere in it.
            jitter = rng.uniform(-0.25, 0.25, len(shape)) * self.patch
            group = known.centres[rng.integers(len(known.centres))]
            centre = group[rng.integers(len(group))] + jitter
        elif example.labelled is not None:
            jitter = rng.uniform(-0.25, 0.25, len(shape)) * self.patch
            centre = example.labelled[rng.integers(len(example.labelled))] + jitter
        else:
            centre = rng.uniform(0, 1, len(shape)) * (shape - 1)
        # Keep the patch within the image where the image is larger.
        half = np.minimum(self.patch, shape) / 2 - 0.5
        clipped: FloatArray = np.clip(centre, half, shape - 1 - half)
        return clipped

    def _about(self, index: int) -> _Known:
        """Return what is known of an example; two threads may both find it out, to the same."""
        if index not in self._known:
            example = self.examples[index]
            limits = grey_limits(example.image, together=self.augment.colour)
            self._known[index] = _Known(limits, self._groups(example))
        return self._known[index]

    def _groups(self, example: Example) -> tuple[npt.NDArray[np.int32], ...]:
        """Return the centres of each class of an example, so that rare ones are seen too."""
        centres = example.centres
        if not len(centres):
            return ()
        if not self.classes:
            return (centres,)
        found = example.labels[tuple(centres.T)]
        return tuple(centres[found == number] for number in np.unique(found))


def grey_limits(image: npt.NDArray[np.generic], *, together: bool) -> npt.NDArray[np.float32]:
    """Return what is dark and what is bright in each channel of an image, shape (2, channel).

    Some blocks of the image (channel, *spatial) are looked at, spread evenly over it, so that one
    that lies on disk is not read whole. ``together`` gives all channels the same.
    """
    shape = np.asarray(image.shape[1:])
    side = np.minimum(_BLOCK[len(shape)], shape)
    blocks = []
    for at in np.ndindex((_BLOCKS,) * len(shape)):
        first = np.floor((np.asarray(at) + 0.5) / _BLOCKS * shape - side / 2).astype(int)
        first = np.clip(first, 0, shape - side)
        box = (slice(None), *(slice(a, a + n) for a, n in zip(first, side, strict=True)))
        blocks.append(np.asarray(image[box], np.float32).reshape(len(image), -1))
    values = np.concatenate(blocks, axis=1)
    if together:
        values = np.broadcast_to(values.reshape(1, -1), (len(image), values.size))
    limits = np.percentile(values, (_DARK, _BRIGHT), axis=1).astype(np.float32)
    # An image of one value has no range: its changes are then measured by 1.
    limits[1] = np.where(limits[1] > limits[0], limits[1], limits[0] + 1)
    return limits


def _sample(
    box: npt.NDArray[np.generic], grid: torch.Tensor, mode: str, *, inside: bool
) -> torch.Tensor:
    """Return a box (channel, *spatial) at the points of a grid (1, *patch, ndim)."""
    # To the device as it is stored, which is half the bytes of what it is interpolated in.
    source = torch.from_numpy(np.ascontiguousarray(box)).to(grid.device).float()[None]
    patch = grid.shape[1:-1]
    # Torch gives each item of a batch one thread, and a patch is one item: so it goes in parts.
    parts = math.gcd(patch[0], _PARTS)
    found = functional.grid_sample(
        source.expand(parts, *source.shape[1:]),
        grid.reshape(parts, patch[0] // parts, *patch[1:], len(patch)),
        mode=mode,
        padding_mode="border" if inside else "reflection",
        align_corners=False,
    )
    return found.transpose(0, 1).reshape(len(box), *patch)
