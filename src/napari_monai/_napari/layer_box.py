"""A list to choose a layer from, which follows the viewer's layers and its selection."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QWidget

from .layers import MAP_OF

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer


class LayerBox(QComboBox):
    """The layers of one type, by name; a layer that is selected in the viewer becomes the choice.

    The maps that a run leaves are not among them.

    Parameters
    ----------
    viewer
        The viewer whose layers are offered, the topmost first.
    kind
        The class of the layers.
    nothing
        What to show while there is none.
    """

    chosen = Signal()  # another layer, or none, is the choice

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        kind: type[Layer],
        *,
        nothing: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._kind = kind
        self.setPlaceholderText(nothing)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self._layers: list[Layer] = []
        events = viewer.layers.events
        follow = (
            (events.inserted, self._refill),
            (events.removed, self._refill),
            (events.reordered, self._refill),
            (events.renamed, self._refill),
            (viewer.layers.selection.events.active, self._follow),
        )
        for emitter, slot in follow:
            emitter.connect(slot)
        # The viewer outlives this list, and must not call it when it is gone.
        self.destroyed.connect(_disconnector(follow))
        self._refill()
        self._follow()
        self.currentIndexChanged.connect(self._say)

    @property
    def layer(self) -> Any:
        """The layer that is chosen, or ``None``."""
        at = self.currentIndex()
        return self._layers[at] if 0 <= at < len(self._layers) else None

    def _refill(self, _event: object = None) -> None:
        before = self.layer
        # Nobody wants to segment the probabilities that the last run left.
        self._layers = [
            x
            for x in reversed(self._viewer.layers)
            if isinstance(x, self._kind) and MAP_OF not in x.metadata
        ]
        self.blockSignals(True)
        self.clear()
        self.addItems([x.name for x in self._layers])
        at = self._layers.index(before) if before in self._layers else 0
        self.setCurrentIndex(at if self._layers else -1)
        self.blockSignals(False)
        self.setToolTip(self.currentText())
        if self.layer is not before:
            self.chosen.emit()

    def _follow(self, _event: object = None) -> None:
        active = self._viewer.layers.selection.active
        if active in self._layers:
            self.setCurrentIndex(self._layers.index(active))

    def _say(self, _index: int) -> None:
        self.setToolTip(self.currentText())
        self.chosen.emit()


def _disconnector(pairs: tuple[tuple[Any, Callable[..., None]], ...]) -> Callable[[], None]:
    """Return a function that ends the connections, and does not keep their slots alive."""
    weak = [(emitter, weakref.WeakMethod(slot)) for emitter, slot in pairs]

    def disconnect() -> None:
        for emitter, reference in weak:
            slot = reference()
            if slot is not None:
                emitter.disconnect(slot)

    return disconnect
