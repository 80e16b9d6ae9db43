"""What was set for a measurement: planes of different states are never of one time point."""

from __future__ import annotations

from pydicom.dataset import Dataset

from .values import first, items, number, numbers, text, value

State = tuple[float, ...]

_UNKNOWN: State = (-1.0,)
# Where scanners left the b-value before the standard had a place for it: Siemens, Philips, GE.
_PRIVATE_B = (
    (0x0019, "SIEMENS MR HEADER", 0x0C),
    (0x2001, "Philips Imaging DD 001", 0x03),
    (0x0043, "GEMS_PARM_01", 0x39),
)
_GE_OFFSET = 1e9  # added to the b-value
# Dimensions of enhanced files that say where a frame lies, and not in which state it was taken:
# position in the stack, position in the patient, stack.
_OF_SPACE = (0x00209057, 0x00200032, 0x00209056)


def of_slice(dataset: Dataset) -> tuple[State, ...]:
    """Return the states of a file without functional groups: diffusion, b-value, times, angle."""
    b = number(dataset, "DiffusionBValue")
    if b is None and text(dataset, "Modality") == "MR":
        b = _private_b(dataset)
    direction = numbers(dataset, "DiffusionGradientOrientation")
    others = (number(dataset, "InversionTime"), number(dataset, "FlipAngle"))
    return (*_diffusion(b, direction), *(_UNKNOWN if x is None else (x,) for x in others))


def of_frame(
    diffusion: Dataset | None, content: Dataset | None, whole: Dataset
) -> tuple[State, ...]:
    """Return the states of a frame: its place in the file's dimensions, diffusion, b-value."""
    named = items(whole, "DimensionIndexSequence")
    pointers = [value(item, "DimensionIndexPointer") for item in named]
    index = numbers(content, "DimensionIndexValues") or ()
    dimensions = tuple(
        at for pointer, at in zip(pointers, index, strict=False) if pointer not in _OF_SPACE
    )
    gradient = first(diffusion, "DiffusionGradientDirectionSequence")
    direction = numbers(gradient, "DiffusionGradientOrientation")
    b = number(diffusion, "DiffusionBValue")
    return (dimensions, *_diffusion(b, direction))


def _diffusion(b: float | None, direction: State | None) -> tuple[State, State]:
    if b is None:
        return _UNKNOWN, _UNKNOWN
    return (b, *(direction or ())), (b,)


def _private_b(dataset: Dataset) -> float | None:
    for group, creator, element in _PRIVATE_B:
        # The usual block: pydicom's own search looks at all 240 of each group.
        if dataset.get((group, 0x10)) is None:
            continue
        try:
            found = dataset.private_block(group, creator)[element].value
            b = float(found if isinstance(found, int | float | str) else found[0])
        except (KeyError, ValueError, TypeError, IndexError):
            continue
        return b % _GE_OFFSET
    return None
