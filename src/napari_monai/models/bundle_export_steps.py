"""Operations of ours as transforms and inferers of MONAI's: the other way of a bundle's reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ModelError
from ..grid import DISPLAY, millimetres, unit_name
from .bundle_lambdas import highest_above
from .description import ModelDescription

Step = dict[str, Any]


@dataclass
class Told:
    """What the bundle's README has to say of what MONAI does otherwise."""

    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Add a line, once."""
        if line not in self.lines:
            self.lines.append(line)


def preprocessing_steps(
    description: ModelDescription, stride: Sequence[int], told: Told
) -> list[Step]:
    """Return the transforms that prepare an image.

    Raises ModelError for an operation that MONAI does not have.
    """
    dims = description.inputs.spatial_dims
    steps: list[Step] = [_step("LoadImaged"), _step("EnsureChannelFirstd")]
    names = [operation.name for operation in description.preprocess]
    if dims == 2:
        if "transpose" not in names:
            steps.append(_step("Transposed", indices=[0, 2, 1]))  # MONAI reads pictures as (x, y)
        told.add("It takes pictures; the slices of a volume one by one.")
    elif "orientation" not in names and "transpose" not in names:
        steps.append(_step("Orientationd", axcodes=DISPLAY))
    for operation in description.preprocess:
        if operation.name not in _BEFORE:
            raise ModelError(
                f"The operation {operation.name} has no counterpart in MONAI: export the model in "
                "napari-monai's own format."
            )
        steps += _BEFORE[operation.name](operation.parameters, description, told)
    if description.inferer.kind == "simple" and max(stride) > 1:
        steps.append(_step("DivisiblePadd", k=list(stride)))
        told.add("Images are padded with zeros to the sizes that the network takes.")
    steps.append(_step("EnsureTyped"))
    return steps


def inferer_component(description: ModelDescription, stride: Sequence[int], told: Told) -> Step:
    """Return how MONAI runs the network over an image."""
    inferer = description.inferer
    if inferer.kind == "simple":
        return {"_target_": "SimpleInferer"}
    window = [-(-side // step) * step for side, step in zip(inferer.window, stride, strict=True)]
    if window != list(inferer.window):
        told.add(f"Windows grow to {window}: MONAI's network needs multiples of {list(stride)}.")
    if inferer.steps != "monai":
        told.add("Windows lie as MONAI places them, not evenly.")
    if inferer.average != "logits":
        told.add("Overlapping windows are averaged before the activation, not after it.")
    if inferer.flips:
        told.add("Mirrored copies are not averaged.")
    padding = {"zeros": "constant", "edge": "replicate", "mirror": "reflect"}[inferer.padding]
    if padding == "reflect":
        # torch mirrors no more than the image has.
        padding = "replicate"
        told.add("Images smaller than a window repeat their border instead of mirroring it.")
    return {
        "_target_": "SlidingWindowInferer",
        "roi_size": window,
        "sw_batch_size": 1,
        "overlap": inferer.overlap,
        "mode": inferer.blend,
        "padding_mode": padding,
    }


def postprocessing_steps(description: ModelDescription, told: Told) -> list[Step]:
    """Return the transforms that make labels of the network's output."""
    if description.outputs.kind == "instances":
        return [*_probability(description, told), _save("float32")]
    before, after = _deciding(description)
    activation = _step("Activationsd", key="pred", **{_activation(description): True})
    home = _home(nearest=description.outputs.home == "labels")
    select = _select(description)
    steps = {
        "probabilities": [*select, activation, home, *before, *after],
        "logits": [*select, home, activation, *before, *after],
        "labels": [*select, activation, *before, *after, home],
    }[description.outputs.home]
    for operation in description.postprocess:
        if operation.name == "threshold":
            continue
        if operation.name not in _AFTER:
            raise ModelError(
                f"The operation {operation.name} has no counterpart in MONAI: export the model in "
                "napari-monai's own format."
            )
        if operation.name == "remove_small" and len(description.labels) > 1:
            raise ModelError("MONAI removes the small parts of a single class only.")
        steps.append(_AFTER[operation.name](operation.parameters))
    return [*steps, _save("int32")]


def _step(target: str, key: str = "image", **arguments: Any) -> Step:
    return {"_target_": target, "keys": key, **arguments}


def _save(dtype: str) -> Step:
    return _step("SaveImaged", "pred", output_dir="@output_dir", output_postfix="seg",
                 output_dtype=dtype, resample=False, separate_folder=False)  # fmt: skip


def _home(*, nearest: bool) -> Step:
    return _step(
        "Invertd",
        "pred",
        transform="@preprocessing",
        orig_keys="image",
        nearest_interp=nearest,
        to_tensor=True,
    )


def _activation(description: ModelDescription) -> str:
    return "softmax" if description.outputs.softmax else "sigmoid"


def _probability(description: ModelDescription, told: Told) -> list[Step]:
    """Return the steps that give the probability of the foreground, which is all MONAI can."""
    told.add(
        "The output is the probability of the foreground: MONAI has no transform that separates "
        "the objects. Read the bundle's model with napari-monai's own format for objects."
    )
    channel = description.outputs.channels.index("foreground")
    channel = description.outputs.select[channel] if description.outputs.select else channel
    return [
        _step("Lambdad", "pred", func=f"$lambda x: x[[{channel}]]"),
        _step("Activationsd", "pred", sigmoid=True),
        _home(nearest=False),
    ]


def _select(description: ModelDescription) -> list[Step]:
    outputs = description.outputs
    if not outputs.select or outputs.regions:
        return []
    return [_step("Lambdad", "pred", func=f"$lambda x: x[{list(outputs.select)}]")]


def _deciding(description: ModelDescription) -> tuple[list[Step], list[Step]]:
    """Return the steps from activated channels to labels: deciding, and renumbering."""
    outputs = description.outputs
    threshold = next(
        (o.parameters.get("value", 0.5) for o in description.postprocess if o.name == "threshold"),
        0.5,
    )
    numbers = [label.number for label in description.labels]
    if outputs.regions:
        order = outputs.select or range(len(outputs.regions))
        body = "0"
        for channel, number in zip(order, outputs.regions, strict=True):
            body = f"torch.where(x[[{channel}]] > 0, {number}, {body})"
        decide = _step("AsDiscreted", "pred", threshold=threshold)
        return [decide], [_step("Lambdad", "pred", func=f"$lambda x: {body}")]
    if outputs.softmax:
        if threshold != 0.5:
            raise ModelError("MONAI has no threshold for classes that exclude each other.")
        return [_step("AsDiscreted", "pred", argmax=True)], _renumber(numbers)
    if len(outputs.channels) == 1:
        return [_step("AsDiscreted", "pred", threshold=threshold)], _renumber(numbers)
    decide = _step("Lambdad", "pred", func=f"${highest_above(threshold)}")
    return [decide], _renumber(numbers)


def _renumber(numbers: Sequence[int]) -> list[Step]:
    plain = list(range(1, len(numbers) + 1))
    if list(numbers) == plain:
        return []
    return [_step("MapLabelValued", "pred", orig_labels=plain, target_labels=list(numbers))]


Parameters = Mapping[str, Any]
Before = Callable[[Parameters, ModelDescription, Told], list[Step]]


def _orientation(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    return [_step("Orientationd", axcodes=p.get("codes", DISPLAY))]


def _transpose(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    axes = list(p["axes"])
    if d.inputs.spatial_dims == 2:
        axes = [1, 0] if axes[-2] < axes[-1] else [0, 1]  # of (x, y)
    elif p.get("stored"):
        axes = [2 - a for a in axes]  # MONAI begins with the fastest
    plain = axes == list(range(len(axes)))
    return [] if plain else [_step("Transposed", indices=[0, *(a + 1 for a in axes)])]


def _spacing(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    if p.get("align", "centre") != "corner":
        told.add("MONAI's resampled grid begins at the first voxel, ours has the same centre.")
    order = p.get("order", 1)
    if order > 1 or p.get("separate_z"):
        told.add("Resampling is linear.")
    factor = millimetres(unit_name(p.get("unit", "mm"))) / millimetres("mm")
    pixdim = [-1.0 if step is None else step * factor for step in p["spacing"]]
    return [_step("Spacingd", pixdim=pixdim, mode="nearest" if order == 0 else "bilinear")]


def _resize(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    mode = p.get("mode", "area")
    if mode == "cubic":
        raise ModelError("MONAI does not resize volumes by cubic splines.")
    linear = "trilinear" if d.inputs.spatial_dims == 3 else "bilinear"
    size = [-1 if n is None else n for n in p["size"]]
    return [_step("Resized", spatial_size=size, mode=linear if mode == "linear" else mode)]


def _crop_foreground(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    if p.get("threshold", 0) != 0:
        raise ModelError("MONAI crops to what is above 0 only.")
    renamed = {"channels": "channel_indices"}
    arguments = {renamed.get(k, k): v for k, v in p.items() if k != "threshold" and v is not None}
    return [_step("CropForegroundd", source_key="image", **arguments)]


def _pad(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    more = {"value": p["value"]} if p.get("value") else {}
    sizes = [-1 if n is None else n for n in p["size"]]
    return [_step("SpatialPadd", spatial_size=sizes, **_pad_words(p), **more)]


def _pad_divisible(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    more = {"value": p["value"]} if p.get("value") else {}
    return [_step("DivisiblePadd", k=p.get("k", 16), **_pad_words(p), **more)]


def _pad_words(p: Parameters) -> dict[str, Any]:
    return {"method": p.get("method", "symmetric"), "mode": p.get("mode", "constant")}


def _colour(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    told.add("Pictures have to be in colour: a grey one is not repeated.")
    return []


def _scale_range(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    b = {"b_min": p.get("b_min", 0.0), "b_max": p.get("b_max", 1.0)}
    clip = p.get("clip", False)
    return [_step("ScaleIntensityRanged", a_min=p["a_min"], a_max=p["a_max"], **b, clip=clip)]


def _scale_percentiles(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    _no_eps(p)
    return [
        _step(
            "ScaleIntensityRangePercentilesd",
            lower=p.get("lower", 1.0),
            upper=p.get("upper", 99.0),
            b_min=p.get("b_min", 0.0),
            b_max=p.get("b_max", 1.0),
            clip=p.get("clip", False),
            channel_wise=p.get("per_channel", True),
        )
    ]


def _no_eps(p: Parameters) -> None:
    if p.get("eps", 0.0) > 1e-4 or p.get("mask"):
        raise ModelError("MONAI normalises neither with an eps nor inside a mask.")


def _scale_minmax(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    b_min, b_max = p.get("b_min", 0.0), p.get("b_max", 1.0)
    wise = p.get("per_channel", False)
    return [_step("ScaleIntensityd", minv=b_min, maxv=b_max, channel_wise=wise)]


def _scale_linear(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    """Subtract and divide, which MONAI can for each channel."""
    channels = len(d.inputs.channels)
    gain, offset = (_one_each(p.get(k, v), channels) for k, v in (("gain", 1.0), ("offset", 0.0)))
    if 0 in gain:
        raise ModelError("A gain of 0 leaves nothing of the image.")
    return _normalise([-o / g for g, o in zip(gain, offset, strict=True)], [1 / g for g in gain])


def _one_each(value: Any, channels: int) -> list[float]:
    return list(value) if isinstance(value, (list, tuple)) else [value] * channels


def _normalise(mean: Sequence[float], std: Sequence[float]) -> list[Step]:
    return [
        _step("NormalizeIntensityd", subtrahend=list(mean), divisor=list(std), channel_wise=True)
    ]


def _zscore(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    _no_eps(p)
    mean, std = p.get("mean"), p.get("std")
    arguments: dict[str, Any] = {
        "nonzero": p.get("nonzero", False),
        "channel_wise": p.get("per_channel", True),
    }
    if (mean is None) != (std is None):
        raise ModelError("MONAI fixes mean and deviation together.")
    if mean is not None:
        channels = len(d.inputs.channels)
        arguments |= {"channel_wise": True, "subtrahend": _one_each(mean, channels)}
        arguments["divisor"] = [s + p.get("eps", 0.0) for s in _one_each(std, channels)]
    return [_step("NormalizeIntensityd", **arguments)]


def _clip(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    ends = [("minimum", True), ("maximum", False)]
    if any(isinstance(p.get(end), (list, tuple)) for end, _ in ends):
        raise ModelError("MONAI clips all channels alike.")
    return [
        _step("ThresholdIntensityd", threshold=p[end], above=above, cval=p[end])
        for end, above in ends
        if p.get(end) is not None
    ]


def _cast(p: Parameters, d: ModelDescription, told: Told) -> list[Step]:
    return [_step("CastToTyped", dtype=p["dtype"]), _step("CastToTyped", dtype="float32")]


_BEFORE: Mapping[str, Before] = {
    "cast": _cast,
    "clip": _clip,
    "colour": _colour,
    "crop_foreground": _crop_foreground,
    "orientation": _orientation,
    "pad": _pad,
    "pad_divisible": _pad_divisible,
    "resize": _resize,
    "scale_linear": _scale_linear,
    "scale_minmax": _scale_minmax,
    "scale_percentiles": _scale_percentiles,
    "scale_range": _scale_range,
    "spacing": _spacing,
    "transpose": _transpose,
    "zscore": _zscore,
}


def _keep_largest(p: Parameters) -> Step:
    arguments = {"independent": not p.get("together", False)}
    return _with(arguments, "KeepLargestConnectedComponentd", p, "labels", "connectivity")


def _remove_small(p: Parameters) -> Step:
    if p.get("labels"):
        raise ModelError("MONAI removes small parts of all labels.")
    arguments = {"min_size": p["min_size"], "by_measure": p.get("unit", "mm") != "voxels"}
    return _with(arguments, "RemoveSmallObjectsd", p, "connectivity")


def _fill_holes(p: Parameters) -> Step:
    return _with({}, "FillHolesd", p, "labels", "connectivity")


def _with(arguments: dict[str, Any], target: str, p: Parameters, *keys: str) -> Step:
    renamed = {"labels": "applied_labels"}
    arguments |= {renamed.get(key, key): p[key] for key in keys if p.get(key) is not None}
    return _step(target, "pred", **arguments)


_AFTER: Mapping[str, Callable[[Parameters], Step]] = {
    "fill_holes": _fill_holes,
    "keep_largest": _keep_largest,
    "remove_small": _remove_small,
}
