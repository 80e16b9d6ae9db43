"""Whether a TIFF is all there: libraries pass over pages and tags that lie beyond the end."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import ReadError

# Bytes of a value of each type: TIFF 6.0, section 2, and BigTIFF.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
# Tags without which a page means something else: description, strips, tiles, resolution,
# samples, palette. Makers' own tags often point anywhere.
_NEEDED = {258, 270, 273, 279, 282, 283, 320, 324, 325, 338, 339}


@dataclass(frozen=True)
class _Kind:
    """How the numbers of a file are packed: byte order, and the sizes of TIFF or BigTIFF."""

    order: str
    count: str
    link: str
    entry: str

    def one(self, code: str, content: bytes) -> int:
        return int(struct.unpack(self.order + code, content)[0])


_PLAIN, _BIG = ("H", "I", "HHII"), ("Q", "Q", "HHQQ")


def check_complete(path: Path) -> None:
    """Refuse a file that is no TIFF, or whose pages and their tags do not all lie inside it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        version = struct.unpack(order + "H", head[2:4])[0] if order and len(head) >= 8 else 0
        if order is None or version not in (42, 43):
            raise ReadError(f"{path} is not a TIFF file. Check what it is.")
        kind = _Kind(order, *(_BIG if version == 43 else _PLAIN))
        seen: set[int] = set()
        try:
            at = kind.one(kind.link, head[8:16] if version == 43 else head[4:8])
            while at and at not in seen:
                seen.add(at)
                at = _next_page(file, at, size, kind)
        except (struct.error, OSError, OverflowError):
            raise ReadError(
                f"{path} is truncated or damaged: page {len(seen)} lies beyond its {size} bytes. "
                "Copy it from its source again."
            ) from None


def _next_page(file: BinaryIO, at: int, size: int, kind: _Kind) -> int:
    """Check the page at an offset and return the next one's, 0 after the last.

    Raises struct.error or OSError where it reaches beyond the file.
    """
    file.seek(at)
    n = kind.one(kind.count, file.read(struct.calcsize(kind.count)))
    width = struct.calcsize("=" + kind.entry)
    if file.tell() + n * width > size:
        raise struct.error
    inline = struct.calcsize(kind.link)
    for tag, form, count, offset in struct.iter_unpack(
        kind.order + kind.entry, file.read(n * width)
    ):
        length = count * _SIZES.get(form, 1)
        if tag in _NEEDED and length > inline and offset + length > size:
            raise struct.error
    return kind.one(kind.link, file.read(inline))
