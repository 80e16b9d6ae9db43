"""Colours of segments: ``"#rrggbb"`` to the CIELab numbers of DICOM and back.

DICOM PS3.3 C.10.7.1.1: CIE 1976 L*a*b* against D50, as ICC profiles have it; L* from 0 to 100 and
a*, b* from -128 to 127, each spread over 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_D50 = np.array((0.9642, 1.0, 0.8249))
# Linear sRGB (IEC 61966-2-1) to XYZ, adapted from D65 to D50 by Bradford's method.
_XYZ = np.array(
    (
        (0.4360747, 0.3850649, 0.1430804),
        (0.2225045, 0.7168786, 0.0606169),
        (0.0139322, 0.0971045, 0.7141733),
    )
)
_RANGE = (np.array((0.0, -128.0, -128.0)), np.array((100.0, 255.0, 255.0)))
_BEND = 6 / 29


def from_hex(colour: str) -> list[int]:
    """Return the three 16-bit numbers of a colour."""
    red_green_blue = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(
        red_green_blue <= 0.04045, red_green_blue / 12.92, ((red_green_blue + 0.055) / 1.055) ** 2.4
    )
    ratio = _XYZ @ linear / _D50
    x, y, z = np.where(ratio > _BEND**3, np.cbrt(ratio), ratio / (3 * _BEND**2) + 4 / 29)
    lab = np.array((116 * y - 16, 500 * (x - y), 200 * (y - z)))
    lowest, width = _RANGE
    return [int(n) for n in np.rint((lab - lowest) / width * 65535).clip(0, 65535)]


def to_hex(numbers: Sequence[float]) -> str:
    """Return the colour of three 16-bit numbers; one that no screen shows is brought near."""
    lowest, width = _RANGE
    light, a, b = np.asarray(numbers, np.float64) / 65535 * width + lowest
    y = (light + 16) / 116
    bent: npt.NDArray[np.float64] = np.array((y + a / 500, y, y - b / 200))
    ratio = np.where(bent > _BEND, bent**3, 3 * _BEND**2 * (bent - 4 / 29))
    linear = np.linalg.solve(_XYZ, ratio * _D50).clip(0, 1)
    shown = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{int(n):02x}" for n in np.rint(shown * 255))
