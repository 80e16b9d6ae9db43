"""From a BioImage.IO description to ours: the weights to take, the channels, the way there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import ModelError
from ..preprocess import Operation
from ..volume import LabelClass
from .bare import model_name
from .bioimageio_axes import Axes, UnfittingError, read_axes
from .bioimageio_steps import UntranslatableError, finishing, preprocessing, written
from .bioimageio_weights import Chosen, choose
from .description import ModelDescription
from .parts import Activation, Inferer, Inputs, NetworkSpec, Outputs, TestTensor
from .store import Model

# Words for outputs that are neither classes nor our foreground and distance.
_OTHER = (
    "affinit", "flow", "distance", "star", "embedding", "offset", "vector", "gradient",
    "denois", "restor", "deconv", "reconstruct", "depth", "densit", "keypoint",
)  # fmt: skip
_NAMELESS = re.compile(r"(channel|class|output|c|ch)[ _-]?\d*", re.IGNORECASE)
_MODALITIES = {
    "fluorescence": "fluorescence",
    "electron-microscopy": "EM",
    "em": "EM",
    "histology": "histology",
    "h-e": "histology",
    "mri": "MR",
    "ct": "CT",
}


@dataclass(frozen=True)
class _Given:
    """What the network gives, in our words, and why it cannot be had."""

    outputs: Outputs
    labels: tuple[LabelClass, ...]
    postprocess: tuple[Operation, ...] = ()
    gives: Literal["logits", "probabilities"] = "logits"
    note: str = ""


def model_of(rdf: Any, file: Path, weights: str | None = None) -> Model:
    """Return the model that a description, a ``ModelDescr``, means.

    ``weights`` names the kind to take; ``None`` is the first that runs here.
    What cannot be run here becomes a blocker of the model: it lists, and says why.
    """
    folder = file.parent
    chosen = choose(rdf.weights, folder, weights)
    blockers = list(chosen.refused) if not chosen.weights else []
    for what, tensors in (("inputs", rdf.inputs), ("outputs", rdf.outputs)):
        if len(tensors) != 1:
            blockers.append(f"It has {len(tensors)} {what}, one image is run here.")
    taken, given = rdf.inputs[0], rdf.outputs[0]
    try:
        axes = _of_graph(read_axes(taken, given), chosen)
        inputs = Inputs(
            axes.channels,
            axes.dims,
            size_multiple=axes.multiple,
            fixed_size=axes.fixed,
            modality=_modality(rdf.tags),
        )
        tests = _tests(taken, given, folder)
        ours = None if blockers else _ours(rdf, chosen, inputs, tests)
        if ours is not None:
            return Model(ours, folder, origin="bioimageio")
        steps = preprocessing(taken.preprocessing, axes.spatial)
        meant = _meaning(given, axes, chosen, folder)
    except UnfittingError as error:
        blockers.append(f"{_sentence(str(error))}.")
    except UntranslatableError as error:
        blockers.append(f"Its step {error} is not known here.")
    if blockers:
        return _blocked(rdf, folder, chosen, blockers)
    description = replace(
        _card(rdf),
        network=_network(chosen, axes, meant),
        weights=chosen.weights,
        inputs=inputs,
        preprocess=steps,
        inferer=Inferer(axes.window, overlap=axes.overlap),
        outputs=meant.outputs,
        labels=meant.labels,
        postprocess=meant.postprocess,
        limits=" ".join(_limits(axes, meant)),
        trust=chosen.trust,
        tests=tests,
    )
    return Model(description, folder, origin="bioimageio")


def _blocked(rdf: Any, folder: Path, chosen: Chosen, blockers: Sequence[str]) -> Model:
    """Return a model that lists and says why it does not run."""
    spatial = [axis for axis in rdf.inputs[0].axes if axis.type == "space" and axis.size != 1]
    dims = min(3, max(2, len(spatial)))
    description = replace(
        _card(rdf),
        network=chosen.network,
        weights=chosen.weights,
        inputs=Inputs(("channel0",), dims, modality=_modality(rdf.tags)),
        inferer=Inferer((64,) * dims),
        trust=chosen.trust,
        blockers=tuple(blockers),
    )
    return Model(description, folder, origin="bioimageio")


def _card(rdf: Any) -> ModelDescription:
    """Return what a model says of itself, with the rest still to be filled in."""
    cited = [f"{c.text}" + (f" doi:{c.doi}" if c.doi else "") for c in rdf.cite]
    return ModelDescription(
        name=model_name(str(rdf.id or rdf.name)).lower(),
        title=str(rdf.name),
        version=str(rdf.version or "1"),
        description=str(rdf.description or ""),
        licence=str(rdf.license or ""),
        authors=tuple(str(author.name) for author in rdf.authors or ()),
        citations=tuple(" ".join(text.split()) for text in cited),
        network=NetworkSpec("none", {}),
        inputs=Inputs(("channel0",), 2),
        inferer=Inferer((64, 64)),
        outputs=Outputs("classes", ("foreground",), ("sigmoid",)),
        labels=(LabelClass(1, "foreground"),),
    )


def _ours(
    rdf: Any, chosen: Chosen, inputs: Inputs, tests: tuple[TestTensor, ...]
) -> ModelDescription | None:
    """Return the description that our exporter left in the package; None where there is none."""
    kept = (rdf.config.model_extra or {}).get("napari_monai")
    if not isinstance(kept, dict):
        return None
    try:
        told = ModelDescription.from_json(kept)
    except ModelError:
        return None
    if len(told.inputs.channels) != len(inputs.channels):
        return None
    sizes = replace(told.inputs, size_multiple=inputs.size_multiple, fixed_size=inputs.fixed_size)
    # Weights and trust are those of the package, whatever it says there; what was selected of
    # the channels, the graph in it gives alone.
    spatial = "zyx"[-told.inputs.spatial_dims :]
    final = set(told.outputs.activation)
    is_told = not written(told.preprocess, spatial)[1] and len(final) == 1
    return replace(
        told,
        network=chosen.network,
        weights=chosen.weights,
        trust=chosen.trust,
        inputs=sizes,
        outputs=replace(told.outputs, select=()),
        tests=tests if is_told else (),
    )


def _of_graph(axes: Axes, chosen: Chosen) -> Axes:
    """Return the axes with the sizes that the graph itself fixes."""
    if len(chosen.sides) != len(axes.taken):
        return axes
    sides = [chosen.sides[axes.taken.index(axis)] for axis in axes.spatial]
    at = axes.taken.find("b")
    if at >= 0 and chosen.sides[at] == 1:
        axes = replace(axes, batch_one=True)
    if None in sides or axes.fixed:
        return axes
    fixed = tuple(side for side in sides if side is not None)
    return replace(axes, window=fixed, multiple=fixed, fixed=True)


def _network(chosen: Chosen, axes: Axes, meant: _Given) -> NetworkSpec:
    if chosen.network.source == "table":
        return chosen.network
    arguments = {
        "input_axes": axes.taken if axes.taken != axes.plain else "",
        "output_axes": axes.given if axes.given != axes.plain else "",
        "gives": meant.gives if meant.gives != "logits" else "",
        "batch_one": axes.batch_one,
    }
    meanings = {k: v for k, v in arguments.items() if v}
    return replace(chosen.network, arguments={**chosen.network.arguments, **meanings})


def _meaning(given: Any, axes: Axes, chosen: Chosen, folder: Path) -> _Given:
    """Return what the channels of an output are.

    Raises UnfittingError for what are no classes, UntranslatableError for an unknown step.
    """
    described = " ".join([*axes.classes, str(given.id), str(given.description)]).lower()
    word = next((word for word in _OTHER if word in described), None)
    if word is not None:
        raise UnfittingError(f"it gives {given.description or given.id!r}, not classes of voxels")
    final, postprocess = finishing(given.postprocessing)
    values = _test_values(given, axes, folder)
    probable = values is not None and values.min() >= 0 and values.max() <= 1 + 1e-6
    gives: Literal["logits", "probabilities"] = "logits"
    if not final:
        if chosen.finished or (chosen.finished is None and (probable or _in_unit(given))):
            gives = "probabilities"
        final = _guessed(axes, values, gives)
    classes = _class_names(axes, softmax=final == "softmax")
    if final == "softmax":
        order = [classes.index("background"), *(_others(classes))]
        outputs = Outputs("classes", tuple(classes[i] for i in order), ("softmax",))
        if order != sorted(order):
            outputs = replace(outputs, select=tuple(order))
        named = outputs.channels[1:]
    else:
        each: Activation = "sigmoid"
        outputs, named = Outputs("classes", classes, (each,) * len(classes)), classes
    labels = tuple(LabelClass(i, name) for i, name in enumerate(named, start=1))
    note = "" if gives == "logits" else "The network gives probabilities itself."
    return _Given(outputs, labels, postprocess, gives, note)


def _others(classes: Sequence[str]) -> list[int]:
    return [i for i, name in enumerate(classes) if name != "background"]


def _guessed(
    axes: Axes, values: np.ndarray[Any, Any] | None, gives: str
) -> Literal["sigmoid", "softmax"]:
    """Return the activation of an output that names none."""
    named = [name.lower() for name in axes.classes]
    if len(named) == 1:
        return "sigmoid"
    if gives == "probabilities" and values is not None:
        return "softmax" if np.allclose(values.sum(0), 1, atol=1e-3) else "sigmoid"
    nameless = all(_NAMELESS.fullmatch(name) for name in named)
    return "softmax" if nameless or "background" in named else "sigmoid"


def _class_names(axes: Axes, *, softmax: bool) -> tuple[str, ...]:
    """Return names of the output channels; under a softmax one of them is the background."""
    names = [name.lower() if name.lower() == "background" else name for name in axes.classes]
    if softmax and "background" not in names:
        if not all(_NAMELESS.fullmatch(name) for name in names) or len(names) < 2:
            raise UnfittingError(
                f"its channels exclude each other, but none of {names} is background"
            )
        names[0] = "background"
    if len(names) == 1 and (_NAMELESS.fullmatch(names[0]) or names[0].startswith("prob")):
        names = ["foreground"]
    return tuple(names)


def _in_unit(given: Any) -> bool:
    data = given.data if not isinstance(given.data, (list, tuple)) else given.data[0]
    return tuple(getattr(data, "range", ())) == (0.0, 1.0)


def _test_values(given: Any, axes: Axes, folder: Path) -> np.ndarray[Any, Any] | None:
    """Return the test output with its channels first; None where there is none."""
    from .bioimageio_weights import inside, local_path

    path = local_path(given.test_tensor.source) if given.test_tensor is not None else None
    if path is None or not path.endswith(".npy") or not inside(folder, path):
        return None
    try:
        values: np.ndarray[Any, Any] = np.load(folder / path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if values.ndim != len(axes.given):
        return None
    return np.moveaxis(values, axes.given.index("c"), 0) if "c" in axes.given else values[None]


def _tests(taken: Any, given: Any, folder: Path) -> tuple[TestTensor, ...]:
    from .bioimageio_weights import inside, local_path

    if taken.test_tensor is None or given.test_tensor is None:
        return ()
    paths = [local_path(t.test_tensor.source) for t in (taken, given)]
    usable = [p for p in paths if p and p.endswith(".npy") and inside(folder, p)]
    if len(usable) != 2 or not all((folder / p).is_file() for p in usable):
        return ()
    return (TestTensor(usable[0], usable[1], tolerance=1e-3),)


def _limits(axes: Axes, meant: _Given) -> list[str]:
    told = [meant.note] if meant.note else []
    if axes.pixel:
        told.append(f"For pixels of {axes.pixel}.")
    if axes.fixed:
        told.append(f"Runs in windows of {' x '.join(map(str, axes.window))} only.")
    return told


def _modality(tags: Sequence[str]) -> str:
    for tag in tags:
        for word, modality in _MODALITIES.items():
            if tag.lower() == word or (len(word) > 3 and tag.lower().startswith(word)):
                return modality
    return ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
