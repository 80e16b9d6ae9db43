"""One labels layer under correction: its space, classes and selection, and edits as undo steps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps import label_colormap
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ..errors import VolumeError
from ..labels.boxes import Box, Boxes, shape_of, whole
from ..labels.scene import Region, Scene
from ..settings import Settings
from ..volume import LabelClass
from . import autosave
from .edit_arrays import KnownBoxes, image_at, labels_at
from .edit_run import EditRun
from .history import History, Values, boxes_of, past, record
from .label_colours import LOCKED, class_look, classes_of
from .layers import placement_of
from .seen import displayed_axes, plane_seen, slider_voxel

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels


# Labels that are called by their names; of more only their number is said.
_FEW = 4


class AnyEdit(Protocol):
    """What can be applied: boxes of the spatial axes with the values before and after.

    A ``title``, where it has one, is said when it is undone.
    """

    @property
    def changes(self) -> Sequence[Any]:
        """Each with ``box``, ``before`` and ``after``."""
        ...


def why_not(layer: Labels) -> str | None:
    """Return why a labels layer cannot be corrected, and the cure; ``None`` where it can."""
    data, name = layer.data, layer.name
    if layer.multiscale:
        return f"{name} has several resolutions: add its finest one as a layer of its own."
    if hasattr(data, "__dask_graph__") or not hasattr(data, "__setitem__"):
        return f"{name} is read as it is shown: duplicate it into memory, or save and open it."
    flags = getattr(data, "flags", None)
    if getattr(data, "read_only", False) or (flags is not None and not flags.writeable):
        return f"{name} can be read only: duplicate it, or open its file for writing."
    return None


class EditSession(QObject):
    """A labels layer under correction, for as long as it is in the viewer.

    All boxes are of the spatial axes, and of the time point that is seen.

    Parameters
    ----------
    viewer
        The viewer.
    layer
        A layer that `why_not` has nothing against.
    image
        The layer that the labels are of, on the same voxels.

    Attributes
    ----------
    spacing, unit
        Size of a voxel along each spatial axis.
    timed
        Whether there is a time axis before them.
    runs
        Runs operations, and says how that goes.
    known_boxes
        Where each label lies, as far as that was asked for.
    notes
        What is noted of the labels in a file beside theirs, where somebody keeps it.

    Raises
    ------
    VolumeError
        If the layer cannot be edited, or has more axes than time and three of space.
    """

    changed = Signal(object)  # tuple of boxes in which voxels may be other than before
    classes_changed = Signal()
    selected_changed = Signal()
    edited = Signal(object)  # the same, where they were painted or edited, and not undone
    stepped = Signal(str)  # a line on what was undone or redone
    outgrown = Signal()  # the layer's array is replaced by one that needs another session
    closed = Signal()

    def __init__(
        self, viewer: napari.viewer.Viewer, layer: Labels, image: Image | None = None
    ) -> None:
        super().__init__()
        reason = why_not(layer)
        if reason is not None:
            raise VolumeError(reason)
        place = placement_of(layer, viewer.layers)
        autosave.start(viewer)
        self._closed = False
        self.viewer = viewer
        self.layer = layer
        self.image = image
        self.notes: Any = None
        self.spacing: tuple[float, ...] = tuple(float(s) for s in place.canvas.spacing)
        self.unit: str = place.canvas.unit
        self.timed = "t" in place.volume.leading
        self._classes = classes_of(layer)
        self._locked: frozenset[int] = frozenset(layer.metadata.get(LOCKED, ()))
        self._selected: tuple[int, ...] = ()
        self._time: int | None = self.time
        self._history = History(layer)
        self.known_boxes = KnownBoxes(lambda: labels_at(layer, self.time), self.crop)
        self.runs = EditRun(self)
        self._listen(True)
        self._on_selected()

    def _listen(self, on: bool) -> None:
        events = self.layer.events
        for emitter, slot in (
            (events.paint, self._on_paint),
            (events.set_data, self._on_drawn),
            (events.data, self._on_replaced),
            (events.selected_label, self._on_selected),
            (self.viewer.dims.events.current_step, self._on_step),
            (self.viewer.layers.events.removed, self._on_removed),
        ):
            (emitter.connect if on else emitter.disconnect)(slot)

    def close(self) -> None:
        """Let go of the layer; after ``closed`` nothing is said but ``outgrown``."""
        if not self._closed:
            self._closed = True
            self.runs.cancel()
            self._listen(False)
            self.closed.emit()

    # -- what is there ------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """How many spatial axes there are."""
        return len(self.spacing)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along the spatial axes."""
        return tuple(self.layer.data.shape[-self.ndim :])

    @property
    def time(self) -> int | None:
        """The time point that is seen; ``None`` without a time axis."""
        if not self.timed:
            return None
        if self._closed:  # the layer may be gone, while a panel of it is still to go
            return self._time
        last = int(self.layer.data.shape[0]) - 1
        return min(max(slider_voxel(self.viewer, self.layer)[0], 0), last)

    @property
    def plane(self) -> tuple[int, int] | None:
        """The spatial axis and index of the slice that is seen; ``None`` in 3-D and of pictures."""
        return plane_seen(self.viewer, self.layer, self.shape)

    @property
    def seen_box(self) -> Box:
        """The box of the slice that is seen; in 3-D, and of pictures, of everything."""
        box = whole(self.shape)
        if self.plane is None:
            return box
        axis, at = self.plane
        return (*box[:axis], slice(at, at + 1), *box[axis + 1 :])

    @property
    def slice_region(self) -> Region | None:
        """The slice that is seen, or the whole picture; ``None`` in 3-D."""
        if self.ndim == 3 and self.plane is None:
            return None
        box = self.seen_box
        return Region(box, np.ones(shape_of(box), np.bool_))

    def crop(self, box: Box, *, time: int | None = None) -> npt.NDArray[Any]:
        """Return the labels in a box, at a time point, or at the one that is seen."""
        found = np.asarray(self.layer.data[self._in_layer(box, time)])
        return found[0] if self.timed else found

    def past(self, entries: Sequence[Any], box: Box) -> npt.NDArray[Any]:
        """Return the labels in a box as they were before the last entries of the history."""
        found = past(self.layer, entries, self._in_layer(box))
        return found[0] if self.timed else found

    def scene(self, **changes: Any) -> Scene:
        """Return what an operation may look at: the labels as they are now.

        ``changes`` say what else there is, or is to be otherwise; see `Scene`.
        """
        given = {
            "selected": self._selected,
            "locked": self.locked,
            "image": image_at(self.image, self.shape, self.time),
            "plane": self.plane,
            "boxes": self.known_boxes.known,
            "names": {c.number: c.name for c in self._classes},
        }
        labels = labels_at(self.layer, self.time)
        return Scene(labels, self.spacing, unit=self.unit, **{**given, **changes})

    @property
    def boxes(self) -> Boxes:
        """Where each label lies, as far as it has ever been; worked out now if need be."""
        return self.known_boxes.now()

    # -- classes, locks, selection ------------------------------------------------------------

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """The classes that the numbers stand for; none of objects that are only numbered."""
        return self._classes

    def set_classes(self, classes: Sequence[LabelClass]) -> None:
        """Name, colour, show, hide and lock classes."""
        self._classes = tuple(classes)
        look = class_look(self._classes)
        self.layer.features = look.get("features", {})
        self.layer.colormap = look.get("colormap") or label_colormap(49, 0.5, background_value=0)
        self.classes_changed.emit()

    @property
    def locked(self) -> frozenset[int]:
        """The numbers whose voxels nothing changes, and which nothing becomes."""
        return self._locked | {c.number for c in self._classes if getattr(c, "locked", False)}

    def lock(self, values: Collection[int], locked: bool = True) -> None:
        """Lock or unlock objects that are no classes; classes are locked by `set_classes`."""
        numbers = frozenset(int(v) for v in values)
        self._locked = self._locked | numbers if locked else self._locked - numbers
        self.layer.metadata[LOCKED] = sorted(self._locked)
        self.classes_changed.emit()

    def name_of(self, value: int) -> str:
        """Return the name of a class, or the number of what has none."""
        return next((c.name for c in self._classes if c.number == value), str(value))

    @property
    def selected(self) -> tuple[int, ...]:
        """The labels to work on, without the background."""
        return self._selected

    @property
    def described(self) -> str:
        """The labels to work on in words: names and numbers, or how many they are."""
        if len(self._selected) > _FEW:
            return f"{len(self._selected)} labels"
        named = [(self.name_of(v), str(v)) for v in self._selected]
        return ", ".join(v if name == v else f"{name} ({v})" for name, v in named) or "none"

    def select(self, values: Collection[int]) -> None:
        """Select labels; the first becomes what the brush paints with."""
        chosen = tuple(dict.fromkeys(int(v) for v in values if int(v) != 0))
        before, self._selected = self._selected, chosen
        if chosen and self.layer.selected_label not in chosen:
            self.layer.selected_label = chosen[0]
        if chosen != before:
            self.selected_changed.emit()

    def _on_selected(self, _event: object = None) -> None:
        """Follow the viewer's own picker, unless it picked one of those that are selected."""
        value = int(self.layer.selected_label)
        if value not in self._selected:
            self.select((value,))

    # -- edits --------------------------------------------------------------------------------

    def run(self, name: str, settings: Settings | None = None, **scene_changes: Any) -> None:
        """Run an operation of the table on the labels; `runs` says how it goes and went.

        ``scene_changes`` are what `scene` takes: ``selected=(3, 5)``, ``region=...``.
        """
        autosave.before_run(self.viewer)
        self.runs.start(name, settings, **scene_changes)

    def apply(self, edit: AnyEdit, *, time: int | None = None) -> None:
        """Do what an edit says, as one undo step, at a time point or the one that is seen."""
        title = getattr(edit, "title", "an edit")
        changes = [
            (
                self._in_layer(change.box, time),
                Values(change, "before", int(self.timed), title),
                Values(change, "after", int(self.timed)),
            )
            for change in edit.changes
        ]
        if changes:
            record(self.layer, changes)  # which says `paint`
            self._draw([box for box, _, _ in changes])

    def undo(self) -> None:
        """Take the last step back: the layer's own undo."""
        self.layer.undo()

    def redo(self) -> None:
        """Do again what was undone last."""
        self.layer.redo()

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._history.done)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to do again."""
        return bool(self._history.undone)

    def _in_layer(self, box: Box, time: int | None = None) -> Box:
        """Return a box of the spatial axes in the layer's own axes."""
        time = self.time if time is None else time
        return tuple(box) if time is None else (slice(time, time + 1), *box)

    def _draw(self, boxes: Sequence[Box]) -> None:
        """Show what was changed in boxes of the layer's own axes, if the slice shows any of it."""
        at, drawn = slider_voxel(self.viewer, self.layer), displayed_axes(self.viewer, self.layer)
        hidden = [axis for axis in range(self.layer.ndim) if axis not in drawn]
        if any(all(box[a].start <= at[a] < box[a].stop for a in hidden) for box in boxes):
            self.layer.refresh(extent=False, thumbnail=False)

    # -- what happens to the layer ------------------------------------------------------------

    def _on_paint(self, event: Any) -> None:
        self._history.mark()
        boxes = boxes_of(event.value)
        self._say(boxes)
        if boxes:
            self.edited.emit(tuple(box[int(self.timed) :] for box in boxes))

    def _on_drawn(self, _event: object = None) -> None:
        boxes, line = self._history.moved()
        self._say(boxes)
        if line:
            self.stepped.emit(line)

    def _on_replaced(self, _event: object = None) -> None:
        if why_not(self.layer) or self.layer.ndim != self.ndim + self.timed:
            self.close()
            self.outgrown.emit()
            return
        self._history.mark()
        self._say_all()

    def _on_step(self, _event: object = None) -> None:
        if self.timed and self.time != self._time:
            self._time = self.time
            self._say_all()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.close()

    def _say(self, boxes: Sequence[Box]) -> None:
        """Say what changed at the time point that is seen, of boxes in the layer's own axes."""
        time = self.time
        seen = [b for b in boxes if time is None or b[0].start <= time < b[0].stop]
        if seen:
            spatial = tuple(b[int(self.timed) :] for b in seen)
            self.known_boxes.look(spatial)
            self.changed.emit(spatial)

    def _say_all(self) -> None:
        self.known_boxes.forget()
        self.changed.emit((whole(self.shape),))
