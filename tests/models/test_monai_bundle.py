"""Bundles written by hand: the labels are those of MONAI's own evaluator, voxel for voxel."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from tests.models.bundles import (
    ARGMAX,
    HALF,
    HOME,
    SIGMOID,
    SOFTMAX,
    UNET,
    WINDOWS,
    Step,
    image,
    labels_of,
    monais,
    network_of,
    ours,
    parsed,
    write_bundle,
)

from napari_monai.errors import ModelError, TrustError
from napari_monai.io import read as read_image
from napari_monai.models import import_model, load_model, trust
from napari_monai.models.monai_bundle import read

ORIENTATION: Step = {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"}
SPACING: Step = {
    "_target_": "Spacingd",
    "keys": "image",
    "pixdim": [1.5, 1.2, 0.9],
    "mode": "bilinear",
}
RANGE: Step = {
    "_target_": "ScaleIntensityRanged",
    "keys": "image",
    "a_min": -150,
    "a_max": 300,
    "b_min": 0.0,
    "b_max": 1.0,
    "clip": True,
}


def step(target: str, **arguments: Any) -> Step:
    return {"_target_": target, "keys": "image", **arguments}


def pred(target: str, **arguments: Any) -> Step:
    return {"_target_": target, "keys": "pred", **arguments}


LAMBDA = (
    "$lambda x: torch.where(x[[2]] > 0, 4, "
    "torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))"
)
PROBABILITIES_HOME = [SOFTMAX, HOME, ARGMAX]

# What a bundle does, as the changes from a plain one.
CASES: dict[str, dict[str, Any]] = {
    "nothing": {"before": []},
    "orientation RAS": {"before": [ORIENTATION]},
    "orientation LPS": {"before": [{**ORIENTATION, "axcodes": "LPS"}], "after": PROBABILITIES_HOME},
    "range": {"before": [RANGE]},
    "range without clip": {"before": [{**RANGE, "clip": False, "b_min": -1}]},
    "range upside down": {"before": [{**RANGE, "a_min": 300, "a_max": -150}]},
    "range of gaussian windows": {"before": [RANGE], "inferer": {**WINDOWS, "mode": "gaussian"}},
    "percentiles": {
        "before": [
            step("ScaleIntensityRangePercentilesd", lower=2, upper=98, b_min=0, b_max=1, clip=True)
        ]
    },
    "relative percentiles": {
        "before": [
            step(
                "ScaleIntensityRangePercentilesd",
                lower=5,
                upper=95,
                b_min=0,
                b_max=1,
                relative=True,
            )
        ]
    },
    "minmax": {"before": [step("ScaleIntensityd", minv=-1.0, maxv=1.0)]},
    "factor": {"before": [step("ScaleIntensityd", minv=None, maxv=None, factor=-0.99)]},
    "zscore": {"before": [step("NormalizeIntensityd")]},
    "zscore of what is not zero": {
        "before": [
            step("ThresholdIntensityd", threshold=0.0, above=True, cval=0.0),
            step("NormalizeIntensityd", nonzero="True", channel_wise="True"),
        ]
    },
    "zscore by given numbers": {
        "before": [
            step("NormalizeIntensityd", subtrahend=[90.0], divisor=[150.0], channel_wise=True)
        ]
    },
    "cast": {
        "before": [
            step("CastToTyped", dtype="int16"),
            step("CastToTyped", dtype="$torch.float32"),
            RANGE,
        ]
    },
    "clip": {
        "before": [
            step("ThresholdIntensityd", threshold=-50, above=True, cval=-50),
            step("ThresholdIntensityd", threshold=250, above=False, cval=250),
            RANGE,
        ]
    },
    "transpose": {
        "before": [step("Transposed", indices=[0, 2, 3, 1]), RANGE],
        "after": PROBABILITIES_HOME,
    },
    "spacing": {"before": [ORIENTATION, SPACING, RANGE], "after": PROBABILITIES_HOME},
    "spacing of the file's axes": {"before": [SPACING, RANGE], "after": PROBABILITIES_HOME},
    "spacing then orientation": {
        "before": [SPACING, ORIENTATION, RANGE],
        "after": PROBABILITIES_HOME,
    },
    "spacing of the nearest": {
        "before": [ORIENTATION, {**SPACING, "pixdim": [1.43, 1.2, 0.87], "mode": "nearest"}, RANGE],
        "after": [SOFTMAX, {**HOME, "nearest_interp": True}, ARGMAX],
    },
    "one axis of spacing": {
        "before": [ORIENTATION, {**SPACING, "pixdim": [-1, 1.5, 0]}, RANGE],
        "after": PROBABILITIES_HOME,
    },
    "labels go home": {
        "before": [ORIENTATION, SPACING, RANGE],
        "after": [SOFTMAX, ARGMAX, {**HOME, "nearest_interp": True}],
    },
    "logits go home": {"before": [ORIENTATION, SPACING, RANGE], "after": [HOME, SOFTMAX, ARGMAX]},
    "no activation": {"before": [ORIENTATION, SPACING, RANGE], "after": [HOME, ARGMAX]},
    "nobody says how to go home": {
        "before": [ORIENTATION, SPACING, RANGE],
        "after": [SOFTMAX, ARGMAX],
    },
    "resize": {
        "before": [step("Resized", spatial_size=[24, 20, 24], mode="trilinear"), RANGE],
        "after": PROBABILITIES_HOME,
    },
    "resize of one axis by area": {
        "before": [step("Resized", spatial_size=[16, -1, -1], mode="area"), RANGE],
        "after": PROBABILITIES_HOME,
    },
    "crop to the foreground": {
        "before": [RANGE, step("CropForegroundd", source_key="image", mode=["minimum"])],
        "after": PROBABILITIES_HOME,
        "image": {"empty": True},
    },
    "crop with a margin": {
        "before": [
            RANGE,
            step("CropForegroundd", source_key="image", margin=2, allow_smaller=True),
        ],
        "after": PROBABILITIES_HOME,
        "image": {"empty": True},
    },
    "pad": {
        "before": [RANGE, step("SpatialPadd", spatial_size=[30, 30, 20])],
        "after": PROBABILITIES_HOME,
    },
    "pad to multiples": {
        "before": [RANGE, step("DivisiblePadd", k=8, mode="edge")],
        "after": PROBABILITIES_HOME,
    },
    "whole image": {
        "before": [RANGE, step("DivisiblePadd", k=2)],
        "after": PROBABILITIES_HOME,
        "inferer": {"_target_": "SimpleInferer"},
    },
    "window larger than the image": {
        "before": [RANGE],
        "inferer": {**WINDOWS, "roi_size": [32, 24, 40]},
    },
    "window larger, border repeated": {
        "before": [RANGE],
        "inferer": {
            **WINDOWS,
            "roi_size": [32, 24, 40],
            "padding_mode": "replicate",
            "mode": "gaussian",
        },
    },
    "one side for all": {"before": [RANGE], "inferer": {**WINDOWS, "roi_size": 16, "overlap": 0.5}},
    "one sigmoid": {
        "before": [RANGE],
        "network": {**UNET, "out_channels": 1},
        "seed": 4,
        "after": [SIGMOID, HOME, HALF],
        "names": ["lesion"],
    },
    "threshold": {
        "before": [RANGE],
        "network": {**UNET, "out_channels": 1},
        "seed": 4,
        "after": [SIGMOID, {**HALF, "threshold": 0.45}],
        "names": ["lesion"],
    },
    "threshold of logits": {
        "before": [RANGE],
        "network": {**UNET, "out_channels": 1},
        "seed": 1,
        "after": [{**HALF, "threshold": 0.1}],
        "names": ["lesion"],
    },
    "regions": {
        "before": [step("NormalizeIntensityd", nonzero=True, channel_wise=True)],
        "after": [SIGMOID, HOME, HALF, pred("Lambdad", func=LAMBDA)],
    },
    "one hot, without background": {
        "before": [RANGE],
        "network": {**UNET, "out_channels": 2},
        "after": [{**ARGMAX, "to_onehot": 2}, pred("Lambdad", func="$lambda x : x[1:]")],
    },
    "renumbered": {
        "before": [RANGE],
        "after": [
            SOFTMAX,
            ARGMAX,
            pred("MapLabelValued", orig_labels=[1, 2], target_labels=[7, 3]),
        ],
    },
    "chosen channels": {
        "before": [RANGE],
        "after": [pred("Lambdad", func="$lambda x: x[[2, 0]]"), SOFTMAX, ARGMAX],
    },
    "largest part": {
        "before": [RANGE],
        "after": [
            SOFTMAX,
            HOME,
            ARGMAX,
            pred("KeepLargestConnectedComponentd", applied_labels=[1, 2]),
        ],
    },
    "largest part by faces, together": {
        "before": [RANGE],
        "after": [
            SOFTMAX,
            ARGMAX,
            pred(
                "KeepLargestConnectedComponentd",
                applied_labels=[1, 2],
                independent=False,
                connectivity=1,
            ),
        ],
    },
    "largest part of all labels": {
        "before": [RANGE],
        "after": [SOFTMAX, ARGMAX, pred("KeepLargestConnectedComponentd")],
    },
    "holes": {
        "before": [RANGE],
        "after": [SOFTMAX, ARGMAX, pred("FillHolesd", applied_labels=[1])],
    },
    "holes by faces": {
        "before": [RANGE],
        "after": [SOFTMAX, ARGMAX, pred("FillHolesd", connectivity=1)],
    },
    "small parts": {
        "before": [RANGE],
        "network": {**UNET, "out_channels": 2},
        "seed": 1,
        "after": [SOFTMAX, ARGMAX, pred("RemoveSmallObjectsd", min_size=30)],
    },
    "slices": {
        "before": [step("ScaleIntensityd")],
        "network": {**UNET, "spatial_dims": 2},
        "inferer": {"_target_": "SliceInferer", "roi_size": [16, 16], "spatial_dim": 2},
        "after": PROBABILITIES_HOME,
    },
    "slices along another axis": {
        "before": [ORIENTATION, step("ScaleIntensityd")],
        "network": {**UNET, "spatial_dims": 2},
        "inferer": {"_target_": "SliceInferer", "roi_size": [16, 16], "spatial_dim": 1},
        "after": PROBABILITIES_HOME,
    },
}


@pytest.mark.parametrize("case", [pytest.param(v, id=k) for k, v in CASES.items()])
def test_labels_are_those_of_monais_evaluator(case: dict[str, Any], tmp_path: Path) -> None:
    case = dict(case)
    looks = case.pop("image", {})
    folder = write_bundle(tmp_path / "bundle", **case)
    file = image(tmp_path, spacing=(1.0, 1.3, 1.1), turn="LAS", **looks)

    found, wanted = ours(folder, file), monais(folder, [file])

    assert wanted.shape == found.shape
    assert len(np.unique(wanted)) > 1
    assert np.array_equal(found, wanted), f"{(found != wanted).mean():.2%} of the voxels differ"


def test_layers_are_joined_in_the_order_of_the_bundle(tmp_path: Path) -> None:
    """BraTS's way by keys: four files, each with its own key, prepared by themselves."""
    keys = ["t1c", "t1", "t2", "flair"]
    folder = write_bundle(
        tmp_path / "bundle",
        network={**UNET, "in_channels": 4},
        load=[
            {"_target_": "LoadImaged", "keys": keys},
            {"_target_": "EnsureChannelFirstd", "keys": keys},
        ],
        before=[
            {"_target_": "Orientationd", "keys": keys, "axcodes": "RAS"},
            {"_target_": "NormalizeIntensityd", "keys": keys, "nonzero": True},
            {"_target_": "ConcatItemsd", "keys": keys, "name": "image", "dim": 0},
        ],
        data="$[dict(zip(['t1c', 't1', 't2', 'flair'], i)) for i in @files]",
        after=[SOFTMAX, {**HOME, "orig_keys": "t1c"}, ARGMAX],
    )
    files = [image(tmp_path, seed=i, turn="LAS", name=f"image{i}.nii.gz") for i in range(4)]
    volumes = [read_image(file) for file in files]
    joined = replace(
        volumes[0],
        data=np.stack([volume.numpy() for volume in volumes]),
        leading="c",
        channel_names=tuple(keys),
    )

    assert read(folder).description.inputs.channels == tuple(keys)
    assert np.array_equal(ours(folder, joined), monais(folder, [files]))


def test_one_image_of_four_channels(tmp_path: Path) -> None:
    """BraTS's other way: one key, a list of files."""
    folder = write_bundle(
        tmp_path / "bundle",
        network={**UNET, "in_channels": 4},
        load=[{"_target_": "LoadImaged", "keys": "image"}],
        before=[step("NormalizeIntensityd", nonzero=True, channel_wise=True)],
        after=[SIGMOID, HOME, HALF, pred("Lambdad", func=LAMBDA)],
        names=["core", "whole", "enhancing"],
    )
    files = [image(tmp_path, seed=i, turn="LAS", name=f"image{i}.nii.gz") for i in range(4)]
    volumes = [read_image(file) for file in files]
    joined = replace(
        volumes[0],
        data=np.stack([volume.numpy() for volume in volumes]),
        leading="c",
        channel_names=tuple("abcd"),
    )

    described = read(folder).description
    assert [(c.number, c.name) for c in described.labels] == [
        (1, "core"),
        (2, "whole"),
        (4, "enhancing"),
    ]
    assert np.array_equal(ours(folder, joined), monais(folder, [files]))


def test_a_picture_in_colour(tmp_path: Path) -> None:
    """MONAI reads pictures with the axis that runs to the right first."""
    folder = write_bundle(
        tmp_path / "bundle",
        network={**UNET, "spatial_dims": 2, "in_channels": 3},
        load=[
            {"_target_": "LoadImaged", "keys": "image", "reader": "PILReader"},
            {"_target_": "EnsureChannelFirstd", "keys": "image", "channel_dim": -1},
        ],
        before=[step("ScaleIntensityd", channel_wise=True)],
        inferer={**WINDOWS, "roi_size": [16, 24]},
        after=[SOFTMAX, {**ARGMAX}],
    )
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (33, 47, 3), np.uint8)
    file = tmp_path / "picture.png"
    PIL.Image.fromarray(pixels).save(file)

    described = read(folder).description
    assert described.inputs.spatial_dims == 2
    wanted = monais_picture(folder, file)
    assert len(np.unique(wanted)) > 1
    assert np.array_equal(ours(folder, file), wanted)


def monais_picture(folder: Path, file: Path) -> Any:
    """Return MONAI's labels of a picture, rows first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = parsed(folder, [str(file)])
        kept = parser["postprocessing"]["transforms"][:-1]  # all but the writer
        parser["postprocessing"]["transforms"] = kept
        parser.get_parsed_content("initialize")
        evaluator = parser.get_parsed_content("evaluator")
        evaluator.run()
    return np.asarray(evaluator.state.output[0]["pred"][0]).T


def test_a_yaml_of_its_own_is_merged(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", before=[RANGE])
    (folder / "configs" / "coarse.yaml").write_text("inferer#overlap: 0.5\nextra: 1\n")

    model = read(folder, config=("inference.json", "coarse"))

    assert model.description.inferer.overlap == 0.5
    assert read(folder).description.inferer.overlap == 0.25
    with pytest.raises(ModelError, match=r"It has coarse.yaml, inference.json, metadata.json"):
        read(folder, config="fine")


def _scripted(folder: Path, **changes: Any) -> None:
    """Put the network of a bundle into a TorchScript file, and change its configuration."""
    file, config = folder / "models" / "model.pt", folder / "configs" / "inference.json"
    network = network_of(UNET)
    network.load_state_dict(torch.load(file, weights_only=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch would rather have other formats
        made = torch.jit.trace(network.eval(), torch.zeros(1, 1, 16, 16, 16))
        torch.jit.save(made, folder / "models" / "model.ts")
    file.unlink()
    told = json.loads(config.read_text())
    told = {k: v for k, v in {**told, **changes}.items() if v is not None}
    config.write_text(json.dumps(told))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("changes", "dropped"),
    [
        pytest.param({}, False, id="a network that is known"),
        pytest.param({"network_def": None, "network": None}, True, id="no network"),
        pytest.param(
            {"network_def": {"_target_": "scripts.net.Net"}}, True, id="a network of its own code"
        ),
        pytest.param(
            {"network_def": "$torch.jit.load(@bundle_root + '/models/model.ts')"},
            True,
            id="a network that is loaded",
        ),
    ],
)
def test_a_bundle_of_torchscript_alone_segments_the_same(
    changes: dict[str, Any], dropped: bool, tmp_path: Path
) -> None:
    folder = write_bundle(tmp_path / "bundle", before=[ORIENTATION, RANGE])
    volume = image(tmp_path)
    wanted = ours(folder, volume)
    _scripted(folder, **changes)
    if dropped:  # weights without a network that goes with them are of no use
        torch.save(network_of(UNET).state_dict(), folder / "models" / "model.pt")

    model = import_model(folder, name="mine")

    assert model.description.trust == "native_code"
    assert model.description.outputs.channels == ("class 0", "class 1", "class 2")
    with pytest.raises(TrustError, match="code of a TorchScript file"):
        model.load_network()
    trust.consent(trust.fingerprint(model))
    assert len(np.unique(wanted)) > 1
    assert (labels_of(model, volume) == wanted).all()


def test_a_bundle_becomes_a_model_of_our_own(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "spleen", before=[ORIENTATION, SPACING, RANGE])
    (folder / "LICENSE").write_text("Apache License\n Version 2.0, January 2004")
    file = image(tmp_path)
    imported = import_model(folder)

    assert imported.name == "spleen"
    assert imported.description.licence == "Apache-2.0"
    assert np.array_equal(labels_of(load_model("spleen"), file), ours(folder, file))


BLOCKERS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown transform": ({"before": [step("RandFlipd", prob=1.0)]}, "RandFlipd: it is not known"),
    "unknown argument": ({"before": [{**RANGE, "weird": 1}]}, "its argument weird is not known"),
    "whole numbers": ({"before": [{**RANGE, "dtype": "uint8"}]}, "is no float type"),
    "random axes": ({"before": [{**ORIENTATION, "axcodes": "XYZ"}]}, "codes"),
    "diagonal": ({"before": [{**SPACING, "diagonal": True}]}, "diagonal and scale_extent"),
    "cubic": ({"before": [step("Resized", spatial_size=[8, 8, 8], mode="bicubic")]}, "bicubic"),
    "one of two layers": (
        {
            "before": [
                {"_target_": "ScaleIntensityd", "keys": "a"},
                {"_target_": "ConcatItemsd", "keys": ["a", "b"], "name": "image"},
            ]
        },
        "it changes a alone of a, b",
    ),
    "unknown inferer": ({"inferer": {"_target_": "PatchInferer"}}, "PatchInferer: it is not known"),
    "overlaps": ({"inferer": {**WINDOWS, "overlap": [0.1, 0.2, 0.3]}}, "different overlap"),
    "weights of windows": (
        {"inferer": {**WINDOWS, "sigma_scale": 0.3, "mode": "gaussian"}},
        "sigma",
    ),
    "other activation": ({"after": [pred("Activationsd", other="$torch.tanh")]}, "code to run"),
    "part by part": (
        {"after": [SIGMOID, HALF, pred("KeepLargestConnectedComponentd")]},
        "several overlapping channels",
    ),
    "small of several": (
        {"after": [SOFTMAX, ARGMAX, pred("RemoveSmallObjectsd")]},
        "for a single class only",
    ),
    "threshold of a softmax": ({"after": [SOFTMAX, HALF]}, "threshold on a softmax"),
    "unknown network": ({"network": {"_target_": "HighResNet", "out_channels": 3}}, "HighResNet"),
}


@pytest.mark.parametrize(("changes", "line"), [pytest.param(*v, id=k) for k, v in BLOCKERS.items()])
def test_what_cannot_be_done_says_why(changes: dict[str, Any], line: str, tmp_path: Path) -> None:
    described = read(write_bundle(tmp_path / "bundle", **changes)).description

    assert any(line in blocker for blocker in described.blockers)
    with pytest.raises(ModelError):
        read(tmp_path / "bundle").load_network()
