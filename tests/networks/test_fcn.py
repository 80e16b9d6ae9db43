"""The FCN against the encoder, the skips and the bilinear filters of its paper."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from napari_monai.errors import NetworkError
from napari_monai.networks import build_network
from napari_monai.networks.cost import count_parameters
from napari_monai.networks.fcn import enlarging

SMALL: dict[str, Any] = {
    "in_channels": 1, "out_channels": 2, "channels": [4, 4, 6, 6, 8], "depths": [1] * 5,
    "head_channels": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("factors", "sizes"),
    [((2, 2), (7, 8)), ((4, 2), (7, 8)), ((1, 3), (7, 6)), ((1, 2, 2), (3, 8, 7))],
    ids=str,
)
def test_enlarging_begins_as_linear_interpolation(
    factors: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    x = torch.randn(2, 3, *sizes)
    found = enlarging(3, factors)(x)
    wanted = [size * factor for size, factor in zip(sizes, factors, strict=True)]
    assert list(found.shape[2:]) == wanted
    mode = "bilinear" if len(sizes) == 2 else "trilinear"
    expected = functional.interpolate(x, size=wanted, mode=mode, align_corners=False)
    # At the border the transposed convolution has nothing beyond to weigh in.
    inside = (..., *(slice(factor, -factor) for factor in factors))
    torch.testing.assert_close(found[inside], expected[inside])


def test_the_encoder_of_the_paper_has_the_size_of_vgg_16() -> None:
    """torchvision's vgg16_bn has 14,723,136 parameters of features, 4,224 of them biases."""
    arguments = {
        "spatial_dims": 2, "in_channels": 3, "out_channels": 1, "skips": 0,
        "channels": [64, 128, 256, 512, 512], "depths": [2, 2, 3, 3, 3],
        "head_channels": 1, "head_kernel": 1,
    }  # fmt: skip
    head = 512 + 2 + 1 + 2 + 2
    assert count_parameters("fcn", arguments) == 14_723_136 - 4_224 + head


@pytest.mark.parametrize(("skips", "stride"), [(0, 32), (1, 16), (2, 8), (4, 2)])
def test_skips_set_the_stride_that_scores_are_summed_at(skips: int, stride: int) -> None:
    network = build_network("fcn", {**SMALL, "spatial_dims": 2, "skips": skips}).eval()
    seen: list[tuple[int, ...]] = []
    for layer in (network.head, *network.scores):  # type: ignore[union-attr]
        layer.register_forward_hook(lambda _, inputs, output: seen.append(output.shape[2:]))
    network(torch.randn(1, 1, 64, 96))
    assert seen[-1] == (64 // stride, 96 // stride)
    assert len(seen) == skips + 1


def test_scores_of_finer_stages_are_added_once_they_are_learned() -> None:
    network = build_network("fcn", {**SMALL, "spatial_dims": 2}).eval()
    x = torch.randn(1, 1, 64, 64)
    before = network(x)
    # Each begins at zero: it has nothing to say but its bias.
    scores: Any = network.scores
    assert [float(score.weight.detach().abs().max()) for score in scores] == [0, 0]
    with torch.no_grad():
        scores[1].bias += 5
    torch.testing.assert_close(network(x), before + 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"skips": 5}, "skips is 5: give 0 to 4"),
        ({"depths": [1, 1]}, r"depths is \[1, 1\]: give a list of 5"),
        ({"strides": [2, 2, 2, 2, [2, 2, 2]]}, r"strides is \[2, 2, 2\]: .* each of the 2 axes"),
        ({"head_kernel": 4}, "head_kernel is 4: give one odd number"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        build_network("fcn", {**SMALL, "spatial_dims": 2, **change})
