"""What the viewer opens through us: readers, and sample data; see `saving` for the way out."""

from __future__ import annotations

import importlib.resources
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QTimer

from .. import io
from ..errors import ReadError
from ..io.contents import says_labels
from ..volume import LabelClass, Volume
from .autosave import start as start_autosaving
from .layers import LayerData, layers_of
from .opening import arranged, widen_sliders
from .placement import Frame, frames_of

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

    One of them is shown, the image of the most voxels; the others are there to be switched on. They
    are put into the frame of what the viewer shows already.

    Raises ReadError where there is no image that can be read.
    """
    found: list[Volume] = []
    for name in [path] if isinstance(path, str) else path:
        found += io.read_series(name) if os.path.isdir(name) else io.read_all(name)
    if not found:
        raise ReadError(f"{path} holds no DICOM image that can be read. Try the Open widget.")
    return arranged(found, frames=_frames())


def read_file(path: str | Sequence[str]) -> list[LayerData]:
    """Return the layers of every image in a file.

    Whole numbers in a file whose name says so (``ct_labels.nii.gz``, ``ct-seg.nii``) become a
    labels layer. They are put into the frame of what the viewer shows already.

    Raises ReadError where the file is not what its name says.
    """
    names = [path] if isinstance(path, str) else path
    volumes = [volume for name in names for volume in _volumes(Path(name))]
    return layers_of(volumes, frames=_frames())


def _frames() -> list[Frame]:
    """Return the frames of what the viewer shows already."""
    viewer = napari.current_viewer()
    if viewer is None:
        return []
    start_autosaving(viewer)
    widen_sliders(viewer)
    return list(frames_of(viewer.layers))


def _volumes(path: Path) -> Sequence[Volume]:
    if says_labels(path):
        try:
            return io.read_all(path, labels=True)
        except ReadError:
            pass  # it is an image all the same, or damaged, and then said so below
    return io.read_all(path)


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
    both = [image, replace(truth, name=f"{title} truth")]
    *images, (data, settings, kind) = layers_of(both, frames=_frames())
    _select_image_after(settings["name"])
    return [*images, (data, {**settings, "visible": False}, kind)]


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
