"""Smaller models, with what that costs measured on the user's own image.

``"float16"`` halves the file and changes little; ``"int8"`` makes a quarter of it, runs on ONNX
Runtime, and on CPUs is faster.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from ..errors import ModelError, WriteError, did_you_mean
from ..events import Compressed, Event, Started, WindowDone
from ..preprocess import prepare
from ..runner import activated
from ..volume import Volume
from .adapt import moved
from .archive import file_sha256
from .description import ModelDescription
from .importing import copy_beside, staged
from .native import DESCRIPTION_FILE
from .onnx_compress import write_half, write_int8
from .onnx_export import write_graph
from .onnx_graph import read_graph
from .parts import NetworkSpec, WeightsFile
from .store import Model
from .weights import save_model

Method = Literal["float16", "int8"]
FILE = "network.onnx"
# Windows to set ranges with and to measure on: a minute's work at most.
_WINDOWS = 8


@dataclass(frozen=True)
class Compression:
    """What a smaller model costs and brings, against the model as it was.

    Attributes
    ----------
    method
        How it was made smaller.
    bytes_before, bytes_after
        Sizes of the weights.
    seconds_before, seconds_after
        For a window on the CPU; the least of several.
    agreement
        Part of the voxels that are labelled as before.
    dice
        Overlap with the labels as before, for each class; NaN for one that is in neither.
    windows
        How many windows of the image this was measured on.
    unmeasured
        Channels that are no labels yet and are not compared, as those that tell objects apart.
    """

    method: Method
    bytes_before: int
    bytes_after: int
    seconds_before: float
    seconds_after: float
    agreement: float
    dice: Mapping[str, float]
    windows: int
    unmeasured: tuple[str, ...] = ()

    def __str__(self) -> str:
        known = {name: value for name, value in self.dice.items() if not np.isnan(value)}
        worst = min(known, key=lambda name: known[name], default=None)
        rest = ", ".join(self.unmeasured)
        more = f" Not compared: {rest}, by which objects are told apart." if rest else ""
        overlap = "" if worst is None else f", Dice {known[worst]:.3f} or more ({worst})"
        return (
            f"{self.method}: {self.bytes_after / self.bytes_before:.0%} of the size, "
            f"{self.seconds_after / self.seconds_before:.0%} of the time, "
            f"{self.agreement:.2%} of the voxels labelled as before{overlap}, on "
            f"{self.windows} windows of your image.{more}"
        )


def compress(
    model: Model,
    target: str | os.PathLike[str],
    *,
    method: Method,
    calibration: Volume,
    name: str | None = None,
) -> tuple[Model, Compression]:
    """Write a smaller copy of a model in our own format, and measure what it costs.

    Parameters
    ----------
    model
        Of one network, from the table or in an ONNX file.
    target
        Folder to make.
    method
        ``"float16"`` or ``"int8"``.
    calibration
        An image such as the model is for: ``"int8"`` takes its ranges from it, and both are
        compared on it with the model as it was. Of a series its first time point counts.
    name
        What to call the smaller model; ``None``: as the model.

    Returns
    -------
    The smaller model, and what was measured.

    Raises
    ------
    ModelError
        For an ensemble, TorchScript, an image that does not fit, or a network that cannot be
        made smaller.
    WriteError
        If the folder exists, or cannot be written.
    """
    for event in compress_steps(model, target, method=method, calibration=calibration, name=name):
        if isinstance(event, Compressed):
            return event.model, event.cost
    raise AssertionError("the last event is Compressed")


def compress_steps(
    model: Model,
    target: str | os.PathLike[str],
    *,
    method: Method,
    calibration: Volume,
    name: str | None = None,
) -> Generator[Event, None, None]:
    """Write a smaller copy of a model step by step; the last event is `Compressed`.

    Parameters and errors are those of `compress`. Closing the generator leaves nothing behind.
    """
    if method not in get_args(Method):
        raise ModelError(f"No compression {method!r}. {did_you_mean(method, get_args(Method))}")
    if model.folds != 1 or model.description.network.source == "torchscript":
        what = "TorchScript" if model.folds == 1 else f"{model.folds} networks"
        raise ModelError(f"{model.name} is {what}: compress one ONNX file or known network.")
    folder = Path(target).expanduser()
    if folder.exists():
        raise WriteError(f"{folder} exists already: choose another name.")
    # What the tests of the model expect is not what a smaller one gives, to the last digit.
    told = dataclasses.replace(
        model.description,
        name=name or model.name,
        tests=(),
        training={
            **model.description.training,
            "compressed_from": {"model": model.name, "method": method},
        },
    )
    windows = _windows(prepare(calibration.at_time(0), told).array, told)
    network = model.load_network()
    with staged(folder) as stage:
        if method == "float16" and told.network.source == "table":
            made = save_model(stage, told, network.state_dict(), half=True)
        else:
            made = _graph(model, told, network, stage, method, windows)
        copy_beside(model.folder, stage)
        yield Started(len(windows), "windows")
        cost = yield from _measured(model, network, made, method, windows)
    yield Compressed(dataclasses.replace(made, folder=folder), cost)


def _graph(
    model: Model,
    description: ModelDescription,
    network: torch.nn.Module,
    folder: Path,
    method: Method,
    windows: Sequence[npt.NDArray[np.float32]],
) -> Model:
    """Write a model whose network is a smaller ONNX file into a folder."""
    small = folder / FILE
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        full = Path(beside) / "full.onnx"
        inputs = description.inputs
        spec = NetworkSpec("onnx", {}, source="onnx")
        if description.network.source == "onnx":
            spec = description.network
            full = model.folder / description.weights[0].path
        else:
            inputs = write_graph(network, description, full)
        if method == "float16":
            write_half(full, small)
        else:
            axes = "bc" + "zyx"[-description.inputs.spatial_dims :]
            there = str(spec.arguments.get("input_axes", "")) or axes
            taken = [moved(torch.from_numpy(w), axes, there).numpy() for w in windows]
            write_int8(full, small, read_graph(full).inputs[0].name, taken)
    described = dataclasses.replace(
        description,
        network=spec,
        weights=(WeightsFile(FILE, file_sha256(small), loader="onnx"),),
        inputs=inputs,
        trust="data_only",
    )
    text = json.dumps(described.to_json(), indent=2, ensure_ascii=False) + "\n"
    (folder / DESCRIPTION_FILE).write_text(text, encoding="utf-8")
    return Model(described, folder)


def _windows(
    array: npt.NDArray[np.float32], description: ModelDescription
) -> list[npt.NDArray[np.float32]]:
    """Return windows of an image, those with most in them: (1, channel, *window)."""
    sides = description.inferer.window
    dims = len(sides)
    if array.ndim - 1 > dims:  # a network of slices on a volume
        chosen = np.unique(np.linspace(0, array.shape[1] - 1, _WINDOWS).astype(int))
        images = [array[:, index] for index in chosen]
    else:
        images = [array]
    found = []
    for image in images:
        missing = [max(0, w - n) for w, n in zip(sides, image.shape[1:], strict=True)]
        padded = np.pad(image, [(0, 0), *((0, more) for more in missing)], mode="edge")
        spare = [n - w for n, w in zip(padded.shape[1:], sides, strict=True)]
        starts = [sorted({0, s // 2, s}) for s in spare]
        for corner in np.ndindex(*(len(s) for s in starts)):
            at = [s[i] for s, i in zip(starts, corner, strict=True)]
            box = (slice(None), *(slice(a, a + w) for a, w in zip(at, sides, strict=True)))
            found.append(np.ascontiguousarray(padded[box][None], np.float32))
    found.sort(key=lambda window: float(window.std()), reverse=True)
    return found[:_WINDOWS]


def _measured(
    model: Model,
    network: torch.nn.Module,
    made: Model,
    method: Method,
    windows: Sequence[npt.NDArray[np.float32]],
) -> Generator[Event, None, Compression]:
    smaller = made.load_network()
    before, after = [], []
    for done, window in enumerate(windows, start=1):
        before.append(_run(network, window, model.description))
        after.append(_run(smaller, window, model.description))
        yield WindowDone(done, len(windows))
    first, second = (np.stack([masks for masks, _ in runs]) for runs in (before, after))
    outputs = model.description.outputs
    names = outputs.channels[1:] if outputs.softmax else outputs.channels
    overlap: dict[str, float] = {}
    for index, name in enumerate(names):
        if not outputs.softmax and outputs.activation[index] != "sigmoid":
            continue
        a, b = first[:, index], second[:, index]
        voxels = int(a.sum() + b.sum())
        overlap[name] = 2 * int((a & b).sum()) / voxels if voxels else float("nan")
    kept = [i for i, name in enumerate(names) if name in overlap]
    same = (first[:, kept] == second[:, kept]).all(axis=1)
    return Compression(
        method,
        _size(model),
        _size(made),
        min(seconds for _, seconds in before),
        min(seconds for _, seconds in after),
        float(same.mean()),
        overlap,
        len(windows),
        tuple(name for name in names if name not in overlap),
    )


def _run(
    network: torch.nn.Module, window: npt.NDArray[np.float32], description: ModelDescription
) -> tuple[npt.NDArray[np.bool_], float]:
    """Return which voxels of a window are of which class, (class, *window), and the time."""
    outputs = description.outputs
    began = time.perf_counter()
    with torch.inference_mode():
        out = network(torch.from_numpy(window))
    seconds = time.perf_counter() - began
    if outputs.select:
        out = out[:, list(outputs.select)]
    maps = activated(out, outputs.activation)[0]
    if not outputs.softmax:
        return (maps >= 0.5).numpy(), seconds
    best = maps.argmax(dim=0)
    return np.stack([(best == i).numpy() for i in range(1, len(maps))]), seconds


def _size(model: Model) -> int:
    return sum((model.folder / w.path).stat().st_size for w in model.description.weights)
