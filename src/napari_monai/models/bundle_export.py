"""A model written as a MONAI bundle that MONAI's own runner takes: a folder or a zip.

What MONAI's transforms cannot say is refused or said in the bundle's README.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError, WriteError
from ..networks import build_network, to_monai
from .bundle_export_steps import (
    Told,
    inferer_component,
    postprocessing_steps,
    preprocessing_steps,
)
from .description import ModelDescription
from .store import Model
from .weights import read_weights

_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
_LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "license.txt")


def write(model: Model, target: Path, fold: int | None = None) -> Path:
    """Write a model as a bundle; see `napari_monai.models.monai_bundle.export`."""
    if model.folds > 1 and fold is None:
        raise ModelError(
            f"{model.name} is an ensemble of {model.folds} networks, a MONAI bundle holds one: "
            "choose a fold."
        )
    network = model.description.network
    if network.source != "table":
        kind = {"onnx": "an ONNX file", "torchscript": "a TorchScript file"}.get(network.source)
        raise ModelError(
            f"The network of {model.name} is {kind or 'Python code'}, a MONAI bundle names one of "
            "MONAI's: choose another format."
        )
    if target.exists():
        raise WriteError(f"{target} exists already: choose another name.")
    told = Told()
    config = _config(model.description, told)
    files = {
        "configs/metadata.json": _json(_metadata(model.description)),
        "configs/inference.json": _json(config),
        "docs/README.md": _readme(model.description, told.lines),
        "LICENSE": _licence(model),
    }
    tensors = {k: t.clone() for k, t in read_weights(model, fold or 0).items()}
    try:
        _write(target, files, tensors)
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(f"{target} cannot be written ({reason}): choose another place.") from None
    return target


def _write(target: Path, files: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write everything beside the target, then move it there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        name = target.name.removesuffix(".zip")
        folder = stage / name
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        (folder / "models").mkdir()
        torch.save(dict(tensors), folder / "models" / "model.pt")
        if target.suffix == ".zip":
            _pack(folder, stage / "packed.zip")
            os.replace(stage / "packed.zip", target)
            return
        os.replace(folder, target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _pack(folder: Path, file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent).as_posix())


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=4, ensure_ascii=False, allow_nan=False) + "\n"


def _config(description: ModelDescription, told: Told) -> dict[str, Any]:
    """Return the configuration of inference."""
    network = _network(description)
    stride = _stride(description)
    before = preprocessing_steps(description, stride, told)
    after = postprocessing_steps(description, told)
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "dataset_dir": "$@bundle_root + '/data'",
        "output_dir": "$@bundle_root + '/eval'",
        "datalist": "$sorted(glob.glob(os.path.join(@dataset_dir, '*.*')))",
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": before},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': i} for i in @datalist]",
            "transform": "@preprocessing",
        },
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": inferer_component(description, stride, told),
        "postprocessing": {"_target_": "Compose", "transforms": after},
        "handlers": [{"_target_": "StatsHandler", "iteration_log": False}],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
            "map_location": "@device",
        },
        "initialize": ["$@checkpointloader(@evaluator)"],
        "run": ["$@evaluator.run()"],
    }


def _network(description: ModelDescription) -> dict[str, Any]:
    name, arguments = to_monai(description.network.name, description.network.arguments)
    return {"_target_": name, **arguments}


def _stride(description: ModelDescription) -> tuple[int, ...]:
    """Return what MONAI's network, which does not pad, needs its sizes to be multiples of."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = build_network(description.network.name, description.network.arguments)
    stride: tuple[int, ...] = getattr(network, "total_stride", description.inputs.multiples)
    return tuple(stride)


def _metadata(description: ModelDescription) -> dict[str, Any]:
    """Return what MONAI's specification of bundles asks for."""
    inputs = description.inputs
    shape = [*_window(description)]
    names = {str(i): name for i, name in enumerate(inputs.channels)}
    classes = description.outputs.kind == "classes"
    return {
        "schema": _SCHEMA,
        "version": description.version,
        "changelog": {description.version: "written by napari-monai"},
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {
            "nibabel": version("nibabel"),
            "pytorch-ignite": "0.5.0",
            "scikit-image": version("scikit-image"),
        },
        "name": description.title,
        "task": description.intended_use or description.title,
        "description": description.description or description.title,
        "authors": ", ".join(description.authors) or "not said",
        "copyright": f"The authors; licence {description.licence}",
        "intended_use": description.intended_use,
        "references": list(description.citations),
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "RGB" if inputs.colour else "magnitude",
                    "modality": inputs.modality or "n/a",
                    "num_channels": len(inputs.channels),
                    "spatial_shape": shape,
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": description.inferer.kind == "sliding",
                    "channel_def": names,
                }
            },
            "outputs": {
                "pred": {
                    "type": "image" if classes else "probability",
                    "format": "segmentation",
                    "num_channels": _out_channels(description),
                    "spatial_shape": shape,
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": description.inferer.kind == "sliding",
                    "channel_def": _channel_def(description),
                }
            },
        },
    }


def _window(description: ModelDescription) -> Sequence[int]:
    stride = _stride(description)
    sides = zip(description.inferer.window, stride, strict=True)
    return [-(-side // step) * step for side, step in sides]


def _out_channels(description: ModelDescription) -> int:
    channels = description.network.arguments.get("out_channels")
    return channels if isinstance(channels, int) else len(description.outputs.channels)


def _channel_def(description: ModelDescription) -> dict[str, str]:
    """Return the names of the network's own channels, in its own order."""
    outputs = description.outputs
    order = outputs.select or range(len(outputs.channels))
    names = {i: f"channel {i}" for i in range(_out_channels(description))}
    names |= dict(zip(order, outputs.channels, strict=True))
    return {str(i): names[i] for i in sorted(names)}


def _licence(model: Model) -> str:
    """Return the text of the licence that lies beside the model, or its name."""
    for name in _LICENCE_FILES:
        file = model.folder / name
        if file.is_file():
            return file.read_text(encoding="utf-8", errors="replace")
    licence = model.description.licence
    return f"SPDX-License-Identifier: {licence}\n\nThe authors' terms are those of {licence}.\n"


def _readme(description: ModelDescription, lines: Sequence[str]) -> str:
    parts = [f"# {description.title}", description.description, description.limits]
    if description.intended_use:
        parts.append(f"Intended use: {description.intended_use}")
    parts.append(
        "Run it on the images in a folder:\n\n```\npython -m monai.bundle run "
        "--config_file configs/inference.json --dataset_dir FOLDER --output_dir FOLDER\n```"
    )
    if lines:
        parts.append("What differs from napari-monai:\n\n" + "\n".join(f"- {x}" for x in lines))
    if description.citations:
        parts.append("\n".join(f"- {c}" for c in description.citations))
    return "\n\n".join(part for part in parts if part) + "\n"
