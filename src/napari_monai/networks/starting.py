"""Weights of another file to start training from: all that fit, with a report of what did not.

Takes what MedicalNet (Chen et al., arXiv:1904.00625), MONAI's self-supervised encoders (Tang et
al., CVPR 2022) and models of this program are saved as: names may have a prefix that the network
lacks (``module.``), or lack one that it has (``encoder.``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import NetworkError

# Where checkpoints keep the weights, beside optimisers and scores.
_KEYS = ("state_dict", "model_state_dict", "network_weights", "network", "model", "net", "weights")
# Parts of names that other releases of MONAI's layers have.
_RENAMED = ((".mlp.fc1.", ".mlp.linear1."), (".mlp.fc2.", ".mlp.linear2."))


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors of a file.

    Attributes
    ----------
    loaded : tuple of str
        Names, in the network, of what was loaded.
    missing : tuple of str
        Names of what the network has and the file has not: left as they were.
    unexpected : tuple of str
        Names, in the file, of what the network does not have.
    mismatched : tuple of str
        Names of what has another shape in the file: left as they were.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing) + len(self.mismatched)
        parts = [f"{len(self.loaded)} of {total} tensors loaded"]
        for names, what in (
            (self.missing, "not in the file"),
            (self.mismatched, "of another shape"),
            (self.unexpected, "of the file not used"),
        ):
            if names:
                first = f" ({names[0]})" if len(names) == 1 else f" ({names[0]}, ...)"
                parts.append(f"{len(names)} {what}{first}")
        return ", ".join(parts)


def load_matching(network: nn.Module, tensors: Mapping[str, Any]) -> LoadReport:
    """Load all tensors that fit into a network, and leave the rest of it as it was.

    Parameters
    ----------
    network : torch.nn.Module
        The network to start, changed in place.
    tensors : Mapping
        Tensors by name, or a checkpoint that has them under one of the usual keys.

    Returns
    -------
    LoadReport
        What was loaded and what was not.

    Raises
    ------
    NetworkError
        When there are no tensors, or none of them fits.
    """
    given = find_tensors(tensors)
    wanted = network.state_dict()
    named = _best_names(given, wanted)
    loaded: list[str] = []
    mismatched: list[str] = []
    for ours, theirs in named.items():
        (loaded if _same(given[theirs], wanted[ours]) else mismatched).append(ours)
    if not loaded:
        example, ours = next(iter(given)), next(iter(wanted))
        raise NetworkError(
            f"None of the {len(given)} tensors fits the network, {example!r} is the first of "
            f"theirs, {ours!r} of its own: choose a file that was saved from such a network."
        )
    # Tensors that are there under two names are copied twice, which changes nothing.
    with torch.no_grad():
        for ours in loaded:
            wanted[ours].copy_(given[named[ours]])
    used = set(named.values())
    return LoadReport(
        loaded=tuple(loaded),
        missing=tuple(name for name in wanted if name not in named),
        unexpected=tuple(name for name in given if name not in used),
        mismatched=tuple(mismatched),
    )


def find_tensors(values: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors by name in a checkpoint, however deep they stand in it.

    Raises NetworkError when there are none.
    """
    tensors = {key: value for key, value in values.items() if isinstance(value, torch.Tensor)}
    if tensors:
        return tensors
    for key in _KEYS:
        inside = values.get(key)
        if isinstance(inside, Mapping):
            return find_tensors(inside)
    known = ", ".join(map(repr, list(values)[:5])) or "nothing"
    raise NetworkError(f"There are no tensors in the checkpoint, which holds {known}.")


def _best_names(
    given: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> dict[str, str]:
    """Return the network's names of the file's tensors, by the prefixes that make most fit."""
    best: dict[str, str] = {}
    most = -1
    for taken in _prefixes(given):
        for added in ("", *_prefixes(wanted)):
            named = {}
            for theirs in given:
                if theirs.startswith(taken):
                    ours = added + _renamed(theirs.removeprefix(taken))
                    if ours in wanted:
                        named[ours] = theirs
            fits = sum(_same(given[theirs], wanted[ours]) for ours, theirs in named.items())
            if fits > most:
                best, most = named, fits
    return best


def _prefixes(names: Iterable[str]) -> list[str]:
    """Return what names begin with up to their first and second dot, after the empty prefix."""
    found: Counter[str] = Counter()
    for name in names:
        first, dot, rest = name.partition(".")
        second, more, _ = rest.partition(".")
        if dot:
            found[f"{first}."] += 1
        if more:
            found[f"{first}.{second}."] += 1
    return ["", *(prefix for prefix, _ in found.most_common())]


def _renamed(name: str) -> str:
    for old, new in _RENAMED:
        name = name.replace(old, new)
    return name


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape
