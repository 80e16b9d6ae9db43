"""DeepLabV3+ against the strides, rates and views that its papers give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from napari_monai.errors import NetworkError
from napari_monai.networks import build_network
from napari_monai.networks.blocks import Blocks, group_count
from napari_monai.networks.deeplab import DeepLabV3Plus, Options
from napari_monai.networks.deeplab_parts import AtrousSpatialPyramidPooling
from napari_monai.networks.resnet_encoder import ResNetEncoder, halving_steps

SMALL: dict[str, Any] = {
    "in_channels": 1,
    "out_channels": 2,
    "depths": [1, 1, 1, 3],
    "channels": [4, 4, 8, 8],
    "aspp_channels": 8,
    "decoder_channels": 8,
    "low_level_channels": 4,
    "norm": "batch",
}


def deeplab(**options: Any) -> DeepLabV3Plus:
    torch.manual_seed(0)
    network = build_network("deeplabv3plus", {**SMALL, **options})
    assert isinstance(network, DeepLabV3Plus)
    return network.eval()


@pytest.mark.parametrize(
    ("output_stride", "sizes", "low_level", "features"),
    [
        (16, (64, 96), (16, 24), (4, 6)),
        (16, (65, 33), (20, 12), (5, 3)),
        (8, (65, 33), (18, 10), (9, 5)),
        (16, (32, 48, 16), (8, 12, 4), (2, 3, 1)),
        (8, (16, 17, 24), (4, 6, 6), (2, 3, 3)),
        ((4, 16, 16), (12, 48, 32), (12, 12, 8), (3, 3, 2)),
        ((2, 8, 8), (5, 24, 17), (6, 6, 6), (3, 3, 3)),
        ((1, 16, 16), (3, 32, 32), (3, 8, 8), (3, 2, 2)),
    ],
    ids=str,
)
def test_the_encoder_ends_at_its_output_stride(
    output_stride: Any,
    sizes: tuple[int, ...],
    low_level: tuple[int, ...],
    features: tuple[int, ...],
) -> None:
    network = deeplab(spatial_dims=len(sizes), output_stride=output_stride)
    seen: list[tuple[int, ...]] = []
    network.encoder.register_forward_hook(
        lambda module, inputs, outputs: seen.extend(tuple(part.shape[2:]) for part in outputs)
    )
    assert network(torch.randn(1, 1, *sizes)).shape == (1, 2, *sizes)
    assert seen == [low_level, features]


@pytest.mark.parametrize(
    ("output_stride", "expected"),
    [
        # Unit rate 2 times the multi-grid (1, 2, 4): arXiv:1706.05587, section 3.2.1.
        (16, [[1], [1], [1], [2, 4, 8]]),
        # One stage earlier: rate 2 in stage 3, unit rate 4 in stage 4.
        (8, [[1], [1], [2], [4, 8, 16]]),
    ],
)
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_atrous_rates_of_the_stages(
    block: str, output_stride: int, expected: list[list[int]]
) -> None:
    network = deeplab(spatial_dims=2, output_stride=output_stride, block=block)
    found = [
        [
            {
                layer.dilation[0]
                for layer in unit.modules()
                if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (3, 3)
            }
            for unit in stage.children()
        ]
        for stage in network.encoder.stages
    ]
    assert found == [[{rate} for rate in stage] for stage in expected]


@pytest.mark.parametrize(
    ("output_stride", "layers"),
    [
        # (kernel, stride, rate) of every layer wider than 1 from image to features.
        (16, [(7, 2, 1), (3, 2, 1), *[(3, 1, 1)] * 2, (3, 2, 1), (3, 1, 1), (3, 2, 1), (3, 1, 1),
              *[(3, 1, 2)] * 2, *[(3, 1, 4)] * 2, *[(3, 1, 8)] * 2]),
        (8, [(7, 2, 1), (3, 2, 1), *[(3, 1, 1)] * 2, (3, 2, 1), (3, 1, 1), *[(3, 1, 2)] * 2,
             *[(3, 1, 4)] * 2, *[(3, 1, 8)] * 2, *[(3, 1, 16)] * 2]),
    ],
    ids=["16", "8"],
)  # fmt: skip
def test_the_encoder_sees_as_far_as_its_rates_reach(
    output_stride: int, layers: list[tuple[int, int, int]]
) -> None:
    reach, step = 0, 1
    for kernel, stride, rate in layers:
        reach += (kernel - 1) // 2 * rate * step
        step *= stride
    assert step == output_stride
    assert reach > 490  # without dilation it would be less than 150
    encoder = deeplab(spatial_dims=2, output_stride=output_stride).encoder
    # Not-a-number spreads to all that depends on it, whatever the weights.
    for last in (3, 100, 200, 311):
        x = torch.zeros(1, 1, 1024, 16)
        x[:, :, : last + 1] = torch.nan
        touched = encoder(x)[1].isnan().any(dim=1).any(dim=-1)[0].nonzero()
        assert touched.max().item() == (last + reach) // output_stride


@pytest.mark.parametrize(
    ("output_stride", "rates"), [(16, (6, 12, 18)), (8, (12, 24, 36)), ((2, 8, 8), (12, 24, 36))]
)
def test_rates_of_the_pyramid_follow_the_output_stride(
    output_stride: Any, rates: tuple[int, ...]
) -> None:
    dims = 2 if isinstance(output_stride, int) else 3
    options = Options(
        spatial_dims=dims, in_channels=1, out_channels=1, output_stride=output_stride
    )  # fmt: skip
    assert options.rates == rates


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("rate", [1, 2, 3])
def test_a_branch_of_the_pyramid_looks_at_its_rate(dims: int, rate: int) -> None:
    blocks = Blocks(dims, "batch", "relu")
    aspp = AtrousSpatialPyramidPooling(blocks, 2, 4, rates=[rate], dropout=0.0).eval()
    centre = (4,) * dims
    x = torch.zeros(1, 2, *(9,) * dims)
    x[(0, 0, *centre)] = torch.nan
    points, taps = (branch(x).isnan().any(dim=1)[0] for branch in aspp.branches)
    assert points.nonzero().tolist() == [list(centre)]
    expected = {4 - rate, 4, 4 + rate}
    assert int(taps.sum()) == 3**dims
    assert {index for position in taps.nonzero().tolist() for index in position} == expected


def test_the_pyramid_knows_the_whole_image() -> None:
    network = deeplab(spatial_dims=2)
    x = torch.zeros(1, 1, 1600, 16)
    x[:, :, -1] = torch.nan
    # Farther away than encoder, rates and decoder reach: only the mean carries it here.
    assert network(x)[:, :, 0].isnan().all()


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_the_pyramid_s_image_level_branch_counts(norm: str) -> None:
    network = deeplab(spatial_dims=2, norm=norm)
    x = torch.randn(1, 1, 64, 64)
    before = network(x)
    with torch.no_grad():
        for weight in network.aspp.pooled.parameters():
            weight.zero_()
    assert (network(x) - before).abs().max() > 0.01 * before.std()


def test_the_decoder_takes_in_low_level_features() -> None:
    network = deeplab(spatial_dims=2)
    x = torch.randn(1, 1, 64, 64)
    before = network(x)
    with torch.no_grad():
        for weight in network.low_level.parameters():
            weight.zero_()
    assert not torch.allclose(network(x), before)


@pytest.mark.parametrize("sizes", [(33, 47), (17, 9, 30)], ids=str)
def test_odd_sizes_do_not_shift_the_labels(sizes: tuple[int, ...]) -> None:
    """An image and the same image with its last row repeated agree wherever both are."""
    network = deeplab(spatial_dims=len(sizes), output_stride=8)
    x = torch.randn(1, 1, *sizes)
    gaps = [-size % 8 for size in sizes]
    padded = functional.pad(x, [n for gap in reversed(gaps) for n in (0, gap)], mode="replicate")
    low_corner = (..., *(slice(size) for size in sizes))
    torch.testing.assert_close(network(x), network(padded)[low_corner], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("norm", "kind"),
    [
        ("batch", torch.nn.BatchNorm3d),
        ("instance", torch.nn.InstanceNorm3d),
        ("group", torch.nn.GroupNorm),
    ],
)
def test_norm_is_the_one_asked_for(norm: str, kind: type[torch.nn.Module]) -> None:
    network = deeplab(spatial_dims=3, norm=norm)
    kinds = [type(layer) for layer in network.modules() if "Norm" in type(layer).__name__]
    # Over channels too: the pooled mean, and for its sake where the pyramid is joined.
    grouped = 2 if norm == "instance" else 1
    if norm != "group":
        assert kinds.count(torch.nn.GroupNorm) == grouped
    assert kinds.count(kind) >= len(kinds) - grouped
    assert all(
        layer.weight is not None for layer in network.modules() if "Norm" in type(layer).__name__
    )


@pytest.mark.parametrize(
    ("channels", "groups"), [(1, 1), (3, 1), (8, 2), (30, 6), (32, 8), (48, 12), (256, 32)]
)
def test_group_count(channels: int, groups: int) -> None:
    assert group_count(channels) == groups


@pytest.mark.parametrize(
    ("output_stride", "steps"),
    [
        ((8, 8), [(2, 2)] * 3),
        ((4, 16, 16), [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]),
        ((1, 8, 2), [(1, 2, 1), (1, 2, 1), (1, 2, 2)]),
    ],
    ids=str,
)
def test_halving_steps(output_stride: tuple[int, ...], steps: list[tuple[int, ...]]) -> None:
    assert halving_steps(output_stride) == steps


def test_the_paper_s_encoder_has_the_size_of_resnet_101() -> None:
    """torchvision's resnet101 has 44,549,160 parameters, 2,049,000 of them in its classifier."""
    encoder = ResNetEncoder(
        Blocks(2, "batch", "relu"),
        3,
        kind="bottleneck",
        depths=(3, 4, 23, 3),
        channels=(64, 128, 256, 512),
        output_stride=(16, 16),
        multi_grid=(1, 2, 4),
    )
    assert sum(weight.numel() for weight in encoder.parameters()) == 44_549_160 - 2_049_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output_stride": 32}, "output_stride is 32: give 8 or 16"),
        ({"output_stride": [8, 8, 8]}, r"output_stride is \[8, 8, 8\]: give 8 or 16"),
        ({"output_stride": [6, 16]}, r"output_stride is \[6, 16\]: give 8 or 16"),
        ({"depths": [2, 2, 2]}, r"depths is \[2, 2, 2\]: give four whole numbers"),
        ({"depths": [2, 2, 2, 0]}, "depths is .*: give four whole numbers of 1 or more"),
        ({"multi_grid": []}, r"multi_grid is \[\]: give whole numbers of 1 or more"),
        ({"atrous_rates": [0]}, r"atrous_rates is \[0\]: give whole numbers of 1 or more"),
        ({"aspp_channels": 1}, "aspp_channels is 1: give 2 or more"),
        ({"block": "bottle"}, "block is 'bottle': give 'basic' or 'bottleneck'"),
        ({"norm": "layer"}, "norm is 'layer': give 'batch' or 'instance' or 'group'"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        build_network("deeplabv3plus", {**SMALL, "spatial_dims": 2, **change})
