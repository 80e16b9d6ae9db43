"""Volume <-> layer: how a volume lies on the canvas, and the way back to its file's own grid.

The canvas shows array axes that run inferior, posterior and left (z, y, x): spacing in ``scale``,
position in ``translate``, nothing in ``affine``, because the brush reads only ``scale``. What an
oblique or sheared grid leans away from the axes is dropped for display, around its centre. The
grid itself stays beside the layer, so what is drawn goes back into the file voxel by voxel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import GridError, VolumeError
from ..grid import DISPLAY, UNITS, Grid, Reorientation, millimetres, unit_name
from ..volume import LabelVolume, Volume
from .image_look import channel_look, contrast
from .label_colours import class_look, classes_of

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

LayerData = tuple[Any, dict[str, Any], str]

# Where the placement is kept in ``layer.metadata``.
KEY = "napari-monai"

_AXIS = {"I": "z", "P": "y", "L": "x"}  # name of each display axis
_WORLD = {"I": 2, "P": 1, "L": 0}  # RAS axis that it runs against
_TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_TIME = ("t", "time")


@dataclass(frozen=True, eq=False)
class Placement:
    """How a volume lies on the canvas.

    Parameters
    ----------
    volume
        The volume whose grid and leading axes these are. Of a labels layer without its voxels:
        those are the layer's own.
    how
        Reorientation from its grid to the display axes.
    transform
        Keyword arguments that put a layer there: scale, translate, units, axis_labels, and of
        a layer that others made rotate, shear and affine too.
    channel
        Which channel the layer shows; ``None`` for all there are.
    shown
        The array that the layer was made of.
    """

    volume: Volume
    how: Reorientation
    transform: Mapping[str, Any]
    channel: int | None = None
    shown: Any = None

    @classmethod
    def of(cls, volume: Volume) -> Placement:
        """Return where a volume belongs on the canvas.

        Raises
        ------
        VolumeError
            If it has one spatial axis only: the canvas shows two or three.
        """
        if volume.grid.ndim < 2:
            raise VolumeError(f"{volume.name} has one axis only: it cannot be shown as an image.")
        how = volume.grid.reorientation_to(DISPLAY)
        return cls(volume, how, _display_frame(volume, volume.grid.reoriented(how)))

    def holds(self, layer: Layer) -> bool:
        """Whether the layer lies, still or by chance, on just these voxels."""
        leading = self.volume.leading.replace("c", "")
        shape = self.volume.data.shape[:1] * len(leading) + self.shown_grid.shape
        return (
            tuple(_finest(layer).shape[: layer.ndim]) == shape
            and np.allclose(layer.scale, self.transform["scale"])
            and np.allclose(layer.translate, self.transform["translate"])
            and not _leans(layer)
        )

    @property
    def shown_grid(self) -> Grid:
        """The volume's grid with its axes in display order."""
        return self.volume.grid.reoriented(self.how)


# -- volume -> layer --------------------------------------------------------------------------


def image_layers(volume: Volume) -> list[LayerData]:
    """Return the layers that show a volume: one, or one a channel unless it is in colour.

    Raises VolumeError for a volume of one axis.
    """
    placement = Placement.of(volume)
    data = _reoriented(volume.data, placement.how)
    if "c" not in volume.leading:
        return [_image(data, placement, volume.name)]
    axis = volume.leading.index("c")
    if volume.rgb:
        return [_image(np.moveaxis(_sliceable(data), axis, -1), placement, volume.name, rgb=True)]
    data = _sliceable(data)
    before = (slice(None),) * axis
    return [
        _image(
            data[(*before, c)],
            replace(placement, channel=c),
            f"{volume.name}: {name}",
            **channel_look(volume, c),
        )
        for c, name in enumerate(volume.channel_names)
    ]


def labels_layer(
    labels: LabelVolume, *, on: Placement | None = None, live: bool = False
) -> LayerData:
    """Return the layer of labels, in memory and paintable.

    Parameters
    ----------
    labels
        Labels, on their own grid and in its axis order.
    on
        Placement of the image that they belong to, whose layer they are put over exactly;
        ``None`` for where their own grid says.
    live
        Show the labels' own array, so that what changes there can be seen.
    """
    place = Placement.of(labels) if on is None else on
    data = place.how.apply(labels.numpy())
    if not live:
        data = np.ascontiguousarray(data)
    if data.dtype == bool:
        data = data.astype(np.uint8)
    elif not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))
    empty = np.broadcast_to(np.zeros((), data.dtype), tuple(labels.data.shape))
    kept = Placement(replace(labels, data=empty), place.how, place.transform)
    look = class_look(labels.classes) if labels.kind == "classes" else {}
    settings = {
        "name": labels.name,
        "metadata": {KEY: kept},
        **place.transform,
        **look,
    }
    return data, settings, "labels"


def smallest_type(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
    """Return labels in the smallest type that holds them and a few more.

    In 3-D the canvas draws 8 and 16 bits ten times as fast as 32.
    """
    most = int(labels.max(initial=0))
    for kind in (np.uint8, np.uint16):
        # Room for objects that are drawn by hand later.
        if most <= np.iinfo(kind).max * 3 // 4:
            return labels.astype(kind, copy=False)
    return labels.astype(np.int32, copy=False)


# -- layer -> volume --------------------------------------------------------------------------


def placement_of(layer: Layer, among: Iterable[Layer] = ()) -> Placement:
    """Return how the voxels of a layer lie on the canvas.

    That is the placement it was made with, as long as it holds; else that of one of the layers
    ``among`` which has the very same voxels (labels that were drawn on our image); else what
    the layer's own scale, translation, rotation and units say.

    Raises
    ------
    VolumeError
        If the layer has more axes than time and three of space.
    """
    for other in (layer, *among):
        placement = other.metadata.get(KEY)
        if isinstance(placement, Placement) and placement.holds(layer):
            return placement
    return _own_placement(layer)


def volume_of(layer: Image, *, whole: bool = False) -> Volume:
    """Return the volume that an image layer shows, on its file's own grid if that is known.

    Parameters
    ----------
    layer
        Any image layer, ours or not.
    whole
        Return all channels of the volume that the layer shows one of.

    Raises
    ------
    VolumeError
        If the layer has more axes than time and three of space.
    """
    place = placement_of(layer)
    data = _finest(layer)
    volume = place.volume
    untouched = data is place.shown
    if untouched and (whole or place.channel is None):
        return volume
    leading = volume.leading if layer.rgb else volume.leading.replace("c", "")
    if layer.rgb:
        data = np.moveaxis(_sliceable(data), -1, leading.index("c"))
    names = volume.channel_names if layer.rgb else volume.channel_names[place.channel or 0 :][:1]
    return replace(
        volume,
        data=_reoriented(data, place.how.inverse()),
        leading=leading,
        rgb=layer.rgb,
        channel_names=names,
        name=layer.name,
    )


def labels_of(layer: Labels, among: Iterable[Layer] = ()) -> LabelVolume:
    """Return the labels of a layer on their image's own grid; see `placement_of`.

    Raises
    ------
    VolumeError
        If the layer has more axes than time and three of space.
    """
    place = placement_of(layer, among)
    known, classes = place.volume, classes_of(layer)
    kind = known.kind if isinstance(known, LabelVolume) else "classes" if classes else "instances"
    made = known.made_by if isinstance(known, LabelVolume) else None
    data = np.asarray(_finest(layer)[...])
    return LabelVolume(
        place.how.inverse().apply(data),
        known.grid,
        leading=known.leading.replace("c", ""),
        name=layer.name,
        source=known.source,
        time_step=known.time_step,
        meta=known.meta,
        classes=classes or (known.classes if isinstance(known, LabelVolume) else ()),
        kind=kind,
        # A person saw them in the viewer, and may have painted.
        made_by=replace(made, how="semiautomatic") if made is not None else None,
    )


# -- inside -----------------------------------------------------------------------------------


def _display_frame(volume: Volume, shown: Grid) -> dict[str, Any]:
    """Return scale, translation, units and axis names of the layer, a time axis included."""
    axes = [_WORLD[letter] for letter in shown.orientation]
    scale = np.asarray(shown.spacing)
    if shown.is_oblique:
        start = -shown.centre[axes] - scale * (np.asarray(shown.shape) - 1) / 2
    else:
        start = -shown.origin[axes]
    timed, step = "t" in volume.leading, volume.time_step
    return {
        "scale": (step or 1.0,) * timed + tuple(float(s) for s in scale),
        # Adding 0 turns -0.0 into 0.0.
        "translate": (0.0,) * timed + tuple(float(x) + 0.0 for x in start),
        "units": ("s" if step else "pixel",) * timed + (shown.unit,) * shown.ndim,
        "axis_labels": ("t",) * timed + tuple(_AXIS[letter] for letter in shown.orientation),
    }


def _image(data: Any, placement: Placement, name: str, **look: Any) -> LayerData:
    settings = {
        "name": name,
        "metadata": {KEY: replace(placement, shown=data)},
        **placement.transform,
        **look,
    }
    limits = None if look.get("rgb") else contrast(data)
    if limits is not None:
        settings["contrast_limits"] = limits
    return data, settings, "image"


def _own_placement(layer: Layer) -> Placement:
    """Return what the transform of a layer says of its place, with its own axis order."""
    data = _finest(layer)
    timed = layer.ndim == 4 or (layer.ndim == 3 and layer.axis_labels[0].lower() in _TIME)
    n = layer.ndim - timed
    if not 2 <= n <= 3:
        raise VolumeError(
            f"{layer.name} has {layer.ndim} axes: an image has two or three, and time before them."
        )
    rgb = bool(getattr(layer, "rgb", False))
    leading = "t" * timed + "c" * rgb
    axes = tuple(data.shape[: layer.ndim])
    voxels = np.moveaxis(_sliceable(data), -1, int(timed)) if rgb else data
    source = layer.source.path
    volume = Volume(
        voxels,
        _own_grid(layer, axes[timed:]),
        leading=leading,
        rgb=rgb,
        name=layer.name,
        source=None if source is None else Path(source),
    )
    transform = {name: getattr(layer, name) for name in _TRANSFORM}
    how = Reorientation(tuple(range(n)), (False,) * n)
    return Placement(volume, how, transform, shown=data)


def _own_grid(layer: Layer, shape: tuple[int, ...]) -> Grid:
    """Return the grid of the last axes of a layer from where its corners lie on the canvas."""
    n = len(shape)
    unit, factors = _unit_of(layer, n)
    ends = np.zeros((n + 1, layer.ndim))
    ends[1:, -n:] = np.eye(n)
    places = np.array([layer.data_to_world(end) for end in ends])[:, -n:] * factors
    start, steps = places[0], (places[1:] - places[0]).T
    if np.array_equal(steps, np.diag(np.diag(steps))) and (np.diag(steps) > 0).all():
        return Grid.from_spacing(shape, np.diag(steps).tolist(), unit=unit, origin=start.tolist())
    # Canvas to RAS: each axis runs against its world axis. See Grid.from_spacing.
    flat = Grid.from_spacing((1,) * n, unit=unit).affine
    inner, move = np.eye(3), np.zeros(3)
    inner[:n, :n], move[:n] = steps, start
    affine = np.eye(4)
    affine[:3, :3] = flat[:3, :3] @ inner
    affine[:3, 3] = flat[:3, :3] @ move
    return Grid(shape, affine, unit, anatomical=False)


def _unit_of(layer: Layer, n: int) -> tuple[str, npt.NDArray[np.float64]]:
    """Return the unit of the last ``n`` axes, and the factors that bring each to it."""
    names = []
    for unit in layer.units[-n:]:
        try:
            names.append(unit_name(str(unit)))
        except GridError:
            names.append(UNITS[-1])
    if len(set(names)) == 1 or "pixel" in names:
        return ("pixel" if "pixel" in names else names[0]), np.ones(n)
    return names[-1], np.array([millimetres(x) / millimetres(names[-1]) for x in names])


def _leans(layer: Layer) -> bool:
    """Whether a layer is turned or sheared on the canvas beyond its scale and translation."""
    n = layer.ndim
    return not (
        np.allclose(layer.rotate, np.eye(n))
        and np.allclose(layer.shear, 0)
        and np.allclose(layer.affine.affine_matrix, np.eye(n + 1))
    )


def _finest(layer: Layer) -> Any:
    """Return the array of a layer at full resolution."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def _reoriented(data: Any, how: Reorientation) -> Any:
    """Return a view of an array, which may be lazy, with its spatial axes reoriented."""
    if how.axes == tuple(range(len(how.axes))) and not any(how.flips):
        return data
    # Axes that are not in display order are a patient's: such files run fastest along the first.
    return how.apply(_sliceable(data, whole=slice(-len(how.axes), -1)))


def _sliceable(data: Any, *, whole: slice = slice(-2, None)) -> Any:
    """Return an array that can be transposed: arrays in files are wrapped, not read.

    They are read in planes: ``whole`` along these axes, one by one along the others.
    """
    if hasattr(data, "transpose") and hasattr(data, "ndim"):
        return data
    import dask.array

    chunks: list[int] = [1] * len(data.shape)
    chunks[whole] = list(data.shape)[whole]
    return dask.array.from_array(data, chunks=tuple(chunks))  # type: ignore[no-untyped-call]
