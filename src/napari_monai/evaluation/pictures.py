"""A slice of a case as a picture: what is right and wrong, over the image where it is given."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import EvaluationError
from ..volume import LabelVolume, Volume
from .difference import CLASSES, TRUE_POSITIVE

# Longest side of a picture, and how strongly its colours cover the image.
_SIDE = 420
_COVER = 0.55
_DARK = 30


@dataclass(frozen=True)
class Picture:
    """A picture of a case: which, what the caption says of it, and the PNG file."""

    case: str
    caption: str
    png: bytes


def case_picture(
    difference: LabelVolume, *, case: str, time: int = 0, image: Volume | None = None
) -> Picture:
    """Return the slice in which most voxels are wrong; where none is, the one with most labels.

    Slices are axial for patients, and along the first axis else. The image may have its axes in
    another order than the difference.

    Raises
    ------
    EvaluationError
        If the image has another shape.
    """
    labels = _displayed(difference.at_time(time))
    array = labels.numpy()
    where = ""
    index = 0
    spacing = labels.grid.spacing
    if array.ndim == 3:
        index = _busiest(array)
        where = f"slice {index + 1} of {len(array)}"
        array, spacing = array[index], spacing[1:]
    grey = np.full(array.shape, _DARK, np.uint8)
    if image is not None:
        grey = _grey(_on_grid_of(difference, image), difference, time, index)
    over = _covered(np.atleast_2d(grey), np.atleast_2d(array))
    panels = [np.repeat(np.atleast_2d(grey)[..., None], 3, axis=2)] if image is not None else []
    return Picture(case, where, _png([*panels, over], spacing))


def _displayed(volume: LabelVolume) -> LabelVolume:
    how = volume.grid.reorientation_to()
    return replace(volume, data=how.apply(volume.numpy()), grid=volume.grid.reoriented(how))


def _busiest(array: npt.NDArray[np.uint8]) -> int:
    wrong = np.count_nonzero(array > TRUE_POSITIVE, axis=(1, 2))
    return int(np.argmax(wrong if wrong.any() else np.count_nonzero(array, axis=(1, 2))))


def _on_grid_of(labels: LabelVolume, image: Volume) -> Volume:
    """Return the image in the order of axes of the labels; no voxel is resampled.

    Raises
    ------
    EvaluationError
        If it has another shape.
    """
    if image.grid.shape == labels.grid.shape and not labels.grid.anatomical:
        return image
    how, back = image.grid.reorientation_to(), labels.grid.reorientation_to().inverse()
    grid = image.grid.reoriented(how)
    if grid.shape != labels.grid.oriented().shape:
        raise EvaluationError(
            f"The image {image.name} has shape {image.grid.shape} and its labels "
            f"{labels.grid.shape}: give the image that they belong to."
        )
    data = back.apply(how.apply(image.numpy()))
    return replace(image, data=data, grid=grid.reoriented(back))


def _grey(image: Volume, difference: LabelVolume, time: int, index: int) -> npt.NDArray[np.uint8]:
    """Return the slice of the image in grey, its channels averaged."""
    moment = image.at_time(min(time, image.times - 1))
    how = difference.grid.reorientation_to()
    channels = how.apply(moment.as_channels_first())
    plane = (channels[:, index] if channels.ndim == 4 else channels).astype(np.float64).mean(axis=0)
    known = plane[np.isfinite(plane)]
    low, high = np.percentile(known, (0.5, 99.5)) if known.size else (0.0, 0.0)
    scaled = (plane - low) / (high - low) if high > low else np.zeros(plane.shape)
    return np.asarray(255 * np.clip(np.nan_to_num(scaled), 0, 1), np.uint8)


def _covered(grey: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    colours = np.zeros((max(c.number for c in CLASSES) + 1, 3))
    for one in CLASSES:
        text = one.colour or "#000000"
        colours[one.number] = [int(text[i : i + 2], 16) for i in (1, 3, 5)]
    cover = np.where(labels[..., None] > 0, _COVER, 0.0)
    mixed = (1 - cover) * grey[..., None] + cover * colours[labels]
    return np.rint(mixed).astype(np.uint8)


def _png(panels: list[npt.NDArray[np.uint8]], spacing: tuple[float, ...]) -> bytes:
    """Return the panels beside each other, with square pixels."""
    rows, columns = panels[0].shape[:2]
    steps = (1.0, *spacing)[-2:]
    size = np.asarray([rows * steps[0], columns * steps[1]])
    height, width = np.maximum(np.rint(size * _SIDE / size.max()), 1).astype(int).tolist()
    gap = 6
    sheet = Image.new("RGB", (len(panels) * (width + gap) - gap, height), "white")
    for place, panel in enumerate(panels):
        small = Image.fromarray(panel).resize(
            (width, height), Image.Resampling.BOX if columns > width else Image.Resampling.NEAREST
        )
        sheet.paste(small, (place * (width + gap), 0))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
