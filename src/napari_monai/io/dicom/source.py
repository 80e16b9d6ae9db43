"""Where DICOM files come from: a file, a folder and all inside it, the members of a zip."""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ...errors import ReadError, VolumeWarning
from ..files import DEFLATE_LIMIT, memory_budget, one_line
from ..formats import extension_of
from ..sniff import is_dicom, open_regular, opened_is_dicom, walk
from .codestream import MOST_RATIO, RATIO_FROM

NO_DICOM = "no DICOM"  # a reason
EXTENSIONS = (".dcm", ".dicom", ".ima", ".zip")
# A zip of CT slices holds some thousands of members.
_MOST_MEMBERS = 100_000
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Source:
    """A DICOM file on disk, or the bytes of one that came out of a zip."""

    name: str
    path: Path
    content: bytes | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size if self.content is None else len(self.content)

    def open(self) -> BinaryIO:
        """Open the file to read; raises OSError of anything but a regular file."""
        return open_regular(self.path) if self.content is None else io.BytesIO(self.content)


class Passed:
    """What was passed over, gathered so that it is said in one line and not in hundreds."""

    def __init__(self, where: object) -> None:
        self._where = where
        self._names: dict[str, list[str]] = {}

    def add(self, name: object, reason: str) -> None:
        """Note a file, by its name alone, and why it is passed over."""
        self._names.setdefault(reason, []).append(Path(str(name)).name)

    def reasons(self, *, but: str = "") -> str:
        """Return all that was noted, in one line, but for one reason."""
        return "; ".join(
            f"{listed(names)} ({reason})" for reason, names in self._names.items() if reason != but
        )

    def warn(self) -> None:
        """Say what was passed over, if anything was."""
        if self._names:
            warnings.warn(
                VolumeWarning(f"{self._where}: passed over {self.reasons()}."), stacklevel=2
            )
        self._names = {}


def listed(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def in_folder(folder: Path, passed: Passed, *, deep: bool = True) -> Iterator[Source]:
    """Yield the DICOM files of a folder and, with ``deep``, of the folders inside it."""
    paths: Iterator[Path] = walk(folder, passed.add)
    if not deep:
        paths = (p for p in sorted(folder.iterdir()) if p.is_file())
    for path in paths:
        source = source_of(path, passed)
        if source is not None:
            yield source


def source_of(path: Path, passed: Passed) -> Source | None:
    """Return a file of a folder if it is DICOM; ``None``, and noted, if it is not."""
    extension = extension_of(path)
    if extension is not None and extension not in EXTENSIONS:
        return None  # another format's
    if extension == ".zip":
        return None
    try:
        if opened_is_dicom(path):
            return Source(path.name, path)
    except OSError as error:
        passed.add(path, f"cannot be opened: {one_line(error)}")
        return None
    passed.add(path, NO_DICOM)
    return None


def in_zip(path: Path, passed: Passed) -> Iterator[Source]:
    """Yield the DICOM files of a zip, each in memory.

    Raises ReadError where the archive is damaged, encrypted, or far larger than it should be.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            _check_zip(path, members)
            for member in members:
                content = _member(archive, member)
                if content is None:
                    passed.add(member.filename, "damaged")
                elif is_dicom(content[:132]):
                    yield Source(member.filename, path, content)
                else:
                    passed.add(member.filename, NO_DICOM)
    except zipfile.BadZipFile:
        raise ReadError(
            f"{path} is no zip, or a damaged one. Copy it from its source again."
        ) from None


def _check_zip(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > _MOST_MEMBERS:
        raise ReadError(f"{path} has {len(members)} members: unpack it and open the folder.")
    if any(m.flag_bits & 1 for m in members):
        raise ReadError(f"{path} is encrypted: unpack it and open the folder.")
    total = sum(m.file_size for m in members)
    packed = path.stat().st_size
    bomb = any(m.file_size > max(m.compress_size, 1) * DEFLATE_LIMIT for m in members)
    if bomb or (total > RATIO_FROM and total > packed * MOST_RATIO):
        raise ReadError(
            f"{path} would unpack {packed} bytes to {total}: that is no archive of images."
        )
    if total > memory_budget():
        raise ReadError(
            f"{path} unpacks to {total} bytes, more than fits the memory: unpack it and open the "
            "folder."
        )


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | None:
    """Return the bytes of a member; ``None`` where it is damaged or packed in an unknown way."""
    try:
        with archive.open(member) as file:
            return file.read(member.file_size)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
        return None
