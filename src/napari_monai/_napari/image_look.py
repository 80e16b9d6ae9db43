"""How images look when they are opened: display limits, and colours of channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..volume import Volume

# Of two channels, and of more: as napari colours a channel axis.
_TWO_COLOURS = ("magenta", "green")
_COLOURS = ("cyan", "yellow", "magenta", "red", "green", "blue")


def channel_look(volume: Volume, channel: int) -> dict[str, Any]:
    """Return colour and visibility of one channel of several."""
    if volume.grid.anatomical:  # sequences of a patient are read one at a time, in grey
        return {"visible": channel == 0}
    if volume.channels == 1:
        return {}
    colours = _TWO_COLOURS if volume.channels == 2 else _COLOURS
    return {"colormap": colours[channel % len(colours)], "blending": "additive"}


def contrast(data: Any) -> tuple[float, float] | None:
    """Return display limits that a few hot voxels do not spoil; ``None`` if there is no range."""
    if isinstance(data, np.ndarray):
        step = max(1, round((data.size / 2e5) ** (1 / data.ndim)))
        sample = data[(slice(None, None, step),) * data.ndim]
    else:  # one plane of an array that is still in its file
        sample = np.asarray(data[tuple(n // 2 for n in data.shape[:-2])])
    values = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample.ravel()
    if values.size == 0 or values.dtype.kind not in "iuf":
        return None
    low, high = (float(x) for x in np.percentile(values, (0.1, 99.9)))
    return (low, high) if low < high else None
