"""PNG, JPEG and BMP: one 2-D picture a file, grey or in colour, without physical size."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import FormatError, ReadError, VolumeWarning
from ..grid import Grid
from ..volume import LabelVolume, Volume
from .convert import displayed, narrowed
from .files import DEFLATE_LIMIT, check_size
from .formats import ALL, extension_of, stem_of
from .lazy import blank
from .pillow import open_image

Array = npt.NDArray[Any]

# Any of them under any of their names: pictures are often misnamed.
_FORMATS = ("PNG", "JPEG", "BMP")
# Pillow's modes that are an array as they are, and what others are turned into.
_PLAIN = ("L", "I;16", "I;16B", "I;16L", "I", "F", "RGB", "RGBA")
_TURNED = {"1": "L", "LA": "L", "La": "L", "PA": "RGBA", "RGBa": "RGBA", "RGBX": "RGB"}
_QUALITY = 95
_ORIENTATION = 0x0112  # the tag of EXIF


def volumes(path: Path, *, labels: bool, voxels: Container[int] = ALL) -> Iterator[Volume]:
    """Yield the picture; of labels, a palette's numbers and not its colours."""
    if 0 in voxels:
        _check(path)
        with _opened(path) as image:
            array = _array(ImageOps.exif_transpose(image), labels)
    else:
        array = _outline(path, labels)
    colour = array.ndim == 3
    if colour:
        array = np.moveaxis(array, -1, 0)
    yield Volume(
        array,
        Grid.from_spacing(array.shape[-2:]),
        "c" if colour else "",
        rgb=colour,
        name=stem_of(path),
        source=path,
    )


def _outline(path: Path, labels: bool) -> Array:
    """Return the shape and type of a picture, as a blank array."""
    with _opened(path) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION, 1) > 4:  # turned by a quarter
            width, height = height, width
        dot = Image.new(image.mode, (1, 1))
        dot.info.update({k: v for k, v in image.info.items() if k == "transparency"})
        if image.mode == "P":
            dot.putpalette(image.getpalette() or [0, 0, 0])
        one = _array(dot, labels)
    return blank((height, width, *one.shape[2:]), one.dtype)


def _opened(path: Path) -> Image.Image:
    try:
        return open_image(path, _FORMATS)
    except UnidentifiedImageError:
        with path.open("rb") as file:
            found = _looks_like(file.read(64))
        raise ReadError(
            f"{path} is not a PNG, JPEG or BMP picture; it {found}. Check what it is."
        ) from None


def _looks_like(head: bytes) -> str:
    known = {b"II*\0": "is a TIFF", b"MM\0*": "is a TIFF", b"\x1f\x8b": "is a gzip file",
             b"GIF8": "is a GIF", b"RIFF": "is a WebP", b"PK": "is a zip file"}  # fmt: skip
    for magic, what in known.items():
        if head.startswith(magic):
            return what
    printable = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "is a text" if printable else "is damaged or something else"


def _check(path: Path) -> None:
    """Refuse a PNG that is not whole or not possible; say what is lost of one."""
    with _opened(path) as image:
        if image.format != "PNG":
            return
        channels, bits = len(image.getbands()), 1 if image.mode in ("1", "P") else 8
        check_size(path, image.width * image.height * channels * bits // 8, ratio=DEFLATE_LIMIT)
        image.verify()  # the checksums, which loading passes over
        with path.open("rb") as file:
            head = file.read(26)
        if head[24] == 16 and head[25] in (2, 4, 6):  # bits and colour type of the IHDR chunk
            warnings.warn(
                VolumeWarning(f"{path} has 16 bits a colour; 8 were read. Save it as TIFF."),
                stacklevel=2,
            )


def _array(image: Image.Image, labels: bool) -> Array:
    if labels and image.mode in ("1", "P"):
        return np.array(image).astype(np.uint8)
    mode = _TURNED.get(image.mode, image.mode)
    if mode not in _PLAIN:
        mode = "RGBA" if "transparency" in image.info else "RGB"
    array = np.array(image if mode == image.mode else image.convert(mode))
    if array.dtype == np.int32 and array.size and array.min() >= 0 and array.max() < 2**16:
        array = array.astype(np.uint16)  # how Pillow has some pictures of 16 bits
    return array


def write(path: Path, volume: Volume) -> None:
    """Write one picture in its display orientation; its physical size is lost."""
    extension = extension_of(path)
    what = {".png": "PNG", ".bmp": "BMP"}.get(extension or "", "JPEG")
    array = _plane(volume, what)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if isinstance(volume, LabelVolume):
        array = _label_bytes(array, what)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    grey16 = what == "PNG" and array.dtype == np.uint16 and array.ndim == 2
    if array.dtype != np.uint8 and not grey16:
        raise FormatError(
            f"{what} holds no {array.dtype} {'colours' if array.ndim == 3 else 'pixels'}: "
            "write .tif instead."
        )
    if what != "PNG" and array.ndim == 3 and array.shape[-1] == 4:
        raise FormatError(f"{what} holds no transparency: write .png instead.")
    image = Image.fromarray(np.ascontiguousarray(array))
    if what == "JPEG":
        image.save(path, what, quality=_QUALITY, subsampling=0)
    else:
        image.save(path, what)


def _plane(volume: Volume, what: str) -> Array:
    """Return the only plane, of shape (y, x) or (y, x, colour)."""
    array = displayed(volume).numpy()
    spatial = array.shape[len(volume.leading) :]
    if "t" in volume.leading and volume.times == 1:
        array = array[0]
    elif "t" in volume.leading:
        raise FormatError(f"{what} holds one picture, not {volume.times}: write .tif instead.")
    if len(spatial) == 3:
        if spatial[0] != 1:
            raise FormatError(
                f"{what} holds one picture, not {spatial[0]} slices: write .tif or .nii.gz instead."
            )
        array = array[..., 0, :, :]
    if "c" not in volume.leading:
        return array
    if volume.channels == 1:
        return np.asarray(array[0])
    if not volume.rgb:
        raise FormatError(
            f"{what} holds a grey or a colour picture, not {volume.channels} channels: "
            "write .tif instead."
        )
    return np.moveaxis(array, 0, -1)


def _label_bytes(array: Array, what: str) -> Array:
    if what == "JPEG":
        raise FormatError("JPEG changes the numbers of labels: write .png or .tif instead.")
    array = array.astype(np.uint8) if array.dtype == np.bool_ else array
    types = ("u1",) if what == "BMP" or array.dtype.itemsize == 1 else ("u2",)
    small = narrowed(array, types)
    if small.dtype.kind != "u" or small.dtype.itemsize > int(types[0][1]):
        limit = np.iinfo(types[0]).max
        cure = ".png or .tif" if what == "BMP" else ".tif"
        raise FormatError(
            f"{what} holds labels from 0 to {limit}, not {array.min()} to {array.max()}: "
            f"write {cure} instead."
        )
    return small
