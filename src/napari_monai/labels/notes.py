"""Notes on labels, kept beside their file: what is shown and locked, flagged, done, corrected.

They are JSON in ``NAME.notes.json`` beside the file ``NAME``, for what its format has no room for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, Self

from ..volume import LabelClass

Marked = Literal["object", "slice"]


@dataclass(frozen=True)
class Note:
    """What a reviewer has said of an object or a slice.

    Parameters
    ----------
    done
        Whether it was looked at and is right.
    flags
        Words of the reviewer's own, as ``("unsure", "ask")``.
    centroid
        Where the object was, in voxels: by it the note is found again when the object has
        another number. ``None`` of slices.
    """

    done: bool = False
    flags: tuple[str, ...] = ()
    centroid: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Notes:
    """All notes on one array of labels; frozen, each change is a new one.

    Parameters
    ----------
    classes
        The classes as the reviewer has them, with what is shown and locked.
    objects, slices
        By number of the label, and by index along the first axis.
    corrected
        The slices that were changed by hand.
    at
        Key of the finding that was looked at last, see `napari_monai.labels.review.Finding`.
    """

    classes: tuple[LabelClass, ...] = ()
    objects: Mapping[int, Note] = field(default_factory=dict)
    slices: Mapping[int, Note] = field(default_factory=dict)
    corrected: frozenset[int] = frozenset()
    at: str = ""

    def __post_init__(self) -> None:
        for name in ("objects", "slices"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def of(self, what: Marked, number: int) -> Note:
        """Return the note on an object or a slice; an empty one where there is none."""
        return (self.objects if what == "object" else self.slices).get(number, Note())

    def marked(self, what: Marked, number: int, **changes: Any) -> Self:
        """Return notes in which that on an object or a slice has other values.

        ``changes`` are fields of `Note`. A note that says nothing any more is left out.
        """
        kept = dict(self.objects if what == "object" else self.slices)
        note = replace(self.of(what, number), **changes)
        if note.done or note.flags:
            kept[number] = note
        else:
            kept.pop(number, None)
        return replace(self, objects=kept) if what == "object" else replace(self, slices=kept)

    def with_classes(self, classes: Iterable[LabelClass]) -> Self:
        """Return notes with these classes."""
        return replace(self, classes=tuple(classes))

    def with_corrected(self, slices: Iterable[int]) -> Self:
        """Return notes in which these slices were changed by hand, too."""
        return replace(self, corrected=self.corrected | frozenset(slices))

    def looking_at(self, key: str) -> Self:
        """Return notes in which the finding of this key was looked at last."""
        return replace(self, at=key)

    @property
    def done(self) -> frozenset[str]:
        """The keys of all that is done, as those of findings: ``"object 12"``, ``"slice 40"``."""
        objects = (f"object {n}" for n, note in self.objects.items() if note.done)
        slices = (f"slice {n}" for n, note in self.slices.items() if note.done)
        return frozenset([*objects, *slices])
