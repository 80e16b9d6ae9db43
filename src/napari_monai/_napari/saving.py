"""What the viewer saves through us: writers, and the formats that given labels can be saved in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Layer

from .. import io
from ..labels.notes import Notes, write_notes
from ..volume import LabelVolume
from . import autosave
from .kept_notes import NOTES
from .layers import labels_of, volume_of

# -- writers ----------------------------------------------------------------------------------


def write_nifti(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an image layer as NIfTI, on the grid of the file it came from."""
    return _write_image(path, data, meta, ".nii.gz")


def write_ome_tiff(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an image layer as OME-TIFF."""
    return _write_image(path, data, meta, ".ome.tif")


def write_nrrd(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an image layer as NRRD."""
    return _write_image(path, data, meta, ".nrrd")


def write_metaimage(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an image layer as MetaImage."""
    return _write_image(path, data, meta, ".mha")


def write_nifti_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as NIfTI, on the grid of the image that it was drawn on."""
    return _write_labels(path, data, meta, ".nii.gz")


def write_ome_tiff_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as OME-TIFF."""
    return _write_labels(path, data, meta, ".ome.tif")


def write_tiff_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as TIFF."""
    return _write_labels(path, data, meta, ".tif")


def write_slicer_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as a segmentation of 3D Slicer, with names and colours."""
    return _write_labels(path, data, meta, ".seg.nrrd")


def write_nrrd_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as NRRD, with names and colours."""
    return _write_labels(path, data, meta, ".nrrd")


def write_metaimage_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as MetaImage, with names and colours."""
    return _write_labels(path, data, meta, ".mha")


def write_ome_zarr_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as OME-Zarr, with names and colours, at several resolutions."""
    return _write_labels(path, data, meta, ".ome.zarr")


def write_dicom_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer on a DICOM series as a DICOM segmentation that refers to it."""
    return _write_labels(path, data, meta, ".dcm")


def write_numpy_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as a NumPy file: the array alone, or with all that is known of it."""
    return _write_labels(path, data, meta, ".npy")


def write_png_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer of one plane as a PNG whose grey values are the labels."""
    return _write_labels(path, data, meta, ".png")


def _write_image(path: str, data: Any, meta: dict[str, Any], ending: str) -> list[str]:
    place = _with_ending(path, ending)
    io.write(place, volume_of(Layer.create(data, meta, "image")))
    return [place]


def _write_labels(path: str, data: Any, meta: dict[str, Any], ending: str) -> list[str]:
    place = _with_ending(path, ending)
    viewer = napari.current_viewer()
    layer = Layer.create(data, meta, "labels")
    io.write(place, labels_of(layer, () if viewer is None else viewer.layers))
    shown = autosave.layer_with(data, meta.get("name", ""))
    if shown is not None:
        autosave.saved(shown)
    notes = layer.metadata.get(NOTES)
    if isinstance(notes, Notes):  # flags and what is done go where the labels go
        write_notes(place, notes)
    return [place]


def _with_ending(path: str, ending: str) -> str:
    """Return the path with an extension: what a save dialog returns may have none."""
    return path if io.extension_of(path) else path + ending


# -- where to save ----------------------------------------------------------------------------


def _is_picture(labels: LabelVolume) -> bool:
    return labels.grid.oriented().shape[:-2] in ((), (1,)) and not labels.leading


def _is_straight(labels: LabelVolume) -> bool:
    return labels.grid.is_orthogonal and not labels.grid.is_oblique


def _is_plain(labels: LabelVolume) -> bool:
    """Whether an array that nothing is said of is taken for what it is: see `io.numpy_file`."""
    timed = "t" in labels.leading
    looks_coloured = labels.dtype == np.uint8 and labels.grid.oriented().shape[-1] in (3, 4)
    return not (timed and labels.grid.ndim == 2) and not (
        looks_coloured and labels.grid.ndim + timed > 2
    )


def _always(_labels: LabelVolume) -> bool:
    return True


# Extensions for labels, and which labels each can hold, in the order in which they are offered.
_HOLDS: dict[str, Callable[[LabelVolume], bool]] = {
    ".nii.gz": _always,
    ".nii": _always,
    ".seg.nrrd": lambda labels: labels.times == 1,
    ".dcm": lambda labels: "dicom" in labels.meta and labels.kind == "classes",
    ".nrrd": _always,
    ".mha": _always,
    ".mhd": _always,
    ".ome.tif": _always,
    ".tif": _always,
    ".ome.zarr": _is_straight,
    ".npz": _always,
    ".npy": _is_plain,
    ".png": _is_picture,
}
_OF_PICTURES = (".ome.tif", ".tif", ".ome.zarr")
# What goes with a source of these extensions, rather than the usual.
_SUITS = {
    ".nrrd": ".seg.nrrd", ".seg.nrrd": ".seg.nrrd", ".nhdr": ".seg.nrrd", ".mha": ".mha",
    ".mhd": ".mhd", ".nii": ".nii", ".ome.zarr": ".ome.zarr", ".zarr": ".ome.zarr",
}  # fmt: skip


def label_endings(labels: LabelVolume) -> tuple[str, ...]:
    """Return the extensions that labels can be saved with, the one that suits these first."""
    written = io.known_extensions(writes=True)
    found = [e for e, holds in _HOLDS.items() if e in written and holds(labels)]
    if not labels.grid.anatomical:
        found.sort(key=lambda e: e not in _OF_PICTURES)
    source = None if labels.source is None else _SUITS.get(io.extension_of(labels.source) or "")
    return tuple(sorted(found, key=lambda e: e != source))


def label_filters(labels: LabelVolume) -> str:
    """Return the formats that labels can be saved in, as a file dialog lists them."""
    endings = label_endings(labels)
    each = ";;".join(f"{_name_of(e)} (*{e})" for e in endings)
    return f"Labels ({' '.join('*' + e for e in endings)});;{each}"


def _name_of(ending: str) -> str:
    names = {".seg.nrrd": "3D Slicer segmentation", ".dcm": "DICOM segmentation"}
    return names.get(ending) or io.format_of("x" + ending).name


def suggested_path(labels: LabelVolume) -> Path:
    """Return a path beside the file that the image came from, in a format that suits it."""
    source, ending = labels.source, label_endings(labels)[0]
    name = re.sub(r"[^\w.-]+", "_", labels.name).strip("_") or "labels"
    if source is None:
        return Path.home() / f"{name}{ending}"
    if "dicom" in labels.meta:  # the name of one slice says little
        return source.with_name(f"{name}{ending}")
    outermost = [p for p in source.parents if p.suffix.lower() == ".zarr"]
    if outermost:  # one image of several in a folder
        source = outermost[-1]
    return source.with_name(f"{io.stem_of(source)}_labels{ending}")
