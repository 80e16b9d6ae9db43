"""What MONAI's classes are called in the table of networks, and their arguments there.

For descriptions that name a class of ``monai.networks.nets`` with keyword arguments, such as
those of MONAI bundles. Nothing is built and no weights are fetched.
"""

from __future__ import annotations

import enum
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import NetworkError, did_you_mean

# Where weights would come from, and what changes memory, speed or what is kept, but no result.
_WITHOUT_EFFECT = frozenset(
    ("pretrained", "progress", "checkpoint", "use_checkpoint", "url", "path", "save_attn",
     "use_flash_attention")
)  # fmt: skip


@dataclass(frozen=True)
class _MonaiClass:
    """A class of MONAI's that the table has.

    ``renamed`` maps names of earlier releases to today's; ``only`` gives what an argument has to
    be, with the reason; ``change`` corrects the complete arguments.
    """

    cls: str
    name: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    change: Callable[[dict[str, Any]], None] = lambda arguments: None


def _cut_strides(arguments: dict[str, Any]) -> None:
    """Drop the strides that MONAI ignores with a warning."""
    arguments["strides"] = list(arguments["strides"])[: len(arguments["channels"]) - 1]


def _group_norm(arguments: dict[str, Any]) -> None:
    """Turn the earlier arguments of the group norm into today's."""
    name, groups = arguments.pop("norm_name", ""), arguments.pop("num_groups", 8)
    if name:
        arguments["norm"] = (name.lower(), {"num_groups": groups})


def _dropout(arguments: dict[str, Any]) -> None:
    """Hand on the one probability of earlier releases."""
    value = arguments.pop("dropout_prob")
    if value is not None and value != 0.5:
        arguments.update(dropout_prob_down=value, dropout_prob_up=(value, value))


def _topology(arguments: dict[str, Any]) -> None:
    """Put the arguments of the topology, given as a mapping, among the network's own."""
    space, nodes = arguments.pop("dints_space"), arguments.pop("node_a")
    code = space.get("arch_code") if isinstance(space, dict) else None
    if not (isinstance(code, list) and len(code) == 2 and isinstance(nodes, list)):
        raise NetworkError(
            "MONAI's DiNTS needs its dints_space as a mapping, with arch_code as two lists, and "
            "node_a as a list: read them from the checkpoint of its search."
        )
    arguments["out_channels"] = arguments.pop("num_classes")
    for key, default in (("channel_mul", 1.0), ("num_blocks", 6), ("num_depths", 3)):
        arguments[key] = space.get(key, default)
    for key, rows in (("edges", code[0]), ("operations", code[1]), ("nodes", nodes)):
        arguments[key] = [[int(value) for value in row] for row in rows]


_CLASSES = (
    _MonaiClass("UNet", "unet", {"dimensions": "spatial_dims"}, change=_cut_strides),
    _MonaiClass("AttentionUnet", "attention_unet", change=_cut_strides),
    _MonaiClass("BasicUNet", "basic_unet", {"dimensions": "spatial_dims"}),
    _MonaiClass(
        "BasicUNetPlusPlus",
        "basic_unetplusplus",
        only={"deep_supervision": (False, "it gives a list of logits")},
    ),
    _MonaiClass("DynUNet", "dynunet"),
    _MonaiClass(
        "SegResNet",
        "segresnet",
        only={"use_conv_final": (True, "without it there are features instead of logits")},
        change=_group_norm,
    ),
    _MonaiClass(
        "SegResNetDS",
        "segresnet_ds",
        only={"preprocess": (None, "code before the network is not run")},
    ),
    _MonaiClass("VNet", "vnet", change=_dropout),
    _MonaiClass("UNETR", "unetr", {"pos_embed": "proj_type"}),
    _MonaiClass(
        "SwinUNETR",
        "swin_unetr",
        only={
            "use_hyena": (False, "its long convolutions need a package of their own"),
            "norm_layer": ("LayerNorm", "only layer normalization is known"),
        },
    ),
    _MonaiClass("FlexibleUNet", "flexible_unet"),
    _MonaiClass("DiNTS", "dints", change=_topology),
)
_BY_CLASS = {entry.cls.lower(): entry for entry in _CLASSES} | {
    "flexunet": next(entry for entry in _CLASSES if entry.cls == "FlexibleUNet")
}

# What is known of the others.
_REASONS = {
    "hovernet": "it gives three maps that only its own post-processing turns into nuclei",
    "topologyinstance": "it is a part of a DiNTS",
    "vista3d": "it is asked for classes or points beside the image",
    "segresnetds2": "it is asked for points beside the image",
    "segresnetvae": "it gives a reconstruction beside the logits",
    "cellsamwrapper": "it needs the code and weights of another package",
}


def from_monai(class_name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the network of the table that a segmentation class of MONAI is.

    A network built from the result takes the state dict of MONAI's class with these arguments.

    Parameters
    ----------
    class_name : str
        A class of ``monai.networks.nets``, alone or with its dotted path.
    arguments : Mapping
        Its keyword arguments. What is left out has MONAI's default. What MONAI's class does not
        know, as arguments that earlier releases had, and what does not change the results is
        dropped.

    Returns
    -------
    name : str
        A name of the table.
    arguments : dict
        The complete arguments of that network, as plain JSON.

    Raises
    ------
    NetworkError
        For a class that the table does not have, with the reason, or arguments it cannot take.
    """
    from . import network_arguments

    short = class_name.rpartition(".")[2]
    entry = _BY_CLASS.get(short.lower())
    if entry is None:
        raise NetworkError(_refusal(short))
    cls = getattr(importlib.import_module("monai.networks.nets"), entry.cls)
    given = {entry.renamed.get(key, key): value for key, value in arguments.items()}
    complete: dict[str, Any] = {}
    for key, parameter in inspect.signature(cls).parameters.items():
        if key in given:
            complete[key] = _plain(given[key])
        elif parameter.default is not inspect.Parameter.empty:
            complete[key] = _plain(parameter.default)
        else:
            raise NetworkError(f"MONAI's {entry.cls} needs {key}: give it.")
    for key, (wanted, reason) in entry.only.items():
        if complete.pop(key, wanted) != wanted:
            raise NetworkError(f"MONAI's {entry.cls} with this {key} cannot be used: {reason}.")
    entry.change(complete)
    kept = {
        key: value
        for key, value in complete.items()
        if key not in _WITHOUT_EFFECT and not key.startswith("hyena_")
    }
    return entry.name, network_arguments(entry.name, kept)


def to_monai(name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the class of MONAI, and its arguments, that a network of the table is.

    The other way of `from_monai`: the class takes the state dict of the network.

    Parameters
    ----------
    name : str
        A name of the table.
    arguments : Mapping
        Its arguments.

    Returns
    -------
    class_name : str
        A class of ``monai.networks.nets``.
    arguments : dict
        Its keyword arguments, as plain JSON. What is no plain value, the topology of a DiNTS, is
        a component of a MONAI bundle.

    Raises
    ------
    NetworkError
        For a network that is none of MONAI's, or arguments that MONAI's has not.
    """
    from . import network_arguments

    complete = network_arguments(name, arguments)
    wanted = {"residual_unet": "unet"}.get(name, name)
    entry = next((entry for entry in _CLASSES if entry.name == wanted), None)
    if entry is None:
        known = ", ".join(entry.name for entry in _CLASSES)
        raise NetworkError(f"The network {name!r} is none of MONAI's; those are {known}.")
    if entry.cls == "DiNTS":
        return entry.cls, _dints(complete)
    back = from_monai(entry.cls, complete)[1]
    for key, value in complete.items():
        if back.get(key) != value:
            raise NetworkError(f"MONAI's {entry.cls} has no {key} of {value!r}.")
    return entry.cls, complete


def _dints(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of MONAI's DiNTS, its topology as a component of a bundle."""
    from .dints import Options
    from .options import read_options

    lattice = read_options(Options, arguments, name="dints").lattice
    edges, operations, nodes = ([list(row) for row in rows] for rows in lattice)
    shared = {k: arguments[k] for k in ("spatial_dims", "use_downsample", "act_name", "norm_name")}
    own = {k: arguments[k] for k in ("channel_mul", "num_blocks", "num_depths")}
    topology = {
        "_target_": "TopologyInstance",
        "arch_code": [f"$numpy.array({edges})", f"$numpy.array({operations})"],
    }
    return {
        "dints_space": topology | own | shared,
        "in_channels": arguments["in_channels"],
        "num_classes": arguments["out_channels"],
        "node_a": f"$torch.tensor({nodes})",
        **shared,
    }


def _refusal(name: str) -> str:
    """Return why a class cannot be used, in one line."""
    reason = _REASONS.get(name.lower())
    if reason:
        return f"MONAI's {name} cannot be used: {reason}."
    near = did_you_mean(name, [entry.cls for entry in _CLASSES])
    return f"No network of the table is MONAI's {name}. {near}"


def _plain(value: Any) -> Any:
    """Return a value of Python as one of JSON: members of enumerations by what they stand for."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
