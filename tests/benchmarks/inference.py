"""Our sliding window against MONAI's: ``python tests/benchmarks/inference.py [--size 192]``.

Both run the same networks over the same volume with the same windows, alternately, in one
process; a line for each network. MONAI's runs as it does by default, in float32.
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

from napari_monai.devices import pick_device
from napari_monai.sliding import Part, predict_parts, tile

ROI, OVERLAP, CLASSES = 96, 0.25, 3


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


def volume(size: int) -> np.ndarray:
    """Return smooth blobs, (1, size, size, size)."""
    coarse = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 24, 24, 24)))
    fine = torch.nn.functional.interpolate(coarse, size=(size,) * 3, mode="trilinear")
    return fine[0].numpy().astype(np.float32)


def ours(array: np.ndarray, network: torch.nn.Module, device: torch.device) -> np.ndarray:
    """Return the labels from our engine."""
    tiling = tile(array.shape[1:], (ROI,) * 3, overlap=OVERLAP)
    labels = np.zeros(array.shape[1:], np.uint8)
    for event in predict_parts(
        array,
        network,
        tiling,
        device=device,
        spatial_dims=3,
        activation=("softmax",),
        precision="auto",
        finish=lambda _box, maps: [maps.argmax(0).to(torch.uint8)],
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


def forward(array: np.ndarray, network: torch.nn.Module, device: torch.device) -> float:
    """Return the seconds of the bare forward passes of our windows, as our engine runs them."""
    spent = 0.0

    def before(*_: object) -> None:
        nonlocal spent
        if device.type == "cuda":
            torch.cuda.synchronize()
        spent -= time.perf_counter()

    def after(*_: object) -> None:
        nonlocal spent
        if device.type == "cuda":
            torch.cuda.synchronize()
        spent += time.perf_counter()

    hooks = [network.register_forward_pre_hook(before), network.register_forward_hook(after)]
    ours(array, network, device)
    for hook in hooks:
        hook.remove()
    return spent


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=192, help="side of the volume in voxels")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--networks", nargs="*", default=list(networks()))
    args = parser.parse_args()
    device = pick_device("auto")
    array = volume(args.size)
    for name, network in networks().items():
        if name not in args.networks:
            continue
        network = network.eval().to(device)
        ours(array[:, :ROI, :ROI, :ROI], network, device)  # compares precisions, once a network
        mine, theirs = [], []
        for _ in range(args.repeats):
            seconds, labels = timed(lambda: ours(array, network, device), device)  # noqa: B023
            mine.append(seconds)
            seconds, other = timed(lambda: monais(array, network, device), device)  # noqa: B023
            theirs.append(seconds)
        total, _ = timed(lambda: ours(array, network, device), device)  # noqa: B023
        bare = forward(array, network, device)
        print(
            f"{name}: {args.size}^3 on {device}, ours {min(mine):.2f} s, MONAI "
            f"{min(theirs):.2f} s, {statistics.median(theirs) / statistics.median(mine):.2f} times "
            f"as fast, {100 * (labels == other).mean():.3f} % of the labels equal, "
            f"{total / bare:.3f} of the forward passes",
            flush=True,
        )


if __name__ == "__main__":
    main()
