"""What a compressed frame says of itself, before a decoder sees it.

GDCM ends the whole program where a frame is not of the size that its file promises.
"""

from __future__ import annotations

import struct

# Frame headers of JPEG (ITU-T T.81, table B.1) and JPEG-LS (T.87): all SOF but DHT, JPG, DAC.
_FRAMES = (*(m for m in range(0xC0, 0xD0) if m not in (0xC4, 0xC8, 0xCC)), 0xF7)


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
