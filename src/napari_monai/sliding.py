"""A network over an array larger than its window: reading, batches, blending.

Finished parts are handed out while later windows still run, and are worked on while a GPU
computes the next batch, so that a caller needs to keep no more than it wants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .blending import Blender
from .devices import free_memory, pick_precision
from .events import Said
from .preflight import activations
from .runner import FloatArray, Outputs, Runner
from .settings import Blend, Precision
from .tiling import Box, Padding, Steps, Tiling, plan
from .ways import Way
from .windows import Empty, Source, Windows

# Voxels of a batch where nobody asks for a batch size. A CPU gains nothing from larger ones.
_BATCH_VOXELS = {"cpu": 2**18, "mps": 2**20, "cuda": 2**22}

Finish = Callable[[Box, torch.Tensor], Sequence[torch.Tensor]]


@dataclass(frozen=True, eq=False)
class Part:
    """A finished part of the maps.

    ``done`` of ``total`` windows are through. The maps are final in ``box``, a part of the array's
    space; the boxes of all parts tile the array. ``results`` is what was made of the maps there:
    by default the maps themselves, float32 of shape (channel, *box). ``way`` is how the networks
    ran.
    """

    done: int
    total: int
    box: Box
    results: tuple[npt.NDArray[Any], ...]
    way: Way = field(default_factory=Way)

    @property
    def values(self) -> FloatArray:
        """The first of the results: the maps in the box, where nothing else was asked for."""
        return self.results[0]


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
) -> Iterator[Said | Part]:
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

    Yields
    ------
    Parts, in order, and what the user should know: memory or precision that did not suffice.

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
        yield from runner.settle(windows.busiest(), forwards)
    size = batch_size or _batch_size(runner, windows)
    run = _Run(windows, tiling, runner, finish=finish or _as_it_is, size=size, empty=empty)
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


def _as_it_is(_box: Box, values: torch.Tensor) -> Sequence[torch.Tensor]:
    return (values,)


class _Run:
    """The windows of one array going through the runner, and what is held between them."""

    def __init__(
        self,
        windows: Windows,
        tiling: Tiling,
        runner: Runner,
        *,
        finish: Finish,
        size: int,
        empty: Empty | None,
    ) -> None:
        self.windows = windows
        self.tiling = tiling
        self.runner = runner
        self.finish = finish
        self.size = size
        self.empty = empty
        self.blender: Blender | None = None

    def parts(self, first_row: int) -> Iterator[Said | Part]:
        """Yield the parts from a row of windows on."""
        starts, side = self.tiling.starts[0], self.tiling.window[0]
        # Batches never go beyond some rows, so that a run that begins later has the same ones,
        # and the same rounding in them. Rows of slices do not overlap, and share batches.
        at_once = max(1, self.size // self.tiling.per_row) if side == 1 else 1
        first_row -= first_row % at_once
        reach = starts[first_row] - side
        before = next(row for row, start in enumerate(starts) if row == first_row or start > reach)
        waiting: list[_Pending] = []
        for row in range(before, len(starts), at_once):
            for event in self._rows(row, min(row + at_once, len(starts)), waiting):
                if row >= first_row or isinstance(event, Said):
                    yield event
            if row < first_row:
                waiting.clear()
        yield from (pending.part() for pending in waiting)

    def _rows(self, first: int, last: int, waiting: list[_Pending]) -> Iterator[Said | Part]:
        """Run the windows of some rows."""
        at, end = first * self.tiling.per_row, last * self.tiling.per_row
        while at < end:
            indices, full = self._batch(at, end)
            values, trouble = None, ""
            if full:
                values, trouble = self.runner.launch(np.stack(list(full.values())))
                # While a GPU computes, the parts before are worked on.
                while waiting:
                    yield waiting.pop(0).part()
                if values is not None and not self.runner.is_finite(values):
                    values, trouble = None, "precision"
                if values is None:
                    self.size, line = self.runner.relieve(trouble, len(full))
                    if self.blender is not None:
                        self.blender.to(self.runner.device)
                    yield Said(line, "warning")
                    continue
            outputs = {} if values is None else dict(zip(full, values, strict=True))
            waiting += self._blended(indices, outputs)
            if self.runner.device.type != "cuda":
                while waiting:
                    yield waiting.pop(0).part()
            at = indices.stop

    def _batch(self, at: int, end: int) -> tuple[range, dict[int, FloatArray]]:
        """Return the next windows, and the arrays of those that hold something."""
        full: dict[int, FloatArray] = {}
        stop = at
        while stop < end and len(full) < self.size:
            window = self.windows[stop]
            if self.empty is None or not self.empty.holds(window):
                full[stop] = window
            stop += 1
        return range(at, stop), full

    def _blended(self, indices: range, values: Mapping[int, torch.Tensor]) -> Iterator[_Pending]:
        device = self.runner.device
        for index in indices:
            if index in values:
                window = values[index]
            else:
                assert self.empty is not None, "without it every window is run"
                window = self.empty.maps(self.tiling.window, device)
            if self.blender is None:
                self.blender = Blender(
                    self.tiling,
                    len(window),
                    device,
                    probabilities=self.runner.outputs.probabilities,
                )
            box, part = self.blender.add(index, window)
            results = self.finish(box, part)
            yield _Pending(index + 1, self.tiling.total, box, results, self.runner.way)


class _Pending:
    """A part on its way from the device to the host."""

    def __init__(
        self,
        done: int,
        total: int,
        box: Box,
        results: Sequence[torch.Tensor],
        way: Way,
    ) -> None:
        self.done, self.total, self.box, self.way = done, total, box, way
        self.results = [_on_host(r) for r in results]
        self.event: torch.cuda.Event | None = None
        if any(r.is_cuda for r in results):
            self.event = torch.cuda.Event()
            self.event.record()

    def part(self) -> Part:
        if self.event is not None:
            self.event.synchronize()
        arrays = tuple(r.numpy() for r in self.results)
        return Part(self.done, self.total, self.box, arrays, self.way)


def _on_host(result: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the host; from a GPU it may still be on its way."""
    if not result.is_cuda:
        return result.cpu()
    host = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
    return host.copy_(result, non_blocking=True)
