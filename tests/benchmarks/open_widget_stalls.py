"""Measure how long the window stands still while the Open widget lists and opens a CT.

``NAPARI_CONFIG= xvfb-run -a python tests/benchmarks/open_widget_stalls.py`` writes a series of 300
slices of 512 x 512 and 40 pictures, lists and opens them in a real viewer twice, and prints the
longest time in which the window did not answer, and how much of that it computed. Before, an image
is opened: the first one of a session pays for what napari and the graphics driver compile. Exits 1
above the limit.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from heart import Heart, say  # type: ignore[import-not-found]  # beside this script
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

LIMIT = 0.1  # seconds
SHAPE = (300, 512, 512)


def write_series(folder: Path) -> None:
    """Write the slices of a CT."""
    rng = np.random.default_rng(0)
    series = generate_uid()
    for number in range(SHAPE[0]):
        made = Dataset()
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, generate_uid()
        made.Modality, made.SeriesInstanceUID, made.SeriesDescription = "CT", series, "STALLS"
        made.ImagePositionPatient, made.PixelSpacing = [0, 0, number], [0.7, 0.7]
        made.ImageOrientationPatient, made.InstanceNumber = [1, 0, 0, 0, 1, 0], number + 1
        made.Rows, made.Columns = SHAPE[1:]
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
        made.PixelRepresentation, made.RescaleSlope, made.RescaleIntercept = 0, 1, -1024
        made.PixelData = rng.integers(0, 4096, SHAPE[1:]).astype("<u2").tobytes()
        made["PixelData"].VR = "OW"
        made.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)
    for number in range(40):
        np.save(folder / f"picture {number}.npy", rng.integers(0, 256, (64, 64), np.uint8))


def main() -> None:
    """Open the series twice and print the figures."""
    import napari

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_series(folder)
        viewer = napari.Viewer()
        _, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Open")
        heart = Heart()
        viewer.add_image(np.zeros((8, 64, 64), np.int16), units="mm")
        heart.until(lambda: True, seconds=2)
        worst = 0.0
        for _ in range(2):
            widget.scan(folder)
            worst = max(worst, say("listed", heart.until(widget.open_button.isEnabled)))
            widget.table.selectRow(len(widget.table.entries) - 1)
            widget.open()
            worst = max(worst, say("opened", heart.until(widget.open_button.isEnabled)))
        assert viewer.layers[-1].data.shape == SHAPE
        viewer.close()
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()
