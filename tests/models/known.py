"""Models whose answer is known: a voxel is foreground when its value is above a threshold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from napari_monai.models import (
    Inferer,
    Inputs,
    Model,
    ModelDescription,
    NetworkSpec,
    Operation,
    Outputs,
    WeightsFile,
    save_model,
)
from napari_monai.networks import build_network
from napari_monai.volume import LabelClass


def arguments(dims: int = 2, channels: int = 1, outputs: int = 2) -> dict[str, Any]:
    """Return the smallest U-Net: a convolution in, one in the middle, one out."""
    return {
        "spatial_dims": dims,
        "in_channels": channels,
        "out_channels": outputs,
        "channels": [1, 1],
        "strides": [1],
        "num_res_units": 0,
        "act": None,
        "norm": None,
    }


def description(dims: int = 2, channels: int = 1, **changes: Any) -> ModelDescription:
    """Return the description of a two-class model of so many input channels."""
    made = ModelDescription(
        name="bright",
        title="Finds what is bright",
        version="1.0",
        description="For tests.",
        licence="CC0-1.0",
        network=NetworkSpec("unet", arguments(dims, channels)),
        inputs=Inputs(tuple(f"c{i}" for i in range(channels)), dims),
        inferer=Inferer((8,) * dims),
        outputs=Outputs("classes", ("background", "bright"), ("softmax",)),
        labels=(LabelClass(1, "bright", "#ff0000"),),
    )
    return replace(made, **changes)


INSTANCES: dict[str, Any] = {
    "outputs": Outputs("instances", ("foreground", "distance"), ("sigmoid", "identity")),
    "labels": (LabelClass(1, "blob"),),
    "postprocess": (Operation("instances", {"smoothing": 0.0, "min_size": 0.0}),),
}


def touching_instances(dims: int = 2, channels: int = 1) -> dict[str, Any]:
    """Return what describes a model of objects that says where they touch, too."""
    told, activation = ("foreground", "distance", "touching"), ("sigmoid", "identity", "sigmoid")
    return {
        **INSTANCES,
        "network": NetworkSpec("unet", arguments(dims, channels, 3)),
        "outputs": Outputs("instances", told, activation),
    }


def threshold_model(
    folder: Path,
    *,
    threshold: float,
    weights: Sequence[float] = (1.0,),
    gain: float = 4.0,
    dims: int = 2,
    **changes: Any,
) -> Model:
    """Write a model of the logit ``gain * (sum of weighted channels - threshold)``.

    Its second channel under a softmax, its first one otherwise; the distance of instances is the
    weighted sum itself, and they touch wherever the foreground is unlikely.
    """
    told = description(dims, len(weights), **changes)
    outputs = told.outputs
    network = build_network("unet", told.network.arguments)
    state = {name: torch.zeros_like(t) for name, t in network.state_dict().items()}
    first, _, last = (name for name in state if name.endswith("weight"))
    centre = (1,) * dims
    for channel, weight in enumerate(weights):
        state[first][(0, channel, *centre)] = weight
    logit = 1 if outputs.softmax else 0
    state[last][(0, logit, *centre)] = gain  # a transposed convolution: (in, out, ...)
    state[last.replace("weight", "bias")][logit] = -gain * threshold
    if outputs.kind == "instances":
        state[last][(0, 1, *centre)] = 1.0
    if "touching" in outputs.channels:
        state[last][(0, 2, *centre)] = -gain
        state[last.replace("weight", "bias")][2] = gain * threshold
    return save_model(folder, told, state)


def random_model(
    folder: Path,
    *,
    dims: int = 2,
    network_arguments: dict[str, Any] | None = None,
    **changes: Any,
) -> Model:
    """Write a model with random weights and a real receptive field."""
    told = {**arguments(dims), "channels": [4, 8], "strides": [2], "num_res_units": 1}
    spec = NetworkSpec("unet", network_arguments or {**told, "act": "relu", "norm": "batch"})
    torch.manual_seed(0)
    network = build_network(spec.name, spec.arguments)
    inputs = Inputs(("c0",), dims, size_multiple=2)
    return save_model(
        folder,
        description(dims, **{"network": spec, "inputs": inputs, **changes}),
        network.state_dict(),
    )


def with_checkpoint(
    model: Model, held: Any, *, key: str = "", prefix: str = "", loader: Any = "torch"
) -> Model:
    """Return a model whose weights are a checkpoint of ``torch.save``, or its very bytes."""
    file = model.folder / "checkpoint.pth"
    if isinstance(held, bytes):
        file.write_bytes(held)
    else:
        torch.save(held, file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    weights = WeightsFile(file.name, sha256, loader, key, prefix)
    return replace(model, description=replace(model.description, weights=(weights,)))
