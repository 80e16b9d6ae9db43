"""Zip archives of models, unpacked so that no member leaves its folder, with caps on their size.

An archive is unpacked once into the user's cache, in a folder named by the archive's SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from .. import folders
from ..errors import ModelError

# What no model needs more of. Weights hardly compress: only small archives may be dense.
MOST_BYTES = 16 * 2**30
MOST_MEMBERS = 20_000
MOST_RATIO = 50
_DENSE = 2**28  # bytes unpacked from which the ratio counts
_CHUNK = 2**20


def member_names(path: Path) -> tuple[str, ...]:
    """Return the names of an archive's files as they stand in it; none if it is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(i.filename for i in archive.infolist() if not i.is_dir())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return ()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read piece by piece."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"{path} cannot be read ({reason}): get the model again.") from None


def unpacked(path: Path) -> Path:
    """Return the folder of a model: the path itself, or where its archive was unpacked to.

    An archive that holds a single folder and nothing beside it is that folder.

    Raises
    ------
    ModelError
        If the archive is damaged, protected by a password, larger than any model, or has a
        member that is a link or leaves its folder. Nothing of it is left then.
    """
    if path.is_dir():
        return path
    folder = cache_folder() / file_sha256(path)
    if not folder.is_dir():
        _unpack_beside(path, folder)
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def cache_folder() -> Path:
    """Return where archives are unpacked to; it may not exist yet, and may be removed."""
    return folders.cache_folder() / "archives"


def extract(path: Path, folder: Path) -> None:
    """Unpack an archive into a new folder; see `unpacked` for what is refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(path, members, folder.parent)
            for member in members:
                _extract_member(archive, member, folder)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        if isinstance(error, ModelError):
            raise
        line = " ".join(str(error).split())[:120]
        raise ModelError(f"{path} is no zip or is damaged ({line}): get it again.") from None
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"{path} cannot be unpacked into {folder} ({reason}).") from None


def is_bomb(size: int, packed: int) -> bool:
    """Whether so many bytes are more than a model packed into so few has."""
    return size > MOST_BYTES or (size > _DENSE and size > MOST_RATIO * packed)


def _unpack_beside(path: Path, folder: Path) -> None:
    """Unpack beside the folder, then move there: an interrupted run leaves no half of it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpacking-"))
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"{folder.parent} cannot be written: {reason}.") from None
    try:
        extract(path, stage)
        os.replace(stage, folder)
    except OSError:
        if not folder.is_dir():  # else somebody else was faster
            raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _check_members(path: Path, members: list[zipfile.ZipInfo], target: Path) -> None:
    """Refuse an archive, before a byte of it is written, that could harm."""
    if len(members) > MOST_MEMBERS:
        raise ModelError(f"{path} has {len(members)} members, a model {MOST_MEMBERS} at most.")
    taken: set[str] = set()
    for member in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or any(c in name for c in "\\:\0"):
            raise ModelError(f"{path} has a member that leaves its folder: {name[:80]!r}.")
        mode = stat.S_IFMT(member.external_attr >> 16)
        if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ModelError(f"{path} has a member that is a link or no plain file: {name[:80]!r}.")
        if member.flag_bits & 1:
            raise ModelError(f"{path} is protected by a password: unpack it yourself first.")
        # On some systems names that differ in case alone are one file.
        if not member.is_dir() and name.casefold() in taken:
            raise ModelError(f"{path} has the member {name[:80]!r} twice.")
        taken.add(name.casefold())
    size = sum(member.file_size for member in members)
    if is_bomb(size, path.stat().st_size):
        raise ModelError(
            f"{path} unpacks to {size / 1e9:.1f} GB, more than a model of its size can have: "
            "unpack it yourself if you trust it."
        )
    if size > shutil.disk_usage(target).free:
        raise ModelError(f"{path} unpacks to {size / 1e9:.1f} GB: free some space in {target}.")


def _extract_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    place = folder.joinpath(*PurePosixPath(member.filename).parts)
    if member.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(member) as source, place.open("xb") as target:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > member.file_size:  # more than was checked
                raise zipfile.BadZipFile(f"{member.filename} is larger than it says")
            target.write(chunk)
