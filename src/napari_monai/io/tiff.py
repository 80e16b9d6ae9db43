"""TIFF, OME-TIFF, ImageJ's TIFF and BigTIFF: pictures, stacks, channels, time series.

Axes come in any order in the file and leave as (time, channel, z, y, x). Files are written as
OME-TIFF, which keeps every size and unit.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import UnidentifiedImageError
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG

from ..errors import ReadError
from ..grid import Grid
from ..volume import ArrayLike, Volume
from . import tiff_space
from .files import DEFLATE_LIMIT, LAZY_FROM, check_size, map_mode, quiet
from .formats import ALL, stem_of
from .label_names import KEY
from .lazy import LazyArray, blank
from .pillow import open_image
from .tiff_check import check_complete

Array = npt.NDArray[Any]

_COLOUR = (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR, PHOTOMETRIC.PALETTE)
_DEFLATE = (COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE)
# The others reach more; LZW writes up to 4096 bytes in 12 bits.
_OTHER_LIMIT = 4096


@dataclass(frozen=True)
class _Layout:
    """What the axes of a series are: their order as ours, and which of them lead."""

    order: tuple[int, ...]
    leading: str
    rgb: bool
    merged: bool = False  # channels and samples, to be made one axis


def volumes(path: Path, *, labels: bool, voxels: Container[int] = ALL) -> Iterator[Volume]:
    """Yield every series of the file; of labels, a palette's numbers and not its colours."""
    with quiet("tifffile"):
        check_complete(path)
        with tifffile.TiffFile(path) as tif:
            several = len(tif.series) > 1
            for number, series in enumerate(tif.series):
                wanted = number in voxels
                yield _volume(path, tif, series, number if several else None, labels, wanted)


def _volume(
    path: Path, tif: Any, series: Any, number: int | None, labels: bool, voxels: bool
) -> Volume:
    page = series.keyframe
    if series.dtype is None or series.dtype.kind not in "biuf":
        raise ReadError(f"{path} holds {series.dtype}: an image is made of numbers.")
    layout = _layout(path, series, stacked=tif.is_shaped and (labels or series.dtype != np.uint8))
    _check_bounds(path, series)
    data = _data(path, tif, series, layout, voxels)
    palette = page.photometric == PHOTOMETRIC.PALETTE and not tif.is_imagej and not labels
    if palette and page.colormap is not None and not layout.leading:
        if voxels:
            data = (page.colormap >> 8).astype(np.uint8)[:, np.asarray(data[...])]
        else:
            data = blank((3, *data.shape), np.uint8)
        layout = _Layout((), "c", rgb=True)
    elif page.photometric == PHOTOMETRIC.MINISWHITE and not labels and data.dtype.kind in "bu":
        data = np.invert(np.asarray(data[...])) if voxels else data
    shape = tuple(data.shape)[len(layout.leading) :]
    space = tiff_space.space_of(path, tif, number or 0, depth=shape[0] if len(shape) == 3 else 1)
    channels = data.shape[layout.leading.index("c")] if "c" in layout.leading else 1
    names = space.channel_names if len(space.channel_names) == channels else ()
    label = stem_of(path)
    if number is not None:
        label = f"{label} {space.name or number + 1}"
    return Volume(
        data,
        Grid.from_spacing(shape, space.spacing[-len(shape) :], unit=space.unit),
        layout.leading,
        () if layout.rgb else names,
        rgb=layout.rgb,
        name=label,
        source=path,
        time_step=space.time_step if "t" in layout.leading else None,
        meta={} if space.labels is None else {KEY: space.labels},
    )


def _layout(path: Path, series: Any, *, stacked: bool) -> _Layout:
    """Return what each axis of the series is.

    With ``stacked``, planes of colour are slices: tifffile takes stacks of three or four for RGB.
    """
    found: dict[str, int] = {}
    unknown: list[int] = []
    for axis, (letter, length) in enumerate(zip(series.axes, series.shape, strict=True)):
        planes = letter == "S" and series.keyframe.planarconfig == PLANARCONFIG.SEPARATE
        if planes and stacked and "Z" not in series.axes:
            found["Z"] = axis
        elif letter in "TCZYXS":
            found[letter] = axis
        elif length > 1:
            if letter not in "IQ":
                raise ReadError(
                    f"{path} has an axis {letter!r} of {length} that is neither space, time nor "
                    "channel: save each position of it as a file."
                )
            unknown.append(axis)
    # Axes that nobody described: a stack; a stack in time; that with channels.
    free = [letter for letter in "ZTC" if letter not in found][: len(unknown)]
    for letter in sorted(free, key="TCZ".index):
        found[letter] = unknown.pop(0)
    if unknown or "Y" not in found or "X" not in found:
        raise ReadError(f"{path} has axes {series.axes} of {series.shape}: not one image.")
    samples = series.shape[found["S"]] if "S" in found else 0
    for letter in "TCZS":
        if letter in found and series.shape[found[letter]] == 1:
            del found[letter]
    rgb = samples in (3, 4) and series.keyframe.photometric in _COLOUR and "C" not in found
    merged = "S" in found and "C" in found
    order = [found[letter] for letter in "TCSZYX" if letter in found]
    leading = ("t" if "T" in found else "") + ("c" if {"C", "S"} & found.keys() else "")
    return _Layout(tuple(order), leading, rgb, merged)


def _check_bounds(path: Path, series: Any) -> None:
    """Refuse a file that ends before its voxels do, or cannot hold what it promises."""
    page = series.keyframe
    if series.dataoffset is not None:
        check_size(path, series.nbytes, offset=series.dataoffset)
        return
    size = path.stat().st_size
    for one in series.pages:
        if one is None or one.parent.filehandle.size != size:
            continue  # a plane that is missing, or in another file of a set
        for offset, count in zip(one.dataoffsets, one.databytecounts, strict=False):
            if offset + count > size:
                raise ReadError(
                    f"{path} is truncated: its voxels reach to byte {offset + count}, it has "
                    f"{size}. Copy it from its source again."
                )
    if len({p.parent.filehandle.name for p in series.pages if p is not None}) == 1:
        check_size(path, series.nbytes, ratio=_largest_ratio(page))


def _largest_ratio(page: Any) -> int:
    """Return how many bytes of voxels a byte of the file can hold."""
    if page.compression == COMPRESSION.NONE:
        return int(-(-page.dtype.itemsize * 8 // max(page.bitspersample, 1)))  # masks have 8 a byte
    return DEFLATE_LIMIT if page.compression in _DEFLATE else _OTHER_LIMIT


def _data(path: Path, tif: Any, series: Any, layout: _Layout, voxels: bool) -> ArrayLike:
    """Return the voxels in our axis order: in memory, or in the file where they are many."""
    if not voxels:
        return _ordered(blank(series.shape, series.dtype), layout)
    if series.nbytes >= LAZY_FROM and not layout.merged:
        if series.dataoffset is not None:
            dtype, mode = tif.byteorder + series.dtype.char, map_mode(series.nbytes)
            return _ordered(np.memmap(path, dtype, mode, series.dataoffset, series.shape), layout)
        if _decodes(series):
            return _lazy(path, tif, series, layout)
    return _ordered(series.asarray() if _decodes(series) else _by_pillow(path, series), layout)


def _ordered(array: Array, layout: _Layout) -> Array:
    dropped = [a for a in range(array.ndim) if a not in layout.order]
    view = array.transpose(*layout.order, *dropped)
    view = view.reshape(view.shape[: len(layout.order)])
    if layout.merged:
        at = layout.leading.index("c")
        view = view.reshape((*view.shape[:at], -1, *view.shape[at + 2 :]))
    return view


def _lazy(path: Path, tif: Any, series: Any, layout: _Layout) -> LazyArray:
    """Return a view through zarr that keeps the file open as long as it lives."""
    import zarr  # slow to import, and few files are this large

    own = tifffile.TiffFile(path)
    levels = own.series[tif.series.index(series)].levels
    same = [one for one in levels[1:] if one.axes == series.axes and one.dtype == series.dtype]
    stores = [one.aszarr(level=0) for one in (levels[0], *same)]
    arrays: list[Any] = [zarr.open_array(store, mode="r") for store in stores]

    def release() -> None:
        for store in stores:
            store.close()
        own.close()

    coarser = [LazyArray(a, order=layout.order, name=path) for a in arrays[1:]]
    return LazyArray(arrays[0], order=layout.order, name=path, release=release, coarser=coarser)


def _decodes(series: Any) -> bool:
    """Whether tifffile can decompress the series with what is installed."""
    page = series.keyframe
    if page.compression == COMPRESSION.NONE:
        return True
    try:
        page.decode  # noqa: B018 (made when it is first asked for)
        codec: Any = tifffile.TIFF.DECOMPRESSORS[page.compression]
    except (KeyError, ValueError):
        return False
    try:
        codec(b"")
    except ImportError:  # Zstandard finds out this late
        return False
    except Exception:  # nothing is no compressed data, says whichever library it is
        pass
    return True


def _by_pillow(path: Path, series: Any) -> Array:
    """Return the voxels by Pillow, whose libtiff knows LZW and JPEG."""
    page = series.keyframe
    planes = []
    inverts = page.photometric == PHOTOMETRIC.MINISWHITE
    with (
        contextlib.suppress(UnidentifiedImageError),
        warnings.catch_warnings(action="ignore", category=UserWarning),  # of damaged tags
        open_image(path, ("TIFF",)) as image,
    ):
        for one in series.pages:
            if one is None or not path.samefile(one.parent.filehandle.path):
                break
            image.seek(one.index)
            plane = np.array(image)
            if plane.shape != page.shape or plane.dtype.newbyteorder("=") != page.dtype:
                break
            planes.append(np.invert(plane) if inverts else plane)  # as it is stored
        else:
            return np.stack(planes).reshape(series.shape)
    raise ReadError(
        f"{path} is compressed with {page.compression.name}: install the package imagecodecs, or "
        "save it uncompressed or with Deflate."
    )


def write(path: Path, volume: Volume) -> None:
    """Write a volume; see `napari_monai.io.tiff_write`."""
    from . import tiff_write

    tiff_write.write(path, volume)
