"""A network over an array larger than its window: batches, blending, precision, memory.

Finished parts are handed out while later windows still run, so that a caller needs to keep no
more than it wants: only a band one window high is held here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.modules.instancenorm import _InstanceNorm

from .devices import device_name, free_memory, is_out_of_memory, pick_precision
from .errors import ModelError, NapariMonaiError, OutOfMemoryError
from .events import Said
from .settings import Blend, Precision
from .tiling import Box, Tiling, plan

FloatArray = npt.NDArray[np.float32]

# Voxels of a batch where nobody asks for a batch size. A CPU gains nothing from larger ones.
_BATCH_VOXELS = {"cpu": 2**18, "mps": 2**20, "cuda": 2**22}
# Largest part of the voxels that a faster precision may label differently.
_TOLERATED = 1e-3
# Windows that are looked at for the one on which precisions are compared.
_CANDIDATES = 32

# What the comparison of precisions said of a network, so that each is compared once.
_is_safe: WeakKeyDictionary[torch.nn.Module, dict[torch.dtype, bool]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Part:
    """A finished part of the maps.

    ``done`` of ``total`` windows are through; ``values``, float32 of shape (channel, *box), are
    final in ``box``, a part of the array's space. The boxes of all parts tile the array.
    """

    done: int
    total: int
    box: Box
    values: FloatArray


def tile(
    shape: Sequence[int],
    window: Sequence[int],
    *,
    overlap: float = 0.5,
    blend: Blend = "gaussian",
    size_multiple: int = 1,
) -> Tiling:
    """Return the windows over the space of an array; a 2-D window runs over a volume's slices."""
    slices = len(shape) - len(window)
    return plan(
        shape,
        (1,) * slices + tuple(window),
        overlap=overlap,
        blend=blend,
        multiple=(1,) * slices + (size_multiple,) * len(window),
    )


def predict_parts(
    array: FloatArray,
    network: torch.nn.Module,
    tiling: Tiling,
    *,
    device: torch.device,
    spatial_dims: int,
    batch_size: int | None = None,
    activation: Sequence[str] = (),
    flips: bool = False,
    precision: Precision | torch.dtype = "float32",
) -> Iterator[Said | Part]:
    """Run a network over an array window by window and yield the parts as they are finished.

    Parameters
    ----------
    array
        Float32 of shape (channel, *spatial), as the network takes it.
    network
        From (batch, channel, *window) to (batch, output channel, *window), on ``device``. It is
        left as it is, whatever happens.
    tiling
        Windows over the space of ``array``; see `tile`.
    spatial_dims
        Spatial axes of the network; a 2-D one takes a volume slice by slice.
    activation
        ``("softmax",)``, or ``"sigmoid"`` or ``"identity"`` for each output channel; none leaves
        the outputs as they are. Windows and flips are averaged after it.
    flips
        Whether to average over all mirrored copies of each window.
    precision
        By name or as torch's type; ``"auto"`` takes the fastest one, and compares it with float32
        first.

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
    padded = tiling.pad(array)
    dtype = precision if isinstance(precision, torch.dtype) else pick_precision(device, precision)
    runner = _Runner(network, device, dtype, tuple(activation), flips, spatial_dims)
    if precision == "auto":
        yield from runner.settle(padded[(slice(None), *_busiest(padded, tiling))])
    blended: _Blended | None = None
    voxels = int(np.prod(tiling.window))
    size = batch_size or max(1, _BATCH_VOXELS.get(device.type, 2**18) // voxels)
    done = 0
    while done < tiling.total:
        indices = range(done, min(done + size, tiling.total))
        windows = np.stack([padded[(slice(None), *tiling.box(i))] for i in indices])
        values, trouble = runner.attempt(windows)
        if values is None:
            size, line = runner.relieve(trouble, len(indices))
            if blended is not None:
                blended.move_to(runner.device)
            yield Said(line, "warning")
            continue
        if blended is None:
            blended = _Blended(tiling, values)
        for index, window in zip(indices, values, strict=True):
            box, part = blended.add(index, window)
            yield Part(index + 1, tiling.total, box, part)
        done += len(indices)


def predict(
    array: FloatArray,
    network: torch.nn.Module,
    *,
    device: torch.device,
    window: Sequence[int],
    overlap: float = 0.5,
    blend: Blend = "gaussian",
    size_multiple: int = 1,
    batch_size: int | None = None,
    activation: Sequence[str] = (),
    flips: bool = False,
    precision: Precision | torch.dtype = "float32",
) -> FloatArray:
    """Run a network over an array and return its maps, float32 of shape (channel, *spatial).

    A window of two numbers on an array of three spatial axes runs slice by slice. See
    `predict_parts` for the parameters.
    """
    tiling = tile(
        array.shape[1:], window, overlap=overlap, blend=blend, size_multiple=size_multiple
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


def memory_layout(network: torch.nn.Module, spatial_dims: int) -> torch.memory_format:
    """Return the layout of tensors in which a network is fastest.

    Channels last saves a quarter of the time in 2-D, but instance norm works through each
    channel by itself and then loses 40 %. In 3-D it makes no difference.
    """
    by_channel = any(isinstance(m, _InstanceNorm) for m in network.modules())
    return torch.channels_last if spatial_dims == 2 and not by_channel else torch.contiguous_format


class _Runner:
    """A network on a device, which gives way when memory or precision do not suffice."""

    def __init__(
        self,
        network: torch.nn.Module,
        device: torch.device,
        dtype: torch.dtype,
        activation: tuple[str, ...],
        flips: bool,
        spatial_dims: int,
    ) -> None:
        self.network = network
        self.device = device
        self.dtype = dtype
        self.activation = activation
        axes = range(-spatial_dims, 0)
        sets = range(2**spatial_dims if flips else 1)
        self.mirrors = [tuple(a for i, a in enumerate(axes) if s >> i & 1) for s in sets]
        self.spatial_dims = spatial_dims
        self.layout = memory_layout(network, spatial_dims)

    def run(self, windows: FloatArray) -> torch.Tensor:
        """Return the activated outputs, float32 on the device, for (batch, channel, *window)."""
        spatial = windows.shape[2:]
        flat = torch.from_numpy(windows).reshape(
            *windows.shape[:2], *spatial[len(spatial) - self.spatial_dims :]
        )
        batch = flat.to(self.device).contiguous(memory_format=self.layout)
        was_training = self.network.training
        if was_training:
            self.network.eval()
        try:
            with torch.inference_mode():
                mean = self._mirrored(batch, self.mirrors[0])
                for axes in self.mirrors[1:]:
                    mean += self._mirrored(batch, axes)
                mean /= len(self.mirrors)
        finally:
            if was_training:
                self.network.train()
        return mean.reshape(*mean.shape[:2], *spatial)

    def _mirrored(self, batch: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        flipped = batch.flip(axes) if axes else batch
        if self.dtype == torch.float32:
            out = self.network(flipped)
        else:
            with torch.autocast(self.device.type, self.dtype):
                out = self.network(flipped)
        if isinstance(out, (list, tuple)):  # deep supervision: the full resolution comes first
            out = out[0]
        if out.shape[0] != batch.shape[0] or out.shape[2:] != batch.shape[2:]:
            raise ModelError(
                f"The network turns a batch of shape {tuple(batch.shape)} into "
                f"{tuple(out.shape)}: one value a voxel is needed."
            )
        values = _activated(out.float(), self.activation)
        return values.flip(axes) if axes else values

    def attempt(self, windows: FloatArray) -> tuple[torch.Tensor | None, str]:
        """Return the outputs; or none, and ``"memory"`` or ``"precision"`` that did not do.

        The reason is a word and not the exception, which would keep the batch's memory alive.
        """
        try:
            values = self.run(windows)
        except NapariMonaiError:
            raise
        except (RuntimeError, MemoryError, ValueError, IndexError) as error:
            if not is_out_of_memory(error):
                raise ModelError(
                    f"The network fails on windows of shape {windows.shape[1:]}: "
                    f"{str(error).splitlines()[0]}"
                ) from error
            return None, "memory"
        return (values, "") if bool(torch.isfinite(values).all()) else (None, "precision")

    def relieve(self, trouble: str, size: int) -> tuple[int, str]:
        """Make the next attempt easier; return its batch size and a line for the user."""
        if trouble == "precision":
            if self.dtype == torch.float32:
                raise ModelError(
                    "The network gives values that are no numbers: the model is damaged, or the "
                    "image is far from what it was trained on."
                )
            line = f"Values overflow in {_name(self.dtype)}: going on in float32."
            self.dtype = torch.float32
            return size, line
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if size > 1:
            return size // 2, f"Out of memory: going on with {size // 2} windows at once."
        if self.device.type == "cpu":
            raise OutOfMemoryError("One window does not fit into memory: choose a smaller window.")
        line = f"{device_name(self.device)} is out of memory: going on on the CPU, more slowly."
        # A copy: the caller's network stays where it is.
        self.network = copy.deepcopy(self.network).to("cpu")
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        return 1, line

    def settle(self, window: FloatArray) -> Iterator[Said]:
        """Go back to float32 where the faster precision labels a window differently."""
        if self.dtype == torch.float32:
            return
        known = _is_safe.setdefault(self.network, {})
        if self.dtype not in known:
            plain = copy.copy(self)
            plain.mirrors = [()]
            fast, trouble = plain.attempt(window[np.newaxis])
            if trouble == "memory":  # then float32 fits even less
                return
            plain.dtype = torch.float32
            exact, _ = plain.attempt(window[np.newaxis])
            known[self.dtype] = fast is not None and (
                exact is None or _differing(fast, exact, self.activation) <= _TOLERATED
            )
        if not known[self.dtype]:
            yield Said(f"{_name(self.dtype)} changes the result: going on in float32.")
            self.dtype = torch.float32


class _Blended:
    """Weighted sums of windows, over the band of axis 0 that later windows can still reach."""

    def __init__(self, tiling: Tiling, first: torch.Tensor) -> None:
        self.tiling = tiling
        self.row = 0
        channels, device = first.shape[1], first.device
        shape = (channels, tiling.window[0], *tiling.padded_shape[1:])
        if device.type != "cpu" and 4 * int(np.prod(shape)) > free_memory(device) // 4:
            device = torch.device("cpu")
        self.band = torch.zeros(shape, dtype=torch.float32, device=device)

    def move_to(self, device: torch.device) -> None:
        if device.type == "cpu":
            self.band = self.band.cpu()

    def add(self, index: int, values: torch.Tensor) -> tuple[Box, FloatArray]:
        """Add a window; return the box of the image that it finishes, and the values there."""
        tiling, place = self.tiling, self.tiling.place(index)
        self._advance(tiling.starts[0][place[0]])
        weighted = values.to(self.band.device)
        for axis, (weights, i) in enumerate(zip(tiling.weights, place, strict=True)):
            if len(weights) > 1:
                shape = (-1, *(1,) * (len(place) - axis - 1))
                weighted = weighted * torch.from_numpy(weights[i]).to(weighted.device).view(shape)
        box = tiling.box(index)
        self.band[(slice(None), slice(None), *box[1:])] += weighted
        cell = tiling.unpadded(tiling.cell(index))
        at = [s.start + before for s, (before, _) in zip(cell, tiling.padding, strict=True)]
        at[0] -= self.row
        inside = tuple(slice(a, a + s.stop - s.start) for a, s in zip(at, cell, strict=True))
        return cell, self.band[(slice(None), *inside)].cpu().numpy().copy()

    def _advance(self, row: int) -> None:
        """Move the band on to begin at a row of the padded image."""
        by = row - self.row
        if by == 0:
            return
        kept = self.band[:, by:].clone()
        self.band.zero_()
        self.band[:, : kept.shape[1]] = kept
        self.row = row


def _activated(values: torch.Tensor, activation: Sequence[str]) -> torch.Tensor:
    if tuple(activation) == ("softmax",):
        return torch.softmax(values, dim=1)
    if not activation:
        return values
    if len(activation) != values.shape[1]:
        raise ModelError(
            f"The network gives {values.shape[1]} channels, but {len(activation)} are described."
        )
    parts = [
        values[:, [i]].sigmoid() if name == "sigmoid" else values[:, [i]]
        for i, name in enumerate(activation)
    ]
    return torch.cat(parts, dim=1)


def _differing(first: torch.Tensor, second: torch.Tensor, activation: Sequence[str]) -> float:
    """Return the part of the voxels that two outputs label differently."""
    if "sigmoid" in activation:
        kept = [i for i, name in enumerate(activation) if name == "sigmoid"]
        differ = ((first[:, kept] >= 0.5) != (second[:, kept] >= 0.5)).any(dim=1)
    else:
        differ = first.argmax(dim=1) != second.argmax(dim=1)
    return float(differ.float().mean())


def _busiest(padded: FloatArray, tiling: Tiling) -> Box:
    """Return the window with most contrast of a few: on an empty one all precisions agree."""
    step = max(1, tiling.total // _CANDIDATES)
    boxes = [tiling.box(i) for i in range(0, tiling.total, step)]
    return max(boxes, key=lambda box: float(padded[(slice(None), *box)].std()))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
