"""What people see of a BioImage.IO package: its card, its README, its cover picture."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from .description import ModelDescription

# Sides of one half of the cover.
_COVER = 256
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_BEFORE = {
    "orientation": "turned to {codes}",
    "transpose": "with its axes in the order {axes}",
    "spacing": "resampled to voxels of {spacing} {unit}",
    "resize": "resized to {size}",
    "zoom": "enlarged {factor} times",
    "colour": "given as three channels",
}


def card(description: ModelDescription) -> dict[str, Any]:
    """Return the part of a BioImage.IO description that is about the model as a whole."""
    name = re.sub(r"[^A-Za-z0-9_+\-() ]+", " ", description.title or description.name).strip()
    told = " ".join((description.description or description.title).split())
    values: dict[str, Any] = {
        "type": "model",
        "format_version": "0.5.14",
        "name": (name or description.name)[:127].ljust(5, "_"),
        "description": told[:1023],
        "authors": [{"name": _plain_name(author)} for author in description.authors],
        "cite": [_cited(citation) for citation in description.citations],
        "documentation": {"source": "README.md"},
        "covers": [{"source": "cover.png"}],
        "tags": ["segmentation", f"{description.inputs.spatial_dims}d", "napari-monai"],
    }
    if description.inputs.modality:
        values["tags"].append(description.inputs.modality.lower())
    if _SPDX.fullmatch(description.licence):
        values["license"] = description.licence
    if re.fullmatch(r"[A-Za-z0-9.]+", description.version):
        values["version"] = description.version
    return values


def channel_names(names: Sequence[str]) -> list[str]:
    """Return channel names as BioImage.IO takes them: identifiers, none of them twice."""
    made: list[str] = []
    for index, name in enumerate(names):
        plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
        if not plain.isidentifier() or keyword.iskeyword(plain) or plain in made:
            plain = f"channel{index}_{plain}".rstrip("_")
        made.append(plain)
    return made


def readme(description: ModelDescription, before: Sequence[str]) -> str:
    """Return the text about a model; ``before`` names what the image needs before the package."""
    classes = ", ".join(f"{c.number} {c.name}" for c in description.labels)
    steps = [
        _BEFORE.get(operation.name, operation.name).format(**_texts(operation.parameters))
        for operation in description.preprocess
        if operation.name in before
    ]
    after = [operation.name for operation in description.postprocess]
    parts = [
        f"# {description.title or description.name}",
        description.description,
        f"Intended use: {description.intended_use}" if description.intended_use else "",
        f"Limits: {description.limits}" if description.limits else "",
        f"Classes: {classes}.",
        f"The image has to be {', then '.join(steps)} first." if steps else "",
        f"After it napari-monai does: {', '.join(after)}." if after else "",
        f"Licence: {description.licence or 'not given'}.",
        f"Authors: {', '.join(description.authors) or 'not given'}.",
        "# Validation",
        _scores(description),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def cover(image: npt.NDArray[np.float32], maps: npt.NDArray[np.float32]) -> Image.Image:
    """Return a picture of an image and its most telling map side by side, twice as wide as high.

    Both are (channel, *spatial); of volumes it is the middle slice.
    """
    telling = max(maps, key=lambda channel: float(channel.std()))
    halves = [_grey(image[0]), _grey(telling)]
    made = Image.new("L", (2 * _COVER, _COVER))
    for index, half in enumerate(halves):
        picture = Image.fromarray(half).resize((_COVER, _COVER), Image.Resampling.BILINEAR)
        made.paste(picture, (index * _COVER, 0))
    return made


def _grey(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    plane = values[len(values) // 2] if values.ndim == 3 else values
    low, high = float(plane.min()), float(plane.max())
    return ((plane - low) / (high - low or 1.0) * 255).astype(np.uint8)


def _cited(text: str) -> dict[str, str]:
    doi = re.search(r"10\.\d{4,9}/[^\s,;]+", text)
    if doi:
        return {"text": text, "doi": doi.group().rstrip(".")}
    return {"text": text, "url": "https://bioimage.io"}


def _plain_name(name: str) -> str:
    # Slashes are not allowed in it.
    return re.sub(r"[/\\]+", " ", name)


def _texts(parameters: Any) -> dict[str, str]:
    shown = {"unit": "mm", "codes": "IPL"} | {
        key: " x ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        for key, value in parameters.items()
    }
    return shown


def _scores(description: ModelDescription) -> str:
    found = [
        f"- {where}, {name}: {value:.3f}"
        for where, scores in description.scores.items()
        if isinstance(scores, dict)
        for name, value in scores.items()
        if isinstance(value, float)
    ]
    return "\n".join(found) or "No scores are known: try it on images that you have labels of."
