"""Bare weights: a state dict of ``torch.save`` or a ``.safetensors`` file, and an architecture.

The file holds tensors and their names only, so the network is named by the caller; without that
the networks of the table are tried on the tensors, and the first that they fit is taken.
Checkpoints of training are looked through for the state dict in them. Nothing in a file is run.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .archive import file_sha256
from .bare import Meaning, bare_description
from .parts import NetworkSpec, WeightsFile
from .store import Model

_CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin")
# How a pickle without a zip around it begins: protocols 2 to 5.
_PICKLE = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def sniff(path: Path) -> bool:
    """Whether a file looks like weights without a description."""
    suffix = path.suffix.lower()
    if not path.is_file():
        return False
    if suffix == ".safetensors":
        return True
    return suffix in _CHECKPOINTS and (_is_torch_zip(path) or _is_pickle(path))


def read(path: Path, **options: Any) -> Model:
    """Return the model that a file of weights and an architecture make.

    Parameters
    ----------
    path
        The file.
    options
        ``architecture``, a name in the table of networks, and ``arguments`` of it, a mapping or
        JSON text; both may be left out where the tensors tell. ``key``, the way to the state dict
        in a checkpoint, is found where it is a usual one. Further those of
        `napari_monai.models.bare.Meaning`.

    Raises
    ------
    ModelError
        If it cannot be read without running code from it; or if the tensors do not fit the
        network, saying what does not; or if no network of the table is known to fit.
    """
    meaning = Meaning.of(options, "architecture", "arguments", "key")
    from .state_fit import fitting, read_tensors

    found = read_tensors(path, options.get("key"))
    spec, prefix, multiple = fitting(
        path, found.tensors, options.get("architecture", ""), _arguments(options.get("arguments"))
    )
    weights = WeightsFile(path.name, file_sha256(path), found.loader, found.key, prefix)
    description = bare_description(
        path,
        meaning,
        network=NetworkSpec(spec.name, spec.arguments),
        weights=[weights],
        spatial_dims=spec.arguments["spatial_dims"],
        in_channels=spec.arguments["in_channels"],
        out_channels=spec.arguments["out_channels"],
        size_multiple=multiple,
    )
    return Model(description, path.parent, origin="state_dict")


def _arguments(given: object) -> dict[str, Any]:
    if isinstance(given, str):
        try:
            given = json.loads(given or "{}")
        except ValueError as error:
            raise ModelError(f"arguments are not JSON ({error}).") from None
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ModelError(f"arguments are an object such as {{}}, not {given!r}.")
    return dict(given)


def _is_torch_zip(path: Path) -> bool:
    """Whether it is a zip of torch.save; one of TorchScript holds code too."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {name.partition("/")[2] for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError):
        return False
    return "data.pkl" in inside and "constants.pkl" not in inside


def _is_pickle(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) in _PICKLE
    except OSError:
        return False
