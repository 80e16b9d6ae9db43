"""The description of a model: round trip through JSON, and one line for whatever is wrong."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from tests.models.known import INSTANCES, description

from napari_monai.errors import ModelError
from napari_monai.models import Inferer, ModelDescription, Operation, WeightsFile
from napari_monai.volume import LabelClass

SHA = "0" * 64
FULL = description(
    authors=("A", "B"),
    citations=("Paper (2020)",),
    intended_use="tests",
    limits="all",
    weights=(WeightsFile("weights.safetensors", SHA),),
    preprocess=(
        Operation("orientation", {"codes": "RAS"}),
        Operation("spacing", {"spacing": [0.5, None], "unit": "µm"}),
        Operation("colour"),
        Operation("scale_percentiles", {"lower": 1, "upper": 99.8}),
        Operation("clip", {"minimum": None, "maximum": 1.0}),
    ),
    inferer=Inferer((64, 48), 0.25, "constant", True),
    training={"steps": 3, "nested": {"a": [1, 2]}},
    scores={"AP50": 0.8},
)


@pytest.mark.parametrize("told", [description(), FULL, description(3, **INSTANCES)])
def test_round_trip_through_text(told):
    text = json.dumps(told.to_json(), ensure_ascii=False)
    assert ModelDescription.from_text(text) == told


def test_json_begins_with_the_format_and_keeps_the_order_of_the_card():
    keys = list(FULL.to_json())
    assert keys[:4] == ["format", "format_version", "name", "title"]
    assert keys[-2:] == ["training", "scores"]


def test_scores_may_be_numpy_numbers_and_nan_is_null():
    told = description(scores={"Dice": np.float32(0.5), "empty": float("nan")})
    assert told.to_json()["scores"] == {"Dice": 0.5, "empty": None}


def test_optional_keys_may_be_missing():
    values = FULL.to_json()
    for key in ("authors", "citations", "intended_use", "limits", "training", "scores"):
        del values[key]
    assert ModelDescription.from_json(values).authors == ()


def _put(values, path, value):
    *folders, last = path.split(".")
    for folder in folders:
        values = values[int(folder) if folder.isdigit() else folder]
    if value is ...:
        del values[last]
    else:
        values[int(last) if last.isdigit() else last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        pytest.param("name", ..., "key name is missing", id="missing"),
        pytest.param("inputs.channels", ..., "key inputs.channels is missing", id="missing-inner"),
        pytest.param("nmae", "x", "unknown key nmae. Did you mean 'name'?", id="unknown"),
        pytest.param(
            "inferer.windw", 1, "unknown key inferer.windw. Did you mean 'window'?", id="inner"
        ),
        pytest.param("version", 1, "version needs a text, not 1", id="type"),
        pytest.param("authors", "A", 'authors needs a list, not "A"', id="text-for-list"),
        pytest.param("authors.1", 2, r"authors[1] needs a text, not 2", id="item"),
        pytest.param("inputs.spatial_dims", 2.0, "inputs.spatial_dims needs a whole", id="float"),
        pytest.param("inputs.spatial_dims", True, "needs a whole number, not true", id="bool"),
        pytest.param("inputs.spatial_dims", 4, "inputs.spatial_dims is 2 or 3", id="dims"),
        pytest.param("inputs.channels", [], "inputs.channels needs 1 channel", id="no-channel"),
        pytest.param("inputs.colour", True, "inputs.channels needs 3 channels", id="colour"),
        pytest.param("inputs.size_multiple", 0, "size_multiple is 1 or more", id="multiple"),
        pytest.param("inferer.window", [8], "does not fit 2 spatial dimensions", id="window"),
        pytest.param("inferer.window", [8, 0], "needs positive sizes", id="empty-window"),
        pytest.param("inferer.overlap", 1.0, "overlap goes from 0 to 0.9", id="overlap"),
        pytest.param("inferer.blend", "gauss", "Did you mean 'gaussian'?", id="blend"),
        pytest.param("name", "a/b", "letters, digits", id="name"),
        pytest.param("weights.0.path", "../w", "leaves the model's folder", id="up"),
        pytest.param("weights.0.path", "/w", "leaves the model's folder", id="absolute"),
        pytest.param("weights.0.path", "C:\\w", "leaves the model's folder", id="drive"),
        pytest.param("weights.0.path", "", "leaves the model's folder", id="no-path"),
        pytest.param("weights.0.sha256", "12", "64 hexadecimal digits", id="sha256"),
        pytest.param("outputs.activation", ["sigmoid"], "for each of 2 channels", id="activation"),
        pytest.param(
            "outputs.activation", ["sigmoid", "identity"], "not identity", id="identity-classes"
        ),
        pytest.param("outputs.kind", "instances", "foreground and distance", id="kind"),
        pytest.param("outputs.channels", ["a", "b", "c"], "out_channels is 2", id="out-channels"),
        pytest.param("labels", [], "labels: 0 named, but outputs.channels make 1", id="labels"),
        pytest.param("labels.0.number", 0, "numbers of their own from 1", id="label-0"),
        pytest.param("labels.0.number", 65536, "up to 65535", id="label-large"),
        pytest.param("labels.0.colour", "red", "not of the form #rrggbb", id="label-colour"),
        pytest.param(
            "network.arguments.in_channels", 2, "but inputs.channels are 1", id="in-channels"
        ),
        pytest.param("preprocess.2.name", "color", "Did you mean 'colour'?", id="operation"),
        pytest.param(
            "preprocess.3.parameters.low", 1, "Did you mean 'lower'?", id="parameter"
        ),
        pytest.param(
            "preprocess.3.parameters.lower", "1", "lower is no float", id="parameter-type"
        ),
        pytest.param(
            "preprocess.1.parameters.spacing", [1.0], "1 numbers for 2 dimensions", id="spacing"
        ),
        pytest.param(
            "postprocess", [{"name": "instances"}], "postprocess of classes", id="postprocess"
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_and_key(path, value, message):
    values = copy.deepcopy(FULL.to_json())
    _put(values, path, value)
    with pytest.raises(ModelError) as caught:
        ModelDescription.from_json(values, source="folder/model.json")
    line = str(caught.value)
    assert line.startswith("folder/model.json: ")
    assert message in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "is not JSON", id="truncated"),
        pytest.param("[" * 100_000, "is not JSON", id="too-deep"),
        pytest.param("[]", "is no model of napari-monai", id="list"),
        pytest.param('{"name": "x"}', "is no model of napari-monai", id="other-format"),
        pytest.param(
            '{"format": "napari-monai model", "format_version": 2}',
            "update napari-monai",
            id="newer",
        ),
    ],
)
def test_other_texts_are_refused(text, message):
    with pytest.raises(ModelError, match=message) as caught:
        ModelDescription.from_text(text, source="x.json")
    assert str(caught.value).startswith("x.json")
    assert "\n" not in str(caught.value)


def test_sigmoid_classes_need_a_label_for_each_channel():
    outputs = replace(description().outputs, activation=("sigmoid", "sigmoid"))
    with pytest.raises(ModelError, match=r"1 named, but outputs\.channels make 2"):
        description(outputs=outputs)
    two = (LabelClass(1, "a"), LabelClass(2, "b"))
    assert not description(outputs=outputs, labels=two).outputs.softmax
