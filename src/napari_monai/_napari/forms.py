"""A settings dataclass -> a form, and back: every field, its limits and its words come from there.

``None`` ("as the model says") is offered as *auto*: the lowest stop of a number, the first choice
of a list, or an empty line. Advanced settings are folded away.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Generic, TypeVar, cast

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    FloatSpinBox,
    LineEdit,
    create_widget,
)
from magicgui.widgets.bases import ValueWidget
from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget
from superqt import QCollapsible

from ..errors import SettingsError
from ..settings import Option, Settings

AUTO = "auto"

S = TypeVar("S", bound=Settings)

# Largest number that a box without a limit of its own takes.
_MOST = 1e9


class Field:
    """One setting on a form: a label, and a widget that shows and gives its value.

    Parameters
    ----------
    option
        The setting, as its dataclass describes it.
    """

    def __init__(self, option: Option) -> None:
        self.option = option
        if option.type is tuple:
            self.widget: ValueWidget[Any] = _line(option, "one number an axis")
        elif option.choices or (option.type is bool and option.optional):
            self.widget = _choice(option)
        elif option.type is bool:
            self.widget = _make(CheckBox, option, value=option.default)
            self.widget.native.setText("")  # the label of its row says what it is
        elif option.type in (int, float):
            self.widget = _number(option)
        else:
            self.widget = _line(option, "")

    @property
    def value(self) -> Any:
        """The setting as its dataclass takes it; checked there, or here if it is no number."""
        option, shown = self.option, self.widget.value
        if isinstance(self.widget, FloatSpinBox):
            if option.optional and shown <= _auto_stop(option):
                return None
            return round(shown) if option.type is int else shown
        if isinstance(self.widget, ComboBox):
            if option.optional and shown == AUTO:
                return None
            return shown == "yes" if option.type is bool else shown
        if option.type is tuple:
            return _numbers(option, shown)
        return shown

    @value.setter
    def value(self, value: Any) -> None:
        option = self.option
        if isinstance(self.widget, FloatSpinBox):
            self.widget.value = _auto_stop(option) if value is None else value
        elif isinstance(self.widget, ComboBox):
            word = ("yes" if value else "no") if option.type is bool else value
            self.widget.value = AUTO if value is None else word
        elif option.type is tuple:
            self.widget.value = _words(value or ())
        else:
            self.widget.value = value

    def show_auto(self, value: Any) -> None:
        """Show what *auto* stands for, where that is known."""
        if not self.option.optional:
            return
        words = AUTO if value is None else f"{AUTO}: {_words(value)}"
        native = self.widget.native
        if isinstance(self.widget, FloatSpinBox):
            native.setSpecialValueText(words)
        elif isinstance(self.widget, ComboBox):
            native.setItemText(0, words)
        else:
            native.setPlaceholderText(words)


class SettingsForm(QWidget, Generic[S]):
    """The form of a settings dataclass.

    Parameters
    ----------
    settings
        The dataclass.
    skip
        Names of settings that this form does not offer; they keep their defaults.
    plain
        Names of the settings that are not folded away; as the dataclass has it when left out.
    """

    changed = Signal()

    def __init__(
        self,
        settings: type[S],
        *,
        skip: Collection[str] = (),
        plain: Collection[str] | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self.fields = {o.name: Field(o) for o in settings.options() if o.name not in skip}
        self._hidden: set[str] = set()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        if plain is None:
            plain = [name for name, f in self.fields.items() if not f.option.advanced]
        advanced = [f for name, f in self.fields.items() if name not in plain]
        self._rows = [_rows([f for name, f in self.fields.items() if name in plain])]
        layout.addLayout(self._rows[0])
        self.more = Folded("More settings")
        if advanced:
            box = QWidget()
            self._rows.append(_rows(advanced))
            box.setLayout(self._rows[1])
            self.more.addWidget(box)
            layout.addWidget(self.more)
        calm = _NoStrayWheel(self)
        for field in self.fields.values():
            field.widget.changed.connect(self._said)
            field.widget.native.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            field.widget.native.installEventFilter(calm)

    def _said(self, _value: object) -> None:
        self.changed.emit()

    def value(self) -> S:
        """Return the settings; raises SettingsError with the cure for what does not fit."""
        shown = {n: field.value for n, field in self.fields.items() if n not in self._hidden}
        return self._settings(**shown)

    def show_autos(self, values: Mapping[str, Any]) -> None:
        """Show what *auto* stands for: values by the names of the settings."""
        for name, field in self.fields.items():
            field.show_auto(values.get(name))

    def offer(self, names: Collection[str], offered: bool) -> None:
        """Show or hide settings; hidden ones count as their defaults."""
        for name in names:
            field = self.fields[name]
            native = field.widget.native
            for rows in self._rows:
                if rows.indexOf(native) >= 0:
                    rows.setRowVisible(native, offered)
        self._hidden = self._hidden - set(names) if offered else self._hidden | set(names)

    def show_settings(self, settings: S) -> None:
        """Show these settings."""
        for name, field in self.fields.items():
            field.value = getattr(settings, name)


class _NoStrayWheel(QObject):
    """Leaves the wheel to the scroll area around a field, unless the field was clicked into."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Keep wheel events from fields without the focus."""
        if event is None or not isinstance(watched, QWidget):
            return False
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return bool(super().eventFilter(watched, event))


class Folded(QCollapsible):
    """A section that opens at a click, at once, with an arrow in the colour of the text."""

    def __init__(self, title: str) -> None:
        super().__init__(title, expandedIcon=QIcon(), collapsedIcon=QIcon())
        self._title = title
        self.setDuration(0)
        plain = "text-align: left; border: none; outline: none; background: transparent;"
        self.toggleButton().setStyleSheet(f"QPushButton, QPushButton:checked {{ {plain} }}")
        for inside in (self.layout(), self.content().layout()):
            if inside is not None:
                inside.setContentsMargins(0, 0, 0, 0)
                inside.setSpacing(2)
        self.toggled.connect(self._point)
        self._point(False)

    def _point(self, is_open: bool) -> None:
        self.setText(f"{'▾' if is_open else '▸'} {self._title}")


def _rows(fields: list[Field]) -> QFormLayout:
    """Return the fields under each other, each with its label, which has the tooltip too."""
    form = QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.setVerticalSpacing(4)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for field in fields:
        label = QLabel(field.option.label)
        label.setToolTip(field.option.help)
        native = field.widget.native
        native.setMinimumWidth(60)
        form.addRow(label, native)
    return form


def _make(kind: type[Any], option: Option, **options: Any) -> ValueWidget[Any]:
    """Return a magicgui widget named after the setting, with its help as the tooltip."""
    made = create_widget(
        name=option.name,
        value=options.pop("value"),
        widget_type=kind,
        options={"tooltip": option.help, **options},
    )
    return cast("ValueWidget[Any]", made)


def _line(option: Option, hint: str) -> ValueWidget[Any]:
    shown = _make(LineEdit, option, value="" if option.type is tuple else option.default)
    shown.native.setPlaceholderText(f"{AUTO}: {hint}" if option.optional else hint)
    return shown


def _choice(option: Option) -> ValueWidget[Any]:
    words = option.choices or ("yes", "no")
    # "auto" may be a choice of its own already.
    words = (AUTO, *words) if option.optional and AUTO not in words else words
    first = AUTO if option.optional else option.default
    return _make(ComboBox, option, value=first, choices=words)


def _number(option: Option) -> ValueWidget[Any]:
    """Return a spin box; one for whole numbers has no decimals, so that it too can say *auto*."""
    decimals = 0 if option.type is int else _decimals(option)
    low = -_MOST if option.minimum is None else option.minimum
    high = _MOST if option.maximum is None else option.maximum
    if option.optional:
        low = _auto_stop(option)
    start = low if option.default is None else option.default
    box = _make(FloatSpinBox, option, value=start, min=low, max=high, step=_step(option))
    native = box.native
    native.setDecimals(decimals)
    # magicgui sets the range before the decimals, which Qt rounds to two.
    native.setRange(low, high)
    native.setValue(start)
    if option.optional:
        native.setSpecialValueText(AUTO)
    return box


def _step(option: Option) -> float:
    if option.step is not None:
        return option.step
    return 1.0 if option.type is int else abs(option.default or 0.1) / 10


def _decimals(option: Option) -> int:
    """Return how many decimals show the default, the limits and the step as they are."""
    numbers = (option.default, option.minimum, option.maximum, _step(option))
    known = [Decimal(repr(float(n))).normalize() for n in numbers if n is not None]
    return max(2, *(-int(n.as_tuple().exponent) for n in known))


def _auto_stop(option: Option) -> float:
    """Return the value of a number box that stands for *auto*: one step below the lowest."""
    low = -_MOST if option.minimum is None else option.minimum
    return low - _step(option)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " × ".join(str(n) for n in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _numbers(option: Option, text: str) -> tuple[int, ...] | None:
    """Return the whole numbers of ``"96, 96 x 32"``; ``None`` of an empty line or *auto*."""
    words = [w for w in re.split(r"[\s,;x×*]+", text.strip().lower()) if w]
    if words in ([], [AUTO]) and option.optional:
        return None
    try:
        return tuple(int(w) for w in words)
    except ValueError:
        raise SettingsError(
            f"{option.label} needs whole numbers, one an axis, such as 128 × 128, not {text!r}."
        ) from None
