"""Surface distances against distance maps over the whole box, MONAI's metrics and geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_monai.errors import EvaluationError
from napari_monai.evaluation import evaluate, surface_distances
from napari_monai.grid import Grid
from napari_monai.settings import EvaluationSettings
from napari_monai.volume import LabelClass, LabelVolume

CASES = st.integers(2, 3).flatmap(
    lambda ndim: st.tuples(
        hnp.array_shapes(min_dims=ndim, max_dims=ndim, min_side=1, max_side=7).flatmap(
            lambda shape: st.tuples(*[hnp.arrays(np.bool_, shape)] * 2)
        ),
        st.tuples(*[st.sampled_from([0.3, 1.0, 1.7, 5.0])] * ndim),
    )
)


def by_distance_maps(prediction, truth, spacing):
    """Return distances and areas as the definition has them, by SciPy's maps and MONAI's areas."""
    from monai.metrics.utils import get_code_to_measure_table

    table = get_code_to_measure_table(spacing)[0].numpy().astype(np.float64)
    codes = []
    for mask in (prediction, truth):
        padded = np.pad(mask, 1).astype(int)
        code = np.zeros([n + 1 for n in mask.shape], int)
        for corner in np.ndindex((2,) * mask.ndim):
            places = tuple(slice(c, c + n) for c, n in zip(corner, code.shape, strict=True))
            code = 2 * code + padded[places]
        codes.append(code)
    edges = [(code > 0) & (code < len(table) - 1) for code in codes]
    maps = [ndimage.distance_transform_edt(~e, sampling=spacing) for e in edges]
    return [
        (far[edge], table[code[edge]])
        for far, edge, code in zip(reversed(maps), edges, codes, strict=True)
    ]


@given(CASES, st.sampled_from([0.3, 1.0, 2.5]))
def test_distances_are_those_of_distance_maps(case, tolerance):
    (prediction, truth), spacing = case
    found = surface_distances(prediction, truth, spacing=spacing)
    if not (prediction.any() and truth.any()):
        return
    sides = by_distance_maps(prediction, truth, spacing)
    (p, p_areas), (t, t_areas) = sides
    area = p_areas.sum() + t_areas.sum()
    average = ((p * p_areas).sum() + (t * t_areas).sum()) / area
    np.testing.assert_allclose(found.average, average, rtol=1e-6)
    near = p_areas[p <= tolerance].sum() + t_areas[t <= tolerance].sum()
    np.testing.assert_allclose(found.dice(tolerance), near / area, rtol=1e-6)
    assert found.hausdorff(100) == pytest.approx(max(p.max(), t.max()), rel=1e-6)
    for distances, areas in (
        (found.predicted, found.predicted_areas),
        (found.true, found.true_areas),
    ):
        below = areas[distances <= found.hausdorff(95) * (1 + 1e-9)].sum()
        assert below >= 0.95 * areas.sum() * (1 - 1e-9)


# What MONAI itself calls in a way that it will drop.
@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.4, 2.0), (1, 1, 1), (3.0, 0.7, 0.7)])
def test_surface_dice_is_that_of_monai(spacing):
    import torch
    from monai.metrics import compute_surface_dice

    generator = np.random.default_rng(len(spacing))
    shape = (20,) * len(spacing)
    smooth = [ndimage.gaussian_filter(generator.normal(size=shape), 2) > 0.02 for _ in range(2)]
    for tolerance in (0.5, 1.0, 3.0):
        pair = [torch.from_numpy(m)[None, None] for m in smooth]
        expected = compute_surface_dice(
            *pair, [tolerance], spacing=spacing, use_subvoxels=True, include_background=True
        )
        found = surface_distances(*smooth, spacing=spacing).dice(tolerance)
        assert found == pytest.approx(float(expected), abs=1e-6)


def test_percentile_weighs_areas():
    # A plate of one voxel a side far from a large one: few, but not so little area.
    truth = np.zeros((1, 30), bool)
    truth[0, :20] = True
    prediction = truth.copy()
    prediction[0, 29] = True
    found = surface_distances(prediction, truth, spacing=(1, 1))
    # Of the predicted contour (19 + 19 straight, 4 + 4 slanted pieces) the far voxel has 4 slanted.
    slanted = math.sqrt(2) / 2
    part = 4 * slanted / (38 + 8 * slanted)
    assert found.hausdorff(100 * (1 - part) - 0.01) == 0
    assert found.hausdorff(100 * (1 - part) + 0.01) == 9
    assert found.hausdorff(100) == 10


def test_shifted_box_is_as_far_as_the_shift_whatever_the_spacing():
    box = np.zeros((12, 12, 12), bool)
    box[3:7, 3:7, 3:7] = True
    found = surface_distances(np.roll(box, 2, axis=0), box, spacing=(2.5, 1, 1))
    assert found.hausdorff(100) == 5
    assert found.dice(0) < found.dice(4.9) < found.dice(5) == 1


@given(CASES)
def test_sides_can_be_swapped(case):
    (prediction, truth), spacing = case
    one = surface_distances(prediction, truth, spacing=spacing)
    other = surface_distances(truth, prediction, spacing=spacing)
    for a, b in (
        (one.hausdorff(), other.hausdorff()),
        (one.average, other.average),
        (one.dice(1), other.dice(1)),
    ):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        pytest.param(0, 0, (math.nan, math.nan, math.nan), id="both empty"),
        pytest.param(1, 0, (math.inf, math.inf, 0.0), id="made up"),
        pytest.param(0, 1, (math.inf, math.inf, 0.0), id="missed"),
        pytest.param(1, 1, (0.0, 0.0, 1.0), id="the same, up to the border"),
    ],
)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_empty_and_full(prediction, truth, expected, ndim):
    arrays = [np.full((4,) * ndim, value) for value in (prediction, truth)]
    found = surface_distances(*arrays)
    np.testing.assert_equal((found.hausdorff(), found.average, found.dice(1.0)), expected)


@pytest.mark.parametrize(
    ("prediction", "truth", "spacing", "words"),
    [
        pytest.param(np.ones(3), np.ones(4), None, "one shape", id="shapes"),
        pytest.param(np.ones((2,) * 4), np.ones((2,) * 4), None, "1 to 3 axes", id="axes"),
        pytest.param(np.ones((2, 2)), np.ones((2, 2)), (1,), "2 positive", id="short spacing"),
        pytest.param(np.ones(2), np.ones(2), (0,), "1 positive", id="no spacing"),
    ],
)
def test_masks_that_do_not_fit(prediction, truth, spacing, words):
    with pytest.raises(EvaluationError, match=words):
        surface_distances(prediction, truth, spacing=spacing)


# -- as scores of a volume ------------------------------------------------------------------------


def two_organs(unit="mm", spacing=(2.0, 1.0, 1.0)):
    """Return a prediction and a truth: a box off by a voxel, one missed, one in neither."""
    truth = np.zeros((10, 12, 12), np.uint8)
    truth[2:6, 2:6, 2:6] = 1
    truth[8, 8, 8] = 2
    prediction = np.zeros_like(truth)
    prediction[3:7, 2:6, 2:6] = 1
    grid = Grid.from_spacing(truth.shape, spacing, unit=unit)
    names = tuple(LabelClass(n, name) for n, name in enumerate(("liver", "spleen", "colon"), 1))
    return LabelVolume(prediction, grid), LabelVolume(truth, grid, classes=names)


def test_all_measures_of_classes():
    scores = evaluate(*two_organs(), settings=EvaluationSettings(tolerance=1.5))
    case = scores.cases[0]
    liver = case.of_class("liver")
    assert liver["Sensitivity"] == liver["Precision"] == liver["Dice"] == 0.75
    assert liver["Specificity"] == 1 - 16 / (1440 - 64)
    assert liver["Volume difference"] == liver["Relative volume difference"] == 0
    assert liver["HD95"] == 2
    expected = surface_distances(*(v.numpy() == 1 for v in two_organs()), spacing=(2, 1, 1))
    assert liver["ASSD"] == expected.average
    assert liver["Surface Dice"] == expected.dice(1.5) < expected.dice(2.0) == 1
    spleen = case.of_class("spleen")
    assert spleen["HD95"] == spleen["ASSD"] == math.inf
    assert spleen["Surface Dice"] == spleen["Sensitivity"] == 0
    assert spleen["Volume difference"] == pytest.approx(-0.002)  # one voxel of 2 mm³, in mL
    assert spleen["Relative volume difference"] == -100
    assert math.isnan(spleen["Precision"])
    assert all(math.isnan(v) for v in case.of_class("colon").values())


def test_mean_leaves_out_what_is_infinite_and_says_so():
    scores = evaluate(*two_organs())
    assert scores.mean["HD95"] == scores.mean["HD95 liver"] == 2
    assert scores.mean["HD95 spleen"] == math.inf
    assert scores.infinite == {"HD95 spleen": 1, "ASSD spleen": 1}
    assert scores.to_json()["mean"]["HD95 spleen"] == "inf"


@pytest.mark.parametrize(
    ("unit", "hausdorff", "length", "volume"),
    [("mm", 2, "mm", "mL"), ("cm", 20, "mm", "mL"), ("µm", 2, "µm", "µm³"),
     ("nm", 2e-3, "µm", "µm³"), ("pixel", 2, "pixel", "voxels")],
)  # fmt: skip
def test_units(unit, hausdorff, length, volume):
    scores = evaluate(*two_organs(unit))
    assert scores.mean["HD95 liver"] == pytest.approx(hausdorff)
    assert (scores.space.unit, scores.space.volume_unit) == (length, volume)


def test_surfaces_can_be_left_out():
    scores = evaluate(*two_organs(), settings=EvaluationSettings(surfaces=False))
    assert "HD95" not in scores.mean
    assert scores.mean["Sensitivity liver"] == 0.75
