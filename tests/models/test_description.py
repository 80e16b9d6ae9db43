"""The description of a model: round trip through JSON, and one line for whatever is wrong."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from tests.models.known import INSTANCES, description

from napari_monai.errors import ModelError
from napari_monai.models import (
    Inferer,
    Inputs,
    ModelDescription,
    NetworkSpec,
    Operation,
    Outputs,
    TestTensor,
    WeightsFile,
)
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


# What came with the exchange formats.
EXCHANGED = description(
    network=NetworkSpec("torchscript", {}, "torchscript"),
    weights=(WeightsFile("fold_0.pt", SHA, "torchscript"), WeightsFile("1.pt", SHA, "torchscript")),
    inputs=Inputs(("CT",), 2, size_multiple=(16, 32), fixed_size=True, modality="CT"),
    inferer=Inferer(
        (64, 64), flips=True, kind="simple", steps="nnunet", average="logits", mirror_axes=(1,),
        padding="zeros",
    ),
    outputs=Outputs(
        "classes", ("tumour", "core"), ("sigmoid",) * 2, "logits", select=(2, 0), regions=(1, 3)
    ),
    labels=(LabelClass(3, "core"), LabelClass(1, "tumour")),
    trust="native_code",
    blockers=("It needs prompts.",),
    tests=(TestTensor("tests/in.npy", "tests/out.npy", 1e-3),),
)  # fmt: skip
CHECKPOINT = description(
    weights=(WeightsFile("a.pth", SHA, "torch", key="network_weights", prefix="module."),)
)


@pytest.mark.parametrize(
    "told", [description(), FULL, description(3, **INSTANCES), EXCHANGED, CHECKPOINT]
)
def test_round_trip_through_text(told):
    text = json.dumps(told.to_json(), ensure_ascii=False)
    assert ModelDescription.from_text(text) == told


def test_classes_are_hidden_and_locked_only_where_that_is_said():
    plain = LabelClass(1, "bright")
    locked = replace(plain, locked=True, visible=False)
    assert description().to_json()["labels"][0].keys() == {"number", "name", "colour"}
    told = description(labels=(locked,))
    assert told.to_json()["labels"][0]["locked"] is True
    assert ModelDescription.from_json(told.to_json()).labels == (locked,)


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
        pytest.param("outputs.kind", "instances", "foreground, distance and", id="kind"),
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


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        pytest.param("network.name", "unet", "the name 'torchscript'", id="source-name"),
        pytest.param("network.source", "tabel", "Did you mean 'table'?", id="source"),
        pytest.param("network.arguments", {"a": 1}, "unknown key 'a'", id="source-arguments"),
        pytest.param("weights.0.loader", "torch", "the loader torchscript", id="loader"),
        pytest.param("weights.0.key", "a", "key is for the loader torch", id="key"),
        pytest.param("weights.0.prefix", "a", "prefix is for tensors", id="prefix"),
        pytest.param("inputs.size_multiple", [8], "1 numbers for 2 dimensions", id="multiples"),
        pytest.param("inputs.size_multiple", [8, 0], "1 or more, not 0", id="multiple-0"),
        pytest.param("inputs.size_multiple", "8", "size_multiple needs a whole", id="multiple"),
        pytest.param("inferer.mirror_axes", [2], "axes from 0 to 1", id="mirror"),
        pytest.param("inferer.mirror_axes", [1, 0], "in order", id="mirror-order"),
        pytest.param("inferer.steps", "nnuent", "Did you mean 'nnunet'?", id="steps"),
        pytest.param("inferer.kind", "slide", "Did you mean 'sliding'?", id="inferer-kind"),
        pytest.param("outputs.select", [1], "for each of 2 channels", id="select"),
        pytest.param("outputs.select", [-1, 0], "from 0 up", id="select-negative"),
        pytest.param("outputs.regions", [1], "for each of 2 channels", id="regions"),
        pytest.param("outputs.regions", [1, 2], "but outputs.regions write", id="regions-labels"),
        pytest.param("outputs.home", "logit", "Did you mean 'logits'?", id="home"),
        pytest.param("trust", "data_only", "TorchScript file, which is code", id="trust"),
        pytest.param("blockers", "x", "blockers needs a list", id="blockers"),
        pytest.param("tests.0.input", "../x", "leaves the model's folder", id="test-path"),
        pytest.param("tests.0.tolerance", -1, "tolerance is 0 or more", id="tolerance"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_exchanged_model_is_named(path, value, message):
    values = copy.deepcopy(EXCHANGED.to_json())
    _put(values, path, value)
    with pytest.raises(ModelError) as caught:
        ModelDescription.from_json(values, source="folder/model.json")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_description_from_before_the_exchange_formats_means_the_same():
    values = FULL.to_json()
    for key, fields in {
        "network": ["source"],
        "inputs": ["fixed_size", "modality"],
        "inferer": ["kind", "steps", "average", "mirror_axes", "padding"],
        "outputs": ["home", "select", "regions"],
    }.items():
        for name in fields:
            del values[key][name]
    for name in ("trust", "blockers", "tests"):
        del values[name]
    for name in ("loader", "key", "prefix"):
        del values["weights"][0][name]
    assert ModelDescription.from_json(values) == FULL


def test_selected_channels_lie_in_the_network():
    with pytest.raises(ModelError, match="takes channel 2 of a network of 2"):
        description(outputs=replace(description().outputs, select=(0, 2)))
    swapped = description(outputs=replace(description().outputs, select=(1, 0)))
    assert swapped.outputs.select == (1, 0)


@pytest.mark.parametrize("changes", [{"home": "logits"}, {"regions": (1, 2)}])
def test_instances_come_home_as_probabilities(changes):
    with pytest.raises(ModelError, match=r"outputs\.(home|regions)"):
        replace(INSTANCES["outputs"], **changes)


def test_one_multiple_is_that_of_all_axes():
    assert Inputs(("a",), 3, size_multiple=8).multiples == (8, 8, 8)
    assert Inputs(("a",), 2, size_multiple=(8, 4)).multiples == (8, 4)


def test_sigmoid_classes_need_a_label_for_each_channel():
    outputs = replace(description().outputs, activation=("sigmoid", "sigmoid"))
    with pytest.raises(ModelError, match=r"1 named, but outputs\.channels make 2"):
        description(outputs=outputs)
    two = (LabelClass(1, "a"), LabelClass(2, "b"))
    assert not description(outputs=outputs, labels=two).outputs.softmax
