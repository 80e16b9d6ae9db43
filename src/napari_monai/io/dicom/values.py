"""Values out of DICOM elements, whatever a scanner or an anonymiser has left in them."""

from __future__ import annotations

import contextlib
import functools
import math
import re
import warnings
from collections.abc import Iterator
from typing import Any

from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from ..files import quiet

# Types of elements whose values are plain text. Where it is ASCII, it is that in every character
# set of DICOM, but behind the escape with which some of them switch.
_PLAIN = frozenset(("CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UI"))
_ESCAPE = b"\x1b"


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """Keep pydicom's opinions of odd values, which may quote a patient's name, to itself."""
    with warnings.catch_warnings(), quiet("pydicom"), config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def value(dataset: Dataset | None, keyword: str) -> Any:
    """Return the value of an element; ``None`` if it is missing, empty or cannot be read."""
    # By tags: keywords are looked up slowly, and a series of slices asks for some 20 000.
    tag, kind = _tag(keyword)
    if dataset is None:
        return None
    try:
        element: Any = dataset.get_item(tag)  # None, whatever its type says
        if element is None:
            return None
        found = _quick(element, kind)
        if found is None:
            found = dataset[tag].value
    except Exception:  # pydicom converts when it is asked, and raises whatever that raises
        return None
    return None if found is None or found == "" else found


def has(dataset: Dataset, keyword: str) -> bool:
    """Whether an element is there, whatever it holds."""
    return _tag(keyword)[0] in dataset.keys()  # noqa: SIM118 (a dataset is no dict)


def _quick(element: Any, kind: str) -> Any:
    """Return the value of an element that pydicom has not converted yet; ``None`` to let it.

    Its conversion takes longer than reading the file. ``kind`` is the type that the element has
    where the file does not say it.
    """
    if not isinstance(element, RawDataElement):
        return None
    raw = element.value
    if not raw:
        return None
    kind = element.VR or kind
    if kind == "US" and len(raw) == 2:
        return int.from_bytes(raw, "little" if element.is_little_endian else "big")
    if kind not in _PLAIN or not raw.isascii() or _ESCAPE in raw:
        return None
    plain = raw.decode("ascii").rstrip("\0 ")
    return plain.split("\\") if "\\" in plain else plain.strip()


@functools.cache
def _tag(keyword: str) -> tuple[BaseTag, str]:
    """Return the tag of an element and its type, if there is but one."""
    tag = Tag(keyword)
    return tag, dictionary_VR(tag)


def text(dataset: Dataset | None, keyword: str) -> str:
    """Return an element as text without spaces at its ends; empty if there is none."""
    found = value(dataset, keyword)
    return "" if found is None else " ".join(str(found).replace("\0", " ").split())


def number(dataset: Dataset | None, keyword: str) -> float | None:
    """Return an element as one finite number."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def numbers(dataset: Dataset | None, keyword: str) -> tuple[float, ...] | None:
    """Return an element as finite numbers, one or several."""
    found = value(dataset, keyword)
    if found is None:
        return None
    several = [found] if isinstance(found, str | int | float) else found
    try:
        result = tuple(float(x) for x in several)
    except (TypeError, ValueError):
        return None
    return result if result and all(math.isfinite(x) for x in result) else None


def whole(dataset: Dataset | None, keyword: str, other: int = 0) -> int:
    """Return an element as a whole number, or ``other``."""
    found = number(dataset, keyword)
    return other if found is None else int(found)


def words(dataset: Dataset | None, keyword: str) -> tuple[str, ...]:
    """Return the values of a text element of several values."""
    found = value(dataset, keyword)
    if found is None:
        return ()
    several = [found] if isinstance(found, str) else found
    try:
        return tuple(str(x).strip().upper() for x in several)
    except TypeError:
        return ()


def items(dataset: Dataset | None, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; empty if there is none."""
    found = value(dataset, keyword)
    try:
        return [x for x in found if isinstance(x, Dataset)] if found is not None else []
    except TypeError:
        return []


def first(dataset: Dataset | None, keyword: str) -> Dataset | None:
    """Return the first item of a sequence."""
    found = items(dataset, keyword)
    return found[0] if found else None


def seconds(dataset: Dataset | None, *keywords: str) -> float | None:
    """Return the time of day, or of a date and time, in seconds: from the first that is there."""
    for keyword in keywords:
        written = re.fullmatch(
            r"(?:(\d{4})(\d\d)(\d\d))??(\d\d)(\d\d)(\d\d(?:\.\d*)?)?(?:[+-]\d{4})?",
            text(dataset, keyword),
        )
        if written:
            _, _, day, hours, minutes, rest = written.groups()
            of_day = int(hours) * 3600 + int(minutes) * 60 + float(rest or 0)
            return int(day or 0) * 86400 + of_day
    return None
