"""Settings of the operations that change the shape of labels, combine layers, or copy slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..settings import Settings, option

Extent = Literal["volume", "slice", "slices"]


def _distance(default: float | None, help: str) -> Any:
    words = " In the unit of the image: millimetres, micrometres, or pixels."
    return option(default, help + words, minimum=0, step=0.5, advanced=False)


def _extent() -> Any:
    return option(
        "volume",
        "Where distances are measured: in the volume; in the slice that is seen, which alone "
        "changes; or in every slice along its axis by itself.",
        advanced=False,
    )


def _over(help: str) -> Any:
    return option(False, help, label="Over other labels", advanced=False)


@dataclass(frozen=True)
class Smooth(Settings):
    """How labels are smoothed."""

    sigma: float = _distance(2.0, "How wide the Gaussian is: details much smaller than this go.")
    extent: Extent = _extent()


@dataclass(frozen=True)
class Round(Settings):
    """How labels are opened or closed."""

    radius: float = _distance(2.0, "Radius of the ball: what is narrower than two of it changes.")
    extent: Extent = _extent()


@dataclass(frozen=True)
class Erode(Settings):
    """How labels are eroded."""

    distance: float = _distance(2.0, "How far the border moves in.")
    extent: Extent = _extent()


@dataclass(frozen=True)
class Dilate(Settings):
    """How labels are dilated."""

    distance: float = _distance(2.0, "How far the border moves out.")
    over: bool = _over("Grow over labels that are not selected, and not over background alone.")
    extent: Extent = _extent()


@dataclass(frozen=True)
class Expand(Settings):
    """How labels grow into the background between them."""

    distance: float | None = _distance(
        None, "How far labels grow: auto is until no background is left."
    )
    gap: bool = option(False, "Leave a line of background between labels that meet.")
    extent: Extent = _extent()


@dataclass(frozen=True)
class Threshold(Settings):
    """How voxels become a label by their intensity."""

    lower: float | None = option(
        None,
        "The lowest intensity that counts: auto is Otsu's threshold, or none where an upper limit "
        "is given.",
        advanced=False,
    )
    upper: float | None = option(
        None, "The highest intensity that counts: auto is no limit.", advanced=False
    )
    into: int | None = option(
        None,
        "The label that voxels become: auto is the selected one, or 1.",
        label="Into number",
        minimum=1,
        advanced=False,
    )
    over: bool = _over("Replace other labels too, and not background alone.")
    clear: bool = option(
        False,
        "Make voxels of the label that lie outside the range background.",
        label="Clear outside the range",
        advanced=False,
    )
    extent: Literal["volume", "slice"] = option(
        "volume", "Whether the volume changes, or the slice that is seen.", advanced=False
    )


@dataclass(frozen=True)
class Combine(Settings):
    """How labels are combined with those of a second layer."""

    how: Literal["or", "and", "minus", "xor", "replace"] = option(
        "or",
        "or adds the other labels; and keeps what the other layer has too; minus removes what it "
        "has; xor removes what both have and adds the rest; replace takes the other labels "
        "instead.",
        advanced=False,
    )
    same: bool = option(
        False,
        "Compare each label with that of the same number, instead of with all others.",
        label="Same number only",
        advanced=False,
    )
    over: bool = _over("Where both layers have a label, take that of the other layer.")
    into: int | None = option(
        None,
        "The number of what is added: auto is the one that it has in the other layer.",
        label="Into number",
        minimum=1,
    )
    new_numbers: bool = option(
        False, "Give labels that are added numbers that are not taken, as objects need."
    )


@dataclass(frozen=True)
class CopySlice(Settings):
    """How the slice that is seen is copied."""

    to: Literal["next", "previous"] = option(
        "next", "To which side of the slice that is seen.", advanced=False
    )
    slices: int = option(1, "To how many slices.", minimum=1, advanced=False)
    over: bool = _over("Replace other labels there, and not background alone.")
    clear: bool = option(
        True,
        "Remove what the slices have of the copied labels first.",
        label="Replace what is there",
        advanced=False,
    )


@dataclass(frozen=True)
class Lasso(Settings):
    """What becomes of labels inside an outline."""

    action: Literal["delete", "keep", "relabel"] = option(
        "delete",
        "Delete what lies inside the outline, keep it and delete the rest, or give it another "
        "number.",
        advanced=False,
    )
    into: int | None = option(
        None,
        "The number that relabel gives: auto is the first one that is free.",
        label="New number",
        minimum=1,
        advanced=False,
    )
    extent: Literal["volume", "slice"] = option(
        "volume",
        "Whether the cut goes through the volume, straight away from the outline, or through the "
        "slice that is seen.",
        advanced=False,
    )
