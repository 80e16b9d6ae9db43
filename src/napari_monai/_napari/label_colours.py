"""Names and colours of label classes on a labels layer, and back."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari.utils.colormaps import DirectLabelColormap

from ..volume import LabelClass

if TYPE_CHECKING:
    from napari.layers import Labels

# Where the metadata of a layer keep the numbers of single objects that are locked.
LOCKED = "napari-monai locked"

# Of numbers that no class stands for: seen, so that a slip of the brush is.
_NO_CLASS = "#808080"


def class_look(classes: Sequence[LabelClass]) -> dict[str, Any]:
    """Return the keyword arguments of a labels layer that show classes by name and colour.

    The status bar then reads ``3; name: kidney``, and says so of those that are locked. Hidden
    ones are transparent. Without classes it is empty: napari's own colours tell any number of
    objects apart.
    """
    if not classes:
        return {}
    colours: dict[int | None, Any] = {None: _NO_CLASS, 0: "transparent"}
    for item in classes:
        # The colour of a hidden one stays below its transparency, for when it is shown again.
        opacity = "ff" if item.visible else "00"
        colours[item.number] = (item.colour or spare_colour(item.number)) + opacity
    features: dict[str, list[Any]] = {
        "index": [item.number for item in classes],
        "name": [item.name for item in classes],
    }
    if any(item.locked for item in classes):
        features["locked"] = ["yes" if item.locked else None for item in classes]
    return {"colormap": DirectLabelColormap(color_dict=colours), "features": features}


def spare_colour(number: int) -> str:
    """Return the colour of a class that names none: bright, and unlike its neighbours'."""
    hue = number * 0.618034 % 1.0  # the golden section keeps hues apart
    return _hex(colorsys.hsv_to_rgb(hue, 0.65, 0.95))


def classes_of(layer: Labels) -> tuple[LabelClass, ...]:
    """Return the classes that a labels layer names, in their colours of the moment."""
    table = layer.features
    if "index" not in table or "name" not in table:
        return ()
    locked = table["locked"] if "locked" in table else [None] * len(table)
    found = []
    for number, name, kept in zip(table["index"], table["name"], locked, strict=True):
        if int(number) != 0:
            colour = _colour(layer, int(number))
            text, visible = (None, True) if colour is None else (_hex(colour), colour[3] > 0)
            found.append(LabelClass(int(number), str(name), text, bool(visible), kept == "yes"))
    return tuple(found)


def _colour(layer: Labels, number: int) -> Any:
    """Return red, green, blue and opacity of a class; ``None`` where the layer's is by chance."""
    colours = layer.colormap
    if not isinstance(colours, DirectLabelColormap):
        return None
    # Not `layer.get_color`: while only one label is shown the others have no colour there.
    return colours.color_dict.get(number, colours.default_color)


def _hex(colour: Sequence[float]) -> str:
    """Return ``"#rrggbb"`` of red, green, blue from 0 to 1."""
    red, green, blue = (round(float(part) * 255) for part in colour[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
