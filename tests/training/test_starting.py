"""Models of all formats are taken further: what they become, and that they begin as they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.bundles import write_bundle
from tests.models.known import INSTANCES, arguments, random_model, threshold_model
from tests.models.nnunet_folders import FOLDERS, Folder

from napari_monai import LabelVolume, TrainingSettings, Volume, load_model, segment
from napari_monai.errors import TrainingError
from napari_monai.grid import Grid
from napari_monai.models import (
    Inputs,
    Model,
    NetworkSpec,
    Operation,
    Outputs,
    export_model,
    save_model,
)
from napari_monai.networks import NETWORKS, build_network, network_arguments, presets
from napari_monai.settings import InferenceSettings
from napari_monai.training.examples import Pair, make_examples
from napari_monai.training.heads import Transfer, varying
from napari_monai.training.resolved import resolve
from napari_monai.training.starting import Start, start_from_model
from napari_monai.training.trainer import Trainer
from napari_monai.volume import LabelClass

# A rate so small that two steps change nothing to speak of.
STILL = TrainingSettings(
    steps=2,
    batch_size=1,
    learning_rate=1e-8,
    weight_decay=0.0,
    precision="float32",
    device="cpu",
    seed=1,
)
SMALL = {
    "channels": [4, 6], "strides": [2], "num_res_units": 1, "norm": "instance", "act": "relu",
}  # fmt: skip


def pair(
    dims: int,
    *,
    channels: int = 1,
    labels: Sequence[int] = (1, 2),
    names: Sequence[LabelClass] = (),
    rgb: bool = False,
) -> Pair:
    """Return noise and labels in slabs."""
    shape = (18, 20, 24)[-dims:]
    rng = np.random.default_rng(dims)
    truth = np.zeros(shape, np.uint8)
    for index, number in enumerate(labels):
        truth[..., 6 * index : 6 * index + 5] = number
    lead = "c" if channels > 1 else ""
    image = rng.normal(0, 1, (channels, *shape)[0 if lead else 1 :]).astype(np.float32)
    grid = Grid.from_spacing(shape)
    names = tuple(names)
    return Volume(image, grid, lead, rgb=rgb), LabelVolume(truth, grid, classes=names)


def model_of(folder: Path, dims: int = 2, **changes: Any) -> Model:
    """Write a model of three outputs with random weights."""
    outputs = changes.get("outputs") or Outputs("classes", ("background", "a", "b"), ("softmax",))
    given = {
        "labels": (LabelClass(1, "a"), LabelClass(2, "b")),
        "inputs": Inputs(("c0",), dims),
        **changes,
        "outputs": outputs,
    }
    told = {
        **arguments(dims, len(given["inputs"].channels), len(outputs.channels)),
        **SMALL,
    }
    return random_model(folder, dims=dims, network_arguments=told, **given)


def trained(start: Start, pairs: Sequence[Pair], settings: TrainingSettings) -> Trainer:
    """Do the steps of a training that begins from a model."""
    examples = list(make_examples(pairs, start.description, settings=settings))
    trainer = Trainer(start.description, examples, resolve(settings, start.description), settings)
    start.transfer.load(trainer.network)
    trainer.average.load_state_dict(trainer.network.state_dict())
    for _ in range(trainer.plan.steps):
        trainer.advance()
    return trainer


def native(folder: Path) -> Model:
    return model_of(folder)


def bundle(folder: Path) -> Model:
    before = [{"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True}]
    network = {
        "_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 3,
        "channels": [4, 8], "strides": [2], "norm": "instance",
    }  # fmt: skip
    return load_model(write_bundle(folder, network=network, before=before))


def package(folder: Path) -> Model:
    return load_model(
        export_model(model_of(folder), folder.with_name("made.zip"), format="bioimageio")
    )


def nnunet(folder: Folder) -> Callable[[Path], Model]:
    """Return what writes a folder of nnU-Net and reads it."""
    return lambda path: load_model(folder.write(path))


# With three levels there is a coarser head.
DEEP: dict[str, Any] = {
    "strides": ((1, 1, 1), (2, 2, 2), (2, 2, 2)),
    "kernels": ((3, 3, 3),) * 3,
}


@pytest.mark.parametrize(
    ("make", "dims", "deep"),
    [
        pytest.param(native, 2, False, id="ours"),
        pytest.param(bundle, 3, False, id="bundle"),
        pytest.param(package, 2, False, id="bioimageio"),
        pytest.param(nnunet(FOLDERS["anisotropic"]), 3, False, id="nnunet"),
        pytest.param(
            nnunet(replace(FOLDERS["3d-residual"], **DEEP)), 3, True, id="nnunet-resenc-deep"
        ),
        pytest.param(nnunet(FOLDERS["2d-resampled"]), 2, False, id="nnunet-2d-folds"),
    ],
)
def test_models_of_all_formats_train_and_begin_as_they_were(
    make: Callable[[Path], Model], dims: int, deep: bool, tmp_path: Path
) -> None:
    parent = make(tmp_path / "parent")
    pairs = [pair(dims)]
    settings = replace(STILL, deep_supervision=deep, patch=(16,) * dims)
    start = start_from_model(parent, "child", pairs, settings)
    trainer = trained(start, pairs, settings)
    save_model(tmp_path / "child", start.description, trainer.averaged().state_dict())
    child = load_model(tmp_path / "child")
    assert child.description.preprocess == parent.description.preprocess
    assert child.description.licence == parent.description.licence
    assert start.parent["name"] == parent.name
    # Not in what happens to be fastest at the moment, which rounds in its own way.
    exact = InferenceSettings(device="cpu", precision="float32")
    found, wanted = (segment(pairs[0][0], _one(m), settings=exact).numpy() for m in (child, parent))
    assert len(np.unique(wanted)) > 1
    # Two steps of a rate of 1e-8 may turn a voxel that was undecided.
    assert np.mean(found != wanted) < 1e-3


def _one(model: Model) -> Model:
    """Return a model without the other members of its ensemble."""
    first = model.description.weights[:1]
    return replace(model, description=replace(model.description, weights=first))


SIGMOIDS = Outputs("classes", ("a", "b"), ("sigmoid", "sigmoid"))


@pytest.mark.parametrize("outputs", [None, SIGMOIDS], ids=["softmax", "sigmoid"])
def test_a_new_class_leaves_the_others_as_they_were(
    outputs: Outputs | None, tmp_path: Path
) -> None:
    parent = model_of(tmp_path / "parent", outputs=outputs)
    pairs = [pair(2, labels=(2, 5, 1))]
    start = start_from_model(parent, "child", pairs, STILL)
    assert [label.number for label in start.description.labels] == [1, 2, 5]
    assert start.notes == ("class 5 (5) is new",)
    old, new = logits(parent, start)
    count = old.shape[1]
    torch.testing.assert_close(new[:, :count], old)
    if outputs is None:  # and the first labels are those of the model, to the voxel
        torch.testing.assert_close(new[:, -1], old[:, 0] - np.log(10))
        assert torch.equal(new.argmax(1), old.argmax(1))


def logits(parent: Model, start: Start) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the old and the new network make of one image."""
    spec = start.description.network
    torch.manual_seed(3)
    network = build_network(spec.name, spec.arguments).eval()
    start.transfer.load(network)
    image = torch.randn(1, spec.arguments["in_channels"], 16, 24)
    with torch.inference_mode():
        return parent.load_network()(image), network(image)


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "left out"])
def test_a_class_that_is_in_no_label(keep: bool, tmp_path: Path) -> None:
    cleaning = (Operation("keep_largest", {"labels": [1, 2]}),)
    parent = model_of(tmp_path / "parent", postprocess=cleaning)
    pairs = [pair(2, labels=(4,), names=[LabelClass(4, "B")])]
    start = start_from_model(parent, "child", pairs, replace(STILL, keep_classes=keep))
    described = start.description
    assert [(c.number, c.name) for c in described.labels] == [(1, "a"), (4, "b")][1 - keep :]
    assert described.postprocess[0].parameters["labels"] == [1, 4][1 - keep :]
    assert start.transfer.outputs == ((0, 1, 2) if keep else (0, 2))
    trained(start, pairs, replace(STILL, patch=(16, 16)))


def test_objects_become_classes_on_the_same_body(tmp_path: Path) -> None:
    parent = model_of(tmp_path / "parent", **{**INSTANCES, "intended_use": "nuclei"})
    pairs = [pair(2, labels=(1,), names=[LabelClass(1, "membrane")])]
    settings = replace(STILL, target="classes", patch=(16, 16))
    start = start_from_model(parent, "child", pairs, settings)
    described = start.description
    assert described.outputs == Outputs("classes", ("background", "membrane"), ("softmax",))
    assert (described.postprocess, described.intended_use) == ((), "")
    assert start.notes == ("bright finds instances, not classes: its head is begun anew",)
    trainer = trained(start, pairs, settings)
    save_model(tmp_path / "child", described, trainer.averaged().state_dict())
    assert set(np.unique(segment(pairs[0][0], load_model(tmp_path / "child")).numpy())) <= {0, 1}
    old, new = parent.load_network().state_dict(), trainer.network.state_dict()
    heads = varying(described.network, "out_channels")
    body = [name for name in old if name not in heads]
    assert body
    for name in body:
        torch.testing.assert_close(new[name], old[name], rtol=0, atol=1e-6)
    for name in heads:
        if old[name].ndim > 1:
            assert not torch.allclose(new[name], old[name], atol=1e-3)


def test_classes_become_objects(tmp_path: Path) -> None:
    parent = model_of(tmp_path / "parent")
    settings = replace(STILL, target="instances")
    described = start_from_model(parent, "child", [pair(2)], settings).description
    assert described.outputs.kind == "instances"
    assert [operation.name for operation in described.postprocess] == ["instances"]


def test_objects_are_told_as_before_beside_where_they_touch(tmp_path: Path) -> None:
    parent, pairs = model_of(tmp_path / "parent", **INSTANCES), [pair(2)]
    settings = replace(STILL, target="instances", touching_output=True, patch=(16, 16))
    start = start_from_model(parent, "child", pairs, settings)
    outputs = start.description.outputs
    assert outputs.channels == ("foreground", "distance", "touching")
    assert outputs.activation == ("sigmoid", "identity", "sigmoid")
    network = trained(start, pairs, settings).averaged().eval()
    image = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        found, before = network(image), parent.load_network().eval()(image)
    torch.testing.assert_close(found[:, :2], before, rtol=0, atol=1e-5)
    assert found[:, 2:].sigmoid().median() < 0.02  # they seldom touch
    save_model(tmp_path / "child", start.description, network.state_dict())
    child = load_model(tmp_path / "child")
    assert segment(pairs[0][0], child).kind == "instances"
    # Who has it keeps it, asked for or not.
    again = start_from_model(child, "again", pairs, replace(settings, touching_output=False))
    assert again.description.outputs == outputs


def test_regions_that_overlap_become_classes(tmp_path: Path) -> None:
    parent = load_model(FOLDERS["regions"].write(tmp_path))
    start = start_from_model(parent, "child", [pair(3, labels=(1, 3))], STILL)
    assert start.description.outputs.regions == ()
    assert start.description.outputs.softmax
    assert any("regions that overlap" in note for note in start.notes)


def test_only_the_channels_that_are_used_are_taken(tmp_path: Path) -> None:
    parent = model_of(tmp_path / "parent")
    spec = NetworkSpec("basic_unet", network_arguments("basic_unet", {
        "spatial_dims": 2, "in_channels": 1, "out_channels": 4, "features": [4, 4, 4, 4, 4, 4],
    }))  # fmt: skip
    torch.manual_seed(1)
    selected = replace(
        parent.description,
        network=spec,
        outputs=replace(parent.description.outputs, select=(3, 0, 2)),
    )
    state = build_network(spec.name, spec.arguments).state_dict()
    parent = save_model(tmp_path / "selected", selected, state)
    old, new = logits(parent, start_from_model(parent, "child", [pair(2)], STILL))
    torch.testing.assert_close(new, old[:, [3, 0, 2]])


# -- other channels -----------------------------------------------------------------------------


def test_grey_images_go_into_a_model_of_colour(tmp_path: Path) -> None:
    parent = model_of(tmp_path / "p", inputs=Inputs(("red", "green", "blue"), 2, colour=True))
    start = start_from_model(parent, "child", [pair(2)], STILL)
    assert start.description.preprocess[0].name == "colour"
    assert start.description.inputs == parent.description.inputs
    assert start.transfer.inputs == ()
    trained(start, [pair(2)], replace(STILL, patch=(16, 16)))


def test_colour_goes_into_a_grey_model_as_its_mean(tmp_path: Path) -> None:
    parent = model_of(tmp_path / "p", preprocess=(Operation("zscore", {}),))
    pairs = [pair(2, channels=3, rgb=True)]
    start = start_from_model(parent, "child", pairs, STILL)
    assert start.description.inputs.colour
    (note,) = start.notes
    assert note == "bright takes 1 channels, the images have 3: weights are shared out"
    spec = start.description.network
    network = build_network(spec.name, spec.arguments).eval()
    start.transfer.load(network)
    grey = torch.randn(1, 1, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(
            network(grey.expand(1, 3, 16, 16)), parent.load_network()(grey), rtol=1e-4, atol=1e-5
        )
    trained(start, pairs, replace(STILL, patch=(16, 16)))


def test_channels_are_matched_by_name(tmp_path: Path) -> None:
    clip = Operation("zscore", {"mean": [1.0, 3.0], "std": [1.0, 2.0]})
    parent = model_of(tmp_path / "p", inputs=Inputs(("DAPI", "GFP"), 2), preprocess=(clip,))
    image, truth = pair(2, channels=3)
    assert isinstance(image, Volume)
    image = replace(image, channel_names=("gfp", "other", "dapi"))
    start = start_from_model(parent, "child", [(image, truth)], STILL)
    assert start.transfer.inputs == (1, None, 0)
    (prepared,) = start.description.preprocess
    assert prepared.parameters == {"mean": [3.0, 2.0, 1.0], "std": [2.0, 1.5, 1.0]}
    old = parent.load_network().state_dict()
    spec = start.description.network
    network = build_network(spec.name, spec.arguments)
    start.transfer.load(network)
    for name in varying(parent.description.network, "in_channels"):
        new = network.state_dict()[name]
        assert torch.equal(new[:, [2, 0]], old[name])
        assert not new[:, 1].any()


# -- all networks -------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_takes_a_new_class_and_channel(network: str, tmp_path: Path) -> None:
    given = {"spatial_dims": 2, "in_channels": 2, "out_channels": 3, **presets(network, 2)["small"]}
    spec = NetworkSpec(network, network_arguments(network, given))
    heads, stems = varying(spec, "out_channels"), varying(spec, "in_channels")
    assert all(axes == (1,) for axes in stems.values())
    names = ("background", "a", "b")
    described = replace(
        model_of(tmp_path / "first").description,
        network=spec,
        inputs=Inputs(("x", "y"), 2),
        outputs=Outputs("classes", names, ("softmax",)),
    )
    state = build_network(network, spec.arguments).state_dict()
    parent = save_model(tmp_path / "parent", described, state)
    wider = NetworkSpec(network, {**spec.arguments, "in_channels": 3, "out_channels": 4})
    made = build_network(wider.name, wider.arguments)
    Transfer(parent, wider, (0, 1, 2, None), (0, None, 1)).load(made)
    for name, tensor in made.state_dict().items():
        kept = tensor.index_select(1, torch.tensor([0, 2])) if name in stems else tensor
        for axis in heads.get(name, ()):
            kept = kept.narrow(axis, 0, 3)
        assert torch.equal(kept, state[name]), name


# -- what cannot be trained ---------------------------------------------------------------------


def test_finished_graphs_are_refused(tmp_path: Path) -> None:
    parent = threshold_model(tmp_path / "m", threshold=0.5)
    graph = load_model(export_model(parent, tmp_path / "m.onnx", format="onnx"))
    with pytest.raises(TrainingError, match=r"^\S+ is an ONNX graph, which holds no layers") as e:
        start_from_model(graph, "child", [pair(2)], STILL)
    assert "\n" not in str(e.value)


def test_pictures_do_not_go_into_a_model_of_volumes(tmp_path: Path) -> None:
    parent = model_of(tmp_path / "p", dims=3)
    with pytest.raises(TrainingError, match="takes volumes, but image is 2-D"):
        start_from_model(parent, "child", [pair(2)], STILL)
