"""Our sliding window against MONAI's: ``python tests/benchmarks/inference.py [--size 192]``.

Both run the same networks over the same windows of the same volume, alternately, in one process; a
line for each network. MONAI's runs as it does by default, in float32. Beside it stands what the
forward passes of all windows take by themselves, in the number format that ours takes. The
networks are trained for some steps first: what a network of random weights says is so undecided
that any rounding turns it over.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.networks.nets import DynUNet, SegResNet, UNet

from napari_monai.devices import pick_device, pick_precision
from napari_monai.sliding import Part, predict_parts, tile
from napari_monai.ways import Way, formed
from napari_monai.windows import Windows

ROI, OVERLAP, CLASSES = 96, 0.25, 3
# Training: most steps, side of the patches, most seconds.
STEPS, PATCH, SECONDS = 300, 48, 60


def networks() -> dict[str, torch.nn.Module]:
    """Return the networks, with random weights."""
    torch.manual_seed(0)
    kernels = [3, 3, 3, 3, 3]
    strides = [1, 2, 2, 2, 2]
    return {
        "UNet": UNet(3, 1, CLASSES, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2),
        "SegResNet": SegResNet(3, in_channels=1, out_channels=CLASSES, init_filters=16),
        "DynUNet": DynUNet(
            3, 1, CLASSES, kernels, strides, strides[1:], filters=[16, 32, 64, 128, 256]
        ),
    }


def volume(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return blobs of three textures, (1, size, size, size), and which are where.

    Textures, and not levels: networks with instance norm do not see the level of a window.
    """
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.normal(size=(1, 1, *(max(3, size // 64),) * 3)))
    fine = torch.nn.functional.interpolate(coarse, size=(size,) * 3, mode="trilinear")[0, 0]
    kinds = np.digitize(fine.numpy(), (-0.4, 0.4))
    z, _, x = np.ogrid[:size, :size, :size]
    waves = np.stack(np.broadcast_arrays(np.sin(1.5 * z), 0, np.sin(1.5 * x)))
    image = np.take_along_axis(waves, kinds[None], axis=0)
    return (image + rng.normal(scale=0.1, size=image.shape)).astype(np.float32), kinds


def train(network: torch.nn.Module) -> None:
    """Train a network to tell the kinds."""
    image, kinds = (torch.from_numpy(a)[None] for a in volume(3 * PATCH, seed=1))
    rng = np.random.default_rng(2)
    optimizer = torch.optim.Adam(network.parameters())
    begun, step, left = time.perf_counter(), 0, 1.0
    while left > 0:
        optimizer.param_groups[0]["lr"] = 3e-3 * left
        box = tuple(slice(a, a + PATCH) for a in rng.integers(0, 2 * PATCH, 3))
        loss = torch.nn.functional.cross_entropy(network(image[:, :, *box]), kinds[:, *box])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        left = 1 - max(step / STEPS, (time.perf_counter() - begun) / SECONDS)


def ours(array: np.ndarray, network: torch.nn.Module, device: torch.device) -> np.ndarray:
    """Return the labels from our engine."""
    tiling = tile(array.shape[1:], (ROI,) * 3, overlap=OVERLAP, steps="monai", padding="zeros")
    labels = np.zeros(array.shape[1:], np.uint8)
    for event in predict_parts(
        array,
        network,
        tiling,
        device=device,
        spatial_dims=3,
        activation=("softmax",),
        raw=True,
        precision="auto",
        finish=lambda _box, maps: [maps.max(0).indices.to(torch.uint8)],
    ):
        if isinstance(event, Part):
            labels[event.box] = event.results[0]
    return labels


def monais(array: np.ndarray, network: torch.nn.Module, device: torch.device) -> np.ndarray:
    """Return the labels from MONAI's inferer."""
    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(array)[None].to(device),
            (ROI,) * 3,
            1,
            network,
            overlap=OVERLAP,
            mode="gaussian",
        )
        found: np.ndarray = logits.argmax(1)[0].to(torch.uint8).cpu().numpy()
        return found


def timed(call: Callable[[], np.ndarray], device: torch.device) -> tuple[float, np.ndarray]:
    """Return the seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


@torch.inference_mode()
def bare(array: np.ndarray, network: torch.nn.Module, device: torch.device) -> float:
    """Return the seconds of the forward passes of all windows alone, in the better layout."""
    dtype = pick_precision(device)
    windows = Windows(array, tile(array.shape[1:], (ROI,) * 3, overlap=OVERLAP, steps="monai"))
    spent = []
    for way in (Way(dtype), Way(dtype, channels_last=True)):
        form, layout = formed(network, way, 3), way.layout(3)
        batches = [
            torch.from_numpy(windows[i][None].copy()).to(device).contiguous(memory_format=layout)
            for i in range(windows.tiling.total)
        ]
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            form(batches[0])
            start = time.perf_counter()
            for batch in batches:
                form(batch)
        if device.type == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - start)
    return min(spent)


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=192, help="side of the volume in voxels")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--networks", nargs="*", default=list(networks()))
    args = parser.parse_args()
    device = pick_device("auto")
    array, kinds = volume(args.size)
    for name, network in networks().items():
        if name not in args.networks:
            continue
        train(network)
        network = network.eval().to(device)
        ours(array, network, device)  # finds the fastest way, once a network
        mine, theirs = [], []
        for _ in range(args.repeats):
            seconds, labels = timed(lambda: ours(array, network, device), device)  # noqa: B023
            mine.append(seconds)
            seconds, other = timed(lambda: monais(array, network, device), device)  # noqa: B023
            theirs.append(seconds)
        forwards = min(bare(array, network, device) for _ in range(args.repeats))
        print(
            f"{name}: {args.size}^3 on {device}, ours {min(mine):.2f} s, MONAI "
            f"{min(theirs):.2f} s, {statistics.median(theirs) / statistics.median(mine):.2f} times "
            f"as fast, {100 * (labels == other).mean():.3f} % of the labels equal (right: "
            f"{100 * (labels == kinds).mean():.2f} %), {min(mine) / forwards:.3f} of the forward "
            "passes alone",
            flush=True,
        )


if __name__ == "__main__":
    main()
