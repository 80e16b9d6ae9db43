"""The validation image of a training as layers: its truth, the prediction, before and after."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, QTimer

from ..volume import LabelClass
from .label_colours import class_look
from .layer_box import add_unselected, selection_kept
from .layers import MAP_OF, smallest_type
from .smooth import remove_layer

if TYPE_CHECKING:
    import napari

# Pixels of the outline of the truth.
_OUTLINE = 2
_OPACITY = 0.6
# Layers of a picture: the image, the labels, the truth.
_TRIO = 3
# Of the truth about objects, to be told from those that are found.
_TRUTH = "#00e5ff"


@dataclass(frozen=True, eq=False)
class Seen:
    """What a validation left to be looked at; arrays of shape (*spatial), colours at the end.

    ``found`` has what the model says ``"before"`` the training and ``"prediction"`` now.
    """

    name: str
    image: npt.NDArray[Any]
    rgb: bool
    truth: npt.NDArray[Any]
    found: Mapping[str, npt.NDArray[Any]]
    place: Mapping[str, Any]
    look: Mapping[str, Any]


def read_seen(folder: Path) -> Seen:
    """Return what a folder of a validation holds; of several channels the first is shown.

    Raises OSError or ValueError where it is not whole.
    """
    told = json.loads((folder / "preview.json").read_text(encoding="utf-8"))
    arrays = {
        name: np.load(folder / f"{name}.npy", allow_pickle=False)
        for name in ("image", "truth", "prediction", "before")
        if (folder / f"{name}.npy").is_file()
    }
    image, truth = arrays.pop("image"), arrays.pop("truth")
    rgb = bool(told.get("rgb", False))
    if rgb:
        image = _shades(np.moveaxis(image[:3], 0, -1))
    elif image.ndim > truth.ndim:
        image = image[0]
    if image.dtype == np.float16:
        image = image.astype(np.float32)  # no graphics card shows half numbers everywhere
    spacing = [float(s) for s in told["spacing"]]
    place: dict[str, Any] = {"scale": spacing}
    if "unit" in told:
        place["units"] = (told["unit"],) * len(spacing)
    classes = [
        LabelClass(int(number), name, colour)
        for number, (name, colour) in told.get("classes", {}).items()
    ]
    look = class_look(classes) if told.get("kind") == "classes" else {}
    found = {name: smallest_type(np.maximum(array, 0)) for name, array in arrays.items()}
    truth = smallest_type(np.maximum(truth, 0))
    return Seen(str(told["name"]), image, rgb, truth, found, place, look)


def warm_up() -> None:
    """Have napari compile what it shows labels with: not for the window's thread."""
    look = class_look([LabelClass(1, "object")])
    for kind in (np.uint8, np.uint16):
        Labels(np.ones((2, 2), kind), **look).contour = _OUTLINE
        Labels(np.ones((2, 2), kind)).contour = _OUTLINE


def _shades(colours: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return colours of any range as bytes."""
    values = colours.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) * (255 / max(high - low, 1e-6)), np.uint8)


class Validation:
    """The layers of the validation image, renewed at each validation.

    Parameters
    ----------
    viewer
        Where they are shown.
    parent
        With which it ends.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject) -> None:
        self._viewer = viewer
        self._next = QTimer(parent)
        self._next.setSingleShot(True)
        self._next.timeout.connect(self._go_on)
        # Layers come and go one at a time, since napari takes a while for each.
        self._steps: Iterator[None] = iter(())
        self._seen: Seen | None = None
        self._layers: dict[str, Layer] = {}
        self._hidden: list[Layer] = []  # by us, to show two pictures side by side
        self._grid: tuple[bool, int, tuple[int, int]] | None = None
        self.shown = True

    @property
    def there(self) -> bool:
        """Whether there is anything to see."""
        return self._seen is not None

    @property
    def comparable(self) -> bool:
        """Whether there is something to see side by side."""
        return self._seen is not None and set(self._seen.found) == {"before", "prediction"}

    @property
    def beside(self) -> bool:
        """Whether two pictures are shown side by side."""
        return self._grid is not None

    def begin(self) -> None:
        """Forget what the last training left: those layers stay with the user."""
        self.together()
        self._seen, self._layers, self._steps = None, {}, iter(())

    def take(self, seen: Seen) -> None:
        """Show another prediction, in the layers that are there."""
        first = self._seen is None
        self._seen = seen
        if not self.shown:
            return
        layer = self._layers.get("prediction")
        array = seen.found["prediction"]
        kept = not first and layer is not None and layer in self._viewer.layers
        if kept and layer is not None and layer.data.shape == array.shape:
            layer.data = array
        elif first:
            self._begin(self._one_by_one())

    def show(self, shown: bool) -> None:
        """Show the layers, or take them away."""
        self.shown = shown
        if not shown:
            self.together()
            self._steps = iter(())
            self._remove(self._layers)
        elif self._seen is not None:
            self._add()

    # -- one picture --------------------------------------------------------------------------

    def _begin(self, steps: Iterator[None]) -> None:
        """Do the first of some steps, and the others when the window has drawn."""
        self._steps = steps
        self._go_on()

    def _go_on(self) -> None:
        for _ in self._steps:
            self._next.start()
            return

    def _add(self) -> None:
        for _ in self._one_by_one():
            pass

    def _one_by_one(self) -> Iterator[None]:
        """Add the layers, with what was found last when it is their turn."""
        self._remove(self._layers)
        for what in ("image", "prediction", "truth"):
            seen = self._seen
            assert seen is not None
            if what == "image":
                layer: Layer = self._image(seen, what)
            elif what == "prediction":
                layer = self._labels(seen, seen.found[what], what)
            else:
                layer = self._outline(seen, what)
            self._layers[what] = layer
            add_unselected(self._viewer, layer)
            yield

    def _image(self, seen: Seen, what: str) -> Image:
        return Image(seen.image, name=f"{seen.name} {what}", rgb=seen.rgb, **self._common(seen))

    def _labels(self, seen: Seen, array: npt.NDArray[Any], what: str) -> Labels:
        look = {**self._common(seen), **seen.look}
        return Labels(array, name=f"{seen.name} {what}", opacity=_OPACITY, **look)

    def _outline(self, seen: Seen, what: str) -> Labels:
        layer = self._labels(seen, seen.truth, what)
        layer.contour, layer.opacity = _OUTLINE, 1.0
        if not seen.look:
            colours = {None: _TRUTH, 0: "transparent"}
            layer.colormap = DirectLabelColormap(color_dict=colours)
        return layer

    def _common(self, seen: Seen) -> dict[str, Any]:
        # Not offered as an image to segment, nor as labels to train on.
        common = {"metadata": {MAP_OF: f"validation {seen.name}"}, **seen.place}
        if "units" not in common:  # layers of other units would have the viewer drop all
            ndim = seen.truth.ndim
            own = (layer.units for layer in self._viewer.layers if layer.ndim >= ndim)
            common["units"] = next(own, ("pixel",) * ndim)[-ndim:]
        return common

    def _remove(self, layers: dict[str, Layer]) -> None:
        with selection_kept(self._viewer):
            for layer in layers.values():
                if layer in self._viewer.layers:
                    remove_layer(self._viewer, layer)
        layers.clear()

    # -- two pictures -------------------------------------------------------------------------

    def side_by_side(self) -> None:
        """Show before and after next to each other, zoomed and moved as one."""
        seen = self._seen
        if seen is None or not self.comparable or self.beside:
            return
        grid = self._viewer.canvas.grid
        self._grid = bool(grid.enabled), int(grid.stride), tuple(grid.shape)
        self._begin(self._apart(seen))

    def _apart(self, seen: Seen) -> Iterator[None]:
        """Hide what is shown, and show three layers twice."""
        viewer = self._viewer
        self._remove(self._layers)
        self._hidden = [layer for layer in viewer.layers if layer.visible]
        for layer in self._hidden:
            layer.visible = False
        yield
        # A stride below 0 counts from the top, where these three by three are.
        for what, array in (("after", "prediction"), ("before", "before")):
            makers: tuple[Callable[[], Layer], ...] = (
                partial(self._image, seen, f"({what})"),
                partial(self._labels, seen, seen.found[array], what),
                partial(self._outline, seen, f"truth ({what})"),
            )
            for make in makers:
                layer = make()
                add_unselected(viewer, layer)
                self._layers[layer.name] = layer
                yield
        grid = viewer.canvas.grid
        grid.stride, grid.shape, grid.enabled = -_TRIO, (1, 2), True
        viewer.reset_view()

    def together(self) -> None:
        """Show what was shown before `side_by_side`."""
        if self._grid is None:
            return
        self._steps = iter(())
        grid = self._viewer.canvas.grid
        grid.enabled, grid.stride, grid.shape = self._grid
        self._grid = None
        self._remove(self._layers)
        for layer in self._hidden:
            with suppress(RuntimeError):  # its window is gone
                layer.visible = True
        self._hidden = []
        if self.shown and self._seen is not None:
            self._add()
