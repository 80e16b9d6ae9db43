"""BioImage.IO's axes and sizes as the engine's: which axes are space, and what windows may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# A window of about this many voxels a side where a model leaves the choice.
_WINDOW = {2: 512, 3: 96}
_LETTERS = {"batch": "b", "channel": "c", "time": "t", "index": "i"}


class UnfittingError(Exception):
    """Tensors that the engine has no place for; says why."""


@dataclass(frozen=True)
class Axes:
    """The axes of an image and its output.

    Attributes
    ----------
    taken, given
        One letter an axis of the input and of the output.
    spatial
        Those that images have, slowest first.
    window, fixed, multiple
        A window's sides, whether it can be no other, and what they are multiples of.
    overlap
        At least twice the halo.
    batch_one
        Whether the batch axis has length 1.
    channels, classes
        Names of the channels of the input and of the output.
    pixel
        What the model says of its pixels, such as ``"0.5 µm"``; may be empty.
    """

    taken: str
    given: str
    spatial: str
    window: tuple[int, ...]
    fixed: bool
    multiple: tuple[int, ...]
    overlap: float
    batch_one: bool
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    pixel: str

    @property
    def dims(self) -> int:
        """Number of spatial axes."""
        return len(self.spatial)

    @property
    def plain(self) -> str:
        """The axes as the engine has them."""
        return "bc" + self.spatial


def read_axes(taken: Any, given: Any) -> Axes:
    """Return the axes of a model's input and output.

    Raises
    ------
    UnfittingError
        For time, for outputs of another size than the input, and for other than 2 or 3 axes.
    """
    sides = {_letter(axis): axis for axis in taken.axes}
    spatial = [axis for axis in "zyx" if axis in sides and sides[axis].size != 1]
    if "".join(spatial) not in ("yx", "zyx"):
        raise UnfittingError(
            f"its input has the axes {', '.join(sides)}: 2D or 3D images are needed"
        )
    for letter in "ti":
        if letter in sides and sides[letter].size != 1:
            raise UnfittingError(f"it takes several images at once, along axis {sides[letter].id}")
    outs = {_letter(axis): axis for axis in given.axes}
    halo = [_check_output(axis, taken, sides, outs) for axis in spatial]
    for letter, axis in outs.items():
        if letter not in ("b", "c", *spatial) and axis.size != 1:
            raise UnfittingError(f"its output has an axis {axis.id}, which images have not")
    window, multiple = zip(*(_window(sides[a], sides, len(spatial)) for a in spatial), strict=True)
    fixed = all(step == 0 for step in multiple)
    overlap = max(0.25, *(2 * h / w for h, w in zip(halo, window, strict=True)))
    return Axes(
        taken="".join(sides),
        given="".join(outs),
        spatial="".join(spatial),
        window=window,
        fixed=fixed,
        multiple=tuple(step or side for step, side in zip(multiple, window, strict=True)),
        overlap=min(0.9, overlap),
        batch_one="b" not in sides or sides["b"].size == 1,
        channels=_names(sides),
        classes=_names(outs),
        pixel=_pixel([sides[a] for a in spatial]),
    )


def _letter(axis: Any) -> str:
    return _LETTERS.get(axis.type) or str(axis.id)


def _names(sides: dict[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, sides["c"].channel_names)) if "c" in sides else ("channel0",)


def _check_output(letter: str, taken: Any, sides: dict[str, Any], outs: dict[str, Any]) -> int:
    """Return the halo along an axis; raise UnfittingError unless input and output are as long."""
    if letter not in outs:
        raise UnfittingError(f"its output has no axis {letter}: it is no image")
    size, axis = outs[letter].size, sides[letter]
    if isinstance(size, int):
        same = size == axis.size
    else:
        of_input = getattr(size, "tensor_id", None) == taken.id and str(size.axis_id) == letter
        same = of_input and not size.offset and math.isclose(outs[letter].scale, axis.scale)
    if not same:
        raise UnfittingError(f"its output is not as large as its input along axis {letter}")
    return int(getattr(outs[letter], "halo", 0) or 0)


def _window(axis: Any, sides: dict[str, Any], dims: int) -> tuple[int, int]:
    """Return a side of the window and its step; 0 where it can be no other."""
    size = axis.size
    if isinstance(size, int):
        return size, 0
    if not hasattr(size, "min"):  # as long as another axis
        return _window(sides[str(size.axis_id)], sides, dims)
    more = max(0, math.ceil((_WINDOW[dims] - size.min) / size.step))
    window = size.min + more * size.step
    return window, size.step if window % size.step == 0 else 0


def _pixel(axes: Sequence[Any]) -> str:
    told = [(axis.scale, axis.unit) for axis in axes if axis.unit and axis.scale]
    return " x ".join(f"{scale:g} {unit}" for scale, unit in told) if len(told) == len(axes) else ""
