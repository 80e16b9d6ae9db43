"""A network whose answer is known: it finds what is brighter than half."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from napari_monai.models import (
    Inferer,
    Inputs,
    Model,
    ModelDescription,
    NetworkSpec,
    Operation,
    Outputs,
    save_model,
)
from napari_monai.networks import build_network
from napari_monai.volume import LabelClass

GAIN = 20.0


def bright_model(folder: Path, *, kind: str = "classes", dims: int = 2) -> Model:
    """Write a model whose second channel (or foreground) is a logit of brightness over 127.

    The network is a U-Net with all weights zero but those that pass the input through.
    """
    arguments = {
        "spatial_dims": dims,
        "in_channels": 1,
        "out_channels": 2,
        "channels": [1, 1],
        "strides": [1],
        "num_res_units": 0,
        "act": None,
        "norm": None,
    }
    network = build_network("unet", arguments)
    state = {name: torch.zeros_like(t) for name, t in network.state_dict().items()}
    first, _, last = (name for name in state if name.endswith("weight"))
    centre = (1,) * dims
    state[first][(0, 0, *centre)] = 1.0
    if kind == "classes":
        outputs = Outputs("classes", ("background", "bright"), ("softmax",))
        bright, labels, after = 1, (LabelClass(1, "bright", "#ff0000"),), ()
    else:
        outputs = Outputs("instances", ("foreground", "distance"), ("sigmoid", "identity"))
        bright, labels, after = 0, (LabelClass(1, "blob"),), (Operation("instances", {}),)
        state[last][(0, 1, *centre)] = 1.0  # a transposed convolution: (in, out, ...)
    state[last][(0, bright, *centre)] = GAIN
    state[last.replace("weight", "bias")][bright] = -GAIN / 2
    limits = {"a_min": 0.0, "a_max": 255.0, "b_min": 0.0, "b_max": 1.0, "clip": True}
    description = ModelDescription(
        name=folder.name,
        title="Finds what is bright",
        version="1.0",
        description="A test of the command line.",
        licence="CC0-1.0",
        network=NetworkSpec("unet", arguments),
        inputs=Inputs(("intensity",), dims),
        preprocess=(Operation("scale_range", limits),),
        inferer=Inferer((16,) * dims, overlap=0.25),
        outputs=outputs,
        labels=labels,
        postprocess=after,
    )
    return save_model(folder, description, state)


def save_png(path: Path, array: np.ndarray) -> Path:
    """Write an array as 8-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)
    return path


def squares(shape: tuple[int, int] = (24, 36), corners: tuple[tuple[int, int], ...] = ()):
    """Return labels 1..n of 6 x 6 squares with their first voxels at ``corners``."""
    labels = np.zeros(shape, np.uint8)
    for number, (y, x) in enumerate(corners, 1):
        labels[y : y + 6, x : x + 6] = number
    return labels
