"""Smaller ONNX files: weights in float16, or weights and sums in 8-bit integers.

Of 8-bit forms the static one is taken, in ONNX Runtime's QDQ notation, with ranges from real
windows. On convolution networks the dynamic one, which needs no image, is three times as slow as
float32, and torch's does not touch convolutions at all.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from .formats import need

# Smaller tensors are shapes and scales: not worth a conversion.
_LEAST = 256


def write_half(source: Path, target: Path) -> None:
    """Write a graph with its large float32 tensors stored as float16.

    They become float32 again when the file is loaded: half the size, the same speed. A tensor
    that does not fit the range of float16 stays as it is.
    """
    onnx = need("onnx", "onnx")
    model = onnx.load(str(source))
    kept, casts = [], []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor) if tensor.data_type == 1 else np.empty(0)
        with np.errstate(over="ignore"):
            halved = values.astype(np.float16)
        if values.size < _LEAST or not np.isfinite(halved).all():
            kept.append(tensor)
            continue
        name = f"{tensor.name}_half"
        kept.append(onnx.numpy_helper.from_array(halved, name))
        casts.append(onnx.helper.make_node("Cast", [name], [tensor.name], to=1))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    onnx.save(model, str(target))


def write_int8(
    source: Path, target: Path, name: str, windows: Sequence[npt.NDArray[np.float32]]
) -> None:
    """Write a graph with convolutions in 8-bit integers.

    Parameters
    ----------
    source, target
        ONNX files.
    name
        Of the graph's input.
    windows
        What the input is like, as the graph takes it: the ranges of all sums come from them.

    Raises
    ------
    ModelError
        If ONNX Runtime cannot do that to the graph.
    """
    need("onnx", "onnx")
    need("onnxruntime", "onnx")
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(dir=target.parent) as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        try:
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared),
                str(target),
                _reader(quantization, name, windows),
                quant_format=quantization.QuantFormat.QDQ,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                per_channel=True,
                # Seven bits of weights: sums of eight overflow on CPUs without VNNI.
                reduce_range=True,
                nodes_to_exclude=_last(prepared),
            )
        except ModelError:
            raise
        except Exception as error:  # it has no errors of its own
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"The network does not become 8-bit integers: {line[:300]}") from None


def _reader(quantization: Any, name: str, windows: Sequence[npt.NDArray[np.float32]]) -> Any:
    """Return the windows as ONNX Runtime asks for them."""

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.waiting = iter(windows)

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            window = next(self.waiting, None)
            return None if window is None else {name: window}

    return Reader()


def _last(file: Path) -> list[str]:
    """Return the operation that makes the outputs: its own steps of 1/255 would be seen."""
    graph = need("onnx", "onnx").load(str(file)).graph
    outputs = {tensor.name for tensor in graph.output}
    return [node.name for node in graph.node if outputs & set(node.output)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep remarks about operations that stay in float32 from the user."""
    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
