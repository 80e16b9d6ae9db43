"""``napari-monai info``: versions, devices, memory, what is missing; or what is in a file."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import NapariMonaiError, SettingsError
from .networks import network_lines
from .output import bar, complain, follow, say, table

if TYPE_CHECKING:
    from ..io.contents import Entry

# In the order in which they matter to a report of a problem.
_LIBRARIES = (
    "torch", "monai", "numpy", "scipy", "scikit-image", "nibabel", "tifffile", "zarr", "napari",
)  # fmt: skip
_QT = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Say what is installed, which devices there are, and what is missing. With PATH: list "
        "the images and labels in folders, files and zips, by their headers alone."
    )
    parser.add_argument(
        "path",
        type=Path,
        nargs="*",
        metavar="PATH",
        help="Folder (DICOM also in the folders inside it), file, zip of DICOM or OME-Zarr.",
    )
    parser.add_argument(
        "--patients", action="store_true", help="Show names and numbers of patients, too."
    )
    parser.add_argument(
        "--networks",
        nargs="*",
        metavar="NAME",
        help="List the networks that can be trained, or those named: when to choose which, and "
        "what it costs.",
    )


def run(args: argparse.Namespace) -> int:
    """Print what is there and what is not; 1 if a path holds nothing that can be opened."""
    if args.networks is not None:
        if args.path or args.patients:
            raise SettingsError("--networks goes without PATH and --patients.")
        for line in network_lines(args.networks):
            say(line)
        return 0
    if args.path:
        return max([_contents(path, args.patients) for path in args.path])
    if args.patients:
        raise SettingsError("--patients needs a PATH to list.")
    say(f"napari-monai {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for heading, lines in (
        ("Libraries", _libraries()),
        ("Devices", _devices()),
        ("Models", _models()),
        ("Missing", _missing()),
    ):
        found = list(lines)
        if found:
            say(f"\n{heading}")
            for line in found:
                say(f"  {line}")
    return 0


# -- what is in a file ----------------------------------------------------------------------------

_COLUMNS = ("name", "size", "spacing", "modality", "kind", "type", "files")


def _contents(path: Path, patients: bool) -> int:
    """Print a table of what is in a folder or file."""
    from ..events import FileDone, Found, Started
    from ..io.contents import contents_steps, looked_for

    found: list[Entry] = []
    try:
        with bar(None, "files") as progress:
            for event in follow(contents_steps(path)):
                if isinstance(event, Found):
                    found.append(event.entry)
                elif isinstance(event, Started):
                    progress.total = event.total
                elif isinstance(event, FileDone):
                    progress.update(event.done - progress.n)
    except NapariMonaiError as error:
        complain(str(error))
        return 1
    if not found:
        complain(looked_for(path))
        return 1
    rows = [_COLUMNS + ("patient",) * patients]
    for entry in found:
        rows.append(_row(entry) + ((entry.patient() or "-",) if patients else ()))
    table(rows)
    for entry in found:
        for note in entry.notes:
            complain(f"{entry.name}: {note}.", level="note")
    return 0


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        entry.name,
        entry.size,
        entry.voxel or "-",
        entry.modality or entry.format,
        entry.kind,
        entry.dtype.name,
        str(entry.files),
    )


# -- what is installed ----------------------------------------------------------------------------


def _libraries() -> Iterator[str]:
    names = (*_LIBRARIES, *(qt for qt in _QT if _version(qt)))
    width = max(map(len, names))
    for name in names:
        yield f"{name:<{width}}  {_version(name) or 'missing'}"


def _devices() -> Iterator[str]:
    import psutil
    import torch

    memory = psutil.virtual_memory()
    cores = psutil.cpu_count(logical=False) or os.cpu_count()
    yield f"cpu     {cores} cores, {_gib(memory.available)} of {_gib(memory.total)} free"
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        yield f"cuda:{index}  {name}, {_gib(free)} of {_gib(total)} free"
    if torch.backends.mps.is_available():
        yield "mps     Apple GPU, which shares the memory"
    from ..devices import pick_device

    yield f"auto takes {pick_device('auto')}"


def _models() -> Iterator[str]:
    from .. import models

    found = models.catalogue()
    yield ", ".join(m.name for m in found.models) or "none"
    yield f"your own go into {models.user_folder()}"
    for problem in found.problems:
        complain(str(problem), level="warning")


def _missing() -> Iterator[str]:
    """Yield what is not there, with what it is for and how to get it."""
    if not any(_version(qt) for qt in _QT):
        yield 'a Qt binding, for the viewer: pip install "napari-monai[gui]"'
    for name in _LIBRARIES:
        if not _version(name):
            yield f"{name}: pip install {name}"
    import torch

    # The driver's own tool is there on every machine with a working NVIDIA GPU.
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        yield (
            "a PyTorch that uses your NVIDIA GPU: choose CUDA on "
            "https://pytorch.org/get-started/locally"
        )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # Installed by conda without metadata, or bundled.
        module = {"scikit-image": "skimage"}.get(name, name)
        return "unknown version" if importlib.util.find_spec(module) else None


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
