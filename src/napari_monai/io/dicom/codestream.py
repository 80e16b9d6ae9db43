"""What compressed content says of itself, before a decoder sees it.

GDCM ends the whole program where a frame is not of the size that its file promises; pydicom
unpacks a deflated file whole, however much that is.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

# Frame headers of JPEG (ITU-T T.81, table B.1) and JPEG-LS (T.87): all SOF but DHT, JPG, DAC.
_FRAMES = (*(m for m in range(0xC0, 0xD0) if m not in (0xC4, 0xC8, 0xCC)), 0xF7)


_DEFLATED = b"1.2.840.10008.1.2.1.99"
_CHUNK = 2**20
# Empty slices shrink more than others; above this size the ratio counts.
MOST_RATIO = 200
RATIO_FROM = 2**26


def is_bomb(file: BinaryIO, size: int) -> bool:
    """Whether a file of so many bytes is deflated and would unpack to far more than an image.

    The file is left at its start.
    """
    head = file.read(1024)
    if _DEFLATED in head and head[128:132] == b"DICM" and len(head) > 144:
        # Behind the meta group, whose first element is its length.
        file.seek(144 + struct.unpack_from("<I", head, 140)[0])
        most = max(RATIO_FROM, size * MOST_RATIO)
        bomb = _inflated(file, most) > most
    else:
        bomb = False
    file.seek(0)
    return bomb


def _inflated(file: BinaryIO, most: int) -> int:
    """Return how many bytes the rest of a file unpacks to; counted no further than ``most``."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    while total <= most and not unpacker.eof:
        packed = unpacker.unconsumed_tail or file.read(_CHUNK)
        if not packed:
            break
        total += len(unpacker.decompress(packed, _CHUNK))
    return total


def fits(frame: bytes, rows: int, columns: int, samples: int, allocated: int) -> bool:
    """Whether a JPEG, JPEG-LS or JPEG 2000 frame is of this size; ``False`` if it is neither."""
    try:
        found = _jpeg_2000(frame) if frame[:2] == b"\xff\x4f" else _jpeg(frame)
    except (struct.error, IndexError):
        return False
    return found is not None and found[:3] == (rows, columns, samples) and found[3] <= allocated


def _jpeg(frame: bytes) -> tuple[int, int, int, int] | None:
    """Return rows, columns, components and bits from the frame header."""
    if frame[:2] != b"\xff\xd8":
        return None
    at = 2
    while True:
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF:  # filling
            at += 1
            continue
        (length,) = struct.unpack_from(">H", frame, at + 2)
        if marker in _FRAMES:
            bits, rows, columns, components = struct.unpack_from(">BHHB", frame, at + 4)
            return rows, columns, components, bits
        at += 2 + length


def _jpeg_2000(frame: bytes) -> tuple[int, int, int, int] | None:
    """Return rows, columns, components and bits from SIZ, ITU-T T.800, A.5.1: it comes first."""
    if frame[2:4] != b"\xff\x51":
        return None
    right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
    components, bits = struct.unpack_from(">HB", frame, 40)
    return bottom - top, right - left, components, (bits & 0x7F) + 1
