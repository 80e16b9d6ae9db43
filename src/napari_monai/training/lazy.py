"""Examples of images that do not fit into memory: made block by block, and kept on disk.

They are those that are made at once, to the last bit; only the voxels that patches may be centred
on are other random ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .. import blocks
from ..labels.boxes import Box, Boxes, grown, moved, overlap, shape_of, tight, union, whole, within
from ..models import ModelDescription
from ..preprocess import prepare_lazily
from ..volume import Volume
from .centres import Centres
from .depths import write_depth
from .partial import IGNORED
from .shares import Known
from .spill import Spill
from .targets import NEAR, Labels, class_indices, touching, write_planes

# Voxels that are worked on at a time.
_BLOCK = 2**21


class Written:
    """One image and its labels as the network sees them, on disk.

    Parameters
    ----------
    volume, known
        One time point of the image, and what is known of its labels.
    description
        The model.
    spill
        The disk.
    partial, margin
        As for `make_examples`.

    Attributes
    ----------
    box
        Where they lie on the grid that the network sees; ``None`` where nothing is labelled.
    image, labels
        As in an `Example`, once they were written.
    spacing
        Distance between voxels along each axis.
    """

    image: npt.NDArray[np.float16]
    labels: npt.NDArray[np.integer[Any]]

    def __init__(
        self,
        volume: Volume,
        known: Known,
        description: ModelDescription,
        spill: Spill,
        *,
        partial: bool,
        margin: Sequence[int] | None,
    ) -> None:
        self._prepared = prepare_lazily(volume, description)
        self._known, self._description, self._spill = known, description, spill
        self._name = volume.name
        self.partial = partial
        self.spacing = self._prepared.grid.spacing
        self.classes = description.outputs.kind == "classes"
        self.box: Box | None = whole(self._prepared.grid.shape)
        if partial:
            self.box = self._labelled_box()
            if self.box is not None:
                self.box = with_margin(self.box, margin, self._prepared.grid.shape)

    def write(self) -> None:
        """Write the image and the labels."""
        assert self.box is not None
        shape = shape_of(self.box)
        self.image = self._spill.array((self._prepared.channels, *shape), np.float16)
        self.labels = self._spill.array(shape, np.int16 if self.classes else np.int32)
        for box in self._prepared.boxes(_BLOCK // self._prepared.channels):
            part = overlap(box, self.box)
            if part is not None:
                here = within(part, self.box)
                self.image[(slice(None), *here)] = self._prepared.read(part)
                self.labels[here] = self._read_labels(part)

    def parts(self) -> Iterator[tuple[Box, Labels]]:
        """Yield the labels that were written, block by block, each with where it lies."""
        shape = self.labels.shape
        sides = blocks.sides(shape, (1.0,) * len(shape), _BLOCK)
        for box in blocks.boxes(shape, sides):
            yield box, np.asarray(self.labels[box])

    def centres(self) -> Centres:
        """Return the voxels that patches may be centred on."""
        centres = Centres(each=self.classes, partial=self.partial)
        for box, labels in self.parts():
            centres.add(labels, [side.start for side in box])
        return centres

    def instance_maps(self) -> npt.NDArray[np.float16]:
        """Return what `targets.instance_maps` does, on disk."""
        shape = self.labels.shape
        maps = self._spill.array((5 if self.partial else 3, *shape), np.float16)
        found = Boxes(len(shape))
        for box, labels in self.parts():
            found.look(np.maximum(labels, 0), box)
        cut = self._cut_objects() if self.partial else None
        for box, labels in self.parts():
            wide = grown(box, NEAR, shape)
            near = touching(np.maximum(self.labels[wide], 0))[within(box, wide)]
            maps[0][box] = labels > 0
            maps[2][box] = near
            if cut is not None:
                maps[3][box] = labels != IGNORED
                maps[4][box] = (labels != IGNORED) & ~np.isin(labels, cut)
        for number in found.values():
            around = found.get(number)
            assert around is not None
            write_depth(self.labels, number, around, self.spacing, maps[1])
        if self.partial:
            write_planes(self.labels, self.spacing, distance=maps[1], known=maps[4])
        return maps

    def _read_labels(self, box: Box) -> Labels:
        labels: Labels = self._prepared.back.prepare_labels_in(box, self._known.read)
        return class_indices(labels, self._description, self._name) if self.classes else labels

    def _labelled_box(self) -> Box | None:
        """Return the smallest box of all that is labelled."""
        found: Box | None = None
        for box in self._prepared.boxes(_BLOCK):
            part = tight(self._read_labels(box) != IGNORED)
            if part is not None:
                here = moved(part, box)
                found = here if found is None else union(found, here)
        return found

    def _cut_objects(self) -> npt.NDArray[np.int32]:
        """Return the objects that reach a voxel that is not labelled; see `whole_objects`."""
        cut: set[int] = set()
        for box, _ in self.parts():
            labels = np.asarray(self.labels[grown(box, 1, self.labels.shape)])
            missing = labels == IGNORED
            if missing.any():
                near = ndimage.binary_dilation(missing, np.ones((3,) * labels.ndim, bool))
                cut.update(np.unique(labels[near & (labels > 0)]).tolist())
        return np.array(sorted(cut), np.int32)


def with_margin(box: Box, margin: Sequence[int] | None, shape: Sequence[int]) -> Box:
    """Return a box with a margin, of which `None` is all: no patch on the box reaches farther.

    The margin is of the last axes; the slices of a volume for a model of slices have none.
    """
    if margin is None:
        return whole(shape)
    wide = [0] * (len(shape) - len(margin)) + [max(NEAR, m) for m in margin]
    return grown(box, wide, shape)
