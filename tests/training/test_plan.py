"""What is planned for a new model: how images are prepared, the network's levels, its patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_monai import LabelVolume, TrainingSettings, Volume
from napari_monai.errors import TrainingError
from napari_monai.grid import Grid
from napari_monai.networks.cost import feature_values, flops
from napari_monai.preprocess import Operation, prepare
from napari_monai.training.budget import Budget, budget_of
from napari_monai.training.examples import Pair
from napari_monai.training.plan import plan_model, with_spacing
from napari_monai.training.preparing import prepare_training
from napari_monai.training.resolved import resolve
from napari_monai.training.shaping import Images, shape_network
from napari_monai.training.topology import feature_maps

CLASSES = TrainingSettings(target="classes", device="cpu")
CHANNELS = {"in_channels": 1, "out_channels": 3}
# nnU-Net's budget of 8 GB for volumes.
GPU = Budget(2 * 560e6, "memory", (2,))


def body(
    spacing: Sequence[float], shape: Sequence[int], *, low: float = -1000.0, seed: int = 0
) -> Pair:
    """Return a volume of a body in air, whose label is an organ of 60 +- 10."""
    rng = np.random.default_rng(seed)
    image = np.full(shape, low)
    labels = np.zeros(shape, np.uint8)
    middle = tuple(slice(n // 8, n - n // 8) for n in shape)
    organ = tuple(slice(n // 3, n // 2) for n in shape)
    image[middle] = 200.0
    image[organ] = rng.normal(60, 10, image[organ].shape)
    labels[organ] = 1
    grid = Grid.from_spacing(shape, spacing, unit="mm", anatomical=True)
    return Volume(image.astype(np.float32), grid), LabelVolume(labels, grid)


def operations(pairs: Sequence[Pair], settings: TrainingSettings = CLASSES, **card: Any) -> Any:
    """Return what is done with images, by name."""
    description = plan_model("x", pairs, settings, card=card or None)
    return {operation.name: operation.parameters for operation in description.preprocess}


def test_ct_is_clipped_and_normalised_by_its_foreground() -> None:
    pairs = [body((2, 1, 1), (24, 40, 40), seed=seed) for seed in range(3)]
    done = operations(pairs)
    assert list(done) == ["orientation", "spacing", "clip", "zscore"]
    inside = np.concatenate([np.asarray(i.data)[np.asarray(t.data) > 0] for i, t in pairs])  # type: ignore[union-attr]
    assert done["clip"]["minimum"] == [pytest.approx(np.percentile(inside, 0.5), abs=0.01)]
    assert done["clip"]["maximum"] == [pytest.approx(np.percentile(inside, 99.5), abs=0.01)]
    assert done["zscore"] == {
        "mean": [pytest.approx(inside.mean(), abs=0.01)],
        "std": [pytest.approx(inside.std(), abs=0.01)],
    }
    assert plan_model("x", pairs, CLASSES).inputs.modality == "CT"


@pytest.mark.parametrize(
    ("low", "card", "settings", "wanted"),
    [
        pytest.param(0.0, {}, CLASSES, {"mask": True}, id="empty around"),
        pytest.param(20.0, {}, CLASSES, {}, id="full"),
        pytest.param(-1000.0, {"modality": "MR"}, CLASSES, {}, id="as the card says"),
        pytest.param(-1000.0, {}, replace(CLASSES, augmentation="mr"), {}, id="as settings say"),
    ],
)
def test_other_volumes_are_normalised_each_by_itself(
    low: float, card: Any, settings: TrainingSettings, wanted: Any
) -> None:
    done = operations([body((1, 1, 1), (24, 24, 24), low=low)], settings, **card)
    assert done["zscore"] == wanted
    assert "clip" not in done


@pytest.mark.parametrize(
    ("spacing", "codes", "planned"),
    [
        pytest.param((2, 1, 1), "IPL", [2, 1, 1], id="axial"),
        pytest.param((1, 1, 4), "LIP", [4, 1, 1], id="sagittal"),
        pytest.param((1, 3, 1.5), "PIL", [3, 1, 1.5], id="coronal"),
        pytest.param((1, 1, 1.5), "IPL", [1, 1, 1.5], id="a little thicker"),
    ],
)
def test_thick_slices_come_first(spacing: Any, codes: str, planned: Any) -> None:
    pair = body(spacing, (24, 24, 24))
    done = operations([pair])
    assert done["orientation"] == {"codes": codes}
    assert done["spacing"] == {"spacing": pytest.approx(planned), "unit": "mm"}
    description = plan_model("x", [pair], CLASSES)
    assert prepare(pair[0], description).grid.spacing == pytest.approx(planned)  # type: ignore[arg-type]


def test_a_class_of_one_image_of_many_is_found() -> None:
    pairs = [body((1, 1), (16, 16), seed=seed) for seed in range(2)] * 65
    image, truth = pairs[-1]
    pairs[-1] = image, LabelVolume(np.asarray(truth.data) * 2, truth.grid)  # type: ignore[union-attr]
    assert [label.number for label in plan_model("x", pairs, CLASSES).labels] == [1, 2]


@pytest.mark.parametrize("slices", [1, 3])
def test_a_volume_of_few_slices_is_taken_whole(slices: int) -> None:
    image, truth = body((1, 1, 1), (slices, 48, 48))
    labels = np.zeros((slices, 48, 48), np.uint8)
    labels[:, 16:32, 16:32] = 1
    thin = image, LabelVolume(labels, truth.grid)  # type: ignore[union-attr]
    prepared = prepare_training(None, [thin], settings=CLASSES, examples=False)
    assert prepared.plan.patch[0] == slices
    assert prepared.split.validation


def test_stacks_and_pictures_keep_their_voxels() -> None:
    grid = Grid.from_spacing((12, 32, 32), (2.0, 0.5, 0.5), unit="um")
    image = Volume(np.random.default_rng(0).random((12, 32, 32), np.float32), grid)
    labels = LabelVolume(np.ones((12, 32, 32), np.uint8), grid)
    assert list(operations([(image, labels)])) == ["scale_percentiles"]


@pytest.mark.parametrize(
    ("anatomical", "settings", "wanted"),
    [
        pytest.param(
            False,
            {"spacing": "0.8,0.4,0.4"},
            [("scale_percentiles", None), ("spacing", ([0.8, 0.4, 0.4], "µm"))],
            id="a stack",
        ),
        pytest.param(
            False,
            {"spacing": "1, .5, .5", "zoom": 2.0},
            [("scale_percentiles", None), ("spacing", ([1.0, 0.5, 0.5], "µm")), ("zoom", None)],
            id="and a zoom",
        ),
        pytest.param(
            True,
            {"spacing": "3,1.5,1.5"},
            [
                ("orientation", None),
                ("spacing", ([3.0, 1.5, 1.5], "mm")),
                ("clip", None),
                ("zscore", None),
            ],
            id="a patient, in the place of the planned",
        ),
    ],
)
def test_images_are_resampled_as_settings_say(
    anatomical: bool, settings: dict[str, Any], wanted: list[tuple[str, Any]]
) -> None:
    pair = body((2, 1, 1), (24, 32, 32))
    if not anatomical:
        grid = Grid.from_spacing((24, 32, 32), (2.0, 0.5, 0.5), unit="um")
        pair = Volume(pair[0].data, grid), LabelVolume(pair[1].data, grid)  # type: ignore[union-attr]
    done = operations([pair], replace(CLASSES, **settings))
    assert list(done) == [name for name, _ in wanted]
    spacing, unit = dict(wanted)["spacing"]
    assert done["spacing"] == {"spacing": spacing, "unit": unit}
    description = plan_model("x", [pair], replace(CLASSES, **settings))
    prepared = prepare(pair[0], description).grid  # type: ignore[arg-type]
    zoom = settings.get("zoom", 1.0)
    assert prepared.spacing_in(unit) == pytest.approx([step / zoom for step in spacing])


def test_another_spacing_takes_the_place_of_a_models_own() -> None:
    own = (Operation("spacing", {"spacing": [1.0, 1.0], "unit": "µm"}), Operation("zoom", {}))
    changed = with_spacing(own, "0.5,0.5", 2, "µm")
    assert [operation.name for operation in changed] == ["spacing", "zoom"]
    assert changed[0].parameters["spacing"] == [0.5, 0.5]
    assert with_spacing(own, "", 2, "µm") == own


@pytest.mark.parametrize("spacing", ["1,1", "1;1;1", "0,1,1", "nan,1,1", "inf,1,1", "a,b,c"])
def test_a_spacing_that_is_none_is_told(spacing: str) -> None:
    with pytest.raises(TrainingError, match=r"needs 3 positive numbers: '0.8,0.4,0.4'"):
        with_spacing((), spacing, 3, "µm")


def images(spacing: Sequence[float], shape: Sequence[float], count: int = 20) -> Images:
    return Images(tuple(spacing), tuple(shape), float(np.prod(shape)) * count)


def test_thick_slices_have_flat_kernels_and_strides_in_all_that_can() -> None:
    thick = images((5, 1.25, 1.25), (32, 256, 256))
    plain = shape_network("plain_conv_unet", "base", CHANNELS, {}, thick, GPU).arguments
    assert plain["strides"][:4] == [1, [1, 2, 2], [1, 2, 2], 2]
    assert plain["kernel_sizes"][:3] == [[1, 3, 3], [1, 3, 3], 3]
    assert plain["features_per_stage"][:6] == [32, 64, 128, 256, 320, 320]
    dyn = shape_network("dynunet", "base", CHANNELS, {}, thick, GPU).arguments
    assert (dyn["strides"], dyn["kernel_size"]) == (plain["strides"], plain["kernel_sizes"])
    unet = shape_network("unet", "base", CHANNELS, {}, thick, GPU).arguments
    assert unet["strides"][:3] == [1, [1, 2, 2], [1, 2, 2]]
    segresnet = shape_network("segresnet_ds", "base", CHANNELS, {}, thick, GPU).arguments
    assert segresnet["resolution"] == [5, 1.25, 1.25]


def test_nnunets_network_is_planned_as_nnunet_does() -> None:
    """Task 6 of the Decathlon; see `test_topology`."""
    lung = images((1.244979977607727, 0.78515625, 0.78515625), (252, 512, 512), 63)
    found = shape_network(
        "plain_conv_unet", "base", {"in_channels": 1, "out_channels": 2}, {}, lung, GPU
    )
    assert (found.patch, found.batch_size) == ((80, 192, 160), 2)
    assert found.arguments["strides"] == [1, 2, 2, 2, 2, [1, 2, 2]]
    assert found.arguments["features_per_stage"] == [32, 64, 128, 256, 320, 320]


def test_memory_is_measured_on_any_network() -> None:
    """Against the sum that holds for nnU-Net's plain network alone."""
    shaped = shape_network(
        "plain_conv_unet",
        "small",
        CHANNELS,
        {},
        images((1, 1), (96, 64)),
        Budget(1e9, "memory", (2,)),
    )
    arguments = shaped.arguments
    from napari_monai.training.topology import levels_of

    topology = levels_of((1, 1), shaped.patch)
    assert feature_values("plain_conv_unet", arguments, shaped.patch) == feature_maps(
        topology, arguments["features_per_stage"], outputs=3
    )


# Those whose levels are planned, those with a window of their own, and some with their own levels.
PLANNED = [
    *((network, 2) for network in ("unet", "residual_encoder_unet", "unetr", "deeplabv3plus")),
    *((network, 3) for network in ("unet", "dynunet", "plain_conv_unet", "flexible_unet")),
]


@pytest.mark.parametrize(("network", "ndim"), PLANNED)
def test_networks_are_planned_within_what_a_cpu_does(network: str, ndim: int) -> None:
    budget = Budget(40e9, "work", {2: (12, 6, 2), 3: (2,)}[ndim])
    known = images((1,) * ndim, {2: (400, 300), 3: (60, 200, 200)}[ndim])
    shaped = shape_network(network, "small", CHANNELS, {}, known, budget)
    assert 1 <= shaped.batch_size <= 256
    work = flops(network, shaped.arguments, shaped.patch) * shaped.batch_size
    smallest = shaped.fixed or max(shaped.patch) <= {2: 64, 3: 32}[ndim]
    assert smallest or work < 1.1 * budget.amount
    assert all(n <= s + 32 or shaped.fixed for n, s in zip(shaped.patch, known.shape, strict=True))


def test_a_small_network_of_nuclei_keeps_its_recipe() -> None:
    """What two thousand images were learnt with on two cores: twelve patches of 192 x 192."""
    budget = Budget(40e9, "work", (12, 6, 2))
    known = images((1, 1), (256, 320), 500)
    shaped = shape_network("unet", "base", {"in_channels": 3, "out_channels": 2}, {}, known, budget)
    assert shaped.arguments["channels"] == [16, 32, 64, 128, 192, 256]
    assert shaped.arguments["strides"] == [1, 2, 2, 2, 2]
    assert shaped.batch_size in range(10, 16)
    assert 160**2 <= np.prod(shaped.patch) <= 208**2


def test_small_images_have_small_patches_and_fewer_levels() -> None:
    shaped = shape_network(
        "unet", "base", CHANNELS, {}, images((1, 1), (20, 24)), Budget(40e9, "work", (12, 6, 2))
    )
    assert shaped.patch == (20, 24)
    assert shaped.arguments["channels"] == [16, 32, 64, 128]


@pytest.mark.parametrize("goal", ["quick", "balanced", "thorough"])
def test_more_is_done_for_a_higher_goal(goal: Any) -> None:
    settings = replace(CLASSES, goal=goal)
    small = budget_of(settings, 3).amount
    described = plan_model("x", [body((2, 1, 1), (24, 40, 40))], settings)
    plan = resolve(settings, described)
    assert plan.steps == {"quick": 500, "balanced": 2000, "thorough": 8000}[goal]
    base = {"quick": 8, "balanced": 8, "thorough": 16}[goal]
    assert described.network.arguments["channels"][0] == base
    assert small >= {"quick": 15e9, "balanced": 40e9, "thorough": 80e9}[goal]


def test_what_is_given_goes_before_what_is_planned() -> None:
    settings = replace(
        CLASSES, patch=(16, 32, 32), batch_size=3, learning_rate=0.1, steps=7,
        network_arguments='{"num_res_units": 1, "channels": [4, 8], "strides": [2]}',
    )  # fmt: skip
    described = plan_model("x", [body((2, 1, 1), (24, 40, 40))], settings)
    plan = resolve(settings, described)
    assert (plan.patch, plan.batch_size, plan.steps) == ((16, 32, 32), 3, 7)
    assert plan.learning_rate == 0.1
    assert described.network.arguments["channels"] == [4, 8]
    assert described.inferer.window == (16, 32, 32)
    with pytest.raises(TrainingError, match="A patch of 2 axes does not fit a 3-D model"):
        plan_model("x", [body((2, 1, 1), (24, 40, 40))], replace(CLASSES, patch=(16, 16)))
