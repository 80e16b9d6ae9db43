"""What a model costs: counted once, kept, and left out where a file does not tell it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.models.known import random_model, threshold_model
from tests.models.test_python import write

from napari_monai.cli import main
from napari_monai.models import Inferer, Inputs, costs, import_model, load_model, torchscript
from napari_monai.models.card import card_rows
from napari_monai.models.onnx_graph import read_graph

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def test_two_convolutions_counted_by_hand(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5, inferer=Inferer((10, 12)))
    # 3 x 3 kernels of one channel, 1 -> 1, 1 -> 1 and, transposed, 1 + 1 -> 2, each with biases.
    found = costs.cost(model)
    assert found.parameters == (9 + 1) + (9 + 1) + (2 * 9 * 2 + 2)
    assert found.flops == 2 * 120 * (9 + 9 + 2 * 9 * 2)
    assert str(found) == "58 parameters, 13 kFLOP for a window of 10 x 12"


def test_the_window_is_one_that_the_network_takes(tmp_path):
    model = random_model(tmp_path / "m", inferer=Inferer((7, 9)))
    assert costs.cost(model).window == (8, 10)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (costs.Cost(2_614_000, 45_300_000_000, (64, 32)),
         "2.61 M parameters, 45.3 GFLOP for a window of 64 x 32"),
        (costs.Cost(31_000_000_000, None, (8,)), "31 G parameters"),
        (costs.Cost(1500, 10**9, (8, 8), 5),
         "5 networks of 1.5 k parameters, 5 GFLOP for a window of 8 x 8"),
        (costs.Cost(None, None, (8, 8)), ""),
    ],
)  # fmt: skip
def test_in_words(found, words):
    assert str(found) == words


def test_kept_by_what_it_depends_on(tmp_path, monkeypatch):
    model = random_model(tmp_path / "m")
    assert costs.known_cost(model) is None
    assert "cost" not in card_rows(model)
    found = costs.cost(model)
    monkeypatch.setattr(costs, "_counted", None)  # it is not counted again
    assert costs.cost(model) == costs.known_cost(model) == found
    assert card_rows(model)["cost"] == str(found)
    told = model.description
    other = replace(told, inferer=replace(told.inferer, window=(16, 16)))
    assert costs.known_cost(replace(model, description=other)) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"parameters": "x"}', "[" * 9999])
def test_a_damaged_note_is_counted_again(tmp_path, home, text):
    model = random_model(tmp_path / "m")
    found = costs.cost(model)
    (file,) = (home / "cache" / "costs").iterdir()
    file.write_text(text)
    assert costs.known_cost(model) is None
    assert costs.cost(model) == costs.known_cost(model) == found


def test_imported_it_is_known(tmp_path):
    imported = import_model(random_model(tmp_path / "m").folder)
    known = costs.known_cost(imported)
    assert known is not None
    assert known.parameters == sum(p.numel() for p in imported.load_network().parameters())


def test_the_card_of_the_command_line_has_it(tmp_path, capsys):
    model = random_model(tmp_path / "m")
    assert main(["models", "show", str(model.folder)]) == 0
    assert f"cost            {costs.known_cost(model)}" in capsys.readouterr().out


def test_code_is_counted_by_its_weights_and_not_run(tmp_path):
    marker = tmp_path / "marker"
    found = costs.cost(load_model(write(tmp_path / "m", marker)))
    assert (found.parameters, found.flops) == (4, None)
    assert not marker.exists()


def test_torchscript_does_not_tell(tmp_path):
    made = load_model(torchscript.export(random_model(tmp_path / "m"), tmp_path / "m.pt"))
    assert str(costs.cost(made)) == ""
    assert "cost" not in card_rows(made)


def _graph(file, tensors):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 4, 4])
    node = helper.make_node("Identity", ["x"], ["y"])
    stored = [numpy_helper.from_array(t, f"t{i}") for i, t in enumerate(tensors)]
    onnx.save(helper.make_model(helper.make_graph([node], "g", [value], [other], stored)), file)
    return read_graph(file)


@pytest.mark.parametrize(
    ("tensors", "count"),
    [
        pytest.param([(3, 1, 3, 3), (3,)], 30, id="floats"),
        pytest.param([()], 1, id="a-number"),
        pytest.param([], None, id="none"),
    ],
)
def test_tensors_of_an_onnx_file(tmp_path, tensors, count):
    graph = _graph(
        tmp_path / "n.onnx",
        [*(np.zeros(shape, np.float32) for shape in tensors), np.zeros(2, np.int64)],
    )
    assert graph.parameters == count


def test_weights_in_whole_numbers_are_not_counted(tmp_path):
    tensors = [np.zeros((3, 3), np.int8), np.zeros(3, np.float32)]
    assert _graph(tmp_path / "n.onnx", tensors).parameters is None


def test_what_cannot_be_counted_is_left_out(tmp_path):
    model = random_model(tmp_path / "m")
    network = replace(model.description.network, name="gone")
    broken = replace(model, description=replace(model.description, network=network))
    assert str(costs.cost(broken)) == ""


def test_what_is_known_needs_no_torch(tmp_path):
    model = random_model(tmp_path / "m", inputs=Inputs(("c0",), 2, size_multiple=2))
    costs.cost(model)
    code = (
        "import sys; from napari_monai.models import costs, load_model; "
        f"print(costs.known_cost(load_model({str(model.folder)!r})), 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == f"{costs.known_cost(model)} False"
