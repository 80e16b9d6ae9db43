"""Networks that Python code makes: never run without consent, and only the code agreed to."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.test_bioimageio import rdf

import napari_monai as nm
from napari_monai.cli import main
from napari_monai.errors import ModelError, TrustError
from napari_monai.grid import Grid
from napari_monai.models import (
    Model,
    NetworkSpec,
    catalogue,
    export_model,
    import_model,
    list_models,
    load_model,
    shelf,
    trust,
)
from napari_monai.models.card import card_rows
from napari_monai.models.python_arguments import PythonArguments
from napari_monai.volume import Volume

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")

# Leaves a marker when it is imported, and another one when it is called.
SOURCE = """
from __future__ import annotations
import pathlib
from dataclasses import dataclass
import torch

HERE = pathlib.Path({marker!r})
HERE.touch()


@dataclass
class Sizes:
    channels: int | None = 2


class Net(torch.nn.Module):
    def __init__(self, channels=2, width=1):
        super().__init__()
        HERE.with_suffix(".called").touch()
        self.last = torch.nn.Conv2d(1, Sizes(channels).channels, width)

    def forward(self, image):
        return self.last(image)


def broken(**_):
    raise ValueError("of two\\nlines")


def leaving(**_):
    raise SystemExit("bye")


def number(**_):
    return 3


def larger(**_):
    return Net(channels=3)
"""
# What a description of the former version has in other words.
FORMER = {
    "format_version": "0.4.10",
    "timestamp": "2024-01-01T00:00:00",
    "documentation": "README.md",
    "test_inputs": ["in.npy"],
    "test_outputs": ["out.npy"],
    "inputs": [
        {
            "name": "raw",
            "axes": "bcyx",
            "data_type": "float32",
            "shape": {"min": [1, 1, 16, 16], "step": [0, 0, 8, 8]},
        }
    ],
    "outputs": [
        {
            "name": "prob",
            "axes": "bcyx",
            "data_type": "float32",
            "shape": {
                "reference_tensor": "raw",
                "scale": [1.0, 2.0, 1.0, 1.0],
                "offset": [0, 0, 0, 0],
            },
        }
    ],
}


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


@pytest.fixture
def ran(marker):
    """Return whether any of the code has run."""
    return lambda: marker.exists() or marker.with_suffix(".called").exists()


def write(folder, marker, *, version="0.5", sha256="", call=None, kwargs=None, **entry):
    """Write a model of two channels, background 0 and cell 8 * (image - 0.5)."""
    folder.mkdir()
    source = SOURCE.format(marker=str(marker))
    (folder / "net.py").write_text(source)
    state = {
        "last.weight": torch.tensor([0.0, 8.0]).reshape(2, 1, 1, 1),
        "last.bias": torch.tensor([0.0, -4.0]),
    }
    torch.save(state, folder / "w.pt")
    (folder / "README.md").write_text("# Test\n")
    image = np.random.default_rng(0).random((1, 1, 16, 16), np.float32)
    np.save(folder / "in.npy", image)
    np.save(folder / "out.npy", np.concatenate([0 * image, 8 * image - 4], axis=1))
    sha256 = sha256 or hashlib.sha256(source.encode()).hexdigest()
    call, kwargs = call or "Net", {"channels": 2} if kwargs is None else kwargs
    weights = {"source": "w.pt", "pytorch_version": "2.0", **entry}
    if version == "0.4":
        weights |= {"architecture": f"net.py:{call}", "architecture_sha256": sha256}
        weights["kwargs"] = kwargs
        values = rdf(weights={"pytorch_state_dict": weights}, **FORMER)
    else:
        source = (
            {"source": "net.py", "sha256": sha256} if sha256 != "none" else {"source": "net.py"}
        )
        weights.setdefault("architecture", {**source, "callable": call, "kwargs": kwargs})
        values = rdf(weights={"pytorch_state_dict": weights})
        values["outputs"][0]["postprocessing"] = []
    (folder / "rdf.yaml").write_text(json.dumps(values))
    return folder


def agreed(model: Model) -> Model:
    trust.consent(trust.fingerprint(model))
    return model


def fails(model: Model, kind=ModelError) -> str:
    with pytest.raises(kind) as caught:
        model.load_network()
    line = str(caught.value)
    assert "\n" not in line
    return line


VOLUME = Volume(np.random.default_rng(1).random((40, 30), np.float32), Grid.from_spacing((40, 30)))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_code_runs_after_consent_and_never_before(tmp_path, marker, ran, version):
    model = load_model(write(tmp_path / "m", marker, version=version))
    told = model.description
    assert (told.trust, told.blockers, told.network.source) == ("python_code", (), "python")
    asked = trust.needs_consent(model)
    assert "runs Python code that came with it (Net(channels=2) in net.py)" in asked
    assert asked in fails(model, TrustError)
    imported = import_model(tmp_path / "m", name="mine")
    assert imported.description.weights == told.weights
    assert [m.name for m in list_models() if m.folder == imported.folder] == ["mine"]
    assert card_rows(imported)["network"] == "Python code: Net(channels=2) in net.py"
    renamed = shelf.rename(imported, "other")
    again = load_model(export_model(renamed, tmp_path / "copy.zip"))
    for copy in (imported, renamed, again):
        assert trust.fingerprint(copy) == trust.fingerprint(model)
    with pytest.raises(ModelError, match="is Python code, a MONAI bundle names one of MONAI's"):
        export_model(again, tmp_path / "bundle", format="monai_bundle")
    for form in ("onnx", "torchscript", "bioimageio"):
        with pytest.raises(TrustError):
            export_model(again, tmp_path / f"made-{form}", format=form)
    assert not ran()
    agreed(model)
    for copy in (model, again):
        labels = nm.segment(VOLUME, copy).numpy()
        assert np.array_equal(labels, VOLUME.numpy() > 0.5)
    assert ran()
    assert "net" not in sys.modules
    assert not [name for name in sys.modules if name.startswith("_napari_monai_model")]


def test_other_code_is_not_what_was_agreed_to(tmp_path, marker, ran):
    model = agreed(load_model(write(tmp_path / "m", marker)))
    file = model.folder / "net.py"
    file.write_text(file.read_text() + "\nHERE.touch()\n")
    assert "net.py is damaged or not the one" in fails(model)
    changed = load_model(model.folder)  # the sum in rdf.yaml is that of the code as it was
    assert "net.py is damaged or not the one" in fails(changed)
    with pytest.raises(ModelError, match=r"net\.py is damaged"):
        import_model(model.folder)
    assert [p.name for p in catalogue().models if p.name == "a-test-model"] == []
    text = (model.folder / "rdf.yaml").read_text()
    sums = model.description.network.code.sha256, hashlib.sha256(file.read_bytes()).hexdigest()
    (model.folder / "rdf.yaml").write_text(text.replace(*sums))
    assert "only if you trust" in fails(load_model(model.folder), TrustError)
    assert not ran()


@pytest.mark.parametrize(
    "changes",
    [{"kwargs": {"channels": 2, "width": 3}}, {"callable": "larger"}, {"sha256": "0" * 64}],
    ids=["kwargs", "callable", "code"],
)
def test_another_call_is_another_consent(tmp_path, marker, ran, changes):
    model = agreed(load_model(write(tmp_path / "m", marker)))
    network = model.description.network
    network = replace(network, arguments={**network.arguments, **changes})
    fails(replace(model, description=replace(model.description, network=network)), TrustError)
    assert not ran()


def test_other_weights_are_another_consent(tmp_path, marker, ran):
    model = agreed(load_model(write(tmp_path / "m", marker)))
    torch.save({"last.bias": torch.zeros(2)}, model.folder / "w.pt")
    fails(load_model(model.folder), TrustError)
    assert not ran()


def test_refused_for_good(tmp_path, marker, ran, monkeypatch):
    model = agreed(load_model(write(tmp_path / "m", marker)))
    trust.refuse_all()
    assert "your settings refuse all" in fails(model, TrustError)
    trust.refuse_all(False)
    monkeypatch.setenv("NAPARI_MONAI_TRUST", "never")
    assert "NAPARI_MONAI_TRUST=never" in fails(model, TrustError)
    assert not ran()


@pytest.mark.parametrize(
    ("call", "line"),
    [
        ("broken", "broken in net.py fails: ValueError: of two lines"),
        ("leaving", "leaving in net.py fails: SystemExit: bye"),
        ("number", "number in net.py makes int, not a network of torch"),
        ("Gone", "Gone in net.py fails: AttributeError"),
        ("larger", "does not fit the network of larger in net.py: Error(s) in loading"),
    ],
)
def test_code_that_fails_says_so_in_one_line(tmp_path, marker, call, line):
    folder = write(tmp_path / "m", marker, call=call, kwargs={})
    assert line in fails(agreed(load_model(folder)))


@pytest.mark.parametrize(
    ("architecture", "line"),
    [
        pytest.param(
            {"source": "https://x.org/net.py", "sha256": "0" * 64, "callable": "Net"},
            "source files are not in its folder but at https://x.org/net.py",
            id="url",
        ),
        pytest.param({"source": "gone.py", "callable": "Net"}, "gone.py are missing", id="gone"),
        pytest.param(
            {"source": "../other.py", "callable": "Net"}, "lie outside of its folder", id="outside"
        ),
        pytest.param(
            {"import_from": "os", "callable": "system", "kwargs": {"command": "true"}},
            "os.system is of Python itself",
            id="python-itself",
        ),
        pytest.param(
            {"import_from": "__main__", "callable": "main"}, "is a module, not", id="main"
        ),
        pytest.param(
            {"import_from": "no_such_package.nets", "callable": "Net"},
            "not installed: install no_such_package",
            id="not-installed",
        ),
    ],
)
def test_code_that_cannot_be_had_is_a_blocker(tmp_path, marker, architecture, line):
    (tmp_path / "other.py").touch()
    model = load_model(write(tmp_path / "m", marker, architecture=architecture))
    (blocker,) = model.description.blockers
    assert line in blocker
    assert "\n" not in blocker


def test_source_without_a_sum_is_known_by_its_own(tmp_path, marker, ran):
    model = agreed(load_model(write(tmp_path / "m", marker, sha256="none")))
    (model.folder / "net.py").write_text("x = 1")
    fails(load_model(model.folder), TrustError)
    assert not ran()


def test_weights_that_hold_code_are_refused_before_any_question(tmp_path, marker, ran):
    folder = write(tmp_path / "m", marker)
    torch.save(torch.nn.Conv2d(1, 2, 1), folder / "w.pt")
    (blocker,) = load_model(folder).description.blockers
    assert "could run code: it is not opened" in blocker
    assert not ran()


CONV = {
    "import_from": "torch.nn",
    "callable": "Conv2d",
    "kwargs": {"in_channels": 1, "out_channels": 2, "kernel_size": 1},
}


def _package_model(folder, marker, architecture):
    write(folder, marker, architecture=architecture)
    state = torch.load(folder / "w.pt", weights_only=True)
    torch.save({k.removeprefix("last."): v for k, v in state.items()}, folder / "w.pt")
    return load_model(folder)


def test_a_class_of_an_installed_package_runs_with_consent(tmp_path, marker):
    model = _package_model(tmp_path / "m", marker, CONV)
    line = fails(model, TrustError)
    call = "torch.nn.Conv2d(in_channels=1, out_channels=2, kernel_size=1)"
    assert f"runs a Python package as the model asks for ({call})" in line
    labels = nm.segment(VOLUME, agreed(model)).numpy()
    assert np.array_equal(labels, VOLUME.numpy() > 0.5)


def test_a_package_in_the_models_folder_is_none(tmp_path, marker, ran, monkeypatch):
    folder = write(tmp_path / "m", marker)
    (folder / "net.py").rename(folder / "hidden_net.py")
    monkeypatch.syspath_prepend(str(folder))
    architecture = {"import_from": "hidden_net", "callable": "Net"}
    values = json.loads((folder / "rdf.yaml").read_text())
    values["weights"]["pytorch_state_dict"]["architecture"] = architecture
    (folder / "rdf.yaml").write_text(json.dumps(values))
    assert "is no installed package" in fails(agreed(load_model(folder)))
    assert not ran()


def test_after_consent_it_can_be_exported_as_data(tmp_path, marker):
    model = agreed(load_model(write(tmp_path / "m", marker)))
    again = load_model(export_model(model, tmp_path / "made.onnx", format="onnx"))
    assert (again.description.trust, trust.needs_consent(again)) == ("data_only", None)
    image = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        assert torch.allclose(again.load_network()(image), model.load_network()(image), atol=1e-5)


def test_the_command_line_asks_for_trust(tmp_path, marker, ran, capsys):
    folder = write(tmp_path / "m", marker)
    np.save(tmp_path / "image.npy", VOLUME.numpy())
    command = ["segment", str(tmp_path / "image.npy"), "--model", str(folder)]
    command += ["--output", str(tmp_path / "out"), "--format", ".npy"]
    assert main(command) == 1
    assert "add --trust" in capsys.readouterr().err
    assert not ran()
    assert main([*command, "--trust"]) == 0
    assert np.array_equal(np.load(tmp_path / "out" / "image.npy"), VOLUME.numpy() > 0.5)


def test_exported_from_the_command_line_with_trust(tmp_path, marker, ran, capsys):
    folder = write(tmp_path / "m", marker)
    command = ["models", "export", str(folder), str(tmp_path / "n.onnx"), "--format", "onnx"]
    assert main(command) == 1
    assert "add --trust" in capsys.readouterr().err
    assert not ran()
    assert main([*command, "--trust"]) == 0
    assert load_model(tmp_path / "n.onnx").description.trust == "data_only"


ARGUMENTS = {"callable": "Net", "file": "net.py", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"callable": "a.b"}, "callable is a name"),
        ({"callable": "x()"}, "callable is a name"),
        ({"file": ""}, "a file or a library"),
        ({"library": "torch.nn"}, "a file or a library"),
        ({"file": "../net.py"}, "leaves the model's folder"),
        ({"file": "a\nb.py"}, "is not to be shown"),
        ({"sha256": ""}, "64 hexadecimal digits"),
        ({"file": "", "library": "a;b"}, "is a module, not"),
        ({"kwargs": {"x": float("nan")}}, "no JSON values"),
        ({"lib": "x"}, "unknown key 'lib'"),
    ],
)
def test_arguments_that_name_no_code(changes, line):
    with pytest.raises(ModelError, match=line):
        NetworkSpec("python", {**ARGUMENTS, **changes}, source="python")


def test_arguments_are_written_as_they_are_read():
    made = PythonArguments(**ARGUMENTS, kwargs={"a": [1, 2.5, None]}, gives="probabilities")
    assert PythonArguments.read(json.loads(json.dumps(made.write()))) == made


@pytest.mark.parametrize("word", ["data_only", "native_code"])
def test_code_cannot_be_called_anything_else(tmp_path, marker, word):
    model = load_model(write(tmp_path / "m", marker))
    with pytest.raises(ModelError, match="is python_code, not"):
        replace(model.description, trust=word)
