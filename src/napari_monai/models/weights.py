"""Weights: read after a check of their sum, fitted to a network, and written as safetensors."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from ..errors import DeviceError, ModelError, NetworkError, WriteError
from ..networks import build_network
from .checkpoints import read_checkpoint, select_tensors
from .description import ModelDescription
from .native import DESCRIPTION_FILE
from .parts import WeightsFile
from .store import Model

WEIGHTS_FILE = "weights.safetensors"
# The files of weights that `save_model` writes.
_WRITTEN = re.compile(r"(weights|fold_\d+)(_[0-9a-f]{8})?\.safetensors")
StateDict = Mapping[str, torch.Tensor]


def load_network(
    model: Model, device: str | torch.device = "cpu", *, fold: int = 0
) -> torch.nn.Module:
    """Return a model's network on a device; see `Model.load_network`."""
    source = model.description.network.source
    if source != "table":  # a file's graph or code: a module of that name loads it
        module = importlib.import_module(f".{source}", __package__)
        network: torch.nn.Module = module.load_network(model, device, fold=fold)
        return network
    tensors = read_weights(model, fold)
    try:
        network = _build(model.description)
    except ModelError as error:
        raise ModelError(f"{model.folder / DESCRIPTION_FILE}: {error}") from None
    file = model.folder / model.description.weights[fold].path
    _check_tensors(tensors, network.state_dict(), file)
    network.load_state_dict(tensors)
    try:
        return network.eval().to(device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that CUDA was compiled in
        line = str(error).splitlines()[0]
        raise DeviceError(f"{model.name} does not go to {device} ({line}): try the CPU.") from None


def read_weights(model: Model, fold: int = 0) -> dict[str, torch.Tensor]:
    """Return the tensors of a model, floating point ones in float32, after checking the file.

    Raises ModelError if the file is missing, lies outside the model's folder, is not the one
    that the description names by its SHA-256, or holds anything but tensors.
    """
    weights = model.description.weights[fold]
    file = model.folder / weights.path
    content = checked_content(model, fold)
    if weights.loader == "torch":
        held = read_checkpoint(content, file)
    else:
        held = _read_safetensors(content, file)
    tensors = select_tensors(held, key=weights.key, prefix=weights.prefix, file=file)
    return {k: t.float() if t.is_floating_point() else t for k, t in tensors.items()}


def checked_content(model: Model, fold: int = 0) -> bytes:
    """Return the bytes of a file of weights, those that its SHA-256 was worked out of.

    Raises ModelError if the file is missing, lies outside the model's folder, or is not the one
    that the description names by its SHA-256.
    """
    weights = model.description.weights[fold]
    return checked_file(model.folder, weights.path, weights.sha256)


def checked_file(folder: Path, path: str, sha256: str) -> bytes:
    """Return the bytes of a file of a model; errors are those of `checked_content`."""
    file = folder / path
    if not file.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"{file} is a link out of the model's folder: get the model again.")
    try:
        content = file.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"{file} cannot be read ({reason}): get the model again.") from None
    if _sha256(content) != sha256:
        raise ModelError(
            f"{file} is damaged or not the one that {DESCRIPTION_FILE} names (its sha256 differs): "
            "get the model again."
        )
    return content


def _read_safetensors(content: bytes, file: Path) -> dict[str, torch.Tensor]:
    try:
        tensors = load_safetensors(content)
        # What the library's own save_model writes too: other names of tensors that are there.
        length = int.from_bytes(content[:8], "little")
        others = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        return {**{k: tensors[v] for k, v in others.items() if v in tensors}, **tensors}
    except (SafetensorError, ValueError, KeyError) as error:
        line = str(error).splitlines()[0]
        raise ModelError(f"{file} is no safetensors file ({line}): get the model again.") from None


def _build(description: ModelDescription) -> torch.nn.Module:
    """Return the network that a description names, with random weights."""
    try:
        with torch.random.fork_rng(devices=[]):  # drawn in vain: others' random numbers stay
            return build_network(description.network.name, description.network.arguments)
    except NetworkError as error:
        raise ModelError(f"network: {error}") from None


def _check_tensors(
    found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], file: Path
) -> None:
    """Raise ModelError for the first tensor that is missing, left over or of another shape."""
    cure = "get the model again."
    for name, tensor in wanted.items():
        if name not in found:
            raise ModelError(f"{file} lacks tensor {name}: {cure}")
        if found[name].shape != tensor.shape:
            raise ModelError(
                f"{file} has tensor {name} of shape {tuple(found[name].shape)}, the network needs "
                f"{tuple(tensor.shape)}: {cure}"
            )
    for name in found:
        if name not in wanted:
            raise ModelError(f"{file} has tensor {name}, which the network lacks: {cure}")


def save_model(
    folder: str | os.PathLike[str],
    description: ModelDescription,
    state_dict: StateDict | Sequence[StateDict],
    *,
    half: bool = False,
) -> Model:
    """Write a model's folder and return the model as written.

    Everything is written beside the folder first and then moved in, the description last: killed
    at any point, the model is the old one or the new one. Weights that other ones are in the place
    of have a part of their SHA-256 in their name. Other files in the folder, such as a model
    card, stay.

    Parameters
    ----------
    folder
        Folder to make, or to replace the model in.
    description
        What the model is; its ``weights`` are filled in here.
    state_dict
        Tensors of the network that the description names; of an ensemble one set a member.
    half
        Whether to store the weights in float16: half the size, read back as float32. Tensors
        that do not fit its range stay in float32.

    Raises
    ------
    ModelError
        If the tensors do not fit the network.
    WriteError
        If the folder cannot be written.
    """
    target = Path(folder)
    members = [state_dict] if isinstance(state_dict, Mapping) else list(state_dict)
    network = _build(description)
    wanted, others = network.state_dict(), _other_names(network)
    files: dict[str, bytes] = {}
    for fold, tensors in enumerate(members):
        name = WEIGHTS_FILE if len(members) == 1 else f"fold_{fold}.safetensors"
        _check_tensors(tensors, wanted, target / name)
        again = {k: v for k, v in others.items() if torch.equal(tensors[k], tensors[v])}
        stored = {k: _storable(t, half) for k, t in tensors.items() if k not in again}
        content = save_safetensors(stored, again or None)
        files[_free_name(target / name, content)] = content
    weights = (WeightsFile(n, _sha256(c)) for n, c in files.items())
    written = dataclasses.replace(description, weights=tuple(weights))
    text = json.dumps(written.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        _write(target, {**files, DESCRIPTION_FILE: text.encode()})
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(f"{target} cannot be written ({reason}): choose another folder.") from None
    return Model(written, target)


def _other_names(network: torch.nn.Module) -> dict[str, str]:
    """Return the names of tensors that a network holds under an earlier name already."""
    first: dict[int, str] = {}
    names = {k: first.setdefault(id(t), k) for k, t in network.state_dict(keep_vars=True).items()}
    return {k: v for k, v in names.items() if k != v}


def _storable(tensor: torch.Tensor, half: bool) -> torch.Tensor:
    """Return a tensor of its own memory on the CPU, in float16 where asked for and possible."""
    plain = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    if not (half and plain.is_floating_point()):
        return plain
    halved = plain.half()
    return halved if bool(torch.isfinite(halved).all()) else plain


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _free_name(file: Path, content: bytes) -> str:
    """Return the name of a file of weights, or one that is free where others are in its place."""
    with contextlib.suppress(OSError):
        if not file.exists() or file.read_bytes() == content:
            return file.name
    return f"{file.stem}_{_sha256(content)[:8]}{file.suffix}"


def _write(target: Path, files: Mapping[str, bytes]) -> None:
    """Write files beside the target folder, then move them in; remove weights of before."""
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        for name, content in files.items():
            (stage / name).write_bytes(content)
        target.mkdir(exist_ok=True)
        for name in files:
            os.replace(stage / name, target / name)
        for file in target.iterdir():
            if _WRITTEN.fullmatch(file.name) and file.name not in files:
                with contextlib.suppress(OSError):  # open elsewhere: the next time
                    file.unlink()
    finally:
        shutil.rmtree(stage, ignore_errors=True)
