"""Which of a BioImage.IO model's weights run here.

ONNX, a network of ours, TorchScript, or a network that Python code makes; nothing of it is run.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import ModelError, NetworkError
from ..networks import from_monai
from .archive import file_sha256
from .onnx_graph import read_graph
from .parts import NetworkSpec, WeightsFile
from .python_arguments import PythonArguments
from .state_fit import read_tensors

_NO = {
    "keras_hdf5": "Keras",
    "keras_v3": "Keras",
    "tensorflow_js": "TensorFlow.js",
    "tensorflow_saved_model_bundle": "TensorFlow",
}
_MONAI = "monai.networks.nets"


@dataclass(frozen=True)
class Chosen:
    """The weights that are taken, and how the network in them is to be understood.

    Attributes
    ----------
    network, weights
        As in a description; no weights where none can be taken.
    trust
        Whether code runs.
    finished
        Whether the graph itself ends with a sigmoid or softmax; None if that is not known.
    sides
        The sizes of the graph's input, axis by axis; None where they are free.
    refused
        Why nothing can be taken, one line for each kind of weights.
    """

    network: NetworkSpec
    weights: tuple[WeightsFile, ...] = ()
    trust: Literal["data_only", "native_code", "python_code"] = "data_only"
    finished: bool | None = None
    sides: tuple[int | None, ...] = ()
    refused: tuple[str, ...] = ()


class _NotThisOneError(Exception):
    """Weights that cannot be taken; says why."""


class _NotKnownError(Exception):
    """Weights of a network that is not one of ours."""


def choose(weights: Any, folder: Path, wanted: str | None = None) -> Chosen:
    """Return the weights to take of those that a description offers; runs nothing of them.

    ``wanted`` is the one kind to take.
    """
    refused: list[str] = []
    for kind, take in _TAKERS:
        entry = getattr(weights, kind, None)
        if entry is None or wanted not in (None, kind):
            continue
        try:
            return take(entry, folder)
        except _NotKnownError:  # Python code is tried last
            continue
        except _NotThisOneError as error:
            refused.append(str(error))
    others = sorted({title for kind, title in _NO.items() if getattr(weights, kind, None)})
    if others:
        refused.append(
            f"Its {' and '.join(others)} weights do not run here: ask its authors for ONNX."
        )
    kinds = (*(k for k, _ in _TAKERS), *_NO)
    kind = next((k for k in kinds if getattr(weights, k, None) is not None), "none")
    return Chosen(NetworkSpec(kind, {}), refused=tuple(refused))


def _onnx(entry: Any, folder: Path) -> Chosen:
    path, sha256 = _file(entry, folder, "ONNX weights")
    try:
        graph = read_graph(folder / path)
    except ModelError as error:
        raise _NotThisOneError(str(error)) from None
    if len(graph.inputs) != 1:
        raise _NotThisOneError(f"Its network takes {len(graph.inputs)} images at once.")
    return Chosen(
        NetworkSpec("onnx", {}, source="onnx"),
        (WeightsFile(path, sha256, loader="onnx"),),
        finished=True if graph.last in ("Sigmoid", "Softmax") else None,
        sides=graph.inputs[0].shape or (),
    )


def _state_dict(entry: Any, folder: Path) -> Chosen:
    architecture = entry.architecture
    module = str(getattr(architecture, "import_from", ""))
    if module != _MONAI and not module.startswith(f"{_MONAI}."):
        raise _NotKnownError
    try:
        name, arguments = from_monai(str(architecture.callable), dict(architecture.kwargs))
    except NetworkError:
        raise _NotKnownError from None
    return Chosen(NetworkSpec(name, arguments), _tensors(entry, folder), finished=False)


def _tensors(entry: Any, folder: Path) -> tuple[WeightsFile, ...]:
    """Return the file of a state dict."""
    path, sha256 = _file(entry, folder, "PyTorch weights")
    try:
        found = read_tensors(folder / path)
    except ModelError as error:
        raise _NotThisOneError(f"Its PyTorch weights cannot be read: {error}") from None
    return (WeightsFile(path, sha256, loader=found.loader, key=found.key),)


def _code(entry: Any, folder: Path) -> Chosen:
    """Return a state dict with the code of its network, which runs with consent only."""
    told = entry.architecture
    library = str(getattr(told, "import_from", ""))
    file, sha256 = ("", "") if library else _file(told, folder, "source files")
    try:
        code = PythonArguments(
            callable=str(told.callable),
            kwargs=dict(told.kwargs),
            file=file,
            sha256=sha256,
            library=library,
        )
    except ModelError as error:
        raise _NotThisOneError(f"Its network is Python code that is not run: {error}") from None
    # Only the outermost package is looked for: to look for one within it would import it.
    package = code.library.partition(".")[0]
    if package and importlib.util.find_spec(package) is None:
        raise _NotThisOneError(
            f"Its network {code.title} is of a Python package that is not installed: install "
            f"{package}."
        )
    spec = NetworkSpec("python", code.write(), source="python")
    return Chosen(spec, _tensors(entry, folder), trust="python_code")


def _torchscript(entry: Any, folder: Path) -> Chosen:
    path, sha256 = _file(entry, folder, "TorchScript weights")
    return Chosen(
        NetworkSpec("torchscript", {}, source="torchscript"),
        (WeightsFile(path, sha256, loader="torchscript"),),
        trust="native_code",
    )


# In the order of trial: what runs no code first, what can do most last.
_TAKERS = (
    ("onnx", _onnx),
    ("pytorch_state_dict", _state_dict),
    ("torchscript", _torchscript),
    ("pytorch_state_dict", _code),
)


def _file(entry: Any, folder: Path, title: str) -> tuple[str, str]:
    """Return the relative path and the SHA-256 of a file of weights, or of code."""
    path = local_path(entry.source)
    if path is None:
        raise _NotThisOneError(
            f"Its {title} are not in its folder but at {entry.source}: download the model as a zip."
        )
    if not inside(folder, path):
        raise _NotThisOneError(f"Its {title} {path} lie outside of its folder.")
    if not (folder / path).is_file():
        raise _NotThisOneError(f"Its {title} {path} are missing: download the model as a zip.")
    return path, str(entry.sha256) if entry.sha256 else file_sha256(folder / path)


def inside(folder: Path, path: str) -> bool:
    """Whether a relative path stays in a folder, links followed."""
    place = (folder / path).resolve()
    return ".." not in Path(path).parts and place.is_relative_to(folder.resolve())


def local_path(source: Any) -> str | None:
    """Return a source as a path, relative where it is one; None for one in the net."""
    if source is None:
        return None
    text = str(getattr(source, "path", source) if not isinstance(source, str) else source)
    return None if "://" in text else text
