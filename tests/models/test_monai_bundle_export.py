"""Models written as MONAI bundles: MONAI's own runner takes them, and so do we again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from tests.models.bundles import image, labels_of, monais
from tests.networks.test_contract import CASES

from napari_monai.errors import ModelError, NapariMonaiError, WriteError
from napari_monai.models import (
    Inferer,
    Inputs,
    Model,
    ModelDescription,
    NetworkSpec,
    Operation,
    Outputs,
    load_model,
    save_model,
)
from napari_monai.models.monai_bundle import export, read, sniff
from napari_monai.networks import NETWORKS, build_network, from_monai, network_arguments, to_monai
from napari_monai.volume import LabelClass

UNET = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}
INFERER = Inferer((16, 16, 16), overlap=0.25, steps="monai", average="logits", padding="zeros")
PREPARED = (
    Operation("orientation", {"codes": "LPS"}),
    Operation("spacing", {"spacing": [1.5, 1.2, 0.9], "align": "corner"}),
    Operation("scale_range", {"a_min": -150, "a_max": 300, "clip": True}),
)


def model(folder: Path, **changes: Any) -> Model:
    """Return a model of three classes that runs as MONAI's do, with random weights."""
    arguments = changes.pop("arguments", UNET)
    name = changes.pop("network", "unet")
    values: dict[str, Any] = {
        "name": "trial",
        "title": "A trial",
        "version": "1.2",
        "description": "For tests.",
        "licence": "CC0-1.0",
        "authors": ("A. Nybody",),
        "citations": ("Nobody et al.",),
        "intended_use": "Trying.",
        "network": NetworkSpec(name, network_arguments(name, arguments)),
        "inputs": Inputs(tuple(f"c{i}" for i in range(arguments["in_channels"])), 3, modality="CT"),
        "preprocess": PREPARED,
        "inferer": INFERER,
        "outputs": Outputs("classes", ("background", "liver", "spleen"), ("softmax",)),
        "labels": (LabelClass(1, "liver"), LabelClass(2, "spleen")),
    }
    torch.manual_seed(0)
    network = build_network(name, arguments)
    return save_model(folder, ModelDescription(**values | changes), network.state_dict())


NONE_OF_MONAIS = (
    "deeplabv3",
    "deeplabv3plus",
    "fcn",
    "plain_conv_unet",
    "residual_encoder_unet",
    "reseg",
)
SIGMOID = {
    "outputs": Outputs("classes", ("a", "b", "c"), ("sigmoid",) * 3),
    "labels": (LabelClass(1, "a"), LabelClass(2, "b"), LabelClass(3, "c")),
}
FORMS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "logits home": {
        "outputs": Outputs(
            "classes", ("background", "liver", "spleen"), ("softmax",), home="logits"
        )
    },
    "labels home": {
        "outputs": Outputs(
            "classes", ("background", "liver", "spleen"), ("softmax",), home="labels"
        )
    },
    "numbers of its own": {"labels": (LabelClass(7, "liver"), LabelClass(3, "spleen"))},
    "chosen channels": {
        "outputs": Outputs("classes", ("background", "liver"), ("softmax",), select=(2, 0)),
        "labels": (LabelClass(1, "liver"),),
    },
    "sigmoids": SIGMOID,
    "regions": {
        "outputs": Outputs("classes", ("a", "b"), ("sigmoid",) * 2, select=(2, 0), regions=(4, 1)),
        "labels": (LabelClass(1, "b"), LabelClass(4, "a")),
    },
    "the file's axes": {
        "preprocess": (
            Operation("transpose", {"axes": [1, 2, 0]}),
            Operation("scale_percentiles", {"lower": 2.0, "upper": 98.0, "clip": True}),
        )
    },
    "many operations": {
        "preprocess": (
            Operation("clip", {"minimum": -100, "maximum": 280}),
            Operation("scale_linear", {"gain": 0.5, "offset": 20}),
            Operation("cast", {"dtype": "int16"}),
            Operation("scale_minmax", {"b_min": -1.0}),
            Operation("crop_foreground", {"margin": 1, "allow_smaller": True}),
            Operation("zscore", {"nonzero": True}),
        )
    },
    "sizes": {
        "preprocess": (
            Operation("orientation", {"codes": "RAS"}),
            Operation("resize", {"size": [24, None, 20], "mode": "linear"}),
            Operation("pad", {"size": [26, 30, 24]}),
            Operation("pad_divisible", {"k": 4}),
            Operation("zscore", {"mean": [90.0], "std": [150.0]}),
        )
    },
    "gaussian, border repeated": {
        "inferer": replace(INFERER, window=(32, 16, 16), blend="gaussian", padding="edge")
    },
    "the whole image": {"inferer": replace(INFERER, kind="simple")},
}


@pytest.mark.parametrize("form", [pytest.param(v, id=k) for k, v in FORMS.items()])
def test_monais_evaluator_and_a_new_reading_give_the_same_labels(
    form: dict[str, Any], tmp_path: Path
) -> None:
    first = model(tmp_path / "model", **form)
    file = image(tmp_path, spacing=(1.0, 1.3, 1.1), turn="LAS")
    folder = export(first, tmp_path / "bundle")
    again = read(folder)
    wanted = labels_of(first, file)

    assert sniff(folder)
    assert again.description.blockers == ()
    assert len(np.unique(wanted)) > 1
    assert np.array_equal(labels_of(again, file), wanted)
    assert np.array_equal(oracle(folder, file), wanted)
    assert again.description.labels == first.description.labels


def oracle(folder: Path, file: Path) -> Any:
    """Return what MONAI makes of one image with a bundle."""
    config = folder / "configs" / "inference.json"
    values = json.loads(config.read_text())
    values["datalist"] = "@files"
    values["output_dir"] = "$@bundle_root + '/eval'"
    config.write_text(json.dumps(values))
    return monais(folder, [file])


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_networks_by_monais_names_and_back(name: str, arguments: dict[str, Any]) -> None:
    complete = network_arguments(name, arguments)
    if name in NONE_OF_MONAIS or "width" in arguments or arguments.get("deep_supervision"):
        with pytest.raises(NapariMonaiError, match="MONAI's"):
            to_monai(name, complete)
        return
    class_name, monais_own = to_monai(name, complete)
    if name == "dints":
        assert class_name == "DiNTS"  # its topology is a component of a bundle
        return
    back_name, back = from_monai(class_name, monais_own)
    assert (back_name if name != "residual_unet" else name) == name
    assert back == complete


def test_a_dints_comes_back(tmp_path: Path) -> None:
    arguments = {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 3,
        "num_blocks": 2,
        "num_depths": 2,
        "channel_mul": 0.125,
    }
    first = model(tmp_path / "model", network="dints", arguments=arguments)
    file = image(tmp_path)
    again = read(export(first, tmp_path / "bundle"))

    assert again.description.blockers == ()
    assert np.array_equal(labels_of(again, file), labels_of(first, file))


def test_a_zip_holds_the_same(tmp_path: Path) -> None:
    first = model(tmp_path / "model")
    written = export(first, tmp_path / "packed.zip")
    again = load_model(written)
    file = image(tmp_path)

    assert again.origin == "monai_bundle"
    assert again.name == "packed"
    assert np.array_equal(labels_of(again, file), labels_of(first, file))


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()

    with pytest.raises(WriteError, match="exists already"):
        export(model(tmp_path / "model"), tmp_path / "mine")


def test_what_is_told_of_the_model(tmp_path: Path) -> None:
    folder = export(model(tmp_path / "model"), tmp_path / "bundle")
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())

    # MONAI's specification of bundles asks for these.
    for key in (
        "version", "changelog", "monai_version", "pytorch_version", "numpy_version",
        "required_packages_version", "task", "description", "authors", "copyright",
        "network_data_format",
    ):  # fmt: skip
        assert metadata[key], key
    told = metadata["network_data_format"]["outputs"]["pred"]
    assert told["channel_def"] == {"0": "background", "1": "liver", "2": "spleen"}
    assert "CC0-1.0" in (folder / "LICENSE").read_text()
    assert "A trial" in (folder / "docs" / "README.md").read_text()
    again = read(folder).description
    assert (again.title, again.version, again.authors) == ("A trial", "1.2", ("A. Nybody",))
    assert again.inputs.modality == "CT"


def test_objects_become_a_probability_and_the_readme_says_so(tmp_path: Path) -> None:
    arguments = {**UNET, "out_channels": 2}
    first = model(
        tmp_path / "model",
        arguments=arguments,
        outputs=Outputs("instances", ("foreground", "distance"), ("sigmoid", "identity")),
        labels=(LabelClass(1, "nucleus"),),
    )
    folder = export(first, tmp_path / "bundle")

    assert "probability of the foreground" in (folder / "docs" / "README.md").read_text()
    found = oracle(folder, image(tmp_path))
    assert found.dtype.kind == "f"
    assert 0 < found.min() < found.max() < 1
    assert read(folder).description.blockers == ()


@pytest.mark.parametrize(
    ("form", "line"),
    [
        pytest.param(
            {"preprocess": (Operation("crop_nonzero"),)}, "crop_nonzero has no counterpart", id="op"
        ),
        pytest.param(
            {"preprocess": (Operation("clip", {"minimum": [1.0]}),)},
            "all channels alike",
            id="clip",
        ),
    ],
)
def test_what_monai_cannot_say_is_refused(form: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=line):
        export(model(tmp_path / "model", **form), tmp_path / "bundle")

    assert not (tmp_path / "bundle").exists()


def test_what_monai_does_otherwise_is_told(tmp_path: Path) -> None:
    first = model(
        tmp_path / "model",
        preprocess=(Operation("spacing", {"spacing": [2.0, 2.0, 2.0]}),),
        inferer=Inferer((15, 16, 16), flips=True),
    )
    text = (export(first, tmp_path / "bundle") / "docs" / "README.md").read_text()

    for words in ("begins at the first voxel", "[16, 16, 16]", "evenly", "Mirrored"):
        assert words in text


@pytest.mark.slow
def test_monais_command_line_runs_it(tmp_path: Path) -> None:
    first = model(tmp_path / "model")
    folder = export(first, tmp_path / "bundle")
    images = tmp_path / "images"
    images.mkdir()
    file = image(images, spacing=(1.0, 1.3, 1.1), turn="LAS")

    done = subprocess.run(
        [
            sys.executable, "-W", "ignore", "-m", "monai.bundle", "run",
            "--config_file", "configs/inference.json",
            "--meta_file", "configs/metadata.json",
            "--dataset_dir", str(images),
            "--output_dir", str(tmp_path / "out"),
            "--bundle_root", str(folder),
        ],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2000:]
    written = list((tmp_path / "out").glob("*seg*"))
    assert len(written) == 1
    found = np.asarray(nibabel.load(written[0]).dataobj)
    assert np.array_equal(found, labels_of(first, file))


def test_every_network_is_asked_about() -> None:
    assert {case.values[0] for case in CASES} == set(NETWORKS)
