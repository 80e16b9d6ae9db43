"""Test tensors of a model: whether it gives here what its authors had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..errors import ModelError
from ..grid import Grid
from ..preprocess import prepare
from ..runner import activated
from ..volume import Volume
from .adapt import moved
from .compare import first
from .description import ModelDescription
from .parts import TestTensor
from .store import Model

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TestResult:
    """How far a model is from a test output; ``difference`` is the largest of all voxels."""

    __test__ = False  # no test for pytest to collect

    test: TestTensor
    difference: float

    @property
    def passed(self) -> bool:
        """Whether it is within the tolerance."""
        return self.difference <= self.test.tolerance

    def __str__(self) -> str:
        verdict = "as it should be" if self.passed else "not as it should be"
        return (
            f"{self.test.output}: {verdict}, largest difference {self.difference:.1e} "
            f"({self.test.tolerance:g} is allowed)."
        )


def check_tests(model: Model) -> list[str]:
    """Run a model on its test tensors and return a line for each; see `run_tests`."""
    lines = [str(result) for result in run_tests(model)]
    return lines or [f"{model.name} has no test tensors."]


def run_tests(model: Model) -> Iterator[TestResult]:
    """Run a model on its test tensors, each image whole, from preprocessing to activation.

    Raises
    ------
    ModelError
        If the model does not run, or a test tensor cannot be read or does not fit.
    TrustError
        If it brings code that the user has not agreed to run.
    """
    description = model.description
    if not description.tests:
        return
    network = model.load_network()
    spatial = "bc" + "zyx"[-description.inputs.spatial_dims :]
    arguments = description.network.graph
    for test in description.tests:
        images = _read(model, test.input, arguments.input_axes or spatial, spatial)
        wanted = _read(model, test.output, arguments.output_axes or spatial, spatial)
        if description.outputs.select:
            wanted = wanted[:, list(description.outputs.select)]
        found = np.stack([_maps(description, network, image) for image in images])
        if found.shape != wanted.shape:
            raise ModelError(
                f"{model.name} gives {found.shape} for {test.input}, {test.output} is "
                f"{wanted.shape}."
            )
        yield TestResult(test, float(np.abs(found - wanted).max()))


def prepared(image: FloatArray, description: ModelDescription) -> FloatArray:
    """Return an image, (channel, *spatial), as the network takes it; its pixel size is unknown."""
    volume = Volume(image, Grid.from_spacing(image.shape[1:]), "c")
    return prepare(volume, description).array


def _maps(description: ModelDescription, network: torch.nn.Module, image: FloatArray) -> FloatArray:
    with torch.inference_mode():
        out = first(network(torch.from_numpy(prepared(image, description))[None]))
        if description.outputs.select:
            out = out[:, list(description.outputs.select)]
        maps: FloatArray = activated(out, description.outputs.activation)[0].numpy()
    return maps


def _read(model: Model, path: str, axes: str, wanted: str) -> FloatArray:
    """Return a test tensor as (batch, channel, *spatial)."""
    file = model.folder / path
    if not file.resolve().is_relative_to(model.folder.resolve()):
        raise ModelError(f"{file} is a link out of the model's folder: get the model again.")
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        line = str(error).splitlines()[0]
        raise ModelError(f"{file} is no test tensor ({line}): get the model again.") from None
    if array.ndim != len(axes) or array.dtype.kind not in "biuf":
        raise ModelError(f"{file} has {array.ndim} axes of {array.dtype}, {axes} is described.")
    tensor = torch.from_numpy(np.ascontiguousarray(array, np.float32))
    return moved(tensor, axes, wanted).contiguous().numpy()
