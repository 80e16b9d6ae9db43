"""BioImage.IO: what is read of a description, what is refused and why, what is written."""

from __future__ import annotations

import io
import json
import socket
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.models.known import INSTANCES, arguments, random_model, threshold_model
from tests.models.test_onnx import conv_file

import napari_monai as nm
from napari_monai.errors import ModelError
from napari_monai.grid import Grid
from napari_monai.models import Operation, bioimageio, load_model
from napari_monai.models.bioimageio_card import channel_names
from napari_monai.models.tested import check_tests, run_tests
from napari_monai.networks import build_network
from napari_monai.preprocess import prepare
from napari_monai.volume import Volume


@pytest.fixture(autouse=True)
def no_net(monkeypatch):
    """Fail where anything is looked up in the net."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("the net was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def space(name, size=None, **more):
    return {"type": "space", "id": name, "size": size or {"min": 16, "step": 8}, **more}


def axes(*spatial, channels=("channel0",), order="bc"):
    made = {"b": {"type": "batch"}, "c": {"type": "channel", "channel_names": list(channels)}}
    return [made[letter] for letter in order] + list(spatial)


def same(name, **more):
    return space(name, {"tensor_id": "raw", "axis_id": name}, **more)


def rdf(**changes):
    """Return a description of a network of two channels in ONNX."""
    values = {
        "type": "model",
        "format_version": "0.5.4",
        "name": "A test model",
        "description": "For tests.",
        "authors": [{"name": "A. Author"}],
        "cite": [{"text": "A paper", "doi": "10.1000/xyz123"}],
        "documentation": {"source": "README.md"},
        "license": "MIT",
        "tags": ["fluorescence-light-microscopy"],
        "inputs": [
            {
                "id": "raw",
                "axes": axes(space("y"), space("x")),
                "test_tensor": {"source": "in.npy"},
            }
        ],
        "outputs": [
            {
                "id": "prob",
                "axes": axes(same("y"), same("x"), channels=("background", "cell")),
                "test_tensor": {"source": "out.npy"},
                "postprocessing": [{"id": "softmax"}],
            }
        ],
        "weights": {"onnx": {"source": "weights.onnx", "opset_version": 17}},
    }
    values.update(changes)
    return values


def written(folder, values, *, shape=("n", 1, "y", "x"), **graph):
    """Write a folder with a graph of two channels; JSON is YAML."""
    folder.mkdir(exist_ok=True)
    conv_file(folder / "weights.onnx", list(shape), **graph)
    (folder / "README.md").write_text("# Test\n")
    (folder / "rdf.yaml").write_text(json.dumps(values))
    return folder


def with_input(**changes):
    values = rdf()
    values["inputs"][0].update(changes)
    return values


def with_output(**changes):
    values = rdf()
    values["outputs"][0].update(changes)
    return values


def test_folder_file_and_zip_are_one_model(tmp_path):
    folder = written(tmp_path / "m", rdf())
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as made:
        for file in folder.iterdir():
            made.write(file, file.name)
    models = [load_model(p) for p in (folder, folder / "rdf.yaml", tmp_path / "m.zip")]
    assert [m.description for m in models] == [models[0].description] * 3
    told = models[0].description
    assert models[0].origin == "bioimageio"
    assert (told.name, told.title, told.licence) == ("a-test-model", "A test model", "MIT")
    assert (told.authors, told.citations) == (("A. Author",), ("A paper doi:10.1000/xyz123",))
    assert told.inputs.modality == "fluorescence"
    assert told.outputs.channels == ("background", "cell")
    assert (told.inputs.size_multiple, told.inferer.window) == ((8, 8), (512, 512))
    assert told.trust == "data_only"
    assert not told.blockers


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        pytest.param(
            {"id": "scale_linear", "kwargs": {"gain": 2.0, "offset": -3.0}},
            lambda x: 2 * x - 3,
            id="scale_linear",
        ),
        pytest.param(
            {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"], "eps": 0.01}},
            lambda x: (x - x.mean()) / (x.std() + 0.01),
            id="zero_mean",
        ),
        pytest.param(
            {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 3.0, "std": 2.0}},
            lambda x: (x - 3) / 2,
            id="fixed",
        ),
        pytest.param(
            {
                "id": "scale_range",
                "kwargs": {"min_percentile": 5.0, "max_percentile": 90.0, "eps": 0.01},
            },
            lambda x: (
                (x - np.percentile(x, 5)) / (np.percentile(x, 90) - np.percentile(x, 5) + 0.01)
            ),
            id="scale_range",
        ),
        pytest.param(
            {"id": "clip", "kwargs": {"min": 1.0, "max": 4.0}},
            lambda x: np.clip(x, 1, 4),
            id="clip",
        ),
        pytest.param(
            {"id": "ensure_dtype", "kwargs": {"dtype": "uint8"}}, np.trunc, id="ensure_dtype"
        ),
    ],
)
def test_preprocessing_is_as_defined(tmp_path, step, wanted):
    folder = written(tmp_path / "m", with_input(preprocessing=[step]))
    model = load_model(folder)
    image = np.random.default_rng(0).gamma(2, 2, (40, 30)).astype(np.float32)
    found = prepare(Volume(image, Grid.from_spacing(image.shape)), model.description).array
    assert np.allclose(found[0], wanted(image.astype(np.float64)), atol=1e-4)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        pytest.param(
            with_input(preprocessing=[{"id": "sigmoid"}]), "step sigmoid is not known", id="step"
        ),
        pytest.param(
            with_input(
                preprocessing=[{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["x"]}}]
            ),
            "zero_mean_unit_variance without axis y",
            id="one-axis",
        ),
        pytest.param(
            with_output(
                axes=axes(same("y"), space("x", {"tensor_id": "raw", "axis_id": "x", "offset": -4}))
            ),
            "not as large as its input along axis x",
            id="smaller-output",
        ),
        pytest.param(with_output(description="affinities"), "'affinities', not classes", id="what"),
        pytest.param(with_output(id="flow", postprocessing=[]), "'flow', not classes", id="flow"),
        pytest.param(
            rdf(weights={"keras_hdf5": {"source": "k.h5", "tensorflow_version": "2.0"}}),
            "Keras weights do not run here",
            id="keras",
        ),
        pytest.param(
            rdf(weights={"onnx": {"source": "http://x.org/w.onnx", "opset_version": 17}}),
            "at http://x.org/w.onnx: download the model as a zip",
            id="url",
        ),
        pytest.param(
            rdf(weights={"onnx": {"source": "gone.onnx", "opset_version": 17}}),
            "gone.onnx are missing",
            id="missing",
        ),
        pytest.param(
            rdf(weights={"onnx": {"source": "../m2/weights.onnx", "opset_version": 17}}),
            "lie outside of its folder",
            id="outside",
        ),
    ],
)
def test_what_cannot_run_lists_and_says_why(tmp_path, values, line):
    written(tmp_path / "m2", rdf())
    model = load_model(written(tmp_path / "m", values))
    assert any(line in blocker for blocker in model.description.blockers)
    assert all("\n" not in blocker for blocker in model.description.blockers)
    assert model.description.title == "A test model"
    with pytest.raises(ModelError):
        model.load_network()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("{", "is damaged", id="no-yaml"),
        pytest.param("- 1", "is damaged", id="a-list"),
        pytest.param(json.dumps(rdf(name="")), "no valid BioImage.IO", id="no-name"),
        pytest.param(
            json.dumps(rdf(type="dataset")), "no valid BioImage|a dataset", id="a-dataset"
        ),
        pytest.param("#" * 2_000_000, "too long", id="too-long"),
        pytest.param(
            json.dumps(with_input(output_of="http://x.org/rdf.yaml")), "another model", id="output"
        ),
    ],
)
def test_damaged_descriptions(tmp_path, content, message):
    folder = written(tmp_path / "m", rdf())
    (folder / "rdf.yaml").write_text(content)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "output", "activation", "channels", "select"),
    [
        pytest.param(
            ("cell", "background"), "logits", ("softmax",), ("background", "cell"), (1, 0),
            id="last",
        ),
        pytest.param(("a", "b"), "sum", ("softmax",), None, (), id="no-background"),
        pytest.param(
            ("channel0", "channel1"), "sum", ("softmax",), ("background", "channel1"), (),
            id="nameless",
        ),
        pytest.param(
            ("foreground", "boundary"), "unit", ("sigmoid",) * 2, ("foreground", "boundary"), (),
            id="boundary",
        ),
    ],
)  # fmt: skip
def test_outputs_without_a_named_activation(tmp_path, names, output, activation, channels, select):
    values = with_output(axes=axes(same("y"), same("x"), channels=names), postprocessing=[])
    last = {"logits": "", "sum": "Softmax", "unit": "Sigmoid"}[output]
    folder = written(tmp_path / "m", values, last=last, gains=(1, 2))
    image = np.random.default_rng(0).standard_normal((1, 1, 16, 16)).astype(np.float32)
    raw = np.concatenate([image, 2 * image], axis=1)
    made = {
        "logits": raw,
        "sum": np.exp(raw) / np.exp(raw).sum(1, keepdims=True),
        "unit": 1 / (1 + np.exp(-raw)),
    }[output]
    np.save(folder / "in.npy", image)
    np.save(folder / "out.npy", made)
    model = load_model(folder)
    if channels is None:
        assert "none of ['a', 'b'] is background" in model.description.blockers[0]
        return
    outputs = model.description.outputs
    assert (outputs.activation, outputs.channels) == (activation, channels)
    assert outputs.select == select
    if output != "logits":  # test tensors are what the graph gives
        assert all(result.passed for result in run_tests(model))


def test_a_monai_network_with_its_state_dict(tmp_path):
    told = {**arguments(), "channels": [3, 5], "strides": [2], "norm": "batch", "act": "relu"}
    made = build_network("unet", told).eval()
    entry = {
        "source": "w.pt",
        "pytorch_version": "2.0",
        "architecture": {
            "import_from": "monai.networks.nets",
            "callable": "UNet",
            "kwargs": told,
        },
    }
    folder = written(tmp_path / "m", rdf(weights={"pytorch_state_dict": entry}))
    torch.save(made.state_dict(), folder / "w.pt")
    model = load_model(folder)
    assert model.description.blockers == ()
    image = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(model.load_network()(image), made(image))


# -- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_a_package_gives_the_same_when_read_again(tmp_path, dims):
    model = random_model(
        tmp_path / "m",
        dims=dims,
        authors=("A. Author",),
        preprocess=(Operation("zscore", {}),),
    )
    file = bioimageio.export(model, tmp_path / "out" / "made")
    assert [f.name for f in file.parent.iterdir()] == ["made.zip"]
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        cover = Image.open(io.BytesIO(archive.read("cover.png")))
    assert {"weights.onnx", "weights.pt", "README.md", "test_input.npy"} <= names
    assert cover.size[0] == 2 * cover.size[1]
    again = load_model(file)
    for kept in ("labels", "preprocess", "postprocess", "outputs", "inferer", "licence"):
        assert getattr(again.description, kept) == getattr(model.description, kept)
    assert ["as it should be" in line for line in check_tests(again)] == [True]
    image = torch.rand(1, 1, *(16,) * dims)
    with torch.inference_mode():
        assert torch.allclose(again.load_network()(image), model.load_network()(image), atol=1e-4)


def test_a_package_of_objects_segments_as_before(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5, **INSTANCES)
    again = load_model(bioimageio.export(model, tmp_path / "made.zip"))
    image = np.zeros((32, 32), np.float32)
    image[4:12, 4:12] = image[18:28, 18:28] = 0.9
    volume = Volume(image, Grid.from_spacing(image.shape))
    found, wanted = nm.segment(volume, again), nm.segment(volume, model)
    assert np.array_equal(found.numpy(), wanted.numpy())
    assert found.numpy().max() == 2


def test_other_outputs_than_the_test_tensors_are_seen(tmp_path):
    model = random_model(tmp_path / "m")
    again = load_model(bioimageio.export(model, tmp_path / "made.zip"))
    file = again.folder / again.description.tests[0].output
    np.save(file, np.load(file) + 0.1)
    (line,) = check_tests(again)
    assert "not as it should be, largest difference 1.0e-01" in line


def test_of_an_ensemble_one_is_a_package(tmp_path):
    model = random_model(tmp_path / "m")
    weights = model.description.weights * 2
    both = replace(model, description=replace(model.description, weights=weights))
    with pytest.raises(ModelError, match="2 networks: choose one by its fold"):
        bioimageio.export(both, tmp_path / "made.zip")
    assert load_model(bioimageio.export(both, tmp_path / "made.zip", fold=1)).folds == 1


@pytest.mark.parametrize(
    ("names", "made"),
    [
        (("red", "green"), ["red", "green"]),
        (("a b", "a-b"), ["a_b", "channel1_a_b"]),
        (("2", "class", ""), ["channel0_2", "channel1_class", "channel2"]),
    ],
)
def test_channel_names_are_identifiers(names, made):
    assert channel_names(names) == made


def test_unet2d_nuclei_broad(shared_data):
    """The example of the specification, by hand from its repository: to its test tensor."""
    folder = shared_data / "bioimageio" / "unet2d_nuclei_broad"
    if not folder.is_dir():
        pytest.skip("needs unet2d_nuclei_broad of bioimage-io/spec-bioimage-io")
    for name in ("bioimageio.yaml", "v0_4_9.bioimageio.yaml"):
        (result,) = run_tests(load_model(folder / name))
        assert result.difference < 1e-4
