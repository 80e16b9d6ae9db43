"""An image with its space, and labels with their names.

The array is kept as the file has it, lazily where the format allows; what its axes mean stands
beside it. Nothing here reads, copies or converts voxels before it is asked to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from .errors import VolumeError
from .grid import Grid

COLOURS = ("red", "green", "blue", "alpha")
LabelKind = Literal["classes", "instances"]


class ArrayLike(Protocol):
    """What a volume's data must offer: numpy, memmap, zarr and dask arrays do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        ...

    def __getitem__(self, key: Any, /) -> Any: ...


def chunk_lengths(data: ArrayLike) -> tuple[Any, ...]:
    """Return how long the pieces are that an array is read in best, axis by axis.

    A number each, or a tuple of numbers where they differ: zarr and dask say it. Of an array in
    one piece the planes along the axis that is slowest in memory count, or along the first one
    where that is not known.
    """
    chunks = getattr(data, "chunks", None)
    if chunks is not None:
        return tuple(chunks)
    strides = getattr(data, "strides", None) or range(len(data.shape), 0, -1)
    steps = [abs(s) * (n > 1) for s, n in zip(strides, data.shape, strict=True)]
    slowest = int(np.argmax(steps))
    return tuple(1 if axis == slowest else n for axis, n in enumerate(data.shape))


def slowest_first(data: ArrayLike, spatial: int) -> tuple[int, ...]:
    """Return the last axes of an array by how they lie in memory or in the file, slowest first.

    So SimpleITK orders them, whatever the patient's position. Where it is not known, as in
    chunked files, they are taken to be in that order.
    """
    strides = getattr(data, "strides", None) or range(len(data.shape), 0, -1)
    last = list(strides)[len(data.shape) - spatial :]
    return tuple(sorted(range(spatial), key=lambda axis: -abs(last[axis])))


class _TimePoint:
    """One time point of an array in a file, which reads where it is indexed."""

    def __init__(self, data: ArrayLike, index: int) -> None:
        n = data.shape[0]
        if not -n <= index < n:
            raise IndexError(f"Index {index} is outside an axis of {n}.")
        self._data, self._index = data, index % n
        self.shape = tuple(data.shape[1:])
        self.dtype = data.dtype
        self.chunks = chunk_lengths(data)[1:]
        strides = getattr(data, "strides", None)
        self.strides = None if strides is None else tuple(strides)[1:]

    def __getitem__(self, key: Any, /) -> Any:
        return self._data[(self._index, *(key if isinstance(key, tuple) else (key,)))]


@dataclass(frozen=True, eq=False)
class Volume:
    """An image of two or three spatial axes, its space, and what its channels are.

    Parameters
    ----------
    data
        Array of shape (time?, channel?, *grid.shape): which of the leading axes are there is
        said by ``leading``. Never changed in place.
    grid
        Space of the last ``grid.ndim`` axes.
    leading
        ``""``, ``"c"``, ``"t"`` or ``"tc"``.
    channel_names
        One name a channel; numbered, or the colours, when left out.
    rgb
        Whether the channels are red, green, blue (and alpha): a colour picture.
    name
        What to call it in lists and layers.
    source
        The file it came from.
    time_step
        Seconds from one time point to the next; ``None`` when not known.
    meta
        What the format wants back when it is written again (headers); not for others to read.

    Raises
    ------
    VolumeError
        If the array and the description do not fit.
    """

    data: ArrayLike
    grid: Grid
    leading: str = ""
    channel_names: tuple[str, ...] = ()
    rgb: bool = False
    name: str = "image"
    source: Path | None = None
    time_step: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.leading not in ("", "c", "t", "tc"):
            raise VolumeError(f"Leading axes are '', 'c', 't' or 'tc', not {self.leading!r}.")
        shape = tuple(self.data.shape)
        if len(shape) != len(self.leading) + self.grid.ndim or (
            shape[len(self.leading) :] != self.grid.shape
        ):
            raise VolumeError(
                f"An array of shape {shape} does not fit leading axes {self.leading!r} "
                f"and a grid of shape {self.grid.shape}."
            )
        if self.channels == 0:
            raise VolumeError(f"{self.name}: the image has no channel.")
        if self.rgb and ("c" not in self.leading or self.channels not in (3, 4)):
            raise VolumeError(f"A colour picture has 3 or 4 channels, not {self.channels}.")
        numbered = COLOURS if self.rgb else (f"channel {c}" for c in range(self.channels))
        names = tuple(self.channel_names) or tuple(numbered)[: self.channels]
        if len(names) != self.channels:
            raise VolumeError(f"{self.channels} channels do not fit the names {names}.")
        object.__setattr__(self, "channel_names", names)
        object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "meta": dict(self.meta)}  # a mapping proxy cannot be pickled

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, meta=MappingProxyType(state["meta"]))

    @property
    def channels(self) -> int:
        """Number of channels; 1 when there is no channel axis."""
        return int(self.data.shape[self.leading.index("c")]) if "c" in self.leading else 1

    @property
    def times(self) -> int:
        """Number of time points; 1 when there is no time axis."""
        return int(self.data.shape[0]) if "t" in self.leading else 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels as stored."""
        return np.dtype(self.data.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes that the whole array takes in memory."""
        return int(np.prod(self.data.shape, dtype=np.int64)) * self.dtype.itemsize

    def numpy(self) -> npt.NDArray[Any]:
        """Return the whole array in memory, in its own type and axis order."""
        return np.asarray(self.data[...])

    def at_time(self, index: int) -> Self:
        """Return the volume at one time point, without a time axis."""
        if "t" not in self.leading:
            if index != 0:
                raise VolumeError(f"{self.name} has one time point, not {index + 1}.")
            return self
        lazy = not isinstance(self.data, np.ndarray) and not hasattr(self.data, "__dask_graph__")
        data = _TimePoint(self.data, index) if lazy else self.data[index]
        return replace(self, data=data, leading=self.leading[1:])

    def as_channels_first(self) -> npt.NDArray[Any]:
        """Return one time point in memory as an array of shape (channel, *grid.shape)."""
        if "t" in self.leading:
            raise VolumeError(f"{self.name} has {self.times} time points: take one with at_time.")
        array = self.numpy()
        return array if "c" in self.leading else array[np.newaxis]


@dataclass(frozen=True)
class LabelClass:
    """A number in a label array, what it stands for, and its colour (``"#rrggbb"``).

    ``visible`` says whether it is shown, ``locked`` whether its voxels are kept from all edits.
    """

    number: int
    name: str
    colour: str | None = None
    # Of how one works with labels, and not of what they are: a file says it where it is not so.
    visible: bool = field(default=True, metadata={"say": "unless default"})
    locked: bool = field(default=False, metadata={"say": "unless default"})


@dataclass(frozen=True)
class Provenance:
    """How labels came about, as far as that is known.

    Parameters
    ----------
    how
        ``"automatic"``: by an algorithm alone. ``"semiautomatic"``: with a person's help.
        ``"manual"``: by a person.
    algorithm, version
        Name and version of the algorithm: of the model.
    """

    how: Literal["automatic", "semiautomatic", "manual"]
    algorithm: str = ""
    version: str = ""


@dataclass(frozen=True, eq=False)
class LabelVolume(Volume):
    """Labels on a grid: an integer array whose 0 is background.

    Parameters
    ----------
    classes
        The classes that the numbers stand for, without the background. Of instances, the
        classes of the objects: one, as a rule.
    kind
        ``"classes"``: a number is a class. ``"instances"``: a number is an object.
    made_by
        How they came about; ``None`` where that is not known.
    """

    classes: Sequence[LabelClass] = ()
    kind: LabelKind = "classes"
    made_by: Provenance | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype.kind not in "iub":
            raise VolumeError(f"Labels are whole numbers, not {self.dtype}.")
        if "c" in self.leading:
            raise VolumeError("Labels have no channels.")
        numbers = [c.number for c in self.classes]
        if len(set(numbers)) != len(numbers):
            raise VolumeError(f"Two classes have the same number: {sorted(numbers)}.")
        object.__setattr__(self, "classes", tuple(self.classes))
