"""Models to BioImage.IO packages: a zip with weights, test tensors, cover, README and description.

The network is written as ONNX and, where it is one of MONAI's, as a state dict too. What
BioImage.IO has no word for, such as resampling before and objects after the network, is told in
the README, and kept in the description's ``config`` for napari-monai to read again.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter

from ..errors import ModelError, WriteError
from ..runner import activated
from .archive import extract, file_sha256
from .bioimageio import first_error, read
from .bioimageio_card import card, channel_names, cover, readme
from .bioimageio_steps import written
from .compare import check_same, examples, first
from .description import ModelDescription
from .formats import need
from .onnx_export import OPSET, write_graph
from .parts import Inputs, NetworkSpec
from .store import Model
from .tested import prepared

# Sides of the test image, and the least that the package says it takes.
_SIDE = {2: 256, 3: 64}
_LEAST = {2: 64, 3: 32}
# Networks of MONAI's that are padded within here need sizes of this multiple by themselves.
_MULTIPLE = 32


def export(model: Model, target: Path, *, fold: int | None = None) -> Path:
    """Write a model as a BioImage.IO package of format 0.5, and return the zip's path.

    The package is read again, and its outputs compared with the model's, before it is kept.

    Parameters
    ----------
    model
        The model.
    target
        The file, ``name.zip``.
    fold
        Which network of an ensemble: a package holds one.

    Raises
    ------
    ModelError
        For an ensemble without a choice, a network that ONNX has no word for, or without the
        extras ``onnx`` and ``bioimageio``.
    WriteError
        If the file cannot be written.
    """
    library = need("bioimageio.spec", "bioimageio")
    path = target if target.suffix == ".zip" else target.with_name(f"{target.name}.zip")
    if fold is None and model.folds != 1:
        raise ModelError(f"{model.name} has {model.folds} networks: choose one by its fold.")
    network = model.load_networks()[fold or 0]
    if model.description.outputs.select:
        network = _Selecting(network, model.description.outputs.select)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
            stage = Path(folder)
            values = _write_files(model.description, network, stage)
            packed = stage / "packed.zip"
            _pack(library, values, stage, packed)
            _check(packed, network)
            os.replace(packed, path)
    except OSError as error:
        raise WriteError(f"{path} cannot be written ({error.strerror or error}).") from None
    return path


def _write_files(
    description: ModelDescription, network: torch.nn.Module, stage: Path
) -> dict[str, Any]:
    """Write all files but the description; return that."""
    graph = stage / "weights.onnx"
    inputs = write_graph(network, description, graph)
    weights: dict[str, Any] = {
        "onnx": {"source": graph.name, "sha256": file_sha256(graph), "opset_version": OPSET}
    }
    if not description.outputs.select:
        weights |= _state_dict(description, network, stage)
    spatial = "zyx"[-description.inputs.spatial_dims :]
    steps, rest = written(description.preprocess, spatial)
    image, maps = _test(description, network, inputs)
    np.save(stage / "test_input.npy", image[None])
    np.save(stage / "test_output.npy", maps[None])
    cover(image, maps).save(stage / "cover.png")
    (stage / "README.md").write_text(readme(description, rest), encoding="utf-8")
    plain = dataclasses.replace(
        description,
        network=NetworkSpec("onnx", {}, source="onnx"),
        weights=(),
        trust="data_only",
        tests=(),
    )
    return {
        **card(description),
        "inputs": [_input(description, inputs, steps)],
        "outputs": [_output(description)],
        "weights": weights,
        "config": {"napari_monai": plain.to_json()},
    }


class _Selecting(torch.nn.Module):
    """A network with some of its channels."""

    def __init__(self, network: torch.nn.Module, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.channels = list(channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the chosen channels."""
        return first(self.network(images))[:, self.channels]


def _state_dict(
    description: ModelDescription, network: torch.nn.Module, stage: Path
) -> dict[str, Any]:
    """Write the weights as a state dict where MONAI has the very class; return their entry."""
    made = _monai(description, network)
    if made is None:
        return {}
    name, arguments = made
    file = stage / "weights.pt"
    torch.save(network.state_dict(), file)
    return {
        "pytorch_state_dict": {
            "source": file.name,
            "sha256": file_sha256(file),
            "pytorch_version": torch.__version__.partition("+")[0],
            "architecture": {
                "import_from": "monai.networks.nets",
                "callable": name,
                "kwargs": arguments,
            },
        }
    }


def _input(description: ModelDescription, inputs: Inputs, steps: list[Any]) -> dict[str, Any]:
    spatial = "zyx"[-inputs.spatial_dims :]
    sizes: list[Any] = []
    for side, multiple in zip(_sides(description, inputs), inputs.multiples, strict=True):
        least = -(-_LEAST[inputs.spatial_dims] // multiple) * multiple
        sizes.append(side if inputs.fixed_size else {"min": least, "step": multiple})
    return {
        "id": "image",
        "description": ", ".join(inputs.channels),
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": channel_names(inputs.channels)},
            *({"type": "space", "id": a, "size": s} for a, s in zip(spatial, sizes, strict=True)),
        ],
        "data": {"type": "float32"},
        "test_tensor": {"source": "test_input.npy"},
        "preprocessing": steps,
    }


def _output(description: ModelDescription) -> dict[str, Any]:
    outputs = description.outputs
    spatial = "zyx"[-description.inputs.spatial_dims :]
    final = _final(description)
    kind = "probabilities" if final else "logits"
    steps = [{"id": "softmax", "kwargs": {"axis": "channel"}}] if final == "softmax" else []
    if final == "sigmoid":
        steps = [{"id": "sigmoid"}]
    return {
        "id": kind,
        "description": f"{kind} of {', '.join(outputs.channels)}",
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": channel_names(outputs.channels)},
            *(
                {"type": "space", "id": a, "size": {"tensor_id": "image", "axis_id": a}}
                for a in spatial
            ),
        ],
        "data": {"type": "float32"},
        "test_tensor": {"source": "test_output.npy"},
        "postprocessing": steps,
    }


def _final(description: ModelDescription) -> str:
    """Return the activation; none where channels differ in it, which BioImage.IO cannot say."""
    kinds = set(description.outputs.activation)
    return kinds.pop() if len(kinds) == 1 and "identity" not in kinds else ""


def _sides(description: ModelDescription, inputs: Inputs) -> list[int]:
    """Return the sides of the test image."""
    if inputs.fixed_size:
        steps = inputs.multiples
        return [-(-n // m) * m for n, m in zip(description.inferer.window, steps, strict=True)]
    return [-(-_SIDE[inputs.spatial_dims] // m) * m for m in inputs.multiples]


def _test(
    description: ModelDescription, network: torch.nn.Module, inputs: Inputs
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return an image, (channel, *spatial), and what the package makes of it."""
    spatial = "zyx"[-inputs.spatial_dims :]
    told = tuple(op for op in description.preprocess if not written([op], spatial)[1])
    image = _blobs(description, _sides(description, inputs))
    array = prepared(image, dataclasses.replace(description, preprocess=told))
    activation = description.outputs.activation if _final(description) else ()
    with torch.inference_mode():
        out = first(network(torch.from_numpy(array)[None]))
        maps: npt.NDArray[np.float32] = activated(out, activation)[0].numpy()
    return image, maps


def _blobs(description: ModelDescription, sides: list[int]) -> npt.NDArray[np.float32]:
    """Return an image of soft blobs, in the range of values that the model expects."""
    low, high = 0.0, 255.0
    for operation in description.preprocess:
        if operation.name == "scale_range":
            low, high = operation.parameters["a_min"], operation.parameters["a_max"]
    noise = np.random.default_rng(0).standard_normal((len(description.inputs.channels), *sides))
    soft: npt.NDArray[np.float64] = gaussian_filter(noise, (0, *(3.0,) * len(sides)))
    soft = (soft - soft.min()) / np.ptp(soft)
    return (low + (high - low) * soft).astype(np.float32)


def _monai(
    description: ModelDescription, network: torch.nn.Module
) -> tuple[str, dict[str, Any]] | None:
    """Return MONAI's class and arguments of a network, where that class gives the same outputs."""
    kinds = [c for c in type(network).__mro__ if c.__module__.startswith("monai.networks.nets")]
    if not kinds or description.network.source != "table":
        return None
    cls = kinds[0]
    known = inspect.signature(cls).parameters
    arguments = {k: v for k, v in description.network.arguments.items() if k in known}
    try:
        plain = cls(**arguments)
        plain.load_state_dict(network.state_dict())
        for images, inputs in examples(description):
            if any(m % _MULTIPLE for m in inputs.multiples) and not inputs.fixed_size:
                continue
            check_same(network, plain.eval(), images)
            return cls.__name__, arguments
    except Exception:  # whatever its constructor refuses: ONNX is there too
        return None
    return None


def _pack(library: ModuleType, values: dict[str, Any], stage: Path, packed: Path) -> None:
    """Write the zip, as bioimageio.spec wants it."""
    importlib.import_module("loguru").logger.disable("bioimageio")
    with (
        warnings.catch_warnings(),
        library.ValidationContext(root=stage, file_name="bioimageio.yaml", perform_io_checks=False),
    ):
        warnings.simplefilter("ignore")
        made = library.build_description(values, format_version="latest")
        if isinstance(made, library.InvalidDescr):
            raise ModelError(f"BioImage.IO does not take the model: {first_error(made)}")
        library.save_bioimageio_package(made, output_path=packed, local_files_only=True)


def _check(packed: Path, network: torch.nn.Module) -> None:
    """Raise ModelError unless the package gives the network's outputs when it is read again."""
    with tempfile.TemporaryDirectory(dir=packed.parent) as folder:
        extract(packed, Path(folder))
        again = read(Path(folder))
        images, _ = next(examples(again.description))
        check_same(network, again.load_network(), images)
