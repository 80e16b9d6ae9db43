"""Batches made ahead: the very same ones, in order, and errors that are not lost."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from napari_monai.training.examples import Example
from napari_monai.training.loader import Batches, planned_workers
from napari_monai.training.patches import PatchSampler
from napari_monai.training.presets import PRESETS
from napari_monai.training.resolved import Resolved


def sampler() -> PatchSampler:
    rng = np.random.default_rng(0)
    labels = (rng.random((40, 50)) > 0.8).astype(np.int32)
    example = Example(
        "noise",
        rng.random((1, 40, 50)).astype(np.float16),
        labels[None].astype(np.int16),
        labels,
        (1.0, 2.0),
        np.argwhere(labels).astype(np.int32),
    )
    plan = Resolved(20, 3, 1e-3, 5, (16, 24), PRESETS["fluorescence"])
    return PatchSampler([example], plan, seed=4, classes=True)


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_any_number_of_workers_gives_the_batches_of_the_sampler(workers: int) -> None:
    reference = sampler()
    with Batches(sampler(), first=5, workers=workers, stop=12) as batches:
        for step in range(5, 12):
            images, targets, spacings = batches.get(step)
            expected = reference.batch(step)
            assert torch.equal(images, expected[0])
            assert torch.equal(targets, expected[1])
            assert spacings == [(1.0, 2.0)] * 3


def test_steps_out_of_order_and_parts() -> None:
    reference = sampler()
    with Batches(sampler(), workers=2, part=slice(1, None)) as batches:
        for step in (0, 1, 9, 10, 3, 3):
            assert torch.equal(batches.get(step)[0], reference.batch(step)[0][1:])


def test_threads_end_with_the_context() -> None:
    before = threading.active_count()
    with Batches(sampler(), workers=3) as batches:
        batches.get(0)
        assert threading.active_count() > before
    assert threading.active_count() == before


class Unreadable:
    """An image on a disk that fails."""

    shape = (1, 40, 50)
    dtype = np.dtype(np.float16)

    def __getitem__(self, box: object) -> np.ndarray:
        raise OSError("the disk is gone")


def test_an_error_in_a_thread_comes_out() -> None:
    broken = sampler()
    object.__setattr__(broken.examples[0], "image", Unreadable())
    with Batches(broken, workers=1) as batches, pytest.raises(OSError, match="the disk is gone"):
        batches.get(0)


def test_batches_are_made_before_they_are_asked_for() -> None:
    watched = sampler()
    make = watched.batch
    begun = {step: threading.Event() for step in range(6)}

    def watch(step: int, part: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
        begun[step].set()
        return make(step, part)

    watched.batch = watch  # type: ignore[method-assign]
    with Batches(watched, workers=2, stop=6) as batches:
        batches.get(0)
        assert all(begun[step].wait(60) for step in (1, 2, 3))
        assert not begun[4].is_set()  # they are not made without end
        batches.get(1)
        assert begun[4].wait(60)


def test_as_many_threads_as_set_or_as_suit_the_device() -> None:
    cpu = torch.device("cpu")
    assert planned_workers(cpu, 5) == 5
    assert planned_workers(cpu, 0) == 0
    assert planned_workers(cpu, None) <= 1
    assert 1 <= planned_workers(torch.device("cuda"), None) <= 8
