"""The keys of Edit labels: which there are, and that they are there while the labels are edited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from ..labels.operations import OPERATIONS

if TYPE_CHECKING:
    from napari.layers import Labels

# None of these is one of the viewer's own on a labels layer.
PICK, PICK_MORE = "Q", "Shift-Q"
BEFORE, BEFORE_ALL = "C", "Shift-C"
APPLY = "A"
OTHERS = {
    APPLY: "Apply the tool that is chosen",
    PICK: "Select the label under the mouse; in pan/zoom mode a click does",
    PICK_MORE: "Select it too, or no longer; Shift-click does",
    BEFORE: "Hold it: the labels before the last edit",
    BEFORE_ALL: "Hold it: the labels before all edits",
    "Ctrl-Z": "Undo",
    "Ctrl-Shift-Z": "Redo",
}
_TOOLS = {
    "interpolate": "I",
    "copy-slice": "N",
    "fill-holes": "H",
    "keep-largest": "K",
    "remove-small": "Shift-K",
    "smooth": "S",
    "dilate": "D",
    "erode": "Shift-D",
    "snap": "Shift-S",
    "grow": "G",
    "random-walker": "W",
    "split": "T",
    "split-by-line": "Shift-T",
    "split-at-points": "Y",
    "merge": "J",
    "relabel": "R",
    "delete": "Delete",
}


def tool_keys() -> dict[str, str]:
    """Return the key of each operation that has one: its own, or one of these."""
    taken = set(OTHERS)
    found: dict[str, str] = {}
    for row in OPERATIONS.values():
        key = row.key or _TOOLS.get(row.name, "")
        if key and key not in taken:
            found[row.name] = key
            taken.add(key)
    return found


def key_table() -> str:
    """Return all keys with what they do, as rich text."""
    tools = {key: OPERATIONS[name].title for name, key in tool_keys().items()}
    rows = (
        f"<tr><td style='padding-right: 10px'><b>{key.replace('-', '+')}</b></td>"
        f"<td>{escape(what)}</td></tr>"
        for key, what in (tools | OTHERS).items()
    )
    return f"<table>{''.join(rows)}</table>"


class EditKeys:
    """Keys on a labels layer, for as long as its labels are edited.

    They work where the layer is the one that is active, and leave other layers theirs.

    Parameters
    ----------
    layer
        The layer.
    slots
        What each key does; a function that yields does the rest when the key is let go.
    """

    def __init__(self, layer: Labels, slots: Mapping[str, Callable[[Any], Any]]) -> None:
        self._layer = layer
        self._keys = tuple(slots)
        for key, slot in slots.items():
            layer.bind_key(key, slot, overwrite=True)

    def close(self) -> None:
        """Take the keys away."""
        for key in self._keys:
            self._layer.bind_key(key, None)
