"""nnU-Net's way from an image to labels, in one piece and by SciPy and scikit-image alone."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from skimage.transform import resize
from tests.models.nnunet_folders import Folder

from napari_monai.networks import build_network, from_nnunet


def predict(
    spec: Folder, folder: Path, image: np.ndarray, spacing: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities of an image, (channel, z, y, x) with its spacing."""
    image = image.astype(np.float32).transpose(0, *(a + 1 for a in spec.forward))
    spacing = tuple(spacing[a] for a in spec.forward)
    whole = image.shape[1:]
    found = np.argwhere((image != 0).any(0))
    box = tuple(slice(a, b + 1) for a, b in zip(found.min(0), found.max(0), strict=True))
    image = image[(slice(None), *box)].copy()
    mask = ndimage.binary_fill_holes((image != 0).any(0))
    for channel, (scheme, masked) in enumerate(zip(spec.schemes, spec.masks, strict=True)):
        where = mask if masked else np.ones_like(mask)
        image[channel, where] = _normalised(image[channel, where], scheme)
    target = spec.spacing if len(spec.spacing) == 3 else (spacing[0], *spec.spacing)
    shape = image.shape[1:]
    size = [round(s / t * n) for s, t, n in zip(spacing, target, shape, strict=True)]
    logits = _logits(spec, folder, _resized(image, size, 3, spacing, target).astype(np.float32))
    logits = _resized(logits, shape, 1, target, spacing)
    if spec.order is None:
        p = torch.from_numpy(logits).float().softmax(0).numpy()
        labels = logits.argmax(0)
        probabilities = np.zeros((len(p), *whole), np.float32)
        probabilities[0] = 1
    else:
        p = torch.from_numpy(logits).float().sigmoid().numpy()
        labels = np.zeros(shape, int)
        for channel, number in zip(p, spec.order, strict=True):
            labels[channel > 0.5] = number
        probabilities = np.zeros((len(p), *whole), np.float32)
    full = np.zeros(whole, int)
    full[box], probabilities[(slice(None), *box)] = labels, p
    back = np.argsort(spec.forward)
    return full.transpose(back), probabilities.transpose(0, *(a + 1 for a in back))


def _normalised(values: np.ndarray, scheme: str) -> np.ndarray:
    if scheme == "CTNormalization":
        return (np.clip(values, -80, 240) - 62.3) / 71.9
    if scheme == "ZScoreNormalization":
        return (values - values.mean()) / values.std()
    return values


def _resized(values: np.ndarray, size: Any, order: int, before: Any, after: Any) -> np.ndarray:
    """Return channels of another size; planes by themselves where the spacing is uneven."""
    if tuple(size) == values.shape[1:]:
        return values
    uneven = [s for s in (before, after) if max(s) / min(s) > 3]
    told = {"order": order, "mode": "edge", "anti_aliasing": False}
    values = values.astype(np.float64)
    if not uneven:
        return np.stack([resize(channel, size, **told) for channel in values])
    axis = int(np.argmax(uneven[0]))
    planes = np.moveaxis(values, axis + 1, 1)
    plane = [n for a, n in enumerate(size) if a != axis]
    planes = np.stack([[resize(p, plane, **told) for p in channel] for channel in planes])
    ratio = planes.shape[1] / size[axis]
    at = np.floor((np.arange(size[axis]) + 0.5) * ratio).astype(int)
    return np.moveaxis(planes[:, np.clip(at, 0, planes.shape[1] - 1)], 1, axis + 1)


def _logits(spec: Folder, folder: Path, image: np.ndarray) -> np.ndarray:
    """Return the mean over folds, mirrored copies and windows."""
    name, arguments = from_nnunet(
        *spec.architecture, in_channels=len(spec.channels), out_channels=spec.heads
    )
    total = np.zeros((spec.heads, *image.shape[1:]))
    for fold in spec.folds:
        file = folder / f"fold_{fold}" / "checkpoint_final.pth"
        network = build_network(name, arguments).eval()
        network.load_state_dict(torch.load(file, weights_only=False)["network_weights"])
        if len(spec.patch) == 2:
            slices = (_slid(spec, network, image[:, z]) for z in range(image.shape[1]))
            total += np.stack(list(slices), axis=1)
        else:
            total += _slid(spec, network, image)
    return total / len(spec.folds)


@torch.inference_mode()
def _slid(spec: Folder, network: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    patch = tuple(spec.patch)
    missing = [max(0, w - n) for n, w in zip(image.shape[1:], patch, strict=True)]
    padded = np.pad(image, [(0, 0), *((m // 2, m - m // 2) for m in missing)])
    starts = []
    for n, w in zip(padded.shape[1:], patch, strict=True):
        count = int(np.ceil((n - w) / (w / 2))) + 1
        starts.append([int(np.round((n - w) / max(1, count - 1) * i)) for i in range(count)])
    point = np.zeros(patch)
    point[tuple(w // 2 for w in patch)] = 1
    weights = ndimage.gaussian_filter(point, [w / 8 for w in patch], mode="constant")
    weights = torch.from_numpy(weights / (weights.max() / 10)).half().float()
    weights[weights == 0] = weights[weights != 0].min()
    total = torch.zeros(spec.heads, *padded.shape[1:])
    count = torch.zeros(padded.shape[1:])
    for corner in itertools.product(*starts):
        at = tuple(slice(a, a + w) for a, w in zip(corner, patch, strict=True))
        window = torch.from_numpy(padded[(slice(None), *at)].copy())[None]
        total[(slice(None), *at)] += _mirrored(spec, network, window) * weights
        count[at] += weights
    inside = (slice(m // 2, m // 2 + n) for n, m in zip(image.shape[1:], missing, strict=True))
    return (total / count)[(slice(None), *inside)].numpy()


def _mirrored(spec: Folder, network: torch.nn.Module, window: torch.Tensor) -> torch.Tensor:
    axes = [a + 2 for a in spec.mirror or ()]
    some = [c for n in range(len(axes) + 1) for c in itertools.combinations(axes, n)]
    return torch.stack([network(window.flip(a)).flip(a) for a in some]).mean(0)[0]
