"""Files to series, series to volumes; everything that is odd is said once, in one line."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...errors import ReadError, VolumeWarning
from ...grid import Grid
from ...volume import ArrayLike, LabelVolume, Volume
from ..convert import as_labels
from ..files import memory_budget, one_line
from ..formats import ALL
from ..lazy import LazyArray, blank
from . import geometry, seg_read
from .header import Unreadable, planes_of
from .plane import Origin, Plane, reseated
from .source import Passed, Source, in_folder, in_zip
from .stacks import Found, Stack, named, numbered, stacks_of, time_step, without
from .voxels import Damaged, Voxels

META_KEY = "dicom"
# Whether small values are bright: MONOCHROME1, as films are. The values are kept as they are.
INVERTED = "inverted"


def volumes(path: Path, *, labels: bool, voxels: Container[int] = ALL) -> Iterator[Volume]:
    """Yield the volumes of a zip, or of the series that a file belongs to, its own one first.

    The other files of the series are those of the same folder. All are read, whatever ``voxels``
    says: what lists the volumes without reading them is `napari_monai.io.dicom.listing`.

    Raises ReadError if there is no image, or it cannot be decoded.
    """
    passed = Passed(path)
    if path.name.lower().endswith(".zip"):
        found = list(_volumes(in_zip(path, passed), path, passed, labels))
    else:
        found = _of_file(path, passed, labels)
    if not found:
        why = passed.reasons()
        raise ReadError(f"{path} holds no DICOM image that can be read{f': {why}' if why else ''}.")
    yield from found


def volumes_in(folder: Path, *, labels: bool) -> list[Volume]:
    """Return the volumes of every series in a folder and in the folders inside it."""
    passed = Passed(folder)
    found = list(_volumes(in_folder(folder, passed), folder, passed, labels))
    if found:
        passed.warn()
    elif passed.reasons():
        warnings.warn(
            VolumeWarning(f"{folder}: no DICOM image can be read ({passed.reasons()})."),
            stacklevel=2,
        )
    return found


def placed(path: Path) -> list[Volume]:
    """Return the images of a folder, a zip, or a file's series, their voxels left in the files.

    What is odd about them is not said.
    """
    passed = Passed(path)
    sources: Iterable[Source]
    if path.is_dir():
        sources = in_folder(path, passed)
    elif path.name.lower().endswith(".zip"):
        sources = in_zip(path, passed)
    else:
        sources = in_folder(path.parent, passed, deep=False)
    series = [planes for planes in _series(sources, passed) if not planes[0].series.segments]
    if path.is_file() and not path.name.lower().endswith(".zip"):
        series = [s for s in series if any(p.pixels.source.path.name == path.name for p in s)]
    found = []
    for planes in series:
        stacks = stacks_of(planes).stacks
        names = numbered([named(s, stacks) for s in stacks])
        for stack, name in zip(stacks, names, strict=True):
            found.append(_volume(stack, _data(stack, False, name, lazy=True), name, labels=False))
    return found


def series_files(folder: Path) -> list[Path]:
    """Return one file of each series in a folder and in the folders inside it."""
    passed = Passed(folder)
    series = _series(in_folder(folder, passed), passed)
    # A file stands for what lies beside it.
    firsts = {
        (p.series.key, p.pixels.source.path.parent): p
        for s in reversed(series)
        for p in reversed(s)
    }
    return sorted(p.pixels.source.path for p in firsts.values())


@dataclass(frozen=True, eq=False)
class SeriesFiles:
    """A DICOM series that was found; its voxels are read when they are asked for."""

    planes: tuple[Plane, ...]
    where: Path

    @property
    def names(self) -> list[str]:
        """The name of each volume that the files say there is."""
        if self.planes[0].series.segments:
            return [self.planes[0].series.name]
        stacks = stacks_of(self.planes).stacks
        return numbered([named(s, stacks) for s in stacks])

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the series, in order."""
        return tuple(dict.fromkeys(p.pixels.source.path for p in self.planes))

    def volumes(self, *, labels: bool = False) -> list[Volume]:
        """Return the volumes; slices that cannot be decoded are left out and said."""
        passed = Passed(self.where)
        found = list(_of_series(self.planes, self.where, passed, labels))
        if not found:
            raise ReadError(
                f"{self.where}: series {self.planes[0].series.name} cannot be read: "
                f"{passed.reasons()}."
            )
        return [as_labels(v) for v in found] if labels else found


def series_in(place: Path, *, deep: bool = True, segmentations: bool = True) -> list[SeriesFiles]:
    """Return every series in a zip, or in a folder and with ``deep`` in the folders inside it.

    Without ``segmentations``, those of images only.
    """
    passed = Passed(place)
    zipped = place.name.lower().endswith(".zip")
    sources = in_zip(place, passed) if zipped else in_folder(place, passed, deep=deep)
    series = _series(sources, passed)
    if not segmentations:
        series = [planes for planes in series if not planes[0].series.segments]
    found = [SeriesFiles(tuple(planes), place) for planes in series]
    if deep:
        passed.warn()
    return found


def _of_file(path: Path, passed: Passed, labels: bool) -> list[Volume]:
    own = Source(path.name, path)
    try:
        planes = planes_of(own)
    except OSError as error:
        raise ReadError(f"{path} cannot be opened: {one_line(error)}.") from error
    except Unreadable as error:
        raise ReadError(f"{path} holds no DICOM image that can be read ({error}).") from error
    silent = Passed(path.parent)  # what else lies there was not asked for
    beside = (s for s in in_folder(path.parent, silent, deep=False) if s.path.name != path.name)
    others = _series(beside, silent)
    key = planes[0].series.key
    mine = next((s for s in others if s[0].series.key == key), [])
    together = sorted([*planes, *mine], key=lambda p: p.pixels.source.name)
    found = list(_of_series(together, path, passed, labels))
    return sorted(found, key=lambda v: path not in v.meta[META_KEY].files)


def _volumes(
    sources: Iterable[Source], where: Path, passed: Passed, labels: bool
) -> Iterator[Volume]:
    every = _series(sources, passed)
    if every:
        passed.warn()
    for planes in every:
        yield from _of_series(planes, where, passed, labels)


def _series(sources: Iterable[Source], passed: Passed) -> list[list[Plane]]:
    """Return the planes of each series, by number and then in the order of the files."""
    gathered = Gathered(passed)
    for source in sources:
        gathered.add(source)
    return gathered.series()


class Gathered:
    """Files sorted into series, one by one."""

    def __init__(self, passed: Passed) -> None:
        self._passed = passed
        self._found: dict[tuple[str, ...], list[Plane]] = {}

    def add(self, source: Source, later: Source | None = None) -> None:
        """Sort a file in, or note why it cannot be read.

        ``later`` is what its voxels are to be read from, if it is not the same.
        """
        try:
            planes = planes_of(source)
        except Unreadable as error:
            self._passed.add(source.name, str(error))
        except OSError:
            self._passed.add(source.name, "cannot be opened")
        else:
            if later is not None:
                planes = reseated(planes, lambda _: later)
            self._found.setdefault(planes[0].series.key, []).extend(planes)

    def series(self) -> list[list[Plane]]:
        """Return the planes of each series, by number and then in the order of the files."""
        return sorted(self._found.values(), key=lambda planes: planes[0].series.number)


# -- one series -----------------------------------------------------------------------------------


def _of_series(
    planes: Sequence[Plane], where: Path, passed: Passed, labels: bool
) -> Iterator[Volume]:
    """Yield the volumes of a series; files that cannot be decoded are left out and said."""
    if planes[0].series.segments:
        yield from segmentation(planes, where, passed)
        return
    left = list(planes)
    name = planes[0].series.name
    while left:
        found = stacks_of(left)
        data: list[ArrayLike] = []
        try:
            for stack in found.stacks:
                data.append(_data(stack, labels, name))
        except Damaged as error:
            passed.add(error.source.name, "cannot be decoded")
            left = without(left, {id(error.source)})
            continue
        passed.warn()
        yield from _built(found, data, where, labels)
        return


def segmentation(planes: Sequence[Plane], where: Path, passed: Passed) -> Iterator[LabelVolume]:
    """Yield the labels of a DICOM segmentation; one that cannot be read is noted."""
    source, series = planes[0].pixels.source, planes[0].series
    try:
        found = seg_read.read(planes)
    except Unreadable as error:
        passed.add(source.name, str(error))
        return
    for remark in found.remarks:
        warnings.warn(VolumeWarning(f"{where}: {series.name}: {remark}."), stacklevel=2)
    origin = Origin((source.path,), (0,), series.modality, series.uid, (source.name,), True)
    yield LabelVolume(
        found.array,
        found.grid,
        name=series.name,
        source=source.path,
        meta={META_KEY: origin},
        classes=found.classes,
        kind=found.kind,
        made_by=found.made_by,
    )


def _data(stack: Stack, labels: bool, name: str, *, lazy: bool = False) -> ArrayLike:
    """Return the voxels in memory, or in the files where they do not fit it or with ``lazy``."""
    voxels, order = _voxels(stack, labels)
    size = int(np.prod(voxels.shape, dtype=np.float64)) * voxels.dtype.itemsize
    if lazy or size > memory_budget():
        return LazyArray(voxels, order=order, name=name)
    return voxels.whole().transpose(order)


def _voxels(stack: Stack, labels: bool) -> tuple[Voxels, tuple[int, ...]]:
    """Return the voxels in the files, and the order of their axes in a volume."""
    placed = _is_placed(stack)
    voxels = Voxels(stack, timed=len(stack.times) > 1, spatial=placed, indices=labels)
    n = len(voxels.shape)
    order = tuple(range(n))
    if voxels.colour:  # colours before space
        lead = n - 3 - placed
        order = (*range(lead), n - 1, *range(lead, n - 1))
    return voxels, order


def _is_placed(stack: Stack) -> bool:
    return stack.first.place is not None


def _built(found: Found, data: Sequence[ArrayLike], where: Path, labels: bool) -> Iterator[Volume]:
    stacks = found.stacks
    names = numbered([named(s, stacks) for s in stacks])
    for remark in found.remarks:
        name = stacks[0].first.series.name
        warnings.warn(VolumeWarning(f"{where}: series {name}: {remark}."), stacklevel=2)
    for stack, array, name in zip(stacks, data, names, strict=True):
        yield _volume(stack, array, name, labels)


def outline(stack: Stack, name: str) -> Volume:
    """Return the volume of a stack without reading its voxels: they are blank."""
    voxels, order = _voxels(stack, labels=False)
    return _volume(stack, blank(voxels.shape, voxels.dtype).transpose(order), name, labels=False)


def read_stack(stack: Stack, name: str, *, where: Path, labels: bool) -> list[Volume]:
    """Return the volume of a stack; several where files that cannot be decoded leave gaps."""
    try:
        return [_volume(stack, _data(stack, labels, name), name, labels)]
    except Damaged:
        found = list(_of_series(stack.planes, where, Passed(where), labels))
    return [replace(found[0], name=name)] if len(found) == 1 else found


def _volume(stack: Stack, data: ArrayLike, name: str, labels: bool) -> Volume:
    first = stack.first
    timed = len(stack.times) > 1
    palette = first.pixels.photometric == "PALETTE COLOR"
    colour = first.pixels.colour and not (labels and palette)
    origin = Origin(
        files=tuple(p.pixels.source.path for p in stack.planes),
        frames=tuple(p.frame for p in stack.planes),
        modality=first.series.modality,
        series_uid=first.series.uid,
        names=tuple(p.pixels.source.name for p in stack.planes),
    )
    return Volume(
        data,
        _grid(stack),
        "t" * timed + "c" * colour,
        rgb=colour,
        name=name,
        source=first.pixels.source.path,
        time_step=time_step(stack),
        meta={META_KEY: origin, INVERTED: first.pixels.photometric == "MONOCHROME1"},
    )


def _grid(stack: Stack) -> Grid:
    first = stack.first
    if first.place is None:
        unit = "mm" if first.spacing else "pixel"
        return Grid.from_spacing(first.shape, first.spacing, unit=unit)
    places = [p.place for p in stack.times[0] if p.place is not None]
    return Grid((len(places), *first.shape), geometry.affine(places, stack.thickness))
