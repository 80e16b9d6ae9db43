"""What keeps the window from standing still: imports and garbage that hold Python's lock.

While the lock is held nothing else of Python runs, whichever thread it is in.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Niceness of what works beside the window.
_BEHIND = 10


def load_torch() -> None:
    """Import PyTorch, and what segments with it, in a thread beside the window's.

    Its library is opened first, since the import statement holds the lock all the while that
    takes; a call into C does not. On Windows PyTorch does so itself.
    """
    if "torch" not in sys.modules and os.name == "posix":
        spec = find_spec("torch")
        where = Path(spec.origin).parent / "lib" if spec and spec.origin else Path()
        library = next(where.glob("libtorch_python.*"), None)
        if library is not None:
            with suppress(AttributeError, OSError):
                dlopen = ctypes.CDLL(None).dlopen
                dlopen.restype = ctypes.c_void_p
                dlopen(os.fsencode(library), os.RTLD_LAZY)
    from .. import inference  # noqa: F401


def behind_the_window() -> None:
    """Have this thread, and those that it will begin, wait for the window's where cores are few.

    Only Linux has priorities of threads that a user may lower.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BEHIND)


@contextmanager
def no_collections() -> Iterator[None]:
    """Import and build what stays, without searching for garbage in it time and again.

    Each search through all of PyTorch and the viewer stops the window for a quarter of a second.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # They join the oldest objects: as young ones they would be looked through.
        gc.freeze()
        gc.unfreeze()
        if was_on:
            gc.enable()


def remove_layer(viewer: Any, layer: Any) -> None:
    """Take a layer out of a viewer.

    napari searches for garbage whenever a layer goes, since a graphics driver for Windows needs
    that; with PyTorch loaded the window stands still for a quarter of a second. Elsewhere it is
    left to Python to do so when it is time.
    """
    if sys.platform == "win32":
        viewer.layers.remove(layer)
        return
    gc.freeze()
    try:
        viewer.layers.remove(layer)
    finally:
        gc.unfreeze()
