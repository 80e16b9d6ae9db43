"""What a person draws beside labels: points, lines and outlines, in the voxels of the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Layer, Points, Shapes
from skimage.draw import polygon2mask

from ..labels.boxes import tight
from ..labels.scene import Region
from .edit_arrays import image_at
from .seen import slider_voxel

if TYPE_CHECKING:
    from .edit_session import EditSession

Coordinates = npt.NDArray[np.float64]

# Where a layer keeps which labels it was made to draw on beside.
DRAWN_ON = "napari-monai drawn on"
# Corners of the outline that stands for an ellipse.
_ROUND = 64


def helper(session: EditSession, kind: type[Points] | type[Shapes], mode: str) -> Layer:
    """Return the layer to draw on beside the labels, made if need be, ready to be drawn on.

    Parameters
    ----------
    session
        The labels.
    kind
        Points, or Shapes.
    mode
        Its mode: ``"add"``, ``"add_path"``, ``"add_polygon_lasso"``.
    """
    viewer, labels = session.viewer, session.layer
    name = f"{labels.name} {'points' if kind is Points else 'lines'}"
    mine = (x for x in viewer.layers if isinstance(x, kind))
    layer = next((x for x in mine if x.metadata.get(DRAWN_ON) == labels.unique_id), None)
    if layer is None:
        look: dict[str, Any] = {"face_color": "transparent", "edge_color": "yellow"}
        if kind is Points:
            look = {"face_color": "yellow", "border_color": "black", "size": 6}
        else:
            look["edge_width"] = max(1.0, min(labels.data.shape[-2:]) / 300)
        layer = kind(
            ndim=labels.ndim,
            name=name,
            scale=labels.scale,
            translate=labels.translate,
            rotate=labels.rotate,
            shear=labels.shear,
            affine=labels.affine,
            units=labels.units,
            axis_labels=labels.axis_labels,
            metadata={DRAWN_ON: labels.unique_id},
            **look,
        )
        viewer.add_layer(layer)
    layer.visible = True
    viewer.layers.selection.active = layer
    layer.mode = mode
    return layer


def points_of(layer: Points | None, session: EditSession) -> Coordinates:
    """Return the points of a layer at the time point that is seen, in voxels, (n, axes)."""
    if layer is None or not len(layer.data):
        return np.empty((0, session.ndim))
    return _here(_in_voxels(layer, np.asarray(layer.data), session), session)


def lines_of(layer: Shapes | None, session: EditSession) -> tuple[Coordinates, ...]:
    """Return the shapes of a layer in voxels: in 2-D those on the slice that is seen."""
    if layer is None:
        return ()
    found = []
    for vertices, kind in zip(layer.data, layer.shape_type, strict=True):
        outline = _ellipse(vertices) if kind == "ellipse" else np.asarray(vertices, np.float64)
        inside = _here(_in_voxels(layer, outline, session), session)
        if len(inside) == len(outline) and _on_plane(inside, session.plane):
            found.append(inside)
    return tuple(found)


def outlined(layer: Shapes | None, session: EditSession, *, through: bool = False) -> Region | None:
    """Return the inside of the outlines on the slice that is seen; ``None`` without any.

    With ``through``, of all slices along the axis that is not seen.
    """
    plane = session.plane
    if session.ndim == 3 and plane is None:
        return None
    axes = [a for a in range(session.ndim) if plane is None or a != plane[0]]
    shape = [session.shape[a] for a in axes]
    flat = np.zeros(shape, np.bool_)
    for line in lines_of(layer, session):
        if len(line) >= 3:
            flat |= polygon2mask(shape, line[:, axes])  # type: ignore[no-untyped-call]
    part = tight(flat)
    if part is None:
        return None
    flat = flat[part]
    if plane is None:
        return Region(part, flat)
    axis, at = plane
    span = slice(0, session.shape[axis]) if through else slice(at, at + 1)
    box = (*part[:axis], span, *part[axis:])
    lengths = [s.stop - s.start for s in box]
    return Region(box, np.broadcast_to(np.expand_dims(flat, axis), lengths).copy())


def labelled_region(layer: Labels | None, session: EditSession) -> Region | None:
    """Return where another labels layer has labels; ``None`` where it has none, or another grid."""
    array = image_at(layer, session.shape, session.time)
    if array is None:
        return None
    mask = np.asarray(array[(slice(None),) * session.ndim]) != 0
    part = tight(mask)
    return None if part is None else Region(part, mask[part].copy())


# -- inside -----------------------------------------------------------------------------------


def _in_voxels(layer: Layer, data: npt.ArrayLike, session: EditSession) -> Coordinates:
    """Return places of a layer in the voxels of the labels, with the labels' own axes.

    What has fewer axes lies where the sliders stand along the others.
    """
    labels, there = session.layer, np.asarray(data, np.float64)
    world = np.array([layer.data_to_world(place) for place in there]).reshape(len(there), -1)
    world = world[:, -labels.ndim :]
    n = world.shape[1]
    factors = [
        1.0 if a == b else (1 * a).to(b).magnitude
        for a, b in zip(layer.units[-n:], labels.units[-n:], strict=True)
    ]
    world = world * factors
    full = np.tile(np.asarray(labels.data_to_world(_stand(session)), np.float64), (len(there), 1))
    full[:, -n:] = world
    return np.array([labels.world_to_data(place) for place in full]).reshape(-1, labels.ndim)


def _stand(session: EditSession) -> Coordinates:
    return np.asarray(slider_voxel(session.viewer, session.layer), np.float64)


def _here(places: Coordinates, session: EditSession) -> Coordinates:
    """Return the places at the time point that is seen, without their time."""
    if session.time is None:
        return places
    return places[np.abs(places[:, 0] - session.time) < 0.5][:, 1:]


def _on_plane(places: Coordinates, plane: tuple[int, int] | None) -> bool:
    return plane is None or bool((np.abs(places[:, plane[0]] - plane[1]) <= 0.5).all())


def _ellipse(corners: npt.ArrayLike) -> Coordinates:
    """Return the outline of an ellipse from the corners of the rectangle around it."""
    box = np.asarray(corners, np.float64)
    centre, one, other = box.mean(axis=0), (box[1] - box[0]) / 2, (box[2] - box[1]) / 2
    angles = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(angles) * one + np.sin(angles) * other)


def clear(layer: Points | Shapes | None, session: EditSession) -> None:
    """Take away what was drawn, if the layer was made to draw on beside these labels."""
    if layer is not None and layer.metadata.get(DRAWN_ON) == session.layer.unique_id:
        layer.data = np.empty((0, layer.ndim)) if isinstance(layer, Points) else []
