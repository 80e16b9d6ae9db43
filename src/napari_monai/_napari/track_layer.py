"""The paths of objects that are linked over time, as a layer of tracks over their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Tracks

from ..labels.linking import Pieces, Track


def track_layer(
    labels: npt.NDArray[np.integer[Any]],
    tracks: Sequence[Track],
    *,
    name: str,
    placed: Mapping[str, Any],
) -> Tracks | None:
    """Return the layer of the centroids of objects from frame to frame; none where there are none.

    Parameters
    ----------
    labels
        As they are shown, time first, with numbers that last.
    tracks
        Who divided into whom, by these numbers.
    name
        Name of the layer.
    placed
        How the layer of the labels lies on the canvas.
    """
    rows = []
    for time, frame in enumerate(labels):
        pieces = Pieces.of(np.asarray(frame))
        times = np.full(len(pieces), time)
        rows.append(np.column_stack([pieces.values, times, pieces.centres]))
    found = np.concatenate(rows)
    if not len(found):
        return None
    there = set(np.unique(found[:, 0]).astype(int).tolist())
    graph = {t.number: [t.parent] for t in tracks if {t.number, t.parent} <= there}
    found = found[np.lexsort((found[:, 1], found[:, 0]))]
    return Tracks(found, graph=graph, name=name, tail_length=len(labels), **placed)
