"""nnU-Net's rules, against plans that nnU-Net itself made and published, and worked by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_monai.networks import build_network
from napari_monai.training.topology import (
    Topology,
    feature_maps,
    fit_batch,
    fit_topology,
    levels_of,
    target_spacing,
)

# Of 8 GB, by the number of axes: values of the plain network's convolutions, patches of a batch,
# and the widest level.
REFERENCE = {2: (85e6, 12, 512), 3: (560e6, 2, 320)}


def planned(spacing: Any, shape: Any, outputs: int) -> tuple[Topology, float]:
    """Return what nnU-Net plans for 8 GB, and how many patches fit."""
    most, batch, widest = REFERENCE[len(spacing)]

    def maps(topology: Topology) -> float:
        features = [min(32 * 2**level, widest) for level in range(topology.levels)]
        return feature_maps(topology, features, outputs=outputs)

    # There are two patches in a batch at least.
    found = fit_topology(spacing, shape, lambda t: maps(t) * 2 / batch <= most)
    return found, most / maps(found) * batch


@pytest.mark.parametrize(
    ("spacing", "shape", "outputs", "patch", "batch", "levels", "last"),
    [
        # Plans of nnU-Net for Task 6 of the Medical Segmentation Decathlon, BraTS 2021, a CT of
        # kidneys, OpenEDS 2019 and coronary angiograms (StenUNet), as their authors share them.
        pytest.param(
            (1.244979977607727, 0.78515625, 0.78515625), (252, 512, 512), 2,
            (80, 192, 160), 2, 6, (1, 2, 2), id="lung",
        ),
        pytest.param(
            (2.3855103790575867, 1.5044405671133478, 1.5044405671133478), (132, 267, 267), 2,
            (80, 192, 160), 2, 6, (1, 2, 2), id="lung lowres",
        ),
        pytest.param((1, 1, 1), (140, 171, 137), 4, (128,) * 3, 2, 6, (2, 2, 2), id="brain"),
        pytest.param(
            (0.9130857586860657, 0.78515625, 0.81640625), (434.5, 512, 467), 4,
            (128,) * 3, 2, 6, (2, 2, 2), id="kidney",
        ),
        pytest.param(
            (2.1517464029479867, 1.8502721355776768, 1.923914807640471), (184, 217, 198), 4,
            (128,) * 3, 2, 6, (2, 2, 2), id="kidney lowres",
        ),
        pytest.param((0.785, 0.785), (512, 512), 2, (512, 512), 12, 8, (2, 2), id="lung 2d"),
        pytest.param((0.785, 0.816), (512, 467), 4, (512, 512), 12, 8, (2, 2), id="kidney 2d"),
        pytest.param((1, 1), (400, 400), 4, (448, 448), 16, 7, (2, 2), id="eyes 2d"),
        pytest.param((1, 1), (171, 137), 4, (192, 160), 105, 6, (2, 2), id="brain 2d"),
    ],
)  # fmt: skip
def test_plans_are_those_of_nnunet(
    spacing: Any, shape: Any, outputs: int, patch: Any, batch: int, levels: int, last: Any
) -> None:
    found, headroom = planned(spacing, shape, outputs)
    assert found.patch == patch
    assert fit_batch(found.patch, 1e12, headroom) == batch
    assert (found.levels, found.strides[-1]) == (levels, last)
    assert set(found.kernels) == {(3,) * len(spacing)}


def test_thick_slices_are_shrunk_later_and_have_flat_kernels() -> None:
    """Worked by hand: 5 mm against 1.25 until 1.25 has become 2.5, more than half of 5."""
    found = levels_of((5.0, 1.25, 1.25), (16, 256, 256))
    assert found.strides[:5] == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert found.kernels[:4] == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3))
    assert found.patch == (16, 256, 256)
    assert found.multiples == (4, 64, 64)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.integers(1, 400)), min_size=2, max_size=3))
def test_patches_are_multiples_and_no_level_is_too_small(axes: list[tuple[float, int]]) -> None:
    spacing, size = zip(*axes, strict=True)
    found = levels_of(spacing, size)
    for n, patch, multiple in zip(size, found.patch, found.multiples, strict=True):
        assert patch % multiple == 0
        assert n <= patch < n + multiple
        assert multiple == 1 or patch // multiple >= 4
    assert len(found.kernels) == found.levels
    # A kernel never gets smaller with depth.
    assert all(k <= after for k, after in zip(found.kernels, found.kernels[1:], strict=False))


@pytest.mark.parametrize(
    ("spacings", "shapes", "wanted"),
    [
        pytest.param(
            [(1, 1, 1), (2, 1, 1), (3, 1, 1)], [(100, 200, 200)] * 3, (2, 1, 1), id="median"
        ),
        pytest.param(
            [(5, 1, 1), (10, 1, 1), (10, 1, 1)], [(10, 200, 200)] * 3, (6, 1, 1),
            id="few thick slices: the tenth percentile",
        ),
        pytest.param(
            [(5, 1, 1), (10, 1, 1), (10, 1, 1)], [(90, 200, 200)] * 3, (10, 1, 1),
            id="many thick slices",
        ),
        pytest.param(
            [(0.5, 2, 2), (10, 2, 2), (10, 2, 2)], [(10, 200, 200)] * 3, (2.4, 2, 2),
            id="not below the others",
        ),
    ],
)  # fmt: skip
def test_the_spacing_is_that_of_nnunet(spacings: Any, shapes: Any, wanted: Any) -> None:
    assert target_spacing(spacings, shapes) == pytest.approx(wanted)


def test_a_batch_shows_a_small_part_of_all_voxels() -> None:
    assert fit_batch((64, 64), 64 * 64 * 200, 30) == 10
    assert fit_batch((64, 64), 64 * 64 * 20, 30) == 2
    assert fit_batch((64, 64), 64 * 64 * 20, 30, least=12) == 12


def test_memory_is_counted_as_the_network_has_it() -> None:
    """Against the outputs of all convolutions of the network itself."""
    import torch
    from torch import nn

    topology = levels_of((3.0, 1.0, 1.0), (10, 40, 32))
    features = [4 * 2**level for level in range(topology.levels)]
    network = build_network("plain_conv_unet", {
        "spatial_dims": 3, "in_channels": 1, "out_channels": 3,
        "features_per_stage": features, "strides": [list(s) for s in topology.strides],
        "kernel_sizes": [list(k) for k in topology.kernels],
    })  # fmt: skip
    counts = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            layer.register_forward_hook(lambda _m, _i, out: counts.append(out[0].numel()))
    with torch.no_grad():
        network(torch.zeros(1, 1, *topology.patch))
    assert feature_maps(topology, features, outputs=3) == sum(counts)
