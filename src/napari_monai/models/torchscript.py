"""TorchScript archives: code and weights in one file, run only with the user's consent.

`torch.jit.load` runs the archive's code while it loads, so reading only looks into the zip: at
the description that our exporter leaves in it (``extra/napari_monai.json``), or at the metadata
of a MONAI bundle. Other files need to be told what they take and give.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ModelError
from .archive import file_sha256
from .bare import Meaning, bare_description
from .description import ModelDescription
from .graph_arguments import GraphArguments
from .parts import NetworkSpec, WeightsFile
from .store import Model

if TYPE_CHECKING:
    import torch

NETWORK: Literal["torchscript"] = "torchscript"
DESCRIPTION = "napari_monai.json"
# What only the caller can tell; 0 where nothing is usual.
_NUMBERS = {"spatial_dims": 0, "in_channels": 0, "out_channels": 0, "size_multiple": 1}
# A description is text of some kilobytes; nothing larger is unpacked.
_MOST_TEXT = 2**24


def sniff(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip with constants and code beside the data."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {name.partition("/")[2] for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError):
        return False
    return "constants.pkl" in inside and any(name.startswith("code/") for name in inside)


def read(path: Path, **options: Any) -> Model:
    """Return the model in a TorchScript archive; nothing of it is run.

    Parameters
    ----------
    path
        The file.
    options
        What the file does not say: ``spatial_dims``, ``in_channels``, ``out_channels``,
        ``size_multiple``, ``gives`` (``"probabilities"`` where it ends with a sigmoid or softmax
        of its own), and those of `napari_monai.models.bare.Meaning`.

    Raises
    ------
    ModelError
        If it is no such archive, or is not described and one of the three numbers is not given.
    """
    if not sniff(path):
        raise ModelError(f"{path} is damaged or no TorchScript file: get the model again.")
    text = _extra(path, DESCRIPTION)
    if text is not None:
        return _described(path, text, options)
    meaning = Meaning.of(options, *_NUMBERS, "gives")
    dims, taken, given, multiple = (
        _number(path, key, options.get(key, usual)) for key, usual in _NUMBERS.items()
    )
    arguments = GraphArguments.read({"gives": options.get("gives", "logits")})
    description = bare_description(
        path,
        meaning,
        network=NetworkSpec(NETWORK, arguments.write(), source=NETWORK),
        weights=[WeightsFile(path.name, file_sha256(path), loader="torchscript")],
        spatial_dims=dims,
        in_channels=taken,
        out_channels=given,
        size_multiple=multiple,
        trust="native_code",
    )
    return Model(description, path.parent, origin="torchscript")


def load_network(
    model: Model, device: str | torch.device = "cpu", *, fold: int = 0
) -> torch.nn.Module:
    """Return the network, running its code; see `napari_monai.models.torchscript_run`."""
    from .torchscript_run import load_network as load_archive

    return load_archive(model, device, fold=fold)


def export(model: Model, target: Path, *, fold: int | None = None) -> Path:
    """Write a model as TorchScript; see `napari_monai.models.torchscript_run`."""
    from .torchscript_run import export as export_archive

    return export_archive(model, target, fold=fold)


def _number(path: Path, key: str, value: object) -> int:
    if type(value) is int and value > 0:
        return value
    if not value:
        raise ModelError(
            f"{path.name} does not say its {key}: give spatial_dims, in_channels and out_channels."
        )
    raise ModelError(f"{key} is a whole number from 1 up, not {value!r}.")


def _described(path: Path, text: str, options: dict[str, Any]) -> Model:
    if options:
        raise ModelError(f"{path.name} describes itself: leave out {', '.join(options)}.")
    try:
        values = json.loads(text)
        # The archive cannot hold its own sum, nor know the name that it was given.
        values["weights"] = [
            {"path": path.name, "sha256": file_sha256(path), "loader": "torchscript"}
        ]
        values["trust"] = "native_code"
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: {DESCRIPTION} in it is not JSON ({error}).") from None
    description = ModelDescription.from_json(values, source=str(path))
    if description.network.source != NETWORK:
        raise ModelError(f"{path}: {DESCRIPTION} in it describes another network.")
    return Model(description, path.parent, origin="torchscript")


def _extra(path: Path, name: str) -> str | None:
    """Return a text that was stored beside the code."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = [
                i for i in archive.infolist() if i.filename.partition("/")[2] == f"extra/{name}"
            ]
            if not found or found[0].file_size > _MOST_TEXT:
                return None
            return archive.read(found[0]).decode()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} cannot be read ({error}): get the model again.") from None
