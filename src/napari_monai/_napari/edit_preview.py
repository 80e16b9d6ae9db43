"""What a tool would do to the slice that is seen, shown while its settings are tried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import NapariMonaiError
from ..events import Edited
from ..labels import threshold
from ..labels.boxes import Box, overlap, within
from ..labels.operations import run
from ..labels.scene import Region
from ..labels.settings_shape import Threshold
from ..settings import Settings
from .edit_arrays import image_at
from .ghost import Ghost

if TYPE_CHECKING:
    from .edit_session import EditSession

#: Tools whose work on a slice is the same whether the other slices are there or not.
PREVIEWED = frozenset({"threshold"})


class Preview:
    """Shows what a tool would do on the slice that is seen; nothing is changed by it.

    Parameters
    ----------
    session
        The labels.
    """

    def __init__(self, session: EditSession) -> None:
        self._session = session
        self._ghost = Ghost(session, f"{session.layer.name} preview")
        self._limit: tuple[object, float] | None = None  # of which layer at which time

    @property
    def shown(self) -> bool:
        """Whether it is shown."""
        return self._ghost.shown

    def show(self, name: str, settings: Settings, changes: Mapping[str, Any]) -> None:
        """Show what an operation would do with these settings; in 3-D nothing is shown."""
        if self._session.ndim == 3 and self._session.plane is None:
            self.hide()
        else:
            self._ghost.show(lambda box: self._tried(name, settings, changes, box))

    def hide(self) -> None:
        """Show the labels as they are."""
        self._ghost.hide()

    def limit(self) -> float | None:
        """Return the threshold that *auto* stands for, of an image that is in memory."""
        session = self._session
        image, key = session.image, (session.image, session.time)
        values = image_at(image, session.shape, session.time)
        if not isinstance(values, np.ndarray):
            return None
        if self._limit is None or self._limit[0] != key:
            try:
                self._limit = key, threshold.otsu(values)
            except NapariMonaiError:
                return None  # one grey: said when it is applied
        return self._limit[1]

    def _tried(
        self, name: str, settings: Settings, changes: Mapping[str, Any], box: Box
    ) -> npt.NDArray[Any]:
        session = self._session
        crop = session.crop(box).copy()
        seen = session.slice_region
        wanted = changes.get("region")
        if seen is None:
            return crop
        if wanted is not None:
            seen = Region(seen.box, wanted.inside(seen.box))
        if isinstance(settings, Threshold) and settings.lower is settings.upper is None:
            settings = replace(settings, lower=self.limit())  # not looked for at each slice
        try:
            for event in run(name, session.scene(**{**changes, "region": seen}), settings):
                if isinstance(event, Edited):
                    for change in event.edit.changes:
                        shared = overlap(change.box, box)
                        if shared is not None:
                            after = change.after[within(shared, change.box)]
                            crop[within(shared, box)] = after
        except NapariMonaiError:
            pass  # said when it is applied
        return crop
