"""Windows as MONAI and nnU-Net lay and weigh them: against MONAI and nnU-Net's formulas."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference
from scipy.ndimage import gaussian_filter
from torch import nn

from napari_monai.blending import Blender, carried_bytes
from napari_monai.sliding import Part, predict, predict_parts, tile, tile_whole
from napari_monai.tiling import plan

CPU = torch.device("cpu")
OVERLAPS = (0.0, 0.25, 0.5, 0.7)


def _network(dims: int, outputs: int = 3) -> nn.Module:
    """Return a random network whose outputs depend on where a window ends."""
    torch.manual_seed(dims)
    conv = nn.Conv2d if dims == 2 else nn.Conv3d
    layers = (conv(1, 4, 3, padding=1), nn.Tanh(), conv(4, outputs, 3, padding=1))
    return nn.Sequential(*layers).eval()


NETWORKS = {dims: _network(dims) for dims in (2, 3)}


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return an image and a window, the one smaller, equal or larger than the other."""
    dims = draw(st.sampled_from((2, 3)))
    longest = 30 if dims == 2 else 15
    shape = draw(st.lists(st.integers(1, longest), min_size=dims, max_size=dims))
    # A window of fewer voxels would move by less than one.
    window = [draw(st.one_of(st.just(max(4, n)), st.integers(4, longest // 2))) for n in shape]
    seed = draw(st.integers(0, 99))
    return np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32), tuple(window)


@settings(max_examples=150)
@given(images(), st.sampled_from(OVERLAPS), st.sampled_from(("gaussian", "constant")))
def test_logits_and_labels_are_those_of_monai(drawn, overlap, blend):
    array, window = drawn
    network = NETWORKS[len(window)]
    with torch.inference_mode():
        expected = sliding_window_inference(
            torch.from_numpy(array)[None], window, 3, network, overlap=overlap, mode=blend
        )[0].numpy()
    ours = predict(
        array,
        network,
        device=CPU,
        window=window,
        overlap=overlap,
        blend=blend,
        steps="monai",
        padding="zeros",
    )
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    np.testing.assert_array_equal(ours.argmax(0), expected.argmax(0))


def test_borders_are_repeated_as_monai_repeats_them():
    array = np.random.default_rng(0).normal(size=(1, 5, 11, 3)).astype(np.float32)
    told = {"overlap": 0.5, "mode": "gaussian", "padding_mode": "replicate"}
    with torch.inference_mode():
        inputs = torch.from_numpy(array)[None]
        expected = sliding_window_inference(inputs, (8, 6, 8), 3, NETWORKS[3], **told)[0]
    ours = predict(array, NETWORKS[3], device=CPU, window=(8, 6, 8), steps="monai", padding="edge")
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def _nnunet(array: np.ndarray, network: nn.Module, window: tuple[int, ...], step: float):
    """Return the mean of windows over all of an image, as nnU-Net's predictor has it.

    The importance is filtered in space and not axis by axis; weights are kept in float16 and sums
    in float32.
    """
    missing = [max(0, w - n) for n, w in zip(array.shape[1:], window, strict=True)]
    padded = np.pad(array, [(0, 0), *((m // 2, m - m // 2) for m in missing)])
    starts = []
    for n, w in zip(padded.shape[1:], window, strict=True):
        count = int(np.ceil((n - w) / (w * step))) + 1
        apart = (n - w) / max(1, count - 1)
        starts.append([int(np.round(apart * i)) for i in range(count)])
    weights = np.zeros(window)
    weights[tuple(w // 2 for w in window)] = 1
    weights = gaussian_filter(weights, [w / 8 for w in window], 0, mode="constant", cval=0)
    weights = torch.from_numpy(weights / (weights.max() / 10)).half()
    weights[weights == 0] = weights[weights != 0].min()
    total = torch.zeros(3, *padded.shape[1:])
    count = torch.zeros(padded.shape[1:])
    for corner in itertools.product(*starts):
        box = tuple(slice(a, a + w) for a, w in zip(corner, window, strict=True))
        with torch.inference_mode():
            out = network(torch.from_numpy(padded[(slice(None), *box)].copy())[None])[0]
        total[(slice(None), *box)] += out * weights.float()
        count[box] += weights.float()
    inside = (slice(m // 2, m // 2 + n) for n, m in zip(array.shape[1:], missing, strict=True))
    return (total / count)[(slice(None), *inside)].numpy()


@settings(max_examples=80)
@given(images(), st.sampled_from(OVERLAPS))
def test_logits_and_labels_are_those_of_nnunet(drawn, overlap):
    array, window = drawn
    network = NETWORKS[len(window)]
    expected = _nnunet(array, network, window, round(1 - overlap, 2))
    ours = predict(
        array,
        network,
        device=CPU,
        window=window,
        overlap=overlap,
        steps="nnunet",
        padding="zeros",
    )
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    np.testing.assert_array_equal(ours.argmax(0), expected.argmax(0))


@pytest.mark.parametrize(
    ("steps", "n", "window", "overlap", "starts"),
    [
        pytest.param("monai", 10, 4, 0.5, (0, 2, 4, 6), id="monai-fits"),
        pytest.param("monai", 9, 4, 0.25, (0, 3, 5), id="monai-last-one-moves-back"),
        pytest.param("monai", 9, 4, 0.0, (0, 4, 5), id="monai-no-overlap"),
        pytest.param("monai", 3, 4, 0.5, (0,), id="monai-smaller"),
        pytest.param("nnunet", 110, 64, 0.5, (0, 23, 46), id="nnunet-evenly"),
        pytest.param("nnunet", 9, 4, 0.5, (0, 2, 3, 5), id="nnunet-rounded"),
        pytest.param("nnunet", 11, 4, 0.5, (0, 2, 4, 5, 7), id="nnunet-halves-to-even"),
        pytest.param("nnunet", 40, 10, 0.7, tuple(range(0, 31, 3)), id="nnunet-step-of-0.3"),
        pytest.param("nnunet", 4, 4, 0.5, (0,), id="nnunet-one-window"),
    ],
)
def test_starts(steps, n, window, overlap, starts):
    assert plan((n,), (window,), overlap=overlap, steps=steps).starts == (starts,)


@pytest.mark.parametrize("steps", ["monai", "nnunet"])
def test_the_window_stays_and_a_small_image_lies_in_the_middle_of_zeros(steps):
    tiling = plan((3, 9), (6, 6), steps=steps, padding="zeros")
    assert (tiling.window, tiling.padding) == ((6, 6), ((1, 2), (0, 0)))
    padded = tiling.pad(np.ones((3, 9)))
    assert padded.shape == (6, 9)
    np.testing.assert_array_equal(padded.sum(axis=1), [0, 9, 9, 9, 0, 0])


@pytest.mark.parametrize("steps", ["monai", "nnunet"])
def test_slices_of_a_volume_are_weighed_as_pictures(steps):
    volume = np.random.default_rng(0).normal(size=(1, 3, 20, 17)).astype(np.float32)
    told = {"device": CPU, "window": (8, 8), "steps": steps, "padding": "zeros"}
    assert tile((3, 20, 17), (8, 8), steps=steps).starts[0] == (0, 1, 2)
    together = predict(volume, NETWORKS[2], **told)
    for z in range(3):
        alone = predict(volume[:, z], NETWORKS[2], **told)
        np.testing.assert_allclose(together[:, z], alone, atol=1e-6)


@pytest.mark.parametrize("steps", ["monai", "nnunet"])
def test_no_more_is_held_than_windows_share_and_what_they_weigh(steps):
    told = {"overlap": 0.25, "blend": "gaussian"}
    even = plan((40, 48, 56), (16, 16, 16), **told)
    tiling = plan((40, 48, 56), (16, 16, 16), steps=steps, **told)
    held = sum(c.numel() * c.element_size() for c in Blender(tiling, 3, CPU).carried)
    assert held == carried_bytes(tiling, 3, probabilities=True)
    # A channel more; and MONAI's last window may share more than the others.
    assert held < 2 * 4 / 3 * carried_bytes(even, 3, probabilities=True)


@pytest.mark.parametrize("shape", [(5, 7), (3, 12, 9), (8, 8)], ids=str)
def test_a_whole_image_is_one_window(shape):
    tiling = tile_whole(shape, 2, size_multiple=(4, 8), padding="zeros")
    sides = tuple(-(-n // m) * m for n, m in zip(shape[-2:], (4, 8), strict=True))
    assert tiling.window == (1,) * (len(shape) - 2) + sides
    assert tiling.total == int(np.prod(shape[:-2]))


# -- logits ----------------------------------------------------------------------------------------


def _parts(array, networks, tiling, dims, **told):
    maps = None
    for part in predict_parts(array, networks, tiling, device=CPU, spatial_dims=dims, **told):
        if isinstance(part, Part):
            if maps is None:
                maps = np.full((len(part.values), *tiling.shape), np.nan, np.float32)
            maps[(slice(None), *part.box)] = part.values
    return maps


def test_raw_outputs_of_networks_and_mirrored_copies_are_averaged_before_the_activation():
    array = np.random.default_rng(1).normal(size=(1, 8, 10)).astype(np.float32)
    networks = [_network(2), nn.Sequential(_network(2), nn.Conv2d(3, 3, 1))]
    tiling = tile((8, 10), (8, 10))
    expected, probabilities = [], []
    for network, axes in itertools.product(networks, [(), (2,)]):
        flipped = torch.from_numpy(np.flip(array, axes).copy())[None]
        with torch.inference_mode():
            out = network(flipped)[0]
        expected.append(np.flip(out.numpy(), axes))
        probabilities.append(np.flip(out.softmax(0).numpy(), axes))
    maps = _parts(
        array, networks, tiling, 2, activation=("softmax",), raw=True, flips=(1,), spread=True
    )
    np.testing.assert_allclose(maps[:3], np.mean(expected, axis=0), atol=1e-6)
    np.testing.assert_allclose(maps[3], np.var(probabilities, axis=0).sum(0), atol=1e-6)


def test_channels_are_selected_before_the_activation():
    array = np.random.default_rng(1).normal(size=(1, 6, 6)).astype(np.float32)
    tiling = tile((6, 6), (6, 6))
    maps = _parts(array, NETWORKS[2], tiling, 2, activation=("softmax",), select=(2, 0))
    with torch.inference_mode():
        expected = NETWORKS[2](torch.from_numpy(array)[None])[0][[2, 0]].softmax(0)
    np.testing.assert_allclose(maps, expected.numpy(), atol=1e-6)
