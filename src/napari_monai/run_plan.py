"""What a run is to do: the model's description with the settings of the run put in."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from .errors import ModelError, SettingsError, did_you_mean
from .instances import decode
from .models import ModelDescription
from .settings import Blend, InferenceSettings


@dataclass(frozen=True)
class RunPlan:
    """The model's description with the settings of the run put in."""

    window: tuple[int, ...]
    overlap: float
    blend: Blend
    flips: bool
    threshold: float | None
    decoding: dict[str, Any]
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
        notes: tuple[str, ...] = ()
        multiples = description.inputs.multiples
        if any(n % m for n, m in zip(window, multiples, strict=True)):
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
        return cls(
            window=tuple(window),
            overlap=inferer.overlap if settings.overlap is None else settings.overlap,
            blend=inferer.blend if settings.blend is None else settings.blend,
            flips=inferer.flips if settings.flips is None else settings.flips,
            threshold=settings.threshold,
            decoding=decoding,
            notes=notes,
        )


def _decoding(description: ModelDescription) -> dict[str, Any]:
    """Return the parameters of the model's instance decoding."""
    known = set(inspect.signature(decode).parameters) - {"foreground", "distance", "spacing"}
    parameters: dict[str, Any] = {}
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
