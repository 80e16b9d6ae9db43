"""ONNX files: what they are, read from the graph or from a description beside it.

``network.onnx`` may have a ``network.json`` beside it, a description as in ``model.json``; the
exporter writes it. Without it the graph tells channels and sizes, and the caller the rest.
Reading needs nothing more; running and writing need the extra ``onnx``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ModelError
from .archive import file_sha256
from .bare import Meaning, bare_description
from .description import ModelDescription
from .onnx_graph import Graph, Tensor, read_graph
from .parts import NetworkSpec, WeightsFile
from .store import Model

if TYPE_CHECKING:
    import torch

NETWORK: Literal["onnx"] = "onnx"
# What a graph that ends with it needs no activation for.
_ACTIVATIONS = ("Sigmoid", "Softmax")
# More channels than this no image has: then the axis is one of space.
_MOST_CHANNELS = 4


def sniff(path: Path) -> bool:
    """Whether a path looks like an ONNX file."""
    return path.suffix.lower() == ".onnx" and path.is_file()


def read(path: Path, **options: Any) -> Model:
    """Return the model in an ONNX file; nothing is run.

    Parameters
    ----------
    path
        The file.
    options
        What the file does not say, see `napari_monai.models.bare.Meaning`; not for files with a
        description beside them.

    Raises
    ------
    ModelError
        If it is damaged, keeps tensors outside of its folder, or takes or gives no images.
    """
    graph = read_graph(path)
    beside = path.with_suffix(".json")
    if beside.is_file():
        return _described(path, beside, options)
    description = _guessed(path, graph, Meaning.of(options))
    return Model(description, path.parent, origin="onnx")


def companions(path: Path) -> tuple[str, ...]:
    """Return the files beside an ONNX file that hold tensors of it, by their relative names."""
    return read_graph(path).external


def load_network(
    model: Model, device: str | torch.device = "cpu", *, fold: int = 0
) -> torch.nn.Module:
    """Return a network that ONNX Runtime runs; see `napari_monai.models.onnx_run`."""
    from .onnx_run import load_network as load_session

    return load_session(model, device, fold=fold)


def export(model: Model, target: Path, *, fold: int | None = None) -> Path:
    """Write a model as an ONNX file; see `napari_monai.models.onnx_export`."""
    from .onnx_export import export as export_graph

    return export_graph(model, target, fold=fold)


def _described(path: Path, beside: Path, options: dict[str, Any]) -> Model:
    if options:
        raise ModelError(
            f"{path.name} is described in {beside.name}: change it there, not by "
            f"{', '.join(options)}."
        )
    try:
        text = beside.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{beside} cannot be read ({error}).") from None
    description = ModelDescription.from_text(text, source=str(beside))
    named = [weights.path for weights in description.weights]
    if description.network.source != NETWORK or path.name not in named:
        raise ModelError(f"{beside} describes another model than {path.name}: move it away.")
    return Model(description, path.parent, origin="onnx")


def _guessed(path: Path, graph: Graph, meaning: Meaning) -> ModelDescription:
    if len(graph.inputs) != 1:
        names = ", ".join(t.name for t in graph.inputs) or "none"
        raise ModelError(f"{path.name} has {len(graph.inputs)} inputs ({names}), one is needed.")
    taken, given = graph.inputs[0], graph.outputs[0]
    shape, axes = _image_axes(path, taken)
    out, out_axes = _image_axes(path, given)
    dims = len(axes) - 2
    if len(out_axes) != len(axes):
        raise ModelError(
            f"{path.name} turns {_shown(taken)} into {_shown(given)}: one value a voxel is needed."
        )
    channels, classes = shape[axes.index("c")], out[out_axes.index("c")]
    if channels is None or classes is None:
        raise ModelError(f"{path.name} does not say how many channels it has: export it anew.")
    plain = "bc" + "zyx"[-dims:]
    arguments = {
        "input_axes": axes if axes != plain else "",
        "output_axes": out_axes if out_axes != plain else "",
        "gives": "probabilities" if graph.last in _ACTIVATIONS else "",
        "batch_one": shape[0] == 1,
    }
    return bare_description(
        path,
        meaning,
        network=NetworkSpec(NETWORK, {k: v for k, v in arguments.items() if v}, source=NETWORK),
        weights=[WeightsFile(path.name, file_sha256(path), loader="onnx")],
        spatial_dims=dims,
        in_channels=channels,
        out_channels=classes,
        size=[shape[axes.index(axis)] for axis in "zyx"[-dims:]],
        last=graph.last,
    )


def _image_axes(path: Path, tensor: Tensor) -> tuple[tuple[int | None, ...], str]:
    """Return the shape of an input or output and its axes; raise ModelError for no image."""
    shape = tensor.shape
    if not tensor.is_float or shape is None or len(shape) not in (4, 5):
        raise ModelError(
            f"{path.name} takes or gives {_shown(tensor)}, which is no batch of 2D or 3D images."
        )
    space = "zyx"[-(len(shape) - 2) :]
    first, last = shape[1], shape[-1]
    is_last = last is not None and last <= _MOST_CHANNELS and (first is None or first > last)
    return shape, f"b{space}c" if is_last else f"bc{space}"


def _shown(tensor: Tensor) -> str:
    if tensor.shape is None:
        return f"{tensor.name!r} of no known shape"
    sides = " x ".join("?" if n is None else str(n) for n in tensor.shape)
    return f"{tensor.name!r} of {sides}"
