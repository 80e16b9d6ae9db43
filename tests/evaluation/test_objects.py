"""Measures of objects against loops over masks, MONAI's panoptic quality and pictures by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_monai.evaluation import object_scores

LABELS = hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=7).flatmap(
    lambda shape: st.tuples(
        *[hnp.arrays(np.int32, shape, elements=st.sampled_from([0, 0, 1, 2, 3, 900]))] * 2
    )
)


def masks(labels):
    return [labels == n for n in np.unique(labels) if n]


def iou(a, b):
    return np.sum(a & b) / np.sum(a | b)


def aggregated_jaccard(prediction, truth):
    """Return AJI as algorithm 1 of Kumar et al. 2017 has it."""
    predicted = masks(prediction)
    shared = union = 0
    used = set()
    for true in masks(truth):
        values = [iou(true, p) for p in predicted]
        if not values or max(values) == 0:
            union += true.sum()
            continue
        best = int(np.argmax(values))
        shared += np.sum(true & predicted[best])
        union += np.sum(true | predicted[best])
        used.add(best)
    union += sum(p.sum() for i, p in enumerate(predicted) if i not in used)
    return shared / union if union else 1.0


@given(LABELS)
def test_aji_is_that_of_the_paper(pair):
    assert object_scores(*pair).aji == pytest.approx(aggregated_jaccard(*pair), abs=1e-12)


@given(LABELS)
def test_splits_and_merges_are_those_of_the_masks(pair):
    predicted, true = (masks(x) for x in pair)
    touching = np.array([[iou(p, t) > 0.1 for t in true] for p in predicted], bool)
    touching = touching.reshape(len(predicted), len(true))
    found = object_scores(*pair)
    assert found.splits == np.count_nonzero(touching.sum(axis=0) > 1)
    assert found.merges == np.count_nonzero(touching.sum(axis=1) > 1)


@pytest.mark.parametrize("seed", range(4))
def test_panoptic_quality_is_that_of_monai(seed):
    import torch
    from monai.metrics import compute_panoptic_quality

    generator = np.random.default_rng(seed)
    truth = np.kron(generator.permutation(16).reshape(4, 4), np.ones((5, 5), int))
    prediction = np.where(generator.random(truth.shape) < 0.25, 0, truth)
    prediction = np.roll(prediction, seed, axis=1)
    found = object_scores(prediction, truth)
    pair = [torch.from_numpy(x.astype(np.int32)) for x in (prediction, truth)]
    names = {"pq": found.panoptic_quality, "rq": found.recognition_quality,
             "sq": found.segmentation_quality}  # fmt: skip
    for name, value in names.items():
        expected = float(compute_panoptic_quality(*pair, metric_name=name, smooth_numerator=1e-12))
        assert (0.0 if math.isnan(value) else value) == pytest.approx(expected, abs=1e-6), name
    assert found.f1 == found.recognition_quality


@pytest.mark.parametrize(
    ("prediction", "truth", "splits", "merges"),
    [
        pytest.param([1, 1, 2, 2], [5, 5, 5, 5], 1, 0, id="split in two"),
        pytest.param([7, 7, 7, 7], [1, 1, 2, 2], 0, 1, id="two merged"),
        pytest.param([1] * 10 + [2], [3] * 11, 0, 0, id="a crumb is no split"),
        pytest.param([1, 1, 2, 2, 0], [0, 1, 1, 2, 2], 1, 1, id="a chain"),
    ],
)
def test_splits_and_merges(prediction, truth, splits, merges):
    found = object_scores(np.asarray(prediction), np.asarray(truth))
    assert (found.splits, found.merges) == (splits, merges)


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [([0], [0], 1.0), ([1], [0], 0.0), ([0], [1], 0.0)],
    ids=["both empty", "truth empty", "prediction empty"],
)
def test_without_objects(prediction, truth, expected):
    found = object_scores(np.asarray(prediction), np.asarray(truth))
    assert found.f1 == found.panoptic_quality == found.aji == expected
    assert math.isnan(found.segmentation_quality)
