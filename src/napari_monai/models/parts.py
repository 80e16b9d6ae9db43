"""The parts of a model's description: network, weights, and the way of an image through it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ModelError
from ..settings import Blend
from ..volume import LabelKind
from .graph_arguments import GraphArguments
from .inside import check_inside
from .python_arguments import PythonArguments

Activation = Literal["sigmoid", "softmax", "identity"]
Source = Literal["table", "onnx", "torchscript", "python"]
Loader = Literal["safetensors", "torch", "onnx", "torchscript"]

# Which files of weights a network of a source can have.
_LOADERS: Mapping[str, tuple[str, ...]] = {
    "table": ("safetensors", "torch"),
    "onnx": ("onnx",),
    "torchscript": ("torchscript",),
    "python": ("safetensors", "torch"),
}
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class NetworkSpec:
    """Which network, with which arguments as plain JSON.

    ``source`` is ``"table"`` for a name in the table of networks. A network of ``"onnx"`` or
    ``"torchscript"`` has that word as its name and stands in the weights file; its arguments are
    those of `napari_monai.models.graph_arguments.GraphArguments`. One of ``"python"`` is made by
    code that its arguments name, see `napari_monai.models.python_arguments.PythonArguments`.
    """

    name: str
    arguments: Mapping[str, Any]
    source: Source = "table"

    def __post_init__(self) -> None:
        if self.source == "table":
            return
        if self.name != self.source:
            raise ModelError(
                f"network of source {self.source} has the name {self.source!r}, not {self.name!r}."
            )
        _ = self.graph

    @property
    def graph(self) -> GraphArguments:
        """How the network's tensors are meant; raises ModelError where that is not understood."""
        if self.source == "table":
            return GraphArguments()
        if self.source == "python":
            return self.code
        return GraphArguments.read(self.arguments)

    @property
    def code(self) -> PythonArguments:
        """The code that makes a network of ``"python"``; raises ModelError if it names none."""
        return PythonArguments.read(self.arguments)

    def check_loader(self, loader: Loader) -> None:
        """Raise ModelError unless the network can have weights of that loader."""
        if loader not in _LOADERS[self.source]:
            known = " or ".join(_LOADERS[self.source])
            raise ModelError(
                f"weights of a network of source {self.source} have the loader {known}, "
                f"not {loader}."
            )


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights: its path inside the model's folder, its SHA-256, and how it is loaded.

    Parameters
    ----------
    path, sha256
        Several files of weights are the members of an ensemble, such as cross-validation folds.
    loader
        ``"torch"`` is a checkpoint of ``torch.save`` of which data alone is read.
    key
        The way to the tensors in a checkpoint, its steps joined by dots.
    prefix
        Taken off the tensors' names; those without it are not used.
    """

    path: str
    sha256: str
    loader: Loader = "safetensors"
    key: str = ""
    prefix: str = ""

    def __post_init__(self) -> None:
        check_inside(self.path, "weights path")
        if not _SHA256.fullmatch(self.sha256):
            raise ModelError(f"weights sha256 is not 64 hexadecimal digits: {self.sha256!r}.")
        if self.key and self.loader != "torch":
            raise ModelError(f"weights key is for the loader torch, not {self.loader}.")
        if self.prefix and self.loader not in _LOADERS["table"]:
            raise ModelError(f"weights prefix is for tensors with names, not for {self.loader}.")


@dataclass(frozen=True)
class Inputs:
    """What the network takes.

    Parameters
    ----------
    channels
        What each channel shows, in order.
    spatial_dims
        2 or 3. A 2-D network runs over the slices of a volume.
    colour
        Whether the channels are red, green, blue.
    size_multiple
        Every side of a window must be a multiple of this; or one number an axis.
    fixed_size
        Whether the network takes windows of the inferer's size only.
    modality
        What kind of image it is for; usual words are CT, MR, fluorescence, EM and histology.
    """

    channels: tuple[str, ...]
    spatial_dims: int
    colour: bool = False
    size_multiple: int | tuple[int, ...] = 1
    fixed_size: bool = False
    modality: str = ""

    def __post_init__(self) -> None:
        if self.spatial_dims not in (2, 3):
            raise ModelError(f"inputs.spatial_dims is 2 or 3, not {self.spatial_dims}.")
        if not self.channels or (self.colour and len(self.channels) != 3):
            wanted = "3 channels" if self.colour else "1 channel or more"
            raise ModelError(f"inputs.channels needs {wanted}, got {len(self.channels)}.")
        if len(self.multiples) != self.spatial_dims:
            raise ModelError(
                f"inputs.size_multiple has {len(self.multiples)} numbers for "
                f"{self.spatial_dims} dimensions."
            )
        if min(self.multiples) < 1:
            raise ModelError(f"inputs.size_multiple is 1 or more, not {min(self.multiples)}.")

    @property
    def multiples(self) -> tuple[int, ...]:
        """What each side of a window must be a multiple of."""
        if isinstance(self.size_multiple, int):
            return (self.size_multiple,) * self.spatial_dims
        return tuple(self.size_multiple)


@dataclass(frozen=True)
class Inferer:
    """How the network runs over an image larger than a window.

    Parameters
    ----------
    window
        In voxels of the prepared image.
    overlap
        A part of the window.
    blend
        How overlapping windows are weighted.
    flips
        Whether the predictions of mirrored windows are averaged.
    empty
        Where the image itself is nowhere above this, in its own intensities, a window holds
        nothing (air, camera background) and is not run.
    kind
        ``"simple"`` runs the whole image at once instead of windows.
    steps
        Where the windows lie and how they are padded and weighted: evenly spread, or exactly as
        ``monai.inferers.sliding_window_inference`` or nnU-Net's predictor have them.
    average
        What overlapping windows, mirrored copies and networks are averaged in.
    mirror_axes
        With ``flips`` the spatial axes to mirror; ``None`` is all.
    padding
        What lies beyond the border of an image smaller than a window.
    """

    window: tuple[int, ...]
    overlap: float = 0.5
    blend: Blend = "gaussian"
    flips: bool = False
    empty: float | None = None
    kind: Literal["sliding", "simple"] = "sliding"
    steps: Literal["even", "monai", "nnunet"] = "even"
    average: Literal["probabilities", "logits"] = "probabilities"
    mirror_axes: tuple[int, ...] | None = None
    padding: Literal["mirror", "zeros", "edge"] = "mirror"

    def __post_init__(self) -> None:
        if not self.window or min(self.window) < 1:
            raise ModelError(f"inferer.window needs positive sizes, got {list(self.window)}.")
        if not 0 <= self.overlap <= 0.9:
            raise ModelError(f"inferer.overlap goes from 0 to 0.9, not {self.overlap}.")
        axes = self.mirror_axes
        if axes is not None and axes != tuple(sorted(set(axes) & set(range(len(self.window))))):
            raise ModelError(
                f"inferer.mirror_axes names axes from 0 to {len(self.window) - 1} in order, "
                f"not {list(axes)}."
            )

    @property
    def mirrored(self) -> tuple[int, ...]:
        """The spatial axes along which copies are mirrored where that is wanted."""
        return tuple(range(len(self.window))) if self.mirror_axes is None else self.mirror_axes


@dataclass(frozen=True)
class Outputs:
    """What the network gives.

    Parameters
    ----------
    kind
        ``"classes"``: each channel is a class. ``"instances"``: the channels ``"foreground"``
        and ``"distance"`` (to the object's border, normalised to 1 at its centre), and maybe
        ``"touching"`` (where objects touch).
    channels
        Name of each channel. Classes under a softmax begin with the background.
    activation
        One a channel, ``"sigmoid"`` or ``"identity"``; or ``("softmax",)`` over all.
    home
        What is brought back to the image's own grid: the probabilities or the logits, linearly,
        or the labels, by the nearest voxel.
    select
        Which of the network's own channels are used, in that order; empty is all of them.
    regions
        For sigmoid channels that overlap: the label number that each channel writes where it is
        above the threshold, later channels over earlier ones.
    """

    kind: LabelKind
    channels: tuple[str, ...]
    activation: tuple[Activation, ...]
    home: Literal["probabilities", "logits", "labels"] = "probabilities"
    select: tuple[int, ...] = ()
    regions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self._check_activation()
        channels = len(self.channels)
        told = sorted(set(self.channels) - {"touching"})
        several = len(set(self.channels)) < channels
        if self.kind == "instances" and (told != ["distance", "foreground"] or several):
            raise ModelError(
                "outputs.channels of instances are foreground, distance and maybe touching, "
                f"not {', '.join(self.channels) or 'none'}."
            )
        if self.kind == "instances" and self.home != "probabilities":
            raise ModelError(f"outputs.home of instances is probabilities, not {self.home}.")
        if self.select and (len(self.select) != channels or min(self.select) < 0):
            raise ModelError(
                f"outputs.select needs a number from 0 up for each of {channels} channels, "
                f"not {list(self.select)}."
            )
        if self.regions and (
            self.kind != "classes" or self.softmax or len(self.regions) != channels
        ):
            raise ModelError(
                "outputs.regions needs classes under sigmoid and a label number for each of "
                f"{channels} channels, not {list(self.regions)}."
            )

    def _check_activation(self) -> None:
        if not self.softmax and (
            len(self.activation) != len(self.channels) or "softmax" in self.activation
        ):
            raise ModelError(
                "outputs.activation is softmax alone, or sigmoid or identity for each of "
                f"{len(self.channels)} channels, not {list(self.activation)}."
            )
        if self.kind == "classes" and "identity" in self.activation:
            raise ModelError("outputs.activation of classes is softmax or sigmoid, not identity.")

    @property
    def softmax(self) -> bool:
        """Whether the channels exclude each other, the first being the background."""
        return self.activation == ("softmax",)


@dataclass(frozen=True)
class TestTensor:
    """An input of the network and the output that it is to give, as .npy files in the folder.

    ``tolerance`` is the largest absolute difference that is none.
    """

    __test__ = False  # no test for pytest to collect

    input: str
    output: str
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        check_inside(self.input, "tests path")
        check_inside(self.output, "tests path")
        if not 0 <= self.tolerance < float("inf"):
            raise ModelError(f"tests tolerance is 0 or more, not {self.tolerance}.")
