"""Where models are found: those shipped with the package, then those in the user's folder.

``NAPARI_MONAI_HOME`` names another home than the platform's own; models lie in its ``models``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, ModelNotFoundError, did_you_mean
from ..folders import data_folder
from . import formats, native, trust
from .description import ModelDescription
from .native import DESCRIPTION_FILE

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Model:
    """A description and the folder that holds the weights it names.

    ``origin`` is the name of the format that it was read from.
    """

    description: ModelDescription
    folder: Path
    origin: str = "native"

    @property
    def name(self) -> str:
        """The name that users type."""
        return self.description.name

    def load_network(self, device: str | torch.device = "cpu") -> torch.nn.Module:
        """Return the network with its weights, in float32 and evaluation mode, on a device.

        Of an ensemble it is the first one.

        Raises ModelError, naming the file or the tensor, where the weights are damaged or do not
        fit the network, or with the first reason why the model cannot run at all; TrustError
        where it brings code that the user has not agreed to run.
        """
        from .weights import load_network

        self.check_runs()
        return load_network(self, device)

    def load_networks(self, device: str | torch.device = "cpu") -> tuple[torch.nn.Module, ...]:
        """Return a network for each file of weights: the members of an ensemble, or the one.

        Raises ModelError as `load_network`.
        """
        from .weights import load_network

        self.check_runs()
        return tuple(load_network(self, device, fold=i) for i in range(self.folds))

    def check_runs(self) -> None:
        """Raise ModelError if the model cannot run, TrustError if it may not."""
        if self.description.blockers:
            raise ModelError(self.description.blockers[0])
        trust.require(self)

    @property
    def folds(self) -> int:
        """Number of networks, whose outputs are averaged."""
        return len(self.description.weights)


@dataclass(frozen=True)
class Catalogue:
    """The models that can be used, and one line for each folder that cannot."""

    models: tuple[Model, ...]
    problems: tuple[ModelError, ...]


def shipped_folder() -> Path:
    """Return the folder of the models that come with the package."""
    return Path(__file__).parent / "shipped"


def user_folder() -> Path:
    """Return the folder of the user's own models; it may not exist yet."""
    return data_folder() / "models"


def catalogue() -> Catalogue:
    """Return all models of the store by name; a damaged one is a problem, not an error.

    A user's model that has the name of another one is left out and named as a problem, so that a
    name never changes its meaning silently.
    """
    models: dict[str, Model] = {}
    problems: list[ModelError] = []
    for folder in _model_folders():
        try:
            model = native.read(folder)
        except ModelError as error:
            problems.append(error)
            continue
        first = models.setdefault(model.name, model)
        if first is not model:
            problems.append(
                ModelError(
                    f"{folder} has the name of {first.folder}, {model.name!r}: "
                    "change the name in its model.json."
                )
            )
    return Catalogue(tuple(models[name] for name in sorted(models)), tuple(problems))


def list_models() -> list[Model]:
    """Return the models of the store that can be used, by name; see `catalogue`."""
    return list(catalogue().models)


def find(name: str) -> Model:
    """Return a model of the store by its name.

    Raises
    ------
    ModelNotFoundError
        If there is none of that name; says which one is near.
    ModelError
        If there is one in a folder of that name, and it is damaged.
    """
    models = {model.name: model for model in list_models()}
    if name in models:
        return models[name]
    for folder in _model_folders():
        if folder.name == name:
            return native.read(folder)
    raise ModelNotFoundError(f"No model named {name!r}. {did_you_mean(name, models)}")


def load_model(name_or_path: str | os.PathLike[str], **options: Any) -> Model:
    """Return a model by its name in the store, or by the path of any format that can be read.

    Parameters
    ----------
    name_or_path
        A name, a folder, or a file; see `napari_monai.models.formats`.
    **options
        What the format asks for, such as the ``architecture`` of a bare state dict.

    Raises
    ------
    ModelNotFoundError
        If there is none.
    ModelError
        If it is damaged, or of no known format.
    """
    path = Path(name_or_path).expanduser()
    text = os.fspath(name_or_path)
    separators = {"/", os.sep, os.altsep or os.sep}
    is_path = not isinstance(name_or_path, str) or any(s in text for s in separators)
    if not is_path:
        try:
            return find(text)
        except ModelNotFoundError:
            if not path.exists():
                raise
    if not path.exists():
        raise ModelNotFoundError(f"No model at {path}: choose the folder of its model.json.")
    return formats.read(path, **options)


def _model_folders() -> list[Path]:
    """Return the folders of the store that hold a description, shipped ones first."""
    found: list[Path] = []
    for root in (shipped_folder(), user_folder()):
        if root.is_dir():
            folders = (f.parent for f in root.glob(f"*/{DESCRIPTION_FILE}"))
            # A hidden one is what an interrupted run left.
            found += sorted(f for f in folders if not f.name.startswith("."))
    return found
