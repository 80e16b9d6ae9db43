"""How sure a mean over cases is, and whether two models differ: bootstrap and paired tests.

Cases are what is drawn: patients or images that are independent of each other. Slices or time
points of one patient are not, and make intervals too narrow and p-values too small.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Up to so many cases all changes of sign are tried, and the permutation test is exact.
_EXACT = 14


def resampled_means(values: npt.ArrayLike, *, resamples: int, seed: int) -> Floats:
    """Return the means of cases drawn again with replacement (Efron's bootstrap).

    Every column is drawn by the same cases, so that differences and means of columns can be
    taken of the result.

    Parameters
    ----------
    values
        Shape (cases, columns); what is not finite does not count.

    Returns
    -------
    numpy.ndarray
        Shape (resamples, columns); NaN where a draw holds no value.
    """
    table = np.asarray(values, np.float64)
    known = np.isfinite(table)
    cases = len(table)
    generator = np.random.default_rng(seed)
    drawn = np.zeros((resamples, cases))
    rows = np.repeat(np.arange(resamples), cases)
    np.add.at(drawn, (rows, generator.integers(0, cases, rows.size)), 1)
    count = drawn @ known
    with np.errstate(invalid="ignore"):
        means: Floats = (drawn @ np.where(known, table, 0.0)) / np.where(count, count, np.nan)
    return means


def interval(means: Floats, *, confidence: float) -> tuple[float, float]:
    """Return the percentile interval of resampled means; NaN where there are none."""
    kept = means[np.isfinite(means)]
    if not len(kept):
        return math.nan, math.nan
    low, high = np.quantile(kept, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class PairedTest:
    """How likely differences as large are where neither side is better.

    ``cases`` have a value on both sides; ``wilcoxon`` is the two-sided p-value of Wilcoxon's
    signed-rank test (zeros shared out as Pratt does), ``permutation`` that of the mean under
    random signs. NaN where fewer than two cases can be compared.
    """

    cases: int
    wilcoxon: float
    permutation: float


def paired_test(
    first: Sequence[float], second: Sequence[float], *, resamples: int = 10_000, seed: int = 0
) -> PairedTest:
    """Test whether two rows of values of the same cases differ.

    Cases where one value is NaN are left out. An infinite value (a surface that is not there) is
    further than any other in the ranks; the permutation test, which needs means, leaves it out.
    """
    with np.errstate(invalid="ignore"):  # infinite on both sides: no difference
        a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
        there = ~(np.isnan(a) | np.isnan(b))
        differences = np.where(a == b, 0.0, a - b)[there]
    if len(differences) < 2:
        return PairedTest(len(differences), math.nan, math.nan)
    finite = differences[np.isfinite(differences)]
    return PairedTest(len(differences), _wilcoxon(differences), _signs(finite, resamples, seed))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for having tested so many (Holm 1979); NaN stays NaN."""
    p = np.asarray(p_values, np.float64)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else []
    return [float(x) for x in adjusted]


def _wilcoxon(differences: Floats) -> float:
    if not differences.any():
        return 1.0
    from scipy.stats import rankdata, wilcoxon

    # Only ranks count: infinite differences become the largest, which SciPy wants as numbers, and
    # what differs in the last places is equal.
    rounded = np.round(differences, 12)
    ranked = np.sign(rounded) * rankdata(np.abs(rounded))
    if len(ranked) <= _EXACT:
        # All signs of the ranks, ties and zeros too: SciPy does the same, a thousand times slower.
        return _signs(ranked, 0, 0)
    return float(wilcoxon(ranked, zero_method="pratt").pvalue)


def _signs(differences: Floats, resamples: int, seed: int) -> float:
    """Return the p-value of the mean when each difference could as well have the other sign."""
    n = len(differences)
    if n < 2:
        return math.nan
    observed = abs(differences.sum())
    # Sums of the same numbers in another order differ in the last place.
    limit = observed - 1e-9 * np.abs(differences).sum()
    if n <= _EXACT:
        return float(np.mean(np.abs(_all_signs(n) @ differences) >= limit))
    signs = _random_signs(resamples, n, seed)
    reached = np.count_nonzero(np.abs(signs @ differences) >= limit)
    return float((reached + 1) / (resamples + 1))  # the observed one is one of them


# The same for every measure and class of the same cases.


@functools.lru_cache(maxsize=4)
def _all_signs(n: int) -> Floats:
    return np.asarray(list(itertools.product((1.0, -1.0), repeat=n)))


@functools.lru_cache(maxsize=4)
def _random_signs(resamples: int, n: int, seed: int) -> Floats:
    return np.random.default_rng(seed).choice((1.0, -1.0), (resamples, n))
