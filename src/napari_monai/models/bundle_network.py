"""The network of a MONAI bundle and its weights: by name and as data, never built here."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import ModelError, NetworkError
from ..networks import from_monai
from .archive import file_sha256, member_names
from .bundle_config import Config
from .bundle_values import Component, Stored, Symbol
from .checkpoints import read_checkpoint
from .parts import NetworkSpec, WeightsFile

_CHECKPOINT = "models/model.pt"
_SCRIPT = "models/model.ts"


@dataclass(frozen=True)
class Found:
    """A network and its weights, what is wrong with it, and what with them.

    ``told`` is the network by its name, where that is known, also if a TorchScript file is run.
    """

    network: NetworkSpec
    weights: tuple[WeightsFile, ...]
    blockers: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    told: NetworkSpec | None = None

    @property
    def scripted(self) -> bool:
        """Whether the network is a TorchScript file, which is code."""
        return self.network.source == "torchscript"


def read_network(config: Config) -> Found:
    """Return the network that a bundle runs and the file of its weights.

    A TorchScript file is taken where there are no other weights, or no network that is known to
    go with them. What cannot be read is a blocker.
    """
    path, key, named = _checkpoint(config)
    blockers: list[str] = []
    network, known = NetworkSpec("unknown", {}), None
    try:
        network = known = _network(config)
    except (ModelError, NetworkError) as error:
        network = NetworkSpec(_target(config), {})
        blockers.append(f"network_def: {error}")
    if config.exists(_SCRIPT) and (blockers or not named):
        return _script(config, _SCRIPT, known)
    if path and config.exists(path) and _is_script(config.root / path):
        return _script(config, path, known)
    try:
        weights = (_weights(config, path, key),)
    except ModelError as error:
        return Found(network, (), tuple(blockers), (str(error),), known)
    return Found(network, weights, tuple(blockers), told=known)


def _script(config: Config, path: str, known: NetworkSpec | None) -> Found:
    weights = WeightsFile(path, file_sha256(config.root / path), loader="torchscript")
    network = NetworkSpec("torchscript", {}, source="torchscript")
    return Found(network, (weights,), told=known)


def _is_script(file: Path) -> bool:
    """Whether a file is an archive with code in it, as TorchScript has."""
    return any(name.endswith("/constants.pkl") for name in member_names(file))


def _definition(config: Config) -> Any:
    return config.get("network_def") if "network_def" in config else config.get("network")


def _target(config: Config) -> str:
    try:
        component = _definition(config)
    except ModelError:
        return "unknown"
    return component.target if isinstance(component, Component) else "unknown"


def _network(config: Config) -> NetworkSpec:
    component = _definition(config)
    if not isinstance(component, Component):
        raise ModelError("the bundle names no network.")
    if component.own_code or component.target.startswith(("monai.apps", "monai.bundle")):
        raise ModelError(
            f"{component.target} is code of the bundle's own or of another package, which is not "
            "run."
        )
    arguments = {key: _plain(component.get(key), config) for key in component.keys}
    name, complete = from_monai(component.name, arguments)
    return NetworkSpec(name, complete)


def _plain(value: Any, config: Config) -> Any:
    """Return an argument as plain JSON; one that is stored in a file is read from there."""
    if isinstance(value, Component):
        return {key: _plain(value.get(key), config) for key in value.keys}
    if isinstance(value, Mapping):
        return {str(k): _plain(v, config) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v, config) for v in value]
    if isinstance(value, Stored):
        return _stored(value, config)
    if isinstance(value, Symbol):
        return value.name.rpartition(".")[2]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ModelError(f"an argument is a {type(value).__name__}, which is no plain value.")


def _stored(value: Stored, config: Config) -> Any:
    path = _inside(config, value.path)
    found = _read(config.root / path, arrays=True)
    for key in value.keys:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            raise ModelError(f"{path} has no {key!r}.") from None
    if isinstance(found, (torch.Tensor, np.ndarray, np.generic)):
        found = found.tolist()
    return _plain(list(found) if isinstance(found, tuple) else found, config)


def _read(file: Path, *, arrays: bool = False) -> Any:
    """Return what a checkpoint holds; only data is read."""
    try:
        return read_checkpoint(file.read_bytes(), file, arrays=arrays)
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"{file} cannot be read ({reason}): get the model again.") from None


def _checkpoint(config: Config) -> tuple[str, str, bool]:
    """Return the path of the weights, the key in the file, and whether the file is there."""
    path, key = _CHECKPOINT, "model"
    for loader in _loaders(config):
        try:
            told = loader.get("load_path")
        except ModelError:
            continue  # a path that takes code to find: the usual one is tried
        if isinstance(told, str):
            path = posixpath.normpath(told)
            key = _loaded_key(loader)
            break
    return path, key, config.exists(path)


def _loaders(config: Config) -> list[Component]:
    """Return what loads the checkpoint, in the places where bundles have it."""
    found: list[Any] = []
    for name in ("checkpointloader", "handlers", "evaluator::val_handlers"):
        try:
            value = config.get(name)
        except ModelError:
            continue
        found += value if isinstance(value, list) else [value]
    return [c for c in found if isinstance(c, Component) and c.name == "CheckpointLoader"]


def _loaded_key(loader: Component) -> str:
    try:
        loaded = loader.get("load_dict")
    except ModelError:
        return "model"
    return str(next(iter(loaded), "model")) if isinstance(loaded, Mapping) else "model"


def _inside(config: Config, path: str) -> str:
    """Return a path inside the bundle with nothing in it that leads out."""
    plain = posixpath.normpath(path)
    if not config.exists(plain) or plain.startswith(("/", "..")):
        raise ModelError(f"{path} is not in the bundle: download its files first.")
    return plain


def _weights(config: Config, path: str, key: str) -> WeightsFile:
    plain = _inside(config, path)
    file = config.root / plain
    if file.stat().st_size < 1024 and file.read_bytes()[:8] == b"version ":
        raise ModelError(f"{plain} is a pointer to large files elsewhere: download it first.")
    held = _read(file)
    # A checkpoint is the state dict itself, or has it under the name of what is loaded.
    inside = next((k for k in (key, "model", "state_dict") if _has_tensors(held, k)), "")
    return WeightsFile(plain, file_sha256(file), loader="torch", key=inside)


def _has_tensors(held: Any, key: str) -> bool:
    return isinstance(held, Mapping) and isinstance(held.get(key), Mapping)
