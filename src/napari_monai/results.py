"""What a run keeps: labels, probabilities and uncertainty on the image's grid, objects decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .deciding import Decider
from .events import Event, Said, Segmented
from .instance_blocks import decode_blocks
from .instance_slices import decode_slices
from .instances import CHANNELS, decode
from .models import Model
from .postprocess import CLEANING, changes, check_cleanings
from .preflight import DECODING
from .preprocess import Preparation
from .returning import Returning, bring_labels
from .run_plan import RunPlan
from .scratch import Scratch
from .settings import InferenceSettings
from .sliding import Part
from .tiling import Box
from .tracking import Tracking
from .volume import LabelVolume, Provenance, Volume


class Results:
    """The arrays of one segmentation, in memory or in its scratch folder.

    Parameters
    ----------
    volume, model, settings, plan
        The image, and what is done with it.
    scratch
        Where the arrays grow.
    budget
        Bytes of memory that the run may take.
    """

    def __init__(
        self,
        volume: Volume,
        model: Model,
        settings: InferenceSettings,
        plan: RunPlan,
        scratch: Scratch,
        *,
        budget: int,
    ) -> None:
        self.volume = volume
        self.model = model.name
        self.description = model.description
        self.outputs = model.description.outputs
        self.instances = self.outputs.kind == "instances"
        self.settings = settings
        self.plan = plan
        self.scratch = scratch
        self.budget = budget
        threshold = plan.threshold
        if self.instances:
            threshold = plan.decoding.get("threshold", threshold)
        self.decider = Decider(model.description, threshold)
        self.tracking: Tracking | None = None
        if self.instances and settings.link_time and volume.times > 1:
            self.tracking = Tracking(volume, settings, scratch, budget=budget)

    def finished(
        self, returning: Returning, box: Box, maps: torch.Tensor
    ) -> Sequence[torch.Tensor]:
        """Return what is kept of finished maps: labels, and what else was asked for.

        In this order: labels, uncertainty, probabilities, each on the native grid; and, of
        instances, the maps as they are.
        """
        settings, channels = self.settings, len(self.outputs.channels)
        late = self.plan.raw and self.outputs.home == "logits"
        if self.plan.raw and not late:
            maps = self.decider.activated(maps)
        # The most probable class is that of the largest logit.
        ranked = late and self.decider.ranks

        def make(maps: torch.Tensor) -> list[torch.Tensor]:
            found = [self.decider.classes(maps[:channels])] if ranked else []
            if late and not (ranked and self._labels_only):
                maps = self.decider.activated(maps)
            if not ranked:
                found.append(self.decider.classes(maps[:channels]))
            if settings.uncertainty == "variance":
                found.append(maps[channels])
            elif settings.uncertainty == "entropy":
                found.append(self.decider.entropy(maps[:channels]))
            if settings.probabilities:
                found.append(self.decider.probabilities(maps[:channels]))
            return found

        results = returning.bring(box, maps, make)
        return [*results, maps[:channels]] if self.instances else results

    def keep(
        self, index: int, returning: Returning, prepared: Preparation, part: Part
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

    def decode(self, index: int, prepared: Preparation) -> Iterator[Event]:
        """Make objects of the maps of a time point."""
        maps, channels = self._maps(prepared), self.outputs.channels
        of = {name: channels.index(name) for name in CHANNELS if name in channels}
        spacing, voxels = prepared.grid.spacing, int(np.prod(prepared.grid.shape))
        objects: Any
        small = self.scratch.folder is None or self.decoding_bytes * voxels < self.budget // 2
        if self.plan.slices == "linked" and prepared.grid.ndim == 3:
            kept = self.scratch if not small else Scratch(None)
            objects = kept.array("objects", prepared.grid.shape, np.int32)
            linking = {"gap": self.settings.link_gap, "neck": self.settings.link_neck}
            if self.settings.link_overlap is not None:
                linking["least"] = self.settings.link_overlap
            yield from decode_slices(
                {name: _Channel(maps, index) for name, index in of.items()},
                objects,
                spacing=spacing,
                linking=linking,
                **self.plan.decoding,
            )
        elif small:
            held = {name: maps[index] for name, index in of.items()}
            objects = decode(**held, spacing=spacing, **self.plan.decoding)
        else:
            objects = self.scratch.array("objects", prepared.grid.shape, np.int32)
            yield Said("Telling objects apart, block by block.")
            read = {name: _Channel(maps, index) for name, index in of.items()}
            yield from decode_blocks(
                read["foreground"],
                read["distance"],
                objects,
                touching=read.get("touching"),
                spacing=spacing,
                memory=self.budget // 2,
                scratch=self.scratch.folder,
                **self.plan.decoding,
            )
        at = (index,) * ("t" in self.volume.leading)
        target = self._array("labels")
        for box, labels in bring_labels(prepared.back, objects):
            target[(*at, *box)] = labels
        if self.tracking is not None:
            yield from self.tracking.link(target, index)

    def clean(self, index: int) -> Iterator[Event]:
        """Do to the classes of a time point what the model names."""
        cleanings = changes(check_cleanings(self.description.postprocess))
        if not cleanings:
            return
        grid, target = self.volume.grid, self._array("labels")
        at = (index,) * ("t" in self.volume.leading)
        if CLEANING * int(np.prod(grid.shape)) <= self.budget // 2:
            labels = np.asarray(target[at] if at else target[...])
            for cleaning in cleanings:
                labels = cleaning.apply(labels, grid)
            target[(*at, ...)] = labels
            return
        yield Said("Cleaning the labels, slab by slab.")
        rows = max(1, self.budget // 2 // (CLEANING * int(np.prod(grid.shape[1:]))))
        for cleaning in cleanings:
            cleaning.apply_in_slabs(_TimePoint(target, at), grid, rows)

    def _maps(self, prepared: Preparation) -> Any:
        return self.scratch.array(
            "maps", (len(self.outputs.channels), *prepared.grid.shape), np.float32
        )

    def _array(self, name: str) -> Any:
        """Return one of the arrays of the result: on the native grid, time first."""
        times = (self.volume.times,) * ("t" in self.volume.leading)
        channels = (self._probable,) if name == "probabilities" else ()
        shape = (*times, *channels, *self.volume.grid.shape)
        return self.scratch.array(name, shape, self._type_of(name))

    def _type_of(self, name: str) -> np.dtype[Any]:
        if name != "labels":
            return np.dtype(np.float32)
        highest = max((c.number for c in self.description.labels), default=1)
        return np.dtype(np.int32) if self.instances else np.min_scalar_type(highest)

    @property
    def _labels_only(self) -> bool:
        return self.settings.uncertainty != "entropy" and not self.settings.probabilities

    @property
    def decoding_bytes(self) -> int:
        """Bytes that a prepared voxel takes while objects are made: its maps, and the work."""
        return 4 * len(self.outputs.channels) + DECODING

    @property
    def voxel_bytes(self) -> int:
        """Bytes that a voxel of the image takes in the arrays."""
        each = self._type_of("labels").itemsize
        each += 4 * (self.settings.uncertainty != "none")
        return each + 4 * self._probable * self.settings.probabilities

    @property
    def _probable(self) -> int:
        """Number of the channels that are probabilities."""
        outputs = self.outputs
        return len(outputs.channels) if outputs.softmax else len(self.decider.likely)

    def segmented(self, seconds: float, device: torch.device) -> Segmented:
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
            name=f"{volume.name} {self.model}",
            classes=self.description.labels,
            kind=self.outputs.kind,
            made_by=Provenance("automatic", self.model, self.description.version),
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
        tracks = () if self.tracking is None else self.tracking.tracks
        return Segmented(result, seconds, str(device), probabilities, uncertainty, tracks)


class _TimePoint:
    """The labels of a time point, read and written by planes."""

    def __init__(self, labels: Any, at: tuple[int, ...]) -> None:
        self.labels = labels
        self.at = at
        self.shape = tuple(labels.shape[len(at) :])

    def __getitem__(self, planes: slice) -> Any:
        return self.labels[(*self.at, planes)]

    def __setitem__(self, planes: slice, values: npt.NDArray[Any]) -> None:
        self.labels[(*self.at, planes)] = values


class _Channel:
    """A channel of maps, which may lie on disk."""

    def __init__(self, maps: Any, index: int) -> None:
        self.maps = maps
        self.index = index
        self.shape: tuple[int, ...] = tuple(maps.shape[1:])

    def __getitem__(self, box: Any, /) -> Any:
        return self.maps[(self.index, *box)]
