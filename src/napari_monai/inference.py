"""A volume and a model in, labels on the volume's own grid out, with word of every step.

The whole image is normalised first, windows go through the network in batches, probabilities are
blended and brought back to the image's grid, and there they become classes or objects.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .devices import device_name, free_memory, is_out_of_memory, pick_device
from .errors import ModelError, NapariMonaiError, OutOfMemoryError, SettingsError, did_you_mean
from .events import Event, Said, Segmented, Started, WindowDone
from .instances import decode
from .models import Model, ModelDescription
from .preprocess import Prepared, prepare
from .runner import FloatArray, memory_layout
from .settings import Blend, InferenceSettings
from .sliding import Part, predict, predict_parts, tile
from .tiling import Tiling
from .volume import LabelVolume, Volume

__all__ = ["predict", "segment", "segment_steps"]

Labels = npt.NDArray[Any]

# Network of the last run, so that a folder of images loads and checks it once.
_recent: dict[tuple[Any, ...], torch.nn.Module] = {}


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
    volume: Volume, model: Model, *, settings: InferenceSettings = InferenceSettings()
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
        yield from _Run(volume, model, settings).steps()
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

    def __init__(self, volume: Volume, model: Model, settings: InferenceSettings) -> None:
        self.volume = volume
        self.model = model
        self.settings = settings
        self.description = model.description
        self.outputs = model.description.outputs
        self.plan = _Plan.of(model.description, settings)
        highest = max((c.number for c in self.description.labels), default=1)
        self.class_type = np.min_scalar_type(highest)
        numbers = [0, *(c.number for c in self.description.labels)]
        self.numbers = np.array(numbers, self.class_type)
        self.device = pick_device(settings.device)

    def steps(self) -> Iterator[Event]:
        """Yield the events of the run."""
        started = time.perf_counter()
        volume, timed = self.volume, "t" in self.volume.leading
        for note in self.plan.notes:
            yield Said(note, "warning")
        network = yield from self._network()
        yield Said(f"Running {self.model.name} on {device_name(self.device)}.")
        results: list[Labels] = []
        said: set[str] = set()
        for index in range(volume.times):
            voxels = int(np.prod(volume.grid.shape)) * volume.channels
            _afford(8 * voxels, volume.name)  # the image and a copy in float32
            prepared = prepare(volume.at_time(index), self.description)
            for note in prepared.notes:
                if note not in said:
                    said.add(note)
                    yield Said(note, "warning")
            tiling = tile(
                prepared.grid.shape,
                self.plan.window,
                overlap=self.plan.overlap,
                blend=self.plan.blend,
                size_multiple=self.description.inputs.size_multiple,
            )
            if index == 0:
                yield Started(tiling.total * volume.times, "windows")
            for event in self._time_point(prepared, tiling, network, results):
                if isinstance(event, WindowDone):
                    done, total = index * tiling.total + event.done, tiling.total * volume.times
                    region = event.region
                    if timed and region is not None:
                        region = (index, *region)
                    event = WindowDone(done, total, region, event.labels)
                yield event
        yield Segmented(
            self._labels(np.stack(results) if timed else results[0]),
            time.perf_counter() - started,
            str(self.device),
        )

    def _time_point(
        self, prepared: Prepared, tiling: Tiling, network: torch.nn.Module, results: list[Labels]
    ) -> Iterator[Said | WindowDone]:
        """Segment one time point, and append its labels on the native grid to ``results``."""
        back = prepared.back
        # Where the way back is exact, classes are final part by part and need no maps.
        decided = self.outputs.kind == "classes" and not back.resampled
        labels = np.zeros(tiling.shape, self.class_type) if decided else None
        maps: FloatArray | None = None
        for event in predict_parts(
            prepared.array,
            network,
            tiling,
            device=self.device,
            spatial_dims=self.description.inputs.spatial_dims,
            batch_size=self.settings.batch_size,
            activation=self.outputs.activation,
            flips=self.plan.flips,
            precision=self.settings.precision,
        ):
            if not isinstance(event, Part):
                yield event
                continue
            preview = self._preview(event.values)
            if labels is not None:
                labels[event.box] = preview
            else:
                if maps is None:
                    voxels = len(event.values) * int(np.prod(tiling.shape))
                    _afford(4 * voxels, f"The prediction of {self.volume.name}")
                    maps = np.empty((len(event.values), *tiling.shape), np.float32)
                maps[(slice(None), *event.box)] = event.values
            region, native = back.region(event.box, preview)
            yield WindowDone(event.done, event.total, region, native)
        if labels is not None:
            results.append(back.labels(labels))
        elif maps is not None:
            results.append(self._finish(maps, prepared))

    def _finish(self, maps: FloatArray, prepared: Prepared) -> Labels:
        """Return native labels from the maps of a whole time point."""
        if self.outputs.kind == "classes":
            return prepared.back.decided(maps, self._classes)
        channels = self.outputs.channels
        objects = decode(
            maps[channels.index("foreground")],
            maps[channels.index("distance")],
            spacing=prepared.grid.spacing,
            **self.plan.decoding,
        )
        return prepared.back.labels(objects)

    def _classes(self, values: FloatArray) -> Labels:
        """Return class numbers from activated outputs, shape (channel, *spatial)."""
        threshold = self.plan.threshold
        order: npt.NDArray[np.intp]
        if not self.outputs.softmax:
            order = 1 + values.argmax(axis=0)
            order[values.max(axis=0) < (0.5 if threshold is None else threshold)] = 0
        elif threshold is None:
            order = values.argmax(axis=0)
        else:
            order = 1 + values[1:].argmax(axis=0)
            order[1 - values[0] < threshold] = 0
        return np.asarray(self.numbers[order])

    def _preview(self, values: FloatArray) -> Labels:
        if self.outputs.kind == "classes":
            return self._classes(values)
        foreground = values[self.outputs.channels.index("foreground")]
        number = self.numbers[1]
        return np.where(foreground >= self.plan.decoding.get("threshold", 0.5), number, 0).astype(
            self.class_type
        )

    def _labels(self, labels: Labels) -> LabelVolume:
        """Return the result as labels on the input's grid."""
        volume = self.volume
        if self.outputs.kind == "instances":
            most = int(labels.max(initial=0))
            labels = labels.astype(np.uint16 if most <= np.iinfo(np.uint16).max else np.int32)
        return LabelVolume(
            labels,
            volume.grid,
            leading="t" if "t" in volume.leading else "",
            name=f"{volume.name} {self.model.name}",
            time_step=volume.time_step,
            meta=volume.meta,
            classes=self.description.labels,
            kind=self.outputs.kind,
        )

    def _network(self) -> Generator[Said, None, torch.nn.Module]:
        """Return the network on the device; on the CPU, and say so, where it does not fit."""
        model = self.model
        sha256 = model.description.weights[0].sha256
        key = (model.folder.resolve(), sha256, repr(model.description.network), self.device)
        network = _recent.get(key)
        if network is not None:
            return network
        _recent.clear()  # before the next one is loaded: both may not fit
        network = model.load_network("cpu")
        layout = memory_layout(network, self.description.inputs.spatial_dims)
        network.to(memory_format=layout)  # type: ignore[call-overload]
        try:
            network.to(self.device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            name = device_name(self.device)
            self.device = torch.device("cpu")
            yield Said(f"{name} is out of memory: going on on the CPU, more slowly.", "warning")
            return network.to(self.device)
        _recent[key] = network
        return network


def _afford(needed: int, what: str) -> None:
    """Raise OutOfMemoryError before the system runs dry: it may end the program instead."""
    free = free_memory(torch.device("cpu"))
    if needed > free:
        raise OutOfMemoryError(
            f"{what} needs {needed / 2**30:.1f} GiB of memory and {free / 2**30:.1f} are free: "
            "crop the image, or close other programs."
        )
