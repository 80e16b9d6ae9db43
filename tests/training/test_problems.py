"""Problems in the data are said before training, each in a line of its own, and no others."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models.known import description

from napari_monai import LabelVolume, TrainingSettings, Volume
from napari_monai.grid import Grid
from napari_monai.models import ModelDescription, Outputs
from napari_monai.training.problems import Problem, find_problems
from napari_monai.training.resolved import Resolved, resolve
from napari_monai.training.shares import Share
from napari_monai.volume import LabelClass

RNG = np.random.default_rng(0)
DOTS = np.zeros((64, 64), np.int32)
for number, (y, x) in enumerate(np.ndindex(4, 4), start=1):
    DOTS[16 * y + 2 : 16 * y + 12, 16 * x + 2 : 16 * x + 12] = number
HALVES = np.tile(np.repeat([0, 1], 32), (64, 1))


def pair(labels: Any = HALVES, *, image: Any = None, name: str = "a", **grids: Any) -> Any:
    labels = np.asarray(labels)
    if image is None:
        image = RNG.normal(size=labels.shape).astype(np.float32)
    lead = "c" * (image.ndim - labels.ndim)
    grid = Grid.from_spacing(image.shape[len(lead) :], **grids)
    truth = LabelVolume(labels, Grid.from_spacing(labels.shape), name=name)
    return Volume(image, grid, lead, name=name), truth


def classes(*names: str) -> ModelDescription:
    told = description(2, 1)
    channels = ("background", *names)
    outputs = Outputs("classes", channels, ("softmax",))
    labels = tuple(LabelClass(n, name) for n, name in enumerate(names, start=1))
    network = {**told.network.arguments, "out_channels": len(channels)}
    spec = replace(told.network, arguments=network)
    return replace(told, network=spec, outputs=outputs, labels=labels)


def instances() -> ModelDescription:
    outputs = Outputs("instances", ("foreground", "distance"), ("sigmoid", "identity"))
    return replace(classes("cell"), outputs=outputs, labels=(LabelClass(1, "cell"),))


def found(
    training: Any,
    validation: Any = (),
    told: ModelDescription | None = None,
    plan: Any = None,
    **given: Any,
) -> list[Problem]:
    told = told or classes("cell")
    settings = TrainingSettings(**{"patch": (32, 32), **given})
    usual: Resolved = resolve(settings, told)
    problems = find_problems(training, validation, told, settings, replace(usual, **(plan or {})))
    assert all("\n" not in p.text and p.text.endswith(".") for p in problems)
    return problems


def test_good_data_have_none() -> None:
    assert found([pair()], [pair(name="b")]) == []
    assert found([pair(DOTS)], [pair(DOTS, name="b")], instances()) == []


def test_every_pair_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "broken.tif").write_bytes(b"II*\0 and no more")
    bad = tmp_path / "broken.tif", pair()[1]
    apart = pair()[0], LabelVolume(np.zeros((64, 63), np.uint8), Grid.from_spacing((64, 63)))
    missing = tmp_path / "none.tif", tmp_path / "none too.tif"
    problems = found([bad, pair(), apart, missing])
    assert [p.severity for p in problems] == ["error"] * 3
    assert "broken.tif" in problems[0].text
    assert "(64, 64), its labels (64, 63)" in problems[1].text
    assert "none.tif" in problems[2].text


def test_images_of_other_channels_are_errors() -> None:
    (problem,) = found([pair(image=np.ones((2, 64, 64)) * np.arange(64.0))])
    assert problem.severity == "error"
    assert "takes 1 channel" in problem.text


CASES: dict[str, tuple[Any, str, str]] = {
    "nothing labelled": (
        {"training": [pair(0 * HALVES + 9)], "ignore_label": 9},
        "error",
        "No voxel of the training pairs is labelled",
    ),
    "background only": (
        {"training": [pair(0 * HALVES)]},
        "error",
        "hold background only: no patch would show",
    ),
    "one without foreground": (
        {"training": [pair(), pair(0 * HALVES, name="empty")]},
        "warning",
        r"1 of 2 training pairs hold background only \(empty\)",
    ),
    "validation without foreground": (
        {"training": [pair()], "validation": [pair(0 * HALVES, name="b")]},
        "warning",
        "validation labels hold background only",
    ),
    "a strange number": (
        {"training": [pair(), pair(HALVES * 7, name="seven")]},
        "error",
        r"seven: label 7 is none of the model's classes \(1\)",
    ),
    "a class nobody labelled": (
        {"training": [pair()], "told": classes("cell", "wall")},
        "warning",
        "wall: in no training label",
    ),
    "a class not validated": (
        {
            "training": [pair(HALVES + 1)],
            "validation": [pair(name="b")],
            "told": classes("cell", "wall"),
        },
        "warning",
        "wall: in no validation label",
    ),
    "a rare class": (
        {
            "training": [pair(np.maximum(HALVES, 2 * (DOTS == 1)))] + [pair()] * 99,
            "told": classes("cell", "wall"),
            "plan": {"steps": 100, "batch_size": 4},
        },
        "warning",
        "wall: in 1 of 100 training images, about 1 of 400 patches",
    ),
    "a few voxels": (
        {"training": [pair(np.where(np.eye(64) * (np.arange(64) < 9), 1, 0))]},
        "warning",
        "cell: 9 training voxels in all",
    ),
    "tiny objects": (
        {
            "training": [
                pair(np.kron(np.arange(256).reshape(16, 16), np.diag([0, 1, 1, 0])[:, ::1]))
            ],
            "told": instances(),
        },
        "warning",
        r"Half of the objects are 2 voxels wide or less, .* set zoom to 2\.5",
    ),
    "large objects": (
        {
            "training": [pair(HALVES + np.arange(64)[:, None] // 64)],
            "told": instances(),
            "plan": {"patch": (16, 16)},
        },
        "warning",
        "100% of the objects are larger than a patch of 16 x 16",
    ),
    "a mask for objects": (
        {"training": [pair(DOTS > 0)], "told": instances()},
        "warning",
        "All objects of an image have one number",
    ),
    "objects for classes": (
        {
            "training": [pair(np.arange(64 * 64).reshape(64, 64) // 40)],
            "told": classes(*(f"c{n}" for n in range(1, 103))),
        },
        "warning",
        "hold 103 numbers, which look like objects",
    ),
    "a constant image": (
        {"training": [pair(), pair(image=np.full((64, 64), 7, np.uint8), name="grey")]},
        "warning",
        "grey: one value only in channel 0",
    ),
    "constant images only": (
        {"training": [pair(image=np.full((64, 64), n, np.uint8), name=f"n{n}") for n in (1, 5)]},
        "error",
        "n1, n5: no training image holds more than one value",
    ),
    "no finite value": (
        {"training": [pair(image=np.full((64, 64), np.nan), name="lost")]},
        "error",
        "lost: no training image holds more than one value",
    ),
    "not finite": (
        {"training": [pair(image=np.where(np.eye(64), np.nan, RNG.random((64, 64))), name="n")]},
        "warning",
        "n: 64 values are not finite",
    ),
    "a patch of other axes": (
        {"training": [pair()], "plan": {"patch": (8, 8, 8)}},
        "error",
        "A patch of 3 axes does not fit a 2-D model",
    ),
    "a patch too large": (
        {"training": [pair(name="small")], "plan": {"patch": (160, 64)}},
        "warning",
        "small: the network sees 64 x 64 voxels, less than half a patch of 160 x 64",
    ),
}


@pytest.mark.parametrize(("arguments", "severity", "text"), CASES.values(), ids=CASES)
def test_a_problem_is_said(arguments: Any, severity: str, text: str) -> None:
    problems = found(**arguments)
    (matching,) = [p for p in problems if re.search(text, p.text)]
    assert matching.severity == severity


def test_scribbles_without_a_background_are_said() -> None:
    scribbles = np.where(HALVES, 1, 2)
    given = {"ignore_label": 0, "background_label": 2}
    assert found([pair(scribbles)], [pair(scribbles, name="b")], **given) == []
    (problem,) = found([pair(scribbles)], [pair(name="b")], **given)
    assert problem.severity == "warning"
    assert problem.text.startswith("No background is labelled in the validation pairs:")


def test_alpha_that_is_the_same_all_over_is_none() -> None:
    picture = RNG.integers(0, 255, (4, 64, 64)).astype(np.uint8)
    picture[3] = 255
    image, truth = pair(image=picture)
    colour = replace(image, rgb=True)
    told = classes("cell")
    inputs = replace(told.inputs, channels=("red", "green", "blue"), colour=True)
    network = {**told.network.arguments, "in_channels": 3}
    told = replace(told, inputs=inputs, network=replace(told.network, arguments=network))
    assert found([(colour, truth)], told=told) == []


def test_errors_come_first() -> None:
    problems = found([pair(), pair(7 * HALVES, image=np.zeros((64, 64)))], told=classes("a", "b"))
    severities = [p.severity for p in problems]
    assert severities == sorted(severities)
    assert set(severities) == {"error", "warning"}


def test_one_image_on_both_sides_is_said() -> None:
    """Of the same voxels under another name too; not of shares that do not overlap."""
    image, truth = pair()
    data = np.array(image.data)
    twin = Volume(data, image.grid, name="twin")
    (problem,) = found([pair(name="b"), (image, truth)], [(twin, truth)])
    assert problem.text.startswith("twin: the same image is in training and in validation")
    rest = Share(image, truth, axis=0, start=10, stop=30, outside=True)
    assert found([rest], [Share(image, truth, axis=0, start=12, stop=28)]) == []
    assert len(found([rest], [Share(image, truth, axis=0, start=12, stop=31)])) == 1
    halves = [Share(image, truth, axis=0, stop=30), Share(image, truth, axis=0, start=30)]
    assert found(halves[:1], halves[1:]) == []
