"""Labels of which only a part was made: what nobody has labelled counts nowhere.

Once read, voxels that are not labelled are `IGNORED`, whatever the file says of them: a number
of its own (255, -1), all that is 0 (scribbles), or whole slices that nobody has corrected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..errors import SettingsError, TrainingError
from ..grid import Grid
from ..labels.notes import notes_path, read_notes
from ..settings import TrainingSettings

# Of a voxel that is not labelled: no class and no object has a negative number.
IGNORED = -1


def known_labels(
    labels: npt.NDArray[np.integer[Any]],
    settings: TrainingSettings,
    *,
    name: str = "labels",
) -> npt.NDArray[np.int32]:
    """Return labels in which the background is 0 and what is not labelled is `IGNORED`.

    Parameters
    ----------
    labels
        Labels as they were read, shape (*spatial).
    settings
        Which numbers are ignored and the background.
    name
        The image's name, for messages.

    Raises
    ------
    TrainingError
        For a negative number that is not the ignored one, or one that is beyond 32 bits.
    """
    largest = int(labels.max(initial=0))
    if largest > np.iinfo(np.int32).max and largest != settings.ignore_label:
        raise TrainingError(
            f"{name}: label {largest} is larger than {np.iinfo(np.int32).max}: number the objects "
            "from 1 on."
        )
    known = labels.astype(np.int32)
    if known.min(initial=0) < 0:
        strange = known[(known < 0) & (labels != settings.ignore_label)]
        if len(strange):
            raise TrainingError(
                f"{name}: label {strange[0]} is negative: take numbers from 0 up, or give it as "
                "the ignored label."
            )
    if settings.background_label is not None:
        known[labels == settings.background_label] = 0
    if settings.ignore_label is not None:
        known[labels == settings.ignore_label] = IGNORED
    return known


def check_partial(settings: TrainingSettings) -> None:
    """Raise SettingsError when what is ignored is the background as well."""
    if settings.ignore_label is not None and settings.ignore_label == settings.background_label:
        raise SettingsError(
            f"Label {settings.ignore_label} cannot be both ignored and the background: give the "
            "background another number."
        )


def special_labels(settings: TrainingSettings) -> set[int]:
    """Return the numbers that stand for no class and no object."""
    return {0, settings.ignore_label or 0, settings.background_label or 0}


def corrected_slices(labels: object, grid: Grid) -> frozenset[int]:
    """Return the slices of a file of labels that its notes say were corrected.

    They are counted as the viewer shows the volume; see `counted_slices`.

    Raises TrainingError where there can be none: of labels that are no file, or no volume, or
    where the notes name none.
    """
    if not isinstance(labels, Path | str):
        raise TrainingError(
            "Corrected slices are noted beside files of labels: give the file, name the slices, or "
            "train on all."
        )
    if grid.ndim != 3:
        raise TrainingError(f"{labels}: only volumes have corrected slices: train on all of it.")
    n = grid.oriented().shape[0]
    found = frozenset(index for index in read_notes(labels).corrected if index < n)
    if not found:
        raise TrainingError(
            f"{labels}: {notes_path(labels).name} names no corrected slice: correct some, or train "
            "on all."
        )
    return found


def counted_slices(slices: frozenset[int], grid: Grid) -> tuple[int, npt.NDArray[np.bool_]]:
    """Return the axis of an array that slices lie along in the viewer, and which of it they are.

    The viewer shows a volume by its first axis after the turn of `Grid.oriented`, whichever axis
    that is in the file.
    """
    how = grid.reorientation_to()
    axis = how.axes[0]
    counts = np.zeros(grid.shape[axis], np.bool_)
    counts[[index for index in slices if index < len(counts)]] = True
    return axis, counts[::-1] if how.flips[0] else counts


def whole_objects(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Return where the distance to the border of an object is known.

    That is all that is labelled but the objects that reach a voxel which is not: where they end
    is not known, so neither is how deep any of their voxels lies.
    """
    missing = labels == IGNORED
    near = ndimage.binary_dilation(missing, np.ones((3,) * labels.ndim, bool))
    cut = np.unique(labels[near & (labels > 0)])
    certain: npt.NDArray[np.bool_] = ~missing & ~np.isin(labels, cut)
    return certain


def without_ignored(
    found: npt.NDArray[Any], labels: npt.NDArray[np.integer[Any]]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.integer[Any]]]:
    """Return found objects and true ones where there are labels, for a score.

    An object found of which the half or more lies where nobody has labelled is left out: nobody
    knows if it is right. Where whole slices are labelled, that is asked of its part in these.
    """
    missing = labels == IGNORED
    if not missing.any():
        return found, labels
    here: tuple[Any, ...] = (...,)
    if labels.ndim == 3:
        here = np.ix_(*(~missing.all(axis=others) for others in ((1, 2), (0, 2), (0, 1))))
    sizes = np.bincount(found[here].ravel(), minlength=int(found.max(initial=0)) + 1)
    outside = np.bincount(found[here][missing[here]].ravel(), minlength=len(sizes))
    unknown = 2 * outside >= sizes
    return np.where(missing | unknown[found], 0, found), np.maximum(labels, 0)
