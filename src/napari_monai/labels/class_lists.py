"""Lists of classes in text files: of ITK-SNAP, 3D Slicer and FreeSurfer, and of nnU-Net.

- ITK-SNAP label descriptions: ``1 255 0 0 1 1 0 "liver"``, number, red, green, blue from 0 to 255,
  opacity from 0 to 1, whether it is shown, whether it has a mesh, name.
- Colour tables of 3D Slicer (.ctbl) and of FreeSurfer: ``1 liver 255 0 0 255``.
- ``dataset.json`` of nnU-Net and of the Medical Segmentation Decathlon: ``{"labels": {...}}``,
  names to numbers or numbers to names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ReadError
from ..volume import LabelClass

#: Endings of files that may hold such a list.
ENDINGS = (".txt", ".label", ".lut", ".ctbl", ".json")

_MOST = 2**24  # bytes; no list of classes is as long
_LONGEST = 1000  # characters of a line
_HIGHEST = 2**31
_SNAP = re.compile(
    r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([\d.]+)\s+([01])\s+[01]\s+"(.*)"\s*', re.ASCII
)
_TABLE = re.compile(r"\s*(\d+)\s+(\S.*?)\s+(\d+)\s+(\d+)\s+(\d+)(?:\s+\d+)?\s*", re.ASCII)


def read_class_list(path: str | Path) -> tuple[LabelClass, ...]:
    """Return the classes in a text file, by number; the background is left out.

    Raises
    ------
    ReadError
        If the file cannot be read, or lists no class.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST + 1)
    except OSError as error:
        raise ReadError(f"{path} cannot be read ({error.strerror or error}).") from None
    text = content.decode("utf-8-sig", errors="replace") if len(content) <= _MOST else ""
    classes = _in_json(text) if path.suffix.lower() == ".json" else _in_lines(text)
    if not classes:
        raise ReadError(
            f"{path.name} lists no classes: choose a list of ITK-SNAP, 3D Slicer or FreeSurfer, "
            "a dataset.json, or labels with names."
        )
    return classes


def merged(known: Iterable[LabelClass], new: Iterable[LabelClass]) -> tuple[LabelClass, ...]:
    """Return classes with others added, by number; where both have one, the new name and colour.

    What is shown and locked stays as it was.
    """
    found = {c.number: c for c in known}
    for one in new:
        old = found.get(one.number)
        found[one.number] = (
            one
            if old is None
            else LabelClass(one.number, one.name, one.colour or old.colour, old.visible, old.locked)
        )
    return tuple(found[number] for number in sorted(found))


def _in_lines(text: str) -> tuple[LabelClass, ...]:
    found: dict[int, LabelClass] = {}
    for line in text.splitlines():
        one = _first(line, (_of_snap, _of_table))
        if one is not None and 0 < one.number < _HIGHEST:
            found.setdefault(one.number, one)
    return tuple(found[number] for number in sorted(found))


def _first(line: str, readers: Sequence[Callable[[str], LabelClass | None]]) -> LabelClass | None:
    if line.lstrip().startswith("#") or len(line) > _LONGEST:
        return None
    return next((one for one in (reader(line) for reader in readers) if one is not None), None)


def _of_snap(line: str) -> LabelClass | None:
    said = _SNAP.fullmatch(line)
    if said is None:
        return None
    colour, name = _colour(said.groups()[1:4]), said[7].strip()
    if colour is None or not name:
        return None
    return LabelClass(int(said[1]), name, colour, visible=said[6] == "1")


def _of_table(line: str) -> LabelClass | None:
    said = _TABLE.fullmatch(line)
    if said is None:
        return None
    colour, name = _colour(said.groups()[2:5]), said[2].strip('"')
    return None if colour is None or not name else LabelClass(int(said[1]), name, colour)


def _colour(levels: Sequence[Any]) -> str | None:
    numbers = [int(level) for level in levels]
    return None if max(numbers) > 255 else "#{:02x}{:02x}{:02x}".format(*numbers)


def _in_json(text: str) -> tuple[LabelClass, ...]:
    try:
        told = json.loads(text)
    except ValueError:
        return ()
    labels = told.get("labels") if isinstance(told, Mapping) else None
    found: dict[int, LabelClass] = {}
    for key, value in labels.items() if isinstance(labels, Mapping) else ():
        # Of nnU-Net 2 a name with a number, or, of regions, with several; of others the reverse.
        name, number = (key, value) if isinstance(value, int) else (value, key)
        plain = isinstance(number, int) or (isinstance(number, str) and number.isascii())
        right = isinstance(name, str) and name and plain and str(number).isdigit()
        if right and 0 < int(number) < _HIGHEST:
            found.setdefault(int(number), LabelClass(int(number), name))
    return tuple(found[number] for number in sorted(found))
