"""Wrong objects: as many as the scores count, and each with a place that lies in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_monai.evaluation import instance_counts, mistakes, object_scores

PAIRS = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6).flatmap(
    lambda shape: st.tuples(
        *[hnp.arrays(np.int32, shape, elements=st.sampled_from([0, 1, 2, 3, 900]))] * 2
    )
)


@given(PAIRS, st.sampled_from([0.5, 0.75]))
def test_as_many_as_are_counted(pair, iou):
    prediction, truth = pair
    found = mistakes(prediction, truth, iou=iou)
    (counts,) = instance_counts(prediction, truth, thresholds=(iou,))
    scores = object_scores(prediction, truth, iou=iou)
    how_many = {w: sum(w in m.what for m in found) for w in ("missed", "false", "split", "merged")}
    assert how_many == {
        "missed": counts.fn,
        "false": counts.fp,
        "split": scores.splits,
        "merged": scores.merges,
    }


@given(PAIRS)
def test_places_are_in_the_objects(pair):
    prediction, truth = pair
    for one in mistakes(prediction, truth):
        labels, other = (truth, prediction) if one.side == "truth" else (prediction, truth)
        mask = labels == one.number
        assert mask[one.at]
        assert one.voxels == mask.sum() == mask[one.box].sum()
        shared = [np.sum(mask & (other == n)) / np.sum(mask | (other == n))
                  for n in np.unique(other[mask]) if n]  # fmt: skip
        assert one.iou == pytest.approx(max(shared, default=0.0))


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        pytest.param([1, 1, 0], [4, 4, 0], [], id="right"),
        pytest.param([0, 0, 0, 2], [3, 3, 3, 0],
                     [(("missed",), "truth", 3), (("false",), "prediction", 2)], id="elsewhere"),
        pytest.param([1, 1, 1, 2], [5, 5, 5, 5],
                     [(("split",), "truth", 5), (("false",), "prediction", 2)],
                     id="found by the larger part"),
        pytest.param([7, 7, 7, 7], [1, 1, 2, 2],
                     [(("missed",), "truth", 1), (("missed",), "truth", 2),
                      (("false", "merged"), "prediction", 7)], id="two in one"),
    ],
)  # fmt: skip
def test_what_is_wrong(prediction, truth, expected):
    found = mistakes(np.asarray(prediction), np.asarray(truth))
    assert [(m.what, m.side, m.number) for m in found] == expected
