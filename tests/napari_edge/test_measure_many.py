"""A hundred thousand measured objects: sorted, found, chosen, looked up and drawn in time."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication

from napari_monai._napari.column_model import ColumnModel
from napari_monai._napari.column_view import ColumnView
from napari_monai._napari.columns import Column
from napari_monai._napari.measure_canvas import Chart, Drawn, bin_edges
from napari_monai._napari.measure_lookup import Looked, Lookup

N = 100_000


def seconds(what: Callable[[], object]) -> float:
    """Return the time that this process works for something: others may work beside it."""
    before = time.process_time()
    what()
    QApplication.processEvents()
    return time.process_time() - before


@pytest.fixture
def table(qtbot) -> tuple[ColumnView, ColumnModel]:
    rng = np.random.default_rng(0)
    columns = [Column("label", "Label", "", np.arange(1, N + 1))]
    columns += [Column(f"c{i}", f"Column {i}", "", rng.random(N)) for i in range(25)]
    columns += [Column("border", "Border", "", np.where(rng.random(N) > 0.5, "yes", ""))]
    model = ColumnModel(columns)
    view = ColumnView(model, (400, 300))
    qtbot.addWidget(view)
    view.show()
    QApplication.processEvents()
    return view, model


def test_sorting_filtering_and_choosing_do_not_stall(table) -> None:
    view, model = table
    assert seconds(lambda: view.sortByColumn(3, Qt.SortOrder.DescendingOrder)) < 0.5
    values = model.columns[3].values
    assert model.rows.tolist() == np.argsort(-values, kind="stable").tolist()
    assert seconds(lambda: model.filter("column 7 > 0.5 border = yes")) < 0.5
    keep = (model.columns[8].values > 0.5) & (model.columns[-1].values == "yes")
    assert sorted(model.keys.tolist()) == (np.flatnonzero(keep) + 1).tolist()
    model.filter("")
    chosen = np.random.default_rng(1).permutation(N)[: N // 2] + 1
    assert seconds(lambda: view.select(chosen)) < 0.5
    assert seconds(lambda: view.viewport().repaint()) < 0.5
    assert sorted(view.selected) == sorted(chosen)
    assert seconds(lambda: view.sortByColumn(5, Qt.SortOrder.AscendingOrder)) < 0.5
    assert sorted(view.selected) == sorted(chosen), "they stay chosen"
    assert seconds(view.selectAll) < 0.5
    assert len(view.selected) == N


def test_clicks_on_rows_of_which_very_many_are_chosen(table, qtbot) -> None:
    view, model = table
    even = np.arange(2, N + 1, 2)
    view.select(even)
    heard = []
    view.chosen.connect(lambda: heard.append(len(view.selected)))

    def click(row: int, key: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        where: QPoint = view.visualRect(model.index(row, 0)).center()
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, key, where)

    view.scrollToTop()
    ctrl = Qt.KeyboardModifier.ControlModifier
    click(0, ctrl)
    assert set(view.selected) == set(even) | {1}
    click(1, ctrl)
    assert set(view.selected) == (set(even) | {1}) - {2}
    assert [view.is_marked(row) for row in range(5)] == [False, False, False, True, False]
    click(4)
    assert view.selected.tolist() == [5]
    assert heard == [N // 2 + 1, N // 2, 1]


def test_a_chart_of_very_many_points(qtbot) -> None:
    rng = np.random.default_rng(0)
    chart = Chart(ViewerModel())
    chart.resize(400, 300)
    qtbot.addWidget(chart)
    chart.show()
    keys = np.arange(1, N + 1)
    x, y = rng.normal(size=N), rng.normal(size=N)
    chart.show_drawn(Drawn(keys, x, y, ("x", "y")))
    qtbot.waitUntil(lambda: chart.canvas is not None and not chart._stale, timeout=120_000)
    assert seconds(chart._draw_over) < 0.5
    assert seconds(lambda: chart.choose(keys[: N // 2])) < 1
    # A window that is laid out may have given it another size: then all is drawn anew.
    qtbot.waitUntil(lambda: bool(chart._over) and not chart._stale, timeout=120_000)
    np.testing.assert_array_equal(np.sort(chart._over[0].get_xdata()), np.sort(x[: N // 2]))
    corners = chart.axes.transData.transform([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    assert seconds(lambda: chart._within(corners)) < 1
    inside = (np.abs(x) < 1) & (np.abs(y) < 1)
    assert (np.sort(keys[chart._within(corners)]) == keys[inside]).all()


# -- looking up -----------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [40, 2**31 - 5], ids=["dense", "sparse"])
def test_levels_are_looked_up(most: int) -> None:
    numbers = np.array([most, 3, 17])
    lookup = Lookup(numbers, np.array([9, 1, 5], np.uint8))
    labels = np.array([[0, 3, 4], [17, most, most - 1], [2**31 - 1, 0, 3]])
    assert lookup(labels).tolist() == [[0, 1, 0], [5, 9, 0], [0, 0, 1]]
    assert Lookup(np.zeros(0, np.int64), 1)(labels).tolist() == np.zeros((3, 3)).tolist()


def test_a_volume_is_looked_up_slab_by_slab_as_at_once() -> None:
    labels = np.random.default_rng(0).integers(0, 50, (20, 256, 256)).astype(np.uint16)
    lookup = Lookup(np.arange(1, 50, 3), 7)
    wanted = np.where(np.isin(labels, np.arange(1, 50, 3)), 7, 0)
    assert (lookup(labels) == wanted).all()


def test_a_box_is_read_as_an_array_is() -> None:
    labels = np.random.default_rng(0).integers(0, 6, (3, 8, 9, 10))
    lookups = {0: Lookup(np.array([2, 4]), 1), 2: Lookup(np.array([5]), np.uint8([3]))}
    box = (slice(1, 6), slice(0, 9), slice(4, 7))
    looked = Looked(labels, lookups, box)
    part = labels[(slice(None), *box)]
    wanted = np.zeros(part.shape, np.uint8)
    wanted[0], wanted[2] = np.isin(part[0], (2, 4)), 3 * (part[2] == 5)
    assert looked.shape == wanted.shape
    assert (np.asarray(looked) == wanted).all()
    for key in (2, (0, 3), (slice(0, 3), 2), (slice(0, 3, 2), slice(1, 4), 0, slice(None)), (-1,)):
        np.testing.assert_array_equal(np.asarray(looked[key]), wanted[key])


@pytest.mark.parametrize(
    ("values", "log", "bars"),
    [
        ([3.0, 3, 3], False, 1),
        ([1, 2, 2, 5], False, 5),
        (np.linspace(0, 1, 1000), False, 10),
        ([0.5, 0.5], True, 1),
        (np.geomspace(1e-3, 1e3, 500), True, 10),
    ],
    ids=["one whole", "whole", "even", "one", "log"],
)
def test_every_value_is_in_a_bar(values, log: bool, bars: int) -> None:
    edges = bin_edges(np.asarray(values, float), log)
    assert (np.diff(edges) > 0).all()
    assert np.histogram(values, edges)[0].sum() == len(values)
    assert bars <= len(edges) - 1 <= 80
