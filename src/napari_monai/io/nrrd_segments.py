"""The segments of 3D Slicer in the keys of a NRRD: numbers, names, colours, layers.

As Slicer writes ``.seg.nrrd``:
https://apidocs.slicer.org/main/classvtkMRMLSegmentationStorageNode.html
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..errors import ReadError, VolumeWarning
from ..volume import LabelClass, LabelVolume, Volume
from .label_names import with_states

Array = npt.NDArray[Any]

_KEY = re.compile(r"Segment(\d+)_(\w+)")
# Colours of segments that have none: those of Slicer's first generic anatomy terms.
_PALETTE = ("#80ae80", "#f1d691", "#b17a65", "#6fb8d2", "#d8654f", "#dd8265", "#90ee90", "#c06858")


@dataclass(frozen=True)
class _Segment:
    number: int  # in its layer
    layer: int
    name: str
    colour: str | None


def holds_segments(pairs: Mapping[str, str]) -> bool:
    """Whether the keys describe segments."""
    return any(_KEY.fullmatch(key) for key in pairs)


def as_segmentation(volume: Volume, pairs: Mapping[str, str], said: Mapping[str, Any]) -> Volume:
    """Return the labels of a segmentation, with the segments as its classes.

    Layers, which Slicer has where segments overlap, are made one: the segment that is listed last
    is on top, and a VolumeWarning says so. ``said`` is what our own writer has left.

    Raises ReadError if the keys are damaged.
    """
    segments = _segments(volume, pairs)
    array = volume.data
    if "c" in volume.leading:
        if volume.rgb or max((s.layer for s in segments), default=0) >= volume.channels:
            raise ReadError(f"{volume.source} has segments in layers that it does not have.")
        array, segments = _flattened(volume, segments)
    numbers = [s.number for s in segments]
    if len(set(numbers)) != len(numbers):
        raise ReadError(f"{volume.source} is damaged: two of its segments have the same number.")
    parts = {f.name: getattr(volume, f.name) for f in fields(Volume)}
    parts.update(data=array, leading=volume.leading.replace("c", ""), channel_names=(), rgb=False)
    classes = tuple(LabelClass(s.number, s.name, s.colour) for s in segments)
    if said.get("kind") == "instances":
        classes = tuple(LabelClass(int(n), str(name), c) for n, name, c in said["classes"])
        parts["kind"] = "instances"
    return LabelVolume(**parts, classes=with_states(classes, said))


def _segments(volume: Volume, pairs: Mapping[str, str]) -> list[_Segment]:
    found: dict[int, dict[str, str]] = {}
    for key, value in pairs.items():
        if match := _KEY.fullmatch(key):
            found.setdefault(int(match[1]), {})[match[2]] = value
    segments = []
    for index in sorted(found):
        keys = found[index]
        try:
            number = int(keys.get("LabelValue", index + 1))
            layer = int(keys.get("Layer", 0))
        except ValueError:
            raise ReadError(f"{volume.source} has a damaged header: Segment{index}.") from None
        if number <= 0 or layer < 0:
            continue  # background
        name = keys.get("Name") or keys.get("ID") or f"segment {number}"
        segments.append(_Segment(number, layer, name, _hex(keys.get("Color", ""))))
    return segments


def _hex(text: str) -> str | None:
    """Return the colour of three numbers from 0 to 1."""
    try:
        parts = [float(word) for word in text.split()]
    except ValueError:
        return None
    if len(parts) != 3 or not all(0 <= p <= 1 for p in parts):
        return None
    return "#" + "".join(f"{round(p * 255):02x}" for p in parts)


def _flattened(volume: Volume, segments: list[_Segment]) -> tuple[Array, list[_Segment]]:
    """Return one layer for all, its segments with numbers of their own."""
    layers = np.moveaxis(volume.numpy(), volume.leading.index("c"), 0)
    numbers = [s.number for s in segments]
    keep = len(set(numbers)) == len(numbers)
    merged = np.zeros(layers.shape[1:], np.int32)
    flat: list[_Segment] = []
    overlap = 0
    for index, segment in enumerate(segments, start=1):
        inside = layers[segment.layer] == segment.number
        overlap += int(np.count_nonzero(merged[inside]))
        number = segment.number if keep else index
        merged[inside] = number
        flat.append(_Segment(number, 0, segment.name, segment.colour))
    if overlap:
        warnings.warn(
            VolumeWarning(
                f"{volume.source}: segments overlap in {overlap} voxels; there the one that is "
                "listed last was taken."
            ),
            stacklevel=2,
        )
    return merged, flat


def keys_of(labels: LabelVolume, array: Array, order: Sequence[int]) -> dict[str, str]:
    """Return the keys of a segmentation for Slicer.

    Parameters
    ----------
    array
        The whole numbers of ``labels`` in memory.
    order
        Its axes from the fastest to the slowest of the file.
    """
    classes = {c.number: c for c in labels.classes} if labels.kind == "classes" else {}
    present = np.unique(array)
    for number in present[present != 0].tolist():
        classes.setdefault(number, LabelClass(number, _unnamed(labels, number)))
    extents = _extents(array, present, order)
    keys: dict[str, str] = {}
    for index, number in enumerate(sorted(classes)):
        one = classes[number]
        colour = one.colour or _PALETTE[index % len(_PALETTE)]
        parts = {
            "ID": f"Segment_{number}",
            "Name": one.name,
            "NameAutoGenerated": "0",
            "Color": " ".join(f"{int(colour[i : i + 2], 16) / 255:.6g}" for i in (1, 3, 5)),
            "ColorAutoGenerated": "0" if one.colour else "1",
            "LabelValue": str(number),
            "Layer": "0",
            "Extent": extents.get(number, "0 -1 0 -1 0 -1"),
            "Tags": "Segmentation.Status:inprogress|",
        }
        keys |= {f"Segment{index}_{name}": value for name, value in parts.items()}
    return keys | {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",  # its name until Slicer 5.2
        "Segmentation_SourceRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }


def _unnamed(labels: LabelVolume, number: int) -> str:
    if labels.kind == "instances":
        return f"{labels.classes[0].name if len(labels.classes) == 1 else 'object'} {number}"
    return f"label {number}"


def _extents(array: Array, present: Array, order: Sequence[int]) -> dict[int, str]:
    """Return first and last index along each axis of the file, of each number."""
    if present[-1] > 2**16:  # too large to be counted through
        array = np.searchsorted(present[present > 0], array) + 1 - (array == 0)
        names = present[present > 0].tolist()
    else:
        names = list(range(1, int(present[-1]) + 1))
    boxes = ndimage.find_objects(array.astype(np.int32, copy=False), len(names))
    return {
        number: " ".join(f"{box[a].start} {box[a].stop - 1}" for a in order)
        for number, box in zip(names, boxes, strict=True)
        if box is not None
    }


def plain_keys(labels: LabelVolume) -> dict[str, str]:
    """Return the keys of the classes alone, for a file that is no segmentation of Slicer's."""
    keys: dict[str, str] = {}
    for index, one in enumerate(labels.classes):
        keys[f"Segment{index}_LabelValue"] = str(one.number)
        keys[f"Segment{index}_Name"] = one.name
        if one.colour:
            numbers = (int(one.colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
            keys[f"Segment{index}_Color"] = " ".join(f"{n:.6g}" for n in numbers)
    return keys
