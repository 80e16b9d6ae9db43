"""Names and colours of label classes on a labels layer, and back."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari.utils.colormaps import DirectLabelColormap

from ..volume import LabelClass

if TYPE_CHECKING:
    from napari.layers import Labels

# Of numbers that no class stands for: seen, so that a slip of the brush is.
_NO_CLASS = "#808080"


def class_look(classes: Sequence[LabelClass]) -> dict[str, Any]:
    """Return the keyword arguments of a labels layer that show classes by name and colour.

    The status bar then reads ``3; name: kidney``. Without classes it is empty: napari's own
    colours tell any number of objects apart.
    """
    if not classes:
        return {}
    colours: dict[int | None, Any] = {None: _NO_CLASS, 0: "transparent"}
    for item in classes:
        colours[item.number] = item.colour or spare_colour(item.number)
    return {
        "colormap": DirectLabelColormap(color_dict=colours),
        "features": {
            "index": [item.number for item in classes],
            "name": [item.name for item in classes],
        },
    }


def spare_colour(number: int) -> str:
    """Return the colour of a class that names none: bright, and unlike its neighbours'."""
    hue = number * 0.618034 % 1.0  # the golden section keeps hues apart
    return _hex(colorsys.hsv_to_rgb(hue, 0.65, 0.95))


def classes_of(layer: Labels) -> tuple[LabelClass, ...]:
    """Return the classes that a labels layer names, in their colours of the moment."""
    table = layer.features
    if "index" not in table or "name" not in table:
        return ()
    shown = isinstance(layer.colormap, DirectLabelColormap)
    found = []
    for number, name in zip(table["index"], table["name"], strict=True):
        colour = layer.get_color(int(number)) if shown else None
        if int(number) != 0:
            text = None if colour is None else _hex(colour)
            found.append(LabelClass(int(number), str(name), text))
    return tuple(found)


def _hex(colour: Sequence[float]) -> str:
    """Return ``"#rrggbb"`` of red, green, blue from 0 to 1."""
    red, green, blue = (round(float(part) * 255) for part in colour[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
