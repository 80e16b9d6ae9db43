"""A list to choose a layer from, which follows the viewer's layers and its selection."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QWidget

from .layers import MAP_OF

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer


# Not empty while layers come and go without the user's doing, who has not chosen anything then.
_keeping: list[object] = []


@contextmanager
def selection_kept(viewer: napari.viewer.Viewer) -> Iterator[None]:
    """Have the same layers selected afterwards, although napari selects each that is added."""
    selected = set(viewer.layers.selection)
    _keeping.append(selected)
    try:
        yield
    finally:
        kept = selected & set(viewer.layers)
        if set(viewer.layers.selection) != kept:
            viewer.layers.selection = kept
        _keeping.pop()


def add_unselected(viewer: napari.viewer.Viewer, layer: Layer) -> Layer:
    """Add a layer and have the same ones selected as before.

    Nobody is told in between: to show the controls of the new layer and then again those of the
    old one takes as long as to add it.
    """
    selection = viewer.layers.selection
    with selection_kept(viewer):
        if not selection:
            return viewer.add_layer(layer)
        before = set(selection)
        with selection.events.blocker_all():
            viewer.add_layer(layer)
            viewer.layers.selection = before
        return layer


class LayerBox(QComboBox):
    """The layers of one type, by name; what is selected in the viewer becomes the choice.

    Where several are selected there these are offered together, and so are all there are. The maps
    that a run leaves are not among them.

    Parameters
    ----------
    viewer
        The viewer whose layers are offered, the topmost first.
    kind
        The class of the layers.
    nothing
        What to show while there is none.
    noun
        What several are called.
    """

    chosen = Signal()  # another layer, or none, is the choice
    listed = Signal()  # other layers, or names, are there, and the choice is the same

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        kind: type[Layer],
        *,
        nothing: str,
        noun: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._kind = kind
        self._noun = noun
        self.setPlaceholderText(nothing)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self._layers: list[Layer] = []
        self._names: list[tuple[str, object]] = []
        self._selected: list[Layer] = []  # more than one, or none
        self._choices: list[list[Layer]] = []
        events = viewer.layers.events
        follow = (
            (events.inserted, self._refill),
            (events.removed, self._refill),
            (events.reordered, self._refill),
            (events.renamed, self._refill),
            (viewer.layers.selection.events.changed, self._follow),
        )
        for emitter, slot in follow:
            emitter.connect(slot)
        # The viewer outlives this list, and must not call it when it is gone.
        self.destroyed.connect(disconnector(follow))
        self._refill()
        self._follow()
        self.currentIndexChanged.connect(self._say)

    @property
    def layers(self) -> list[Any]:
        """The layers that are chosen."""
        at = self.currentIndex()
        return self._choices[at] if 0 <= at < len(self._choices) else []

    @property
    def layer(self) -> Any:
        """The first layer that is chosen, or ``None``."""
        return next(iter(self.layers), None)

    @property
    def every(self) -> list[Any]:
        """All layers that are offered, in the order of the viewer."""
        return self._layers[::-1]

    @property
    def beside(self) -> list[Any]:
        """What may be further channels of the first layer: those chosen with it, or else all."""
        return self.layers if len(self.layers) > 1 else self.every

    def _refill(self, _event: object = None) -> None:
        before, listed = self.layers, self._names
        # Nobody wants to segment the probabilities that the last run left.
        self._layers = [
            x
            for x in reversed(self._viewer.layers)
            if isinstance(x, self._kind) and MAP_OF not in x.metadata
        ]
        self._selected = [x for x in self._selected if x in self._layers]
        self._offer()
        self._choose(next((x for x in self._choices if x == before), self._fallback(before)))
        self._names = [(x.name, x.unique_id) for x in self._layers]
        if self.layers != before:
            self.chosen.emit()
        elif self._names != listed:
            self.listed.emit()

    def _fallback(self, before: list[Layer]) -> list[Layer]:
        """Return what to choose where some of the layers chosen before are gone, or all."""
        left = [x for x in before if x in self._layers]
        return next((x for x in self._choices if x == left), [*self._layers[:1]])

    def _offer(self) -> None:
        """List what can be chosen."""
        several, every = self._selected, self._layers
        single = [[x] for x in every]
        names = [x.name for x in every]
        if len(several) > 1 and several != every:
            single, names = [several, *single], [f"{len(several)} selected {self._noun}", *names]
        if len(every) > 1:
            single, names = [*single, every], [*names, f"All {len(every)} {self._noun}"]
        self._choices = single
        self.blockSignals(True)
        self.clear()
        self.addItems(names)
        self.blockSignals(False)

    def _choose(self, layers: list[Layer]) -> None:
        self.blockSignals(True)
        self.setCurrentIndex(self._choices.index(layers) if layers in self._choices else -1)
        self.blockSignals(False)
        self._show_tip()

    def _follow(self, _event: object = None) -> None:
        """Choose what is selected in the viewer; where that is no layer of ours, stay."""
        if _keeping:
            return
        before = self.layers
        selection = self._viewer.layers.selection
        selected = [x for x in self._layers if x in selection]
        if not selected:
            return
        self._selected = selected if len(selected) > 1 else []
        self._offer()
        self._choose(selected)
        if self.layers != before:
            self.chosen.emit()

    def _show_tip(self) -> None:
        names = [x.name for x in self.layers]
        hint = [f"Select several {self._noun} in the layer list to choose them together."]
        self.setToolTip("\n".join(names + hint * (len(self._layers) > 1)))

    def _say(self, _index: int) -> None:
        self._show_tip()
        self.chosen.emit()


# The functions that wait for the end of a list. A search for garbage may empty one that only the
# list knows before it deletes the list, which then calls it: the program would end there.
_waiting: set[Callable[[], None]] = set()


def disconnector(pairs: tuple[tuple[Any, Callable[..., None]], ...]) -> Callable[[], None]:
    """Return a function that ends the connections, and does not keep what they join alive."""
    weak = [(weakref.ref(emitter), weakref.WeakMethod(slot)) for emitter, slot in pairs]

    def disconnect() -> None:
        _waiting.discard(disconnect)
        for sender, receiver in weak:
            emitter, slot = sender(), receiver()
            if emitter is not None and slot is not None:
                emitter.disconnect(slot)

    _waiting.add(disconnect)
    return disconnect
