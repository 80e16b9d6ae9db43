"""From an image to what a network takes, at once or box by box, with the way back.

Both ways pull the image through the same chain of links and give the same voxels to the last bit.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..grid import Grid, Reorientation
from ..resample import WayBack
from ..volume import Volume
from .blocks import Box
from .chain import Chain
from .geometry import Orientation, Transpose
from .links import Separable
from .operations import MEASURES, Step, check_operations
from .sources import Link, Map, Native, filled, whole

if TYPE_CHECKING:
    from ..models.description import ModelDescription

FloatArray = npt.NDArray[np.float32]

# Bytes of the pieces that `prepare` works on.
_WORK = 2**26


class Preparation(ABC):
    """One time point as a network takes it: float32 without NaN or infinity.

    Attributes
    ----------
    grid
        Its space.
    back
        The way back to the grid that it came from.
    notes
        Lines for the user.
    channels
        Number of channels.
    """

    def __init__(self, chain: Chain, notes: Sequence[str]) -> None:
        link = chain.link
        self.grid: Grid = link.grid
        self.back = WayBack(link.native.grid, link.place.how, link.grid, link.place.homes)
        self.notes = tuple(notes)
        self.channels = link.channels
        self._native_channels = link.native.channels
        self._maps: tuple[Map, ...] = link.maps

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, *grid.shape)."""
        return (self.channels, *self.grid.shape)

    @abstractmethod
    def read(self, box: Box) -> FloatArray:
        """Return a box, slices of the grid without steps, as a contiguous array of its own."""

    def value_of(self, raw: float) -> FloatArray | None:
        """Return what a value of the image becomes in each channel, shape (channels,).

        Where a prepared box is not above it anywhere, the image has no larger value there, or
        only such as look the same to the network. ``None`` where that cannot be said: when an
        operation is not monotone, or cuts off what is larger.
        """
        if not np.isfinite(np.float32(raw)) or not all(change.monotone for change in self._maps):
            return None
        values = np.empty((self._native_channels, 2), np.float32)
        values[:] = raw, np.inf
        with np.errstate(all="ignore"):
            for change in self._maps:
                values = change(values)
        value, largest = values.T
        return value.copy() if (np.isfinite(value) & (value < largest)).all() else None

    def _sides(self, box: Box) -> Box:
        """Return the box with its bounds as numbers."""
        if len(box) != self.grid.ndim or any(side.step not in (None, 1) for side in box):
            raise ValueError(f"A box has {self.grid.ndim} slices without steps, not {box}.")
        bounds = (side.indices(n) for side, n in zip(box, self.grid.shape, strict=True))
        return tuple(slice(start, max(start, stop)) for start, stop, _ in bounds)


class Prepared(Preparation):
    """One time point in memory: ``array`` is float32 of shape (channel, *grid.shape)."""

    def __init__(self, chain: Chain, notes: Sequence[str], array: FloatArray) -> None:
        super().__init__(chain, notes)
        self.array = array

    def read(self, box: Box) -> FloatArray:
        """Return a copy of a box."""
        return np.array(self.array[(slice(None), *self._sides(box))], order="C")


class LazilyPrepared(Preparation):
    """One time point that is read from its file, and prepared, box by box."""

    def __init__(self, chain: Chain, notes: Sequence[str]) -> None:
        super().__init__(chain, notes)
        self._link = chain.link

    def read(self, box: Box) -> FloatArray:
        """Read and prepare a box; may be called from any thread."""
        sides = self._sides(box)
        lengths = [side.stop - side.start for side in sides]
        if 0 in lengths:
            return np.empty((self.channels, *lengths), np.float32)
        return filled(np.ascontiguousarray(self._link.read(sides)))

    def boxes(self, most: int) -> Iterator[Box]:
        """Yield boxes of about ``most`` voxels that tile the grid, as the file is read in best."""
        for _, box in self._link.place.boxes(most):
            yield box


def prepare(volume: Volume, description: ModelDescription) -> Prepared:
    """Return one time point of an image as the model takes it.

    Without an orientation operation the image is taken as it is shown: axis 0 runs inferior,
    1 posterior, 2 left, which leaves pictures and stacks as they are.

    Raises
    ------
    ModelError
        If the image has other channels or fewer axes than the model takes.
    OutOfMemoryError
        If resampling makes more voxels than anybody can mean.
    """
    chain = _chain(volume, description, in_memory=True)
    for step in _steps(description):
        chain = step.apply(chain)
    array = whole(chain.link, finite=True)
    return Prepared(chain, _notes(chain, volume), array)


def prepare_lazily(volume: Volume, description: ModelDescription) -> LazilyPrepared:
    """Return one time point of an image as the model takes it, to be read box by box.

    The boxes are those of `prepare`, to the last bit. Where an operation needs statistics the
    image is read for them now, block by block along its chunks: twice for percentiles, once for
    mean and deviation. An image of floating-point numbers that needs none, or none before it is
    resampled, is read once for the note on values that are not finite. After resampling, chunks
    that meet within a block's border are read for both blocks. A colour picture for a model of one
    channel is read once more, to see whether it is grey.

    Parameters
    ----------
    volume
        The image; its array may be larger than memory (dask, zarr, memmap).
    description
        The model.

    Raises
    ------
    ModelError
        If the image has other channels or fewer axes than the model takes.
    OutOfMemoryError
        If resampling makes more voxels than anybody can mean.
    """
    chain = _chain(volume, description, in_memory=False)
    for step in _steps(description):
        chain = step.apply(chain)
    return LazilyPrepared(chain, _notes(chain, volume))


def prepare_bytes(volume: Volume, description: ModelDescription) -> int:
    """Return how many bytes `prepare` takes at most, from shapes only.

    What it returns counts; the image does where it is not in memory yet.

    Raises
    ------
    ModelError
        If the image has other channels or fewer axes than the model takes.
    OutOfMemoryError
        If resampling makes more voxels than anybody can mean.
    """
    chain = _chain(volume, description, in_memory=False, look=False)
    stored = _nbytes(chain.link) // 4 * volume.dtype.itemsize
    if isinstance(volume.data, np.ndarray):
        stored = 0
    elif hasattr(volume.data, "__dask_graph__"):
        stored *= 2  # dask has the chunks and the whole at the same time
    chain = replace(chain, reads=False)
    held, reused, most = 0, False, 0
    for step in _steps(description):
        before = chain.link
        if not isinstance(step, MEASURES):
            chain = step.apply(chain)
            same_place = chain.link.place is before.place
            reused = reused and same_place and chain.link.channels == before.channels
            if isinstance(chain.link, Separable) and not same_place:
                wide = max(_nbytes(before), _nbytes(chain.link)) // chain.link.channels
                doubles = (10 if chain.link.at_once else 4) * wide
                most = max(most, held + _nbytes(before) + _nbytes(chain.link) + doubles)
        elif chain.link.place.resampled and not reused:
            most = max(most, held + _nbytes(chain.link))
            held, reused = _nbytes(chain.link), True
    most = max(most, held + (0 if reused else _nbytes(chain.link)))
    return stored + most + _WORK


def is_resampled(volume: Volume, description: ModelDescription) -> bool:
    """Return whether the model resamples the image, from shapes only.

    Raises ModelError and OutOfMemoryError as `prepare_bytes`.
    """
    return _from_shapes(volume, description).link.place.resampled


def prepared_space(volume: Volume, description: ModelDescription) -> tuple[Grid, Reorientation]:
    """Return the space of the image as the model takes it, and how its axes came to be.

    From shapes only: what is cropped away for the values it has is still there. Raises ModelError
    and OutOfMemoryError as `prepare_bytes`.
    """
    place = _from_shapes(volume, description).link.place
    return place.grid, place.how


def _from_shapes(volume: Volume, description: ModelDescription) -> Chain:
    chain = replace(_chain(volume, description, in_memory=False, look=False), reads=False)
    for step in _steps(description):
        if not isinstance(step, MEASURES):
            chain = step.apply(chain)
    return chain


def _nbytes(link: Link) -> int:
    return 4 * link.channels * math.prod(link.grid.shape)


def _steps(description: ModelDescription) -> tuple[Step, ...]:
    """Return the operations of a model, an order of the axes among them."""
    steps = check_operations(description.preprocess, description.inputs.spatial_dims)
    turned = any(isinstance(step, (Orientation, Transpose)) for step in steps)
    return steps if turned else (Orientation(), *steps)


def _notes(chain: Chain, volume: Volume) -> tuple[str, ...]:
    """Return the notes of a chain, the one on values that are not finite last."""
    missing = chain.link.native.count_missing()
    if not missing:
        return chain.notes
    return chain.noted(f"{volume.name}: {missing} values that are not finite count as 0.").notes


def _chain(
    volume: Volume, description: ModelDescription, *, in_memory: bool, look: bool = True
) -> Chain:
    """Return the beginning of a chain: the channels that the model takes.

    Without ``look`` no voxel is read: a colour picture is taken for a grey one where only that
    would do.
    """
    dims, wanted = description.inputs.spatial_dims, description.inputs.channels
    if volume.grid.ndim < dims:
        raise ModelError(
            f"{description.name} takes volumes, but {volume.name} is {volume.grid.ndim}-D: "
            "choose a 2D model, or open the whole stack."
        )
    if volume.dtype.kind not in "biuf":
        raise ModelError(
            f"{volume.name} holds {volume.dtype} values: save its real part or magnitude first."
        )
    native = Native(volume, slice(3 if volume.rgb else None), in_memory=in_memory)
    notes: tuple[str, ...] = ()
    if volume.rgb and len(wanted) == 1 and (not look or native.is_grey()):
        native = native.first_channel()
        notes = (f"{volume.name} is a grey picture stored as colour: one channel is used.",)
    count = native.channels
    colour = any(operation.name == "colour" for operation in description.preprocess)
    if count != len(wanted) and not (colour and count == 1):
        raise ModelError(
            f"{description.name} takes {len(wanted)} channel{'s' * (len(wanted) != 1)} "
            f"({', '.join(wanted)}), but {volume.name} has {count} "
            f"({', '.join(volume.channel_names[:count])}): "
            "choose the channels that fit, or another model."
        )
    return Chain(native, dims, in_memory, notes=notes)
