"""Several processes that train one network, each on its part of the same batches.

The loss is that of the whole batch: each process runs the network on its own part, is given the
outputs of the others, and its gradient is what its own part has in the whole. Their sum is the
gradient of one process with the same batch, whatever the loss mixes between the images of a
batch. Batch normalisation sees the whole batch on GPUs (`SyncBatchNorm`); on CPUs, where torch
has no such thing, it sees the part of its process, and weights differ a little from those of one
process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import DeviceError, TrainingError
from ..settings import TrainingSettings

# A process may wait long for the others, while one of them decodes a large volume.
_PATIENCE = timedelta(hours=6)

# Groups of processes that are over. Who frees one waits for its threads, which may wait for Python
# to free the last tensor they sent; whoever frees it from Python would then wait for ever.
_ENDED: list[Any] = []


@dataclass(frozen=True)
class Team:
    """The processes that train together; most often it is one alone."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and says things."""
        return self.rank == 0

    @property
    def part(self) -> slice:
        """What of a batch, or of a list of images, is for this process."""
        return slice(self.rank, None, self.size)

    def check_batch(self, size: int) -> None:
        """Raise TrainingError when a batch cannot be shared evenly."""
        if size % self.size:
            raise TrainingError(
                f"A batch of {size} patches cannot be shared by {self.size} processes: take a "
                f"multiple of {self.size}."
            )

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network as one whose gradient is the mean over all processes."""
        if self.size == 1:
            return network
        return DistributedDataParallel(
            network, find_unused_parameters=True, gradient_as_bucket_view=True
        )

    def quiet(self, network: nn.Module) -> AbstractContextManager[Any]:
        """Return a context in which gradients of a wrapped network are only summed up."""
        if isinstance(network, DistributedDataParallel):
            return network.no_sync()
        return nullcontext()

    def whole(self, own: torch.Tensor) -> torch.Tensor:
        """Return the parts of all processes in one tensor; the gradient flows to the own part."""
        if self.size == 1:
            return own
        parts = [
            torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(self.size)
        ]
        distributed.all_gather(parts, own.detach().contiguous())
        parts[self.rank] = own
        return torch.cat(parts)

    def all_spacings(self, own: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
        """Return the spacings of the patches of all processes, in the order of `whole`."""
        if self.size == 1:
            return [tuple(spacing) for spacing in own]
        rows = self.whole(torch.tensor(own, dtype=torch.float64)).tolist()
        return [tuple(row) for row in rows]

    def spread(self, network: nn.Module) -> None:
        """Give all processes the weights of the first."""
        if self.size > 1:
            for tensor in (*network.parameters(), *network.buffers()):
                distributed.broadcast(tensor.data, src=0)

    def agree(self, number: float) -> float:
        """Return the number of the first process, in all."""
        if self.size == 1:
            return number
        value = torch.tensor(float(number), dtype=torch.float64)
        distributed.broadcast(value, src=0)
        return float(value)

    def all_of(self, own: Sequence[Any]) -> list[Any]:
        """Return what each process has for its part of a list, as one list in the list's order."""
        if self.size == 1:
            return list(own)
        parts: list[list[Any]] = [[] for _ in range(self.size)]
        distributed.all_gather_object(parts, list(own))
        longest = max(len(part) for part in parts)
        return [part[n] for n in range(longest) for part in parts if n < len(part)]

    def leave(self) -> None:
        """End the work together."""
        if self.size > 1 and distributed.is_initialized():
            _ENDED.append(distributed.group.WORLD)
            distributed.destroy_process_group()


def join(settings: TrainingSettings, device: torch.device) -> Team:
    """Return the processes that were started together with this one, by torchrun.

    Raises
    ------
    TrainingError
        If the settings want several processes and nobody has started them.
    DeviceError
        If there are fewer GPUs than processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        if settings.processes > 1:
            raise TrainingError(
                f"{settings.processes} processes are for the command line, which starts them: run "
                "napari-monai train, or set processes to 1."
            )
        return Team()
    backend = "gloo"
    if device.type == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise DeviceError(
                f"There are {torch.cuda.device_count()} GPUs, fewer than the processes: set "
                "processes to 0, which takes one a GPU."
            )
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    if not distributed.is_initialized():
        distributed.init_process_group(backend, timeout=_PATIENCE)
    return Team(distributed.get_rank(), distributed.get_world_size())


def normalise_together(network: nn.Module, team: Team, device: torch.device) -> nn.Module:
    """Return the network with batch normalisation over all processes, where torch has it."""
    if team.size > 1 and device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return network


def normalises_apart(network: nn.Module, team: Team) -> bool:
    """Return whether batch normalisation sees no more than the part of a process."""
    batch_norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return team.size > 1 and any(isinstance(module, batch_norms) for module in network.modules())
