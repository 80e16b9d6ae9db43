"""``napari-monai demo``: segment a sample image, score it, draw it, and show it in the viewer."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..settings import InferenceSettings
from .output import complain, say
from .segment import segment_volume

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..volume import LabelVolume, Volume

MODEL = "nuclei-2d"
IMAGE = "nuclei_2d.tif"
TRUTH = "nuclei_2d_truth.tif"
PICTURE = "demo.png"
# Colours that stand out on grey, of hues far apart, as in the usual qualitative maps.
_COLOURS = (
    (230, 85, 60), (70, 160, 255), (255, 200, 40), (80, 200, 110),
    (200, 110, 230), (0, 205, 205), (255, 130, 180), (170, 220, 60),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        f"Segment the sample image of nuclei with the model {MODEL}, print the scores against "
        "the truth, write the labels and a picture of their outlines, and open both in napari "
        "where there is a display."
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo_output"),
        metavar="DIR",
        help="Folder for the labels and the picture. (default: demo_output)",
    )
    parser.add_argument("--no-viewer", action="store_true", help="Do not open napari.")


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    from .. import io
    from ..evaluation import evaluate
    from ..io.files import replacing
    from ..models import load_model

    folder = Path(__file__).parents[1] / "sample_data"
    image = io.read(folder / IMAGE)
    truth = io.read(folder / TRUTH, labels=True)
    done = segment_volume(image, load_model(MODEL), InferenceSettings())
    say(f"{IMAGE}: {done.seconds:.1f} s on {done.device}")

    args.output.mkdir(parents=True, exist_ok=True)
    labels_file, picture = args.output / IMAGE.replace(".tif", "_labels.tif"), args.output / PICTURE
    io.write(labels_file, done.labels)
    with replacing(picture) as beside:
        outlined(image, done.labels).save(beside, format="png")

    scores = evaluate(done.labels, truth, kind="instances")
    case = scores.cases[0]
    say(f"{case.predicted} nuclei found, {case.true} are there")
    say(
        f"average precision {scores.mean['AP50']:.3f} at IoU 0.5, "
        f"{scores.mean['AP']:.3f} over 0.5 to 0.9"
    )
    say(f"labels: {labels_file}\npicture: {picture}")
    if not args.no_viewer and has_display():
        _open_viewer(folder / IMAGE, labels_file)
    return 0


def outlined(image: Volume, labels: LabelVolume, *, zoom: int = 2) -> Any:
    """Return a picture (PIL) of a 2-D image with the outline of each object in colour."""
    import numpy as np
    from PIL import Image
    from skimage.segmentation import find_boundaries

    numbers = labels.numpy()
    coloured = np.repeat(_stretched(image)[..., np.newaxis], 3, axis=2)
    edge = find_boundaries(numbers, mode="inner")  # type: ignore[no-untyped-call]
    coloured[edge] = np.asarray(_COLOURS, np.uint8)[numbers[edge] % len(_COLOURS)]
    coloured = np.kron(coloured, np.ones((zoom, zoom, 1), np.uint8))
    return Image.fromarray(coloured)


def _stretched(image: Volume) -> npt.NDArray[Any]:
    """Return the image in 8-bit grey, its percentiles 1 and 99.8 spread over the range."""
    import numpy as np

    array = image.as_channels_first().astype(np.float32).mean(axis=0)
    low, high = np.percentile(array, (1, 99.8))
    scaled = np.clip((array - low) / max(float(high - low), 1e-6), 0, 1)
    return np.asarray(255 * np.sqrt(scaled), np.uint8)  # brighter, so that dim nuclei show


def has_display() -> bool:
    """Whether somebody can see a window: a desktop session, not a build machine."""
    if os.environ.get("CI"):
        return False
    if sys.platform in ("win32", "darwin"):
        return not os.environ.get("SSH_CONNECTION")
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_viewer(image: Path, labels: Path) -> None:
    """Start napari in a process of its own, which outlives this one."""
    if not any(map(importlib.util.find_spec, ("PyQt6", "PySide6", "PyQt5", "PySide2"))):
        complain('to see it in napari: pip install "napari-monai[gui]"', level="")
        return
    ours = ["--plugin", "napari-monai", "--with", "napari-monai", "Segment"]
    command = [sys.executable, "-m", "napari", str(image), str(labels), *ours]
    subprocess.Popen(command, start_new_session=True)
    say("napari opens in a moment.")
