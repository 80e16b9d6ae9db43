"""TorchScript archives run and written; running them runs their code.

Only `napari_monai.models.trust` says whether that may be.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch

from ..errors import ModelError, WriteError
from . import trust
from .adapt import Adapted
from .compare import check_same, examples
from .description import ModelDescription
from .parts import Inputs, NetworkSpec
from .store import Model
from .torchscript import DESCRIPTION, NETWORK
from .weights import checked_content


def load_network(
    model: Model, device: str | torch.device = "cpu", *, fold: int = 0
) -> torch.nn.Module:
    """Return the network of a model whose weights are a TorchScript archive.

    Raises
    ------
    TrustError
        Without the user's consent for this very file, whatever its description says of trust.
    ModelError
        If the file is not the one that the description names, or torch does not take it.
    """
    description = dataclasses.replace(model.description, trust="native_code")
    trust.require(dataclasses.replace(model, description=description))
    content = checked_content(model, fold)
    try:
        graph = _loaded(content)
    except (RuntimeError, ValueError) as error:
        file = model.folder / description.weights[fold].path
        raise ModelError(f"torch does not take {file}: {_line(error)}") from None
    made = Adapted(
        Archive(graph),
        description.network.graph,
        spatial_dims=description.inputs.spatial_dims,
        activation=description.outputs.activation,
    )
    return made.eval().float().to(device)


class Archive(torch.nn.Module):
    """A TorchScript module as a plain one without parts: those of its own take no hooks."""

    def __init__(self, graph: Any) -> None:
        super().__init__()
        self._held = [graph]

    def forward(self, images: torch.Tensor) -> Any:
        """Return what the archive gives."""
        return self._held[0](images)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the archive too."""
        self._held[0].train(mode)
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self._held[0]._apply(fn)
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]


def export(model: Model, target: Path, *, fold: int | None = None) -> Path:
    """Write a model as a TorchScript archive that describes itself, and return its path.

    The network is scripted where torch can, which keeps what depends on the image, and traced
    at its window otherwise. The archive is run and compared with the network before it is kept.

    Raises ModelError where neither works or the outputs differ, WriteError if the file cannot be
    written.
    """
    path = target if target.suffix in (".pt", ".ts") else target.with_suffix(".pt")
    description = model.description
    if fold is None and model.folds > 1:
        raise ModelError(f"{model.name} has {model.folds} networks: choose one by its fold.")
    network = model.load_networks()[fold or 0]
    content = archive(network, description)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
            made = Path(folder) / path.name
            made.write_bytes(content)
            os.replace(made, path)
    except OSError as error:
        raise WriteError(f"{path} cannot be written ({error.strerror or error}).") from None
    return path


def archive(network: torch.nn.Module, description: ModelDescription) -> bytes:
    """Return a network as a TorchScript archive that describes itself.

    Raises ModelError where torch can neither script nor trace it.
    """
    reason = ""
    for images, inputs in examples(description, network):
        for make in (_scripted, _traced):
            try:
                content = _saved(make(network, images[0]), description, inputs)
                # It would compile for each size first.
                with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                    check_same(network, _loaded(content), images)
            except Exception as error:  # torch's compiler has an error for each of its stages
                reason = _line(error)
            else:
                return content
    raise ModelError(f"{description.name} cannot be written as TorchScript: {reason}")


def _scripted(network: torch.nn.Module, _image: torch.Tensor) -> Any:
    with _quiet():
        return torch.jit.script(network)


def _traced(network: torch.nn.Module, image: torch.Tensor) -> Any:
    with torch.no_grad(), _quiet():
        return torch.jit.trace(network, image, check_trace=False)


def _saved(graph: Any, description: ModelDescription, inputs: Inputs) -> bytes:
    described = dataclasses.replace(
        description,
        network=NetworkSpec(NETWORK, {}, source=NETWORK),
        weights=(),
        inputs=inputs,
        trust="native_code",
    )
    content = io.BytesIO()
    with _quiet():
        torch.jit.save(graph, content, _extra_files={DESCRIPTION: json.dumps(described.to_json())})
    return content.getvalue()


def _loaded(content: bytes) -> Any:
    with _quiet():
        return torch.jit.load(io.BytesIO(content), map_location="cpu")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's remarks, about the age of TorchScript and constant sizes, from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # An error while it runs begins with where, and ends with what.
    return lines[-1 if "TorchScript interpreter" in lines[0] else 0][:300]
