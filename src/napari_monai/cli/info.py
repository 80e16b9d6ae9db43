"""``napari-monai info``: versions, devices, memory, what is missing and how to get it."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata

from .. import __version__
from .output import complain, say

# In the order in which they matter to a report of a problem.
_LIBRARIES = (
    "torch", "monai", "numpy", "scipy", "scikit-image", "nibabel", "tifffile", "zarr", "napari",
)  # fmt: skip
_QT = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command: none."""


def run(args: argparse.Namespace) -> int:
    """Print what is there and what is not."""
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
