"""Bootstrap and paired tests against SciPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats

from napari_monai.errors import EvaluationError
from napari_monai.evaluation import Case, Counts, Scores, versus
from napari_monai.evaluation.statistics import holm, interval, paired_test, resampled_means
from napari_monai.settings import EvaluationSettings

SMALL = st.lists(st.integers(-6, 6).map(float), min_size=2, max_size=9)


def test_interval_is_that_of_scipy():
    values = np.random.default_rng(0).normal(0.8, 0.1, 25)
    means = resampled_means(values[:, None], resamples=20_000, seed=1)[:, 0]
    expected = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=2)
    np.testing.assert_allclose(
        interval(means, confidence=0.95), tuple(expected.confidence_interval), atol=2e-3
    )


def test_a_seed_repeats_and_another_does_not():
    values = np.arange(12.0).reshape(6, 2)
    one, same, other = (resampled_means(values, resamples=50, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    # Columns are drawn by the same cases.
    np.testing.assert_allclose(one[:, 1] - one[:, 0], 1)


def test_what_is_not_finite_does_not_count():
    values = np.asarray([[1.0, math.nan], [1.0, math.inf], [1.0, 5.0]])
    means = resampled_means(values, resamples=200, seed=0)
    assert (means[:, 0] == 1).all()
    assert set(means[~np.isnan(means[:, 1]), 1]) == {5.0}
    assert np.isnan(means[:, 1]).any()  # some draws miss the one that counts
    assert interval(np.full(3, np.nan), confidence=0.9) == pytest.approx((np.nan,) * 2, nan_ok=True)


@given(SMALL)
@hypothesis_settings(max_examples=25)
def test_permutation_is_that_of_scipy(differences):
    found = paired_test(differences, [0.0] * len(differences))
    expected = stats.permutation_test(
        (np.asarray(differences),),
        np.sum,
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="two-sided",
    ).pvalue
    # SciPy doubles the smaller tail; both tails are alike under random signs.
    assert found.permutation == pytest.approx(min(expected, 1.0), abs=1e-9)


@pytest.mark.parametrize("cases", [8, 40, 80])
def test_wilcoxon_is_that_of_scipy(cases):
    generator = np.random.default_rng(cases)
    a, b = generator.normal(0.1, 1, cases), generator.normal(0, 1, cases)
    assert paired_test(a, b).wilcoxon == pytest.approx(stats.wilcoxon(a, b).pvalue, rel=1e-9)


def test_wilcoxon_of_ties_and_zeros_is_that_of_scipy():
    differences = np.asarray([1, 1, 2, -1, 0, 3, 3, 0, -2.0])
    found = paired_test(differences, np.zeros(9)).wilcoxon
    assert found == pytest.approx(stats.wilcoxon(differences, zero_method="pratt").pvalue)


def test_many_cases_are_drawn():
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.25, 1, (2, 40))
    exact = stats.permutation_test(
        (a - b,), np.sum, permutation_type="samples", n_resamples=50_000, rng=1
    ).pvalue
    assert paired_test(a, b).permutation == pytest.approx(exact, abs=0.02)


def test_no_difference_is_no_evidence():
    test = paired_test([0.5] * 6, [0.5] * 6)
    assert (test.wilcoxon, test.permutation) == (1, 1)


def test_one_case_is_not_tested():
    test = paired_test([1.0, math.nan], [0.5, 1.0])
    assert test.cases == 1
    assert math.isnan(test.wilcoxon)
    assert math.isnan(test.permutation)


def test_infinite_distance_is_further_than_any_other():
    first, second = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0, 6.0, 8.0, math.inf]
    as_numbers = paired_test(first, [*second[:-1], 1e6])
    assert paired_test(first, second).wilcoxon == as_numbers.wilcoxon
    assert paired_test(first, second).cases == 5


def test_holm():
    # The steps of Holm 1979 by hand.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, math.nan, 0.8])[::2] == [1.0, 1.0]
    assert holm([]) == []


# -- two models -----------------------------------------------------------------------------------


def scores_of(values, settings=EvaluationSettings()):
    """Return scores whose cases have these Dice, in percent of 200 voxels."""
    cases = [
        Case(f"case {i}", "classes", {"liver": Counts(v, 100 - v, 100 - v)})
        for i, v in enumerate(values)
    ]
    return Scores("classes", tuple(cases), settings=settings)


def test_versus():
    first, second = [80, 85, 90, 70, 95, 88], [70, 80, 91, 60, 90, 80]
    found = versus(scores_of(first), scores_of(second), names=("a", "b"))
    row = next(r for r in found.overall if r.measure.name == "Dice")
    expected = (np.asarray(first) - second) / 100
    assert row.difference == pytest.approx(expected.mean())
    assert row.low < row.difference < row.high
    assert row.better == (5, 1)
    assert row.wilcoxon == pytest.approx(stats.wilcoxon(expected.round(6)).pvalue, rel=1e-9)
    assert row.wilcoxon <= row.holm <= 2 * row.wilcoxon
    assert [r.name for r in found.rows] == ["Dice", "IoU", "Dice liver", "IoU liver"]
    assert found.to_json()["rows"][0]["first"] == pytest.approx(np.mean(first) / 100)
    assert found.table().splitlines()[2].split()[:4] == ["Dice", "0.847", "0.785", "0.062"]


def test_versus_takes_the_cases_that_both_have():
    a, b = scores_of([50, 60, 70]), scores_of([50, 60])
    found = versus(a, b)
    assert found.left_out == ("case 2",)
    assert {row.cases for row in found.rows} == {2}


def test_versus_of_nothing_in_common():
    with pytest.raises(EvaluationError, match="no case in common"):
        versus(scores_of([50]), Scores("classes", ()))
    with pytest.raises(EvaluationError, match="one kind"):
        versus(scores_of([50]), Scores("instances", ()))


def test_intervals_of_scores():
    scores = scores_of([50, 60, 70, 80])
    low, high = scores.intervals["Dice liver"]
    assert 0.5 <= low < 0.65 < high <= 0.8
    assert scores.intervals["Dice"] == scores.intervals["Dice liver"]
    wide = scores_of([50, 60, 70, 80], EvaluationSettings(confidence=0.6)).intervals["Dice"]
    assert low < wide[0] < wide[1] < high
    assert all(math.isnan(x) for x in scores_of([50]).intervals["Dice"])
