"""What a review looks for, as work that goes on beside the window."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import VolumeError
from ..events import Busy, Event, Measured
from ..labels.measure import measure_steps
from ..labels.pairs import numbered_like
from ..labels.proposals import Proposals, differences
from ..labels.review import (
    Finding,
    disagreeing_objects,
    disagreeing_slices,
    odd_objects,
    odd_slices,
    ranked,
    uncertain_objects,
    uncertain_slices,
)
from ..labels.scene import Scene
from ..labels.table import Table
from ..volume import LabelKind

Reason = Literal["odd", "uncertain", "different"]
By = Literal["object", "slice"]


@dataclass(frozen=True)
class Reviewed(Event):
    """The last event of a search: what is worth looking at, the first first."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Proposed(Event):
    """The last event of a comparison: the regions in which a proposal differs."""

    proposals: Proposals


@dataclass(frozen=True)
class Search:
    """What to look for.

    Parameters
    ----------
    reason
        ``"odd"``: objects of odd size or shape, slices with gaps and jumps. ``"uncertain"``: by
        what the model was unsure of. ``"different"``: by other labels of the same image.
    by
        Whether objects or slices are listed.
    kind
        Whether the numbers are classes, or objects which may have others in other labels.
    who
        The names of the labels and of the other ones.
    """

    reason: Reason
    by: By
    kind: LabelKind = "classes"
    who: tuple[str, str] = ("these labels", "the others")


def search_steps(search: Search, scene: Scene, other: Any = None) -> Generator[Event, None, None]:
    """Yield the progress of a search, and at last `Reviewed`.

    Parameters
    ----------
    search
        What to look for.
    scene
        The labels; those that are selected there are looked at, or all.
    other
        The map of uncertainty, or the other labels.

    Raises
    ------
    VolumeError
        If slices of a picture are asked for, or the arrays differ in shape.
    """
    if search.by == "slice" and scene.ndim == 2:
        raise VolumeError("A picture has one slice: look for objects.")
    if other is not None and tuple(other.shape) != scene.shape:
        raise VolumeError(
            f"Labels of shape {scene.shape} are not on the voxels of {tuple(other.shape)}."
        )
    yield Busy()
    if search.by == "object" and search.reason != "different":
        # Of an uncertain object the map is what is measured as its image.
        image = other if search.reason == "uncertain" else None
        steps = measure_steps(scene.labels, spacing=scene.spacing, image=image)
        for event in steps:
            if isinstance(event, Measured):
                unsure = search.reason == "uncertain"
                table, kind = event.table, search.kind
                yield Reviewed(
                    uncertain_objects(table) if unsure else odd_objects(table, kind=kind)
                )
            else:
                yield event
        return
    yield Reviewed(_at_once(search, scene, other))


def _of_table(search: Search, table: Table) -> tuple[Finding, ...]:
    if search.reason == "uncertain":
        return uncertain_objects(table)
    return odd_objects(table, kind=search.kind)


def _at_once(search: Search, scene: Scene, other: Any) -> tuple[Finding, ...]:
    if search.reason == "odd":
        return ranked(odd_slices(scene.labels, names=dict(scene.names)))
    if search.reason == "uncertain":
        return uncertain_slices(scene.labels, other)
    if search.by == "object":
        return disagreeing_objects(scene.labels, other, kind=search.kind, who=search.who)
    if search.kind == "instances":
        other = numbered_like(other, scene.labels)
    return disagreeing_slices(scene.labels, other, who=search.who)


def proposal_steps(
    scene: Scene, proposed: Any, *, kind: LabelKind, min_volume: float = 0.0
) -> Generator[Event, None, None]:
    """Yield the progress of the comparison of labels with a proposal, and at last `Proposed`.

    Raises VolumeError if they differ in shape.
    """
    if tuple(proposed.shape) != scene.shape:
        raise VolumeError(
            f"Labels of shape {scene.shape} are not on the voxels of {tuple(proposed.shape)}."
        )
    yield Busy()
    if kind == "instances":
        proposed = numbered_like(proposed, scene.labels)
        yield Busy()
    yield Proposed(
        differences(scene.labels, proposed, spacing=scene.spacing, min_volume=min_volume)
    )
