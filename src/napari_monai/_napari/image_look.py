"""How images look when they are opened: display limits, grey scales, colours of channels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..models.fitting import has_hounsfield_units
from ..volume import Volume

# Of two channels, and of more: as napari colours a channel axis.
_TWO_COLOURS = ("magenta", "green")
_COLOURS = ("cyan", "yellow", "magenta", "red", "green", "blue")

# What radiologists look at the abdomen with: level 40, width 400, in Hounsfield units.
_SOFT_TISSUE = (-160.0, 240.0)


def channel_look(volume: Volume, channel: int) -> dict[str, Any]:
    """Return colour and visibility of one channel of several."""
    if volume.grid.anatomical:  # sequences of a patient are read one at a time, in grey
        return {"visible": channel == 0}
    if volume.channels == 1:
        return {}
    colours = _TWO_COLOURS if volume.channels == 2 else _COLOURS
    return {"colormap": colours[channel % len(colours)], "blending": "additive"}


def grey_look(volume: Volume, shown: Any) -> dict[str, Any]:
    """Return display limits and grey scale of an image, or of one channel of it.

    The limits are the window of a DICOM header; else of a CT the soft tissue window; else what a
    few hot voxels do not spoil.

    Parameters
    ----------
    volume
        What the image is.
    shown
        Its voxels in display order; a sample of them, or of a lazy array one plane, is read.
    """
    look: dict[str, Any] = {}
    # Stored as films are: small values are bright. See napari_monai.io.dicom.
    if volume.meta.get("inverted"):
        look["colormap"] = "gray_r"
    values = _sample(shown)
    if values.size == 0 or values.dtype.kind not in "iuf":
        return look
    low, high = (float(x) for x in np.percentile(values, (0.1, 99.9)))
    window = _stored_window(volume)
    if window is None and _is_ct(volume, values):
        window = _SOFT_TISSUE
    # Some files say their window in other numbers than their values.
    if window is not None and window[0] < high and window[1] > low:
        low, high = window
    if low < high:
        look["contrast_limits"] = (low, high)
    return look


def slider_range(shown: Any, limits: Sequence[float]) -> tuple[float, float]:
    """Return how far a slider has to reach for display limits: to all values of a sample."""
    values = _sample(shown)
    ends = (float(values.min()), float(values.max())) if values.size else limits
    return min(limits[0], ends[0]), max(limits[1], ends[1])


def background(data: Any) -> float:
    """Return what is likely around the image: the least value in a corner of it."""
    n = min(3, len(data.shape))
    corners = itertools.product((0, -1), repeat=n)
    lead = (0,) * (len(data.shape) - n)
    values = np.array([float(np.asarray(data[(*lead, *corner)])) for corner in corners])
    return float(np.min(values)) if np.isfinite(values).all() else 0.0


def _sample(data: Any) -> npt.NDArray[Any]:
    """Return some finite values."""
    if isinstance(data, np.ndarray):
        step = max(1, round((data.size / 2e5) ** (1 / data.ndim)))
        sample = data[(slice(None, None, step),) * data.ndim]
    else:  # one plane of an array that is still in its file
        sample = np.asarray(data[tuple(n // 2 for n in data.shape[:-2])])
    return sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample.ravel()


def _stored_window(volume: Volume) -> tuple[float, float] | None:
    """Return the window in the header of a DICOM series."""
    origin = volume.meta.get("dicom")
    if origin is None:
        return None
    from ..io.dicom.window import window_of  # slow to import, but done when a series was read

    found: tuple[float, float] | None = window_of(origin)
    return found


def _is_ct(volume: Volume, values: npt.NDArray[Any]) -> bool:
    """Whether an image is a CT: its header says so, or it has the numbers of air and tissue."""
    origin = volume.meta.get("dicom")
    if origin is not None:
        return bool(origin.modality == "CT")
    return volume.grid.anatomical and has_hounsfield_units(values)
