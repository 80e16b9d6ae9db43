"""How a MONAI bundle runs its network and what it makes of the output, as parts of ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import ModelError
from ..preprocess import Operation
from .bundle_arguments import Arguments, flattened, key_list, label
from .bundle_known import known_code
from .bundle_lambdas import (
    chosen_channels,
    drops_background,
    nested_where,
    parameter,
    threshold_of_highest,
)
from .bundle_values import Component, Function

_NOTHING = {
    "DeleteItemsd", "EnsureTyped", "FromMetaTensord", "Identityd", "SaveImaged", "SelectItemsd",
    "ToDeviced", "ToMetaTensord", "ToNumpyd", "ToTensord",
}  # fmt: skip
_WINDOWS = {
    "buffer_dim", "buffer_steps", "cache_roi_weight_map", "cpu_thresh", "device", "progress",
    "sw_batch_size", "sw_device",
}  # fmt: skip
Home = Literal["probabilities", "logits", "labels"]


@dataclass
class Windows:
    """How the network runs: what `Inferer` needs, and the blockers."""

    window: tuple[int, ...] | None = None
    overlap: float = 0.25
    blend: Literal["gaussian", "constant"] = "constant"
    padding: str = "zeros"
    simple: bool = False
    slice_axis: int | None = None
    blockers: list[str] = field(default_factory=list)


def read_inferer(value: Any, spatial_dims: int) -> Windows:
    """Return how a bundle's ``inferer`` runs the network; without one, on the whole image."""
    result = Windows()
    if value is None:
        result.simple = True
        return result
    try:
        _read_inferer(value, spatial_dims, result)
    except ModelError as error:
        result.blockers.append(f"inferer {label(value)}: {error}")
    return result


def _read_inferer(value: Any, dims: int, result: Windows) -> None:
    if not isinstance(value, Component):
        raise ModelError("it is no inferer of MONAI's.")
    if value.own_code:
        raise ModelError("it is code of the bundle's own, which is not run.")
    if value.name == "SimpleInferer":
        result.simple = True
        return
    if value.name not in ("SlidingWindowInferer", "SlidingWindowInfererAdapt", "SliceInferer"):
        raise ModelError("it is not known.")
    a = Arguments(value)
    a.asked |= _WINDOWS
    if value.name == "SliceInferer":
        result.slice_axis = int(a.get("spatial_dim", 0))
    roi = [0 if n is None else int(n) for n in a.numbers("roi_size", dims)]
    if all(n <= 0 for n in roi):
        result.simple = True
    elif min(roi) <= 0:
        raise ModelError(f"roi_size {roi} with one side as long as the image is not done.")
    result.window = None if result.simple else tuple(roi)
    overlaps = {float(n) for n in a.numbers("overlap", dims)} if "overlap" in value.keys else {0.25}
    if len(overlaps) > 1:
        raise ModelError("a different overlap along each axis is not done.")
    result.overlap = overlaps.pop()
    mode = a.get("mode", "constant")
    if mode not in ("constant", "gaussian"):
        raise ModelError(f"mode {mode!r} is not known.")
    result.blend = mode
    _check_window_details(a, result)
    a.finish()


def _check_window_details(a: Arguments, result: Windows) -> None:
    if result.blend == "gaussian" and a.component.get("sigma_scale", 0.125) != 0.125:
        raise ModelError("sigma_scale other than 0.125 is not done.")
    a.get("sigma_scale")
    padding = a.get("padding_mode", "constant")
    if padding not in ("constant", "replicate", "reflect") or a.get("cval", 0) != 0:
        raise ModelError(f"padding_mode {padding!r} with cval {a.get('cval')!r} is not done.")
    result.padding = {"constant": "zeros", "replicate": "edge", "reflect": "mirror"}[padding]
    if a.get("roi_weight_map") is not None or a.flag("with_coord"):
        raise ModelError("roi_weight_map and with_coord are not done.")


@dataclass
class Postprocessing:
    """What is gathered while the transforms of the output are gone through.

    Attributes
    ----------
    activation
        ``None`` as long as there is none.
    home
        What is brought back to the image; ``None`` where the bundle does not say.
    decided
        How channels became labels: ``"argmax"``, ``"threshold"`` or not yet.
    operations
        What is done to labels.
    """

    channels: int
    resampled: bool
    root: Path
    inverted: bool = False
    activation: str | None = None
    home: Home | None = None
    decided: str | None = None
    one_hot: bool = False
    select: tuple[int, ...] = ()
    regions: tuple[int, ...] = ()
    numbers: dict[int, int] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Add a line for the user, once."""
        if line not in self.notes:
            self.notes.append(line)


def read_postprocessing(
    value: Any, channels: int, *, resampled: bool, root: Path
) -> Postprocessing:
    """Return what a bundle's ``postprocessing`` makes of the network's output.

    Parameters
    ----------
    value
        The transforms: a ``Compose``, or a list.
    channels
        Number of the network's output channels.
    resampled
        Whether the network sees another grid than the image's.
    root
        Folder of the bundle.
    """
    state = Postprocessing(channels, resampled, root)
    for transform in flattened(value):
        try:
            _read_one(transform, state)
        except ModelError as error:
            state.blockers.append(f"postprocessing {label(transform)}: {error}")
    if state.home is None:
        # Without an inverse MONAI's writer resamples the labels, by the nearest voxel.
        state.home = "labels" if resampled else "probabilities"
    if state.activation is None:
        state.activation = "sigmoid" if state.decided == "threshold" or channels == 1 else "softmax"
    if state.decided == "argmax" and state.activation == "sigmoid":
        if state.home == "probabilities" and resampled:
            state.blockers.append("postprocessing: argmax of resampled sigmoids is not done.")
        state.activation = "softmax"  # the largest of sigmoids is the largest of logits
    if state.decided == "threshold" and state.activation == "softmax":
        state.blockers.append("postprocessing: a threshold on a softmax is not done.")
    return state


def _read_one(transform: Any, state: Postprocessing) -> None:
    if not isinstance(transform, Component):
        raise ModelError("it is no transform of MONAI's.")
    if transform.own_code:
        if known_code(transform, state.root) != "lowest_wins" or state.decided != "threshold":
            raise ModelError("it is code of the bundle's own, which is not run.")
        _lowest_wins(state)
        return
    if "keys" in transform.keys and "pred" not in key_list(transform.get("keys")):
        return
    name = transform.name.removesuffix("ict") if transform.name.endswith("Dict") else transform.name
    if name in _NOTHING:
        return
    handler = _HANDLERS.get(name)
    if handler is None:
        raise ModelError("it is not known.")
    arguments = Arguments(transform)
    handler(arguments, state)
    arguments.finish()


def _activations(a: Arguments, state: Postprocessing) -> None:
    sigmoid, softmax = a.flag("sigmoid"), a.flag("softmax")
    if a.get("other") is not None or a.get("kwargs") is not None or a.get("dim") is not None:
        raise ModelError("an activation other than sigmoid and softmax is not done.")
    if sigmoid and softmax:
        raise ModelError("sigmoid and softmax exclude each other.")
    if state.decided or (state.activation and (sigmoid or softmax)):
        raise ModelError("an activation after another one, or of labels, is not done.")
    if sigmoid or softmax:
        state.activation = "sigmoid" if sigmoid else "softmax"


def _invert(a: Arguments, state: Postprocessing) -> None:
    a.asked |= {
        "transform", "orig_keys", "orig_meta_keys", "meta_key_postfix", "to_tensor", "meta_keys",
    }  # fmt: skip
    if a.get("post_func") is not None:
        raise ModelError("post_func is code, which is not run.")
    if state.inverted:
        raise ModelError("it stands there twice.")
    if state.one_hot:
        raise ModelError("the way home of one channel a class is not done.")
    state.inverted = True
    if state.decided or a.flag("nearest_interp", True):
        state.home = "labels"
        if state.decided and not a.flag("nearest_interp", True):
            state.note(
                "Labels go home by the nearest voxel; MONAI's own run would interpolate their "
                "numbers."
            )
    else:
        state.home = "probabilities" if state.activation else "logits"


def _as_discrete(a: Arguments, state: Postprocessing) -> None:
    threshold, rounding = a.number("threshold"), a.get("rounding")
    a.get("to_onehot")
    hot = a.component.get("to_onehot")
    if rounding is not None or (state.decided and not (hot and not threshold)):
        raise ModelError("rounding, and deciding twice, are not done.")
    if a.flag("argmax"):
        if threshold is not None:
            raise ModelError("a threshold of an argmax is not done.")
        state.decided = "argmax"
    elif threshold is not None:
        state.decided = "threshold"
        if state.activation is None:  # of logits: the same as of their sigmoid
            threshold = 1 / (1 + math.exp(-threshold))
            state.activation = "sigmoid"
            state.home = "logits" if state.home == "probabilities" else state.home
        if threshold != 0.5:
            state.operations.append(Operation("threshold", {"value": threshold}))
    state.one_hot = state.one_hot or bool(hot)


def _labels(a: Arguments, key: str = "applied_labels") -> dict[str, Any]:
    value = a.component.get(key)
    a.asked.add(key)
    if value is None:
        return {}
    values = value if isinstance(value, list) else [value]
    if not all(type(v) is int for v in values):
        raise ModelError(f"{key} are no whole numbers but {value!r}.")
    return {"labels": values}


def _need_labels(state: Postprocessing) -> None:
    if not state.decided:
        raise ModelError("it needs labels, which are not decided yet.")
    if state.decided == "threshold" and state.channels > 1 and not state.regions:
        raise ModelError("each of several overlapping channels by itself is not done.")
    if state.resampled and not state.inverted:
        state.note("Parts of labels are judged on the image's own grid, not on the network's.")


def _keep_largest(a: Arguments, state: Postprocessing) -> None:
    _need_labels(state)
    parameters = _labels(a)
    a.get("is_onehot")
    if not a.flag("independent", True):
        parameters["together"] = True
    connectivity, count = a.get("connectivity"), a.get("num_components", 1)
    if connectivity is not None:
        parameters["connectivity"] = connectivity
    if count != 1:
        raise ModelError("keeping more than one part is not done.")
    state.operations.append(Operation("keep_largest", parameters))


def _fill_holes(a: Arguments, state: Postprocessing) -> None:
    _need_labels(state)
    parameters = _labels(a)
    if a.get("connectivity") is not None:
        parameters["connectivity"] = a.get("connectivity")
    state.operations.append(Operation("fill_holes", parameters))


def _remove_small(a: Arguments, state: Postprocessing) -> None:
    _need_labels(state)
    if a.get("by_measure", False) not in (False, "False") or a.get("pixdim") is not None:
        raise ModelError("sizes by measure are not done.")
    a.get("independent_channels")
    if state.channels > 2 or (state.channels == 2 and state.decided != "argmax"):
        # There it takes each class for one object.
        raise ModelError("it is done for a single class only.")
    parameters: dict[str, Any] = {"min_size": a.get("min_size", 64), "unit": "voxels"}
    parameters["connectivity"] = a.get("connectivity", 1)
    state.operations.append(Operation("remove_small", parameters))


def _lambda(a: Arguments, state: Postprocessing) -> None:
    function = a.get("func")
    a.asked |= {"inv_func", "overwrite"}
    if not isinstance(function, Function):
        raise ModelError("its func is no expression that is known.")
    name, body = parameter(function), function.node.body
    if state.one_hot and drops_background(body, name):
        state.one_hot = False
        return
    if not state.decided and not state.activation and chosen_channels(body, name):
        state.select = chosen_channels(body, name)
        return
    highest = threshold_of_highest(body, name)
    if highest is not None and state.activation == "sigmoid" and not state.decided:
        state.decided = "highest"
        if highest != 0.5:
            state.operations.append(Operation("threshold", {"value": highest}))
        return
    written = nested_where(body, name)
    if written is None or state.decided != "threshold":
        raise ModelError("its func is code that is not known.")
    # The innermost choice is the weakest: later channels write over earlier ones.
    pairs = list(reversed(written))
    if any(not 0 <= channel < state.channels or number < 1 for channel, number in pairs):
        raise ModelError("its func writes numbers that are no labels.")
    state.select = tuple(channel for channel, _ in pairs)
    state.regions = tuple(number for _, number in pairs)


def _lowest_wins(state: Postprocessing) -> None:
    """Give each voxel the lowest of its classes: that which is written last."""
    state.select = state.regions = tuple(range(state.channels - 1, 0, -1))


def _renumber(a: Arguments, state: Postprocessing) -> None:
    old, new = (a.component.get(key) for key in ("orig_labels", "target_labels"))
    a.asked |= {"orig_labels", "target_labels"}
    plain = isinstance(old, list) and isinstance(new, list) and len(old) == len(new)
    if not plain or not all(type(n) is int and n > 0 for n in (*old, *new)):
        raise ModelError("labels other than numbers from 1 up are not renumbered.")
    if not state.decided or state.numbers or state.operations:
        raise ModelError("labels are renumbered as soon as they are decided only, and once.")
    state.numbers = dict(zip(old, new, strict=True))


Handler = Callable[[Arguments, Postprocessing], None]
_HANDLERS: Mapping[str, Handler] = {
    "Activationsd": _activations,
    "AsDiscreted": _as_discrete,
    "FillHolesd": _fill_holes,
    "Invertd": _invert,
    "KeepLargestConnectedComponentd": _keep_largest,
    "Lambdad": _lambda,
    "MapLabelValued": _renumber,
    "RemoveSmallObjectsd": _remove_small,
}
