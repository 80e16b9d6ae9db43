"""The DiNTS of MONAI, for images of any size.

He, Yang, Roth, Zhao, Xu, "DiNTS: Differentiable Neural Network Topology Search for 3D Medical
Image Segmentation", CVPR 2021: a lattice of blocks and resolutions of which a search has kept
some edges. What it kept is an argument here.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from monai.networks.nets.dints import DiNTS as MonaiDiNTS
from monai.networks.nets.dints import TopologyInstance

from .options import Layer, NetworkOptions, require, require_list, require_whole
from .sizes import PaddedWithin

Numbers = tuple[tuple[int, ...], ...]
# Edges into and out of each resolution, but for those that leave the lattice.
_EDGES = 3


@dataclass(frozen=True, kw_only=True)
class Options(NetworkOptions):
    """Arguments of :class:`monai.networks.nets.DiNTS` and its ``TopologyInstance``.

    Attributes
    ----------
    num_blocks, num_depths : int
        Blocks one after the other, and resolutions.
    channel_mul : float
        Features of the finest resolution as a part of 32.
    use_downsample : bool
        Whether the finest resolution is half of the image's.
    edges, operations : tuple of tuple of int
        For each block and edge whether it is kept (1), and which operation it does; empty: all
        edges, each a convolution.
    nodes : tuple of tuple of int
        For the input and each block, whether a resolution is used; empty: all.
    act_name, norm_name : str or (str, dict)
        Layers by their names in MONAI's factories, alone or with arguments.
    """

    num_blocks: int = 4
    num_depths: int = 3
    channel_mul: float = 0.5
    use_downsample: bool = True
    edges: Numbers = ()
    operations: Numbers = ()
    nodes: Numbers = ()
    act_name: Layer = "RELU"
    norm_name: Layer = ("INSTANCE", {"affine": True})

    def __post_init__(self) -> None:
        """Refuse what MONAI would fail on later."""
        super().__post_init__()
        require_whole("num_blocks", self.num_blocks)
        require_whole("num_depths", self.num_depths)
        require(32 * self.channel_mul >= 1, "channel_mul", self.channel_mul, "1/32 or more")
        edges = _EDGES * self.num_depths - 2
        most = 2 if self.spatial_dims == 2 else 5
        for name, values, rows, columns, largest in (
            ("edges", self.edges, self.num_blocks, edges, 1),
            ("operations", self.operations, self.num_blocks, edges, most - 1),
            ("nodes", self.nodes, self.num_blocks + 1, self.num_depths, 1),
        ):
            if not values:
                continue
            require_list(name, values, rows)
            for row in values:
                require_list(name, row, columns)
                fits = all(0 <= value <= largest for value in row)
                require(fits, name, row, f"numbers from 0 to {largest}")
        require(not self.nodes or any(self.nodes[-1]), "nodes", self.nodes, "an output")

    @property
    def lattice(self) -> tuple[Numbers, Numbers, Numbers]:
        """Edges, operations and nodes, complete."""
        edges = _EDGES * self.num_depths - 2
        all_edges = ((1,) * edges,) * self.num_blocks
        nodes = ((1,) * self.num_depths,) * (self.num_blocks + 1)
        return self.edges or all_edges, self.operations or all_edges, self.nodes or nodes


class DiNTS(PaddedWithin, MonaiDiNTS):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's DiNTS, padded within to the sizes it can take."""


def build(**arguments: Any) -> DiNTS:
    """Build a DiNTS with random weights from the arguments of :class:`Options`."""
    options = Options(**arguments)
    edges, operations, nodes = options.lattice
    shared = {
        "spatial_dims": options.spatial_dims,
        "use_downsample": options.use_downsample,
        "act_name": options.act_name,
        "norm_name": options.norm_name,
    }
    with contextlib.redirect_stdout(io.StringIO()):  # MONAI prints advice on sizes
        topology = TopologyInstance(
            arch_code=[np.array(edges), np.array(operations)],
            channel_mul=options.channel_mul,
            num_blocks=options.num_blocks,
            num_depths=options.num_depths,
            **shared,
        )
    # As an array and not a tensor: the forward pass branches on it, which cannot be traced.
    topology.arch_code_a = np.array(edges)
    return DiNTS(
        total_stride=(2 ** (options.num_depths + options.use_downsample),) * options.spatial_dims,
        dints_space=topology,
        in_channels=options.in_channels,
        num_classes=options.out_channels,
        node_a=nodes,
        **shared,
    )


def size_multiple(options: Options) -> int:
    """Return 1: the network pads within."""
    return 1


def presets(spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return options by size."""
    return {
        "small": {"channel_mul": 0.25},
        "base": {"channel_mul": 0.5},
        "large": {"channel_mul": 1.0, "num_blocks": 6, "num_depths": 4},
    }
