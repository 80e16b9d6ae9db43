"""What the viewer opens and saves through us: readers, writers, sample data."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import napari
from napari.layers import Layer
from qtpy.QtCore import QTimer

from .. import io
from ..errors import ReadError
from ..io.contents import says_labels
from ..volume import LabelClass, LabelVolume, Volume
from .layers import LayerData, image_layers, labels_layer, labels_of, volume_of
from .opening import arranged

# -- readers ----------------------------------------------------------------------------------


def get_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return the function that reads a file, or the DICOM series of a folder or zip.

    ``None`` of several files that are to be stacked, of folders and zips that hold no DICOM, and
    of an OME-Zarr, which other plugins read.
    """
    if not isinstance(path, str):
        return None
    if os.path.isdir(path) or io.extension_of(path) == ".zip":
        return read_series if io.holds_dicom(path) else None
    return read_series if io.is_dicom(path) else read_file


def read_series(path: str | Sequence[str]) -> list[LayerData]:
    """Return the layers of every DICOM series in a folder or zip, or that a file belongs to.

    One of them is shown, the image of the most voxels; the others are there to be switched on.

    Raises ReadError where there is no image that can be read.
    """
    found: list[Volume] = []
    for name in [path] if isinstance(path, str) else path:
        found += io.read_series(name) if os.path.isdir(name) else io.read_all(name)
    if not found:
        raise ReadError(f"{path} holds no DICOM image that can be read. Try the Open widget.")
    return arranged(found)


def read_file(path: str | Sequence[str]) -> list[LayerData]:
    """Return the layers of every image in a file.

    Whole numbers in a file whose name says so (``ct_labels.nii.gz``, ``ct-seg.nii``) become a
    labels layer.

    Raises ReadError where the file is not what its name says.
    """
    found: list[LayerData] = []
    for name in [path] if isinstance(path, str) else path:
        for volume in _volumes(Path(name)):
            if isinstance(volume, LabelVolume):
                found.append(labels_layer(volume))
            else:
                found += image_layers(volume)
    return found


def _volumes(path: Path) -> Sequence[Volume]:
    if says_labels(path):
        try:
            return io.read_all(path, labels=True)
        except ReadError:
            pass  # it is an image all the same, or damaged, and then said so below
    return io.read_all(path)


# -- writers ----------------------------------------------------------------------------------


def write_nifti(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an image layer as NIfTI, on the grid of the file it came from."""
    return _write_image(path, data, meta, ".nii.gz")


def write_ome_tiff(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an image layer as OME-TIFF."""
    return _write_image(path, data, meta, ".ome.tif")


def write_nifti_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as NIfTI, on the grid of the image that it was drawn on."""
    return _write_labels(path, data, meta, ".nii.gz")


def write_ome_tiff_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as OME-TIFF."""
    return _write_labels(path, data, meta, ".ome.tif")


def _write_image(path: str, data: Any, meta: dict[str, Any], ending: str) -> list[str]:
    place = _with_ending(path, ending)
    io.write(place, volume_of(Layer.create(data, meta, "image")))
    return [place]


def _write_labels(path: str, data: Any, meta: dict[str, Any], ending: str) -> list[str]:
    place = _with_ending(path, ending)
    viewer = napari.current_viewer()
    layer = Layer.create(data, meta, "labels")
    io.write(place, labels_of(layer, () if viewer is None else viewer.layers))
    return [place]


def _with_ending(path: str, ending: str) -> str:
    """Return the path with an extension: what a save dialog returns may have none."""
    return path if io.extension_of(path) else path + ending


# -- where to save ----------------------------------------------------------------------------


def suggested_path(labels: LabelVolume) -> Path:
    """Return a path beside the file that the image came from, in a format that suits it."""
    source = labels.source
    if source is None:
        stem = re.sub(r"[^\w.-]+", "_", labels.name).strip("_")
        return Path.home() / f"{stem or 'labels'}{label_endings(labels)[0]}"
    return source.with_name(f"{io.stem_of(source)}_labels{label_endings(labels)[0]}")


def label_endings(labels: LabelVolume) -> tuple[str, ...]:
    """Return the extensions of labels, the one that suits these first."""
    found = (".nii.gz", ".nii", ".ome.tif", ".tif", ".npy", ".png")
    if not labels.grid.anatomical:
        found = (".ome.tif", ".tif", ".nii.gz", ".nii", ".npy", ".png")
    return found if labels.grid.ndim == 2 and not labels.leading else found[:-1]


def label_filters(labels: LabelVolume) -> str:
    """Return the formats that labels can be saved in, as a file dialog lists them."""
    endings = label_endings(labels)
    each = ";;".join(f"{io.format_of('x' + e).name} (*{e})" for e in endings)
    return f"Labels ({' '.join('*' + e for e in endings)});;{each}"


# -- sample data ------------------------------------------------------------------------------


def sample_nuclei_2d() -> list[LayerData]:
    """Return the 2-D nuclei image, and its truth, which is not shown at first."""
    return _sample("nuclei_2d.tif", "Nuclei")


def sample_nuclei_3d() -> list[LayerData]:
    """Return the 3-D nuclei stack, and its truth, which is not shown at first."""
    return _sample("nuclei_3d.ome.tif", "Nuclei 3D")


def sample_abdomen_ct() -> list[LayerData]:
    """Return the abdominal CT phantom, and its organs, which are not shown at first."""
    return _sample("abdomen_ct.nii.gz", "Abdominal CT")


def _sample(file_name: str, title: str) -> list[LayerData]:
    folder = sample_folder()
    stem, ending = io.stem_of(file_name), io.extension_of(file_name)
    # Without their source: results are not to be saved beside it, inside the installation.
    image = replace(io.read(folder / file_name), name=title, source=None)
    truth = replace(io.read(folder / f"{stem}_truth{ending}", labels=True), source=None)
    names = folder / f"{stem}_truth.json"
    if names.is_file():
        numbers = json.loads(names.read_text(encoding="utf-8"))
        classes = tuple(LabelClass(int(n), name) for n, name in numbers.items())
        truth = replace(truth, classes=classes, kind="classes")
    else:
        truth = replace(truth, kind="instances")
    data, settings, kind = labels_layer(replace(truth, name=f"{title} truth"))
    _select_image_after(settings["name"])
    return [*image_layers(image), (data, {**settings, "visible": False}, kind)]


def sample_folder() -> Path:
    """Return the folder of the sample images.

    Raises ReadError where the installation lacks it.
    """
    packaged = importlib.resources.files("napari_monai") / "sample_data"
    # A checkout without symbolic links, as on Windows, has a file in place of the folder.
    for folder in (Path(os.fspath(str(packaged))), Path(__file__).parents[3] / "sample_data"):
        if folder.is_dir():
            return folder
    raise ReadError("The sample images are missing: install napari-monai again.")


def _select_image_after(labels_name: str) -> None:
    """Once the labels of a sample are in the viewer, select the image under them again.

    The viewer selects what was added last; what one does next is done with the image.
    """
    viewer = napari.current_viewer()
    if viewer is None:
        return
    active = viewer.layers.selection.events.active

    def select(event: Any) -> None:
        labels = event.value
        if labels is None or not labels.name.startswith(labels_name):
            return
        active.disconnect(select)
        image = viewer.layers[viewer.layers.index(labels) - 1]
        # Later: in the midst of a change the layer list would mark both.
        QTimer.singleShot(0, partial(setattr, viewer.layers.selection, "active", image))

    active.connect(select)
