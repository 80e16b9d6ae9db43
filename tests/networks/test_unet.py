"""The U-Net against MONAI's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.networks.nets import UNet as MonaiUNet
from torch.nn import functional

from napari_monai.errors import NetworkError
from napari_monai.networks import build_network
from napari_monai.networks.unet import Options

BASE = {"in_channels": 1, "out_channels": 2, "channels": [4, 8, 12], "num_res_units": 1}
FORMS = [
    pytest.param({"spatial_dims": 2, "strides": [2, 2]}, (16, 24), id="2d"),
    pytest.param({"spatial_dims": 3, "strides": [2, 2]}, (8, 8, 12), id="3d"),
    pytest.param({"spatial_dims": 2, "strides": [3, 2], "norm": "batch"}, (12, 18), id="by-3"),
    pytest.param({"spatial_dims": 2, "strides": [1, 2], "kernel_size": 5}, (10, 10), id="by-1"),
    pytest.param(
        {"spatial_dims": 3, "strides": [[1, 2, 2], [2, 2, 2]], "kernel_size": [1, 3, 3]},
        (4, 8, 16),
        id="thick-slices",
    ),
]


def pair(form: dict[str, Any]) -> tuple[torch.nn.Module, MonaiUNet]:
    """Return our network and MONAI's with the same arguments and weights."""
    torch.manual_seed(0)
    ours = build_network("unet", {**BASE, **form}).eval()
    theirs = MonaiUNet(**{**BASE, **form}).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs


@pytest.mark.parametrize(("form", "sizes"), FORMS)
def test_where_monai_takes_the_image_the_logits_are_its_own(
    form: dict[str, Any], sizes: tuple[int, ...]
) -> None:
    ours, theirs = pair(form)
    x = torch.randn(2, 1, *sizes)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)


@pytest.mark.parametrize(("form", "sizes"), FORMS)
def test_other_sizes_go_on_with_their_last_row(
    form: dict[str, Any], sizes: tuple[int, ...]
) -> None:
    ours, theirs = pair(form)
    x = torch.randn(1, 1, *(size - 1 for size in sizes))
    stride = Options(**{**BASE, **form}).total_stride
    gaps = [-size % step for size, step in zip(x.shape[2:], stride, strict=True)]
    padded = functional.pad(x, [n for gap in reversed(gaps) for n in (0, gap)], mode="replicate")
    low_corner = (..., *(slice(size) for size in x.shape[2:]))
    torch.testing.assert_close(ours(x), theirs(padded)[low_corner], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("strides", "expected"),
    [((2, 2), (4, 4, 4)), (((1, 2, 2), 2), (2, 4, 4)), (((1, 3, 2), (1, 2, 2)), (1, 6, 4))],
    ids=str,
)
def test_total_stride(strides: tuple[Any, ...], expected: tuple[int, ...]) -> None:
    options = Options(
        spatial_dims=3, in_channels=1, out_channels=1, channels=(2, 2, 2), strides=strides
    )
    assert options.total_stride == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strides": [2]}, r"strides is \[2\]: give a list of 2"),
        ({"strides": [2, 2, 2]}, r"strides is \[2, 2, 2\]: give a list of 2"),
        ({"strides": [2, [2, 2, 2]]}, r"strides is \[2, 2, 2\]: .* each of the 2 axes"),
        ({"strides": [2, 0]}, "strides is 0: give one number of 1 or more"),
        ({"channels": [4], "strides": []}, "channels is .4.: give two or more"),
        ({"kernel_size": 4}, "kernel_size is 4: give one odd number"),
        ({"up_kernel_size": [3, 2]}, r"up_kernel_size is \[3, 2\]: give one odd number"),
        ({"num_res_units": -1}, "num_res_units is -1: give 0 or more"),
        ({"adn_ordering": "NNA"}, "adn_ordering is 'NNA': give letters of A, D and N"),
        ({"norm": ["group", {"num_groups": 5}]}, "must be divisible by num_groups"),
    ],
    ids=str,
)
def test_what_monai_cannot_build_is_refused(change: dict[str, Any], message: str) -> None:
    arguments = {**BASE, "spatial_dims": 2, "strides": [2, 2], **change}
    with pytest.raises(NetworkError, match=message):
        build_network("unet", arguments)
