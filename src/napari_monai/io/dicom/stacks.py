"""Planes to volumes: which belong together, in which order, and what is missing between them.

Planes of a series make one volume if they have the same size, orientation, spacing and kind and
lie evenly one above the other. A position that comes again is another time point. Whatever does
not fit becomes a volume of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from . import geometry
from .geometry import Place
from .plane import Plane


@dataclass(frozen=True, eq=False)
class Stack:
    """The planes of one volume: time by time, slice by slice.

    ``part`` says which run of slices it is of how many; ``thickness`` is the distance to a next
    slice, in mm, where there is none to measure it by.
    """

    times: tuple[tuple[Plane, ...], ...]
    kind: tuple[tuple[str, str], ...] = ()
    thickness: float | None = None
    part: int = 0
    parts: int = 1

    @property
    def planes(self) -> tuple[Plane, ...]:
        """All planes, in order."""
        return tuple(p for time in self.times for p in time)

    @property
    def first(self) -> Plane:
        """Return the first plane."""
        return self.times[0][0]


@dataclass
class Found:
    """Volumes of a series, and what is to be said about them."""

    stacks: list[Stack]
    remarks: list[str]


def stacks_of(planes: Sequence[Plane]) -> Found:
    """Return the volumes that the planes of one series make."""
    remarks = list(dict.fromkeys(p.note for p in planes if p.note))
    unique = _without_copies(planes, remarks)
    stacks: list[Stack] = []
    for group in _alike(unique):
        if group[0].place is None:
            stacks += _loose(group)
        else:
            for part in _acquisitions(group):
                for field in _fields(part):
                    stacks += _in_space(field, remarks)
    return Found(stacks, remarks)


# -- which planes are alike ---------------------------------------------------------------------


def _without_copies(planes: Sequence[Plane], remarks: list[str]) -> list[Plane]:
    """Return the planes without those that are there twice: same UID, same place, same number.

    A blank UID says nothing; anonymisers give one UID to many planes.
    """
    seen: set[tuple[object, ...]] = set()
    kept = []
    for plane in planes:
        where = () if plane.place is None else tuple(np.round(plane.place.position, 3).tolist())
        key = (plane.sop, where, plane.when, plane.kind, plane.shape)
        if plane.sop and key in seen:
            continue
        seen.add(key)
        kept.append(plane)
    if len(kept) < len(planes):
        remarks.append(f"{len(planes) - len(kept)} slices are there twice: one of each was used")
    return kept


def _alike(planes: Iterable[Plane]) -> list[list[Plane]]:
    """Return the planes in groups of the same size, kind, orientation and spacing."""
    groups: list[list[Plane]] = []
    by_key: dict[tuple[object, ...], list[list[Plane]]] = {}
    for plane in planes:
        key = _key(plane)
        for group in by_key.setdefault(key, []):
            if _parallel(group[0], plane):
                group.append(plane)
                break
        else:
            new = [plane]
            by_key[key].append(new)
            groups.append(new)
    return groups


def _key(plane: Plane) -> tuple[object, ...]:
    pixels = plane.pixels
    inverted = pixels.photometric == "MONOCHROME1"
    loose = id(pixels) if plane.place is None else None  # nothing says that files belong together
    return plane.shape, plane.kind, pixels.colour, inverted, pixels.stored.kind == "f", loose


def _parallel(one: Plane, other: Plane) -> bool:
    if one.place is None or other.place is None:
        return one.place is other.place
    return one.place.is_parallel(other.place, one.shape)


def _loose(group: Sequence[Plane]) -> list[Stack]:
    """Return frames without a position as one film."""
    return [Stack(tuple((p,) for p in group), group[0].kind)]


# -- where they lie -----------------------------------------------------------------------------


def _places(planes: Sequence[Plane]) -> list[Place]:
    return [p.place for p in planes if p.place is not None]


def _acquisitions(group: list[Plane]) -> list[list[Plane]]:
    """Return the planes apart by acquisition where these lie between each other.

    A scanner numbers the slices of one volume as one acquisition, or as one each; what says that
    they are several volumes is that they interleave, and not as the spacing says they should.
    """
    by_number: dict[float | None, list[Plane]] = {}
    for plane in group:
        by_number.setdefault(plane.when.acquisition, []).append(plane)
    if len(by_number) < 2:
        return [group]
    clusters = geometry.clusters(_places(group))
    if any(len(c) > 1 for c in clusters):
        return [group]  # positions come again: time points
    rank = {id(group[c[0]]): k for k, c in enumerate(clusters)}
    spans = sorted(
        (min(ranks), max(ranks))
        for ranks in ([rank[id(p)] for p in part] for part in by_number.values())
    )
    if all(a[1] < b[0] for a, b in itertools.pairwise(spans)):
        return [group]  # one after the other
    places = _places([group[c[0]] for c in clusters])
    gap = float(np.linalg.norm(places[1].position - places[0].position))
    said = group[0].gap
    if said and abs(said - gap) < 0.1 * gap and len(geometry.runs(places)) == 1:
        return [group]  # odd and even slices
    return list(by_number.values())


def _fields(group: list[Plane]) -> list[list[Plane]]:
    """Return the planes apart by field of view where fields lie side by side."""
    clusters = geometry.clusters(_places(group))
    tracks = geometry.tracks(_places([group[c[0]] for c in clusters]))
    return [[group[i] for k in track for i in clusters[k]] for track in tracks]


def _in_space(group: Sequence[Plane], remarks: list[str]) -> list[Stack]:
    clusters = geometry.clusters(_places(group))
    at: dict[int, int] = {id(group[i]): k for k, c in enumerate(clusters) for i in c}
    times = _time_points(group, at, len(clusters))
    # Time points that have the same slices make one volume.
    alike: dict[tuple[int, ...], list[list[Plane]]] = {}
    for time in times:
        planes = sorted(time, key=lambda p: at[id(p)])
        alike.setdefault(tuple(at[id(p)] for p in planes), []).append(planes)
    if len(alike) > 1:
        remarks.append(
            f"its time points or acquisitions do not have the same slices: {len(alike)} volumes "
            "were made of them"
        )
    found: list[Stack] = []
    for series in alike.values():
        found += _runs(series, group[0].kind, remarks)
    return found


def _runs(
    times: Sequence[Sequence[Plane]], kind: tuple[tuple[str, str], ...], remarks: list[str]
) -> list[Stack]:
    """Return one stack for each run of evenly spaced slices."""
    places = _places(times[0])
    runs = geometry.runs(places, times[0][0].shape)
    if len(runs) > 1:
        remarks.append(_gaps(places, runs))
    steps = np.linalg.norm(np.diff([p.position for p in places], axis=0), axis=1)
    thickness = times[0][0].thickness or (float(steps.min()) if len(steps) else None)
    return [
        Stack(
            tuple(tuple(time[i] for i in run) for time in times), kind, thickness, part, len(runs)
        )
        for part, run in enumerate(runs)
    ]


def _gaps(places: Sequence[Place], runs: Sequence[range]) -> str:
    jumps = [
        float(np.linalg.norm(places[b.start].position - places[a[-1]].position))
        for a, b in itertools.pairwise(runs)
    ]
    shown = ", ".join(f"{j:.4g}" for j in jumps[:3]) + (", ..." if len(jumps) > 3 else "")
    sizes = " + ".join(str(len(r)) for r in runs[:6]) + (" + ..." if len(runs) > 6 else "")
    return (
        f"its {len(places)} slices are not evenly spaced (slices are missing, or jumps of "
        f"{shown} mm): they were split into {len(runs)} volumes of {sizes} slices"
    )


# -- when they were taken -----------------------------------------------------------------------

_CLOCKS: tuple[Callable[[Plane], float | None], ...] = (
    lambda p: p.when.temporal,
    lambda p: p.when.acquisition,
    lambda p: p.when.trigger,
    lambda p: p.when.times,
)


def _time_points(group: Sequence[Plane], at: dict[int, int], positions: int) -> list[list[Plane]]:
    """Return the planes of each time point, none of them twice at the same position."""
    counts = np.bincount([at[id(p)] for p in group], minlength=positions)
    most = int(counts.max())
    if most == 1:
        return [list(group)]
    for number in range(max(len(p.when.states) for p in group)):
        apart = _by_state(group, at, positions, number)
        if apart:
            times = [t for part in apart for t in _time_points(part, at, positions)]
            return sorted(times, key=lambda t: min(p.when.clocks for p in t))
    clocked = [c for c in (_by_clock(group, at, clock) for clock in _CLOCKS) if c]
    for times in clocked:
        if len(times) == most:
            return times
    complete = bool((counts == most).all())
    if not complete:
        for times in clocked:
            if min(len(t) for t in times) > 1:
                return times
    return _by_order(group, at, most)


def _by_state(
    group: Sequence[Plane], at: dict[int, int], positions: int, number: int
) -> list[list[Plane]] | None:
    """Return the planes by one of their states; ``None`` if that does not part whole volumes."""
    parts: dict[tuple[float, ...], list[Plane]] = {}
    for plane in group:
        if len(plane.when.states) <= number:
            return None
        parts.setdefault(plane.when.states[number], []).append(plane)
    where = [[at[id(p)] for p in part] for part in parts.values()]
    counts = [np.bincount(w, minlength=positions) for w in where]
    if len(parts) < 2 or any(c.min() < 1 or c.min() < c.max() for c in counts):
        return None
    return [parts[state] for state in sorted(parts)]


def _by_clock(
    group: Sequence[Plane], at: dict[int, int], clock: Callable[[Plane], float | None]
) -> list[list[Plane]] | None:
    """Return the planes by what a clock says; ``None`` if that repeats at a position."""
    times: dict[float, list[Plane]] = {}
    for plane in group:
        value = clock(plane)
        if value is None:
            return None
        times.setdefault(value, []).append(plane)
    if len(times) < 2 or any(len({at[id(p)] for p in t}) < len(t) for t in times.values()):
        return None
    return [times[value] for value in sorted(times)]


def _by_order(group: Sequence[Plane], at: dict[int, int], most: int) -> list[list[Plane]]:
    """Return the first planes of every position, the second ones, and so on."""
    times: list[list[Plane]] = [[] for _ in range(most)]
    taken: dict[int, int] = {}
    for plane in sorted(group, key=lambda p: p.when.order):
        where = at[id(plane)]
        times[taken.get(where, 0)].append(plane)
        taken[where] = taken.get(where, 0) + 1
    return times


def time_step(stack: Stack) -> float | None:
    """Return the seconds from one time point to the next, where the files are sure of it."""
    if len(stack.times) < 2:
        return None
    first = stack.first
    if first.step is not None:
        return first.step
    triggers = [time[0].when.trigger for time in stack.times]
    clocks = [time[0].when.times for time in stack.times]
    for values, unit in ((triggers, 1e-3), (clocks, 1.0)):
        known = [v for v in values if v is not None]
        if len(known) < len(values):
            continue
        steps = np.diff(known)
        if steps.min() > 0 and np.ptp(steps) <= 0.02 * steps.mean():
            return float(steps.mean()) * unit
    return None


def without(planes: Iterable[Plane], sources: set[int]) -> list[Plane]:
    """Return the planes that are not in the files of these ids."""
    return [p for p in planes if id(p.pixels.source) not in sources]


_KIND_WORDS = {"echo": "TE {} ms", "stack": "stack {}"}


def named(stack: Stack, others: Sequence[Stack]) -> str:
    """Return the name of a volume: its series, and what tells it from the others of it."""
    words = [stack.first.series.name]
    alike = [dict(o.kind) for o in others if o.first.series.name == words[0]]
    for what, value in stack.kind:
        if len({kind.get(what) for kind in alike}) > 1:
            words.append(_KIND_WORDS.get(what, "{}").format(value))
    if stack.parts > 1:
        words.append(f"part {stack.part + 1} of {stack.parts}")
    return " ".join(words)


def numbered(names: Sequence[str]) -> list[str]:
    """Return names with a number behind those that come again."""
    counts: dict[str, int] = {}
    found = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        found.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return found
