"""DICOM: series in folders, single files and zips to volumes in the patient's space; labels back.

Axes are (slice, row, column) as acquired; the affine holds every tilt and shear. pydicom parses
and decodes, the geometry is ours. Labels are read from DICOM segmentations and written as such.
"""

from __future__ import annotations

from .reader import SeriesFiles, placed, series_files, series_in, volumes, volumes_in
from .seg_write import write

__all__ = ["SeriesFiles", "placed", "series_files", "series_in", "volumes", "volumes_in", "write"]
