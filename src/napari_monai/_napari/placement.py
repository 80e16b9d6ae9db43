"""Where a volume lies on the canvas: the frame that all volumes of a viewer share.

The canvas shows array axes that run inferior, posterior and left (z, y, x): spacing in ``scale``,
position in ``translate``, nothing in ``affine``, because the brush reads only ``scale``. The first
volume is shown voxel by voxel: what its axes lean away from the world's is dropped, around its
centre. That makes the frame of the viewer. Volumes that come later are put into it, exactly where
they lie to the first one; one whose axes lean in that frame is resampled to be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError
from ..grid import DISPLAY, Grid, Reorientation, millimetres
from ..io.lazy import LazyArray
from ..regrid import Regridded, regrid, straight_box
from ..volume import Volume
from .arrays import finest, reoriented

if TYPE_CHECKING:
    from napari.layers import Layer

# Where the placement is kept in ``layer.metadata``.
KEY = "napari-monai"

_AXIS = {"I": "z", "P": "y", "L": "x"}  # name of each display axis
_WORLD = {"I": 2, "P": 1, "L": 0}  # RAS axis that it runs against
# Axes that lean less lie straight: a quarter of a voxel at the ends of a thousand.
_STRAIGHT = 5e-4


@dataclass(frozen=True, eq=False)
class Frame:
    """What the axes of the canvas are in the world.

    Parameters
    ----------
    turn
        4x4 matrix from RAS positions to those where the first volume's axes run straight: the
        canvas shows these, each axis against its letter.
    unit
        Unit of the positions.
    anatomical
        Whether they are a patient's.
    """

    turn: npt.NDArray[np.float64]
    unit: str
    anatomical: bool

    @classmethod
    def of(cls, grid: Grid) -> Frame:
        """Return the frame in which a grid lies straight, with its centre where it is."""
        turn = np.eye(4)
        if _lean(grid) > _STRAIGHT:
            leaning = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
            straight = np.zeros((3, 3))
            free = [w for w in range(3) if w not in _worlds(grid)]  # a picture's normal
            for axis, world in enumerate((*_worlds(grid), *free)):
                straight[world, axis] = 1 if leaning[world, axis] >= 0 else -1
            turn[:3, :3] = straight @ np.linalg.inv(leaning)
            turn[:3, 3] = grid.centre - turn[:3, :3] @ grid.centre
        return cls(turn, grid.unit, grid.anatomical)

    def takes(self, grid: Grid) -> bool:
        """Whether the place of a grid in this frame is known: it is in the same world."""
        same_unit = grid.unit == self.unit or "pixel" not in (grid.unit, self.unit)
        return grid.ndim == 3 and grid.anatomical == self.anatomical and same_unit

    def turned(self, grid: Grid) -> Grid:
        """Return a grid in this frame's positions, in its own unit."""
        if np.array_equal(self.turn, np.eye(4)):
            return grid
        turn = self.turn.copy()
        if grid.unit != self.unit:
            turn[:3, 3] *= millimetres(self.unit) / millimetres(grid.unit)
        return replace(grid, affine=turn @ grid.affine)

    def turned_back(self, grid: Grid) -> Grid:
        """Return the grid in the world of one in this frame's positions; see `turned`."""
        back = replace(self, turn=np.linalg.inv(self.turn).astype(np.float64))
        return grid if np.array_equal(self.turn, np.eye(4)) else back.turned(grid)


@dataclass(frozen=True, eq=False)
class Placement:
    """How a volume lies on the canvas.

    Parameters
    ----------
    volume
        The volume whose grid and leading axes these are. Of a labels layer without its voxels,
        unless it is resampled: those are the layer's own.
    how
        Reorientation from its grid to the display axes.
    canvas
        The grid of the voxels that are shown, in the positions of the frame.
    transform
        Keyword arguments that put a layer there: scale, translate, units, axis_labels, and of
        a layer that others made rotate, shear and affine too.
    frame
        What the canvas is in the world; ``None`` of pictures and of layers that others made.
    leaning
        The volume's grid in the positions of the frame, where it has to be resampled.
    channel
        Which channel the layer shows; ``None`` for all there are.
    shown
        The array that the layer was made of, at full resolution.
    """

    volume: Volume
    how: Reorientation
    canvas: Grid
    transform: Mapping[str, Any]
    frame: Frame | None = None
    leaning: Grid | None = None
    channel: int | None = None
    shown: Any = None

    @classmethod
    def of(cls, volume: Volume, frames: Iterable[Frame] = ()) -> Placement:
        """Return where a volume belongs on the canvas.

        Parameters
        ----------
        volume
            The volume.
        frames
            Frames that are there already: it is put into the first one that it fits.

        Raises
        ------
        VolumeError
            If it has one spatial axis only: the canvas shows two or three.
        """
        grid = volume.grid
        if grid.ndim < 2:
            raise VolumeError(f"{volume.name} has one axis only: it cannot be shown as an image.")
        fitting = (f for f in frames if f.takes(grid))
        frame = next(fitting, None) or Frame.of(grid)
        turned = frame.turned(grid)
        how = turned.reorientation_to(DISPLAY)
        canvas, leaning = turned.reoriented(how), None
        if grid.ndim == 3 and _lean(canvas) > _STRAIGHT:
            canvas, leaning = straight_box(canvas), turned
        known = frame if grid.ndim == 3 else None
        return cls(volume, how, canvas, _display(volume, canvas), known, leaning)

    @property
    def is_resampled(self) -> bool:
        """Whether the voxels that are shown are not the volume's own."""
        return self.leaning is not None

    def holds(self, layer: Layer) -> bool:
        """Whether the layer lies, still or by chance, on just these voxels."""
        return (
            tuple(finest(layer).shape[: layer.ndim]) == self._layer_shape
            and np.allclose(layer.scale, self.transform["scale"])
            and np.allclose(layer.translate, self.transform["translate"])
            and not _is_turned(layer)
        )

    def may_hold(self, layer: Layer) -> bool:
        """Whether the layer has just these voxels, but was not told where they lie.

        That is what labels look like that a script made: ``add_labels(mask, scale=image.scale)``.
        """
        scaled = np.allclose(layer.scale, 1) or np.allclose(layer.scale, self.transform["scale"])
        untold = scaled and np.allclose(layer.translate, 0) and not _is_turned(layer)
        shape = tuple(finest(layer).shape[: layer.ndim])
        return untold and shape == self._layer_shape

    @property
    def _layer_shape(self) -> tuple[int, ...]:
        times = self.volume.data.shape[:1] * ("t" in self.volume.leading)
        return (*times, *self.canvas.shape)

    def displayed(self, data: Any, *, nearest: bool = False, fill: float = 0) -> Any:
        """Return an array on the volume's grid as it is shown; a view, nothing is read."""
        if self.leaning is None:
            return reoriented(data, self.how)
        return LazyArray(
            Regridded(data, self.leaning, self.canvas, nearest=nearest, fill=fill),
            name=self.volume.name,
        )

    def native(self, data: Any) -> Any:
        """Return an array as it is shown on the volume's own grid: a view, nothing is read.

        Of one that is resampled, linearly.
        """
        if self.leaning is None:
            return reoriented(data, self.how.inverse())
        return LazyArray(
            Regridded(data, self.canvas, self.leaning, nearest=False), name=self.volume.name
        )

    def native_labels(self, data: npt.NDArray[Any], before: Any = None) -> npt.NDArray[Any]:
        """Return labels as they are shown on the volume's own grid.

        Where they are resampled, by the nearest voxel. With ``before``, the labels on the
        volume's grid that were shown at first, only what was changed since is taken over: what
        was not touched stays as it was.
        """
        if self.leaning is None:
            return self.how.inverse().apply(data)
        found = regrid(data, self.canvas, self.leaning, nearest=True)
        if before is None:
            return found
        first = regrid(before, self.leaning, self.canvas, nearest=True)
        same = found == regrid(first, self.canvas, self.leaning, nearest=True)
        kind = np.promote_types(before.dtype, found.dtype)
        return np.where(same, np.asarray(before).astype(kind), found.astype(kind))


def frames_of(layers: Iterable[Layer]) -> Iterator[Frame]:
    """Yield the frames of the layers that lie where they were put."""
    for layer in layers:
        place = layer.metadata.get(KEY)
        if isinstance(place, Placement) and place.frame is not None and place.holds(layer):
            yield place.frame


def _lean(grid: Grid) -> float:
    """Return how far an axis leans away from its world axis, at most, as a sine."""
    away = np.abs(grid.direction)
    away[list(_worlds(grid)), range(grid.ndim)] = 0
    return float(np.linalg.norm(away, axis=0).max())


def _worlds(grid: Grid) -> tuple[int, ...]:
    """Return the world axis that each array axis runs along most."""
    return tuple("RLAPSI".index(letter) // 2 for letter in grid.orientation)


def _display(volume: Volume, canvas: Grid) -> dict[str, Any]:
    """Return scale, translation, units and axis names of the layer, a time axis included."""
    worlds = list(_worlds(canvas))
    scale = np.asarray(canvas.spacing)
    # By the centre, so that what is left of leaning is shared by both ends.
    leans = _lean(canvas) > 1e-9
    start = -canvas.origin[worlds]
    if leans:
        start = -canvas.centre[worlds] - scale * (np.asarray(canvas.shape) - 1) / 2
    timed, step = "t" in volume.leading, volume.time_step
    return {
        "scale": (step or 1.0,) * timed + tuple(float(s) for s in scale),
        # Adding 0 turns -0.0 into 0.0.
        "translate": (0.0,) * timed + tuple(float(x) + 0.0 for x in start),
        "units": ("s" if step else "pixel",) * timed + (canvas.unit,) * canvas.ndim,
        "axis_labels": ("t",) * timed + tuple(_AXIS[letter] for letter in canvas.orientation),
    }


def _is_turned(layer: Layer) -> bool:
    """Whether a layer is turned or sheared on the canvas beyond its scale and translation."""
    n = layer.ndim
    return not (
        np.allclose(layer.rotate, np.eye(n))
        and np.allclose(layer.shear, 0)
        and np.allclose(layer.affine.affine_matrix, np.eye(n + 1))
    )
