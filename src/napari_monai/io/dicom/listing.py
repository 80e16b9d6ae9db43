"""What is in files of DICOM, by their headers alone: volumes that are read when they are wanted."""

from __future__ import annotations

import io
import itertools
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import pydicom

from ...errors import GridError, ReadError, VolumeError, VolumeWarning
from ...events import Stopped
from ...volume import Volume
from ..lazy import blank
from ..sniff import open_regular
from .plane import Origin, Plane, reseated
from .reader import META_KEY, Gathered, outline, read_stack, segmentation
from .source import NO_DICOM, Passed, Source, in_zip, listed, source_of
from .stacks import Stack, named, numbered, stacks_of
from .values import calm, text


@dataclass(frozen=True, eq=False)
class Listed:
    """A volume of a series, of which the headers were read and the voxels were not.

    Parameters
    ----------
    volume
        Its space, type and name; the voxels are blank.
    stack
        Its planes.
    where
        The folder, file or zip that was looked into.
    remarks
        What is to be said about its series.
    """

    volume: Volume
    stack: Stack
    where: Path
    remarks: tuple[str, ...]

    @property
    def files(self) -> int:
        """Number of files that it is made of."""
        return len({id(p.pixels) for p in self.stack.planes})

    @property
    def modality(self) -> str:
        """What made it, as DICOM abbreviates it: CT, MR, PT."""
        origin = self.volume.meta[META_KEY]
        return origin.modality if isinstance(origin, Origin) else ""

    def patient(self) -> str:
        """Return name and number of the patient, from the header of the first file."""
        try:
            with calm(), self.stack.first.pixels.source.open() as file:
                dataset = pydicom.dcmread(
                    file, force=True, stop_before_pixels=True,
                    specific_tags=["PatientName", "PatientID"],
                )  # fmt: skip
                found = (text(dataset, "PatientName"), text(dataset, "PatientID"))
        except Exception:  # the file is gone, or damaged: pydicom raises anything
            return ""
        return ", ".join(word.replace("^", " ").strip() for word in found if word)

    def read(self, *, labels: bool, told: Callable[[int, int], bool]) -> list[Volume]:
        """Read the voxels; several volumes where files that cannot be decoded leave gaps.

        ``told`` is told how many of how many files or frames are read, in a thread that reads
        them, never in two at once, and returns whether to go on; `Stopped` is raised where not.

        Raises ReadError if nothing can be decoded.
        """
        planes = _unpacked(self.stack.planes)
        if planes[0].series.segments:
            return self._segmentation(planes)
        watch = _Watch(_openings(planes), told)
        stack = _with_planes(self.stack, reseated(planes, watch.over))
        found = read_stack(stack, self.volume.name, where=self.where, labels=labels)
        watch.done = True
        if not found:
            names = listed(list(dict.fromkeys(p.pixels.source.name for p in planes)))
            raise ReadError(
                f"{self.volume.name} cannot be decoded ({names}). Copy it from its source again."
            )
        return found

    def _segmentation(self, planes: Sequence[Plane]) -> list[Volume]:
        passed = Passed(self.where)
        found: list[Volume] = list(segmentation(planes, self.where, passed))
        if not found:
            raise ReadError(f"{self.volume.name} cannot be decoded ({passed.reasons()}).")
        return found


class Scan:
    """Looks into the files of one place, one by one, and then says what volumes they make."""

    def __init__(self, where: Path) -> None:
        self._where = where
        self._passed = Passed(where)
        self._gathered = Gathered(self._passed)

    def pass_over(self, path: Path, reason: str) -> None:
        """Note something that cannot be looked into, and why."""
        self._passed.add(path, reason)

    def look_into(self, path: Path, *, sure: bool = False) -> None:
        """Look into a file; what is no DICOM, unless it is ``sure`` to be, is noted."""
        source = Source(path.name, path) if sure else source_of(path, self._passed)
        if source is not None:
            self._gathered.add(source)

    def look_into_zip(self) -> Iterator[None]:
        """Look into the members of the zip that the place is; pauses after each.

        Raises ReadError where the archive is damaged, encrypted, or far larger than it should be.
        """
        for source in in_zip(self._where, self._passed):
            # What was unpacked is not kept: it is unpacked again when it is read.
            light = _Member(source.name, source.path, length=source.size)
            self._gathered.add(source, light)
            yield

    def reasons(self) -> str:
        """Return what was passed over and why, in one line; empty if nothing was.

        Files that are no DICOM are worth a word among others that are.
        """
        return self._passed.reasons(but="" if self._gathered.series() else NO_DICOM)

    def found(self, *, like: Path | None = None) -> Iterator[Listed]:
        """Yield the volumes; with ``like`` those of the series that this file belongs to.

        What makes no volume is noted.
        """
        for planes in self._gathered.series():
            if like is not None and all(p.pixels.source.path != like for p in planes):
                continue
            if planes[0].series.segments:
                yield from self._segmentations(planes)
                continue
            found = stacks_of(planes)
            names = numbered([named(s, found.stacks) for s in found.stacks])
            for stack, name in zip(found.stacks, names, strict=True):
                try:
                    volume = outline(stack, name)
                except (GridError, VolumeError) as error:
                    self._passed.add(stack.first.pixels.source.name, str(error).rstrip("."))
                    continue
                yield Listed(volume, stack, self._where, tuple(found.remarks))

    def _segmentations(self, planes: Sequence[Plane]) -> Iterator[Listed]:
        """Yield a segmentation: which slices it has is known when it is read, and it is small."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", VolumeWarning)
            found = list(segmentation(planes, self._where, self._passed))
        remarks = tuple(str(w.message).removeprefix(f"{self._where}: ") for w in caught)
        for volume in found:
            outlined = replace(volume, data=blank(volume.data.shape, volume.dtype))
            yield Listed(outlined, stacks_of(planes).stacks[0], self._where, remarks)


# -- files that are watched while they are read -------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Member(Source):
    """A file in a zip, unpacked each time it is opened."""

    length: int = 0

    @property
    def size(self) -> int:
        return self.length

    def open(self) -> BinaryIO:
        (content,) = _contents([self])
        return io.BytesIO(content)


@dataclass(frozen=True, eq=False)
class _Watched(Source):
    """A file whose openings are counted."""

    tick: Callable[[], None] = lambda: None

    def open(self) -> BinaryIO:
        self.tick()
        return super().open()


class _Watch:
    """Counts openings, by several threads, and stops the reading when it is told to."""

    def __init__(self, total: int, told: Callable[[int, int], bool]) -> None:
        self._total, self._told = total, told
        self._count = itertools.count(1)
        self._lock = threading.Lock()
        self._stopped = False
        self.done = False

    def over(self, source: Source) -> Source:
        """Return the file under watch."""
        return _Watched(source.name, source.path, source.content, tick=self._tick)

    def _tick(self) -> None:
        # What stays in its files is read later, too, and nobody waits for that.
        if self.done:
            return
        with self._lock:
            if not self._stopped:
                self._stopped = not self._told(min(next(self._count), self._total), self._total)
            if self._stopped:
                raise Stopped


def _openings(planes: Sequence[Plane]) -> int:
    """Return how often files are opened to read planes: for each that lies open, else once."""
    packed = {id(p.pixels) for p in planes if p.pixels.offset is None}
    return len(packed) + sum(p.pixels.offset is not None for p in planes)


def _unpacked(planes: Sequence[Plane]) -> list[Plane]:
    """Return the planes with their files in memory if they are in a zip: unpacked in one go."""
    members = list({id(s): s for p in planes if isinstance(s := p.pixels.source, _Member)}.values())
    if not members:
        return list(planes)
    loaded = {
        id(member): Source(member.name, member.path, content)
        for member, content in zip(members, _contents(members), strict=True)
    }
    return reseated(planes, lambda source: loaded.get(id(source), source))


def _contents(members: Sequence[_Member]) -> Iterator[bytes]:
    """Yield the bytes of files in a zip; raises ReadError where it was changed meanwhile."""
    try:
        with open_regular(members[0].path) as file, zipfile.ZipFile(file) as archive:
            for member in members:
                with archive.open(member.name) as packed:
                    yield packed.read(member.length)
    except (OSError, EOFError, KeyError, NotImplementedError, RuntimeError, zlib.error,
            zipfile.BadZipFile):  # fmt: skip
        raise ReadError(f"{members[0].path} was changed or removed: open it again.") from None


def _with_planes(stack: Stack, planes: Sequence[Plane]) -> Stack:
    """Return a stack with its planes replaced, one by one."""
    rest = iter(planes)
    times = tuple(tuple(itertools.islice(rest, len(time))) for time in stack.times)
    return replace(stack, times=times)
