"""Fewer passes over the features of a network that runs, and does not train.

Outside of training a batch norm scales each channel and shifts it, which the convolution before it
can do as well. And an activation can change the features of a convolution where they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

# Where the networks come from whose code runs sequences as wholes.
_KNOWN = ("napari_monai", "monai", "torch")
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# What leaves features alone outside of training.
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)

# A layer, and where it stands: in which container, under which name.
_Place = tuple[nn.Module, str, Any]


def foldable(network: nn.Module) -> bool:
    """Whether there is a batch norm that `fold` puts into a convolution."""
    return any(True for _ in _pairs(network))


def fold(network: nn.Module) -> None:
    """Put batch norms into the convolutions before them: the network then runs, but never trains.

    Only those are that follow a convolution in a sequence which runs its layers in order, so that
    nothing else sees what lies between them, and of networks that are known. Both layers are
    replaced, and their weights stay as they are.
    """
    network.eval()
    for (holder, name, convolution), (behind, norm_name, norm) in list(_pairs(network)):
        transposed = isinstance(convolution, _TRANSPOSED)
        folded = fuse_conv_bn_eval(convolution, norm, transpose=transposed)
        setattr(holder, name, folded)
        setattr(behind, norm_name, nn.Identity())


def activate_in_place(network: nn.Module) -> None:
    """Have activations change what a convolution gives, where nothing else sees it."""
    for (_, _, layer), (_, _, activation) in _neighbours(network):
        fresh = type(layer) in (*_CONVOLUTIONS, *_TRANSPOSED, *_NORMS)
        if fresh and isinstance(getattr(activation, "inplace", None), bool):
            activation.inplace = True


def _pairs(network: nn.Module) -> Iterator[tuple[_Place, _Place]]:
    """Yield each convolution with the batch norm that can be put into it."""
    return (pair for pair in _neighbours(network) if _fit(pair[0][2], pair[1][2]))


def _neighbours(network: nn.Module) -> Iterator[tuple[_Place, _Place]]:
    """Yield each two layers that run one after the other, where nothing else looks between them.

    None of code that is not ours nor MONAI's: it may run the layers of a sequence itself, and keep
    what lies between them.
    """
    if type(network).__module__.partition(".")[0] not in _KNOWN:
        return
    # What stands in two places has something else behind it in each.
    uses = Counter(id(child) for module in network.modules() for child in module._modules.values())
    inner = {
        id(child)
        for module in network.modules()
        if _in_order(module)
        for child in module._modules.values()
    }
    for module in network.modules():
        if not _in_order(module) or id(module) in inner:
            continue  # a part of a sequence is looked at with the whole of it
        places = [place for place in _leaves(module, uses) if type(place[2]) not in _NOTHING]
        for one, other in pairwise(places):
            if all(uses[id(layer)] == 1 and not _is_watched(layer) for layer in (one[2], other[2])):
                yield one, other


def _fit(layer: Any, norm: nn.Module) -> bool:
    """Whether these are a convolution and a batch norm of means that are known."""
    # Torch folds no transposed convolution in groups.
    known = type(layer) in _CONVOLUTIONS or (type(layer) in _TRANSPOSED and layer.groups == 1)
    return known and type(norm) in _NORMS and getattr(norm, "running_mean", None) is not None


def _in_order(module: nn.Module | None) -> bool:
    """Whether a module does nothing but run its layers one after the other."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _leaves(sequence: nn.Module, uses: Counter[int]) -> Iterator[_Place]:
    """Yield the layers of a sequence, and of sequences within it, in the order they run."""
    for name, child in sequence._modules.items():
        if child is None:
            continue
        if _in_order(child) and uses[id(child)] == 1 and not _is_watched(child):
            yield from _leaves(child, uses)
        else:
            yield sequence, name, child


def _is_watched(module: nn.Module) -> bool:
    """Whether a module has hooks, or weights that are computed from others."""
    hooks = module._forward_hooks, module._forward_pre_hooks
    return any(hooks) or is_parametrized(module)
