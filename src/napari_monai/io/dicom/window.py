"""The display window that a series was stored with, as its reader would see it at first.

After DICOM PS3.3 C.11.2 (VOI LUT) and C.7.6.16.2.10 (its functional group).
"""

from __future__ import annotations

import pydicom
from pydicom.dataset import Dataset

from ..sniff import open_regular
from .plane import Origin
from .values import calm, first, items, numbers, text

_FIRST = "SharedFunctionalGroupsSequence"
_EACH = "PerFrameFunctionalGroupsSequence"


def window_of(origin: Origin) -> tuple[float, float] | None:
    """Return the values that are shown black and white, or ``None`` if no file says it.

    They are those of the middle slice, and of several windows the first. A file in a zip is not
    looked into again.
    """
    middle = len(origin.files) // 2
    if not origin.files:
        return None
    try:
        with calm(), open_regular(origin.files[middle]) as file:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            return _window(dataset, origin.frames[middle])
    except Exception:  # it was read before, but files may go away; what is shown is no matter
        return None


def _window(dataset: Dataset, frame: int) -> tuple[float, float] | None:
    each = items(dataset, _EACH)
    groups = [each[frame]] if frame < len(each) else []
    for holder in (*groups, first(dataset, _FIRST)):
        found = _limits(first(holder, "FrameVOILUTSequence"))
        if found:
            return found
    return _limits(dataset)


def _limits(dataset: Dataset | None) -> tuple[float, float] | None:
    centre, width = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if not centre or not width or width[0] < 1:
        return None
    if text(dataset, "VOILUTFunction").upper() in ("", "LINEAR"):
        return centre[0] - 0.5 - (width[0] - 1) / 2, centre[0] - 0.5 + (width[0] - 1) / 2
    return centre[0] - width[0] / 2, centre[0] + width[0] / 2
