"""A volume and a model in, labels on the volume's own grid out, with word of every step.

The whole image is normalised first, windows go through the network in batches, probabilities are
blended and brought back to the image's grid, and there they become classes or objects.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .blending import carried_bytes
from .deciding import background
from .devices import device_name, free_memory, is_out_of_memory, pick_device, pick_precision
from .directions import Resliced, Side, parts_from
from .errors import ModelError, NapariMonaiError, OutOfMemoryError
from .events import Event, Said, Segmented, Started, WindowDone
from .models import Model
from .preflight import GIB, Estimate, activations
from .preprocess import (
    LazilyPrepared,
    Preparation,
    Prepared,
    is_resampled,
    prepare,
    prepare_bytes,
    prepare_lazily,
)
from .results import Results
from .returning import Returning
from .run_plan import RunPlan, enlarged
from .scratch import Scratch, key_of
from .settings import InferenceSettings, Precision
from .settling import most_lanes
from .sliding import Part, predict, predict_parts
from .streaming import Finish
from .tiling import Box
from .volume import LabelVolume, Volume
from .ways import Way
from .windows import STRIP, Empty

__all__ = ["predict", "segment", "segment_steps"]

# Part of the free memory that a run may take, and bytes from which it says what it takes.
_SHARE = 0.9
_WORTH_SAYING = 2 * GIB
# Bytes of a prepared image from which it is not held, if it is little work to prepare it.
_LARGE = GIB // 2
_CURE = "crop the image, or write to .ome.zarr, or give a scratch folder: those grow on disk"
_CURE_SIDES = "crop the image, or choose linked slices, whose results may grow on disk"
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
    the first axis of a stack; ``settings.slices`` says how objects are made of them. Every time
    point is segmented by itself; objects are then linked from one to the next by their overlap.

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


class _Run:
    """One segmentation: what its parts share."""

    def __init__(
        self, volume: Volume, model: Model, settings: InferenceSettings, scratch: Path | None
    ) -> None:
        model = dataclasses.replace(model, description=enlarged(model.description, settings.zoom))
        self.volume = volume
        self.model = model
        self.settings = settings
        self.description = model.description
        self.outputs = model.description.outputs
        self.plan = RunPlan.of(model.description, settings)
        self.device = pick_device(settings.device)
        self.scratch = Scratch(scratch)
        self.precision: Precision | Way = settings.precision
        self.budget = int(_SHARE * free_memory(torch.device("cpu")))
        if settings.memory > 0:
            self.budget = min(self.budget, int(settings.memory * GIB))
        #: As the memory of the device allows, see `Estimate.on_device`.
        self.batch_size = settings.batch_size
        self.sums_on_host = False
        self.results = Results(volume, model, settings, self.plan, self.scratch, budget=self.budget)

    def steps(self) -> Iterator[Event]:
        """Yield the events of the run."""
        started = time.perf_counter()
        for note in self.plan.notes:
            yield Said(note, "warning")
        networks = yield from self._networks()
        yield Said(f"Running {self.model.name} on {device_name(self.device)}.")
        done = self.scratch.begin(self._key())
        if done:
            self.precision = Way.of(done["way"])
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
            sides = self._sides(prepared)
            if index == done.get("time", 0):
                estimate = yield from self._fitted(self._estimate(prepared, sides, networks))
                if estimate.host + estimate.device > _WORTH_SAYING:
                    yield Said(estimate.line())
                cure = _CURE if len(sides) == 1 else _CURE_SIDES
                estimate.check(self.budget, self.volume.name, cure)
                total = sum(side.tiling.total for side in sides)
                yield Started(total * self.volume.times, "windows")
            row = done.get("row", 0) if index == done.get("time", 0) else 0
            yield from self._time_point(index, row, prepared, sides, networks)
        seconds = time.perf_counter() - started
        yield self.results.segmented(seconds, self.device)

    def _prepared(self, index: int) -> Preparation:
        """Return a time point as the model takes it: in memory if it fits well, else in parts."""
        part = self.volume.at_time(index)
        size = prepare_bytes(part, self.description)
        # Without resampling the voxels that windows share are soon prepared again.
        much = _LARGE if not is_resampled(part, self.description) else self.budget
        if size > min(much, self.budget // 2):
            return prepare_lazily(part, self.description)
        return prepare(part, self.description)

    def _estimate(
        self, prepared: Preparation, sides: Sequence[Side], networks: Sequence[torch.nn.Module]
    ) -> Estimate:
        """Return what the run takes of memory."""
        tiling = sides[0].tiling
        description, settings = self.description, self.settings
        channels = len(self.outputs.channels) + (settings.uncertainty == "variance")
        window = tiling.window[tiling.ndim - description.inputs.spatial_dims :]
        way = self.precision
        dtype = way.dtype if isinstance(way, Way) else pick_precision(self.device, way)
        batch = settings.batch_size or 1
        values = channels * int(np.prod(window))
        shape = (batch, prepared.channels, *window)
        prepared_voxels = int(np.prod(prepared.grid.shape))
        voxels = int(np.prod(self.volume.grid.shape)) * self.volume.times
        results = 0
        if self.scratch.folder is None:
            results = voxels * self.results.voxel_bytes
            if self.results.instances:
                results += self.results.decoding_bytes * prepared_voxels
        image = 4 * prepared.channels * prepared_voxels
        if len(sides) > 1:
            results += 4 * channels * prepared_voxels
            image += min(image, STRIP)
        lanes = 1 if way == "float32" else most_lanes(networks[0], (1, *shape[1:]), self.device)
        return Estimate(
            image=min(image, STRIP) if isinstance(prepared, LazilyPrepared) else image,
            # Activations, logits and probabilities.
            windows=lanes * (activations(networks[0], shape, dtype) + 3 * 4 * batch * values),
            carried=carried_bytes(
                tiling,
                channels,
                probabilities=not self.plan.raw and "identity" not in self.outputs.activation,
            ),
            results=results,
            on_gpu=self.device.type != "cpu",
            batch=batch,
        )

    def _fitted(self, estimate: Estimate) -> Generator[Said, None, Estimate]:
        """Make the run fit the device, and say how."""
        if not estimate.on_gpu:
            return estimate
        free = int(_SHARE * free_memory(self.device))
        fitted, notes = estimate.on_device(free, device_name(self.device))
        if fitted.batch < estimate.batch:
            self.batch_size = fitted.batch
        self.sums_on_host = fitted.sums_on_host
        for note in notes:
            yield Said(note, "warning")
        return fitted

    def _sides(self, prepared: Preparation) -> tuple[Side, ...]:
        """Return from where the model looks at a volume: along one axis, or all three."""
        inputs = self.description.inputs
        tiling = partial(self.plan.tiling, inputs.spatial_dims, inputs.multiples)
        whole = prepared.array if isinstance(prepared, Prepared) else prepared
        first = Side(whole, tiling(prepared.grid.shape))
        if self.plan.slices != "orthogonal" or prepared.grid.ndim < 3 or prepared.grid.shape[0] < 2:
            return (first,)
        others = (Resliced(prepared, axis) for axis in (1, 2))
        return (first, *(Side(o, tiling(o.grid.shape), o.back) for o in others))

    def _time_point(
        self,
        index: int,
        first_row: int,
        prepared: Preparation,
        sides: Sequence[Side],
        networks: Sequence[torch.nn.Module],
    ) -> Iterator[Event]:
        """Segment one time point into the arrays of the run."""
        late = self.plan.raw and self.outputs.home == "logits"
        returning = Returning(
            prepared.back, self._background(raw=late), nearest=self.outputs.home == "labels"
        )
        tiling = sides[0].tiling
        rows = len(tiling.starts[0])
        parts: Iterator[Event | Part] = iter(())
        if first_row < rows:
            empty = yield from self._empty(prepared)

            def finish(box: Box, maps: torch.Tensor) -> Sequence[torch.Tensor]:
                return self.results.finished(returning, box, maps)

            def predict(
                side: Side, finish: Finish | None, first_row: int = 0
            ) -> Iterator[Event | Part]:
                return self._predict(side, networks, finish, empty, first_row)

            if len(sides) == 1:
                parts = predict(sides[0], finish, first_row)
            else:
                shape, channels = prepared.grid.shape, self.outputs.channels
                parts = parts_from(sides, shape, predict, finish, channels)
        total = sum(side.tiling.total for side in sides)
        before, in_all = index * total, total * self.volume.times
        for event in parts:
            if isinstance(event, WindowDone):
                yield WindowDone(before + event.done, in_all)
                continue
            if not isinstance(event, Part):
                yield event
                continue
            labels = self.results.keep(index, returning, prepared, event)
            region: tuple[int | slice, ...] = returning.native(returning.region(event.box))
            if "t" in self.volume.leading:
                region = (index, *region)
            yield WindowDone(before + event.done, in_all, region, labels)
            if len(sides) == 1 and event.done % tiling.per_row == 0:
                self._save(index, event.done // tiling.per_row)
        if self.results.instances:
            yield from self.results.decode(index, prepared)
        else:
            yield from self.results.clean(index)
        self._save(index + 1, 0)
        # Not before it is known that they are not needed again.
        self.scratch.drop("objects")
        self.scratch.drop("maps")

    def _predict(
        self,
        side: Side,
        networks: Sequence[torch.nn.Module],
        finish: Finish | None,
        empty: Empty | None,
        first_row: int,
    ) -> Iterator[Event | Part]:
        """Run the networks over a side of a volume, and remember in what way."""
        parts = predict_parts(
            side.source,
            networks,
            side.tiling,
            device=self.device,
            spatial_dims=self.description.inputs.spatial_dims,
            batch_size=self.batch_size,
            activation=self.outputs.activation,
            flips=self.plan.mirror_axes,
            spread=self.settings.uncertainty == "variance",
            raw=self.plan.raw,
            select=self.outputs.select,
            compiled=self.settings.compile,
            precision=self.precision,
            finish=finish,
            empty=empty,
            first_row=first_row,
            sums_on_host=self.sums_on_host,
        )
        for event in parts:
            if isinstance(event, Part):
                self.precision = event.way
            yield event

    def _save(self, index: int, row: int) -> None:
        self.scratch.save({"time": index, "row": row, "way": str(self.precision)})

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

    def _empty(self, prepared: Preparation) -> Generator[Said, None, Empty | None]:
        """Return which windows need not be run, as the user or the model says."""
        raw = self.settings.skip_empty
        if raw is None:
            raw = self.description.inferer.empty
        if raw is None:
            return None
        threshold = prepared.value_of(raw)
        if threshold is None:
            yield Said(f"All windows are run: {raw:g} cannot be told after preprocessing.")
            return None
        maps = self._background(raw=self.plan.raw)
        return Empty(tuple(float(t) for t in threshold), maps)

    def _background(self, *, raw: bool) -> tuple[float, ...]:
        """Return what the maps, or ``raw`` ones, say of a place where there is nothing."""
        maps = background(self.outputs.activation, len(self.outputs.channels), raw=raw)
        return (*maps, 0.0) if self.settings.uncertainty == "variance" else maps

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
