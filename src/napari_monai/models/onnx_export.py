"""Models to ONNX files, each compared with the network that it came from before it is kept."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn.modules.instancenorm import _InstanceNorm

from ..errors import ModelError, WriteError
from .archive import file_sha256
from .compare import check_same, examples
from .description import ModelDescription
from .formats import need
from .onnx import NETWORK
from .onnx_run import OnnxNetwork
from .parts import Inputs, NetworkSpec, WeightsFile
from .store import Model

OPSET = 17


def export(model: Model, target: Path, *, fold: int | None = None) -> Path:
    """Write a model as an ONNX file, with its description beside it, and return the file's path.

    The file takes images of any size where the network does, and of the size of the model's
    window otherwise. It is run and compared with the network before it is kept.

    Parameters
    ----------
    model
        Of any format that is run by torch.
    target
        The file, ``network.onnx``; its description becomes ``network.json``.
    fold
        Which network of an ensemble.

    Raises
    ------
    ModelError
        If ONNX has no word for something in the network, or the file gives other outputs.
    WriteError
        If the file cannot be written.
    """
    path = target.with_suffix(".onnx")
    description = model.description
    if fold is None and model.folds > 1:
        raise ModelError(f"{model.name} has {model.folds} networks: choose one by its fold.")
    network = model.load_networks()[fold or 0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
            made = Path(folder) / path.name
            inputs = write_graph(network, description, made)
            described = dataclasses.replace(
                description,
                network=NetworkSpec(NETWORK, {}, source=NETWORK),
                weights=(WeightsFile(path.name, file_sha256(made), loader="onnx"),),
                inputs=inputs,
                trust="data_only",
            )
            text = json.dumps(described.to_json(), indent=2, ensure_ascii=False) + "\n"
            made.with_suffix(".json").write_text(text, encoding="utf-8")
            os.replace(made, path)
            os.replace(made.with_suffix(".json"), path.with_suffix(".json"))
    except OSError as error:
        raise WriteError(f"{path} cannot be written ({error.strerror or error}).") from None
    return path


def write_graph(network: torch.nn.Module, description: ModelDescription, file: Path) -> Inputs:
    """Write a network to an ONNX file; return what the file takes, whose sizes may be fewer.

    Raises ModelError where that fails or the outputs differ from the network's.
    """
    need("onnxruntime", NETWORK)
    need("onnx", NETWORK)
    reason = ""
    for images, inputs in examples(description, network):
        try:
            _trace(network, images[0], file, free=not inputs.fixed_size)
            check_same(network, OnnxNetwork(file), images)
        except ModelError as error:
            reason = str(error)
        else:
            return inputs
    raise ModelError(f"{description.name} cannot be written as ONNX: {reason}")


def _trace(network: torch.nn.Module, example: torch.Tensor, file: Path, *, free: bool) -> None:
    axes = {0: "batch"} | ({2 + i: f"side{i}" for i in range(example.ndim - 2)} if free else {})
    try:
        with torch.inference_mode(False), torch.no_grad(), _quiet():
            torch.onnx.export(
                _told(network),
                (example,),
                str(file),
                # The newer exporter fixes sizes that MONAI's networks work out from their input.
                dynamo=False,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["logits"],
                dynamic_axes={"image": axes, "logits": axes},
            )
    except Exception as error:  # each operation that it cannot write has an error of its own
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(line.partition(" [Caused by")[0][:300]) from None


def _told(network: torch.nn.Module) -> torch.nn.Module:
    """Return a network whose instance norms have weights, of 1 if they had none.

    Without weights the exporter wants to know how many channels there are, and does not always
    find out.
    """
    plain = [m for m in network.modules() if isinstance(m, _InstanceNorm) and not m.affine]
    if not plain:
        return network
    made = copy.deepcopy(network)
    for layer in made.modules():
        if isinstance(layer, _InstanceNorm) and not layer.affine:
            layer.weight = torch.nn.Parameter(torch.ones(layer.num_features))
            layer.bias = torch.nn.Parameter(torch.zeros(layer.num_features))
    return made


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks, about its own age and constant sizes, from the user."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
