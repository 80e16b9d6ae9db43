"""Settings: checked when made, the same through JSON, described well enough for forms."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_monai.errors import SettingsError
from napari_monai.settings import InferenceSettings, Option, Settings, TrainingSettings, option

ALL = [InferenceSettings, TrainingSettings]
FIELDS = [pytest.param(o, id=f"{s.__name__}.{o.name}") for s in ALL for o in s.options()]


@dataclasses.dataclass(frozen=True)
class Sample(Settings):
    """One field of each type."""

    whole: int = option(3, "A whole number.", minimum=1, maximum=9)
    number: float | None = option(None, "A number.", minimum=0.0, maximum=1.0, step=0.1)
    text: str = option("a", "A text.", label="Words", flag="--words", advanced=False)
    switch: bool = option(False, "A switch.")
    choice: Literal["red", "green"] = option("red", "A choice.")
    sizes: tuple[int, ...] | None = option(None, "Sizes.", minimum=1)


def of_option(item: Option) -> st.SearchStrategy[Any]:
    """Draw values that an option allows."""
    low, high = item.minimum, item.maximum
    if item.choices:
        values: st.SearchStrategy[Any] = st.sampled_from(item.choices)
    elif item.type is int or item.type is tuple:
        whole = st.integers(int(low or 0), int(high or 10**6))
        values = st.lists(whole, min_size=1, max_size=3).map(tuple) if item.type is tuple else whole
    elif item.type is float:
        values = st.floats(low, high, allow_nan=False, allow_infinity=False)
    else:
        values = {str: st.text('ab µ\n"\\{}'), bool: st.booleans()}[item.type]
    return st.none() | values if item.optional else values


@st.composite
def settings_of(draw: st.DrawFn) -> Settings:
    kind = draw(st.sampled_from([*ALL, Sample]))
    return kind(**{o.name: draw(of_option(o)) for o in kind.options()})


@given(settings_of())
def test_the_same_through_json(made: Settings) -> None:
    assert type(made).from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize("item", FIELDS)
def test_what_a_form_and_a_command_line_need(item: Option) -> None:
    assert item.type in (int, float, bool, str, tuple)
    assert item.help.endswith(".")
    assert len(item.help.splitlines()) == 1
    assert item.label[0].isupper()
    assert item.flag.startswith("--")
    assert "_" not in item.flag
    if not item.optional and not item.choices:
        assert type(item.default) is item.type
    if item.choices and item.default is not None:
        assert item.default in item.choices


@pytest.mark.parametrize("kind", ALL)
def test_flags_and_labels_are_unique(kind: type[Settings]) -> None:
    assert len({o.flag for o in kind.options()}) == len(kind.options())
    assert len({o.label for o in kind.options()}) == len(kind.options())


def test_an_option_as_it_was_described() -> None:
    whole, number, text, switch, choice, sizes = Sample.options()
    assert (whole.type, whole.default, whole.minimum, whole.maximum) == (int, 3, 1, 9)
    assert (number.type, number.optional, number.step) == (float, True, 0.1)
    assert (text.label, text.flag, text.advanced) == ("Words", "--words", False)
    assert (switch.type, switch.label, switch.flag) == (bool, "Switch", "--switch")
    assert (choice.type, choice.choices, choice.optional) == (str, ("red", "green"), False)
    assert (sizes.type, sizes.optional, sizes.advanced) == (tuple, True, True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"whole": 0}, r"Whole is 0; it goes from 1 to 9"),
        ({"whole": 10}, r"from 1 to 9"),
        ({"whole": 2.0}, r"Whole needs a whole number, not 2\.0"),
        ({"whole": True}, r"Whole needs a whole number, not True"),
        ({"whole": None}, r"Whole needs a value"),
        ({"number": math.nan}, r"Number is nan"),
        ({"number": -0.1}, r"from 0\.0 to 1\.0"),
        ({"number": "1"}, r"Number needs a number, not '1'"),
        ({"switch": 1}, r"Switch needs true or false, not 1"),
        ({"text": 1}, r"Words needs a text"),
        ({"choice": "gren"}, r"Did you mean 'green'"),
        ({"choice": None}, r"Choice needs a value"),
        ({"sizes": ()}, r"one an axis"),
        ({"sizes": (1, 0)}, r"from 1 up"),
        ({"sizes": (1.5,)}, r"whole numbers"),
        ({"sizes": 3}, r"whole numbers"),
    ],
)
def test_wrong_values(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        Sample(**values)
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError, match=message):
        Sample.from_json(values)


def test_an_unknown_name_in_a_file() -> None:
    with pytest.raises(
        SettingsError, match=r"No setting named 'overlaps'\. Did you mean 'overlap'"
    ):
        InferenceSettings.from_json({"overlaps": 0.5})


def test_whole_numbers_stand_for_numbers() -> None:
    made = Sample(number=1)
    assert type(made.number) is float
    assert Sample(sizes=[4, 5]).sizes == (4, 5)  # type: ignore[arg-type]


def test_it_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sample().whole = 4  # type: ignore[misc]


def test_replace_checks_again() -> None:
    with pytest.raises(SettingsError):
        dataclasses.replace(Sample(), whole=99)
