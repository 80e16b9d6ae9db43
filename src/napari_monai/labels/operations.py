"""The table of operations on labels: what a button, the command line and a script can run.

The table is light: what an operation needs is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import EditError, did_you_mean
from ..settings import Settings
from .rows import Operation
from .rows_clean import ROWS_CLEAN
from .rows_grow import ROWS_GROW
from .rows_numbers import ROWS_NUMBERS
from .rows_shape import ROWS_SHAPE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..events import Event
    from .changes import Edit
    from .scene import Region, Scene

OPERATIONS: Mapping[str, Operation] = {
    row.name: row for row in (*ROWS_CLEAN, *ROWS_SHAPE, *ROWS_GROW, *ROWS_NUMBERS)
}


def operation(name: str) -> Operation:
    """Return the operation of a name; raise EditError where there is none."""
    if name not in OPERATIONS:
        raise EditError(f"No operation named {name!r}. {did_you_mean(name, OPERATIONS)}")
    return OPERATIONS[name]


def run(name: str, scene: Scene, settings: Settings | None = None) -> Iterator[Event]:
    """Run an operation; the last event is `Edited`, with what it wants to change.

    Parameters
    ----------
    name
        In the table.
    scene
        What it may look at.
    settings
        Of the type that the table says; its defaults when left out.

    Raises
    ------
    EditError
        For an unknown name, or where something is missing that the operation works from; at once,
        not with the first event.
    """
    row = operation(name)
    kind = row.settings_type()
    settings = kind() if settings is None else settings
    if not isinstance(settings, kind):
        raise EditError(f"{row.title} takes {kind.__name__}, not {type(settings).__name__}.")
    missing = row.missing(scene)
    if missing:
        raise EditError(f"{row.title}: {' '.join(missing)}")
    return row.load()(scene, settings)


def run_on(
    name: str,
    scene: Scene,
    settings: Settings | None = None,
    *,
    watch: Callable[[Iterator[Event]], Iterator[Event]] = iter,
) -> Edit:
    """Run an operation to its end and return its edit; ``watch`` passes the events on."""
    from ..events import Edited

    for event in watch(run(name, scene, settings)):
        if isinstance(event, Edited):
            return event.edit
    raise AssertionError(f"{name} ended without an edit")


def edit_labels(
    labels: npt.NDArray[Any],
    name: str,
    *,
    spacing: Sequence[float],
    selected: Iterable[int] = (),
    locked: Iterable[int] = (),
    region: Region | npt.NDArray[np.bool_] | None = None,
    image: npt.NDArray[Any] | None = None,
    other: npt.NDArray[Any] | None = None,
    points: npt.ArrayLike | None = None,
    lines: Iterable[npt.ArrayLike] = (),
    plane: tuple[int, int] | None = None,
    **settings: Any,
) -> npt.NDArray[Any]:
    """Return labels as an operation makes them: what the buttons of *Edit labels* do.

    ``edit_labels(labels, "remove-small", spacing=(3, 1, 1), min_size=50)``

    Parameters
    ----------
    labels
        Whole numbers, 0 for background, shape (z, y, x) or (y, x); not changed.
    name
        Of the operation: one of `OPERATIONS`, or of ``napari-monai labels list``.
    spacing
        Size of a voxel along each axis.
    selected
        The labels to work on; all when left out.
    locked
        Labels that neither lose nor gain a voxel.
    region
        Where something may change: one truth value a voxel of the array, or a `Region`.
    image, other
        The image, or second labels, of the same shape, for operations that look at them.
    points
        Seeds, shape (n, axes), in voxels.
    lines
        Lines or polygons, each of shape (vertices, axes), in voxels.
    plane
        Axis and index of a slice, for operations on slices.
    **settings
        Of the operation.

    Raises
    ------
    EditError
        For an unknown name, arrays that do not fit, or something missing.
    SettingsError
        For a setting that is unknown or out of its range.
    """
    import numpy as np

    from .scene import Region, Scene

    if region is not None and not isinstance(region, Region):
        mask = np.asarray(region)
        region = Region(tuple(slice(0, n) for n in mask.shape), mask)
    labels = np.asarray(labels)
    scene = Scene(
        labels,
        tuple(float(s) for s in spacing),
        selected=tuple(selected),
        locked=frozenset(locked),
        region=region,
        image=image,
        other=other,
        points=np.empty((0, 0)) if points is None else np.asarray(points, np.float64),
        lines=tuple(np.asarray(line, np.float64) for line in lines),
        plane=plane,
    )
    edit = run_on(name, scene, operation(name).settings_type().from_json(settings))
    result = labels.copy()
    edit.apply(result)
    return result
