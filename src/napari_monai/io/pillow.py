"""Opening a picture with Pillow, which pictures and some kinds of TIFF need."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image

from ..errors import ReadError


def open_image(path: Path, formats: tuple[str, ...]) -> Image.Image:
    """Open a picture with Pillow, up to the size at which it suspects an attack.

    Raises ReadError beyond it, and UnidentifiedImageError for other formats.
    """
    with warnings.catch_warnings():
        # Between its warning and its error Pillow opens 90 to 180 million pixels: a slide scan.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        # Of damaged tags, which it passes over: what matters of them is an error later.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return Image.open(path, formats=formats)
        except Image.DecompressionBombError:
            raise ReadError(
                f"{path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels: convert it to "
                "an uncompressed TIFF."
            ) from None
