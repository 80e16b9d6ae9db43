"""Networks in ONNX files, run by ONNX Runtime as if they were torch's.

ONNX Runtime is data only: it knows a fixed set of operations and runs no code from a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch

from ..errors import ModelError
from .adapt import Adapted
from .formats import need
from .onnx_graph import read_graph
from .store import Model
from .weights import checked_content

# On torch's name of a device: the providers to try, in order.
_PROVIDERS = {"cuda": ("CUDAExecutionProvider", "CPUExecutionProvider")}


def load_network(
    model: Model, device: str | torch.device = "cpu", *, fold: int = 0
) -> torch.nn.Module:
    """Return the network of a model whose weights are an ONNX file.

    Raises ModelError if the file is not the one that the description names, or ONNX Runtime is
    not there or does not take it.
    """
    description = model.description
    checked_content(model, fold)
    arguments = description.network.graph
    file = model.folder / description.weights[fold].path
    made = Adapted(
        OnnxNetwork(file),
        arguments,
        spatial_dims=description.inputs.spatial_dims,
        activation=description.outputs.activation,
    )
    return made.eval().to(device)


class OnnxNetwork(torch.nn.Module):
    """An ONNX file as a module: from one tensor, on any device, to one in float32.

    Where torch runs on CUDA, so does ONNX Runtime if it can; otherwise it runs on the CPU with
    as many threads as torch has.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        graph = read_graph(file)
        if len(graph.inputs) != 1:
            raise ModelError(f"{file} has {len(graph.inputs)} inputs, one is needed.")
        self.input, self.output = graph.inputs[0], graph.outputs[0]
        self._sessions: dict[str, Any] = {"cpu": self._session("cpu")}

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the first output."""
        device = images.device
        if device.type not in self._sessions:
            self._sessions[device.type] = self._session(device.type)
        array = images.detach().to("cpu", torch.float16 if self.input.is_half else torch.float32)
        values = {self.input.name: array.contiguous().numpy()}
        try:
            (out,) = self._sessions[device.type].run([self.output.name], values)
        except Exception as error:  # its errors have no base of their own
            line = _line(error)
            if "allocate" in line.lower():
                raise MemoryError(line) from None
            shape = tuple(images.shape)
            raise ModelError(f"{self.file.name} fails on {shape}: {line}") from None
        return torch.from_numpy(out).to(device, torch.float32)

    def _session(self, device: str) -> Any:
        ort = need("onnxruntime", "onnx")
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what it says goes to the terminal, past everything
        wanted = _PROVIDERS.get(device, ("CPUExecutionProvider",))
        providers = [p for p in wanted if p in ort.get_available_providers()]
        try:
            return ort.InferenceSession(str(self.file), options, providers=providers)
        except Exception as error:  # its errors have no base of their own
            line = _line(error)
            raise ModelError(f"ONNX Runtime does not take {self.file.name}: {line}") from None

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return type(self)(self.file)

    def __getstate__(self) -> dict[str, Any]:
        return {"file": self.file}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
