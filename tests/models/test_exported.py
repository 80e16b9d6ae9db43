"""Networks of the table as ONNX and TorchScript: compared, and of any size where they are here."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import pytest
import torch
from tests.models.known import description
from tests.networks.test_contract import SMALL

from napari_monai.models import Inferer, Inputs, NetworkSpec
from napari_monai.models.onnx_export import write_graph
from napari_monai.models.onnx_run import OnnxNetwork
from napari_monai.models.torchscript_run import archive
from napari_monai.networks import build_network, network_arguments

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def made(name, dims, number=0):
    """Return a small network of the table and the description of a model of it."""
    torch.manual_seed(0)
    options = {**SMALL[name][number], "spatial_dims": dims, "in_channels": 1, "out_channels": 2}
    told = network_arguments(name, options)
    model = description(
        dims,
        network=NetworkSpec(name, told),
        inputs=Inputs(("c0",), dims),
        inferer=Inferer((16,) * dims),
    )
    return build_network(name, told).eval(), model


@pytest.mark.parametrize(
    ("name", "dims"),
    [
        ("reseg", 2),
        ("reseg", 3),
        ("fcn", 2),
        ("deeplabv3", 2),
        ("deeplabv3plus", 2),
        ("plain_conv_unet", 2),
        ("residual_encoder_unet", 2),
        ("vnet", 2),
    ],
)
def test_an_onnx_file_takes_any_size(tmp_path, name, dims):
    network, model = made(name, dims)
    file = tmp_path / "n.onnx"
    inputs = write_graph(network, model, file)
    assert (inputs.multiples, inputs.fixed_size) == ((1,) * dims, False)
    image = torch.rand(1, 1, *(5, 23, 18)[:dims])
    with torch.inference_mode():
        assert torch.allclose(OnnxNetwork(file)(image), network(image), atol=1e-3)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_network_that_is_fixed_when_traced_has_the_size_of_its_window(tmp_path, dims):
    network, model = made("swin_unetr", dims)
    model = replace(model, inferer=Inferer((32,) * dims))
    file = tmp_path / "n.onnx"
    assert write_graph(network, model, file).fixed_size
    image = torch.rand(1, 1, *(32,) * dims)
    with torch.inference_mode():
        assert torch.allclose(OnnxNetwork(file)(image), network(image), atol=1e-3)


@pytest.mark.parametrize("name", ["reseg", "deeplabv3plus"])
def test_a_torchscript_file_takes_any_size(tmp_path, name):
    network, model = made(name, 2)
    file = tmp_path / "n.pt"
    file.write_bytes(archive(network, model))
    with zipfile.ZipFile(file) as members:
        (text,) = [n for n in members.namelist() if n.endswith("napari_monai.json")]
        assert json.loads(members.read(text))["inputs"]["size_multiple"] == [1, 1]
