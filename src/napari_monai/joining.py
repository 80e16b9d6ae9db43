"""Images of one thing on one grid, such as the sequences of an MR examination, as its channels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import VolumeError
from .io.lazy import LazyArray
from .volume import Volume, chunk_lengths, slowest_first

# Voxels of images that were registered lie together to this part of a voxel: headers are rounded.
_TOLERANCE = 1e-2

# What the sequences of MR are called in file names, protocols and models.
_SEQUENCES = {
    "t1": ("t1", "t1w", "t1n", "t1wi", "t1pre", "t1native"),
    "t1c": ("t1c", "t1ce", "t1gd", "t1gad", "t1post", "t1wc", "t1wce", "t1wgd", "t1km"),
    "t2": ("t2", "t2w", "t2wi"),
    "flair": ("flair", "t2f", "t2flair", "t2wflair", "flairt2"),
    "dwi": ("dwi",),
    "adc": ("adc",),
    "pd": ("pd", "pdw"),
}
_MEANING = {word: name for name, words in _SEQUENCES.items() for word in words}


def join_channels(volumes: Sequence[Volume], names: Sequence[str] | None = None) -> Volume:
    """Return images of one channel each, on one grid, as one image with these channels.

    Nothing is copied: each is read where it is and when its voxels are asked for. Space, name,
    file and header are those of the first.

    Parameters
    ----------
    volumes
        The images, in the order of the channels: two or three axes and one channel, with the same
        time points or none.
    names
        What to call the channels; by default as the images.

    Raises
    ------
    VolumeError
        If there is none, one of them has several channels, or two lie on different voxels.
    """
    if not volumes:
        raise VolumeError("No images to join: give one for each channel.")
    first = volumes[0]
    for volume in volumes:
        if volume.channels > 1:
            raise VolumeError(
                f"{volume.name} has {volume.channels} channels: join images that have one each."
            )
        apart = why_apart(first, volume)
        if apart is not None:
            raise VolumeError(
                f"{first.name} and {volume.name} cannot be joined: {apart}. Resample one to the "
                "voxels of the other."
            )
    return replace(
        first,
        data=Joined(volumes),
        leading="tc" if "t" in first.leading else "c",
        channel_names=tuple(names or (volume.name for volume in volumes)),
    )


def why_apart(one: Volume, other: Volume) -> str | None:
    """Return in what two images differ that are to be channels of one; ``None`` if they fit."""
    a, b = one.grid, other.grid
    if a.shape != b.shape:
        return f"one has {_sides(a.shape)} voxels and the other {_sides(b.shape)}"
    if a.unit != b.unit:
        return f"voxels of one are in {a.unit}, of the other in {b.unit}"
    if not a.is_close(b, tolerance=_TOLERANCE):
        if a.orientation != b.orientation:
            return f"axes of one run {a.orientation}, of the other {b.orientation}"
        if not np.allclose(a.spacing, b.spacing, rtol=1e-3):
            return (
                f"voxels of one are {_sizes(a.spacing)} {a.unit}, of the other "
                f"{_sizes(b.spacing)} {b.unit}"
            )
        away = np.abs(a.affine - b.affine)[:3, 3].max()
        return f"they lie {away:.3g} {a.unit} apart" if away else "they are turned to each other"
    if one.times != other.times:
        return f"one has {one.times} time points and the other {other.times}"
    return None


class Joined(LazyArray):
    """The array of an image whose channels are images of their own.

    Attributes
    ----------
    volumes
        The images, in the order of the channels.
    """

    def __init__(self, volumes: Sequence[Volume]) -> None:
        super().__init__(_Stack(volumes), name=" + ".join(v.name for v in volumes))
        self.volumes = tuple(volumes)


class _Stack:
    """Arrays behind each other along a channel axis, read by one slice an axis."""

    def __init__(self, volumes: Sequence[Volume]) -> None:
        first = volumes[0]
        self._arrays = [v.data for v in volumes]
        self._channels = ["c" in v.leading for v in volumes]
        self._axis = axis = int("t" in first.leading)
        times = first.data.shape[:axis]
        self.shape = (*times, len(volumes), *first.grid.shape)
        self.dtype = np.result_type(*(v.dtype for v in volumes))
        chunks = chunk_lengths(first.data)
        spatial = len(first.leading)
        self.chunks = (*chunks[:axis], 1, *chunks[spatial:])
        strides = getattr(first.data, "strides", None)
        # One image lies behind the other: no axis is slower than that of the channels but time.
        self.strides = None
        if strides is not None:
            reach = max(abs(s) * n for s, n in zip(strides, first.data.shape, strict=True))
            self.strides = (*strides[:axis], reach, *strides[spatial:])

    def __getitem__(self, key: Any, /) -> npt.NDArray[Any]:
        axis = self._axis
        numbers = range(len(self._arrays))[key[axis]]
        if len(numbers) == 1:  # nothing is copied
            part = self._part(numbers[0], key).astype(self.dtype, copy=False)
            return np.expand_dims(part, axis)
        whole = None
        for at, number in enumerate(numbers):  # one at a time: it is as large as the result else
            part = self._part(number, key)
            if whole is None:
                whole = _behind_each_other(len(numbers), part, self.dtype)
            whole[at] = part
        if whole is None:
            lengths = (len(range(n)[k]) for k, n in zip(key, self.shape, strict=True))
            return np.empty(tuple(lengths), self.dtype)
        return np.moveaxis(whole, 0, axis)

    def _part(self, number: int, key: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return what is asked for of an image, without a channel axis."""
        before, after = key[: self._axis], key[self._axis + 1 :]
        inner = (0,) * self._channels[number]
        return np.asarray(self._arrays[number][(*before, *inner, *after)])


def _behind_each_other(n: int, part: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return room for ``n`` arrays like one, each with its order in memory."""
    order = slowest_first(part, part.ndim)
    whole = np.empty((n, *(part.shape[a] for a in order)), dtype)
    return whole.transpose(0, *(1 + order.index(a) for a in range(part.ndim)))


def match_channels(channels: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    """Return which image each channel of a model is, by the images' names.

    A channel takes an image whose name has its name as a word, then one that is called as the
    same sequence of MR (T1 after contrast is ``t1c``, ``T1ce``, ``t1_gd`` ...); what is left is
    taken in order.

    Parameters
    ----------
    channels
        Names of the channels.
    names
        Names of the images, as many as channels at least.

    Returns
    -------
    tuple of int
        One of ``names`` a channel, none of them twice.

    Raises
    ------
    VolumeError
        If there are fewer images than channels.
    """
    if len(names) < len(channels):
        raise VolumeError(f"{len(names)} images are too few for {len(channels)} channels.")
    found: dict[int, int] = {}

    def give(channel: int, images: Sequence[int]) -> None:
        free = [i for i in images if i not in found.values()]
        if channel not in found and free:
            found[channel] = free[0]

    every = range(len(names))
    sequences = [_sequence(name) for name in names]
    words = [_words(name) for name in names]
    for c, channel in enumerate(channels):  # "T1" is not meant by "T1 post"
        meant = _sequence(channel)
        if meant:
            give(c, [i for i in every if sequences[i] == meant])
    for c, channel in enumerate(channels):
        own = _words(channel)
        if own and not _sequence(channel):
            give(c, [i for i in every if own <= words[i]])
    for c in range(len(channels)):
        give(c, every)
    return tuple(found[c] for c in range(len(channels)))


def _words(text: str) -> set[str]:
    return set(_split(text))


def _split(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _sequence(text: str) -> str:
    """Return the sequence of MR that a name says last: files are called patient first."""
    words = _split(text)
    for end in range(len(words), 0, -1):
        # Two words first: "T1 post", "T2_FLAIR".
        for start in (end - 2, end - 1):
            meaning = _MEANING.get("".join(words[max(0, start) : end]))
            if meaning is not None:
                return meaning
    return ""


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _sizes(spacing: Sequence[float]) -> str:
    return " x ".join(f"{s:.4g}" for s in spacing)
