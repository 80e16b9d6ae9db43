"""What a run is to do: the model's description with the settings of the run put in."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

from .errors import ModelError, SettingsError, did_you_mean
from .instances import CHANNELS, decode
from .models import ModelDescription
from .postprocess import check_cleanings, threshold_of
from .preprocess import Operation
from .settings import Blend, InferenceSettings, Slices
from .sliding import tile, tile_whole
from .tiling import Padding, Steps, Tiling

_PADS = ("pad", "pad_divisible")


@dataclass(frozen=True)
class RunPlan:
    """The model's description with the settings of the run put in.

    Attributes
    ----------
    window, overlap, blend, steps, padding
        See `napari_monai.tiling.plan`.
    whole
        Whether the image, or each slice, is run at once and not in windows.
    mirror_axes
        Axes of the network along which mirrored copies are averaged.
    raw
        Whether windows, copies and networks are averaged before the activation.
    threshold
        Probability from which a voxel is foreground.
    decoding
        How maps become objects.
    slices
        How the slices of a 2-D model become objects; of a 3-D one there are none to link, and it is
        ``"together"``.
    notes
        Lines for the user.
    """

    window: tuple[int, ...]
    overlap: float
    blend: Blend
    steps: Steps
    padding: Padding
    whole: bool
    mirror_axes: tuple[int, ...]
    raw: bool
    threshold: float | None
    decoding: dict[str, Any]
    slices: Slices
    notes: tuple[str, ...]

    @classmethod
    def of(cls, description: ModelDescription, settings: InferenceSettings) -> RunPlan:
        """Return the plan; raises SettingsError or ModelError where they do not fit."""
        inferer, dims = description.inferer, description.inputs.spatial_dims
        window = inferer.window if settings.window is None else settings.window
        if len(window) != dims:
            raise SettingsError(
                f"Window {tuple(window)} has {len(window)} numbers, but {description.name} needs "
                f"{dims}."
            )
        if description.outputs.home == "logits" and inferer.average != "logits":
            raise ModelError(
                f"{description.name} brings logits home, so inferer.average is logits too, not "
                f"{inferer.average}."
            )
        if description.inputs.fixed_size and window != inferer.window:
            raise SettingsError(
                f"{description.name} takes windows of {inferer.window} only: leave the window out."
            )
        notes: tuple[str, ...] = ()
        whole = inferer.kind == "simple"
        if whole and settings.window is not None:
            notes = (f"{description.name} takes the whole image at once: the window is not used.",)
        multiples = description.inputs.multiples
        if not whole and any(n % m for n, m in zip(window, multiples, strict=True)):
            told = " x ".join(map(str, multiples if len(set(multiples)) > 1 else multiples[:1]))
            notes = (f"Window sides grow to multiples of {told}, as {description.name} needs.",)
        decoding = _decoding(description)
        for name in ("threshold", "seed_threshold", "min_size"):
            value = getattr(settings, name)
            if value is None:
                continue
            if description.outputs.kind == "instances":
                decoding[name] = value
                if name == "min_size":  # what the user wants goes before what the model advises
                    decoding.pop("min_voxels", None)
            elif name != "threshold":
                label = next(o.label for o in settings.options() if o.name == name)
                notes = (*notes, f"{label} is for models of objects: it does nothing here.")
        flips = inferer.flips if settings.flips is None else settings.flips
        if flips and not inferer.mirrored:
            notes = (*notes, f"{description.name} was not made for mirrored copies: none is run.")
        if settings.slices == "orthogonal" and dims == 3:
            told = f"{description.name} looks at volumes, and not at slices from three sides."
            notes = (*notes, told)
        return cls(
            window=tuple(window),
            overlap=inferer.overlap if settings.overlap is None else settings.overlap,
            blend=inferer.blend if settings.blend is None else settings.blend,
            steps=inferer.steps,
            padding=inferer.padding,
            whole=whole,
            mirror_axes=inferer.mirrored if flips else (),
            raw=inferer.average == "logits",
            threshold=_threshold(description, settings),
            decoding=decoding,
            slices=settings.slices if dims == 2 else "together",
            notes=notes,
        )

    def tiling(self, dims: int, multiples: tuple[int, ...], shape: tuple[int, ...]) -> Tiling:
        """Return the windows over an array for a network of ``dims`` axes."""
        if self.whole:
            return tile_whole(shape, dims, size_multiple=multiples, padding=self.padding)
        return tile(
            shape,
            self.window,
            overlap=self.overlap,
            blend=self.blend,
            size_multiple=multiples,
            steps=self.steps,
            padding=self.padding,
        )


def enlarged(description: ModelDescription, zoom: float) -> ModelDescription:
    """Return a description that enlarges images by this factor, beside what it does itself.

    Raises
    ------
    SettingsError
        If that is too much, or too little, with the factor of the model.
    """
    if zoom == 1:
        return description
    steps = list(description.preprocess)
    place = next((i for i, step in enumerate(steps) if step.name == "zoom"), None)
    if place is not None:
        zoom *= steps.pop(place).parameters.get("factor", 1.0)
    else:  # before what makes sizes fit the network
        place = next((i for i, step in enumerate(steps) if step.name in _PADS), len(steps))
    steps.insert(place, Operation("zoom", {"factor": zoom}))
    try:
        return replace(description, preprocess=tuple(steps))
    except ModelError as error:
        raise SettingsError(f"With this zoom, and that of {description.name}: {error}") from error


def _threshold(description: ModelDescription, settings: InferenceSettings) -> float | None:
    """Return the threshold that the user wants, or the model of classes."""
    if settings.threshold is not None or description.outputs.kind == "instances":
        return settings.threshold
    return threshold_of(check_cleanings(description.postprocess))


def _decoding(description: ModelDescription) -> dict[str, Any]:
    """Return the parameters of the model's instance decoding."""
    known = set(inspect.signature(decode).parameters) - {*CHANNELS, "spacing"}
    parameters: dict[str, Any] = {}
    if description.outputs.kind != "instances":
        return parameters
    for operation in description.postprocess:
        for key, value in operation.parameters.items():
            if key not in known:
                raise ModelError(
                    f"postprocess {operation.name} of {description.name} has no parameter {key!r}. "
                    f"{did_you_mean(key, known)}"
                )
            if type(value) not in (int, float):
                raise ModelError(
                    f"postprocess {operation.name} of {description.name}: {key} is no number: "
                    f"{value!r}."
                )
            parameters[key] = value
    return parameters
