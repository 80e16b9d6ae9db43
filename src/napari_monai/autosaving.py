"""Labels that nobody has saved yet, kept in a file so that a crash does not take them.

An autosave is a NumPy archive that `napari_monai.read` reads as labels. It lies beside the file
that the labels, or their image, came from, under a name that starts with a dot and says what it
is; or in the user's folder where there is no such file, or no writing beside it. A note in it says
whose it is: the process that keeps it up to date leaves it to no other as long as it lives.

>>> for autosave in find("ct.nii.gz").autosaves:          # doctest: +SKIP
...     write("rescued.nii.gz", autosave.labels())
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from . import io
from .errors import NapariMonaiError, ReadError, WriteError
from .folders import data_folder
from .io.files import one_line, replacing
from .io.numpy_file import read_note, write_archive
from .volume import LabelClass, LabelVolume, Provenance

ENDING = ".autosave.npz"
_NOTE = "autosave.json"
_FORMAT = 1

# Seconds by which the clocks of a process list may be off.
_SAME_START = 2.0
# Hours after which another computer, whose processes are not seen, is taken to be done with a file.
_ELSEWHERE = 12
# Days after which what lies in the user's folder is not asked for any more.
_KEPT_DAYS = 90
# Seconds after which what a killed process was writing is taken away.
_STALE = 3600

PathLike = str | os.PathLike[str]

# Files that this process keeps up to date.
_ours: set[Path] = set()


@dataclass(frozen=True)
class Owner:
    """The process that keeps an autosave up to date."""

    host: str
    pid: int
    started: float

    @classmethod
    def me(cls) -> Owner:
        """Return this process."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    @property
    def alive(self) -> bool | None:
        """Whether the process lives; ``None`` of another computer's, which is not known."""
        if self.host != socket.gethostname():
            return None
        try:
            process = psutil.Process(self.pid)
            return process.status() != psutil.STATUS_ZOMBIE and _is_start(self, process)
        except (psutil.Error, ValueError, OverflowError):
            return False


@dataclass(frozen=True)
class Autosave:
    """Labels that were not saved.

    Parameters
    ----------
    path
        The file that holds them.
    name
        What the labels were called.
    files
        The files that they belong to: their own, and images on the same voxels.
    saved
        When they were kept.
    owner
        The process that kept them.
    view
        What the viewer wants back, such as how they were shown.
    """

    path: Path
    name: str
    files: tuple[Path, ...]
    saved: datetime
    owner: Owner
    view: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def labels(self) -> LabelVolume:
        """Return the labels, with their classes, on the grid that they were painted on.

        Raises ReadError where the file is damaged.
        """
        note = _note(self.path)
        try:
            classes = tuple(_classes(note["classes"]))
            made = note["made_by"]
            made_by = None if made is None else Provenance(**made)
            labels = io.read(self.path, labels=True)
            return replace(labels, name=self.name, source=None, classes=classes, made_by=made_by)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, NapariMonaiError):
                raise
            raise _damaged(self.path, error) from error

    @property
    def in_use(self) -> bool:
        """Whether a process that lives keeps it up to date.

        Of another computer's process that is not known: until the file has rested for half a day.
        """
        alive = self.owner.alive
        if alive is None:
            return abs(time.time() - self.saved.timestamp()) < _ELSEWHERE * 3600
        return alive and (self.owner.pid != os.getpid() or self.path in _ours)

    def rank(self, file: PathLike) -> int | None:
        """Return which of the files this is, also where both were moved together, or ``None``."""
        place = _anchor(Path(file))
        moved = self.path.parent == place.parent
        for number, known in enumerate(self.files):
            if known == place or (moved and known.name == place.name):
                return number
        return None

    def now(self) -> Autosave:
        """Return what the file is by now: another process may have taken it over.

        Raises ReadError where it is damaged, or gone.
        """
        return _autosave(self.path)

    def delete(self) -> None:
        """Remove the file. Raises WriteError where that cannot be done."""
        delete(self.path)


@dataclass(frozen=True)
class Finds:
    """Autosaves, the newest first, and a line for each file that is damaged."""

    autosaves: tuple[Autosave, ...]
    problems: tuple[ReadError, ...]


# -- keeping ----------------------------------------------------------------------------------


def keep(
    labels: LabelVolume,
    *,
    files: Sequence[PathLike] = (),
    path: Path | None = None,
    view: Mapping[str, Any] | None = None,
) -> Path:
    """Write labels to an autosave, which then is this process's, and return where it is.

    The file appears when it is complete; until then the last one stays as it was.

    Parameters
    ----------
    labels
        What is kept, under its name.
    files
        The files that they belong to; it is put beside the first one.
    path
        The autosave that is replaced.
    view
        What the viewer wants back; whatever JSON can hold.

    Raises
    ------
    WriteError
        If it can be written neither there nor in the user's folder.
    """
    wanted = path or _new_path(labels.name, files)
    try:
        _write(wanted, labels, files, view or {})
    except WriteError:
        spare = user_folder() / wanted.name.lstrip(".")
        if wanted.parent == spare.parent:
            raise
        _write(spare, labels, files, view or {})
        forget(wanted)
        with suppress(WriteError):
            delete(wanted)
        wanted = spare
    _ours.add(wanted)
    return wanted


def user_folder() -> Path:
    """Return the folder of autosaves that lie beside no file; it may not exist yet."""
    return data_folder() / "autosave"


def delete(path: Path) -> None:
    """Remove an autosave, if it is there. Raises WriteError where that cannot be done."""
    forget(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"{path} cannot be removed: {one_line(error)}.") from error


def take(path: Path) -> None:
    """Count an autosave as this process's, which is to keep it up to date."""
    _ours.add(path)


def forget(path: Path) -> None:
    """Keep an autosave up to date no longer: it is asked for when its image is opened again."""
    _ours.discard(path)


def _new_path(name: str, files: Sequence[PathLike]) -> Path:
    token = secrets.token_hex(3)  # two viewers may show the same labels
    word = re.sub(r"[^\w.-]+", "_", name).strip("._")[:60] or "labels"
    if not files:
        return user_folder() / f"{word}.{token}{ENDING}"
    beside = _anchor(Path(files[0]))
    return beside.with_name(f".{beside.name[:120]}.{word}.{token}{ENDING}")


def _anchor(file: Path) -> Path:
    """Return the file or folder that an autosave lies beside, as an absolute path."""
    place = Path(os.path.abspath(file))
    outermost = [p for p in place.parents if p.suffix.lower() == ".zarr"]
    return outermost[-1] if outermost else place  # one image of several in a folder


def _write(
    path: Path, labels: LabelVolume, files: Sequence[PathLike], view: Mapping[str, Any]
) -> None:
    note = {
        "format": _FORMAT,
        "name": labels.name,
        "files": [str(_anchor(Path(file))) for file in files],
        "saved": datetime.now().astimezone().isoformat(timespec="seconds"),
        "owner": asdict(Owner.me()),
        "classes": [asdict(c) for c in labels.classes],
        "made_by": None if labels.made_by is None else asdict(labels.made_by),
        "view": dict(view),
    }
    try:
        if path.parent == user_folder():
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            # Labels shrink a hundredfold with the least of efforts.
            write_archive(beside, labels, level=1, notes={_NOTE: json.dumps(note)})
    except OSError as error:
        raise WriteError(
            f"{labels.name} cannot be autosaved as {path}: {one_line(error)}. Save it yourself."
        ) from error


# -- finding ----------------------------------------------------------------------------------


def find(path: PathLike | None = None) -> Finds:
    """Return the autosaves that no living process keeps up to date.

    Parameters
    ----------
    path
        A file: those of labels on it. A folder: all that lie in it. Left out: those that belong to
        no file.
    """
    if path is None:
        return _found(_in_folder(user_folder()), lambda autosave: not autosave.files)
    place = Path(os.path.abspath(path))
    if place.is_dir() and not io.is_image_folder(place):
        return _found(_in_folder(place), lambda _autosave: True)
    here = (*_in_folder(_anchor(place).parent), *_in_folder(user_folder()))
    return _found(here, lambda autosave: autosave.rank(place) is not None)


def _found(paths: Iterable[Path], wanted: Callable[[Autosave], bool]) -> Finds:
    autosaves, problems = [], []
    for path in paths:
        try:
            autosave = _autosave(path)
        except ReadError as error:
            if path.exists():  # else it was taken away just now
                problems.append(error)
            continue
        if wanted(autosave) and not autosave.in_use:
            autosaves.append(autosave)
    autosaves.sort(key=lambda autosave: autosave.saved, reverse=True)
    return Finds(tuple(autosaves), tuple(problems))


def _in_folder(folder: Path) -> Iterator[Path]:
    """Yield the autosaves in a folder; what was left half-written long ago is taken away."""
    try:
        with os.scandir(folder) as entries:
            named = sorted(e.name for e in entries if e.name.endswith(ENDING))
    except OSError:
        return
    for name in named:
        path = folder / name
        with suppress(OSError):
            age = time.time() - path.stat().st_mtime
            if path.is_dir():  # see io.files.replacing
                if age > _STALE:
                    shutil.rmtree(path, ignore_errors=True)
                continue
            if folder == user_folder() and age > _KEPT_DAYS * 86400:
                path.unlink()
                continue
            yield path


def _autosave(path: Path) -> Autosave:
    note = _note(path)
    try:
        return Autosave(
            path,
            str(note["name"]),
            tuple(Path(str(f)) for f in note["files"]),
            datetime.fromisoformat(note["saved"]).astimezone(),
            Owner(
                str(note["owner"]["host"]),
                int(note["owner"]["pid"]),
                float(note["owner"]["started"]),
            ),
            dict(note["view"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(path, error) from error


def _note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(read_note(path, _NOTE))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    if not isinstance(note, dict) or note.get("format") != _FORMAT:
        raise ReadError(
            f"{path} is not an autosave that this version reads: open it with the one that wrote "
            "it, or delete it."
        )
    return note


def _classes(said: Iterable[Mapping[str, Any]]) -> Iterator[LabelClass]:
    known = {f.name for f in fields(LabelClass)}
    for one in said:
        told = {name: value for name, value in one.items() if name in known}
        colour = re.fullmatch("#[0-9a-fA-F]{6}", str(told.get("colour")))
        told["colour"] = colour and colour.group()
        yield LabelClass(**{**told, "number": int(told["number"]), "name": str(told["name"])})


def _damaged(path: Path, error: Exception) -> ReadError:
    return ReadError(f"The autosave {path} is damaged: {one_line(error)}. Delete it.")


def _is_start(owner: Owner, process: psutil.Process) -> bool:
    return bool(abs(process.create_time() - owner.started) < _SAME_START)
