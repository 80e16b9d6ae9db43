"""Tensors out of ``torch.save`` checkpoints, of which data alone is read and no code runs."""

from __future__ import annotations

import io
import re
import threading
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import ModelError, did_you_mean
from .archive import is_bomb

# What checkpoints hold beside tensors: the scalars and types of NumPy (scores, learning rates).
_SAFE: list[Any] = [
    np.dtype,
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
    *(type(np.dtype(name)) for name in ("f2", "f4", "f8", "i4", "i8", "u1", "?")),
]
# Arrays of those types, whose bytes are copied; arrays of objects are not among them.
_ARRAYS: list[Any] = [
    np.ndarray,
    np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    (np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),  # type: ignore[attr-defined]
]
# The lists above hold for the whole process while a file is read.
_LOCK = threading.Lock()
_GLOBAL = re.compile(r"GLOBAL (\S+)")


def read_checkpoint(content: bytes, file: Path, *, arrays: bool = False) -> Any:
    """Return what a checkpoint holds, its tensors on the CPU.

    Parameters
    ----------
    content
        The bytes of the checkpoint.
    file
        Where they come from, named in errors.
    arrays
        Whether it may hold NumPy's arrays of numbers too.

    Raises
    ------
    ModelError
        If it holds anything but data, which is then not run, or is damaged.
    """
    _check_archive(content, file)
    safe = [*_SAFE, *_ARRAYS] if arrays else _SAFE
    try:
        with _LOCK, warnings.catch_warnings(), torch.serialization.safe_globals(safe):
            warnings.simplefilter("ignore")  # of how old the file is
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a file made to harm raises whatever it likes
        raise ModelError(_refusal(file, error)) from None


def select_tensors(
    values: Any, *, key: str = "", prefix: str = "", file: Path
) -> dict[str, torch.Tensor]:
    """Return the named tensors in a checkpoint.

    Parameters
    ----------
    values
        What `read_checkpoint` returned.
    key
        The way to the tensors, its steps joined by dots.
    prefix
        Taken off the tensors' names; those without it are left out.
    file
        Named in errors.

    Raises
    ------
    ModelError
        If there is nothing at the key, or something else than tensors by their names.
    """
    found = _at(values, key, file)
    where = f" at {key!r}" if key else ""
    if not isinstance(found, Mapping) or not found:
        raise ModelError(f"{file} holds no tensors{where}: name the key of its state dict.")
    chosen = {k: v for k, v in found.items() if isinstance(k, str) and k.startswith(prefix)}
    if not chosen:
        first = next(iter(found))
        raise ModelError(
            f"{file}{where} has no name that begins with {prefix!r}; the first is {first!r}."
        )
    for name, value in chosen.items():
        if not isinstance(value, torch.Tensor):
            raise ModelError(
                f"{file} has {type(value).__name__} {name!r}{where}, not tensors alone: name the "
                f"key of its state dict. {did_you_mean('state_dict', _mappings(found))}"
            )
    return {k.removeprefix(prefix): v for k, v in chosen.items()}


def _at(values: Any, key: str, file: Path) -> Any:
    """Return what stands at a key; a key that has dots itself goes before steps."""
    here, rest = values, key
    while rest:
        if isinstance(here, Mapping) and rest in here:
            return here[rest]
        step, _, rest = rest.partition(".")
        if not isinstance(here, Mapping) or step not in here:
            known = [str(k) for k in here] if isinstance(here, Mapping) else []
            raise ModelError(f"{file} has no key {key!r}. {did_you_mean(step, known[:20])}")
        here = here[step]
    return here


def _mappings(values: Mapping[Any, Any]) -> list[str]:
    return [str(k) for k, v in values.items() if isinstance(v, Mapping)]


def _check_archive(content: bytes, file: Path) -> None:
    """Refuse a TorchScript module, which ``torch.load`` would run, and one that swells."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return  # no archive: the format of torch before 1.6, or none at all
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise ModelError(f"{file} is a TorchScript file, not a checkpoint: choose TorchScript.")
    size = sum(member.file_size for member in members)
    if is_bomb(size, len(content)):
        raise ModelError(f"{file} swells to {size / 1e9:.1f} GB: get the model again.")


def _refusal(file: Path, error: Exception) -> str:
    """Return the line for a checkpoint that was not read."""
    text = " ".join(str(error).split())
    code = _GLOBAL.search(text)
    if code or "Unsupported operand" in text or "weights_only" in text.lower().replace(" ", "_"):
        what = f" ({code.group(1)})" if code else ""
        return (
            f"{file} holds more than data{what}, which could run code: it is not opened. "
            "Ask for the model as safetensors, or as a plain state dict."
        )
    reason = text.split(". ")[0][:120] or type(error).__name__
    return f"{file} is no checkpoint or is damaged ({reason}): get the model again."
