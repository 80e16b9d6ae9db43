"""Small images that look like scans, and models that do nothing but prepare them."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.data import MetaTensor
from scipy import ndimage
from tests.models.known import description
from tests.space import grid

from napari_monai.grid import Grid
from napari_monai.models import Inputs, Operation
from napari_monai.preprocess import Prepared, prepare, prepare_lazily
from napari_monai.volume import Volume

STORED = Operation("transpose", {"axes": [0, 1, 2]})


def scan(
    shape: tuple[int, ...] = (14, 17, 11),
    spacing: tuple[float, ...] = (0.9, 1.1, 2.7),
    *,
    channels: int = 2,
    codes: str = "RAS",
    tilt: float = 0.0,
    border: int = 2,
    seed: int = 0,
) -> Volume:
    """Return smooth structures above zero in a margin of zeros, float32."""
    rng = np.random.default_rng(seed)
    data = ndimage.gaussian_filter(rng.normal(0, 300, (channels, *shape)), (0, 1, 1, 1))
    data += 100
    body = np.zeros(shape, bool)
    body[tuple(slice(border, n - border - 1) for n in shape)] = True
    data = np.where(body, data, 0).astype(np.float32)
    return Volume(data, grid(shape, codes, spacing, tilt=tilt), "c")


def prepared(volume: Volume, *operations: Operation) -> Prepared:
    """Return a 3-D image prepared in memory, having seen that boxes of it are the same."""
    channels = volume.channels
    inputs = Inputs(tuple(f"c{i}" for i in range(channels)), volume.grid.ndim)
    model = description(volume.grid.ndim, channels, inputs=inputs, preprocess=operations)
    whole, lazy = prepare(volume, model), prepare_lazily(volume, model)
    assert (whole.grid, whole.back) == (lazy.grid, lazy.back)
    rng = np.random.default_rng(0)
    for _ in range(3):
        ends = [sorted(rng.integers(0, n + 1, 2)) for n in whole.grid.shape]
        box = tuple(slice(int(a), int(b)) for a, b in ends)
        assert lazy.read(box).tobytes() == whole.read(box).tobytes()
    return whole


def tensor(volume: Volume) -> MetaTensor:
    """Return an image as MONAI has it."""
    return MetaTensor(volume.numpy().copy(), affine=volume.grid.affine.copy())


def matches(ours: Prepared, theirs: Any, *, atol: float = 1e-3) -> None:
    """Assert that values and, where MONAI says it, the place of the voxels are the same."""
    values = np.asarray(theirs)
    assert ours.array.shape == values.shape
    np.testing.assert_allclose(ours.array, values, atol=atol)
    if isinstance(theirs, MetaTensor):
        same = Grid(values.shape[1:], np.asarray(theirs.affine), ours.grid.unit)
        assert ours.grid.is_close(same)
