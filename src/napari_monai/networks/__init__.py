"""The table of network architectures: names to modules, arguments as plain JSON.

The table and its look-up cost nothing; a module, and torch and MONAI with it, is imported when
one of its networks is asked for. Every module of the table offers

``Options``
    a frozen dataclass of all its arguments, a child of
    :class:`napari_monai.networks.options.NetworkOptions`;
``build(*, spatial_dims, in_channels, out_channels, **options)``
    the network, a ``torch.nn.Module`` from ``(batch, in_channels, *spatial)`` to
    ``(batch, out_channels, *spatial)`` that gives logits;
``presets(spatial_dims)``
    its options by size, see `SIZES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import NetworkError, did_you_mean
from .monai_names import from_monai, to_monai
from .nnunet_names import from_nnunet
from .options import NetworkOptions, read_options, write_options

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "NETWORKS",
    "SIZES",
    "NetworkInfo",
    "build_network",
    "fixed_size",
    "from_monai",
    "from_nnunet",
    "network_arguments",
    "network_info",
    "presets",
    "size_multiple",
    "to_monai",
]


@dataclass(frozen=True)
class NetworkInfo:
    """One architecture of the table.

    Attributes
    ----------
    name : str
        What settings and model files call it.
    module : str
        Dotted name of the module that builds it, imported on use.
    dims : tuple of int
        The numbers of spatial dimensions it comes in.
    summary : str
        One sentence: when to choose it.
    """

    name: str
    module: str
    dims: tuple[int, ...]
    summary: str


# Name, module, when to choose it.
_ALL = tuple(
    NetworkInfo(name, f"napari_monai.networks.{module}", (2, 3), summary)
    for name, module, summary in (
        (
            "unet",
            "unet",
            "The first choice: small, fast, sharp at borders, good with few training images.",
        ),
        (
            "residual_unet",
            "residual_unet",
            "Wider residual units, the first at half resolution: for objects larger than a few "
            "voxels.",
        ),
        (
            "basic_unet",
            "basic_unet",
            "The plain U-Net of the paper: for comparison, and for weights that were made for it.",
        ),
        (
            "basic_unetplusplus",
            "basic_unetplusplus",
            "Nested ways up: for small structures, at several times the work of a U-Net.",
        ),
        (
            "attention_unet",
            "attention_unet",
            "For a small organ in a large image, where most of the image has to be ignored.",
        ),
        (
            "dynunet",
            "dynunet",
            "nnU-Net's network with MONAI's names: strong on CT and MR, with kernels and strides "
            "for thick slices.",
        ),
        (
            "plain_conv_unet",
            "plain_conv_unet",
            "nnU-Net's own network, strong on nearly all CT and MR: takes its trained weights.",
        ),
        (
            "residual_encoder_unet",
            "residual_encoder_unet",
            "nnU-Net's residual encoder (ResEnc), its best: for many training images and a GPU.",
        ),
        (
            "segresnet",
            "segresnet",
            "The winner of BraTS 2018, sums instead of concatenations: for tumours and organs in "
            "MR and CT.",
        ),
        (
            "segresnet_ds",
            "segresnet_ds",
            "The SegResNet of Auto3DSeg: as segresnet, also for slices much thicker than pixels.",
        ),
        (
            "vnet",
            "vnet",
            "Wide 5x5 kernels: for smooth organs in volumes with voxels of equal sides.",
        ),
        (
            "flexible_unet",
            "flexible_unet",
            "A U-Net on a classifier's encoder, which may start from published weights: for few "
            "training images in colour.",
        ),
        (
            "dints",
            "dints",
            "What a search on one's own data found: for the weights of MONAI's DiNTS models.",
        ),
        (
            "unetr",
            "unetr",
            "A transformer that sees a whole window of one size: with thousands of training "
            "images or pre-trained weights.",
        ),
        (
            "swin_unetr",
            "swin_unetr",
            "A transformer with shifting windows: for CT and MR with a large GPU and pre-trained "
            "weights.",
        ),
        (
            "deeplabv3plus",
            "deeplab",
            "For structures of very different sizes that need a wide view to be told apart.",
        ),
        (
            "deeplabv3",
            "deeplabv3",
            "The wide view of DeepLab without its decoder: for large regions with smooth borders.",
        ),
        (
            "fcn",
            "fcn",
            "Fast on large pictures: for regions rather than fine borders, and as a baseline.",
        ),
        (
            "reseg",
            "reseg",
            "A recurrent network: for layers and order that reach across the whole image.",
        ),
    )
)

# What presets are called.
SIZES = ("small", "base", "large")

NETWORKS: dict[str, NetworkInfo] = {info.name: info for info in _ALL}


def network_info(name: str) -> NetworkInfo:
    """Return the entry of an architecture.

    Raises
    ------
    NetworkError
        When the table has no such name; the message gives its near miss.
    """
    try:
        return NETWORKS[name]
    except KeyError:
        raise NetworkError(f"No network named {name!r}. {did_you_mean(name, NETWORKS)}") from None


def network_arguments(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete arguments of a network as JSON, with defaults filled in.

    What comes back is explicit enough to rebuild the network after a default has changed, and
    passing it through again changes nothing.

    Parameters
    ----------
    name : str
        A name of the table.
    arguments : Mapping
        ``spatial_dims``, ``in_channels``, ``out_channels``, and any of the network's options.

    Raises
    ------
    NetworkError
        For an unknown network, or an argument that is missing, unknown or out of its range.
    """
    return write_options(_read(name, arguments)[1])


def build_network(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network with random weights.

    Parameters
    ----------
    name : str
        A name of the table.
    arguments : Mapping
        ``spatial_dims``, ``in_channels``, ``out_channels``, and any of the network's options.

    Returns
    -------
    torch.nn.Module
        From ``(batch, in_channels, *spatial)`` to logits ``(batch, out_channels, *spatial)``, in
        training mode.

    Raises
    ------
    NetworkError
        For an unknown network, or an argument that is missing, unknown or out of its range.
    """
    module, options = _read(name, arguments)
    try:
        network: nn.Module = module.build(**vars(options))
    except NetworkError:
        raise
    # What only the layers themselves can refuse: a norm or activation that MONAI does not have,
    # groups that do not divide the channels, an argument that a layer does not take.
    except (ArithmeticError, LookupError, NotImplementedError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NetworkError(f"Cannot build the network {name!r}: {reason}") from error
    return network


def size_multiple(name: str, arguments: Mapping[str, Any]) -> int:
    """Return what the spatial sizes of the input have to be multiples of, 1 for any size.

    Raises
    ------
    NetworkError
        For an unknown network, or an argument that is missing, unknown or out of its range.
    """
    return _read(name, arguments)[1].size_multiple


def fixed_size(name: str, arguments: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the one size of windows that a network was made for; None where it takes any.

    Smaller images are padded within, larger ones refused.

    Raises
    ------
    NetworkError
        For an unknown network, or an argument that is missing, unknown or out of its range.
    """
    return _read(name, arguments)[1].fixed_size


def presets(name: str, spatial_dims: int) -> dict[str, dict[str, Any]]:
    """Return the options of a network by size: ``"small"``, ``"base"``, ``"large"``.

    They are completed by ``spatial_dims``, ``in_channels`` and ``out_channels``.

    Raises
    ------
    NetworkError
        For an unknown network, or a number of dimensions that it does not come in.
    """
    info = network_info(name)
    _require_dims(info, spatial_dims)
    return dict(importlib.import_module(info.module).presets(spatial_dims))


def _read(name: str, arguments: Mapping[str, Any]) -> tuple[Any, NetworkOptions]:
    """Return the module of a network and its checked options."""
    info = network_info(name)
    module = importlib.import_module(info.module)
    options = read_options(module.Options, arguments, name=name)
    _require_dims(info, options.spatial_dims)
    return module, options


def _require_dims(info: NetworkInfo, spatial_dims: int) -> None:
    if spatial_dims not in info.dims:
        known = " or ".join(map(str, info.dims))
        raise NetworkError(
            f"The network {info.name!r} has no {spatial_dims}D form: give spatial_dims {known}."
        )
