"""What the viewer opens through us: readers, and sample data; see `saving` for the way out."""

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
from napari.layers import Image
from qtpy.QtCore import QTimer

from .. import io
from ..errors import ReadError
from ..volume import LabelClass, Volume
from .image_look import slider_range
from .layers import LayerData, layers_of
from .placement import KEY

# Words of a file name that say that its numbers are labels.
_LABEL_WORDS = {
    "annotation", "annotations", "gt", "label", "labelmap", "labels", "mask", "masks", "seg",
    "segmentation", "truth",
}  # fmt: skip


# -- readers ----------------------------------------------------------------------------------


def get_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return the function that reads a file; ``None`` of several that are to be stacked."""
    return read_file if isinstance(path, str) else None


def read_file(path: str | Sequence[str]) -> list[LayerData]:
    """Return the layers of every image in a file.

    Whole numbers in a file whose name says so (``ct_labels.nii.gz``, ``ct-seg.nii``) become a
    labels layer. They are put into the frame of what the viewer shows already.

    Raises ReadError where the file is not what its name says.
    """
    names = [path] if isinstance(path, str) else path
    return _shown([volume for name in names for volume in _volumes(Path(name))])


def _shown(volumes: Sequence[Volume]) -> list[LayerData]:
    """Return the layers of volumes in the frame of what the viewer shows already."""
    viewer = napari.current_viewer()
    if viewer is None:
        return layers_of(volumes)
    viewer.layers.events.inserted.connect(_widen_slider)  # which it does once
    return layers_of(volumes, among=viewer.layers)


def _widen_slider(event: Any) -> None:
    """Let the contrast slider of a new image of ours reach beyond the window that it opens with."""
    layer = event.value
    if isinstance(layer, Image) and KEY in layer.metadata and not layer.rgb:
        coarsest = layer.data[-1] if layer.multiscale else layer.data
        layer.contrast_limits_range = slider_range(coarsest, layer.contrast_limits)


def _volumes(path: Path) -> Sequence[Volume]:
    words = re.split(r"[^a-z]+", io.stem_of(path).lower())
    if _LABEL_WORDS.intersection(words):
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
    *images, (data, settings, kind) = _shown([image, replace(truth, name=f"{title} truth")])
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
