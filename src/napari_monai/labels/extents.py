"""Parts of a scene that an operation is limited to: a slice, or every slice by itself."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ..errors import EditError
from .boxes import Box, Boxes, overlap, shape_of
from .edits import Region, Scene
from .rows import CURES
from .settings_shape import Extent


def limited(scene: Scene, extent: Extent) -> Scene:
    """Return a scene in which distances do not go from slice to slice.

    Parameters
    ----------
    scene
        Of labels with two axes it stays as it is.
    extent
        ``"volume"`` is the scene itself. ``"slice"`` is the slice that is seen: labels lie there
        only, and nothing else changes. ``"slices"`` is all of them along the axis of the one that
        is seen, or along the first axis: the spacing across them is infinite.

    Raises
    ------
    EditError
        For ``"slice"`` where none is seen.
    """
    if extent == "volume" or scene.ndim == 2:
        return scene
    if scene.plane is None and extent == "slice":
        raise EditError(f"This works on a slice. {CURES['plane']}")
    axis, index = scene.plane or (0, 0)
    spacing = tuple(math.inf if a == axis else s for a, s in enumerate(scene.spacing))
    if extent == "slices":
        return dataclasses.replace(scene, spacing=spacing)
    box = slice_box(scene, axis, index)
    boxes = Boxes(scene.ndim)
    for value in scene.located.values():
        known = scene.located.get(value)
        shared = None if known is None else overlap(known, box)
        if shared is not None:
            boxes.include(shared, (value,))
    return dataclasses.replace(scene, spacing=spacing, boxes=boxes, region=_cut(scene, box))


def _cut(scene: Scene, box: Box) -> Region | None:
    """Return the part of the region that lies in a slice, or the slice itself."""
    if scene.region is None:
        return Region(box, np.ones(shape_of(box), np.bool_))
    return Region(box, scene.region.inside(box))


def slice_box(scene: Scene, axis: int, index: int) -> Box:
    """Return the box of a slice.

    Raises
    ------
    EditError
        If there is no such slice.
    """
    if not 0 <= axis < scene.ndim or not 0 <= index < scene.shape[axis]:
        raise EditError(
            f"There is no slice {index} along axis {axis} of labels of shape {scene.shape}."
        )
    return tuple(
        slice(index, index + 1) if a == axis else slice(0, n) for a, n in enumerate(scene.shape)
    )


def words(scene: Scene, extent: Extent) -> str:
    """Return what to add to a title: " in the slice"."""
    if scene.ndim == 2:
        return ""
    return {"volume": "", "slice": " in the slice", "slices": " slice by slice"}[extent]
