"""BioImage.IO's processing steps and our operations, in both directions.

Their definitions: bioimage.io, model description 0.5, ``preprocessing`` and ``postprocessing``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..preprocess import Operation


class UntranslatableError(Exception):
    """A step that has no operation; says which and why."""


def preprocessing(steps: Sequence[Any], spatial: str) -> tuple[Operation, ...]:
    """Return the operations of the steps before a network.

    Parameters
    ----------
    steps
        As bioimageio.spec has them.
    spatial
        The spatial axes of the image, such as ``"yx"``.

    Raises
    ------
    UntranslatableError
        For the first step that is not known here.
    """
    return tuple(made for step in steps for made in _operations(step, spatial))


def _operations(step: Any, spatial: str) -> list[Operation]:
    name = str(step.id)
    values = step.kwargs.model_dump(mode="json") if hasattr(step, "kwargs") else {}
    if name == "ensure_dtype":
        kind = values["dtype"]
        # Images come as float32 and go to the network as that.
        return [] if kind in ("float32", "float64") else [Operation("cast", {"dtype": kind})]
    if name == "scale_linear":
        _channelwise(values, name)
        return [Operation("scale_linear", _given(values, "gain", "offset"))]
    if name == "clip":
        if values.get("min_percentile") is not None or values.get("max_percentile") is not None:
            raise UntranslatableError("clip by percentiles")
        limits = {"minimum": values.get("min"), "maximum": values.get("max")}
        return [Operation("clip", {k: v for k, v in limits.items() if v is not None})]
    if name == "fixed_zero_mean_unit_variance":
        _channelwise(values, name)
        return [Operation("zscore", {k: _listed(values[k]) for k in ("mean", "std")})]
    if name == "zero_mean_unit_variance":
        together = _together(values, name, spatial)
        return [Operation("zscore", {"per_channel": not together, "eps": values["eps"]})]
    if name == "scale_range":
        if values.get("reference_tensor") is not None:
            raise UntranslatableError("scale_range by another tensor")
        limits = {"lower": values["min_percentile"], "upper": values["max_percentile"]}
        together = _together(values, name, spatial)
        kept = {**limits, "per_channel": not together, "eps": values["eps"]}
        return [Operation("scale_percentiles", kept)]
    raise UntranslatableError(name)


def _together(values: dict[str, Any], name: str, spatial: str) -> bool:
    """Whether a step measures all channels together; it has to measure whole images."""
    axes = values.get("axes")
    if axes is None:
        return True
    missing = [axis for axis in spatial if axis not in axes]
    if missing:
        raise UntranslatableError(f"{name} without axis {missing[0]}")
    return "channel" in axes


def _channelwise(values: dict[str, Any], name: str) -> None:
    if values.get("axis") not in (None, "channel"):
        raise UntranslatableError(f"{name} along axis {values['axis']}")


def _given(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names if values.get(name) is not None}


def _listed(value: float | list[float]) -> list[float]:
    return value if isinstance(value, list) else [value]


def written(
    operations: Sequence[Operation], spatial: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return BioImage.IO's steps for operations, and those that it has no step for.

    Geometry has none: it comes before the model there, as a line in the documentation.
    """
    steps: list[dict[str, Any]] = [_step("ensure_dtype", dtype="float32")]
    rest: list[str] = []
    for operation in operations:
        made = _written(operation.name, dict(operation.parameters), spatial)
        if made is None:
            rest.append(operation.name)
        else:
            steps += made
    if len(steps) > 1:
        steps.append(_step("ensure_dtype", dtype="float32"))
    return steps, rest


def _written(name: str, values: dict[str, Any], spatial: str) -> list[dict[str, Any]] | None:
    axes = [*([] if values.get("per_channel", name != "scale_minmax") else ["channel"]), *spatial]
    if name == "scale_minmax":
        name, values = "scale_percentiles", {**values, "lower": 0.0, "upper": 100.0}
    if name == "zscore" and not (values.get("nonzero") or values.get("mask")):
        if values.get("mean") is not None and values.get("std") is not None:
            return [_fixed(values["mean"], values["std"])]
        if values.get("mean") is None and values.get("std") is None:
            eps = values.get("eps") or _EPS
            return [_step("zero_mean_unit_variance", axes=axes, eps=eps)]
    if name == "scale_percentiles" and (values.get("b_min", 0), values.get("b_max", 1)) == (0, 1):
        limits = {"min_percentile": values.get("lower", 1.0)}
        limits["max_percentile"] = values.get("upper", 99.0)
        steps = [_step("scale_range", axes=axes, eps=values.get("eps") or _EPS, **limits)]
        return steps + ([_step("clip", min=0.0, max=1.0)] if values.get("clip") else [])
    if name == "scale_range":
        low, high = values["a_min"], values["a_max"]
        b_min, b_max = values.get("b_min", 0.0), values.get("b_max", 1.0)
        gain = (b_max - b_min) / (high - low)
        steps = [_step("scale_linear", gain=gain, offset=b_min - low * gain)]
        return steps + ([_step("clip", min=b_min, max=b_max)] if values.get("clip") else [])
    if name == "clip" and all(_is_number(v) for v in values.values()):
        ends = {"min": values.get("minimum"), "max": values.get("maximum")}
        return [_step("clip", **{k: v for k, v in ends.items() if v is not None})]
    if name == "scale_linear" and all(_is_number(v) for v in values.values()):
        return [_step("scale_linear", **values)]
    return None


# What bioimageio.spec takes where nothing is said.
_EPS = 1e-6


def _fixed(mean: Any, deviation: Any) -> dict[str, Any]:
    means, deviations = _listed(mean), _listed(deviation)
    if len(means) == 1:
        return _step("fixed_zero_mean_unit_variance", mean=means[0], std=deviations[0])
    return _step("fixed_zero_mean_unit_variance", axis="channel", mean=means, std=deviations)


def _step(name: str, **values: Any) -> dict[str, Any]:
    return {"id": name, "kwargs": values}


def _is_number(value: object) -> bool:
    return value is None or type(value) in (int, float)


def finishing(steps: Sequence[Any]) -> tuple[str, tuple[Operation, ...]]:
    """Return the activation among the steps after a network, or none, and the operations.

    Raises UntranslatableError for the first step that is not known here.
    """
    activation, operations = "", []
    for step in steps:
        name = str(step.id)
        values = step.kwargs.model_dump(mode="json")
        if name in ("sigmoid", "softmax") and not activation:
            if values.get("axis", "channel") != "channel":
                raise UntranslatableError(f"{name} along axis {values['axis']}")
            activation = name
        elif name == "binarize" and _is_number(values["threshold"]):
            operations.append(Operation("threshold", {"value": values["threshold"]}))
        elif not (name == "ensure_dtype" or (name == "clip" and _keeps_unit(values))):
            raise UntranslatableError(name)
    return activation, tuple(operations)


def _keeps_unit(values: dict[str, Any]) -> bool:
    """Whether clipping changes no probability."""
    low, high = values.get("min"), values.get("max")
    by_rank = values.get("min_percentile"), values.get("max_percentile")
    return by_rank == (None, None) and (low is None or low <= 0) and (high is None or high >= 1)
