"""Smaller models: what they weigh, that they run as before, and that the cost is told."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from tests.models.known import INSTANCES, random_model, threshold_model

import napari_monai as nm
from napari_monai.errors import ModelError, WriteError
from napari_monai.events import Started, WindowDone
from napari_monai.grid import Grid
from napari_monai.models import load_model
from napari_monai.models import onnx as onnx_format
from napari_monai.models.compression import Compression, Method, compress, compress_steps
from napari_monai.models.parts import Inferer, TestTensor
from napari_monai.settings import COMPRESSIONS
from napari_monai.volume import Volume


def volume(*shape: int) -> Volume:
    image = np.random.default_rng(0).random(shape, np.float32)
    return Volume(image, Grid.from_spacing(shape))


def size(model):
    return (model.folder / model.description.weights[0].path).stat().st_size


@pytest.mark.parametrize("method", ["float16", "int8"])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_labels_hardly_change(tmp_path, method, dims):
    model = threshold_model(tmp_path / "m", threshold=0.5, gain=20, dims=dims)
    image = volume(*(24, 20, 12)[:dims])
    made, cost = compress(model, tmp_path / "small", method=method, calibration=image)
    again = load_model(tmp_path / "small")
    assert again.description == made.description
    found = nm.segment(image, again).numpy()
    assert (found == (image.numpy() > 0.5)).mean() > 0.97
    assert cost.agreement > 0.97
    assert cost.dice["bright"] > 0.97
    assert cost.bytes_after == size(again)
    assert f"{cost.agreement:.2%} of the voxels labelled as before" in str(cost)


@pytest.mark.parametrize(("method", "part"), [("float16", 0.6), ("int8", 0.5)])
def test_a_network_of_some_size_shrinks(tmp_path, method, part):
    told = {"channels": [16, 32, 64], "strides": [2, 2], "num_res_units": 0}
    usual = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "norm": "batch"}
    model = random_model(
        tmp_path / "m", network_arguments={**usual, **told}, inferer=Inferer((32, 32))
    )
    made, cost = compress(model, tmp_path / "s", method=method, calibration=volume(64, 64))
    assert size(made) < part * size(model)
    assert cost.bytes_before == size(model)


def test_an_onnx_file_in_float16(tmp_path):
    model = random_model(tmp_path / "m", inferer=Inferer((16, 16)))
    file = load_model(onnx_format.export(model, tmp_path / "n.onnx"))
    made, cost = compress(file, tmp_path / "s", method="float16", calibration=volume(32, 32))
    assert made.description.network == file.description.network
    assert cost.agreement > 0.99
    image = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        assert torch.allclose(made.load_network()(image), model.load_network()(image), atol=0.05)


def test_slices_of_a_volume_and_images_smaller_than_a_window(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5, gain=20)
    _, cost = compress(model, tmp_path / "s", method="int8", calibration=volume(12, 5, 7))
    assert cost.windows == 8
    assert cost.agreement > 0.97


def test_what_cannot_be_made_smaller(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    with pytest.raises(ModelError, match=r"Did you mean 'int8'\?"):
        compress(model, tmp_path / "s", method="int4", calibration=volume(8, 8))
    weights = model.description.weights * 2
    both = replace(model, description=replace(model.description, weights=weights))
    with pytest.raises(ModelError, match="is 2 networks"):
        compress(both, tmp_path / "s", method="int8", calibration=volume(8, 8))
    assert not (tmp_path / "s").exists()


def test_the_cost_in_words():
    cost = Compression("int8", 400, 100, 2.0, 1.0, 0.99, {"a": 0.9, "b": float("nan")}, 3)
    assert str(cost) == (
        "int8: 25% of the size, 50% of the time, 99.00% of the voxels labelled as before, "
        "Dice 0.900 or more (a), on 3 windows of your image."
    )


def test_what_lies_beside_comes_along_and_tests_do_not(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    (model.folder / "LICENSE").write_text("free")
    tested = replace(model.description, tests=(TestTensor("in.npy", "out.npy"),))
    model = replace(model, description=tested)
    usual = {"method": "float16", "calibration": volume(16, 16)}
    made, _ = compress(model, tmp_path / "s", **usual, name="smaller")
    assert (made.folder / "LICENSE").read_text() == "free"
    assert (made.name, made.description.tests) == ("smaller", ())
    came = made.description.training["compressed_from"]
    assert came == {"model": model.name, "method": "float16"}
    assert load_model(tmp_path / "s").description == made.description
    with pytest.raises(WriteError, match="exists already"):
        compress(model, tmp_path / "s", **usual)


def test_the_first_of_several_times_is_enough(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5, inferer=Inferer((16, 16)))
    image = np.random.default_rng(0).random((3, 16, 16), np.float32)
    times = Volume(image, Grid.from_spacing((16, 16)), leading="t")
    assert compress(model, tmp_path / "s", method="float16", calibration=times)[1].windows == 1


@pytest.mark.parametrize("method", COMPRESSIONS)
def test_one_that_is_stopped_leaves_nothing(tmp_path, method):
    model = threshold_model(tmp_path / "m", threshold=0.5, inferer=Inferer((8, 8)))
    target = tmp_path / "s" / "small"
    steps = compress_steps(model, target, method=method, calibration=volume(32, 32))
    assert next(steps) == Started(8, "windows")
    assert next(steps) == WindowDone(1, 8)
    steps.close()
    assert list(target.parent.iterdir()) == []


def test_each_method_has_its_words():
    assert tuple(COMPRESSIONS) == get_args(Method)


def test_what_tells_objects_apart_is_not_compared_and_said(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5, **INSTANCES)
    _, cost = compress(model, tmp_path / "s", method="float16", calibration=volume(16, 16))
    assert cost.unmeasured == ("distance",)
    assert list(cost.dice) == ["foreground"]
    assert str(cost).endswith("Not compared: distance, by which objects are told apart.")
