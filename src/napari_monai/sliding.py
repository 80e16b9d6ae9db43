"""A network over an array larger than its window: reading, batches, blending.

Finished parts are handed out while later windows still run, and are worked on while a GPU
computes the next batch, so that a caller needs to keep no more than it wants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from .devices import free_memory, pick_precision
from .events import Event
from .preflight import activations
from .runner import FloatArray, Outputs, Runner
from .settings import Blend, Precision
from .settling import settle
from .streaming import Finish, Part, Stream, as_it_is
from .tiling import Padding, Steps, Tiling, plan
from .ways import Way
from .windows import Empty, Source, Windows

__all__ = ["Part", "multiples", "predict", "predict_parts", "tile", "tile_whole"]

# Voxels of a batch where nobody asks for a batch size. A CPU gains nothing from larger ones.
_BATCH_VOXELS = {"cpu": 2**18, "mps": 2**20, "cuda": 2**22}


def tile(
    shape: Sequence[int],
    window: Sequence[int],
    *,
    overlap: float = 0.5,
    blend: Blend = "gaussian",
    size_multiple: int | Sequence[int] = 1,
    steps: Steps = "even",
    padding: Padding = "mirror",
) -> Tiling:
    """Return the windows over the space of an array; a 2-D window runs over a volume's slices.

    See `napari_monai.tiling.plan` for the parameters.
    """
    slices = len(shape) - len(window)
    return plan(
        shape,
        (1,) * slices + tuple(window),
        overlap=overlap,
        blend=blend,
        multiple=multiples(size_multiple, len(shape), len(window)),
        steps=steps,
        padding=padding,
    )


def tile_whole(
    shape: Sequence[int],
    dims: int,
    *,
    size_multiple: int | Sequence[int] = 1,
    padding: Padding = "mirror",
) -> Tiling:
    """Return the windows that take all of an image at once, or all of each slice of a volume."""
    multiple = multiples(size_multiple, len(shape), dims)
    window = tuple(-(-n // m) * m for n, m in zip(shape[-dims:], multiple[-dims:], strict=True))
    return tile(
        shape, window, overlap=0, blend="constant", size_multiple=size_multiple, padding=padding
    )


def multiples(size_multiple: int | Sequence[int], ndim: int, dims: int) -> tuple[int, ...]:
    """Return what each side of a window must be a multiple of, for all axes of an array."""
    each = (size_multiple,) * dims if isinstance(size_multiple, int) else tuple(size_multiple)
    return (1,) * (ndim - dims) + each


def predict_parts(
    source: FloatArray | Source,
    network: torch.nn.Module | Sequence[torch.nn.Module],
    tiling: Tiling,
    *,
    device: torch.device,
    spatial_dims: int,
    batch_size: int | None = None,
    activation: Sequence[str] = (),
    flips: bool | Sequence[int] = False,
    spread: bool = False,
    raw: bool = False,
    select: tuple[int, ...] = (),
    precision: Precision | torch.dtype | Way = "float32",
    compiled: bool = False,
    finish: Finish | None = None,
    empty: Empty | None = None,
    first_row: int = 0,
    sums_on_host: bool = False,
) -> Iterator[Event | Part]:
    """Run a network over an array window by window and yield the parts as they are finished.

    Parameters
    ----------
    source
        Float32 of shape (channel, *spatial), as the network takes it; or what reads it by boxes.
    network
        From (batch, channel, *window) to (batch, output channel, *window), on ``device``; or
        several, whose outputs are averaged. They are left as they are, whatever happens.
    tiling
        Windows over the space of ``source``; see `tile`.
    spatial_dims
        Spatial axes of the network; a 2-D one takes a volume slice by slice.
    batch_size
        Windows at once; by default as many as the device makes use of.
    activation
        ``("softmax",)``, or ``"sigmoid"`` or ``"identity"`` for each output channel; none leaves
        the outputs as they are. Windows, flips and networks are averaged after it.
    flips
        Whether to average over all mirrored copies of each window; or along which of the
        network's axes, counted from 0, they are mirrored.
    spread
        Whether to add a channel that says how far mirrored copies and networks are apart, see
        `Outputs`.
    raw
        Whether windows, flips and networks are averaged before the activation, which is left to
        ``finish``.
    select
        Which of the network's channels are taken, in this order; none stands for all.
    precision
        By name, as torch's type, or as the way of an earlier run; ``"auto"`` takes the fastest
        way, and compares it with float32 first.
    compiled
        Whether to compile the network first.
    finish
        What to make of finished maps: from their box and the maps, (channel, *box) on the
        device, to tensors, which come as the ``results`` of the part. Parts come in order, the
        last axis fastest.
    empty
        Which windows hold nothing, and are not run.
    first_row
        Where to begin: the row of windows along the first axis whose finished parts are wanted
        first. Earlier windows are run only as far as they reach into it.
    sums_on_host
        Whether the windows of a GPU are added up on the host, which is slower and needs less of
        the GPU's memory. Where that runs out on the way they are anyway.

    Yields
    ------
    Parts, in order, places to stop, and what the user should know: memory or precision that did
    not suffice.

    Raises
    ------
    ModelError
        If the network does not take the array, or gives no numbers.
    OutOfMemoryError
        If one window alone fits neither the device nor the host.
    """
    windows = Windows(source, tiling)
    networks = (network,) if isinstance(network, torch.nn.Module) else tuple(network)
    way = pick_precision(device, precision) if isinstance(precision, str) else precision
    outputs = Outputs(tuple(activation), spread, raw, select)
    runner = Runner(
        networks,
        device,
        way,
        outputs,
        flips=flips,
        spatial_dims=spatial_dims,
        compiled=compiled,
    )
    if precision == "auto":
        forwards = tiling.total * len(runner.mirrors) * len(networks)
        yield from settle(runner, windows.busiest(), forwards)
    size = batch_size or _batch_size(runner, windows)
    run = Stream(
        windows,
        tiling,
        runner,
        finish=finish or as_it_is,
        size=size,
        empty=empty,
        sums_on_host=sums_on_host,
    )
    yield from run.parts(first_row)


def predict(
    array: FloatArray,
    network: torch.nn.Module,
    *,
    device: torch.device,
    window: Sequence[int],
    overlap: float = 0.5,
    blend: Blend = "gaussian",
    size_multiple: int | Sequence[int] = 1,
    steps: Steps = "even",
    padding: Padding = "mirror",
    batch_size: int | None = None,
    activation: Sequence[str] = (),
    flips: bool | Sequence[int] = False,
    select: tuple[int, ...] = (),
    precision: Precision | torch.dtype = "float32",
) -> FloatArray:
    """Run a network over an array and return its maps, float32 of shape (channel, *spatial).

    A window of two numbers on an array of three spatial axes runs slice by slice. See `tile` and
    `predict_parts` for the parameters.
    """
    tiling = tile(
        array.shape[1:],
        window,
        overlap=overlap,
        blend=blend,
        size_multiple=size_multiple,
        steps=steps,
        padding=padding,
    )
    maps: FloatArray | None = None
    for event in predict_parts(
        array,
        network,
        tiling,
        device=device,
        spatial_dims=len(window),
        batch_size=batch_size,
        activation=activation,
        flips=flips,
        select=select,
        precision=precision,
    ):
        if isinstance(event, Part):
            if maps is None:
                maps = np.empty((len(event.values), *array.shape[1:]), np.float32)
            maps[(slice(None), *event.box)] = event.values
    assert maps is not None, "an array has at least one window"
    return maps


def _batch_size(runner: Runner, windows: Windows) -> int:
    """Return how many windows the device makes use of at once, and has the memory for."""
    window = windows.tiling.window
    size = max(1, _BATCH_VOXELS.get(runner.device.type, 2**18) // int(np.prod(window)))
    if runner.device.type == "cuda" and size > 1:
        shape = (1, windows.channels, *window[len(window) - runner.spatial_dims :])
        each = activations(runner.networks[0], shape, runner.way.dtype)
        size = max(1, min(size, free_memory(runner.device) // 2 // max(1, each)))
    return size
