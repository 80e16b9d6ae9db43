"""Which way to run the networks is the fastest that labels a window as float32 does."""

from __future__ import annotations

import copy
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from .events import Busy, Event, Said
from .lanes import Lanes
from .preflight import activations
from .runner import FloatArray, Outputs, Runner
from .ways import Finding, Way, can_change, candidates, key_of, remember, remembered, usual

# Largest part of the voxels that a faster way may label differently.
TOLERATED = 1e-3
# Forward passes from which ways are timed, which takes about 15: in longer runs always, in others
# where that is over in so many seconds.
_LONG, _WORTH = 60, 20
_SEARCH, _SHORT = 15, 5.0
# Most windows side by side, and bytes that they may take together.
_LANES = 4
_LANE_BYTES = 2**31


def settle(runner: Runner, window: FloatArray, forwards: int) -> Iterator[Event]:
    """Have a runner take the fastest safe way for a run of so many forward passes.

    The ways are timed on the window where that is soon made up for, and the fastest one is
    remembered for these weights, this machine and this shape of window.
    """
    wanted = runner.way.dtype
    key = key_of(runner.networks, runner.device, window.shape, wanted)
    known = remembered(key)
    if known is not None and (known.fastest or forwards < _WORTH):
        runner.take(known.way)
        return
    search = forwards >= _WORTH
    if wanted == torch.float32 and not search:
        return
    plain = _trial(runner, usual(runner.networks[0], torch.float32))
    seconds, exact = _timed(plain, window)
    if exact is None:  # then a faster way is all there may be
        return
    safe = [(seconds, plain)]
    for way in candidates(runner.networks[0], wanted):
        if way == plain.way:
            continue
        yield Busy()
        trial = _trial(runner, way)
        seconds, values = _timed(trial, window)
        if values is not None and differing(values, exact, runner.outputs) <= TOLERATED:
            safe.append((seconds, trial))
        elif way.dtype == wanted and len(safe) == 1:
            yield Said(f"{way.precision} changes the result: going on in float32.")
            wanted = torch.float32
        if not search:
            break
    if not search:
        runner.take(safe[-1][1].way)
        remember(key, Finding(runner.way, fastest=False))
        return
    shortest = min(seconds for seconds, _ in safe)
    if forwards < _LONG and _SEARCH * shortest > _SHORT:
        runner.take(min(safe, key=lambda pair: pair[0])[1].way)
        return
    trials = [trial for seconds, trial in safe if seconds < 1.5 * shortest]
    spatial = window.shape[window.ndim - runner.spatial_dims :]
    lanes = most_lanes(runner.networks[0], (1, len(window), *spatial), runner.device)
    if lanes > 1:
        trials += [_trial(runner, replace(t.way, at_once=lanes)) for t in trials]
    way, seconds = yield from _fastest(trials, window)
    runner.take(way)
    remember(key, Finding(way, fastest=True))
    yield Said(f"Fastest here: {way}, {_duration(seconds)} a window.")


def differing(first: torch.Tensor, second: torch.Tensor, outputs: Outputs) -> float:
    """Return the part of the voxels that two outputs label differently."""
    if "sigmoid" in outputs.activation:
        kept, middle = outputs.likely, 0 if outputs.raw else 0.5
        differ = ((first[:, kept] >= middle) != (second[:, kept] >= middle)).any(dim=1)
    else:
        differ = first.max(dim=1).indices != second.max(dim=1).indices
    return float(differ.float().mean())


def _trial(runner: Runner, way: Way) -> Runner:
    """Return a runner of the same networks for one window as it is, in some way."""
    trial = copy.copy(runner)
    trial.compiled, trial.mirrors = False, [()]
    trial.outputs = replace(runner.outputs, spread=False)
    trial.take(way)
    return trial


def _timed(runner: Runner, window: FloatArray) -> tuple[float, torch.Tensor | None]:
    """Return the seconds that a first window takes, and the outputs, if there are any."""
    start = time.perf_counter()
    values, _ = runner.attempt(window[np.newaxis])
    return time.perf_counter() - start, values


def most_lanes(network: torch.nn.Module, shape: Sequence[int], device: torch.device) -> int:
    """Return how many windows may run side by side: on a CPU, where they are small.

    ``shape`` is that of one window as a batch, (1, channel, *window).
    """
    if device.type != "cpu" or not can_change(network):
        return 1
    # As much again for what is made of the outputs.
    each = 2 * activations(network, shape, torch.float32)
    most = _LANE_BYTES // each if each else 1
    return int(max(1, min(_LANES, torch.get_num_threads(), most)))


def _fastest(
    trials: Sequence[Runner], window: FloatArray
) -> Generator[Busy, None, tuple[Way, float]]:
    """Return the fastest way of those that have been tried, and its seconds a window.

    They take turns, so that what else the machine does hits all of them alike.
    """
    least = dict.fromkeys(range(len(trials)), np.inf)
    for _ in range(2):
        for i in least:
            yield Busy()
            least[i] = min(least[i], _seconds(trials[i], window))
        hopeless = 1.25 * min(least.values())
        least = {i: seconds for i, seconds in least.items() if seconds <= hopeless}
    best = min(least, key=lambda i: least[i])
    return trials[best].way, least[best]


def _seconds(trial: Runner, window: FloatArray) -> float:
    """Return the seconds a window, of as many as run at once."""
    lanes = Lanes(trial)
    count = trial.way.at_once
    try:
        start = time.perf_counter()
        for outcome in [lanes.submit(window[np.newaxis]) for _ in range(count)]:
            outcome()
        return (time.perf_counter() - start) / count
    finally:
        lanes.close()


def _duration(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
