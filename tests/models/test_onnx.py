"""ONNX files: read without running, run by ONNX Runtime like the network itself, written."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tests.models.known import description, random_model, threshold_model

import napari_monai as nm
from napari_monai.errors import ModelError
from napari_monai.grid import Grid
from napari_monai.models import Model, import_model, load_model
from napari_monai.models import onnx as onnx_format
from napari_monai.models.onnx_compress import write_half
from napari_monai.models.onnx_graph import read_graph
from napari_monai.models.onnx_run import OnnxNetwork
from napari_monai.models.parts import Inputs
from napari_monai.volume import Volume


def conv_file(
    path: Path,
    shape,
    *,
    out_shape=None,
    last: str = "",
    channels_last: bool = False,
    kind: int = TensorProto.FLOAT,
    gains: tuple[float, float] = (-2, 2),
) -> Path:
    """Write a graph of two channels, the image times a gain, and ``last`` after it."""
    dims = len(shape) - 2
    weight = np.zeros((2, 1, *(1,) * dims), np.float32)
    weight[0], weight[1] = gains
    type_ = np.float16 if kind == TensorProto.FLOAT16 else np.float32
    there = [0, dims + 1, *range(1, dims + 1)]
    back = [0, *range(2, dims + 2), 1]
    nodes = []
    taken = "image"
    if channels_last:
        nodes.append(helper.make_node("Transpose", [taken], ["moved"], perm=there))
        taken = "moved"
    nodes.append(helper.make_node("Conv", [taken, "w"], ["conv"]))
    given = "conv"
    if last:
        options = {"axis": 1} if last == "Softmax" else {}
        nodes.append(helper.make_node(last, [given], ["act"], **options))
        given = "act"
    if channels_last:
        nodes.append(helper.make_node("Transpose", [given], ["home"], perm=back))
        given = "home"
    sides = shape[1:-1] if channels_last else shape[2:]
    usual = [shape[0], *sides, 2] if channels_last else [shape[0], 2, *sides]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info(given, kind, out_shape or usual)],
        [onnx.numpy_helper.from_array(weight.astype(type_), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def outputs(network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(image)


# -- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "dims", "window", "fixed"),
    [
        pytest.param(["n", 1, "y", "x"], 2, (512, 512), False, id="free-2d"),
        pytest.param(["n", 1, "z", "y", "x"], 3, (96, 96, 96), False, id="free-3d"),
        pytest.param(["n", 1, 64, 48], 2, (64, 48), True, id="fixed"),
        pytest.param(["n", 1, 16, "y", "x"], 3, (16, 96, 96), False, id="one-side-fixed"),
    ],
)
def test_the_graph_tells_channels_and_sizes(tmp_path, shape, dims, window, fixed):
    model = load_model(conv_file(tmp_path / "a b.onnx", shape))
    told = model.description
    assert (model.name, model.origin) == ("a-b", "onnx")
    assert (told.inputs.spatial_dims, len(told.inputs.channels)) == (dims, 1)
    assert (told.inferer.window, told.inputs.fixed_size) == (window, fixed)
    assert told.outputs.softmax
    assert told.outputs.channels == ("background", "class 1")
    assert told.trust == "data_only"


def test_options_say_what_the_file_does_not(tmp_path):
    file = conv_file(tmp_path / "n.onnx", ["n", 1, "y", "x"])
    told = load_model(
        file, activation="sigmoid", labels=["cell", "rim"], normalise="none", window=[32, 32]
    ).description
    assert told.outputs.activation == ("sigmoid", "sigmoid")
    assert [c.name for c in told.labels] == ["cell", "rim"]
    assert (told.preprocess, told.inferer.window) == ((), (32, 32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"label": ["a"]}, "Did you mean 'labels'?", id="unknown"),
        pytest.param({"labels": ["a", "b"]}, "2 given, but the network has 1", id="too-many"),
        pytest.param({"normalise": "zcore"}, "Did you mean 'zscore'?", id="normalise"),
        pytest.param({"activation": "relu"}, "softmax or sigmoid", id="activation"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    file = conv_file(tmp_path / "n.onnx", ["n", 1, "y", "x"])
    with pytest.raises(ModelError, match=message):
        load_model(file, **options)


@pytest.mark.parametrize("channels_last", [False, True], ids=["bcyx", "byxc"])
@pytest.mark.parametrize("last", ["", "Sigmoid", "Softmax"])
@pytest.mark.parametrize("batch", [1, "n"], ids=["batch-1", "any-batch"])
def test_axes_batches_and_finished_probabilities(tmp_path, channels_last, last, batch):
    if channels_last and last:
        pytest.skip("a graph that turns its axes last does not show its activation")
    shape = [batch, "y", "x", 1] if channels_last else [batch, 1, "y", "x"]
    model = load_model(
        conv_file(tmp_path / "n.onnx", shape, last=last, channels_last=channels_last)
    )
    image = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 1, 6, 5), np.float32))
    found = outputs(model.load_network(), image)
    wanted = torch.cat([-2 * image, 2 * image], dim=1)
    if last == "Softmax":  # logits up to a constant
        found, wanted = found.softmax(1), wanted.softmax(1)
    assert found.shape == wanted.shape
    assert torch.allclose(found, wanted, atol=1e-5)
    assert model.description.outputs.softmax == (last != "Sigmoid")


def test_half_precision_graphs_take_single(tmp_path):
    file = conv_file(tmp_path / "n.onnx", ["n", 1, "y", "x"], kind=TensorProto.FLOAT16)
    found = outputs(load_model(file).load_network(), torch.full((1, 1, 4, 4), 0.5))
    assert found.dtype == torch.float32
    assert torch.equal(found[0, :, 0, 0], torch.tensor([-1.0, 1.0]))


@pytest.mark.parametrize(
    ("shape", "out_shape", "kind", "message"),
    [
        pytest.param(["n", 1], None, None, "no batch of 2D or 3D", id="vector"),
        pytest.param(["n", "c", "y", "x"], None, None, "how many channels", id="channels"),
        pytest.param(
            ["n", 1, "y", "x"], ["n", 2, "z", "y", "x"], None, "one value a voxel", id="other-axes"
        ),
        pytest.param(["n", 1, "y", "x"], None, TensorProto.INT64, "no batch of", id="integers"),
    ],
)
def test_graphs_that_take_no_images(tmp_path, shape, out_shape, kind, message):
    kind = kind or TensorProto.FLOAT
    if len(shape) == 2:
        node = helper.make_node("Relu", ["image"], ["out"])
        graph = helper.make_graph(
            [node],
            "test",
            [helper.make_tensor_value_info("image", kind, shape)],
            [helper.make_tensor_value_info("out", kind, shape)],
        )
        onnx.save(helper.make_model(graph), str(tmp_path / "n.onnx"))
    else:
        conv_file(tmp_path / "n.onnx", shape, out_shape=out_shape, kind=kind)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(tmp_path / "n.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no graph at all", id="text"),
        pytest.param(b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", id="longer-than-the-file"),
        pytest.param(b"\xff" * 64, id="endless-number"),
        pytest.param(b"\x3a\x00", id="empty-graph"),
    ],
)
def test_damaged_files(tmp_path, content):
    (tmp_path / "n.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="damaged or no ONNX file") as caught:
        load_model(tmp_path / "n.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [10, 60, 120])
def test_a_file_cut_short(tmp_path, cut):
    file = conv_file(tmp_path / "n.onnx", ["n", 1, "y", "x"])
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(ModelError):
        load_model(file).load_network()


def test_another_file_than_described(tmp_path):
    model = load_model(conv_file(tmp_path / "n.onnx", ["n", 1, "y", "x"]))
    conv_file(tmp_path / "n.onnx", ["n", 1, "y", "x"], last="Sigmoid")
    with pytest.raises(ModelError, match="sha256 differs"):
        model.load_network()


# -- tensors in other files ---------------------------------------------------------------------


def external(path: Path, location: str) -> Path:
    """Write a graph whose weights lie in another file."""
    conv_file(path, ["n", 1, "y", "x"])
    model = onnx.load(str(path))
    tensor = model.graph.initializer[0]
    (path.parent / "weights.bin").write_bytes(tensor.raw_data)
    length = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_beside_the_graph(tmp_path):
    file = external(tmp_path / "n.onnx", "weights.bin")
    assert onnx_format.companions(file) == ("weights.bin",)
    found = outputs(load_model(file).load_network(), torch.ones(1, 1, 4, 4))
    assert torch.equal(found[0, :, 0, 0], torch.tensor([-2.0, 2.0]))
    kept = import_model(file, name="kept")
    assert torch.equal(outputs(kept.load_network(), torch.ones(1, 1, 4, 4)), found)


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "a/../../weights.bin", ""])
def test_weights_outside_the_folder(tmp_path, location):
    inside = tmp_path / "inside"
    inside.mkdir()
    file = external(inside / "n.onnx", location)
    (tmp_path / "weights.bin").write_bytes((inside / "weights.bin").read_bytes())
    with pytest.raises(ModelError, match="tensors outside of its folder") as caught:
        load_model(file)
    assert "\n" not in str(caught.value)


def test_a_link_to_weights_outside(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    file = external(inside / "n.onnx", "weights.bin")
    (inside / "weights.bin").rename(tmp_path / "weights.bin")
    with pytest.raises(ModelError, match=r"needs the file 'weights\.bin' beside it"):
        load_model(file)
    (inside / "weights.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(ModelError, match="tensors outside of its folder"):
        load_model(file)


def test_tensors_in_branches_are_looked_at(tmp_path):
    inner = helper.make_graph([], "then", [], [helper.make_tensor_value_info("y", 1, [1])])
    tensor = TensorProto(name="y", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    inner.initializer.append(tensor)
    node = helper.make_node("If", ["c"], ["out"], then_branch=inner, else_branch=inner)
    value = helper.make_tensor_value_info("image", 1, ["n", 1, "y", "x"])
    out = helper.make_tensor_value_info("out", 1, ["n", 1, "y", "x"])
    model = helper.make_model(helper.make_graph([node], "test", [value], [out]))
    (tmp_path / "n.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"outside of its folder, in '../secret'"):
        load_model(tmp_path / "n.onnx")


# -- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_written_read_and_compared(tmp_path, dims):
    model = random_model(tmp_path / "m", dims=dims)
    file = onnx_format.export(model, tmp_path / "out" / "made")
    assert sorted(f.name for f in file.parent.iterdir()) == ["made.json", "made.onnx"]
    again = load_model(file)
    assert again.description.labels == model.description.labels
    assert again.description.preprocess == model.description.preprocess
    assert not again.description.inputs.fixed_size
    image = torch.from_numpy(
        np.random.default_rng(1).standard_normal((3, 1, *(12, 18, 6)[:dims]), np.float32)
    )
    assert torch.allclose(
        outputs(again.load_network(), image), outputs(model.load_network(), image), atol=1e-4
    )


def test_a_written_model_segments_as_before(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    file = onnx_format.export(model, tmp_path / "n.onnx")
    image = np.random.default_rng(0).random((21, 17), np.float32)
    volume = Volume(image, Grid.from_spacing(image.shape))
    labels = nm.segment(volume, load_model(file))
    assert np.array_equal(labels.numpy(), image > 0.5)


def test_a_network_of_one_size_is_written_with_it(tmp_path):
    model = random_model(tmp_path / "m", inputs=Inputs(("c0",), 2, fixed_size=True))
    file = onnx_format.export(model, tmp_path / "n.onnx")
    assert read_graph(file).inputs[0].shape == (None, 1, 8, 8)
    again = load_model(file)
    assert again.description.inputs.fixed_size
    with pytest.raises(ModelError, match=r"fails on \(1, 1, 16, 16\)"):
        outputs(again.load_network(), torch.zeros(1, 1, 16, 16))


def test_a_network_without_words_in_onnx_leaves_nothing(tmp_path, monkeypatch):
    model = random_model(tmp_path / "m")

    class Odd(torch.nn.Module):
        def forward(self, image):
            return torch.linalg.svd(image)[0] @ image

    monkeypatch.setattr(Model, "load_networks", lambda self: (Odd(),))
    with pytest.raises(ModelError, match="bright cannot be written as ONNX") as caught:
        onnx_format.export(model, tmp_path / "out" / "n.onnx")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_ensemble_needs_a_choice(tmp_path):
    model = random_model(tmp_path / "m")
    weights = model.description.weights * 2
    both = replace(model, description=replace(model.description, weights=weights))
    with pytest.raises(ModelError, match="2 networks: choose one"):
        onnx_format.export(both, tmp_path / "n.onnx")
    assert onnx_format.export(both, tmp_path / "n.onnx", fold=1).exists()


def test_a_description_of_another_file(tmp_path):
    file = onnx_format.export(random_model(tmp_path / "m"), tmp_path / "n.onnx")
    file.rename(tmp_path / "o.onnx")
    (tmp_path / "n.json").rename(tmp_path / "o.json")
    with pytest.raises(ModelError, match=r"o.json describes another model than o.onnx"):
        load_model(tmp_path / "o.onnx")


def test_options_where_a_description_lies_beside(tmp_path):
    file = onnx_format.export(random_model(tmp_path / "m"), tmp_path / "n.onnx")
    with pytest.raises(ModelError, match=r"described in n.json: change it there, not by labels"):
        load_model(file, labels=["a"])


# -- the network as a module --------------------------------------------------------------------


def test_it_can_be_copied_and_shared(tmp_path):
    network = OnnxNetwork(conv_file(tmp_path / "n.onnx", ["n", 1, "y", "x"]))
    image = torch.ones(1, 1, 4, 4)
    assert torch.equal(copy.deepcopy(network)(image), network(image))
    assert sum(1 for _ in network.parameters()) == 0


def test_half_of_the_weights_stay_float32_where_they_do_not_fit(tmp_path):
    large = np.full((2, 256, 1, 1), 1e6, np.float32)
    small = np.full((2, 256, 1, 1), 0.5, np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "large"], ["a"]),
        helper.make_node("Conv", ["image", "small"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", 1, ["n", 256, "y", "x"])],
        [helper.make_tensor_value_info("out", 1, ["n", 2, "y", "x"])],
        [
            onnx.numpy_helper.from_array(large, "large"),
            onnx.numpy_helper.from_array(small, "small"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "n.onnx"))
    write_half(tmp_path / "n.onnx", tmp_path / "half.onnx")
    sizes = [(tmp_path / name).stat().st_size for name in ("n.onnx", "half.onnx")]
    assert sizes[0] - sizes[1] > 700  # of the 2048 bytes of the one that fits
    image = torch.ones(1, 256, 2, 2)
    before, after = (OnnxNetwork(tmp_path / n)(image) for n in ("n.onnx", "half.onnx"))
    assert torch.allclose(before, after)


def test_descriptions_of_graphs_name_their_arguments(tmp_path):
    model = load_model(conv_file(tmp_path / "n.onnx", [1, "y", "x", 1], channels_last=True))
    assert model.description.network.arguments == {
        "input_axes": "byxc",
        "output_axes": "byxc",
        "batch_one": True,
    }
    text = model.description.to_json()
    assert type(description()).from_json(text) == model.description
