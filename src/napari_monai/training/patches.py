"""Batches of augmented patches, the same for the same seed and step.

The geometry of a patch (flips, rotation in the plane, scale) is one affine map, applied by one
interpolation while the patch is cut out, so that a patch never shows the corners of a rotated
image and small images are mirrored at their edges. Intensities are changed a whole batch at a
time. Both are done by torch on the CPU's vector units: a batch costs a small part of a step.

Every random number of step ``k`` comes from a generator seeded by (seed, k), so that a resumed
training sees the very same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from .examples import Example
from .resolved import Augment, Resolved

# Part of the patches that are centred on a foreground voxel.
_ON_FOREGROUND = 0.5


class PatchSampler:
    """Draws batches from examples.

    Parameters
    ----------
    examples
        What to draw from; each example is as likely as any other.
    plan
        Size of patches and batches, and how they are changed.
    seed
        Seed of all that is random.
    classes
        Whether the targets are class indices, to be interpolated by nearest neighbour.
    calm
        Last part of the steps, in which patches are changed less.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        plan: Resolved,
        *,
        seed: int,
        classes: bool,
        calm: float = 0.0,
    ) -> None:
        self.examples = examples
        self.patch = np.asarray(plan.patch)
        self.batch_size = plan.batch_size
        self.seed = seed
        self.classes = classes
        self.augment = plan.augment
        # Outlines are drawn wider on some kinds of images than on others. What tells the kinds
        # apart is just what augmentation blurs, so towards the end there is less of it.
        self.calm = replace(plan.augment, scale=1 + (plan.augment.scale - 1) / 4, intensity=0.0)
        self.calm_from = plan.steps * (1 - calm)

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the images and targets of a step.

        Returns
        -------
        images : float32 tensor (batch, channel, *patch)
        targets : float32 (batch, maps, *patch) or, of classes, int64 (batch, 1, *patch)
        """
        rng, chosen = self._chosen(step)
        augment = self.calm if step >= self.calm_from else self.augment
        pairs = [self._patch(self.examples[i], rng, augment) for i in chosen]
        images = torch.stack([image for image, _ in pairs])
        targets = torch.stack([target for _, target in pairs])
        if augment.intensity > 0:
            images = change_intensity(images, rng, strength=augment.intensity)
        return images, targets.long() if self.classes else targets

    def spacings(self, step: int) -> list[tuple[float, ...]]:
        """Return the spacing of the image of each patch of a step."""
        return [self.examples[i].spacing for i in self._chosen(step)[1]]

    def _chosen(self, step: int) -> tuple[np.random.Generator, npt.NDArray[np.int_]]:
        """Return the generator of a step and the examples that it draws first."""
        rng = np.random.default_rng((self.seed, step))
        return rng, rng.integers(len(self.examples), size=self.batch_size)

    def _patch(
        self, example: Example, rng: np.random.Generator, augment: Augment
    ) -> tuple[torch.Tensor, torch.Tensor]:
        matrix = random_matrix(len(self.patch), rng, augment, spacing=example.spacing)
        centre = self._centre(example, rng)
        # Only the box that the patch can reach is converted and interpolated.
        shape = np.asarray(example.labels.shape)
        reach = np.abs(matrix) @ (self.patch / 2) + 2
        low = np.clip(np.floor(centre - reach), 0, shape - 1).astype(int)
        high = np.clip(np.ceil(centre + reach) + 1, low + 1, shape).astype(int)
        box = (slice(None), *(slice(a, b) for a, b in zip(low, high, strict=True)))
        grid = sampling_grid(self.patch, matrix, centre - low, high - low)
        image = _sample(example.image[box], grid, "bilinear")
        # What is not labelled must not be mixed into what is.
        nearest = self.classes or example.labelled is not None
        target = _sample(example.targets[box], grid, "nearest" if nearest else "bilinear")
        return image, target

    def _centre(self, example: Example, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        shape = np.asarray(example.labels.shape)
        if len(example.centres) and rng.random() < _ON_FOREGROUND:
            # Off by up to a quarter of a patch, so that objects stand anywhere in it.
            jitter = rng.uniform(-0.25, 0.25, len(shape)) * self.patch
            centre = example.centres[rng.integers(len(example.centres))] + jitter
        elif example.labelled is not None:
            jitter = rng.uniform(-0.25, 0.25, len(shape)) * self.patch
            centre = example.labelled[rng.integers(len(example.labelled))] + jitter
        else:
            centre = rng.uniform(0, 1, len(shape)) * (shape - 1)
        # Keep the patch within the image where the image is larger.
        half = np.minimum(self.patch, shape) / 2 - 0.5
        clipped: npt.NDArray[np.float64] = np.clip(centre, half, shape - 1 - half)
        return clipped


def random_matrix(
    ndim: int,
    rng: np.random.Generator,
    augment: Augment,
    *,
    spacing: Sequence[float],
) -> npt.NDArray[np.float64]:
    """Return the linear map from offsets in the patch to offsets in the image, in voxels.

    Rotation is about the first axis of a volume, in the plane of its slices, and keeps angles
    in physical space.
    """
    matrix = np.eye(ndim)
    if augment.rotations:
        angle = rng.uniform(0, 2 * np.pi)
        c, s = np.cos(angle), np.sin(angle)
        aspect = spacing[-1] / spacing[-2]
        matrix[-2:, -2:] = [[c, -s * aspect], [s / aspect, c]]
    if augment.scale > 1:
        limit = np.log(augment.scale)
        stretch = rng.normal(0, limit / 8, ndim)  # a little of it differs between the axes
        matrix = matrix * np.exp(rng.uniform(-limit, limit) + stretch)
    if augment.flips:
        matrix = matrix * rng.choice((-1.0, 1.0), ndim)
    return matrix


def sampling_grid(
    patch: npt.NDArray[np.int_],
    matrix: npt.NDArray[np.float64],
    centre: npt.NDArray[np.float64],
    shape: npt.NDArray[np.int_],
) -> torch.Tensor:
    """Return the grid for ``grid_sample`` (``align_corners=False``) of one patch.

    ``matrix`` maps offsets from the patch's centre to offsets from ``centre``, in voxels of a
    box of ``shape``. The grid has shape (1, *patch, ndim), its last axis in reverse axis order.
    """
    ndim = len(patch)
    # Output coordinates u in [-1, 1] at voxel edges: offset = u * patch / 2.
    theta = np.zeros((ndim, ndim + 1))
    theta[:, :ndim] = matrix * (patch / 2) / (shape / 2)[:, np.newaxis]
    theta[:, ndim] = (centre + 0.5) / (shape / 2) - 1
    order = np.arange(ndim)[::-1]
    theta[:, :ndim] = theta[:, order]
    theta = theta[order]
    size = (1, 1, *(int(n) for n in patch))
    return functional.affine_grid(
        torch.from_numpy(theta[np.newaxis].astype(np.float32)), list(size), align_corners=False
    )


def _sample(box: npt.NDArray[np.generic], grid: torch.Tensor, mode: str) -> torch.Tensor:
    source = torch.from_numpy(np.ascontiguousarray(box)).float()[None]
    return functional.grid_sample(
        source, grid, mode=mode, padding_mode="reflection", align_corners=False
    )[0]


def change_intensity(
    images: torch.Tensor, rng: np.random.Generator, *, strength: float = 1.0
) -> torch.Tensor:
    """Return a batch with gain, offset, gamma, blur and noise changed, each item its own way.

    ``images`` has shape (batch, channel, *spatial), intensities of about 0 to 1. Channels of a
    grey picture stay equal: what is drawn per item goes for all its channels, and only one in
    four items gets gains of its own for each channel.
    """
    n, channels = images.shape[:2]
    tail = (1,) * (images.ndim - 2)

    def draw(values: npt.NDArray[np.float64], width: int = 1) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).reshape(n, width, *tail)

    def some(probability: float) -> npt.NDArray[np.bool_]:
        return rng.random(n) < probability

    gamma = np.exp(np.where(some(0.5), rng.normal(0, 0.35 * strength, n), 0))
    exponent = draw(gamma)
    images = torch.where(
        exponent == 1, images, images.sign() * images.abs().clamp_min(1e-6).pow(exponent)
    )
    gain = np.exp(np.where(some(0.5), rng.normal(0, 0.25 * strength, n), 0))[:, np.newaxis]
    own = some(0.25)[:, np.newaxis] * rng.normal(0, 0.1 * strength, (n, channels))
    gains = gain * np.exp(own if channels > 1 else 0)
    offset = np.where(some(0.5), rng.normal(0, 0.1 * strength, n), 0)
    images = images * draw(gains, gains.shape[1]) + draw(offset)
    for i in np.flatnonzero(some(0.2)):
        images[i] = _blur(images[i], float(rng.uniform(0.3, 1.2) * strength))
    sd = np.where(some(0.4), np.abs(rng.normal(0, 0.06 * strength, n)), 0)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    noise = torch.randn((n, 1, *images.shape[2:]), generator=generator)
    return images + noise * draw(sd)


def _blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return (channel, *spatial) smoothed by a Gaussian along its last two axes."""
    if sigma < 0.1:  # narrower than a voxel can show
        return image
    radius = max(1, int(np.ceil(3 * sigma)))
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = kernel / kernel.sum()
    flat = image.reshape(-1, 1, *image.shape[-2:])
    flat = functional.pad(flat, (radius, radius, radius, radius), mode="replicate")
    flat = functional.conv2d(flat, kernel.reshape(1, 1, -1, 1))
    return functional.conv2d(flat, kernel.reshape(1, 1, 1, -1)).reshape(image.shape)
