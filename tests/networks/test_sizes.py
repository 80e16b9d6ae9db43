"""Padding to whole strides, on literal rows of pixels."""

from __future__ import annotations

import itertools

import pytest
import torch

from napari_monai.networks.sizes import crop_to, pad_to_stride


@pytest.mark.parametrize(
    ("image", "stride", "expected"),
    [
        pytest.param([[1, 2, 3, 4]], (1, 2), [[1, 2, 3, 4]], id="fits"),
        pytest.param([[1, 2, 3]], (1, 2), [[1, 2, 3, 3]], id="one-axis"),
        pytest.param(
            [[1, 2, 3], [4, 5, 6]], (3, 2), [[1, 2, 3, 3], [4, 5, 6, 6], [4, 5, 6, 6]], id="both"
        ),
        pytest.param([[7]], (1, 2), [[7, 7, 7, 7]], id="two-positions"),
        pytest.param([[1, 2]], (1, 2), [[1, 2, 2, 2]], id="fits-one-position"),
        pytest.param([[1, 2], [3, 4]], (1, 2), [[1, 2], [3, 4]], id="two-positions-on-first-axis"),
    ],
)
def test_pad_to_stride_repeats_the_last_row(
    image: list[list[int]], stride: tuple[int, int], expected: list[list[int]]
) -> None:
    x = torch.tensor([[image]], dtype=torch.float32)
    padded = pad_to_stride(x, stride)
    assert padded[0, 0].tolist() == expected
    assert torch.equal(crop_to(padded, x.shape[2:]), x)


def test_an_image_that_fits_is_not_copied() -> None:
    x = torch.zeros(1, 1, 4, 4, 8)
    assert pad_to_stride(x, (2, 4, 4)) is x


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
@pytest.mark.parametrize("traced", [(1, 1), (8, 6), (5, 7), (1, 9)])
@pytest.mark.parametrize("stride", [(1, 1), (4, 3), (2, 8)])
def test_what_is_traced_pads_images_of_other_sizes(
    traced: tuple[int, int], stride: tuple[int, int]
) -> None:
    made = torch.jit.trace(lambda x: pad_to_stride(x, stride), torch.zeros(1, 1, *traced))
    for size in itertools.product((1, 2, 3, 4, 5, 9), (1, 2, 3, 6, 8, 17)):
        x = torch.rand(1, 1, *size)
        assert torch.equal(made(x), pad_to_stride(x, stride))
