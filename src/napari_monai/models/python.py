"""Networks that Python code makes: a source file that came with the model, or a package.

Running that code is up to the user, and only `napari_monai.models.trust` says whether it may be.
What runs of a source file are the very bytes that its SHA-256 was worked out of.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..errors import ModelError
from . import trust
from .adapt import Adapted
from .python_arguments import PythonArguments
from .store import Model
from .weights import checked_file, read_weights

_COUNT = itertools.count()


def load_network(
    model: Model, device: str | torch.device = "cpu", *, fold: int = 0
) -> torch.nn.Module:
    """Return the network of a model that Python code makes, with its weights.

    Raises
    ------
    TrustError
        Without the user's consent for this very code and these weights.
    ModelError
        If a file is not the one that the description names, the code fails or makes no network,
        or the weights do not fit it.
    """
    description = model.description
    trust.require(model)
    code = description.network.code
    tensors = read_weights(model, fold)
    network = _made(model, code)
    file = model.folder / description.weights[fold].path
    with _told(f"{file} does not fit the network of {code.title}"):
        network.load_state_dict(tensors)
    made = Adapted(
        network,
        code,
        spatial_dims=description.inputs.spatial_dims,
        activation=description.outputs.activation,
    )
    return made.eval().float().to(device)


def checked_code(model: Model) -> bytes | None:
    """Return the source file of a model's network; None where a package has it.

    Raises ModelError if the file is not the one that the description names by its SHA-256.
    """
    code = model.description.network.code
    return checked_file(model.folder, code.file, code.sha256) if code.file else None


def _made(model: Model, code: PythonArguments) -> torch.nn.Module:
    """Return the network, with the weights that its code gives it."""
    content = checked_code(model)
    file = model.folder / code.file
    with torch.random.fork_rng(devices=[]), _told(f"{code.title} fails"):
        if content is None:
            network = _called(_package(model, code), code)
        else:
            with _private(content, file) as module:
                network = _called(module, code)
    if not isinstance(network, torch.nn.Module):
        raise ModelError(f"{code.title} makes {type(network).__name__}, not a network of torch.")
    return network


def _called(module: ModuleType, code: PythonArguments) -> Any:
    make: Callable[..., Any] = getattr(module, code.callable)
    return make(**code.kwargs)


def _package(model: Model, code: PythonArguments) -> ModuleType:
    """Return a module of an installed package; one in the model's folder is none."""
    top = importlib.util.find_spec(code.library.partition(".")[0])
    if top is None:
        raise ModelError(f"the package {code.library.partition('.')[0]} is not installed")
    places = [top.origin, *(top.submodule_search_locations or ())]
    home = model.folder.resolve()
    if any(Path(place).resolve().is_relative_to(home) for place in places if place):
        raise ModelError(f"{code.library} lies in the model's folder and is no installed package")
    return importlib.import_module(code.library)


@contextmanager
def _private(content: bytes, file: Path) -> Iterator[ModuleType]:
    """Give source code as a module, which nobody can import afterwards."""
    module = ModuleType(f"_napari_monai_model_{next(_COUNT)}")
    module.__file__ = str(file)
    # Dataclasses look the module of a class up.
    sys.modules[module.__name__] = module
    try:
        exec(compile(content, str(file), "exec", dont_inherit=True), module.__dict__)
        yield module
    finally:
        sys.modules.pop(module.__name__, None)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Raise whatever code of others raises as ModelError, in one line."""
    try:
        yield
    except (Exception, SystemExit) as error:  # it may raise whatever it likes
        reason = " ".join(str(error).split())[:300] or "no reason given"
        kind = "" if isinstance(error, (ModelError, RuntimeError)) else f"{type(error).__name__}: "
        raise ModelError(f"{what}: {kind}{reason}") from error
