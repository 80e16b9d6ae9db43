"""The arrays of layers under correction: one time point of them, and where each label lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..labels.boxes import Box, Boxes
from ..volume import chunk_lengths
from .arrays import finest

if TYPE_CHECKING:
    from napari.layers import Image, Labels


class TimePoint:
    """One time point of an array in a file, which reads where it is indexed."""

    def __init__(self, data: Any, index: int) -> None:
        self._data, self._index = data, index
        self.shape = tuple(data.shape[1:])
        self.dtype = np.dtype(data.dtype)
        self.ndim = len(self.shape)
        self.chunks = chunk_lengths(data)[1:]

    def __getitem__(self, key: Any, /) -> Any:
        return self._data[(self._index, *(key if isinstance(key, tuple) else (key,)))]


def at_time(data: Any, time: int | None) -> Any:
    """Return an array at a time point, where it has a time axis; nothing is read."""
    if time is None:
        return data
    return data[time] if isinstance(data, np.ndarray) else TimePoint(data, time)


def labels_at(layer: Labels, time: int | None) -> Any:
    """Return the labels of a layer at a time point: live, and to be read only."""
    return at_time(layer.data, time)


def image_at(layer: Image | Labels | None, shape: Sequence[int], time: int | None) -> Any:
    """Return the voxels of a layer at a time point; ``None`` if they are not of this shape.

    One without a time axis belongs to all time points.
    """
    if layer is None or getattr(layer, "rgb", False):
        return None
    data = finest(layer)
    if time is not None and tuple(data.shape[1:]) == tuple(shape) and time < data.shape[0]:
        return at_time(data, time)
    return data if tuple(data.shape) == tuple(shape) else None


class KnownBoxes:
    """Where each label lies, worked out once and kept up with what changes.

    Parameters
    ----------
    labels
        Gives the array of the moment.
    crop
        Gives the labels in a box of it.
    """

    def __init__(self, labels: Callable[[], Any], crop: Callable[[Box], npt.NDArray[Any]]) -> None:
        self._labels, self._crop = labels, crop
        self.known: Boxes | None = None
        self._search: object = None
        self._since: list[Box] = []

    def now(self) -> Boxes:
        """Return the boxes; reads the whole array the first time."""
        if self.known is None:
            self.known = Boxes.of(self._labels())
        return self.known

    def search(self) -> Callable[[], tuple[object, Boxes]]:
        """Return what finds the boxes, in any thread; what it returns is for `found`."""
        labels, ticket = self._labels(), object()
        self._search, self._since = ticket, []
        return lambda: (ticket, Boxes.of(labels))

    def found(self, ticket: object, boxes: Boxes) -> None:
        """Take what a search found, unless it is of another array by now."""
        if ticket is self._search and self.known is None:
            self.known = boxes
            self.look(self._since)

    def look(self, boxes: Sequence[Box]) -> None:
        """Take note of what now lies in boxes."""
        if self.known is None:
            self._since += boxes
            return
        for box in boxes:
            self.known.look(self._crop(box), box)

    def forget(self) -> None:
        """Know nothing: it is another array."""
        self.known, self._search, self._since = None, None, []
