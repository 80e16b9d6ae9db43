"""Settings of the operations that grow labels, interpolate between slices, and split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..settings import Settings, option


@dataclass(frozen=True)
class Interpolate(Settings):
    """How slices between painted ones are filled."""

    axis: Literal["auto", "0", "1", "2"] = option(
        "auto",
        "The axis of the array along which slices follow each other: auto is across the slice "
        "that is seen, or where most slices are missing.",
        advanced=False,
    )
    largest_gap: int = option(
        30, "The most slices in a row that are filled.", minimum=1, advanced=False
    )
    ends: bool = option(
        False,
        "Go on beyond the first and last painted slice, and close the label within half a gap.",
        label="Close the ends",
        advanced=False,
    )
    over: bool = option(
        False, "Overwrite other labels that lie between, and not the background alone."
    )


@dataclass(frozen=True)
class Grow(Settings):
    """How a label grows from points."""

    label: int | None = option(
        None,
        "The label that grows: auto is the selected one, or a new one.",
        minimum=1,
        advanced=False,
    )
    low: float | None = option(
        None,
        "The lowest intensity that belongs to it: auto takes it from around the points.",
        advanced=False,
    )
    high: float | None = option(
        None,
        "The highest intensity that belongs to it: auto takes it from around the points.",
        advanced=False,
    )
    tolerance: float = option(
        2.5,
        "How far intensities may be from those around the points, in their standard deviations; "
        "for limits on auto.",
        minimum=0.0,
        step=0.5,
        advanced=False,
    )
    distance: float = option(
        0.0,
        "How far from a point it may grow, in the unit of the image; 0 is any.",
        minimum=0.0,
        advanced=False,
    )
    in_slice: bool = option(
        False, "Grow in the slice that is seen only.", label="In this slice", advanced=False
    )
    corners: bool = option(False, "Grow across corners and edges of voxels, and not faces alone.")


@dataclass(frozen=True)
class Walker(Settings):
    """How labels grow from scribbles."""

    background: int | None = option(
        None,
        "The label whose scribbles mark what is outside, removed at the end: auto is none.",
        minimum=1,
        advanced=False,
    )
    reach: float | None = option(
        None,
        "How far around the scribbles labels may grow, in the unit of the image: auto is 30 "
        "voxels.",
        minimum=0.0,
        advanced=False,
    )
    in_slice: bool = option(
        False, "Grow in the slice that is seen only.", label="In this slice", advanced=False
    )
    contrast: float = option(
        90.0, "How much edges of the image hold labels back.", minimum=0.0, step=10.0
    )
    smoothing: float = option(
        1.0,
        "Smoothing of the image against noise, in voxels; 0 is none.",
        minimum=0.0,
        maximum=10.0,
        step=0.5,
    )


@dataclass(frozen=True)
class Snap(Settings):
    """How borders move to edges."""

    band: float | None = option(
        None,
        "How far a border may move, in the unit of the image: auto is 3 voxels.",
        minimum=0.0,
        advanced=False,
    )
    contrast: float = option(
        5.0,
        "How much edges of the image count against the present border.",
        minimum=0.0,
        step=1.0,
    )
    smoothing: float = option(
        0.5,
        "Smoothing of the image against noise, in voxels; 0 is none.",
        minimum=0.0,
        maximum=10.0,
        step=0.5,
    )


@dataclass(frozen=True)
class SplitTouching(Settings):
    """How objects that touch are told apart."""

    depth: float | None = option(
        None,
        "How much narrower, in radius, a neck has to be than what it joins, in the unit of the "
        "image: auto is two voxels.",
        minimum=0.0,
        advanced=False,
    )
    min_size: float = option(
        0.0,
        "The smallest part, as a volume or area in the unit of the image, that gets a number of "
        "its own.",
        label="Smallest part",
        minimum=0.0,
        advanced=False,
    )


@dataclass(frozen=True)
class SplitByLine(Settings):
    """Where a drawn line cuts."""

    in_slice: bool = option(
        False,
        "Cut the slice that was drawn on only, and not the whole object straight through.",
        label="In this slice",
        advanced=False,
    )
