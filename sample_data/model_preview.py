"""Draw the picture on the card of nuclei-2d: ``python sample_data/model_preview.py``.

It is a part of the 2-D sample image with the outlines of what the model finds in it.
"""

from __future__ import annotations

from pathlib import Path

from PIL.Image import Dither

import napari_monai as nm
from napari_monai.cli.demo import IMAGE, MODEL, outlined

HERE = Path(__file__).resolve().parent
PART = (0, 0, 480, 320)  # pixels of the picture, which is twice as large as the image: x, y


def main() -> None:
    """Segment the sample and write the picture beside the model."""
    image, model = nm.read(HERE / IMAGE), nm.load_model(MODEL)
    picture = outlined(image, nm.segment(image, model)).crop(PART)
    picture.quantize(256, dither=Dither.NONE).save(model.folder / "preview.png", optimize=True)


if __name__ == "__main__":
    main()
