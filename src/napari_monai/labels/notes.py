"""Notes on labels, kept beside their file: what is shown and locked, flagged, done, corrected.

They are JSON in ``NAME.notes.json`` beside the labels ``NAME``, for what a format has no room for.
What is read is taken for what a stranger wrote: what is wrong in it is left out, not believed.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, TypeVar

import numpy as np
from scipy.spatial import KDTree

from ..errors import VolumeWarning, WriteError
from ..volume import LabelClass
from .table import Floats, Table

ENDING = ".notes.json"
# What a file that cannot be read becomes when new notes take its place.
UNREAD = ".unread"
_FORMAT, _VERSION = "napari-monai notes", 1
# More bytes than this are no notes.
_MOST = 2**26
# How many of the nearest objects a note is tried with.
_NEAR = 8

T = TypeVar("T")

Marked = Literal["object", "slice"]


@dataclass(frozen=True)
class Note:
    """What a reviewer has said of an object or a slice.

    Parameters
    ----------
    done
        Whether it was looked at and is right.
    flags
        Words of the reviewer's own, as ``("unsure", "ask")``.
    centroid
        Where the object was, in voxels: by it the note is found again when the object has
        another number. ``None`` of slices.
    """

    done: bool = False
    flags: tuple[str, ...] = ()
    centroid: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Notes:
    """All notes on one array of labels; frozen, each change is a new one.

    Parameters
    ----------
    classes
        The classes as the reviewer has them, with what is shown and locked.
    objects, slices
        By number of the label, and by index along the first axis.
    corrected
        The slices that were changed by hand.
    at
        Key of the finding that was looked at last, see `napari_monai.labels.review.Finding`.
    """

    classes: tuple[LabelClass, ...] = ()
    objects: Mapping[int, Note] = field(default_factory=dict)
    slices: Mapping[int, Note] = field(default_factory=dict)
    corrected: frozenset[int] = frozenset()
    at: str = ""

    def __post_init__(self) -> None:
        for name in ("objects", "slices"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def of(self, what: Marked, number: int) -> Note:
        """Return the note on an object or a slice; an empty one where there is none."""
        return (self.objects if what == "object" else self.slices).get(number, Note())

    def marked(self, what: Marked, number: int, **changes: Any) -> Self:
        """Return notes in which that on an object or a slice has other values.

        ``changes`` are fields of `Note`. A note that says nothing any more is left out.
        """
        kept = dict(self.objects if what == "object" else self.slices)
        note = replace(self.of(what, number), **changes)
        if note.done or note.flags:
            kept[number] = note
        else:
            kept.pop(number, None)
        return replace(self, objects=kept) if what == "object" else replace(self, slices=kept)

    def seen(self, classes: Iterable[LabelClass]) -> tuple[LabelClass, ...]:
        """Return classes shown and locked as the notes say of their numbers."""
        known = {c.number: c for c in self.classes}

        def one(c: LabelClass) -> LabelClass:
            note = known.get(c.number)
            return c if note is None else replace(c, visible=note.visible, locked=note.locked)

        return tuple(one(c) for c in classes)

    def with_classes(self, classes: Iterable[LabelClass]) -> Self:
        """Return notes with these classes."""
        return replace(self, classes=tuple(classes))

    def with_corrected(self, slices: Iterable[int]) -> Self:
        """Return notes in which these slices were changed by hand, too."""
        return replace(self, corrected=self.corrected | frozenset(slices))

    def looking_at(self, key: str) -> Self:
        """Return notes in which the finding of this key was looked at last."""
        return replace(self, at=key)

    @property
    def done(self) -> frozenset[str]:
        """The keys of all that is done, as those of findings: ``"object 12"``, ``"slice 40"``."""
        objects = (f"object {n}" for n, note in self.objects.items() if note.done)
        slices = (f"slice {n}" for n, note in self.slices.items() if note.done)
        return frozenset([*objects, *slices])


def followed(notes: Notes, table: Table) -> Notes:
    """Return notes that have gone with their objects, which may have other numbers by now.

    A note stays with its number where the object of that number is where it was: its centroid is
    no farther from the noted one than half its longest axis. Otherwise it goes to the nearest
    object of which that is true, that has no note of its own, and in whose box the place is: not
    to a neighbour. Where there is none, the object is gone and so is the note. A note without a
    centroid stays as long as there is its number.

    Parameters
    ----------
    notes
        Notes on the objects of the table, as they were.
    table
        Measurements of the objects as they are.
    """
    if not len(table):
        return replace(notes, objects={})
    spacing = np.array(table.spacing)
    # A voxel is as wide as it is, though its axes, taken for a point's, are nothing.
    reach = table.axes[:, 0] / 2 + np.linalg.norm(spacing) / 2
    # Of all at once: where there are many notes, few of their objects have moved.
    places = [note.centroid for note in notes.objects.values()]
    fits = np.array([at is not None and len(at) == table.ndim for at in places], np.bool_)
    nowhere = (0.0,) * table.ndim
    noted = [at if fit else nowhere for at, fit in zip(places, fits.tolist(), strict=True)]
    rows = table.find(list(notes.objects))
    apart = table.centroid[rows] - np.array(noted, np.float64).reshape(-1, table.ndim)
    near = np.linalg.norm(apart * spacing, axis=1) <= reach[rows]
    there = (rows >= 0) & (near | ~fits)
    same = there & fits & (apart == 0).all(axis=1)

    kept: dict[int, Note] = {}
    lost: list[Note] = []
    how = zip(notes.objects.items(), fits, there, same, rows.tolist(), strict=True)
    for (number, note), fit, is_there, is_same, row in how:
        if is_there:
            kept[number] = note if is_same else _moved(note, table, row)
        elif fit:
            lost.append(note)
    _find(lost, kept, table, reach)
    return replace(notes, objects=dict(sorted(kept.items())))


def _find(lost: list[Note], kept: dict[int, Note], table: Table, reach: Floats) -> None:
    """Give lost notes to the objects, without a note, in whose place they are; see `followed`."""
    if not lost:
        return
    spacing = np.array(table.spacing)
    wanted = np.array([note.centroid for note in lost]) * spacing
    near = list(range(1, min(_NEAR, len(table)) + 1))
    distances, rows = KDTree(table.centroid * spacing).query(wanted, near)
    for note, away, found in zip(lost, distances, rows, strict=True):
        inner = np.array(note.centroid) + 0.5  # as edges of boxes are counted
        held = ((table.start[found] <= inner) & (inner <= table.stop[found])).all(axis=1)
        holding = found[held & (away <= reach[found])]
        free = (int(r) for r in holding if int(table.label[r]) not in kept)
        if (row := next(free, None)) is not None:
            kept[int(table.label[row])] = _moved(note, table, row)


def _moved(note: Note, table: Table, row: int) -> Note:
    return replace(note, centroid=tuple(table.centroid[row].tolist()))


# -- the file -------------------------------------------------------------------------------------


def notes_path(labels: str | os.PathLike[str]) -> Path:
    """Return where the notes on the labels in a file, or folder, are kept."""
    path = Path(labels)
    return path.with_name(path.name + ENDING)


def read_notes(labels: str | os.PathLike[str]) -> Notes:
    """Return the notes on the labels in a file; none where there are none.

    Where they cannot be read, a VolumeWarning says so, and there are none.
    """
    path = notes_path(labels)
    try:
        values = _load(path)
    except FileNotFoundError:
        return Notes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        warnings.warn(
            VolumeWarning(f"{path} cannot be read ({why}): there are no notes on these labels."),
            stacklevel=2,
        )
        return Notes()
    return _decoded(values)


def write_notes(labels: str | os.PathLike[str], notes: Notes, *, readable: bool = False) -> None:
    """Keep notes beside the labels in a file; nothing that is no longer true is left there.

    The file is whole at any time. Where there is nothing to note it is removed. One that cannot be
    read is kept under another name, with ``.unread`` at its end; where it is known to be
    ``readable``, since it was written here, it is not read again.

    Raises
    ------
    WriteError
        If the folder cannot be written into.
    """
    path = notes_path(labels)
    try:
        with suppress(FileNotFoundError):
            try:
                if not readable:
                    _load(path)
            except ValueError:
                path.replace(path.with_name(path.name + UNREAD))
        if notes == Notes():
            path.unlink(missing_ok=True)
        else:
            _put(path, json.dumps(_encoded(notes), indent=1, ensure_ascii=False))
    except OSError as error:
        raise WriteError(
            f"{path} cannot be written ({error.strerror}): save the labels in a folder of yours."
        ) from error


def _load(path: Path) -> dict[str, Any]:
    """Return what a file of notes holds, or raise OSError or ValueError."""
    with path.open("rb") as file:
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise ValueError("it is too large for notes")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is damaged") from None
    if not isinstance(values, dict) or values.get("format") != _FORMAT:
        raise ValueError("it holds something else")
    if values.get("format_version") != _VERSION:
        raise ValueError("it is of another version of napari-monai")
    return values


def _put(path: Path, text: str) -> None:
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        # As readable as any other file beside the labels.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


# -- as JSON --------------------------------------------------------------------------------------


def _encoded(notes: Notes) -> dict[str, Any]:
    def note(one: Note) -> dict[str, Any]:
        said = {"done": one.done, "flags": list(one.flags)}
        return said if one.centroid is None else {**said, "centroid": list(one.centroid)}

    return {
        "format": _FORMAT,
        "format_version": _VERSION,
        "classes": [
            {"number": c.number, "name": c.name, "visible": c.visible, "locked": c.locked}
            | ({} if c.colour is None else {"colour": c.colour})
            for c in notes.classes
        ],
        "objects": {str(n): note(one) for n, one in sorted(notes.objects.items())},
        "slices": {str(n): note(one) for n, one in sorted(notes.slices.items())},
        "corrected": sorted(notes.corrected),
        "at": notes.at,
    }


def _decoded(values: Mapping[str, Any]) -> Notes:
    at = values.get("at")
    return Notes(
        classes=tuple({c.number: c for c in _each(values.get("classes"), _class)}.values()),
        objects=dict(_noted(values.get("objects"))),
        slices=dict(_noted(values.get("slices"))),
        corrected=frozenset(_each(values.get("corrected"), _index)),
        at=at if isinstance(at, str) else "",
    )


def _each(values: object, decode: Callable[[Any], T | None]) -> Iterator[T]:
    """Yield what a list says that can be understood."""
    for value in values if isinstance(values, list) else ():
        found = decode(value)
        if found is not None:
            yield found


def _noted(values: object) -> Iterator[tuple[int, Note]]:
    for key, value in values.items() if isinstance(values, dict) else ():
        number = int(key) if key.isascii() and key.isdigit() and len(key) < 20 else None
        if number is not None and isinstance(value, dict):
            flags = tuple(_each(value.get("flags"), lambda f: f if isinstance(f, str) else None))
            yield number, Note(value.get("done") is True, flags, _place(value.get("centroid")))


def _place(value: object) -> tuple[float, ...] | None:
    if not isinstance(value, list) or not 2 <= len(value) <= 3:
        return None
    good = all(type(v) in (int, float) and abs(v) < 2**62 for v in value)
    return tuple(map(float, value)) if good and all(map(math.isfinite, value)) else None


def _index(value: object) -> int | None:
    return value if isinstance(value, int) and type(value) is int and value >= 0 else None


def _class(value: object) -> LabelClass | None:
    if not isinstance(value, dict):
        return None
    number, name, colour = _index(value.get("number")), value.get("name"), value.get("colour")
    if not number or not isinstance(name, str):
        return None
    digits = colour[1:] if isinstance(colour, str) and colour[:1] == "#" else ""
    hexadecimal = len(digits) == 6 and all(d in "0123456789abcdefABCDEF" for d in digits)
    return LabelClass(
        number,
        name,
        f"#{digits}" if hexadecimal else None,
        visible=value.get("visible") is not False,
        locked=value.get("locked") is True,
    )
