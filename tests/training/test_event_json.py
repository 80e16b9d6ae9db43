"""Events to JSON and back: nothing of them is lost, and nothing strange comes of others."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_monai.events import (
    Busy,
    EpochDone,
    Event,
    Said,
    Started,
    StepDone,
    Trained,
    WindowDone,
)
from napari_monai.training.event_json import from_json, to_json

FOLDER = Path(__file__).parent.absolute()
numbers = st.floats(allow_nan=False)
counts = st.integers(0, 2**40)
scores = st.dictionaries(st.text(max_size=8), numbers, max_size=3)
paths = st.sampled_from([FOLDER / "model", FOLDER, FOLDER.parent / "elsewhere"])

EVENTS = st.one_of(
    st.just(Busy()),
    st.builds(Started, counts, st.text(max_size=9)),
    st.builds(Said, st.text(max_size=20), st.sampled_from(["info", "warning"])),
    st.builds(StepDone, counts, counts, numbers, numbers),
    st.builds(EpochDone, counts, counts, numbers, numbers, scores, st.booleans(), numbers),
    st.builds(Trained, paths, scores, numbers),
)


def told(event: Event, folder: Path = FOLDER) -> Event | None:
    """Return what arrives of an event that goes through a line of strict JSON."""
    return from_json(json.loads(json.dumps(to_json(event, FOLDER), allow_nan=False)), folder)


@given(EVENTS)
def test_an_event_arrives_as_it_was(event: Event) -> None:
    assert told(event) == event


def test_no_number_arrives_as_no_number() -> None:
    arrived = told(EpochDone(1, 2, math.inf, math.nan, {"AP": math.nan}, True, 0.5))
    assert isinstance(arrived, EpochDone)
    assert arrived.train_loss == math.inf
    assert math.isnan(arrived.val_loss)
    assert math.isnan(arrived.scores["AP"])


def test_numbers_of_numpy_arrive_as_plain_ones() -> None:
    event = StepDone(int(np.int64(3)), 4, np.float32(0.5), np.float64(0.25))  # type: ignore[arg-type]
    assert told(event) == StepDone(3, 4, 0.5, 0.25)


def test_paths_in_the_folder_go_with_it() -> None:
    moved = FOLDER.parent / "moved"
    assert told(Trained(FOLDER / "model", {}, 1.0), moved) == Trained(moved / "model", {}, 1.0)


def test_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match="slice cannot be told"):
        to_json(WindowDone(1, 2, (slice(0, 1),)), FOLDER)


@pytest.mark.parametrize(
    "values",
    [
        {"event": "Later", "step": 1},
        {"event": "Path"},
        {"event": "StepDone", "step": 1},
        {"event": "StepDone", "step": 1, "steps": 2, "loss": "x", "learning_rate": 1},
        {"event": ["StepDone"]},
        {},
    ],
    ids=["unknown", "no-event", "missing", "no-number", "list", "empty"],
)
def test_what_is_not_understood_is_none(values: dict[str, Any]) -> None:
    assert from_json(values, FOLDER) is None


def test_a_field_of_a_later_version_is_passed_over() -> None:
    values = {**to_json(StepDone(1, 2, 0.5, 0.1), FOLDER), "gradient": 3.0}
    assert from_json(values, FOLDER) == StepDone(1, 2, 0.5, 0.1)
