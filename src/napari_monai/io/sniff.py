"""Whether a file is DICOM, by its first bytes: its name says little, and pydicom loads slowly."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from .formats import is_image_folder

_HEAD = 132
_PREFIX = b"DICM"
# What the first element of a file without preamble can be: of the meta group, or of group 8.
_GROUPS = (0x0002, 0x0008)
_VRS = (b"UL", b"CS", b"UI", b"OB", b"SH", b"DA", b"TM", b"LO", b"ST", b"SQ", b"PN", b"DT", b"US")


def is_dicom(head: bytes) -> bool:
    """Whether a file that starts with these bytes is DICOM, with a preamble or without."""
    if head[128:132] == _PREFIX or head[:4] == _PREFIX:
        return True
    if len(head) < 8:
        return False
    for order in "<>":
        group, element, length = struct.unpack(f"{order}HHI", head[:8])
        if group in _GROUPS and element <= 0x0100:
            implicit = order == "<" and length <= 64
            return head[4:6] in _VRS or implicit
    return False


def file_is_dicom(path: Path) -> bool:
    """Whether a file is DICOM; ``False`` of all but regular files that can be read."""
    try:
        return opened_is_dicom(path)
    except OSError:
        return False


def opened_is_dicom(path: Path) -> bool:
    """Whether a file is DICOM; raises OSError of all but regular files that can be read."""
    with open_regular(path) as file:
        return is_dicom(file.read(_HEAD))


def zip_holds_dicom(path: Path, *, most: int) -> bool:
    """Whether one of the first files in a zip is DICOM; ``False`` of what is no zip."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            for member in archive.infolist()[:most]:
                with archive.open(member) as packed:
                    if is_dicom(packed.read(_HEAD)):
                        return True
    except (OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error):
        pass  # damaged or encrypted
    return False


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read; raises OSError of pipes and devices, without waiting."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError("not a regular file")
    return os.fdopen(file, "rb")


def walk(folder: Path, passed: Callable[[Path, str], object]) -> Iterator[Path]:
    """Yield the regular files in a folder and the folders inside it, sorted by name.

    Hidden ones are passed over in silence. ``passed`` is told of what else is not entered or
    yielded, and why: pipes, folders that cannot be looked into, links that lead back.
    """
    yield from _walk(folder, passed, set())


def _walk(
    folder: Path, passed: Callable[[Path, str], object], seen: set[tuple[int, int]]
) -> Iterator[Path]:
    try:
        here = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except OSError as error:
        passed(folder, f"cannot be looked into ({error.strerror})")
        return
    if (here.st_dev, here.st_ino) in seen:
        passed(folder, "a link to a folder that was looked into already")
        return
    seen.add((here.st_dev, here.st_ino))
    inner = []
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        try:
            if entry.is_dir():
                if not is_image_folder(path):
                    inner.append(path)
            elif entry.is_file():
                yield path
            elif entry.is_symlink():
                passed(path, "a link that leads nowhere")
            else:
                passed(path, "not a regular file")
        except OSError as error:  # a link to itself
            passed(path, f"cannot be opened ({error.strerror})")
    for path in inner:
        yield from _walk(path, passed, seen)
