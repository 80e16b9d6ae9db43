"""Draw the pictures on the cards of the shipped models: ``python sample_data/model_preview.py``.

They are parts of the sample images with the outlines of what the models find in them: of nuclei-3d
a slice of the stack, and below it a cut through all slices.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.Image import Dither

import napari_monai as nm
from napari_monai.cli.demo import IMAGE, MODEL, outlined
from napari_monai.grid import Grid

HERE = Path(__file__).resolve().parent
PART = (0, 0, 480, 320)  # pixels of the picture, which is twice as large as the image: x, y
STACK, STACK_MODEL = "nuclei_3d.ome.tif", "nuclei-3d"
GAP = 6  # pixels between a slice and the cut


def picture() -> Image.Image:
    """Return a part of the 2D image with outlines."""
    image = nm.read(HERE / IMAGE)
    drawn: Image.Image = outlined(image, nm.segment(image, nm.load_model(MODEL))).crop(PART)
    return drawn


def stack() -> Image.Image:
    """Return a slice and a cut of the stack with outlines, of square pixels."""
    volume = nm.read(HERE / STACK)
    labels = nm.segment(volume, nm.load_model(STACK_MODEL)).numpy()
    voxels, (step, pixel, _) = volume.numpy(), volume.grid.spacing
    rows = (np.arange(round(len(voxels) * step / pixel)) * pixel / step).astype(int)
    cuts = (
        (voxels[len(voxels) // 2], labels[len(voxels) // 2]),
        (voxels[rows, voxels.shape[1] // 2], labels[rows, voxels.shape[1] // 2]),
    )
    parts = []
    for grey, found in cuts:
        grid = Grid.from_spacing(grey.shape, (pixel, pixel), unit="um")
        parts.append(outlined(nm.Volume(grey, grid), nm.LabelVolume(found, grid)))
    drawn = Image.new("RGB", (parts[0].width, sum(p.height for p in parts) + GAP))
    drawn.paste(parts[0], (0, 0))
    drawn.paste(parts[1], (0, parts[0].height + GAP))
    return drawn


def main() -> None:
    """Segment the samples and write the pictures beside the models."""
    for name, drawn in ((MODEL, picture()), (STACK_MODEL, stack())):
        file = nm.load_model(name).folder / "preview.png"
        drawn.quantize(256, dither=Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main()
