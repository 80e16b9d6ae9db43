"""The text header of NRRD: its fields, its key and value pairs, and what its axes are.

After the definition of the format, http://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import ReadError

# Segmentations of many classes have long headers; no header is longer than this.
_LONGEST = 2**24
_ALIASES = {"centers": "centerings"}
_VECTOR = re.compile(r"none|\([^()]*\)", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        "longlong", "long long", "long long int", "signed long long", "signed long long int",
        "int64", "int64_t",
    ),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}  # fmt: skip
TYPES = {name: code for code, names in _TYPES.items() for name in names}


@dataclass(frozen=True)
class Header:
    """What a header says.

    Parameters
    ----------
    fields
        Values of the fields, by their names in lower case without blanks.
    pairs
        Values of the keys (``key:=value``), in the file's order.
    files
        The names behind ``data file: LIST``.
    end
        Where the header ends: the first byte of voxels that follow it.
    """

    path: Path
    fields: Mapping[str, str]
    pairs: Mapping[str, str]
    files: tuple[str, ...]
    end: int

    def number(self, name: str, default: int) -> int:
        """Return a whole number; raises ReadError if the field is something else."""
        text = self.fields.get(name)
        if text is None:
            return default
        try:
            return int(text)
        except ValueError:
            raise self.wrong(name) from None

    def numbers(self, name: str, count: int) -> list[float] | None:
        """Return one number an axis, or None if there is no such field."""
        if name not in self.fields:
            return None
        try:
            found = [float(word) for word in self.fields[name].split()]
        except ValueError:
            raise self.wrong(name) from None
        if len(found) != count:
            raise self.wrong(name)
        return found

    def words(self, name: str, count: int) -> list[str]:
        """Return one word an axis, empty ones if there is no such field."""
        found = self.fields.get(name, "").split()
        if found and len(found) != count:
            raise self.wrong(name)
        return found or [""] * count

    def quoted(self, name: str, count: int) -> list[str]:
        """Return one text in quotation marks an axis; those that lack are empty."""
        found = [re.sub(r"\\(.)", r"\1", t) for t in _QUOTED.findall(self.fields.get(name, ""))]
        return (found + [""] * count)[:count]

    def vectors(self, name: str) -> list[np.ndarray | None] | None:
        """Return the vectors of a field, ``None`` for each that is "none"."""
        if name not in self.fields:
            return None
        found: list[np.ndarray | None] = []
        for part in _VECTOR.findall(self.fields[name]):
            if part.lower() == "none":
                found.append(None)
                continue
            try:
                found.append(np.array([float(n) for n in part[1:-1].split(",")]))
            except ValueError:
                raise self.wrong(name) from None
        return found

    def wrong(self, name: str) -> ReadError:
        """Return the error of a field that cannot be understood."""
        said = self.fields.get(name, "")[:80]
        return ReadError(
            f"{self.path} has a damaged header: {name!r} says {said!r}. Copy it from its source "
            "again."
        )


def parse(path: Path, file: IO[bytes]) -> Header:
    """Read the header at the start of a file.

    Raises
    ------
    ReadError
        If it is no NRRD header, or has no end.
    """
    magic = file.readline(16)
    if not re.fullmatch(rb"NRRD\d{4}\r?\n", magic):
        raise ReadError(f"{path} is not a NRRD file: it lacks the header. Check what it is.")
    if int(magic[4:8]) > 5:
        raise ReadError(
            f"{path} is of NRRD version {int(magic[4:8])}; 5 is the newest that is known. Save it "
            "in an older one."
        )
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    files: list[str] = []
    while line := file.readline(_LONGEST):
        text = _decoded(line).rstrip("\r\n")
        if file.tell() > _LONGEST:
            raise ReadError(f"{path} is damaged: its header has no end. Copy it again.")
        if not text:
            break
        if files or fields.get("datafile", "").upper().startswith("LIST"):
            files.append(text.strip())
            continue
        if text.startswith("#"):
            continue
        key, mark, value = text.partition(":")
        if not mark:
            raise ReadError(f"{path} has a damaged header: {text[:80]!r}. Copy it again.")
        if value.startswith("="):
            pairs[_unescaped(key)] = _unescaped(value[1:])
        else:
            name = re.sub(r"\s", "", key).lower()
            fields[_ALIASES.get(name, name)] = value.strip()
    return Header(path, fields, pairs, tuple(files), file.tell())


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\\n])", lambda m: "\n" if m[1] == "n" else "\\", text)


def escaped(text: str) -> str:
    """Return a value as it is written behind ``key:=``."""
    return text.replace("\\", "\\\\").replace("\r", " ").replace("\n", "\\n")
