"""A model out of a MONAI bundle, without running anything of it.

Its configuration is read as data (`bundle_config`), the network by its name
(`bundle_network`), transforms as operations of ours (`bundle_transforms`, `bundle_outputs`).
What cannot be done is a blocker of the model, one line that says what and why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..networks import fixed_size, size_multiple
from ..preprocess import Operation
from ..volume import LabelClass
from .archive import unpacked
from .bundle_config import CONFIG, METADATA, SUFFIXES, Config, read_config_file
from .bundle_network import Found, read_network
from .bundle_outputs import Postprocessing, Windows, read_inferer, read_postprocessing
from .bundle_transforms import Preprocessing, read_preprocessing
from .bundle_values import Component
from .description import ModelDescription
from .parts import Inferer, Inputs, Outputs
from .store import Model

# What MONAI's evaluator may be told that does not change the labels.
_HARMLESS = {
    "additional_metrics", "amp", "amp_kwargs", "compile", "compile_kwargs", "decollate", "device",
    "epoch_length", "inferer", "key_val_metric", "metric_cmp_fn", "mode", "network",
    "non_blocking", "postprocessing", "to_kwargs", "val_data_loader", "val_handlers",
}  # fmt: skip
_LICENCES = (
    ("apache license", "Apache-2.0"),
    ("mit license", "MIT"),
    ("attribution-noncommercial-sharealike 4.0", "CC-BY-NC-SA-4.0"),
    ("attribution-noncommercial 4.0", "CC-BY-NC-4.0"),
    ("attribution-sharealike 4.0", "CC-BY-SA-4.0"),
    ("attribution 4.0", "CC-BY-4.0"),
    ("bsd 3-clause", "BSD-3-Clause"),
)


def read_bundle(path: Path, config: str | Sequence[str] | None = None) -> Model:
    """Return the model in a bundle; nothing of it runs.

    Parameters
    ----------
    path
        Folder or zip.
    config
        Name of the configuration in ``configs``, or several that are merged in order; the one
        for inference when left out.

    Raises
    ------
    ModelError
        If it is no bundle or its files are damaged. What is merely not known is a blocker.
    """
    root = unpacked(path)
    if root.name == "configs" and not (root / "configs").is_dir():
        root = root.parent
    metadata = read_config_file(root / "configs" / METADATA)
    files = [_config_file(root, name) for name in _names(root, config)]
    parsed = Config(root, files, metadata)
    return Model(_describe(parsed, metadata, path), root, origin="monai_bundle")


def _names(root: Path, config: str | Sequence[str] | None) -> Sequence[str]:
    if config is not None:
        return [config] if isinstance(config, str) else config
    for suffix in SUFFIXES:
        if (root / "configs" / f"{CONFIG}{suffix}").is_file():
            return [f"{CONFIG}{suffix}"]
    raise ModelError(f"{root} has no configs/{CONFIG}.json: name the config to read.")


def _config_file(root: Path, name: str) -> Path:
    configs = root / "configs"
    for suffix in ("", *SUFFIXES):
        file = configs / f"{name}{suffix}"
        if file.is_file() and file.resolve().is_relative_to(root.resolve()):
            return file
    known = sorted(f.name for f in configs.glob("*") if f.suffix in SUFFIXES)
    raise ModelError(f"{root} has no configs/{name}. It has {', '.join(known)}.")


def _describe(config: Config, metadata: Mapping[str, Any], path: Path) -> ModelDescription:
    """Return the description, with a blocker for each part that cannot be done."""
    found = read_network(config)
    blockers = list(found.blockers)
    given = _format(metadata, "inputs", "image")
    told = _format(metadata, "outputs", "pred")
    arguments = found.told.arguments if found.told else {}
    dims = arguments.get("spatial_dims") or _dims(config, given)
    windows = read_inferer(_part(config, "inferer", blockers), dims)
    pre = read_preprocessing(
        _part(config, "preprocessing", blockers),
        dims,
        root=config.root,
        sliced=windows.slice_axis is not None,
    )
    named = len(told.get("channel_def") or ())
    channels = arguments.get("out_channels") or told.get("num_channels") or named or 1
    post = read_postprocessing(
        _part(config, "postprocessing", blockers),
        channels,
        resampled=pre.resampled,
        root=config.root,
    )
    blockers += _check_evaluator(config)
    blockers += [*pre.blockers, *windows.blockers, *post.blockers, *found.missing]
    _slices(pre, windows)
    inputs = _inputs(found, given, pre, dims)
    outputs, labels = _outputs(post, told, channels)
    values: dict[str, Any] = {
        **_identity(metadata, path, config.root),
        "limits": " ".join(post.notes),
        "network": found.network,
        "weights": found.weights,
        "inputs": inputs,
        "inferer": _inferer(windows, pre, given, inputs),
        "outputs": outputs,
        "labels": labels,
        "trust": "native_code" if found.scripted else "data_only",
    }
    steps: dict[str, Any] = {
        "preprocess": () if pre.blockers else tuple(pre.operations),
        "postprocess": () if post.blockers else tuple(post.operations),
    }
    lines = tuple(dict.fromkeys(blockers))
    try:
        return ModelDescription(**values, **steps, blockers=lines)
    except ModelError as error:  # numbers that no operation takes
        return ModelDescription(**values, blockers=(str(error), *lines))


def _part(config: Config, name: str, blockers: list[str]) -> Any:
    try:
        return config.get(name)
    except ModelError as error:
        blockers.append(f"{name}: {error}")
        return None


def _check_evaluator(config: Config) -> list[str]:
    """Return a blocker for what the evaluator does beside running the network."""
    try:
        evaluator = config.get("evaluator")
    except ModelError as error:
        return [f"evaluator: {error}"]
    if not isinstance(evaluator, Component):
        return []
    if evaluator.own_code or evaluator.name not in ("SupervisedEvaluator", "EnsembleEvaluator"):
        return [f"evaluator {evaluator.target}: it is code of the bundle's own, which is not run."]
    if evaluator.name == "EnsembleEvaluator":
        return ["evaluator EnsembleEvaluator: an ensemble in a bundle is not done."]
    left = [key for key in evaluator.keys if key not in _HARMLESS]
    return [f"evaluator: its argument {key} is not known." for key in left]


def _format(metadata: Mapping[str, Any], side: str, name: str) -> Mapping[str, Any]:
    """Return what the metadata say of the input or output, as far as they do."""
    found: Any = metadata.get("network_data_format")
    for key in (side, name):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _dims(config: Config, given: Mapping[str, Any]) -> int:
    """Return the number of spatial dimensions where the network does not say it."""
    try:
        dims = config.get("network_def::spatial_dims")
    except ModelError:
        dims = None
    shape = given.get("spatial_shape")
    if dims not in (2, 3) and isinstance(shape, list):
        dims = len(shape)
    return dims if dims in (2, 3) else 3


def _slices(pre: Preprocessing, windows: Windows) -> None:
    """Turn the axis along which a 2-D network is led over a volume to the front."""
    axis = windows.slice_axis
    if axis is None:
        return
    axes = [axis, *(a for a in range(3) if a != axis)]
    if pre.from_file:
        stored = [2 - a for a in axes]
        pre.operations[0] = Operation("transpose", {"axes": stored, "stored": True})
    elif axis:
        pre.add("transpose", axes=axes)


def _inputs(found: Found, given: Mapping[str, Any], pre: Preprocessing, dims: int) -> Inputs:
    arguments = found.told.arguments if found.told else {}
    count = arguments.get("in_channels") or given.get("num_channels") or 1
    names = _named(given.get("channel_def"), count)
    if names is None:
        single = ("image",) if count == 1 else tuple(f"channel {i}" for i in range(count))
        names = pre.sources if len(pre.sources) == count > 1 else single
    multiple, fixed = 1, None
    if found.told is not None:
        multiple = size_multiple(found.told.name, arguments)
        fixed = fixed_size(found.told.name, arguments)
    colour = count == 3 and (pre.colour or str(given.get("format")).upper() == "RGB")
    modality = str(given.get("modality") or "")
    return Inputs(
        channels=names,
        spatial_dims=dims,
        colour=colour,
        size_multiple=multiple,
        fixed_size=fixed is not None,
        modality={"MRI": "MR", "regular": "", "none": "", "n/a": ""}.get(modality, modality),
    )


def _named(told: Any, count: int) -> tuple[str, ...] | None:
    """Return the names of channels, a mapping of numbers as texts, if they are that many."""
    if not isinstance(told, Mapping) or set(told) != {str(i) for i in range(count)}:
        return None
    return tuple(_text(told[str(i)]) or f"channel {i}" for i in range(count))


def _inferer(
    windows: Windows, pre: Preprocessing, given: Mapping[str, Any], inputs: Inputs
) -> Inferer:
    dims = inputs.spatial_dims
    shape = given.get("spatial_shape")
    usual = (64, 64, 64) if dims == 3 else (256, 256)
    if isinstance(shape, list) and len(shape) == dims and all(type(n) is int for n in shape):
        usual = tuple(shape)
    return Inferer(
        window=windows.window or pre.window or usual,
        overlap=windows.overlap,
        blend=windows.blend,
        kind="simple" if windows.simple else "sliding",
        steps="monai",
        average="logits",
        padding=windows.padding,  # type: ignore[arg-type]
    )


def _outputs(
    post: Postprocessing, told: Mapping[str, Any], channels: int
) -> tuple[Outputs, tuple[LabelClass, ...]]:
    names = _class_names(told, channels, background=post.activation == "softmax")
    names = tuple(names[channel] for channel in post.select) if post.select else names
    home = post.home or "probabilities"
    softmax = post.activation == "softmax" and channels > 1
    numbers = post.regions or tuple(
        post.numbers.get(i, i) for i in range(0 if softmax else 1, len(names) + (not softmax))
    )
    classes = {n: LabelClass(n, name) for n, name in zip(numbers, names, strict=True) if n}
    activation: Any = ("softmax",) if softmax else ("sigmoid",) * len(names)
    outputs = Outputs(
        "classes", names, activation, home=home, select=post.select, regions=post.regions
    )
    # Regions may write a number twice; classes follow the order of the channels.
    order = sorted(classes) if post.regions else list(classes)
    return outputs, tuple(classes[n] for n in order)


def _class_names(told: Mapping[str, Any], channels: int, *, background: bool) -> tuple[str, ...]:
    defined = told.get("channel_def") or told.get("label_def")
    if isinstance(defined, Mapping) and len(defined) == channels + 1 and not background:
        defined = {str(i): defined.get(str(i + 1)) for i in range(channels)}
    names = _named(defined, channels)
    if names is not None:
        return names
    first = ["background"] if background else []
    return (*first, *(f"class {i}" for i in range(1, channels + 1 - len(first))))


def _identity(metadata: Mapping[str, Any], path: Path, root: Path) -> dict[str, Any]:
    """Return name, licence and what else tells who made the model and for what."""
    stem = path.name.removesuffix(".zip") if path.suffix == ".zip" else root.name
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "monai-bundle"
    return {
        "name": name,
        "title": _text(metadata.get("name")) or name,
        "version": _text(metadata.get("version")) or "0",
        "description": _text(metadata.get("description")),
        "licence": _licence(root),
        "authors": tuple(filter(None, (_text(metadata.get("authors")),))),
        "citations": _texts(metadata.get("references")),
        "intended_use": _text(metadata.get("intended_use")) or _text(metadata.get("task")),
    }


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(text for text in map(_text, values) if text)


def _licence(root: Path) -> str:
    """Return the SPDX identifier of a bundle's licence as far as its first lines tell it."""
    for name in ("LICENSE", "LICENSE.txt", "LICENSE.md", "docs/LICENSE", "license.txt"):
        file = root / name
        if file.is_file() and file.resolve().is_relative_to(root.resolve()):
            with file.open(encoding="utf-8", errors="replace") as lines:
                text = " ".join(lines.read(4000).split()).lower()
            return next((spdx for words, spdx in _LICENCES if words in text), "see LICENSE")
    return "not said"
