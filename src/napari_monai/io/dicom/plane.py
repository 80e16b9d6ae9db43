"""What is known of one plane of voxels before its voxels are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .geometry import Place
from .source import Source


@dataclass(frozen=True, eq=False)
class Pixels:
    """How the voxels of one file are stored.

    Parameters
    ----------
    offset
        Byte of the file at which they start as they are; ``None`` where pydicom decodes them.
    stored
        Type of a voxel as stored.
    bits
        How many bits of it count.
    colour
        Whether a voxel becomes red, green and blue.
    table
        Whether a table in the file turns stored values into real ones (modality LUT).
    """

    source: Source
    rows: int
    columns: int
    frames: int
    stored: np.dtype[Any]
    bits: int
    photometric: str
    colour: bool = False
    table: bool = False
    offset: int | None = None

    @property
    def limits(self) -> tuple[int, int]:
        """Return the least and the greatest number that the bits can hold."""
        if self.stored.kind == "i":
            return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
        return 0, 2**self.bits - 1


@dataclass(frozen=True)
class Series:
    """The series that a file belongs to, without anything that names the patient.

    With ``segments`` its frames are of segments, not of an image.
    """

    key: tuple[str, ...]
    name: str
    number: int
    modality: str
    uid: str
    segments: bool = False


@dataclass(frozen=True)
class When:
    """When a plane was taken, as far as the file says; for order and for time steps.

    ``times`` are seconds; ``trigger`` is milliseconds after the heart's R wave. ``states`` is
    what was set for a measurement, such as a b-value and its direction: different ones are
    different time points. The first ones are the more reliable.
    """

    temporal: float | None = None
    acquisition: float | None = None
    trigger: float | None = None
    times: float | None = None
    instance: float | None = None
    states: tuple[tuple[float, ...], ...] = ()

    @property
    def clocks(self) -> tuple[float, ...]:
        """Sorting key: what is not known comes first and decides nothing."""
        return _known(self.temporal, self.acquisition, self.trigger)

    @property
    def order(self) -> tuple[float, ...]:
        """Sorting key, which goes on to what is less sure."""
        return self.clocks + _known(self.instance, self.times)


def _known(*values: float | None) -> tuple[float, ...]:
    return tuple(-1.0 if x is None else x for x in values)


@dataclass(frozen=True, eq=False)
class Plane:
    """One plane of voxels: where it is stored, where it lies, and what it belongs to.

    Parameters
    ----------
    corner, shape
        Rows and columns of the frame that the plane covers: all, but in a mosaic.
    thickness
        Distance to the next slice in mm, as the file says it.
    kind
        What tells volumes of a series apart that lie at the same place: (what, value) pairs.
    slope, intercept
        What turns stored into real values.
    step
        Seconds from one time point to the next, where the file says it for sure.
    sop
        SOPInstanceUID with the frame; blank if the file has none.
    note
        What is to be said about the series because of this plane.
    """

    pixels: Pixels
    frame: int
    series: Series
    shape: tuple[int, int]
    corner: tuple[int, int] = (0, 0)
    place: Place | None = None
    spacing: tuple[float, float] | None = None
    thickness: float | None = None
    gap: float | None = None
    slope: float = 1.0
    intercept: float = 0.0
    kind: tuple[tuple[str, str], ...] = ()
    when: When = field(default_factory=When)
    step: float | None = None
    sop: str = ""
    note: str = ""


@dataclass(frozen=True)
class Origin:
    """What the files of a volume were: for those who write what refers to them.

    ``files`` has the file of each plane, (time by time) slice by slice, ``frames`` its frame, and
    ``names`` its name, which in a zip is not the file's. ``segments`` says that it is a
    segmentation.
    """

    files: tuple[Path, ...]
    frames: tuple[int, ...]
    modality: str
    series_uid: str
    names: tuple[str, ...] = ()
    segments: bool = False


def reseated(planes: Iterable[Plane], other: Callable[[Source], Source]) -> list[Plane]:
    """Return planes whose voxels are in other files; those that shared a file still do."""
    every = list(planes)
    pixels = {id(p.pixels): replace(p.pixels, source=other(p.pixels.source)) for p in every}
    return [replace(p, pixels=pixels[id(p.pixels)]) for p in every]
