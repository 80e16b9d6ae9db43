"""What a training begins from: a model that is taken further, or weights for a new network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import ModelError, TrainingError
from ..models import Model, ModelDescription, NetworkSpec, Outputs, load_model
from ..models.checkpoints import read_checkpoint
from ..models.parts import Activation
from ..models.weights import read_weights
from ..networks import network_arguments
from ..preprocess import Operation
from ..settings import TrainingSettings
from ..volume import LabelClass, Volume
from .adapting import adapt_inputs
from .budget import budget_of
from .examples import Pair, load_pair
from .heads import Transfer
from .looks import as_labels_look
from .matching import found_classes, match_classes
from .plan import as_resampled, new_outputs, prepared_images, with_card, with_touching
from .shaping import coarse_heads, fit_patch

# Why a model that runs cannot be trained, by the source of its network.
_FINISHED = {
    "onnx": "an ONNX graph, which holds no layers to train",
    "torchscript": "TorchScript, compiled code that cannot be trained",
    "python": "made by Python code of its own, which a new model cannot take along",
}


@dataclass(frozen=True, eq=False)
class Start:
    """A model that is taken further: what it becomes, and how its weights come into it.

    Attributes
    ----------
    description
        The new model. How images are prepared is as the old one has it.
    transfer
        Loads the old weights into the new network.
    notes
        Lines for the user: what of the classes or channels is new.
    parent
        What the new model's card says of the old one.
    numbers
        For each class of the old model that the new one has too, by its number, the new number.
    """

    description: ModelDescription
    transfer: Transfer
    notes: tuple[str, ...]
    parent: Mapping[str, Any]
    numbers: Mapping[int, int]

    @property
    def channels(self) -> tuple[int | None, ...]:
        """For each output channel of the new model that of the old one; ``None`` of a new one."""
        select = self.transfer.model.description.outputs.select
        return tuple(
            select.index(source) if select and source is not None else source
            for source in self.transfer.outputs
        )


def start_from_model(
    model: Model,
    name: str,
    pairs: Sequence[Pair],
    settings: TrainingSettings,
    *,
    card: Mapping[str, Any] | None = None,
) -> Start:
    """Return what a model becomes that is trained further on ``pairs``.

    Classes are matched by name, then by number; those of the labels that the model lacks get a
    channel each. A model of objects becomes one of classes, or the other way, when the settings
    say so: with a new head on the old body. Images of other channels get another first layer.

    Raises
    ------
    TrainingError
        If the model cannot be trained, or the pairs do not fit it.
    ModelError, TrustError
        If the model cannot run, or its weights are not what it names.
    """
    model = trainable(model)
    loaded = [load_pair(pair) for pair in pairs]
    images = [image for image, _ in loaded]
    _check_dims(model, images)
    head = _head(model.description, loaded, settings)
    inputs = adapt_inputs(model.description, images)
    told = model.description
    network = _network(model, inputs.channels, head, settings)
    description = replace(
        told,
        name=name,
        title=name,
        version="1",
        description=f"Trained further from {told.name} {told.version}.",
        network=network,
        weights=(),
        tests=(),
        # What is told anew may be told on images of another kind.
        inputs=replace(inputs.inputs, modality="") if head.fresh else inputs.inputs,
        preprocess=as_resampled(
            inputs.preprocess,
            settings,
            inputs.inputs.spatial_dims,
            anatomical=all(image.grid.anatomical for image in images),
        ),
        outputs=head.outputs,
        labels=head.labels,
        postprocess=head.postprocess,
        intended_use="" if head.fresh else told.intended_use,
        training={},
        scores={},
    )
    planned = _planned(description, images, settings)
    description = replace(description, training={"planned": {**planned, "new_head": head.fresh}})
    transfer = Transfer(model, network, head.sources, inputs.sources, head.outputs.softmax)
    parent = {
        "name": told.name,
        "version": told.version,
        "licence": told.licence,
        "sha256": told.weights[0].sha256,
    }
    notes = head.notes + inputs.notes
    if model.folds > 1:
        notes += (f"{told.name} is {model.folds} networks: the first one is trained further",)
    return Start(with_card(description, card), transfer, notes, parent, head.numbers)


def trainable(model: Model) -> Model:
    """Return a model whose network can be trained.

    That is the model itself or, of a BioImage.IO package that runs as a graph, the same with the
    PyTorch weights beside it.

    Raises
    ------
    TrainingError
        If it has none.
    ModelError, TrustError
        If it cannot run.
    """
    if model.description.network.source == "onnx" and model.origin == "bioimageio":
        try:
            again = load_model(model.folder, weights="pytorch_state_dict")
        except ModelError:
            again = model
        if again.description.network.source == "table" and not again.description.blockers:
            model = again
    source = model.description.network.source
    if source in _FINISHED:
        raise TrainingError(
            f"{model.name} is {_FINISHED[source]}: start from a model of the table of networks, "
            "such as a MONAI bundle, or from scratch."
        )
    model.check_runs()
    return model


# -- what it gives ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Head:
    """What the new model gives; ``sources`` are the channels of the old network.

    ``numbers`` has the new number of each class that was there before, by its old one.
    """

    outputs: Outputs
    labels: tuple[LabelClass, ...]
    sources: tuple[int | None, ...]
    postprocess: tuple[Operation, ...]
    notes: tuple[str, ...] = ()
    numbers: Mapping[int, int] = field(default_factory=dict)
    fresh: bool = False


def _head(
    told: ModelDescription, loaded: Sequence[tuple[Any, Any]], settings: TrainingSettings
) -> _Head:
    outputs = told.outputs
    target = outputs.kind if settings.target == "auto" else settings.target
    truths = [truth for _, truth in loaded]
    if target != outputs.kind or outputs.regions:
        found = found_classes(truths, settings)
        labels, made = new_outputs(target, found, touching=settings.touching_output)
        why = "regions that overlap" if outputs.regions else f"{outputs.kind}"
        return _Head(
            made,
            labels,
            (None,) * len(made.channels),
            (Operation("instances", {}),) if target == "instances" else (),
            (f"{told.name} finds {why}, not {target}: its head is begun anew",),
            fresh=True,
        )
    channels: tuple[int | None, ...] = outputs.select or tuple(range(len(outputs.channels)))
    if target == "instances":
        kept = replace(outputs, select=())
        if settings.touching_output:
            kept = with_touching(kept)
            channels += (None,) * (len(kept.channels) - len(channels))
        looks = as_labels_look(truths)
        note = f"The labels look like {looks}, {told.name} finds {target}: see the target"
        notes = () if looks == target else (note,)
        same = {label.number: label.number for label in told.labels}
        return _Head(kept, told.labels, channels, told.postprocess, notes, same)
    matched = match_classes(
        told.labels, found_classes(truths, settings), keep=settings.keep_classes
    )
    if not matched.labels:
        raise TrainingError("The labels are empty: nothing to train on.")
    names = tuple(label.name for label in matched.labels)
    first = channels[: outputs.softmax]
    classes = channels[outputs.softmax :]
    sigmoids: tuple[Activation, ...] = tuple("sigmoid" for _ in names)
    made = replace(
        outputs,
        channels=(*outputs.channels[: outputs.softmax], *names),
        activation=outputs.activation if outputs.softmax else sigmoids,
        select=(),
    )
    numbers = {
        told.labels[source].number: label.number
        for label, source in zip(matched.labels, matched.sources, strict=True)
        if source is not None
    }
    return _Head(
        made,
        matched.labels,
        (*first, *(None if source is None else classes[source] for source in matched.sources)),
        tuple(_renumbered(operation, numbers) for operation in told.postprocess),
        matched.notes,
        numbers,
    )


def _renumbered(operation: Operation, numbers: Mapping[int, int]) -> Operation:
    """Return an operation on labels with their new numbers."""
    given = operation.parameters.get("labels")
    if given is None:
        return operation
    labels = [numbers[number] for number in given if number in numbers]
    return Operation(operation.name, {**operation.parameters, "labels": labels or None})


def _network(model: Model, channels: int, head: _Head, settings: TrainingSettings) -> NetworkSpec:
    spec = model.description.network
    arguments = {
        **spec.arguments,
        "in_channels": channels,
        "out_channels": len(head.outputs.channels),
    }
    heads = coarse_heads(spec.name, arguments) if settings.deep_supervision else {}
    return NetworkSpec(spec.name, network_arguments(spec.name, {**arguments, **heads}))


def _planned(
    description: ModelDescription, images: Sequence[Volume], settings: TrainingSettings
) -> dict[str, Any]:
    """Return the patches to train on: within the model's window, and what a step may take."""
    inputs, window = description.inputs, description.inferer.window
    patch, batch = fit_patch(
        description.network.name,
        description.network.arguments,
        prepared_images(images, description, len(images)),
        budget_of(settings, inputs.spatial_dims),
        largest=window,
        multiples=inputs.multiples,
        patch=window if inputs.fixed_size else settings.patch,
    )
    return {"patch": list(patch), "batch_size": batch, "pretrained": True}


def _check_dims(model: Model, images: Sequence[Volume]) -> None:
    dims = model.description.inputs.spatial_dims
    for image in images:
        if image.grid.ndim < dims:
            raise TrainingError(
                f"{model.name} takes volumes, but {image.name} is {image.grid.ndim}-D: start from "
                "a 2D model."
            )


# -- bare weights -------------------------------------------------------------------------------


def read_start(source: str) -> Mapping[str, Any]:
    """Return the tensors of a model, by its name or folder, or of a file of weights.

    Files are safetensors or checkpoints of torch, of which data alone is read.

    Raises
    ------
    TrainingError
        If the file cannot be read.
    ModelError
        If there is no such model, or the checkpoint holds more than data.
    """
    path = Path(source)
    if not path.is_file() or path.suffix == ".json":
        return read_weights(load_model(source))
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = path.read_bytes()
    except (OSError, SafetensorError) as error:
        line = str(error).splitlines()[0]
        raise TrainingError(f"{path} cannot be read ({line}): choose another file.") from None
    values = read_checkpoint(content, path)
    if not isinstance(values, Mapping):
        raise TrainingError(f"{path} holds no tensors by name: choose another file.")
    return values
