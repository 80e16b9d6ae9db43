"""The CSA header: the binary list of names and values in the private elements of Siemens scanners.

There is no public specification. Layout after the description in nibabel's documentation
(https://nipy.org/nibabel/dicom/siemens_csa.html), which distinguishes CSA1 and CSA2.
"""

from __future__ import annotations

import struct

_MOST_TAGS = 1024
_MOST_ITEMS = 4096


def parse(content: bytes) -> dict[str, tuple[str, ...]]:
    """Return the values of every name in a CSA header, as text, without the empty ones.

    Raises
    ------
    ValueError
        If the bytes are no CSA header, or end too early.
    """
    second = content[:4] == b"SV10"
    at = 8 if second else 0
    try:
        (count,) = struct.unpack_from("<I", content, at)
        if not 1 <= count <= _MOST_TAGS:
            raise ValueError("no CSA header")
        at += 8
        found: dict[str, tuple[str, ...]] = {}
        first_items = 0
        for number in range(count):
            name, items = struct.unpack_from("<64s4x4x4xI", content, at)
            first_items = items if number == 0 else first_items
            values, at = _items(content, at + 84, items, None if second else first_items)
            found[_text(name)] = values
    except struct.error as error:
        raise ValueError("the CSA header is truncated") from error
    return found


def _items(
    content: bytes, at: int, count: int, first_items: int | None
) -> tuple[tuple[str, ...], int]:
    """Return the values of one tag, and where the next one starts."""
    if count > _MOST_ITEMS:
        raise ValueError("no CSA header")
    values = []
    for _ in range(count):
        lengths = struct.unpack_from("<4i", content, at)
        # CSA1 hides the length in the first number, shifted by the items of the first tag.
        length = lengths[1] if first_items is None else lengths[0] - first_items
        at += 16
        if length < 0 or at + length > len(content):
            if first_items is None:
                raise ValueError("the CSA header is truncated")
            break
        values.append(_text(content[at : at + length]))
        at += -(-length // 4) * 4
    return tuple(v for v in values if v), at


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("latin-1").strip()
