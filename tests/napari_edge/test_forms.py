"""Forms that are made of settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_monai._napari.forms import SettingsForm
from napari_monai.errors import SettingsError
from napari_monai.settings import InferenceSettings, Settings, TrainingSettings, option


@dataclass(frozen=True)
class Every(Settings):
    """One field of each kind."""

    name: str = option("unet", "A text.", advanced=False)
    count: int = option(3, "A whole number.", minimum=1, advanced=False)
    share: float = option(0.25, "A number.", minimum=0.0, maximum=1.0, advanced=False)
    shuffle: bool = option(True, "Yes or no.", advanced=False)
    kind: Literal["a", "b"] = option("b", "A choice.", advanced=False)
    maybe_count: int | None = option(None, "A whole number or auto.", minimum=1)
    maybe_share: float | None = option(None, "A number or auto.", minimum=0.0, step=0.05)
    maybe_shuffle: bool | None = option(None, "Yes, no or auto.")
    maybe_kind: Literal["a", "b"] | None = option(None, "A choice or auto.")
    maybe_size: tuple[int, ...] | None = option(None, "Numbers or auto.", minimum=1)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


EVERY = st.builds(
    Every,
    name=st.text("abcxyz-_", max_size=8),
    count=st.integers(1, 10**6),
    share=st.integers(0, 1000).map(lambda n: n / 1000),
    shuffle=st.booleans(),
    kind=st.sampled_from("ab"),
    maybe_count=optional(st.integers(1, 10**6)),
    maybe_share=optional(st.integers(0, 10**6).map(lambda n: n / 100)),
    maybe_shuffle=optional(st.booleans()),
    maybe_kind=optional(st.sampled_from("ab")),
    maybe_size=optional(st.lists(st.integers(1, 999), min_size=1, max_size=3).map(tuple)),
)


@pytest.fixture
def form(qtbot: Any) -> Callable[..., SettingsForm[Any]]:
    def make(*args: Any, **kwargs: Any) -> SettingsForm[Any]:
        made = SettingsForm(*args, **kwargs)
        qtbot.addWidget(made)
        return made

    return make


@pytest.mark.parametrize("kind", [InferenceSettings, TrainingSettings, Every])
def test_form_opens_with_the_defaults(form, kind: type[Settings]) -> None:
    assert form(kind).value() == kind()


def test_what_is_shown_is_what_is_given(form) -> None:
    shown = form(Every)

    @settings(max_examples=100, deadline=None)
    @given(EVERY)
    def check(wanted: Every) -> None:
        shown.show_settings(wanted)
        assert shown.value() == wanted

    check()


@pytest.mark.parametrize("kind", [InferenceSettings, TrainingSettings])
def test_every_field_has_its_help(form, kind: type[Settings]) -> None:
    shown = form(kind)
    for item in kind.options():
        assert shown.fields[item.name].widget.native.toolTip() == item.help


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("auto", None),
        ("64", (64,)),
        ("96, 96, 32", (96, 96, 32)),
        ("96x96 x 32", (96, 96, 32)),
        ("96 × 96×32 ", (96, 96, 32)),
    ],
)
def test_sizes(form, text: str, value: tuple[int, ...] | None) -> None:
    shown = form(InferenceSettings)
    shown.fields["window"].widget.value = text
    assert shown.value().window == value


@pytest.mark.parametrize(
    ("text", "said"), [("big", "Window needs whole numbers"), ("0 x 4", "Window is")]
)
def test_wrong_sizes(form, text: str, said: str) -> None:
    shown = form(InferenceSettings)
    shown.fields["window"].widget.value = text
    with pytest.raises(SettingsError, match=said):
        shown.value()


def test_auto_is_one_step_below_the_lowest(form) -> None:
    shown = form(Every)
    box = shown.fields["maybe_share"].widget.native
    assert box.text() == "auto"
    box.stepUp()
    assert shown.value().maybe_share == 0.0
    box.stepDown()
    assert shown.value().maybe_share is None


def test_what_auto_stands_for_is_shown(form) -> None:
    shown = form(Every)
    shown.show_autos(
        {"maybe_size": (8, 9), "maybe_share": 0.5, "maybe_shuffle": True, "maybe_kind": "b"}
    )
    assert shown.fields["maybe_size"].widget.native.placeholderText() == "auto: 8 × 9"
    assert shown.fields["maybe_share"].widget.native.text() == "auto: 0.5"
    assert shown.fields["maybe_shuffle"].widget.native.currentText() == "auto: yes"
    assert shown.fields["maybe_kind"].widget.native.currentText() == "auto: b"
    assert shown.value() == Every()
    shown.show_autos({})
    assert shown.fields["maybe_share"].widget.native.text() == "auto"


def test_advanced_settings_are_folded_away(form, qtbot: Any) -> None:
    shown = form(InferenceSettings)
    shown.show()
    qtbot.waitExposed(shown)
    device, overlap = (shown.fields[n].widget.native for n in ("device", "overlap"))
    assert device.visibleRegion().boundingRect().height() > 0
    assert overlap.visibleRegion().isEmpty()
    shown.more.expand()
    qtbot.waitUntil(lambda: not overlap.visibleRegion().isEmpty())


def test_settings_not_offered_keep_their_defaults(form) -> None:
    shown = form(InferenceSettings)
    shown.show_settings(replace(InferenceSettings(), min_size=5.0, threshold=0.25))
    shown.offer(("min_size",), False)
    assert shown.fields["min_size"].widget.native.isHidden()
    assert shown.value() == replace(InferenceSettings(), threshold=0.25)
    shown.offer(("min_size",), True)
    assert shown.value().min_size == 5.0


def test_skipped_settings_are_not_on_the_form(form) -> None:
    shown = form(InferenceSettings, skip=("device",))
    assert "device" not in shown.fields
    assert shown.value() == InferenceSettings()


def test_changes_are_said(form, qtbot: Any) -> None:
    shown = form(InferenceSettings)
    with qtbot.waitSignal(shown.changed, timeout=1000):
        shown.fields["device"].widget.value = "cpu"


def test_the_wheel_scrolls_past_fields(form, qtbot: Any) -> None:
    shown = form(InferenceSettings)
    shown.more.expand()
    shown.show()
    qtbot.waitExposed(shown)
    QApplication.setActiveWindow(shown)  # a virtual screen has no window manager to do it
    box = shown.fields["overlap"].widget.native
    middle = QPointF(box.rect().center())
    for focused in (False, True):
        (box if focused else shown.fields["window"].widget.native).setFocus()
        qtbot.waitUntil(lambda: box.hasFocus() == focused)  # noqa: B023
        wheel = QWheelEvent(
            middle,
            box.mapToGlobal(middle),
            QPoint(0, 0),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(box, wheel)
        assert (shown.value().overlap is not None) == focused
