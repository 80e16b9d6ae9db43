"""Bundles written by hand: the labels are those of MONAI's own evaluator, voxel for voxel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
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
    monais,
    ours,
    write_bundle,
)

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


LAMBDA = "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))"
PROBABILITIES_HOME = [SOFTMAX, HOME, ARGMAX]
SIX: Step = {**UNET, "act": ["prelu", {"init": 0.2}]}

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
        "before": [step("NormalizeIntensityd", subtrahend=[90.0], divisor=[150.0], channel_wise=True)]
    },
    "cast": {"before": [step("CastToTyped", dtype="int16"), step("CastToTyped", dtype="$torch.float32"), RANGE]},
    "clip": {
        "before": [
            step("ThresholdIntensityd", threshold=-50, above=True, cval=-50),
            step("ThresholdIntensityd", threshold=250, above=False, cval=250),
            RANGE,
        ]
    },
    "transpose": {"before": [step("Transposed", indices=[0, 2, 3, 1]), RANGE], "after": PROBABILITIES_HOME},
    "spacing": {"before": [ORIENTATION, SPACING, RANGE], "after": PROBABILITIES_HOME},
    "spacing of the file's axes": {"before": [SPACING, RANGE], "after": PROBABILITIES_HOME},
    "spacing then orientation": {"before": [SPACING, ORIENTATION, RANGE], "after": PROBABILITIES_HOME},
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
    "nobody says how to go home": {"before": [ORIENTATION, SPACING, RANGE], "after": [SOFTMAX, ARGMAX]},
    "resize": {
        "before": [step("Resized", spatial_size=[24, 20, 24], mode="trilinear"), RANGE],
        "after": PROBABILITIES_HOME,
    },
    "resize of one axis by area": {
        "before": [step("Resized", spatial_size=[7, -1, -1], mode="area"), RANGE],
        "after": [SOFTMAX, ARGMAX, {**HOME, "nearest_interp": True}],
    },
    "crop to the foreground": {
        "before": [RANGE, step("CropForegroundd", source_key="image", mode=["minimum"])],
        "after": PROBABILITIES_HOME,
        "image": {"empty": True},
    },
    "crop with a margin": {
        "before": [RANGE, step("CropForegroundd", source_key="image", margin=2, allow_smaller=True)],
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
    "window larger than the image": {"before": [RANGE], "inferer": {**WINDOWS, "roi_size": [32, 24, 40]}},
    "window larger, border repeated": {
        "before": [RANGE],
        "inferer": {**WINDOWS, "roi_size": [32, 24, 40], "padding_mode": "replicate", "mode": "gaussian"},
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
        "after": [SOFTMAX, ARGMAX, pred("MapLabelValued", orig_labels=[1, 2], target_labels=[7, 3])],
    },
    "chosen channels": {
        "before": [RANGE],
        "after": [pred("Lambdad", func="$lambda x: x[[2, 0]]"), SOFTMAX, ARGMAX],
    },
    "largest part": {
        "before": [RANGE],
        "after": [SOFTMAX, HOME, ARGMAX, pred("KeepLargestConnectedComponentd", applied_labels=[1, 2])],
    },
    "largest part by faces, together": {
        "before": [RANGE],
        "after": [
            SOFTMAX,
            ARGMAX,
            pred("KeepLargestConnectedComponentd", applied_labels=[1, 2], independent=False, connectivity=1),
        ],
    },
    "largest part of all labels": {
        "before": [RANGE],
        "after": [SOFTMAX, ARGMAX, pred("KeepLargestConnectedComponentd")],
    },
    "holes": {"before": [RANGE], "after": [SOFTMAX, ARGMAX, pred("FillHolesd", applied_labels=[1])]},
    "small parts": {"before": [RANGE], "after": [SOFTMAX, ARGMAX, pred("RemoveSmallObjectsd", min_size=30)]},
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
}  # fmt: skip


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
