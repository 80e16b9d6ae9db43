"""What an ONNX file says of itself, read from its bytes: nothing is run, nothing is imported.

An ONNX file is one message of Protocol Buffers. Few of its fields matter here: the inputs and
outputs with their shapes, the last operations, and where tensors lie that are stored outside the
file. Numbers of fields are those of ``onnx.proto3``.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import ModelError

# A side of a tensor: its length, or None where any will do.
Shape = tuple[int | None, ...]
Field = tuple[int, int | memoryview]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT, _HALF, _BYTE = 1, 10, (2, 3)
_EXTERNAL = 1
# Graphs lie in loops and branches of graphs; what is deeper than this was not made to be run.
_DEEPEST = 20
# By name of the message: the fields that hold messages in which tensors may lie.
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph; ``shape`` is None where the file does not tell it."""

    name: str
    shape: Shape | None
    type: int

    @property
    def is_float(self) -> bool:
        """Whether it is in float32 or float16."""
        return self.type in (_FLOAT, _HALF)

    @property
    def is_half(self) -> bool:
        """Whether it is in float16."""
        return self.type == _HALF


@dataclass(frozen=True)
class Graph:
    """An ONNX file: its inputs and outputs, and the files beside it that it needs.

    ``last`` is the operation that makes the first output, such as ``"Sigmoid"``; ``parameters``
    how many numbers its stored tensors of floats hold, None where some are of whole numbers or
    there are none.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    last: str
    external: tuple[str, ...]
    parameters: int | None = None


def read_graph(file: Path) -> Graph:
    """Return what an ONNX file says.

    Raises ModelError, in one line, if it cannot be read, is no ONNX file, or stores tensors in
    files outside of its folder.
    """
    try:
        with file.open("rb") as opened:
            graph = _graph(memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)))
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror or error}).") from None
    except (ValueError, IndexError, KeyError, UnicodeDecodeError):
        raise ModelError(f"{file} is damaged or no ONNX file: get the model again.") from None
    for place in graph.external:
        _check_inside(file, place)
    return graph


def _check_inside(file: Path, place: str) -> None:
    """Raise ModelError for a file of tensors that is not beside the graph."""
    path = PurePosixPath(place)
    outside = path.is_absolute() or ".." in path.parts or "\\" in place or ":" in place
    folder = file.parent.resolve()
    if outside or not path.parts or not (folder / path).resolve().is_relative_to(folder):
        raise ModelError(
            f"{file} keeps tensors outside of its folder, in {place!r}: save it as one file."
        )
    if not (folder / path).is_file():
        raise ModelError(f"{file} needs the file {place!r} beside it: copy both together.")


def _graph(content: memoryview) -> Graph:
    bodies = [v for n, v in _fields(content) if n == 7 and isinstance(v, memoryview)]
    if len(bodies) != 1:
        raise ValueError("a model has one graph")
    fields = [(n, v) for n, v in _fields(bodies[0]) if isinstance(v, memoryview)]
    stored = {_text(v, 8) for n, v in fields if n == 5}
    inputs = tuple(_tensor(v) for n, v in fields if n == 11)
    outputs = tuple(_tensor(v) for n, v in fields if n == 12)
    if not outputs:
        raise ValueError("a graph has an output")
    makers = {out: _text(v, 4) for n, v in fields if n == 1 for out in _texts(v, 2)}
    return Graph(
        # Old files name their weights as inputs too.
        tuple(t for t in inputs if t.name not in stored),
        outputs,
        makers.get(outputs[0].name, ""),
        tuple(sorted(set(_external(content, "model", 0)))),
        _parameters([v for n, v in fields if n == 5]),
    )


def _parameters(tensors: Sequence[memoryview]) -> int | None:
    """Return how many numbers of type float TensorProtos have; None where weights are others."""
    count = 0
    for tensor in tensors:
        fields = list(_fields(tensor))
        kind = next((v for n, v in fields if n == 2), 0)
        if kind in _BYTE:
            return None
        if kind in (_FLOAT, _HALF):
            count += math.prod(_sides(v for n, v in fields if n == 1))
    return count or None


def _sides(values: Iterable[int | memoryview]) -> Iterator[int]:
    """Yield the whole numbers of a field, which may be packed."""
    for value in values:
        if isinstance(value, int):
            yield value
            continue
        at = 0
        while at < len(value):
            side, at = _varint(value, at)
            yield side


def _external(content: memoryview, kind: str, depth: int) -> Iterator[str]:
    """Yield the files in which tensors inside a message are stored."""
    if depth > _DEEPEST:
        raise ValueError("graphs lie too deep in each other")
    if kind == "tensor":
        entries = [v for n, v in _fields(content) if n == 13 and isinstance(v, memoryview)]
        is_external = any(n == 14 and v == _EXTERNAL for n, v in _fields(content))
        if is_external or entries:
            yield next((_text(e, 2) for e in entries if _text(e, 1) == "location"), "")
        return
    inside = _INSIDE[kind]
    for number, value in _fields(content):
        if number in inside and isinstance(value, memoryview):
            yield from _external(value, inside[number], depth + 1)


def _tensor(content: memoryview) -> Tensor:
    """Return a ValueInfoProto."""
    name, form, kind = _text(content, 1), None, 0
    for tensor in _messages(content, 2, 1):
        kind = next((v for n, v in _fields(tensor) if n == 1 and isinstance(v, int)), 0)
        for shape in _messages(tensor, 2):
            form = tuple(_side(side) for side in _messages(shape, 1))
    return Tensor(name, form, kind)


def _side(content: memoryview) -> int | None:
    length = next((v for n, v in _fields(content) if n == 1 and isinstance(v, int)), 0)
    return length if 0 < length < 2**31 else None


def _messages(content: memoryview, *path: int) -> list[memoryview]:
    """Return the messages at a path of field numbers."""
    found = [content]
    for number in path:
        found = [v for c in found for n, v in _fields(c) if n == number and not isinstance(v, int)]
    return found


def _texts(content: memoryview, number: int) -> list[str]:
    return [bytes(v).decode() for v in _messages(content, number)]


def _text(content: memoryview, number: int) -> str:
    return next(iter(_texts(content, number)), "")


def _fields(content: memoryview) -> Iterator[Field]:
    """Yield the fields of a message: their number, and a whole number or bytes."""
    at, end = 0, len(content)
    while at < end:
        tag, at = _varint(content, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(content, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(content, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}[wire]
        if not number or at + size > end:
            raise ValueError("a field goes beyond its message")
        yield number, content[at : at + size]
        at += size


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number is too long")
