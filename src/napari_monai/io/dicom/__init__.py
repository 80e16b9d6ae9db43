"""DICOM: series in folders, single files and zips to volumes in the patient's space.

Axes are (slice, row, column) as acquired; the affine holds every tilt and shear. pydicom parses
and decodes, the geometry is ours.
"""

from __future__ import annotations

from .reader import SeriesFiles, series_files, series_in, volumes, volumes_in

__all__ = ["SeriesFiles", "series_files", "series_in", "volumes", "volumes_in"]
