"""A volume and a model in, labels on the volume's own grid out, with word of every step.

The whole image is normalised first, windows go through the network in batches, probabilities are
blended and brought back to the image's grid, and there they become classes or objects.
"""

from __future__ import annotations

import dataclasses
import inspect
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .deciding import Decider
from .devices import device_name, free_memory, is_out_of_memory, pick_device
from .errors import ModelError, NapariMonaiError, OutOfMemoryError, SettingsError, did_you_mean
from .events import Event, Said, Segmented, Started, WindowDone
from .instances import decode
from .models import Model, ModelDescription
from .preprocess import Prepared, prepare
from .returning import Returning
from .runner import memory_layout
from .scratch import Scratch, key_of
from .settings import Blend, InferenceSettings, Precision
from .sliding import Empty, Part, predict, predict_parts, tile
from .tiling import Box, Tiling
from .volume import LabelVolume, Volume

__all__ = ["predict", "segment", "segment_steps"]

# Networks of the last run, so that a folder of images loads and checks them once.
_recent: dict[tuple[Any, ...], tuple[torch.nn.Module, ...]] = {}


def segment(
    volume: Volume, model: Model, *, settings: InferenceSettings = InferenceSettings()
) -> LabelVolume:
    """Return the labels that a model gives an image, on the image's own grid.

    See `segment_steps`, which says on the way what is being done.
    """
    for event in segment_steps(volume, model, settings=settings):
        if isinstance(event, Segmented):
            return event.labels
    raise AssertionError("a segmentation ends with its labels")


def segment_steps(
    volume: Volume,
    model: Model,
    *,
    settings: InferenceSettings = InferenceSettings(),
    scratch: Path | None = None,
) -> Iterator[Event]:
    """Segment an image step by step; closing the generator cancels between two batches.

    A 2-D model runs over the slices of a volume, from inferior to superior in a patient and along
    the first axis of a stack. Every time point is segmented by itself: objects keep no number
    from one to the next.

    Parameters
    ----------
    volume
        The image, with the channels that the model takes.
    model
        The model, see `napari_monai.models.load_model`.
    settings
        How to run it; what is ``None`` is as the model says.
    scratch
        Folder in which the results grow in place of memory, for images larger than it: the
        labels are read from there, so it must stay as long as they are in use. A run that was
        killed goes on where it was when it is started again with the same folder, image, model
        and settings, and gives the same labels; another one begins anew.

    Yields
    ------
    Said, Started, WindowDone for every window, and Segmented at last.

    Raises
    ------
    ModelError
        If the model is damaged, or does not fit the image.
    SettingsError
        If the settings do not fit the model.
    DeviceError
        If the machine lacks the device.
    OutOfMemoryError
        If the image or one window does not fit into memory.
    """
    try:
        yield from _Run(volume, model, settings, scratch).steps()
    except NapariMonaiError:
        raise
    except (RuntimeError, MemoryError) as error:
        # Workers of the viewer swallow RuntimeErrors, so none leaves here.
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"{volume.name} does not fit into memory: close other programs, crop the image "
                "or take a machine with more memory."
            ) from error
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{model.name} failed on {volume.name}: {line}") from error


@dataclass(frozen=True)
class _Plan:
    """The model's description with the settings of the run put in."""

    window: tuple[int, ...]
    overlap: float
    blend: Blend
    flips: bool
    threshold: float | None
    decoding: dict[str, Any]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, description: ModelDescription, settings: InferenceSettings) -> _Plan:
        inferer, dims = description.inferer, description.inputs.spatial_dims
        window = inferer.window if settings.window is None else settings.window
        if len(window) != dims:
            raise SettingsError(
                f"Window {tuple(window)} has {len(window)} numbers, but {description.name} needs "
                f"{dims}."
            )
        notes: tuple[str, ...] = ()
        multiple = description.inputs.size_multiple
        if any(n % multiple for n in window):
            notes = (f"Window sides grow to multiples of {multiple}, as {description.name} needs.",)
        decoding = _decoding(description)
        for name in ("threshold", "seed_threshold", "min_size"):
            value = getattr(settings, name)
            if value is None:
                continue
            if description.outputs.kind == "instances":
                decoding[name] = value
                if name == "min_size":  # what the user wants goes before what the model advises
                    decoding.pop("min_voxels", None)
            elif name != "threshold":
                label = next(o.label for o in settings.options() if o.name == name)
                notes = (*notes, f"{label} is for models of objects: it does nothing here.")
        return cls(
            window=tuple(window),
            overlap=inferer.overlap if settings.overlap is None else settings.overlap,
            blend=inferer.blend if settings.blend is None else settings.blend,
            flips=inferer.flips if settings.flips is None else settings.flips,
            threshold=settings.threshold,
            decoding=decoding,
            notes=notes,
        )


def _decoding(description: ModelDescription) -> dict[str, Any]:
    """Return the parameters of the model's instance decoding."""
    known = set(inspect.signature(decode).parameters) - {"foreground", "distance", "spacing"}
    parameters: dict[str, Any] = {}
    for operation in description.postprocess:
        for key, value in operation.parameters.items():
            if key not in known:
                raise ModelError(
                    f"postprocess {operation.name} of {description.name} has no parameter {key!r}. "
                    f"{did_you_mean(key, known)}"
                )
            if type(value) not in (int, float):
                raise ModelError(
                    f"postprocess {operation.name} of {description.name}: {key} is no number: "
                    f"{value!r}."
                )
            parameters[key] = value
    return parameters


class _Run:
    """One segmentation: what its parts share."""

    def __init__(
        self, volume: Volume, model: Model, settings: InferenceSettings, scratch: Path | None
    ) -> None:
        self.volume = volume
        self.model = model
        self.settings = settings
        self.description = model.description
        self.outputs = model.description.outputs
        self.instances = self.outputs.kind == "instances"
        self.plan = _Plan.of(model.description, settings)
        threshold = self.plan.threshold
        if self.instances:
            threshold = self.plan.decoding.get("threshold", threshold)
        self.decider = Decider(model.description, threshold)
        self.device = pick_device(settings.device)
        self.scratch = Scratch(scratch)
        self.precision: Precision | torch.dtype = settings.precision

    def steps(self) -> Iterator[Event]:
        """Yield the events of the run."""
        started = time.perf_counter()
        for note in self.plan.notes:
            yield Said(note, "warning")
        networks = yield from self._networks()
        yield Said(f"Running {self.model.name} on {device_name(self.device)}.")
        done = self.scratch.begin(self._key())
        if done:
            self.precision = getattr(torch, done["precision"])
            yield Said("Going on where an earlier run stopped.")
        said: set[str] = set()
        for index in range(self.volume.times):
            if index < done.get("time", 0):
                continue
            prepared = self._prepared(index)
            for note in prepared.notes:
                if note not in said:
                    said.add(note)
                    yield Said(note, "warning")
            tiling = self._tiling(prepared.grid.shape)
            if index == done.get("time", 0):
                yield Started(tiling.total * self.volume.times, "windows")
            row = done.get("row", 0) if index == done.get("time", 0) else 0
            yield from self._time_point(index, row, prepared, tiling, networks)
        yield self._segmented(time.perf_counter() - started)

    def _prepared(self, index: int) -> Prepared:
        volume = self.volume
        voxels = int(np.prod(volume.grid.shape)) * volume.channels
        _afford(8 * voxels, volume.name)  # the image and a copy in float32
        return prepare(volume.at_time(index), self.description)

    def _tiling(self, shape: tuple[int, ...]) -> Tiling:
        return tile(
            shape,
            self.plan.window,
            overlap=self.plan.overlap,
            blend=self.plan.blend,
            size_multiple=self.description.inputs.size_multiple,
        )

    def _time_point(
        self,
        index: int,
        first_row: int,
        prepared: Prepared,
        tiling: Tiling,
        networks: Sequence[torch.nn.Module],
    ) -> Iterator[Event]:
        """Segment one time point into the arrays of the run."""
        returning = Returning(prepared.back)
        rows = len(tiling.starts[0])
        parts: Iterator[Said | Part] = iter(())
        if first_row < rows:
            parts = predict_parts(
                prepared.array,
                networks,
                tiling,
                device=self.device,
                spatial_dims=self.description.inputs.spatial_dims,
                batch_size=self.settings.batch_size,
                activation=self.outputs.activation,
                flips=self.plan.flips,
                spread=self.settings.uncertainty == "variance",
                compiled=self.settings.compile,
                precision=self.precision,
                finish=lambda box, maps: self._finished(returning, box, maps),
                empty=self._empty(prepared),
                first_row=first_row,
            )
        for event in parts:
            if not isinstance(event, Part):
                yield event
                continue
            self.precision = event.precision
            labels = self._keep(index, returning, prepared, event)
            region: tuple[int | slice, ...] = returning.native(returning.region(event.box))
            if "t" in self.volume.leading:
                region = (index, *region)
            done = index * tiling.total + event.done
            yield WindowDone(done, tiling.total * self.volume.times, region, labels)
            if event.done % tiling.per_row == 0:
                self._save(index, event.done // tiling.per_row)
        if self.instances:
            self._decode(index, prepared)
        self._save(index + 1, 0)

    def _finished(
        self, returning: Returning, box: Box, maps: torch.Tensor
    ) -> Sequence[torch.Tensor]:
        """Return what is kept of finished maps: labels, and what else was asked for.

        In this order: labels, uncertainty, probabilities, each on the native grid; and, of
        instances, the maps as they are.
        """
        settings, channels = self.settings, len(self.outputs.channels)

        def make(maps: torch.Tensor) -> list[torch.Tensor]:
            found = [self.decider.classes(maps[:channels])]
            if settings.uncertainty == "variance":
                found.append(maps[channels])
            elif settings.uncertainty == "entropy":
                found.append(self.decider.entropy(maps[:channels]))
            if settings.probabilities:
                found.append(self.decider.probabilities(maps[:channels]))
            return found

        results = returning.bring(box, maps, make)
        return [*results, maps[:channels]] if self.instances else results

    def _keep(
        self, index: int, returning: Returning, prepared: Prepared, part: Part
    ) -> npt.NDArray[Any]:
        """Put the results of a part where they belong; return the labels in native order."""
        results = list(part.results)
        home = prepared.back.how.inverse()
        region = returning.native(returning.region(part.box))
        at = (index,) * ("t" in self.volume.leading)
        if self.instances:
            maps = self._maps(prepared)
            maps[(slice(None), *part.box)] = results.pop()
        labels = np.ascontiguousarray(home.apply(results.pop(0)))
        if not self.instances:
            self._array("labels")[(*at, *region)] = labels
        if self.settings.uncertainty != "none":
            self._array("uncertainty")[(*at, *region)] = home.apply(results.pop(0))
        if self.settings.probabilities:
            target = self._array("probabilities")
            target[(*at, slice(None), *region)] = home.apply(results.pop(0))
        return labels

    def _decode(self, index: int, prepared: Prepared) -> None:
        """Make objects of the maps of a time point."""
        maps, channels = self._maps(prepared), self.outputs.channels
        objects = decode(
            maps[channels.index("foreground")],
            maps[channels.index("distance")],
            spacing=prepared.grid.spacing,
            **self.plan.decoding,
        )
        labels = prepared.back.labels(objects)
        at = (index,) * ("t" in self.volume.leading)
        self._array("labels")[(*at, ...)] = labels
        self.scratch.drop("maps")

    def _maps(self, prepared: Prepared) -> Any:
        return self.scratch.array(
            "maps", (len(self.outputs.channels), *prepared.grid.shape), np.float32
        )

    def _array(self, name: str) -> Any:
        """Return one of the arrays of the result: on the native grid, time first."""
        times = (self.volume.times,) * ("t" in self.volume.leading)
        channels = (self._probable,) if name == "probabilities" else ()
        dtype: npt.DTypeLike = np.float32
        if name == "labels":
            highest = max((c.number for c in self.description.labels), default=1)
            dtype = np.int32 if self.instances else np.min_scalar_type(highest)
        return self.scratch.array(name, (*times, *channels, *self.volume.grid.shape), dtype)

    @property
    def _probable(self) -> int:
        """Number of the channels that are probabilities."""
        outputs = self.outputs
        return len(outputs.channels) if outputs.softmax else len(self.decider.likely)

    def _save(self, index: int, row: int) -> None:
        precision = str(self.precision).removeprefix("torch.")
        self.scratch.save({"time": index, "row": row, "precision": precision})

    def _key(self) -> str:
        """Return what has to be the same for a run to go on."""
        if self.scratch.folder is None:
            return ""
        description = self.description
        sums = [w.sha256 for w in description.weights]
        told = self.settings.to_json()
        told.pop("memory", None)  # changes how a run goes, and not what it gives
        plan = dataclasses.asdict(self.plan)
        return key_of(self.volume, description.to_json(), sums, told, plan, str(self.device))

    def _empty(self, prepared: Prepared) -> Empty | None:
        """Return which windows need not be run."""
        return None

    def _segmented(self, seconds: float) -> Segmented:
        """Return the result on the input's grid."""
        volume = self.volume
        labels = self._array("labels")
        if self.instances and isinstance(labels, np.ndarray):
            most = int(labels.max(initial=0))
            labels = labels.astype(np.uint16 if most <= np.iinfo(np.uint16).max else np.int32)
        timed = "t" if "t" in volume.leading else ""
        common: dict[str, Any] = {"time_step": volume.time_step, "meta": volume.meta}
        result = LabelVolume(
            labels,
            volume.grid,
            leading=timed,
            name=f"{volume.name} {self.model.name}",
            classes=self.description.labels,
            kind=self.outputs.kind,
            **common,
        )
        uncertainty = probabilities = None
        if self.settings.uncertainty != "none":
            uncertainty = Volume(
                self._array("uncertainty"),
                volume.grid,
                leading=timed,
                name=f"{volume.name} {self.settings.uncertainty}",
                **common,
            )
        if self.settings.probabilities:
            names = self.outputs.channels
            if not self.outputs.softmax:
                names = tuple(names[i] for i in self.decider.likely)
            probabilities = Volume(
                self._array("probabilities"),
                volume.grid,
                leading=f"{timed}c",
                channel_names=names,
                name=f"{volume.name} probabilities",
                **common,
            )
        return Segmented(result, seconds, str(self.device), probabilities, uncertainty)

    def _networks(self) -> Generator[Said, None, tuple[torch.nn.Module, ...]]:
        """Return the networks on the device; on the CPU, and say so, where they do not fit."""
        model = self.model
        sums = tuple(w.sha256 for w in model.description.weights)
        key = (model.folder.resolve(), sums, repr(model.description.network), self.device)
        networks = _recent.get(key)
        if networks is not None:
            return networks
        _recent.clear()  # before the next ones are loaded: both may not fit
        networks = model.load_networks("cpu")
        for network in networks:
            layout = memory_layout(network, self.description.inputs.spatial_dims)
            network.to(memory_format=layout)  # type: ignore[call-overload]
        try:
            for network in networks:
                network.to(self.device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            name = device_name(self.device)
            self.device = torch.device("cpu")
            yield Said(f"{name} is out of memory: going on on the CPU, more slowly.", "warning")
            return tuple(network.to(self.device) for network in networks)
        _recent[key] = networks
        return networks


def _afford(needed: int, what: str) -> None:
    """Raise OutOfMemoryError before the system runs dry: it may end the program instead."""
    free = free_memory(torch.device("cpu"))
    if needed > free:
        raise OutOfMemoryError(
            f"{what} needs {needed / 2**30:.1f} GiB of memory and {free / 2**30:.1f} are free: "
            "crop the image, or close other programs."
        )
