"""Volume <-> layer: what the canvas shows of a volume, and the way back to its file's own grid.

The grid of the file stays beside the layer (see `napari_monai._napari.placement`), so what is drawn
goes back into the file voxel by voxel.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import VolumeWarning
from ..grid import Grid
from ..volume import LabelVolume, Volume
from .arrays import finest, sliceable
from .foreign import own_placement
from .image_look import background, channel_look, grey_look
from .label_colours import class_look, classes_of
from .placement import KEY, Frame, Placement, frames_of

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

LayerData = tuple[Any, dict[str, Any], str]


# Metadata of layers that show what a run said of another layer: which layer and which model.
MAP_OF = "napari-monai map"


# -- volume -> layer --------------------------------------------------------------------------


def layers_of(volumes: Iterable[Volume], *, frames: Iterable[Frame] = ()) -> list[LayerData]:
    """Return the layers that show images and labels, all in one frame.

    Parameters
    ----------
    volumes
        What is opened together.
    frames
        The frames of the layers that are in the viewer already, see `frames_of`.

    Raises
    ------
    VolumeError
        If one of them has one spatial axis only.

    Warns
    -----
    VolumeWarning
        If a volume leans in the frame of the first one, and is shown resampled.
    """
    frames = list(frames)
    found: list[LayerData] = []
    for volume in volumes:
        if isinstance(volume, LabelVolume):
            new = [labels_layer(volume, frames=frames)]
        else:
            new = image_layers(volume, frames=frames)
        frame = new[0][1]["metadata"][KEY].frame
        frames += [] if frame is None else [frame]
        found += new
    return found


def image_layers(volume: Volume, *, frames: Iterable[Frame] = ()) -> list[LayerData]:
    """Return the layers that show a volume: one, or one a channel unless it is in colour.

    It is put into the first of ``frames`` that it fits. Raises and warns as `layers_of` does.
    """
    place = _placed(volume, frames)
    if "c" not in volume.leading:
        return [_image(volume, place, volume.name)]
    if volume.rgb:
        return [_image(volume, place, volume.name)]
    return [
        _image(
            volume,
            replace(place, channel=c),
            f"{volume.name}: {name}",
            **channel_look(volume, c),
        )
        for c, name in enumerate(volume.channel_names)
    ]


def map_layers(volume: Volume, *, on: Placement, **look: Any) -> list[LayerData]:
    """Return the layers of values between 0 and 1 on the voxels of an image, one a channel.

    ``on`` is the placement of the image, whose layer they are put over exactly.
    """
    place = replace(on, volume=volume, channel=None)
    settings = {"contrast_limits": (0.0, 1.0), **look}
    if "c" not in volume.leading:
        return [_image(volume, place, volume.name, **settings)]
    return [
        _image(volume, replace(place, channel=c), f"{volume.name}: {name}", **settings)
        for c, name in enumerate(volume.channel_names)
    ]


def labels_layer(
    labels: LabelVolume,
    *,
    on: Placement | None = None,
    frames: Iterable[Frame] = (),
    live: bool = False,
) -> LayerData:
    """Return the layer of labels, in memory and paintable.

    Parameters
    ----------
    labels
        Labels, on their own grid and in its axis order.
    on
        Placement of the image that they belong to, whose layer they are put over exactly;
        ``None`` for where their own grid says, in the first of ``frames`` that it fits.
    live
        Show the labels' own array, so that what changes there can be seen.
    """
    place = _placed(labels, frames) if on is None else on
    data = place.displayed(labels.data if live else labels.numpy(), nearest=True)
    if not live:
        data = np.ascontiguousarray(data)
    if data.dtype == bool:
        data = np.asarray(data).astype(np.uint8)
    elif not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))
    kept = labels
    if not place.is_resampled:  # else they are needed to save what nobody has changed
        empty = np.broadcast_to(np.zeros((), data.dtype), tuple(labels.data.shape))
        kept = replace(labels, data=empty)
    look = class_look(labels.classes) if labels.kind == "classes" else {}
    settings = {
        "name": labels.name,
        "metadata": {KEY: replace(place, volume=kept, channel=None, shown=None)},
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
    ``among`` which has the very same voxels (labels that were drawn on our image), also where
    the layer was not told where it lies and only one volume has its shape; else what the
    layer's own scale, translation, rotation and units say, in the frame of ``among``.

    Raises
    ------
    VolumeError
        If the layer has more axes than time and three of space.
    """
    there = list(among)
    others = [p for p in map(_kept, there) if p is not None]
    own = _kept(layer)
    for place in others if own is None else [own, *others]:
        if place.holds(layer):
            return place
    likely = [p for p in others if p.may_hold(layer)]
    if likely and all(p.volume.grid == likely[0].volume.grid for p in likely):
        return likely[0]
    return own_placement(layer, next(frames_of(there), None))


def volume_of(layer: Image, *, whole: bool = False) -> Volume:
    """Return the volume that an image layer shows, on its file's own grid if that is known.

    Of a layer that is resampled to be shown, these are the file's own voxels all the same.

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
    data = finest(layer)
    volume = place.volume
    untouched = data is place.shown
    if untouched and (whole or place.channel is None):
        return volume
    leading = volume.leading if layer.rgb else volume.leading.replace("c", "")
    if untouched:
        native = _channel(volume.data, place)
    else:
        if layer.rgb:
            data = np.moveaxis(sliceable(data), -1, leading.index("c"))
        native = place.native(data)
    names = volume.channel_names if layer.rgb else volume.channel_names[place.channel or 0 :][:1]
    return replace(
        volume,
        data=native,
        leading=leading,
        rgb=layer.rgb,
        channel_names=names,
        name=layer.name,
    )


def labels_of(layer: Labels, among: Iterable[Layer] = ()) -> LabelVolume:
    """Return the labels of a layer on their image's own grid; see `placement_of`.

    Of a layer on an image that is resampled to be shown, a voxel of the file takes the label of
    the nearest voxel that is shown; where nothing was changed, labels stay as they came.

    Raises
    ------
    VolumeError
        If the layer has more axes than time and three of space.
    """
    place = placement_of(layer, among)
    known = place.volume
    untouched = place is _kept(layer)
    before = known.data if untouched and isinstance(known, LabelVolume) else None
    data = place.native_labels(np.asarray(finest(layer)[...]), before)
    return described(layer, place, data)


def described(
    layer: Labels, place: Placement, data: npt.NDArray[Any], grid: Grid | None = None
) -> LabelVolume:
    """Return labels with all that a layer says of them but their voxels.

    Parameters
    ----------
    layer
        Whose name and classes they have.
    place
        How it lies on the canvas.
    data
        The labels, on ``grid``.
    grid
        The grid of the volume that is placed, when left out.
    """
    known, classes = place.volume, classes_of(layer)
    kind = known.kind if isinstance(known, LabelVolume) else "classes" if classes else "instances"
    made = known.made_by if isinstance(known, LabelVolume) else None
    return LabelVolume(
        data,
        grid or known.grid,
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


def _placed(volume: Volume, frames: Iterable[Frame]) -> Placement:
    place = Placement.of(volume, frames)
    if place.is_resampled:
        how = "nearest" if isinstance(volume, LabelVolume) else "linear"
        warnings.warn(
            VolumeWarning(
                f"{volume.name} lies oblique to the first volume: it is shown resampled to that "
                f"one's axes ({how}). What is drawn on it is saved on its own grid, by the nearest "
                "voxel; its own voxels are what is segmented."
            ),
            stacklevel=4,
        )
    return place


def _image(volume: Volume, place: Placement, name: str, **look: Any) -> LayerData:
    """Return the layer of a volume, or of the channel that is placed."""
    native = [_channel(level, place) for level in _levels(volume, place)]
    fill = background(native[0]) if place.is_resampled else 0
    shown = [place.displayed(level, fill=fill) for level in native]
    if volume.rgb:
        shown = [np.moveaxis(sliceable(level), volume.leading.index("c"), -1) for level in shown]
    settings = {
        "name": name,
        "metadata": {KEY: replace(place, shown=shown[0])},
        "rgb": volume.rgb,  # else three sagittal slices are taken for colours
        **place.transform,
        **({} if volume.rgb else grey_look(volume, shown[-1])),
        **look,
    }
    if len(shown) > 1:
        return shown, {**settings, "multiscale": True}, "image"
    return shown[0], settings, "image"


def _levels(volume: Volume, place: Placement) -> list[Any]:
    """Return the array of a volume, and the coarser ones that its file holds of it.

    They are for images that are too large to be read at once. Labels have one level: the brush
    works on no more.
    """
    coarser = () if place.is_resampled else getattr(volume.data, "coarser", ())
    return [volume.data, *coarser]


def _channel(data: Any, place: Placement) -> Any:
    """Return the channel of an array that is placed, on the volume's own grid."""
    if place.channel is None:
        return data
    n = place.volume.grid.ndim
    in_order = place.how.axes == tuple(range(n)) and not any(place.how.flips)
    whole = slice(-2, None) if in_order else slice(-n, -1)
    before = (slice(None),) * place.volume.leading.index("c")
    return sliceable(data, whole=whole)[(*before, place.channel)]


def _kept(layer: Layer) -> Placement | None:
    """Return the placement that a layer was made with."""
    place = layer.metadata.get(KEY)
    return place if isinstance(place, Placement) else None
