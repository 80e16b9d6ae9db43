"""Objects that keep their numbers over the time points of a run, and who divided into whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import astuple, replace
from typing import Any

import numpy as np

from .events import Busy, Event, Said
from .labels.linking import Linker, Track
from .scratch import Scratch
from .settings import InferenceSettings
from .volume import Volume

# The least part of the smaller of two objects that lies on the other one: things move.
OVERLAP = 0.3
# Bytes a voxel that linking takes: labels, places, and what is counted of the foreground.
_EACH, _KEPT = 40, 4
_FILE = "tracks.json"


class Tracking:
    """Links the objects of one time point after the other, in the arrays of a run.

    Parameters
    ----------
    volume, settings
        The series, and how it is linked.
    scratch
        Where the run keeps how far it has come.
    budget
        Bytes of memory that the run may take.
    """

    def __init__(
        self, volume: Volume, settings: InferenceSettings, scratch: Scratch, *, budget: int
    ) -> None:
        self._scratch = scratch
        self._linker = Linker(
            least=OVERLAP if settings.link_overlap is None else settings.link_overlap,
            gap=settings.link_gap,
            divisions=settings.link_divisions,
        )
        voxels = int(np.prod(volume.grid.shape))
        self._fits = (_EACH + _KEPT * settings.link_gap) * voxels <= budget // 2
        self._said = False

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The objects so far, by number."""
        return self._linker.lineage

    def link(self, labels: Any, index: int) -> Iterator[Event]:
        """Give the objects of a time point the numbers that they had before, in ``labels``.

        ``labels`` has time first. What is larger than memory is left as it is, and that is said.
        """
        if not self._fits:
            if not self._said:
                self._said = True
                yield Said(
                    "Time points are too large to be linked in memory: objects keep no number from "
                    "one to the next.",
                    "warning",
                )
            return
        if self._linker.count < index:
            self._catch_up(labels, index)
        labels[index] = self._linker.add(np.asarray(labels[index]))
        self._save()
        yield Busy()

    def _catch_up(self, labels: Any, index: int) -> None:
        """Know what an earlier run, which was killed, had linked before a time point."""
        linker = self._linker
        known = [Track(*row) for row in self._saved()]
        linker.tracks = {
            t.number: replace(t, last=min(t.last, index - 1)) for t in known if t.first < index
        }
        linker.highest = max(linker.tracks, default=0)
        linker.count = max(0, index - linker.gap - 1)
        for earlier in range(linker.count, index):
            linker.seen(np.asarray(labels[earlier]))

    def _save(self) -> None:
        folder = self._scratch.folder
        if folder is not None:
            beside = folder / f"{_FILE}.new"
            beside.write_text(json.dumps([astuple(t) for t in self.tracks]), encoding="utf-8")
            beside.replace(folder / _FILE)

    def _saved(self) -> list[list[int]]:
        assert self._scratch.folder is not None, "only there a run goes on"
        rows: list[list[int]] = json.loads((self._scratch.folder / _FILE).read_text("utf-8"))
        return rows
