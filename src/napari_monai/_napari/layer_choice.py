"""A list to choose one layer from, which stays with its choice whatever is selected elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QWidget

from .layer_box import disconnector
from .layers import MAP_OF

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer


class LayerChoice(QComboBox):
    """The layers of one type, by name, the topmost first; one of them, or none, is chosen.

    Parameters
    ----------
    viewer
        The viewer whose layers are offered.
    kind
        The class of the layers.
    nothing
        What to show while there is none.
    none
        What stands for no layer, where that can be chosen; it then is until a person chooses.
    fits
        Which of the layers are offered; all when left out.
    maps
        Whether the maps that runs leave are among them.
    """

    chosen = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        kind: type[Layer],
        *,
        nothing: str,
        none: str = "",
        fits: Callable[[Any], bool] | None = None,
        maps: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._kind, self._none = viewer, kind, none
        self._fits = fits or (lambda _layer: True)
        self._maps = maps
        self._layers: list[Any] = []
        self.setPlaceholderText(nothing)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        events = viewer.layers.events
        emitters = (events.inserted, events.removed, events.reordered, events.renamed)
        follow = tuple((emitter, self.refill) for emitter in emitters)
        for emitter, slot in follow:
            emitter.connect(slot)
        # The viewer outlives this list, and must not call it when it is gone.
        self.destroyed.connect(disconnector(follow))
        self.refill()
        self.currentIndexChanged.connect(self._say)

    @property
    def layer(self) -> Any:
        """The layer that is chosen, or ``None``."""
        at = self.currentIndex()
        return self._layers[at] if 0 <= at < len(self._layers) else None

    @property
    def every(self) -> list[Any]:
        """The layers that are offered."""
        return [x for x in self._layers if x is not None]

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer, if it is offered."""
        if layer in self._layers:
            self.setCurrentIndex(self._layers.index(layer))

    def refill(self, _event: object = None) -> None:
        """List the layers there are, and keep the choice if it is still there."""
        before = self.layer
        found = [
            x
            for x in reversed(self._viewer.layers)
            if isinstance(x, self._kind)
            and (self._maps or MAP_OF not in x.metadata)
            and self._fits(x)
        ]
        self._layers = [None, *found] if self._none else found
        self.blockSignals(True)
        self.clear()
        self.addItems([self._none if x is None else x.name for x in self._layers])
        kept = self._layers.index(before) if before in self._layers else min(0, len(found) - 1)
        self.setCurrentIndex(0 if self._none and before not in self._layers else kept)
        self.blockSignals(False)
        if self.layer is not before:
            self.chosen.emit()

    def _say(self, _index: int) -> None:
        self.setToolTip("" if self.layer is None else self.layer.name)
        self.chosen.emit()
