"""Layers that come while others are selected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtWidgets import QApplication

from napari_monai._napari.layer_box import add_unselected


@pytest.mark.parametrize("chosen", [(), ("a",), ("b",), ("a", "b")], ids="+".join)
def test_a_layer_that_is_added_leaves_the_selection_alone(
    make_napari_viewer: Any, chosen: tuple[str, ...]
) -> None:
    viewer = make_napari_viewer()
    for name in "ab":
        viewer.add_image(np.zeros((4, 8, 8)), name=name)
    viewer.layers.selection = {viewer.layers[name] for name in chosen}
    told: list[Any] = []
    viewer.layers.selection.events.active.connect(told.append)
    QApplication.processEvents()
    added = add_unselected(viewer, Labels(np.zeros((4, 8, 8), int), name="new"))
    QApplication.processEvents()
    assert viewer.layers[-1] is added
    assert {layer.name for layer in viewer.layers.selection} == set(chosen)
    active = viewer.layers.selection.active
    assert (active and active.name) == (chosen[0] if len(chosen) == 1 else None)
    assert not told or not chosen
    rows = viewer.window._qt_viewer.layers.selectionModel().selectedRows()
    assert {row.data() for row in rows} == set(chosen)
    # The list still works: the new layer can be selected, and taken out.
    viewer.layers.selection.active = added
    viewer.layers.remove_selected()
    assert [layer.name for layer in viewer.layers] == ["a", "b"]
