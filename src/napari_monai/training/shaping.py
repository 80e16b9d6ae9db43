"""The levels, patch and batch of a network, planned for a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

from ..errors import TrainingError
from ..networks import fixed_size, network_arguments, presets
from .budget import INSTANCE_NORMALISED, Budget
from .topology import Axes, Topology, fit_batch, fit_topology, levels_of

# Sides of patches below which a batch is made smaller instead, and below which none is cut.
_ENOUGH = {2: 128, 3: 32}
_FEWEST = {2: 64, 3: 32}
# How often the work of a voxel is measured, and by how much it may be more than was thought.
_TRIALS, _MORE = 3, 1.1
# How often networks with levels of their own halve an image.
_LEVELS = 5
# Spacings that differ by so much are told to networks that can do with it.
_UNEQUAL = 2.0


@dataclass(frozen=True)
class Shaped:
    """A network's arguments, and the patches that it is trained on.

    Attributes
    ----------
    arguments
        Complete, of the network.
    patch
        Size of a patch.
    batch_size
        Patches a step.
    fixed
        Whether the network takes windows of this size only.
    """

    arguments: dict[str, Any]
    patch: Axes
    batch_size: int
    fixed: bool = False


@dataclass(frozen=True)
class Images:
    """What is known of the prepared images.

    Attributes
    ----------
    spacing
        Of each axis.
    shape
        The median one.
    voxels
        Of all training images.
    """

    spacing: tuple[float, ...]
    shape: tuple[float, ...]
    voxels: float


def shape_network(
    name: str,
    size: str,
    channels: Mapping[str, int],
    given: Mapping[str, Any],
    images: Images,
    budget: Budget,
    *,
    patch: Sequence[int] | None = None,
    deep: bool = False,
) -> Shaped:
    """Return the arguments of a new network and its patches.

    Parameters
    ----------
    name, size
        The network and its preset.
    channels
        ``in_channels`` and ``out_channels``.
    given
        Arguments that go before what is planned.
    images
        What it is trained on.
    budget
        What a step may take.
    patch
        Size of a patch where it is given.
    deep
        Whether there are to be heads at coarser levels.
    """
    ndim = len(images.spacing)
    preset = presets(name, ndim)[size]

    def complete(topology: Topology | None) -> dict[str, Any]:
        planned = _levels(name, preset, topology, images.spacing) if topology else {}
        if planned.keys() & given.keys():  # who gives levels gives all that is said of them
            planned = {}
        chosen = {**preset, **planned, **given}
        heads = coarse_heads(name, chosen) if deep else {}
        told = {"spatial_dims": ndim, **channels, **heads, **chosen}
        return network_arguments(name, told)

    fixed = fixed_size(name, complete(None))
    most = _most_levels(name, preset)
    wanted = fixed or (tuple(patch) if patch is not None else None)
    found = _fit(name, complete, images, budget, patch=wanted, most=most)
    return Shaped(complete(found.topology), found.patch, found.batch_size, fixed is not None)


def fit_patch(
    name: str,
    arguments: Mapping[str, Any],
    images: Images,
    budget: Budget,
    *,
    largest: Sequence[int],
    multiples: Sequence[int] = (),
    patch: Sequence[int] | None = None,
) -> tuple[Axes, int]:
    """Return patch and batch size for a network that is as it is.

    ``largest`` limits the patch, whose sides are made ``multiples`` where it allows that.
    """
    found = _fit(
        name, lambda _: dict(arguments), images, budget,
        patch=patch, most=_LEVELS, largest=largest,
    )  # fmt: skip
    if patch is not None:
        return found.patch, found.batch_size
    steps = multiples or (1,) * len(found.patch)
    sizes = tuple(
        min(ceil(n / step) * step, int(limit))
        for n, step, limit in zip(found.patch, steps, largest, strict=True)
    )
    return sizes, found.batch_size


def coarse_heads(network: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that give a network heads at coarser levels, where it has none.

    At as many levels as nnU-Net's, which leaves the two coarsest out.
    """
    if network == "dynunet" and not chosen.get("deep_supervision"):
        heads = len(chosen.get("strides", ())) - 3
        return {"deep_supervision": True, "deep_supr_num": max(1, heads)}
    if network == "segresnet_ds" and chosen.get("dsdepth", 1) < 2:
        return {"dsdepth": max(2, len(chosen.get("blocks_down", ())) - 1)}
    return {}


@dataclass(frozen=True)
class _Found:
    topology: Topology
    patch: Axes
    batch_size: int


def _fit(
    name: str,
    complete: Callable[[Topology], dict[str, Any]],
    images: Images,
    budget: Budget,
    *,
    patch: Sequence[int] | None,
    most: int,
    largest: Sequence[int] | None = None,
) -> _Found:
    """Return the largest patch that fits, or the one that is given, and its batch."""
    ndim = len(images.spacing)
    if patch is not None and len(patch) != ndim:
        raise TrainingError(f"A patch of {len(patch)} axes does not fit a {ndim}-D model.")
    first = levels_of(images.spacing, patch or _start(images, largest), most=most)
    voxel = budget.cost(name, complete(first), first.patch)
    if patch is not None:
        return _Found(first, tuple(patch), _batch(budget, voxel, patch, images, 2))
    for _ in range(_TRIALS):
        found, patches = _largest(voxel, images, budget, most=most, largest=largest)
        taken = budget.cost(name, complete(found), found.patch)
        # Other levels than those of the first patch may take more of a voxel.
        if taken <= _MORE * voxel:
            break
        voxel = taken
    return _Found(found, found.patch, _batch(budget, taken, found.patch, images, patches))


def _largest(
    voxel: float, images: Images, budget: Budget, *, most: int, largest: Sequence[int] | None
) -> tuple[Topology, int]:
    """Return the largest patch that fits where a voxel costs so much, and how many of it do."""
    ndim = len(images.spacing)
    for patches in budget.patches:

        def fits(topology: Topology, patches: int = patches) -> bool:
            few = max(topology.patch) <= _FEWEST[ndim]
            return few or voxel * prod(topology.patch) * patches <= budget.amount

        found = fit_topology(images.spacing, images.shape, fits, largest=largest, most=most)
        sides = zip(found.patch, images.shape, strict=True)
        if all(n >= min(_ENOUGH[ndim], whole) for n, whole in sides):
            break
    return found, patches


def _batch(budget: Budget, voxel: float, patch: Sequence[int], images: Images, least: int) -> int:
    fitting = budget.amount / (voxel * prod(patch))
    return fit_batch(patch, images.voxels, fitting, least=max(1, min(least, round(fitting))))


def _start(images: Images, largest: Sequence[int] | None) -> list[float]:
    limits = largest or images.shape
    return [max(8.0, min(n, limit, 128.0)) for n, limit in zip(images.shape, limits, strict=True)]


def _most_levels(name: str, preset: Mapping[str, Any]) -> int:
    """Return how many levels a network may have: those of nnU-Net as many as the patch allows."""
    if name in INSTANCE_NORMALISED:
        return 99 if name != "residual_encoder_unet" else len(preset["n_blocks_per_stage"])
    if name == "unet":  # its first two levels are of one size
        return len(preset["channels"]) - 1
    return len(preset.get("channels", ())) or _LEVELS


def _levels(
    name: str, preset: Mapping[str, Any], topology: Topology, spacing: Sequence[float]
) -> dict[str, Any]:
    """Return the arguments of a network that follow from its levels."""
    if name == "segresnet_ds":
        unequal = max(spacing) >= _UNEQUAL * min(spacing)
        return {"resolution": [float(s) for s in spacing]} if unequal else {}
    if name in ("unet", "residual_unet", "attention_unet"):
        twice = name == "unet"
        topology = _at_least(topology, 1 if twice else 2)
        strides = [_plain(stride) for stride in topology.strides]
        return {
            "channels": list(preset["channels"][: topology.levels + twice]),
            "strides": strides if twice else strides[1:],
        }
    if name == "dynunet":
        topology = _at_least(topology, 3)
        return {
            "strides": [_plain(stride) for stride in topology.strides],
            "kernel_size": [_plain(kernel) for kernel in topology.kernels],
            "filters": _widths(preset["filters"], topology.levels),
        }
    if name in ("plain_conv_unet", "residual_encoder_unet"):
        topology = _at_least(topology, 2)
        planned: dict[str, Any] = {
            "strides": [_plain(stride) for stride in topology.strides],
            "kernel_sizes": [_plain(kernel) for kernel in topology.kernels],
            "features_per_stage": _widths(preset["features_per_stage"], topology.levels),
        }
        if name == "residual_encoder_unet":
            planned["n_blocks_per_stage"] = preset["n_blocks_per_stage"][: topology.levels]
        return planned
    return {}


def _at_least(topology: Topology, levels: int) -> Topology:
    """Return levels with others below them where there are too few."""
    ndim, lacking = len(topology.patch), max(0, levels - topology.levels)
    return Topology(
        topology.patch,
        topology.strides + ((2,) * ndim,) * lacking,
        topology.kernels + ((3,) * ndim,) * lacking,
    )


def _widths(preset: Sequence[int], levels: int) -> list[int]:
    """Return the features of each level; beyond the preset's those of its deepest."""
    return [preset[min(level, len(preset) - 1)] for level in range(levels)]


def _plain(axes: Axes) -> int | list[int]:
    """Return one number for all axes where they are the same."""
    return axes[0] if len(set(axes)) == 1 else list(axes)
