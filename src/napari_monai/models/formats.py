"""The table of model formats: names, extensions, and the module that knows each.

A format's module is imported when a path may be of it. It does without torch, and without the
packages of its extra, until a model is read or run, and offers

``sniff(path) -> bool``
    Whether a file or folder is of the format; by names and first bytes, cheaply.
``read(path, **options) -> Model``
    The model; parses only, runs nothing. A folder may come as a zip (`archive.unpacked`).
``export(model, target, **options) -> Path``
    If the format is written: into a new file or folder, made beside it and then renamed.
``load_network(model, device, *, fold) -> torch.nn.Module``
    If its name is the source of a `NetworkSpec`: the network in the weights file of a fold, whose
    bytes come from `weights.checked_content`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import FormatError, ModelError, did_you_mean

if TYPE_CHECKING:
    from .store import Model


@dataclass(frozen=True)
class ModelFormat:
    """A format of models.

    Parameters
    ----------
    name
        What users type.
    title
        What users read.
    module
        Dotted name of the module that knows it.
    extensions
        Of its files; a folder is of no extension.
    reads, writes
        What the module can.
    extra
        The extra of napari-monai that it needs.
    """

    name: str
    title: str
    module: str
    extensions: tuple[str, ...]
    reads: bool = True
    writes: bool = True
    extra: str = ""


_HERE = __package__
# In the order in which a path is tried: a bare state dict is what nothing else is.
FORMATS = (
    ModelFormat("native", "napari-monai model", f"{_HERE}.native", (".json", ".zip")),
    ModelFormat("monai_bundle", "MONAI bundle", f"{_HERE}.monai_bundle", (".zip",)),
    ModelFormat(
        "bioimageio",
        "BioImage.IO model",
        f"{_HERE}.bioimageio",
        (".zip", ".yaml", ".yml"),
        extra="bioimageio",
    ),
    ModelFormat("nnunet", "nnU-Net v2 folder", f"{_HERE}.nnunet", (".zip",), writes=False),
    ModelFormat("onnx", "ONNX", f"{_HERE}.onnx", (".onnx",), extra="onnx"),
    ModelFormat("torchscript", "TorchScript", f"{_HERE}.torchscript", (".pt", ".ts", ".pth")),
    ModelFormat(
        "state_dict",
        "State dict or safetensors",
        f"{_HERE}.state_dict",
        (".safetensors", ".pt", ".pth", ".ckpt", ".bin"),
        writes=False,
    ),
)


def format_named(name: str) -> ModelFormat:
    """Return a format of the table; raises FormatError, with the near miss, for no known one."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise FormatError(f"No model format {name!r}. {did_you_mean(name, (f.name for f in FORMATS))}")


def format_of(path: Path) -> ModelFormat:
    """Return the format of a file or folder.

    Raises
    ------
    ModelError
        If it is of none, naming those that there are.
    """
    for known in FORMATS:
        if known.reads and _may_be(path, known) and load_module(known).sniff(path):
            return known
    titles = ", ".join(f.title for f in FORMATS if f.reads)
    if path.is_dir():
        raise ModelError(f"{path} is no model: it has no model.json. Known formats: {titles}.")
    raise ModelError(f"{path} is no model that can be read. Known formats: {titles}.")


def read(path: Path, **options: Any) -> Model:
    """Return the model at a path of any format; runs nothing of it.

    Raises
    ------
    ModelError
        If it is of no known format, is damaged, or takes no such option.
    """
    known = format_of(path)
    module = load_module(known)
    unknown = unknown_options(module.read, options)
    if unknown:
        raise ModelError(f"{path} is a {known.title}, which has no option {unknown[0]!r}.")
    model: Model = module.read(path, **options)
    return model


def unknown_options(function: Callable[..., Any], options: Iterable[str]) -> list[str]:
    """Return the options that a format's function does not take by name."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return []
    known = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [name for name in options if name not in known]


def load_module(known: ModelFormat) -> ModuleType:
    """Return the module of a format."""
    return importlib.import_module(known.module)


def need(package: str, name: str) -> ModuleType:
    """Return a package that the format of a name needs; raises ModelError if it is not there."""
    known = format_named(name)
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ModelError(
            f'{known.title} needs the package {package}: pip install "napari-monai[{known.extra}]".'
        ) from None


def _may_be(path: Path, known: ModelFormat) -> bool:
    return path.is_dir() or path.name.lower().endswith(known.extensions)
