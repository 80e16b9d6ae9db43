"""Keeps brush, eraser, fill bucket and polygon off what they may not change, within the stroke."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..labels.boxes import Box
from .arrays import finest

if TYPE_CHECKING:
    from .edit_session import EditSession

# Through which all of the viewer's own painting goes: box, mask, number, painted axes, ...
_WAY = "_paint_region_with_mask"


class PaintGuard:
    """What the viewer's own tools may paint over, on the layer of a session.

    What is locked stays, always. The stroke is one undo step, as without it.

    Parameters
    ----------
    session
        The labels, and what of them is locked.
    say
        Takes a line on why nothing was painted.

    Attributes
    ----------
    over
        The only label that is painted over, 0 for the background; ``None`` for any. The eraser
        takes all labels away where it may paint over the background.
    intensity
        The lowest and highest value of the image at which anything changes; ``None`` for any.
    """

    def __init__(
        self, session: EditSession, say: Callable[[str], None] = lambda _line: None
    ) -> None:
        self._session, self._say = session, say
        self._closed = False
        self.over: int | None = None
        self.intensity: tuple[float, float] | None = None
        self._paint: Any = getattr(session.layer, _WAY, None)
        if self.works:
            setattr(session.layer, _WAY, self._guarded)
        session.closed.connect(self.close)

    @property
    def works(self) -> bool:
        """Whether the viewer paints in the way that is guarded."""
        return self._paint is not None

    def close(self) -> None:
        """Let everything be painted over again, unless another guard is there too."""
        self._closed = True  # a guard that came later holds on to this one
        layer = self._session.layer
        if vars(layer).get(_WAY) == self._guarded:
            delattr(layer, _WAY)
            if self._paint != getattr(layer, _WAY):
                setattr(layer, _WAY, self._paint)

    def _guarded(
        self,
        slice_key: Box,
        mask: npt.NDArray[np.bool_],
        new_label: int,
        dims_to_paint: Sequence[int],
        *rest: Any,
        **more: Any,
    ) -> None:
        allowed = self.allowed(slice_key, int(new_label))
        hidden = tuple(axis for axis in range(allowed.ndim) if axis not in dims_to_paint)
        narrowed = mask & allowed.squeeze(axis=hidden)
        if narrowed.any():
            self._paint(slice_key, narrowed, new_label, dims_to_paint, *rest, **more)
        elif mask.any():
            self._say(self._why_not(int(new_label)))

    def _why_not(self, number: int) -> str:
        if number in self._session.locked:
            name = self._session.name_of(number)
            return f"{name} is locked: unlock it in its table (L) to paint with it."
        return "Nothing is painted there: it is locked, or left out under Painting."

    def allowed(self, box: Box, number: int) -> npt.NDArray[np.bool_]:
        """Return which voxels of a box, in the layer's own axes, may become a number."""
        there = np.asarray(self._session.layer.data[box])
        if self._closed:
            return np.ones(there.shape, np.bool_)
        locked = self._session.locked
        if number in locked:
            return np.zeros(there.shape, np.bool_)
        allowed = ~np.isin(there, list(locked)) if locked else np.ones(there.shape, np.bool_)
        if self.over is not None and (self.over or number):
            allowed &= there == self.over
        values = self._image_in(box) if self.intensity is not None else None
        if values is not None and self.intensity is not None:
            low, high = self.intensity
            allowed &= (values >= low) & (values <= high)
        return allowed

    def _image_in(self, box: Box) -> npt.NDArray[Any] | None:
        image, labels = self._session.image, self._session.layer
        if image is None or getattr(image, "rgb", False):
            return None
        data = finest(image)
        if tuple(data.shape) == tuple(labels.data.shape):
            return np.asarray(data[box])
        if tuple(data.shape) == tuple(labels.data.shape[1:]):
            return np.asarray(data[box[1:]])[None]
        return None
