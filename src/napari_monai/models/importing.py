"""Models of any format into our own and out of it: whole or not at all, and nothing runs.

An imported model is a folder of ``model.json`` and safetensors; ONNX and TorchScript files are
copied. Licences, cards and pictures beside it come along.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import FormatError, ModelError, ModelNotFoundError, WriteError
from . import costs, formats, onnx, python, weights
from .description import ModelDescription
from .native import DESCRIPTION_FILE
from .parts import TestTensor
from .store import Model, catalogue, user_folder

# What lies beside a model and is worth keeping, by the beginning of its name.
_BESIDE = ("license", "licence", "readme", "cover", "preview")
_MOST_BESIDE = 2**24  # bytes


def import_model(
    path: str | os.PathLike[str], *, name: str | None = None, half: bool = False, **options: Any
) -> Model:
    """Convert a model of any format into our own, in the user's folder.

    Parameters
    ----------
    path
        The file or folder.
    name
        What to call it; ``None``: as it is called. No other model may have that name.
    half
        Whether to store the weights in float16.
    **options
        What its format asks for; see `napari_monai.models.load_model`.

    Raises
    ------
    ModelNotFoundError
        If there is nothing at the path.
    ModelError
        If it is no model, is damaged, cannot run, or if its name is taken.
    WriteError
        If the user's folder cannot be written.
    """
    source = Path(path).expanduser()
    if not source.exists():
        raise ModelNotFoundError(f"No model at {source}: choose a file or a folder.")
    model = formats.read(source, **options)
    told = _renamed(model.description, name)
    if told.blockers:
        raise ModelError(f"{source.name} cannot run here: {told.blockers[0]}")
    # Where it came from, as far as the user may want to say so.
    origin = {"format": model.origin, "file": source.name}
    told = dataclasses.replace(told, training={**told.training, "imported_from": origin})
    if any(other.name == told.name for other in catalogue().models):
        raise ModelError(f"There is a model named {told.name!r} already: give another name.")
    made = write_native(
        dataclasses.replace(model, description=told), user_folder() / told.name, half=half
    )
    costs.cost(made)  # torch is here now; later its card is to show it at once
    return made


def export_model(
    model: Model, target: str | os.PathLike[str], *, format: str = "native", **options: Any
) -> Path:
    """Write a model in a format of the table; return what was written.

    Parameters
    ----------
    model
        The model.
    target
        The file or folder to make; it must not exist yet.
    format
        Name of the format; see `napari_monai.models.formats.FORMATS`.
    **options
        What the format knows, such as ``half``.

    Raises
    ------
    FormatError
        If there is no such format, or it is only read, or it has not all of the options.
    ModelError
        If the model is damaged, or the format cannot hold it.
    WriteError
        If the target exists, or cannot be written.
    """
    known = formats.format_named(format)
    path = Path(target).expanduser()
    if not known.writes:
        writable = ", ".join(f.name for f in formats.FORMATS if f.writes)
        raise FormatError(f"{known.title} is only read. Write one of: {writable}.")
    if path.exists():
        raise WriteError(f"{path} exists already: choose another name.")
    module = formats.load_module(known)
    unknown = formats.unknown_options(module.export, options)
    if unknown:
        raise FormatError(f"{known.title} has no option {unknown[0]!r} for writing.")
    fold = options.get("fold")
    if fold is not None and not 0 <= fold < model.folds:
        raise ModelError(f"{model.name} has no fold {fold}: choose one of 0 to {model.folds - 1}.")
    written: Path = module.export(model, path, **options)
    return written


def write_native(model: Model, folder: Path, *, half: bool = False) -> Model:
    """Write a model in our own format into a folder that does not exist yet.

    Raises ModelError if its weights are damaged, do not fit its network, or cannot be stored in
    float16; WriteError if the folder exists or cannot be written.
    """
    if folder.exists():
        raise WriteError(f"{folder} exists already: choose another name.")
    if half and model.description.network.source != "table":
        raise ModelError(f"{model.name} is {model.description.network.source}: half is not for it.")
    with staged(folder) as stage:
        told = dataclasses.replace(model.description, tests=_copy_tests(model, stage))
        copy_beside(model.folder, stage)
        if told.network.source == "table":
            states = [weights.read_weights(model, fold) for fold in range(model.folds)]
            told = weights.save_model(stage, told, states, half=half).description
        else:
            _copy_weights(model, stage)
            text = json.dumps(told.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
            (stage / DESCRIPTION_FILE).write_text(text + "\n", encoding="utf-8")
    return Model(told, folder)


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give a folder beside a target that is moved there at the end, and removed on an error.

    Raises WriteError where it cannot be made, filled or moved.
    """
    stage: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        yield stage
        os.replace(stage, target)
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        reason = error.strerror or error
        raise WriteError(f"{target} cannot be written ({reason}): choose another place.") from None
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)


def _renamed(description: ModelDescription, name: str | None) -> ModelDescription:
    return description if name is None else dataclasses.replace(description, name=name)


def _copy_tests(model: Model, stage: Path) -> tuple[TestTensor, ...]:
    """Copy the tensors of the tests; return where they are."""
    copied = []
    for number, test in enumerate(model.description.tests):
        names = {"input": f"tests/input_{number}.npy", "output": f"tests/output_{number}.npy"}
        for which, name in names.items():
            source = model.folder / getattr(test, which)
            if not source.resolve().is_relative_to(model.folder.resolve()):
                raise ModelError(f"{source} is a link out of the model's folder.")
            if not source.is_file():
                raise ModelError(f"{source} is missing: get the model again.")
            (stage / "tests").mkdir(exist_ok=True)
            shutil.copyfile(source, stage / name)
        copied.append(TestTensor(names["input"], names["output"], test.tolerance))
    return tuple(copied)


def copy_beside(folder: Path, stage: Path) -> None:
    """Copy licence, card and pictures that lie in a model's folder, or one level below."""
    if not folder.is_dir():
        return
    files = [f for pattern in ("*", "*/*") for f in sorted(folder.glob(pattern))]
    for file in files:
        wanted = file.name.lower().startswith(_BESIDE) and file.is_file() and not file.is_symlink()
        if wanted and not file.parent.is_symlink() and file.stat().st_size <= _MOST_BESIDE:
            place = stage / file.name
            if not place.exists():
                shutil.copyfile(file, place)


def _copy_weights(model: Model, stage: Path) -> None:
    """Copy files of weights that are a network too, or those of a network of code, as they are."""
    if model.description.network.source == "python":
        _copy_code(model, stage)
    for fold, file in enumerate(model.description.weights):
        place = stage / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(weights.checked_content(model, fold))
        if file.loader == "onnx":  # may keep tensors in files beside it
            source = model.folder / file.path
            for name in onnx.companions(source):
                (place.parent / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source.parent / name, place.parent / name)


def _copy_code(model: Model, stage: Path) -> None:
    """Copy the source file that makes a network, if there is one; nothing of it is run."""
    content = python.checked_code(model)
    if content is not None:
        place = stage / model.description.network.code.file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
