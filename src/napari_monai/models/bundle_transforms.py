"""What a MONAI bundle does to an image before the network, as operations of our own.

MONAI's array has the axis first that runs fastest in the file: (i, j, k), and (x, y) of pictures.
Our own have the slowest first, so what depends on axes begins with a transpose unless the bundle
reorients the image itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..preprocess import Operation
from .bundle_arguments import Arguments, flattened, key_list, label, type_name
from .bundle_known import known_code
from .bundle_values import Component, Function

# What changes no voxel: housekeeping of MONAI's own.
_NOTHING = {
    "AddChanneld", "AsChannelFirstd", "DeleteItemsd", "EnsureChannelFirstd", "FromMetaTensord",
    "Identityd", "LoadImaged", "SelectItemsd", "SimulateDelayd", "ToCupyd", "ToDeviced",
    "ToMetaTensord", "ToNumpyd", "ToPILd", "ToTensord",
}  # fmt: skip
_LINEAR = ("bilinear", "trilinear", "linear")
_PADS = {"constant": "constant", "edge": "edge", "replicate": "edge", "reflect": "reflect"}


@dataclass
class Preprocessing:
    """What is gathered while the transforms are gone through.

    Attributes
    ----------
    sources
        Keys that become the network's input, in the order of its channels.
    operations
        Ours, in order.
    blockers
        One line for each transform that cannot be done.
    colour
        Whether the image is converted to colour.
    """

    spatial_dims: int
    root: Path
    sources: tuple[str, ...] = ("image",)
    operations: list[Operation] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)
    oriented: bool = False
    colour: bool = False
    joined: bool = True
    from_file: bool = False
    sliced: bool = False
    spatial: bool = False
    resampled: bool = False
    window: tuple[int, ...] | None = None

    def add(self, name: str, **parameters: Any) -> None:
        """Append an operation; ``None`` for a parameter leaves it out."""
        kept = {k: v for k, v in parameters.items() if v is not None}
        self.operations.append(Operation(name, kept))

    def by_file_axes(self) -> None:
        """Take the axes in MONAI's order, fastest first, unless that has been decided."""
        if not self.oriented:
            # Of the stored axes, slowest first; a picture is the one slice along the first.
            axes = [2, 1, 0] if self.spatial_dims == 3 else [0, 2, 1]
            self.operations.insert(0, Operation("transpose", {"axes": axes, "stored": True}))
            self.oriented = self.from_file = True


def read_preprocessing(
    value: Any, spatial_dims: int, *, root: Path, sliced: bool = False
) -> Preprocessing:
    """Return what a bundle's ``preprocessing`` does to the image.

    Parameters
    ----------
    value
        The transforms: a ``Compose``, or a list.
    spatial_dims
        Those of the network.
    root
        Folder of the bundle.
    sliced
        Whether a 2-D network is led over volumes.
    """
    transforms = flattened(value)
    state = Preprocessing(
        spatial_dims, root=root, sources=_sources(transforms, root), sliced=sliced
    )
    state.joined = len(state.sources) == 1
    for transform in transforms:
        try:
            _read_one(transform, state)
        except ModelError as error:
            state.blockers.append(f"preprocessing {label(transform)}: {error}")
    state.by_file_axes()
    if sliced and state.spatial:
        state.blockers.append("preprocessing: volumes of a 2-D network are not resampled or cut.")
    return state


def _sources(transforms: Sequence[Any], root: Path) -> tuple[str, ...]:
    """Return the keys that are joined to "image", or that alone."""
    for transform in transforms:
        if isinstance(transform, Component):
            try:
                joined = _joined(transform, root)
            except ModelError:
                continue  # said when its turn comes
            if joined:
                return joined
    return ("image",)


def _joined(transform: Component, root: Path) -> tuple[str, ...]:
    """Return the keys that a transform joins to "image", if it does."""
    if transform.own_code:
        joins = known_code(transform, root) == "join" and transform.get("keys_out") == "image"
        return tuple(key_list(transform.get("keys_merge"))) if joins else ()
    joins = transform.name == "ConcatItemsd" and transform.get("name") == "image"
    return tuple(key_list(transform.get("keys"))) if joins else ()


def _read_one(transform: Any, state: Preprocessing) -> None:
    if not isinstance(transform, Component):
        raise ModelError("it is no transform of MONAI's.")
    if _joined(transform, state.root):
        if not transform.own_code and transform.get("dim", 0) != 0:
            raise ModelError("channels are joined along dim 0 only.")
        state.joined = True
        return
    if transform.own_code:
        raise ModelError("it is code of the bundle's own, which is not run.")
    arguments = Arguments(transform)
    name = transform.name.removesuffix("ict") if transform.name.endswith("Dict") else transform.name
    name = name.removesuffix("D") + "d" if name.endswith("D") else name
    if "keys" not in transform.keys:
        known = transform.name.lower().endswith("d")
        raise ModelError("it is not known." if known else "it is for arrays without names.")
    keys = key_list(transform.get("keys"))
    relevant = state.sources if not state.joined else ("image", *state.sources)
    mine = [key for key in relevant if key in keys]
    if not mine:
        return
    if name in _NOTHING:
        _check_reader(arguments, state)
        return
    if not state.joined and set(mine) != set(state.sources):
        raise ModelError(f"it changes {', '.join(mine)} alone of {', '.join(state.sources)}.")
    handler = _HANDLERS.get(name)
    if handler is None:
        raise ModelError("it is not known.")
    handler(arguments, state)
    arguments.finish()


def _check_reader(arguments: Arguments, state: Preprocessing) -> None:
    _cast(arguments, state)
    converter = arguments.get("converter")
    if isinstance(converter, Function):
        if converter.text.replace('"', "'").replace(" ", "").find("convert('RGB')") < 0:
            raise ModelError("its converter is code that is not known.")
        state.colour = True


def _orientation(a: Arguments, state: Preprocessing) -> None:
    codes = a.get("axcodes")
    a.get("as_closest_canonical")
    if a.flag("as_closest_canonical"):
        codes = "RAS"
    if not isinstance(codes, str) or not (state.spatial_dims == 3 or state.sliced):
        raise ModelError(f"axcodes {codes!r} are no three letters of a volume.")
    if state.spatial:
        state.by_file_axes()
    state.add("orientation", codes=codes.upper())
    state.oriented = True


def _spacing(a: Arguments, state: Preprocessing) -> None:
    if a.flag("diagonal") or a.flag("scale_extent"):
        raise ModelError("diagonal and scale_extent are not done.")
    if a.get("min_pixdim") is not None or a.get("max_pixdim") is not None:
        raise ModelError("min_pixdim and max_pixdim are not done.")
    if a.get("padding_mode", "border") != "border":
        raise ModelError(f"padding_mode {a.get('padding_mode')!r} is not done.")
    state.by_file_axes()
    pixdim = [
        None if p is None or p <= 0 else float(p) for p in a.numbers("pixdim", state.spatial_dims)
    ]
    state.resampled = True
    state.add("spacing", spacing=pixdim, order=_order(a.get("mode", "bilinear")), align="corner")
    state.spatial = True


def _order(mode: Any) -> int:
    """Return the order of an interpolation by its name or number."""
    if mode == "nearest" or mode == 0:
        return 0
    if mode in _LINEAR or mode == 1:
        return 1
    if mode == 3:
        return 3
    raise ModelError(f"mode {mode!r} is not done: bilinear, nearest or 3 are.")


def _resize(a: Arguments, state: Preprocessing) -> None:
    if a.get("size_mode", "all") != "all" or a.flag("anti_aliasing"):
        raise ModelError("size_mode and anti_aliasing are not done.")
    a.get("anti_aliasing_sigma")
    mode = a.get("mode", "area")
    ours = "linear" if mode in _LINEAR else mode
    if ours not in ("area", "linear", "nearest") or a.flag("align_corners"):
        raise ModelError(f"mode {mode!r} is not done: area, bilinear and nearest are.")
    state.by_file_axes()
    size = [int(n) if n > 0 else None for n in a.numbers("spatial_size", state.spatial_dims)]
    state.resampled = True
    state.add("resize", size=size, mode=ours)
    state.spatial = True
    if None not in size:
        state.window = tuple(n for n in size if n is not None)


def _crop_foreground(a: Arguments, state: Preprocessing) -> None:
    if a.get("source_key", "image") not in ("image", *state.sources):
        raise ModelError("the box is that of another image.")
    if a.get("select_fn") is not None:
        raise ModelError("select_fn is code, which is not run.")
    if len(state.sources) > 1 and not state.joined:
        raise ModelError("a box of several images is not done.")
    if a.get("mode", "constant") != "constant" and a.get("k_divisible", 1) not in (1, None):
        raise ModelError("k_divisible is padded with zeros only.")
    smaller = a.flag("allow_smaller")
    if a.get("mode", "constant") != "constant" and not smaller and a.get("margin", 0) != 0:
        raise ModelError("margins beyond the image are padded with zeros only.")
    state.by_file_axes()
    state.add(
        "crop_foreground",
        margin=a.get("margin", 0) or None,
        k_divisible=None if a.get("k_divisible", 1) in (1, None) else a.get("k_divisible"),
        channels=None if a.get("channel_indices") is None else _listed(a.get("channel_indices")),
        allow_smaller=smaller or None,
    )
    state.spatial = True


def _normalise(a: Arguments, state: Preprocessing) -> None:
    mean, std = (a.component.get(key) for key in ("subtrahend", "divisor"))
    a.asked |= {"subtrahend", "divisor"}
    if (mean is None) != (std is None):
        raise ModelError("subtrahend and divisor are done together only.")
    parameters: dict[str, Any] = {"nonzero": a.flag("nonzero")}
    per_channel = a.flag("channel_wise") or not state.joined
    if mean is not None:
        parameters |= {"mean": _listed(mean), "std": _listed(std)}
    state.add("zscore", per_channel=per_channel, **parameters)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, list) else [value]


def _scale(a: Arguments, state: Preprocessing) -> None:
    low, high = a.number("minv", 0.0), a.number("maxv", 1.0)
    factor = a.number("factor")
    if low is None and high is None and factor is not None:
        a.flag("channel_wise")
        state.add("scale_linear", gain=1.0 + factor)
        return
    if low is None or high is None:
        low, high = 0.0, 1.0
    per_channel = a.flag("channel_wise") or not state.joined
    state.add("scale_minmax", b_min=low, b_max=high, per_channel=per_channel)


def _scale_range(a: Arguments, state: Preprocessing) -> None:
    low, high = a.number("a_min"), a.number("a_max")
    b_min, b_max = a.number("b_min"), a.number("b_max")
    if low is None or high is None or low == high:
        raise ModelError("a_min and a_max are two numbers.")
    clip = a.flag("clip")
    if b_min is None or b_max is None:
        if clip and (b_min, b_max) != (None, None):
            raise ModelError("b_min without b_max is not done.")
        b_min, b_max, clip = 0.0, 1.0, False
    if low < high and b_min < b_max:
        state.add("scale_range", a_min=low, a_max=high, b_min=b_min, b_max=b_max, clip=clip)
        return
    if clip and b_min > b_max:
        raise ModelError("clipping to b_min above b_max leaves nothing of the image.")
    gain = (b_max - b_min) / (high - low)
    state.add("scale_linear", gain=gain, offset=b_min - low * gain)
    if clip:
        state.add("clip", minimum=b_min, maximum=b_max)


def _percentiles(a: Arguments, state: Preprocessing) -> None:
    low, high = a.number("lower"), a.number("upper")
    b_min, b_max = a.number("b_min"), a.number("b_max")
    if low is None or high is None:
        raise ModelError("lower and upper are two numbers.")
    if a.flag("relative") and b_min is not None and b_max is not None:
        b_min, b_max = (b_min + (b_max - b_min) * at / 100 for at in (low, high))
    state.add(
        "scale_percentiles",
        lower=float(low),
        upper=float(high),
        b_min=0.0 if b_min is None else b_min,
        b_max=1.0 if b_max is None else b_max,
        per_channel=a.flag("channel_wise") or not state.joined,
        clip=a.flag("clip"),
    )


def _cast(a: Arguments, state: Preprocessing) -> None:
    name = type_name(a.component.get("dtype"))
    if name:
        state.add("cast", dtype=name)


def _threshold(a: Arguments, state: Preprocessing) -> None:
    at, fill, above = a.number("threshold"), a.number("cval", 0.0), a.flag("above", True)
    if at is None or at != fill:
        raise ModelError("a cval other than the threshold is not done.")
    state.add("clip", **{"minimum" if above else "maximum": at})


def _repeat(a: Arguments, state: Preprocessing) -> None:
    if a.get("repeats") != 3:
        raise ModelError("a channel is repeated three times only.")
    state.add("colour")
    state.colour = True


def _transpose(a: Arguments, state: Preprocessing) -> None:
    indices = a.get("indices")
    if state.spatial_dims == 2 and indices == [0, 2, 1] and not state.spatial:
        state.by_file_axes()
        slices, *first = state.operations[0].parameters["axes"]
        axes = [slices, *first[::-1]]
        state.operations[0] = Operation("transpose", {"axes": axes, "stored": True})
        return
    if state.spatial_dims != 3 or not isinstance(indices, list) or sorted(indices) != [0, 1, 2, 3]:
        raise ModelError(f"indices {indices!r} are no order of the axes of a volume.")
    if indices[0] != 0:
        raise ModelError("the axis of channels is not moved.")
    state.by_file_axes()
    state.add("transpose", axes=[i - 1 for i in indices[1:]])
    state.spatial = True


def _pad(a: Arguments, state: Preprocessing) -> None:
    method, mode = a.get("method", "symmetric"), a.get("mode", "constant")
    if mode not in _PADS or method not in ("symmetric", "end"):
        raise ModelError(f"mode {mode!r} with method {method!r} is not done.")
    state.by_file_axes()
    name, key = ("pad_divisible", "k") if "k" in a.component.keys else ("pad", "spatial_size")
    sizes = [int(n) if n > 0 else None for n in a.numbers(key, state.spatial_dims)]
    state.add(
        name,
        **{"k" if name == "pad_divisible" else "size": sizes},
        method=method,
        mode=_PADS[mode],
        value=a.number("value"),
    )
    state.spatial = True


def _ensure_type(a: Arguments, state: Preprocessing) -> None:
    _cast(a, state)


Handler = Callable[[Arguments, Preprocessing], None]
_HANDLERS: Mapping[str, Handler] = {
    "CastToTyped": _cast,
    "CropForegroundd": _crop_foreground,
    "DivisiblePadd": _pad,
    "EnsureTyped": _ensure_type,
    "NormalizeIntensityd": _normalise,
    "Orientationd": _orientation,
    "RepeatChanneld": _repeat,
    "Resized": _resize,
    "ScaleIntensityRangePercentilesd": _percentiles,
    "ScaleIntensityRanged": _scale_range,
    "ScaleIntensityd": _scale,
    "Spacingd": _spacing,
    "SpatialPadd": _pad,
    "ThresholdIntensityd": _threshold,
    "Transposed": _transpose,
}
